"""What calls an entry point: a `ModelNew` for its program, a problem's text for its cases."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from enum import StrEnum

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Form(StrEnum):
    """How an entry point is called."""

    FUNCTION = "function"
    AUTOGRAD = "autograd function"
    MODULE = "module"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter; `default`: its text, None without one."""

    name: str
    default: str | None = None
    keyword_only: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """How an entry point is called, and with which parameters (without `self` and `ctx`)."""

    form: Form
    parameters: tuple[Parameter, ...]


def signature_of(node: ast.stmt | None) -> Signature:
    """The signature of a definition; that of a function with any arguments for other statements."""
    if isinstance(node, Function):
        return Signature(Form.FUNCTION, _parameters(node, 0))
    if isinstance(node, ast.ClassDef):
        forward = next(
            (n for n in node.body if isinstance(n, Function) and n.name == "forward"), None
        )
        form = Form.AUTOGRAD if _is_autograd(node) else Form.MODULE
        return Signature(form, () if forward is None else _parameters(forward, 1))
    return Signature(Form.FUNCTION, ())


def _is_autograd(node: ast.ClassDef) -> bool:
    last = [ast.unparse(base).split(".")[-1] for base in node.bases]
    return "Function" in last or any(
        isinstance(n, Function) and n.name == "backward" for n in node.body
    )


def _parameters(node: Function, skipped: int) -> tuple[Parameter, ...]:
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args]
    texts = [None] * (len(every) - len(arguments.defaults)) + [
        ast.unparse(default) for default in arguments.defaults
    ]
    found = [Parameter(a.arg, t) for a, t in zip(every, texts, strict=True)][skipped:]
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        text = None if default is None else ast.unparse(default)
        found.append(Parameter(argument.arg, text, keyword_only=True))
    return tuple(found)


def model_text(name: str, signature: Signature, label: str, *, backward: bool) -> str:
    """`ModelNew`, which calls `name` with its own arguments, positional ones first.

    A function that returns nothing writes in place: then the tensors that it was given are the
    outputs. Backward: the outputs are the gradients of the arguments, with the forward outputs
    as gradients of the outputs.
    """
    constructor, called = "", name
    if signature.form is Form.MODULE:
        constructor = _CONSTRUCTOR.format(name=name)
        called = "self.module"
    elif signature.form is Form.AUTOGRAD:
        called = f"{name}.apply"
    body = (_BACKWARD if backward else _FORWARD).format(call=_call(called, signature))
    return _MODEL.format(label=label, constructor=constructor, body=body)


def _call(called: str, signature: Signature) -> str:
    keyword = [p.name for p in signature.parameters if p.keyword_only]
    if not keyword:
        return f"{called}(*arguments)"
    count = len(signature.parameters) - len(keyword)
    return f"{called}(*arguments[:{count}], **dict(zip({keyword}, arguments[{count}:])))"


_MODEL = '''

class ModelNew(torch.nn.Module):
    """Calls {label}."""
{constructor}
    def forward(self, *arguments):
{body}'''

_CONSTRUCTOR = """
    def __init__(self, *arguments, **options):
        super().__init__()
        self.module = {name}(*arguments, **options)
"""

_FORWARD = """        returned = {call}
        if returned is None:
            returned = [value for value in arguments if isinstance(value, torch.Tensor)]
        return returned[0] if isinstance(returned, list) and len(returned) == 1 else returned
"""

_BACKWARD = """        arguments = [
            value.detach().requires_grad_()
            if isinstance(value, torch.Tensor) and value.is_floating_point()
            else value
            for value in arguments
        ]
        with torch.enable_grad():
            returned = {call}
        outputs = [returned] if isinstance(returned, torch.Tensor) else list(returned)
        outputs = [value for value in outputs if value is not None and value.requires_grad]
        torch.autograd.backward(outputs, [value.detach() for value in outputs])
        wanted = [v for v in arguments if isinstance(v, torch.Tensor) and v.requires_grad]
        found = [value.grad for value in wanted if value.grad is not None]
        return found[0] if len(found) == 1 else found
"""


def problem_text(case: str, signature: Signature, reference: str | None, *, backward: bool) -> str:
    """`get_inputs` by the function `case` of a cases file, and `Model` by its reference, if any.

    A case returns the arguments as a list or tuple, or as a dict by name.
    """
    defaults = ", ".join(f'"{p.name}": {_literal(p.default)}' for p in signature.parameters)
    text = _INPUTS.format(case=case, defaults=defaults)
    if reference is not None:
        body = (_BACKWARD if backward else _FORWARD).format(call=f"{reference}(*arguments)")
        text += _REFERENCE.format(body=body)
    return text


def _literal(text: str | None) -> str:
    """A default that can be written elsewhere; `...` for others, which a case has to give if it
    gives a later one."""
    if text is None:
        return "..."
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return "..."
    return text


_INPUTS = """

def get_inputs():
    given = {case}()
    if not isinstance(given, dict):
        return [given] if isinstance(given, torch.Tensor) else list(given)
    every = {{{defaults}}}
    unknown = [name for name in given if name not in every]
    if unknown:
        raise TypeError(f"case {case} gives {{unknown[0]}}, which is no parameter")
    values = [given.get(name, default) for name, default in every.items()]
    while values and values[-1] is ...:
        values.pop()
    if ... in [value for value in values if not isinstance(value, torch.Tensor)]:
        missing = next(name for name, value in zip(every, values) if value is ...)
        raise TypeError(f"case {case} gives no {{missing}}")
    return values
"""

_REFERENCE = """

class Model(torch.nn.Module):
    def forward(self, *arguments):
{body}"""

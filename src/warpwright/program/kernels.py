"""Reading one `@triton.jit` function: parameters, operations, loops, program ids."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from warpwright.program.configs import read_autotune, read_heuristics
from warpwright.program.kernel_forms import KernelNode
from warpwright.program.parsed import ParsedProgram
from warpwright.program.parsing import segment_of, text_of
from warpwright.program.resolve import Aliases
from warpwright.types.program import Autotune, Kernel, KernelParameter, Loop, Operation

_DESCRIPTOR_METHODS = {"load": "load_tensor_descriptor", "store": "store_tensor_descriptor"}
"""`desc.load(offsets)` is read as `tl.load_tensor_descriptor(desc, offsets)`."""

_TENSOR_METHODS = frozenset({
    "abs", "argmax", "argmin", "associative_scan", "atomic_add", "atomic_and", "atomic_cas",
    "atomic_max", "atomic_min", "atomic_or", "atomic_xchg", "atomic_xor", "broadcast_to", "cast",
    "cdiv", "ceil", "cos", "cumprod", "cumsum", "erf", "exp", "exp2", "expand_dims", "flip",
    "floor", "gather", "histogram", "log", "log2", "logical_and", "logical_or", "max", "min",
    "permute", "ravel", "reduce", "reduce_or", "reshape", "rsqrt", "scatter", "sigmoid", "sin",
    "softmax", "sort", "split", "sqrt", "sum", "to", "trans", "view", "xor_sum",
})  # fmt: skip
"""Methods of `tl.tensor` that are operations of the same name."""

_LOOP_KINDS = {"static_range": "static_range", "range": "tl.range"}


def read_kernel(program: ParsedProgram, kernel: KernelNode, launched: frozenset[str]) -> Kernel:
    """The kernel as its source shows it. `launched` names the kernels that host code launches."""
    node, aliases = kernel.node, program.aliases
    names = program.values_around(kernel.outer)
    body = KernelBody(aliases, frozenset(program.kernel_names))
    body.visit_body(node)
    called_elsewhere = any(
        isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == node.name
        for other in program.kernels
        if other.node is not node
        for call in ast.walk(other.node)
    )
    return Kernel(
        name=node.name,
        line=node.lineno,
        end_line=node.end_lineno or node.lineno,
        parameters=read_parameters(node, aliases),
        autotune=_autotune(program, kernel, names),
        heuristics={
            name: text
            for call in reversed(kernel.heuristics)
            for name, text in read_heuristics(call, names).items()
        },
        operations=tuple(body.operations),
        loops=tuple(body.loops),
        program_id_axes=tuple(sorted(body.axes)),
        calls=tuple(dict.fromkeys(body.calls)),
        is_helper=called_elsewhere and node.name not in launched,
    )


def _autotune(
    program: ParsedProgram, kernel: KernelNode, names: Mapping[str, ast.expr]
) -> Autotune | None:
    """The one tuner around a kernel; its configs are unknown where another may stand there."""
    if len(kernel.tuners) == 1 and not kernel.unread:
        return read_autotune(kernel.tuners[0], program.source, program.aliases, names)
    around = [*kernel.tuners, *kernel.unread]
    if not around:
        return None
    text = ", ".join(segment_of(program.source, one) for one in around)
    return Autotune(None, (), configs_text=text, line=around[0].lineno)


def read_parameters(node: ast.FunctionDef, aliases: Aliases) -> tuple[KernelParameter, ...]:
    """Parameters in order, with `tl.constexpr` annotations (also as a string) told."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    missing = len(positional) - len(arguments.defaults)
    defaults: list[ast.expr | None] = [*([None] * missing), *arguments.defaults]
    pairs = [*zip(positional, defaults, strict=True)]
    pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return tuple(
        KernelParameter(
            name=argument.arg,
            is_constexpr=is_constexpr(argument.annotation, aliases),
            default=text_of(default) or None,
            annotation=text_of(argument.annotation) or None,
        )
        for argument, default in pairs
    )


def is_constexpr(annotation: ast.expr | None, aliases: Aliases) -> bool:
    """Whether an annotation says `tl.constexpr`, as an expression or a string."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value.strip().split(".")[-1] == "constexpr"
    return annotation is not None and aliases.triton_name(annotation) == "constexpr"


class KernelBody(ast.NodeVisitor):
    """Collects operations and loops of a kernel body in source order."""

    def __init__(self, aliases: Aliases, kernel_names: frozenset[str]) -> None:
        self.aliases = aliases
        self.kernel_names = kernel_names
        self.operations: list[Operation] = []
        self.loops: list[Loop] = []
        self.axes: set[int] = set()
        self.calls: list[str] = []
        self.depth = 0

    def visit_body(self, node: ast.FunctionDef) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_For(self, node: ast.For) -> None:
        if isinstance(node.iter, ast.Call):
            call = node.iter
            name = self.aliases.triton_name(call.func)
            kind = _LOOP_KINDS.get(name or "", "range")
            if name is None and not (isinstance(call.func, ast.Name) and call.func.id == "range"):
                kind = text_of(call.func)
            self.loops.append(
                Loop(kind, node.lineno, _texts(call.args), _keywords(call), self.depth)
            )
            for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
                self.visit(argument)
        else:
            self.loops.append(Loop("range", node.lineno, (text_of(node.iter),), {}, self.depth))
            self.visit(node.iter)
        self.depth += 1
        for statement in node.body:
            self.visit(statement)
        self.depth -= 1
        for statement in node.orelse:
            self.visit(statement)

    def visit_While(self, node: ast.While) -> None:
        self.loops.append(Loop("while", node.lineno, (text_of(node.test),), {}, self.depth))
        self.depth += 1
        self.visit(node.test)
        for statement in node.body:
            self.visit(statement)
        self.depth -= 1

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in self.kernel_names:
            self.calls.append(node.func.id)
            return
        operation = self._operation(node)
        if operation is None:
            return
        self.operations.append(operation)
        if operation.name == "program_id":
            axis = next(iter(operation.arguments), operation.keywords.get("axis", ""))
            if axis.isdigit():
                self.axes.add(int(axis))

    def _operation(self, node: ast.Call) -> Operation | None:
        name = self.aliases.triton_name(node.func)
        arguments = _texts(node.args)
        if name is None and isinstance(node.func, ast.Attribute):
            method = node.func.attr
            if self.aliases.path(node.func) is not None:
                return None
            name = method if method in _TENSOR_METHODS else _DESCRIPTOR_METHODS.get(method)
            arguments = (text_of(node.func.value), *arguments)
        if name is None:
            return None
        return Operation(name, node.lineno, arguments, _keywords(node), self.depth)


def _texts(nodes: list[ast.expr]) -> tuple[str, ...]:
    return tuple(text_of(node) for node in nodes)


def _keywords(call: ast.Call) -> dict[str, str]:
    return {keyword.arg or "**": text_of(keyword.value) for keyword in call.keywords}

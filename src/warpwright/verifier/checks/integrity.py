"""Integrity by reading: the kernels do the work, and nothing is kept from call to call.

Reading alone does not settle integrity: a launch trace and fresh data do the rest. What this
names, it names with certainty enough to refuse; what the parent does too in the same place is
told, not blamed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from warpwright.program.dotted_names import dotted, host_nodes, program_of, resolve
from warpwright.program.host import (
    HostCode,
    assignments,
    call_arguments,
    is_allocation,
    own_nodes,
    read_host,
)
from warpwright.program.memory_accesses import written_pointers
from warpwright.program.parsed import HostFunction
from warpwright.types.launch_trace import Trace
from warpwright.types.program import ProgramView
from warpwright.types.request import OutputRules
from warpwright.types.verdict import CheckResult, Status, Violation
from warpwright.verifier.checks.launched_memory import (
    returns_launched_memory,
    returns_memory_of,
)
from warpwright.verifier.checks.observed import check_observed
from warpwright.verifier.checks.state import kept_between_calls
from warpwright.verifier.checks.torch_work import torch_work

_HOOKS = frozenset(
    {
        "register_forward_hook", "register_forward_pre_hook", "register_module_forward_hook",
        "register_full_backward_hook", "as_subclass", "_make_subclass", "_make_wrapper_subclass",
        "__torch_function__", "__torch_dispatch__",
    }
)  # fmt: skip
_SPECIAL_METHODS = frozenset(
    {"__call__", "__getattr__", "__getattribute__", "__setattr__", "__new__", "__del__"}
)


@dataclass(frozen=True, slots=True)
class _Finding:
    """A violation, and the place (function and text) that finds it again in the parent."""

    place: tuple[str, str, str]
    violation: Violation


def check_integrity(
    parent: ProgramView,
    child: ProgramView,
    rules: OutputRules | None = None,
    trace: Trace | None = None,
    parent_trace: Trace | None = None,
) -> CheckResult:
    """Does the candidate do the work in its kernels, in every call, by itself?

    `trace`, `parent_trace`: of both on the problem's inputs, where they are known.
    """
    model = (rules or OutputRules()).model_class
    inherited = {finding.place for finding in _findings(parent, model)}
    violations, notes = torch_work(parent, child, trace)
    idle, told = _kernels_not_launched(parent, child, model, trace)
    violations += idle
    notes += told
    listed = {
        kernel.name: kernel.autotune.configs
        for kernel in child.kernels
        if kernel.autotune is not None and kernel.autotune.configs
    }
    seen, told = check_observed(parent_trace, trace, listed)
    read = {violation.line for violation in violations}
    violations += [v for v in seen if v.line is None or v.line not in read]
    notes += told
    for finding in _findings(child, model):
        if finding.place in inherited:
            notes.append(f"inherited from the parent: {finding.violation}")
        elif not _seen_otherwise(finding, trace):
            violations.append(finding.violation)
    status = Status.FAIL if violations else Status.PASS
    return CheckResult("integrity", status, tuple(violations), tuple(dict.fromkeys(notes)))


def _findings(view: ProgramView, model: str) -> list[_Finding]:
    program = program_of(view.source)
    if program is None:
        return []  # the format check tells it
    host = read_host(program, model)
    return [
        *_results_discarded(view, host),
        *_returns(host, model),
        *_fallbacks(host),
        *(
            _finding(
                "state", function, what, line, f"no state that outlives a call of {function}", what
            )
            for function, what, line in kept_between_calls(host)
        ),
        *_special_objects(host, model),
    ]


def _seen_otherwise(finding: _Finding, trace: Trace | None) -> bool:
    """Whether a trace shows memory with a kernel that reading could not follow there."""
    rule, _, what = finding.place
    if rule == "hollow_return":
        return returns_launched_memory(trace)
    return rule == "result_discarded" and returns_memory_of(what, trace)


def _finding(
    rule: str, where: str, what: str, line: int | None, expected: str, found: str
) -> _Finding:
    return _Finding((rule, where, what), Violation(f"integrity.{rule}", line, expected, found))


def _kernels_not_launched(
    parent: ProgramView, child: ProgramView, model: str, trace: Trace | None
) -> tuple[list[Violation], list[str]]:
    """No kernel launched at all, or one that the parent launches and the candidate keeps idle.

    A spare kernel beside others that do the work is told only. So is one that host code hands on
    (in a table, as an argument): reading does not follow it, the trace shows that it runs.
    """
    before, after = _launched_by_forward(parent, model), _launched_by_forward(child, model)
    handed_on = _handed_on(child, model)
    after |= set() if trace is None else set(trace.kernels)
    violations = []
    notes = []
    for kernel in child.launched_kernels:
        if kernel.name in after:
            continue
        elsewhere = any(site.kernel == kernel.name for site in child.launches)
        how = "launched only in code that forward never reaches" if elsewhere else "never launched"
        found = f"kernel {kernel.name} is {how}"
        if trace is None and kernel.name in handed_on:
            notes.append(f"kernel {kernel.name} is handed on: reading does not find its launch")
        elif kernel.name in before or (not after and before):
            expected = "kernels that forward launches"
            rule = "integrity.kernel_not_launched"
            violations.append(Violation(rule, kernel.line, expected, found))
        else:
            notes.append(found)
    return violations, notes


def _launched_by_forward(view: ProgramView, model: str) -> set[str]:
    program = program_of(view.source)
    if program is None:
        return set()
    reachable = read_host(program, model).reachable
    return {site.kernel for site in view.launches if site.function in reachable}


def _handed_on(view: ProgramView, model: str) -> set[str]:
    """Names that the module, or host code that forward can reach, reads as values."""
    program = program_of(view.source)
    if program is None:
        return set()
    functions = read_host(program, model).reachable
    around = {name.rpartition(".")[0] for name in functions}  # classes, and the module
    reachable = functions | around | {""}
    return {
        node.id
        for node, scope in host_nodes(program)
        if scope in reachable and isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def _results_discarded(view: ProgramView, host: HostCode) -> Iterator[_Finding]:
    """Launches whose output buffers are new, local, and never used again."""
    for site in view.launches:
        function = host.functions.get(site.function)
        kernel = view.kernel(site.kernel)
        if function is None or kernel is None:
            continue
        written = written_pointers(view.source, kernel.name)
        texts = site.texts_of(kernel)
        outputs = [texts[pointer] for pointer in sorted(written) if pointer in texts]
        values = assignments(function.node)
        local = [
            name
            for name in outputs
            if name in values and all(is_allocation(v, host.known) for v in values[name])
        ]
        if not local or len(local) != len(outputs):
            continue
        if not any(_used_after(function, name, site.line) for name in local):
            expected = f"what {kernel.name} writes to {', '.join(local)} is used"
            found = "nothing reads it after the launch"
            where = (function.name, kernel.name)
            yield _finding("result_discarded", *where, site.line, expected, found)


def _used_after(function: HostFunction, name: str, line: int) -> bool:
    """The name is read after the line (or in a loop around it)."""
    loops = [
        node
        for node in own_nodes(function.node)
        if isinstance(node, (ast.For, ast.While)) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    start = min((loop.lineno for loop in loops), default=line)
    end_of_launch = max(
        (
            node.end_lineno or node.lineno
            for node in own_nodes(function.node)
            if isinstance(node, ast.Expr) and node.lineno <= line <= (node.end_lineno or 0)
        ),
        default=line,
    )
    for node in own_nodes(function.node):
        if not isinstance(node, ast.Name) or node.id != name or not isinstance(node.ctx, ast.Load):
            continue
        if node.lineno > end_of_launch or (loops and node.lineno >= start and node.lineno < line):
            return True
    return False


def _returns(host: HostCode, model: str) -> Iterator[_Finding]:
    """A returned tensor that nothing wrote to, a constant, or forward's own input."""
    for function in host.functions.values():
        if function.name not in host.reachable or function.node.name == "__init__":
            continue
        values = assignments(function.node)
        touched = call_arguments(function.node)
        is_forward = function.name == f"{model}.forward"
        inputs = {argument.arg for argument in function.node.args.args[1:]} if is_forward else set()
        for node in own_nodes(function.node):
            if not isinstance(node, ast.Return) or node.value is None:
                continue
            what = _hollow(node.value, values, touched, inputs, host)
            if what is not None:
                expected = "a result that a kernel computed"
                where = (function.name, what)
                yield _finding("hollow_return", *where, node.lineno, expected, what)


def _hollow(
    value: ast.expr,
    values: dict[str, list[ast.expr]],
    touched: set[str],
    inputs: set[str],
    host: HostCode,
) -> str | None:
    """Why a returned expression holds no result, or None."""
    if is_allocation(value, host.known):
        return f"return of {ast.unparse(value)[:60]}"
    if not isinstance(value, ast.Name):
        return None
    name = value.id
    own = values.get(name, [])
    if own and name not in touched and all(is_allocation(v, host.known) for v in own):
        return f"return of {name}, which nothing writes to"
    if name in inputs and not own and name not in touched:
        return f"return of the input {name} as it is"
    return None


def _fallbacks(host: HostCode) -> Iterator[_Finding]:
    """`try` in host code: what fails there is replaced by something else."""
    for function in host.functions.values():
        for node in own_nodes(function.node):
            if not isinstance(node, ast.Try) or not node.handlers:
                continue
            if all(_only_raises(handler) for handler in node.handlers):
                continue
            expected = "a failure of a kernel to be a failure"
            found = f"try/except in {function.name} that goes on with something else"
            yield _finding("fallback", function.name, "try", node.lineno, expected, found)


def _only_raises(handler: ast.ExceptHandler) -> bool:
    return bool(handler.body) and isinstance(handler.body[-1], ast.Raise)


def _special_objects(host: HostCode, model: str) -> Iterator[_Finding]:
    """Tensor subclasses, hooks, and methods that change what calling the model means."""
    for node in ast.walk(host.tree):
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                name = resolve(dotted(base) or "", host.known)
                if name.startswith("torch.") and name.split(".")[-1] in ("Tensor", "Parameter"):
                    expected = "plain tensors"
                    found = f"class {node.name} derives from {name}"
                    yield _finding("subclass", node.name, name, node.lineno, expected, found)
            for method in node.body:
                name = getattr(method, "name", "")
                if name in _SPECIAL_METHODS and isinstance(method, ast.FunctionDef):
                    expected = f"{model} called through forward"
                    found = f"{node.name} defines {name}"
                    yield _finding("subclass", node.name, name, method.lineno, expected, found)
        elif isinstance(node, ast.Attribute) and node.attr in _HOOKS:
            expected = "no hooks and no tensor subclasses"
            yield _finding("subclass", "", node.attr, node.lineno, expected, f".{node.attr}")
        elif isinstance(node, ast.Call) and dotted(node.func) == "type" and len(node.args) == 3:
            found = f"a class made by {ast.unparse(node)[:60]}"
            yield _finding("subclass", "", found, node.lineno, "classes in the open", found)

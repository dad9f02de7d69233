"""Torch doing the work: host calls of a candidate that compute and that its parent has not."""

from __future__ import annotations

import ast
from collections import Counter

from warpwright.program.dotted_names import dotted, plain_aliases, program_of, resolve
from warpwright.program.host_calls import HostCall, host_calls
from warpwright.program.parsing import expression_of
from warpwright.program.torch_calls import CallKind
from warpwright.types.launch_trace import Trace
from warpwright.types.program import ProgramView
from warpwright.types.verdict import Violation
from warpwright.verifier.checks.other_tensor_branches import untaken


def torch_work(
    parent: ProgramView, child: ProgramView, trace: Trace | None = None
) -> tuple[list[Violation], list[str]]:
    """Host calls that compute what a kernel should: `F.conv2d`, `x @ w`, a submodule.

    Each call answers one of the parent's: the same operator in the same function under the
    same conditions or under none there, or anywhere where the function was renamed. A submodule
    that the parent calls inside a container answers too. What answers none is new.

    `trace`, of the candidate on the problem's inputs, clears a way for tensors of another kind
    (`if not x.is_cuda`) that was not taken: it is told.
    """
    before = [call for call in host_calls(parent.source) if call.computes]
    after = [call for call in host_calls(child.source) if call.computes]
    old_functions = {call.function for call in host_calls(parent.source)}
    new_functions = {call.function for call in host_calls(child.source)}
    exact = Counter((call.function, _operator(call), call.guard) for call in before)
    left = []
    notes = []
    for call in after:
        place = (call.function, _operator(call), call.guard)
        if exact[place] > 0:
            exact[place] -= 1
            notes.append(f"inherited from the parent: {_told(call)}")
        elif exact[call.function, _operator(call), None] > 0:
            exact[call.function, _operator(call), None] -= 1
            notes.append(f"inherited from the parent, which does it always: {_told(call)}")
        elif _on_host_numbers(call):
            notes.append(f"{_told(call)}, on numbers of the host")
        else:
            left.append(call)
    moved: Counter[tuple[str, str | None]] = Counter()
    for (where, name, guard), count in exact.items():
        if where not in new_functions:
            moved[name, guard] += count
    contained = _contained(parent, exact)
    new_modules = _constructed(child) - _constructed(parent)
    violations = []
    for call in left:
        if contained[_operator(call)] > 0 and " (" in call.name:
            contained[_operator(call)] -= 1
            notes.append(f"inherited from the parent, in a container there: {_told(call)}")
            continue
        if _operator(call) in _CONTAINERS and not new_modules:
            notes.append(f"a container of what the parent has too: {_told(call)}")
            continue
        if call.function not in old_functions and moved[_operator(call), call.guard] > 0:
            moved[_operator(call), call.guard] -= 1
            notes.append(f"inherited from the parent: {_told(call)}")
            continue
        if trace is not None and untaken(call, child.source, trace):
            notes.append(f"for tensors of another kind than the problem's: {_told(call)}")
            continue
        expected = "the work done by the program's own kernels"
        violations.append(Violation("integrity.torch_work", call.line, expected, _told(call)))
    return violations, [*notes, *_copies(parent, child)]


_COPIES = frozenset({CallKind.COPY, CallKind.PADDING})


def _copies(parent: ProgramView, child: ProgramView) -> list[str]:
    """Copies that the candidate makes in each call and the parent does not: no work of a kernel,
    but time and bytes all the same. Where there is no parent there is nothing to say it beside."""
    if not parent.kernels:
        return []

    def made(view: ProgramView) -> list[HostCall]:
        return [c for c in host_calls(view.source) if c.kind in _COPIES and c.reachable]

    before = Counter(_operator(call) for call in made(parent))
    notes = []
    for call in made(child):
        if before[_operator(call)] > 0:
            before[_operator(call)] -= 1
        else:
            notes.append(f"{call.text[:80]}: a copy in each call; its time and bytes count")
    return notes


def _contained(
    parent: ProgramView, unanswered: Counter[tuple[str, str, str | None]]
) -> Counter[str]:
    """Submodules that the parent makes, where it calls a container that the candidate does not."""
    if any(name in _CONTAINERS and count > 0 for (_, name, _), count in unanswered.items()):
        return _constructed(parent)
    return Counter()


def _constructed(view: ProgramView) -> Counter[str]:
    """How often the host code makes each `nn.Something`."""
    program = program_of(view.source)
    found: Counter[str] = Counter()
    known = plain_aliases(program) if program is not None else {}
    for node in ast.walk(program.tree) if program is not None else ():
        name = resolve(dotted(node.func) or "", known) if isinstance(node, ast.Call) else ""
        if name.startswith("torch.nn.") and name.split(".")[-1][:1].isupper():
            found[name.split(".")[-1].replace("_", "").lower()] += 1
    return found


_CONTAINERS = frozenset({"sequential", "modulelist", "moduledict"})


def _told(call: HostCall) -> str:
    where = "" if call.guard is None else f", where {call.guard}"
    return f"{call.name} computes in {call.function}{where}"


def _operator(call: HostCall) -> str:
    """One name for `F.max_pool2d`, `torch.max_pool2d` and `nn.MaxPool2d (self.pool)`."""
    name = call.name.split(" (")[0].split(".")[-1].replace("_", "").lower()
    return name.removesuffix("=")  # `out += x` and `out = out + x`


_NUMBER_OPERATORS = frozenset({"sqrt", "rsqrt", "exp", "log", "pow", "prod"})


def _on_host_numbers(call: HostCall) -> bool:
    """`torch.sqrt(torch.tensor(2.0))`: arithmetic on a number, written with a tensor."""
    if _operator(call) not in _NUMBER_OPERATORS:
        return False
    tree = expression_of(call.text)
    if not isinstance(tree, ast.Call):
        return False
    operands = [*tree.args, *([tree.func.value] if isinstance(tree.func, ast.Attribute) else [])]
    return any(
        isinstance(operand, ast.Call) and dotted(operand.func) == "torch.tensor"
        for operand in operands
    )

"""specialise: run-time integers of a kernel that never change become compile-time constants.

    def kernel(x_ptr, N, H, stride, …):    →    def kernel(x_ptr, N, H: tl.constexpr, …):

Applies to integer parameters that have one value in all launches of the problem and do not follow
from a batch size (`varying`), which stays a run-time value so that another batch needs no new
compilation; nor does what differs between the cases that the program comes with. Other values
still work: Triton compiles once for each set of constants. Refuses a parameter that the kernel
assigns, that is listed in `do_not_specialize`, that is annotated with a 64-bit type, or whose
folded arithmetic could differ by a bit (`constants`). Lines that only tell the compiler of such a
value (`tl.multiple_of(N, 8)`) go, as Triton takes none of a constant. Bit-equal.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from warpwright.program.launches import LaunchNode, find_launches
from warpwright.program.parsed import ParsedProgram, parse_program
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    argument_values,
    kernel_text,
    kernels_of,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite
from warpwright.proposers.rewrites.common.splice import (
    Splice,
    inserted_after,
    replaced,
    spliced,
    whole_lines,
)
from warpwright.proposers.rewrites.specialise.constants import is_hint, unfit_parameters
from warpwright.proposers.rewrites.specialise.varying import Constancy, HostValues, flat
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Move
from warpwright.types.launch_trace import Launch, ScalarArgument
from warpwright.types.program import ProgramView

NAME = "specialise"
_NARROW = {"int", "int32", "i32", "tl.int32"}


def find(view: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move a kernel, with every parameter that may become a constant."""
    program = parse_program(view.source)
    host: HostValues | None = None
    moves = []
    for call, kernel in kernels_of(view.source, calls):
        values = steady_values(call.launches)
        if not values:
            continue
        host = host or HostValues(program)
        varying = varying_parameters(program, host, kernel, values) | call.varying
        candidates = {
            parameter.arg: values[parameter.arg]
            for parameter in kernel.parameters
            if parameter.arg in values and parameter.arg not in varying
            and _may_annotate(kernel, parameter)
        }  # fmt: skip
        known = {name: max(found) for name, found in argument_values(call).items()}
        unfit = unfit_parameters(kernel, candidates, known)
        names = tuple(name for name in candidates if name not in unfit)
        if names:
            moves.append(Move(NAME, call.name, (("parameters", names),)))
    return tuple(moves)


def apply(source: str, move: Move) -> str:
    """The source with the parameters annotated. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    names = _names_of(move)
    by_name = {parameter.arg: parameter for parameter in kernel.parameters}
    constexpr = kernel.builtin("constexpr")
    assigned = {
        node.id
        for statement in kernel.node.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    splices: list[Splice] = []
    for name in names:
        parameter = by_name.get(name)
        if parameter is None:
            raise DoesNotApply(f"{move.kernel} has no parameter {name}")
        if kernel.is_constexpr(parameter):
            raise DoesNotApply(f"{name} of {move.kernel} is a constant already")
        if not _may_annotate(kernel, parameter) or name in _unspecialised(kernel):
            raise DoesNotApply(f"{name} of {move.kernel} is declared as a run-time value")
        if name in assigned:
            raise DoesNotApply(f"{move.kernel} assigns its parameter {name}")
        if parameter.annotation is not None:
            splices.append(replaced(parameter.annotation, constexpr))
        else:
            splices.append(inserted_after(parameter, f": {constexpr}"))
    splices += [
        whole_lines(node, node, "")
        for node in ast.walk(kernel.node)
        if isinstance(node, ast.Expr) and is_hint(kernel, node, names)
    ]
    return spliced(source, splices)


def _names_of(move: Move) -> tuple[str, ...]:
    names = move.argument("parameters")
    if not isinstance(names, tuple) or not names:
        raise DoesNotApply("the move names no parameters")
    return tuple(str(name) for name in names)


def steady_values(launches: Sequence[Launch]) -> dict[str, int]:
    """Run-time integers with one value in all launches, by parameter."""
    found: dict[str, int] = {}
    for name in launches[0].arguments if launches else ():
        given = [launch.arguments.get(name) for launch in launches]
        seen = {
            argument.value
            for argument in given
            if isinstance(argument, ScalarArgument) and type(argument.value) is int
        }
        hidden = any(name in launch.unspecialized for launch in launches)
        whole = all(isinstance(a, ScalarArgument) and type(a.value) is int for a in given)
        if whole and len(seen) == 1 and not hidden:
            found[name] = int(seen.pop())
    return found


def varying_parameters(
    program: ParsedProgram, host: HostValues, kernel: KernelText, names: Iterable[str]
) -> set[str]:
    """Parameters that follow from a batch at some launch, or whose argument cannot be read."""
    sites = [node for node in find_launches(program) if node.kernel == kernel.node.name]
    found = set(names) if not sites else set()
    for site in sites:
        arguments = _arguments(kernel, site)
        for name in names:
            argument = arguments.get(name)
            if argument is None:
                default = _has_default(kernel, name) and not arguments.get("**")
                if not default:
                    found.add(name)
            elif flat(host.origin(argument, site.function)) is not Constancy.FIXED:
                found.add(name)
    return found


def _arguments(kernel: KernelText, site: LaunchNode) -> dict[str, ast.expr]:
    """Arguments of a launch by parameter. What follows a starred one is found from the right."""
    call = site.call
    keywords = {keyword.arg or "**": keyword.value for keyword in call.keywords}
    names = [parameter.arg for parameter in kernel.parameters]
    stars = [i for i, argument in enumerate(call.args) if isinstance(argument, ast.Starred)]
    if not stars:
        return {**dict(zip(names, call.args, strict=False)), **keywords}
    before = dict(zip(names, call.args[: stars[0]], strict=False))
    if len(stars) > 1:
        return {**before, **keywords}
    # Positional arguments end where keywords, or the constants of configs, begin.
    constants = kernel.constants
    taken = next((i for i, n in enumerate(names) if n in keywords or n in constants), len(names))
    after = call.args[stars[0] + 1 :]
    starred = call.args[stars[0]]
    assert isinstance(starred, ast.Starred)
    middle = names[stars[0] : taken - len(after)]
    before |= dict.fromkeys(middle, starred.value)
    before |= dict(zip(names[taken - len(after) : taken], after, strict=False))
    return {**before, **keywords}


def _has_default(kernel: KernelText, name: str) -> bool:
    arguments = kernel.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    with_default = positional[len(positional) - len(arguments.defaults) :]
    return name in {argument.arg for argument in with_default}


def _may_annotate(kernel: KernelText, parameter: ast.arg) -> bool:
    """Whether nothing is said of the type that a constant would change."""
    if kernel.is_constexpr(parameter):
        return False
    annotation = parameter.annotation
    if annotation is None:
        return True
    if isinstance(annotation, ast.Constant):
        return str(annotation.value) in _NARROW
    return ast.unparse(annotation).split(".")[-1] in _NARROW


def _unspecialised(kernel: KernelText) -> set[str]:
    """Names, and positions told as names, in the decorator's `do_not_specialize`."""
    nodes = kernel.program.kernels
    decorator = next((k.jit for k in nodes if k.node.name == kernel.node.name), None)
    found: set[str] = set()
    if not isinstance(decorator, ast.Call):
        return found
    names = [parameter.arg for parameter in kernel.parameters]
    for keyword in decorator.keywords:
        if keyword.arg is None or not keyword.arg.startswith("do_not_specialize"):
            continue
        for node in ast.walk(keyword.value):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.Constant) and isinstance(node.value, int):
                found.add(names[node.value])
    return found


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "sizes that no batch changes became compile-time constants ({parameters}): the "
        "compiler knows their values; other values compile the kernel anew and stay "
        "right",
        place=10,
        worth=1.2,
        makes_ready=True,
        alone=False,
    ),
)

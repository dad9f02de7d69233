"""The host's half of `widen`: fewer programs along one axis, each for several of the old ones."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from warpwright.program.launches import LaunchNode, find_launches, grid_values
from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names
from warpwright.proposers.rewrites.common.known_launches import check_known_launches
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.splice import Splice, inserted_after, replaced


def widened_launches(kernel: KernelText, axis: int, rows: str, most: int) -> Iterator[Splice]:
    """Each launch with `grid[axis]` over `most` where that divides it, which the kernel is told.

    Raises DoesNotApply where a grid is no tuple, or a launch shares its line.
    """
    launches = [one for one in find_launches(kernel.program) if one.kernel == kernel.node.name]
    if not launches:
        raise DoesNotApply(f"no launch of {kernel.node.name} is in the program")
    check_known_launches(kernel)
    every = find_launches(kernel.program)
    taken = {node.id for node in ast.walk(kernel.program.tree) if isinstance(node, ast.Name)}
    for launch in launches:
        if len({one.kernel for one in every if one.call is launch.call}) > 1:
            raise DoesNotApply("one call launches one of several kernels")
        yield from _launch(kernel, launch, axis, rows, most, taken)


def parameter(kernel: KernelText, name: str) -> Splice:
    """One more constant at the end of the kernel's parameters."""
    arguments = kernel.node.args
    if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or not arguments.args:
        raise DoesNotApply(f"{kernel.node.name} takes more than plain parameters")
    last: ast.expr | ast.arg = arguments.defaults[-1] if arguments.defaults else arguments.args[-1]
    return inserted_after(last, f", {name}: {kernel.builtin('constexpr')} = 1")


def _launch(
    kernel: KernelText, launch: LaunchNode, axis: int, rows: str, most: int, taken: set[str]
) -> Iterator[Splice]:
    statement = _statement_of(kernel, launch.call)
    margin = lines_of(kernel.source)[statement.lineno - 1][: statement.col_offset]
    if margin.strip() or any(keyword.arg is None for keyword in launch.call.keywords):
        raise DoesNotApply("the launch does not stand in lines of its own")
    func = launch.call.func
    if not isinstance(func, ast.Subscript) or launch.grid is None:
        raise DoesNotApply("the launch names its grid in another way")
    values = grid_values(launch)
    value = values[0] if len(values) == 1 else None
    head, body = "", value
    if isinstance(value, ast.Lambda):
        words = [argument.arg for argument in value.args.args]
        if len(words) != 1:
            raise DoesNotApply("the grid is a function of more than the config")
        head, body = f"lambda {words[0]}: ", value.body
    if not isinstance(body, ast.Tuple) or axis >= len(body.elts):
        raise DoesNotApply("the grid is no tuple")
    if any(isinstance(side, ast.Starred) for side in body.elts):
        raise DoesNotApply("the grid is no plain tuple")
    side = body.elts[axis]
    names = {node.id for node in ast.walk(side) if isinstance(node, ast.Name)}
    if head and names & set(words):
        raise DoesNotApply("the number of programs follows from the config")
    _check_same(launch, {n.id for n in ast.walk(body) if isinstance(n, ast.Name)})
    count = _free("programs", taken)
    each = _free(rows.lower(), taken)
    sides = [ast.unparse(one) for one in body.elts]
    sides[axis] = f"{count} // {each}"
    grid = f"{head}({', '.join(sides)}{',' if len(sides) == 1 else ''})"
    lines = [
        "# A program takes so many neighbours at once.",
        f"{count} = {ast.unparse(side)}",
        f"{each} = {most} if {count} % {most} == 0 else 1",
    ]
    where = (statement.lineno, 0)
    yield Splice(where, where, "".join(f"{margin}{line}\n" for line in lines))
    yield replaced(launch.grid, grid)
    given = [*launch.call.args, *(keyword.value for keyword in launch.call.keywords)]
    last = max(given, key=lambda node: (node.end_lineno or 0, node.end_col_offset or 0))
    yield inserted_after(last, f", {rows}={each}")


def _check_same(launch: LaunchNode, names: set[str]) -> None:
    """Raises DoesNotApply where the grid may have been made of other values than at the launch."""
    if not launch.definitions:
        return
    function = launch.function
    if function is None or not set(launch.definitions) <= set(ast.walk(function.node)):
        raise DoesNotApply("the grid is made outside a function")
    first = launch.definitions[0].lineno
    nodes = [n for n in ast.walk(function.node) if isinstance(n, ast.stmt)]
    between = [n for n in nodes if first < n.lineno <= launch.call.lineno]
    inside = [n for n in between if not any(n is not m and n in ast.walk(m) for m in between)]
    if names & set(stored_names(inside)):
        raise DoesNotApply("a size of the grid changes before the launch")
    loops = [n for n in nodes if isinstance(n, ast.For | ast.While)]
    if any(launch.call in ast.walk(n) and launch.definitions[0] not in ast.walk(n) for n in loops):
        raise DoesNotApply("the kernel is launched in a loop")


def _statement_of(kernel: KernelText, call: ast.Call) -> ast.stmt:
    found: ast.stmt | None = None
    for node in ast.walk(kernel.program.tree):
        if isinstance(node, ast.stmt) and any(inner is call for inner in ast.walk(node)):
            found = node  # walks from the outside in
    if not isinstance(found, ast.Expr | ast.Assign | ast.Return):
        raise DoesNotApply("the launch does not stand in a statement of its own")
    return found


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name

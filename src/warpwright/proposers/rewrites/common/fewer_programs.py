"""The host's half: each launch asks for fewer programs, and says how many there were."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Mapping, Sequence

from warpwright.program.launches import LaunchNode, find_launches, grid_values
from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names
from warpwright.proposers.rewrites.common.known_launches import check_known_launches
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.splice import Splice, inserted_after, replaced


def launch_splices(kernel: KernelText, axis: int, lanes: int, count: str) -> Iterator[Splice]:
    """The changes of every launch of the kernel. Raises DoesNotApply where a grid is no plain one.

    A grid of `(B * N,)` becomes `(triton.cdiv(B * N, lanes),)`, and `count=B * N` is passed.
    """
    launches = [launch for launch in find_launches(kernel.program)
                if launch.kernel == kernel.node.name]  # fmt: skip
    if not launches:
        raise DoesNotApply(f"no launch of {kernel.node.name} is in the program")
    if kernel.program.aliases.path(ast.Name("triton", ast.Load())) != "triton":
        raise DoesNotApply("the program does not import triton under its name")
    check_known_launches(kernel)
    every = find_launches(kernel.program)
    for launch in launches:
        if len({one.kernel for one in every if one.call is launch.call}) > 1:
            raise DoesNotApply("one call launches one of several kernels")
        yield from _launch(kernel, launch, axis, lanes, count)


def parameter_splice(kernel: KernelText, count: str) -> Splice:
    """One parameter more, behind the others."""
    arguments = kernel.node.args
    if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or not arguments.args:
        raise DoesNotApply(f"{kernel.node.name} takes more than plain parameters")
    if arguments.defaults:
        return inserted_after(arguments.defaults[-1], f", {count}=0")
    last, first = arguments.args[-1], arguments.args[0]
    before = lines_of(kernel.source)[last.lineno - 1].encode()[: last.col_offset]
    if last.lineno != first.lineno and not before.strip():
        return inserted_after(last, f",\n{before.decode()}{count}")
    return inserted_after(last, f", {count}")


def _launch(
    kernel: KernelText, launch: LaunchNode, axis: int, lanes: int, count: str
) -> Iterator[Splice]:
    call = launch.call
    if not isinstance(call.func, ast.Subscript) or not (call.args or call.keywords):
        raise DoesNotApply("a launch is not of the form kernel[grid](…)")
    if any(k.arg is None for k in call.keywords) or any(
        isinstance(a, ast.Starred) for a in call.args
    ):
        raise DoesNotApply(f"a launch of {kernel.node.name} passes a splatted list of arguments")
    extents = grid_extents(launch)
    if axis >= len(extents):
        raise DoesNotApply("the grid has fewer axes than the kernel")
    programs = ast.unparse(extents[axis])
    written = [ast.unparse(extent) for extent in extents]
    written[axis] = f"triton.cdiv({programs}, {lanes})"
    grid = f"({', '.join(written)}{',' if len(written) == 1 else ''})"
    yield replaced(call.func.slice, grid)
    yield _argument(kernel, call, f"{count}={programs}")


def grid_extents(launch: LaunchNode) -> Sequence[ast.expr]:
    """The extents of the grid where the launch stands. Raises DoesNotApply."""
    values = grid_values(launch)
    if len(values) != 1:
        raise DoesNotApply("the grid is not one expression")
    grid, late = values[0], isinstance(values[0], ast.Lambda)
    if isinstance(grid, ast.Lambda):
        meta = {argument.arg for argument in grid.args.args}
        grid = _WithConstants(meta, launch.call).visit(copy.deepcopy(grid.body))
        if meta & {node.id for node in ast.walk(grid) if isinstance(node, ast.Name)}:
            raise DoesNotApply("the grid depends on the config")
    if not isinstance(grid, ast.Tuple) or any(isinstance(e, ast.Starred) for e in grid.elts):
        raise DoesNotApply("the grid is no plain tuple")
    if launch.definitions:
        _check_same_values(launch, grid, late=late)
    return grid.elts


class _WithConstants(ast.NodeTransformer):
    """`meta["BLOCK"]` of a grid becomes what the launch passes as `BLOCK`."""

    def __init__(self, meta: set[str], call: ast.Call) -> None:
        self._meta = meta
        self._passed: Mapping[str, ast.expr] = {
            keyword.arg: keyword.value
            for keyword in call.keywords
            if keyword.arg and isinstance(keyword.value, ast.Name | ast.Constant)
        }

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        is_meta = isinstance(node.value, ast.Name) and node.value.id in self._meta
        if is_meta and isinstance(node.slice, ast.Constant):
            return self._passed.get(str(node.slice.value), node)
        self.generic_visit(node)
        return node


def _check_same_values(launch: LaunchNode, grid: ast.Tuple, *, late: bool) -> None:
    """Refuses a grid of names that the host assigns again behind it: where the launch stands they
    may mean something else than where the grid is written. A function is worked out there (`late`).
    """
    function = launch.function.node if launch.function else None
    if function is None or not set(launch.definitions) <= set(ast.walk(function)):
        raise DoesNotApply("the grid is written outside of the launch's function")
    if late:
        return
    names = {node.id for node in ast.walk(grid) if isinstance(node, ast.Name)}
    first = launch.definitions[0].lineno
    nodes = [node for node in ast.walk(function) if isinstance(node, ast.stmt)]
    between = [node for node in nodes if first <= node.lineno <= launch.call.lineno]
    if again := names & set(stored_names(between)):
        raise DoesNotApply(f"{', '.join(sorted(again))} is assigned more than once")
    loops = [node for node in nodes if isinstance(node, ast.For | ast.While)]
    around = [loop for loop in loops if launch.call in ast.walk(loop)]
    if any(names & set(stored_names([loop])) for loop in around):
        raise DoesNotApply("the kernel is launched in a loop that changes its grid")


def _argument(kernel: KernelText, call: ast.Call, text: str) -> Splice:
    """One argument more, on a line of its own where the last one stands on one."""
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    places = sorted(arguments, key=lambda a: (a.end_lineno or 0, a.end_col_offset or 0))
    first, last = places[0], places[-1]
    if first.lineno != last.lineno and last.end_lineno != call.end_lineno:
        line = lines_of(kernel.source)[(last.end_lineno or 1) - 1]
        margin = line[: len(line) - len(line.lstrip())]
        return inserted_after(last, f",\n{margin}{text}")
    return inserted_after(last, f", {text}")

"""The host's half of `split-rows`: two launches for one, and a tensor for the totals of parts."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from warpwright.program.launches import LaunchNode, find_launches
from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.common.fewer_programs import grid_extents
from warpwright.proposers.rewrites.common.kernel_text import KernelText, stored_names
from warpwright.proposers.rewrites.common.known_launches import check_known_launches
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.splice import Splice
from warpwright.proposers.rewrites.common.statement_text import INDENT, MAX_COLUMNS, indented
from warpwright.proposers.rewrites.outer.arithmetic import product
from warpwright.proposers.rewrites.split_rows.long_loop import Total
from warpwright.proposers.rewrites.split_rows.two_kernels import SplitNames, sizes_of

_PURE = frozenset({
    "stride", "size", "numel", "dim", "element_size", "to", "contiguous", "view", "reshape",
    "flatten", "cdiv", "next_power_of_2", "min", "max", "int", "float", "bool", "len", "abs",
})  # fmt: skip
"""Functions that change nothing: what a launch passes is written in two launches."""


def rank_of(kernel: KernelText) -> int:
    """The axes of the grid of all launches. Raises DoesNotApply where they differ."""
    ranks = {len(grid_extents(launch)) for launch in _launches(kernel)}
    if len(ranks) != 1:
        raise DoesNotApply("the launches have grids of several ranks")
    return ranks.pop()


def split_launches(
    kernel: KernelText, names: SplitNames, totals: Sequence[Total], parts: int, tensor: str
) -> Iterator[Splice]:
    """Each launch as two, with `parts` programs for each one before.

    `tensor`: a parameter that is a tensor on the device. Raises DoesNotApply.
    """
    if kernel.program.aliases.path(ast.Name("torch", ast.Load())) != "torch":
        raise DoesNotApply("the program does not import torch under its name")
    for launch in _launches(kernel):
        yield _launch(kernel, launch, names, totals, parts, tensor)
    check_known_launches(kernel)


def _launches(kernel: KernelText) -> list[LaunchNode]:
    every = find_launches(kernel.program)
    found = [launch for launch in every if launch.kernel == kernel.node.name]
    if not found:
        raise DoesNotApply(f"no launch of {kernel.node.name} is in the program")
    return found


def _launch(
    kernel: KernelText,
    launch: LaunchNode,
    names: SplitNames,
    totals: Sequence[Total],
    parts: int,
    tensor: str,
) -> Splice:
    statement = _statement_of(kernel, launch)
    extents = grid_extents(launch)
    passed = _arguments(kernel, launch)
    device = passed.get(tensor)
    if not isinstance(device, ast.Name):
        raise DoesNotApply(f"the launch passes no name for {tensor}")
    margin = lines_of(kernel.source)[statement.lineno - 1][: statement.col_offset]
    if margin.strip():
        raise DoesNotApply("the launch does not stand in lines of its own")
    host = launch.function.node if launch.function else kernel.program.tree
    taken = {node.id for node in ast.walk(host) if isinstance(node, ast.Name)}
    taken |= {node.arg for node in ast.walk(host) if isinstance(node, ast.arg)}
    scratch = [_free(name, taken) for name in names.tensors]
    count = ast.unparse(product(list(extents)))
    lines = [f"# {parts} programs share the steps of one, and a second kernel adds up their parts."]
    for name, one in zip(scratch, totals, strict=True):
        shape = ", ".join([count, str(parts), *sizes_of(one, passed)])
        where = f"device={device.id}.device, dtype=torch.float32"
        lines.append(f"{name} = torch.empty(({shape}), {where})")
    texts = [ast.unparse(a) for a in launch.call.args]
    texts += [f"{k.arg}={ast.unparse(k.value)}" for k in launch.call.keywords]
    texts += [f"{a}={b}" for a, b in zip(names.tensors, scratch, strict=True)]
    texts.append(f"{names.parts}={parts}")
    room = MAX_COLUMNS - len(margin)
    sides = [ast.unparse(extent) for extent in extents]
    lines += _call(kernel.node.name, [*sides, str(parts)], texts, room)
    lines += _call(names.second, sides, texts, room)
    lines = _chosen(kernel, launch, statement, margin, lines)
    text = "".join(f"{line}\n" for line in indented(lines, margin))
    return Splice((statement.lineno, 0), ((statement.end_lineno or 0) + 1, 0), text)


def _chosen(
    kernel: KernelText, launch: LaunchNode, statement: ast.stmt, margin: str, lines: list[str]
) -> list[str]:
    """The lines; where the call may launch other kernels, the host asks which, and each gets a call
    of its own."""
    every = find_launches(kernel.program)
    others = [one.kernel for one in every if one.call is launch.call and one is not launch]
    others = [name for name in dict.fromkeys(others) if name != kernel.node.name]
    if not others:
        return lines
    assert isinstance(launch.call.func, ast.Subscript)
    name = launch.call.func.value
    known = {kernel.node.name, *others}
    if not isinstance(name, ast.Name) or not _stands_for(launch, name.id, known):
        raise DoesNotApply("the host does not say which kernel a call launches")
    old = lines_of(kernel.source)[statement.lineno - 1 : statement.end_lineno]
    kept = [line.removeprefix(margin) for line in old]
    text = [f"if {name.id} is {kernel.node.name}:", *indented(lines, INDENT)]
    for other in others:
        head = "else:" if other == others[-1] else f"elif {name.id} is {other}:"
        text += [head, *indented([other + kept[0].removeprefix(name.id), *kept[1:]], INDENT)]
    return text


def _stands_for(launch: LaunchNode, name: str, known: set[str]) -> bool:
    """Whether the host gives the name nothing but these kernels."""
    if launch.function is None:
        return False
    node = launch.function.node
    values = [
        side
        for one in ast.walk(node)
        if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == name
        for side in _sides(one.value)
    ]
    stores = stored_names([node]).count(name)
    plain = all(isinstance(value, ast.Name) and value.id in known for value in values)
    return plain and len(values) >= stores > 0


def _sides(value: ast.expr) -> list[ast.expr]:
    if isinstance(value, ast.IfExp):
        return [*_sides(value.body), *_sides(value.orelse)]
    return [value]


def _call(name: str, sides: Sequence[str], texts: Sequence[str], room: int) -> list[str]:
    """A launch in one line, or with an argument a line."""
    head = f"{name}[({', '.join(sides)}{',' if len(sides) == 1 else ''})]("
    line = f"{head}{', '.join(texts)})"
    if len(line) <= room:
        return [line]
    return [head, *(f"{INDENT}{text}," for text in texts), ")"]


def _statement_of(kernel: KernelText, launch: LaunchNode) -> ast.Expr:
    """The statement that is the launch, of the form `kernel[grid](…)`. Raises DoesNotApply."""
    call = launch.call
    if not isinstance(call.func, ast.Subscript):
        raise DoesNotApply("a launch is not of the form kernel[grid](…)")
    found = [
        n for n in ast.walk(kernel.program.tree) if isinstance(n, ast.Expr) and n.value is call
    ]
    if len(found) != 1:
        raise DoesNotApply("the launch does not stand in a statement of its own")
    return found[0]


def _arguments(kernel: KernelText, launch: LaunchNode) -> Mapping[str, ast.expr]:
    """What the launch passes, by parameter; names and numbers that may be read twice."""
    call, arguments = launch.call, kernel.node.args
    splatted = any(isinstance(a, ast.Starred) for a in call.args)
    if splatted or any(k.arg is None for k in call.keywords):
        raise DoesNotApply(f"a launch of {kernel.node.name} passes a splatted list of arguments")
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    passed = dict(zip(names, call.args, strict=False))
    passed |= {k.arg: k.value for k in call.keywords if k.arg is not None}
    for value in [*passed.values(), *grid_extents(launch)]:
        if not all(map(_only_says, ast.walk(value))):
            raise DoesNotApply(f"{ast.unparse(value)} may do more than say a value")
    return passed


def _only_says(node: ast.AST) -> bool:
    """Whether an expression may be worked out twice, as far as this node of it goes."""
    if isinstance(node, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom):
        return False
    if not isinstance(node, ast.Call):
        return True
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name in _PURE


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name

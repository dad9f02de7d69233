"""Taking out of a kernel's launches what its configs are about to set."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import takewhile

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from warpwright.errors import InputError, Place
from warpwright.program.edit.tree import Change, parse_tree, replace_nodes
from warpwright.program.launches import LaunchNode, find_launches
from warpwright.program.normal_form import Definitions, position_of
from warpwright.program.parsed import ParsedProgram
from warpwright.program.parsing import SECTION, lines_of, text_of

OPTIONS = ("num_warps", "num_stages", "num_ctas")
"""Every config sets these, with Triton's defaults where it does not say them."""


def free_launches(
    source: str, program: ParsedProgram, kernel: str, names: set[str], sets_registers: bool
) -> str:
    """The source whose launches of `kernel` pass none of `names` and none of the options.

    `names`: meta-parameters that the configs set. `sets_registers`: they set `maxnreg` too.
    Raises `InputError` where a launch may hide them in `*args` or `**kwargs`, or where
    host code uses the value of a meta-parameter beyond the grid.
    """
    parameters = _parameters(program, kernel)
    taken = names | set(OPTIONS) | ({"maxnreg"} if sets_registers else set())
    tree = parse_tree(source)
    nodes = _nodes_by_place(tree)
    changes: dict[cst.CSTNode, Change] = {}
    for launch in (launch for launch in find_launches(program) if launch.kernel == kernel):
        call = nodes.get(("Call", *_place(source, launch.call)))
        if call is None:
            raise _refusal(launch, "a launch that stands in plain sight")
        passed = _passed(launch, parameters, names)
        given = {name: value for name, value in passed.items() if name in names}
        if given:
            changes.update(_grid_change(nodes, source, program, launch, given))
        if set(passed) & taken:
            changes[call] = partial(_without, parameters=parameters, taken=taken)
    return replace_nodes(tree, changes).code


def _parameters(program: ParsedProgram, kernel: str) -> list[str]:
    node = next(k.node for k in program.kernels if k.node.name == kernel)
    return [argument.arg for argument in [*node.args.posonlyargs, *node.args.args]]


def _passed(launch: LaunchNode, parameters: list[str], names: set[str]) -> dict[str, ast.expr]:
    """Arguments of a launch by name, options included.

    From `*args` on positions say nothing. Those of `names` must then be passed by keyword.
    """
    found: dict[str, ast.expr] = {}
    counted = _counted(isinstance(argument, ast.Starred) for argument in launch.call.args)
    for index, argument in enumerate(launch.call.args[:counted]):
        if index >= len(parameters):
            raise _refusal(launch, "positional arguments that can be counted")
        found[parameters[index]] = argument
    positional = set(found)
    for keyword in launch.call.keywords:
        if keyword.arg is None:
            raise _refusal(launch, "keyword arguments that are written out")
        found[keyword.arg] = keyword.value
    unpacked = counted < len(launch.call.args)
    if unpacked and (names & positional or names - found.keys()):
        raise _refusal(launch, "positional arguments that can be counted")
    return found


def _counted(starred: Iterable[bool]) -> int:
    """How many arguments stand before the first unpacked one."""
    return sum(1 for _ in takewhile(lambda star: not star, starred))


def _without(call: cst.CSTNode, *, parameters: list[str], taken: set[str]) -> cst.CSTNode:
    """The call without these arguments; positional ones after a gap become keywords."""
    assert isinstance(call, cst.Call)
    kept: list[cst.Arg] = []
    gap = False
    counted = _counted(argument.star == "*" for argument in call.args)
    for index, argument in enumerate(call.args):
        if argument.keyword is None and index >= counted:
            kept.append(argument)
            continue
        name = argument.keyword.value if argument.keyword else parameters[index]
        if name in taken:
            gap = gap or argument.keyword is None
            continue
        if gap and argument.keyword is None:
            equal = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
            argument = argument.with_changes(keyword=cst.Name(name), equal=equal)
        kept.append(argument)
    if kept and call.args and kept[-1] is not call.args[-1]:
        # What stands before the closing bracket stays as it was.
        last = call.args[-1]
        kept[-1] = kept[-1].with_changes(
            comma=last.comma, whitespace_after_arg=last.whitespace_after_arg
        )
    return call.with_changes(args=kept)


def _grid_change(
    nodes: Mapping[tuple[str, int, int], cst.CSTNode],
    source: str,
    program: ParsedProgram,
    launch: LaunchNode,
    given: Mapping[str, ast.expr],
) -> dict[cst.CSTNode, Change]:
    """The change that makes the grid read the given meta-parameters from `meta`."""
    value = _grid_value(launch)
    renamed: dict[str, str] = {}
    for name, argument in given.items():
        if isinstance(argument, ast.Name):
            if _used_beyond(program, launch, argument.id):
                raise _refusal(launch, f"{argument.id} used for {name} and the grid only")
            renamed[argument.id] = name
        elif value is not None and _mentions(launch, value, argument):
            raise _refusal(launch, f"a grid that takes {name} from a variable or from meta")
    if value is None:
        raise _refusal(launch, "a grid with one definition")
    used = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)} & set(renamed)
    if not used:
        return {}
    node = nodes.get((type(value).__name__, *_place(source, value)))
    if node is None:
        raise _refusal(launch, "a grid that is a tuple or a lambda")
    return {node: partial(_over_meta, names={name: renamed[name] for name in used})}


def _over_meta(grid: cst.CSTNode, *, names: Mapping[str, str]) -> cst.CSTNode:
    """`(cdiv(n, B),)` → `lambda meta: (cdiv(n, meta['BLOCK']),)`."""
    meta = "meta"
    if isinstance(grid, cst.Lambda) and grid.params.params:
        meta = grid.params.params[0].name.value
    changed = grid.visit(_Renamer({name: f"{meta}['{key}']" for name, key in names.items()}))
    if not isinstance(changed, cst.Tuple):
        assert isinstance(changed, cst.Lambda)
        return changed
    if not changed.lpar:
        changed = changed.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    return cst.Lambda(cst.Parameters([cst.Param(cst.Name(meta))]), changed)


def _grid_value(launch: LaunchNode) -> ast.expr | None:
    if not launch.definitions:
        return launch.grid
    definition = launch.definitions[0] if len(launch.definitions) == 1 else None
    return definition.value if isinstance(definition, (ast.Assign, ast.AnnAssign)) else None


def _used_beyond(program: ParsedProgram, launch: LaunchNode, name: str) -> bool:
    """Whether host code reads the variable anywhere but in the grid and this launch."""
    body = launch.function.node if launch.function else program.tree
    value = _grid_value(launch)
    allowed = {id(n) for n in ast.walk(launch.call)}
    allowed |= {id(n) for n in ast.walk(value)} if value is not None else set()
    stores = 0
    for node in ast.walk(body):
        if isinstance(node, ast.Name) and node.id == name:
            stores += isinstance(node.ctx, ast.Store)
            if isinstance(node.ctx, ast.Load) and id(node) not in allowed:
                return True
    return stores > 1


def _mentions(launch: LaunchNode, grid: ast.expr, value: ast.expr) -> bool:
    """Whether the grid, names resolved, contains the value as it is passed."""
    function = launch.function.node if launch.function else None
    if function is None:
        return True
    definitions = Definitions(function, function.body)
    body = grid.body if isinstance(grid, ast.Lambda) else grid
    place = position_of(launch.call)
    wanted = text_of(definitions.expand(value, place))
    resolved = definitions.expand(body, place)
    return any(isinstance(n, ast.expr) and text_of(n) == wanted for n in ast.walk(resolved))


class _Renamer(cst.CSTTransformer):
    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__()
        self._names = names

    def leave_Name(  # noqa: N802
        self, original_node: cst.Name, updated_node: cst.Name
    ) -> cst.BaseExpression:
        text = self._names.get(original_node.value)
        return updated_node if text is None else cst.parse_expression(text)


def _nodes_by_place(tree: cst.Module) -> dict[tuple[str, int, int], cst.CSTNode]:
    """Calls, tuples and lambdas by kind, line and column (in characters)."""
    positions = MetadataWrapper(tree, unsafe_skip_copy=True).resolve(PositionProvider)
    found: dict[tuple[str, int, int], cst.CSTNode] = {}
    for node, place in positions.items():
        if isinstance(node, (cst.Call, cst.Tuple, cst.Lambda)):
            found[(type(node).__name__, place.start.line, place.start.column)] = node
    return found


def _place(source: str, node: ast.expr) -> tuple[int, int]:
    """Line and column in characters; `ast` counts columns in UTF-8 bytes.

    libcst places a tuple behind its bracket, at its first element.
    """
    if isinstance(node, ast.Tuple) and node.elts:
        return _place(source, node.elts[0])
    line = lines_of(source)[node.lineno - 1]
    return node.lineno, len(line.encode()[: node.col_offset].decode(errors="replace"))


def _refusal(launch: LaunchNode, expected: str) -> InputError:
    return InputError(
        f"autotune cannot be added to kernel {launch.kernel}: its launch would conflict",
        place=Place(None, SECTION, launch.call.lineno),
        expected=expected,
        got=text_of(launch.call)[:200],
        hint="let the launch pass its arguments by name and its grid be a lambda over meta",
    )

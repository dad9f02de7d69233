"""Where host code uses the tile sizes that it passes to a launch: what must follow a new size.

The grid follows. Anything else that takes the size, or what was worked out from it, must agree with
the kernel (a buffer of one element a block), and is refused.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from warpwright.program.edit.texts import TextChange, instead_of, with_changes
from warpwright.program.launches import LaunchNode, find_launches
from warpwright.program.nodes import names_in, rounded_up
from warpwright.program.normal_form import Definitions, position_of
from warpwright.program.parsed import ParsedProgram
from warpwright.program.parsing import text_of
from warpwright.program.tiles.tile_parameters import TileReading, read_tiles

_CDIV = ("cdiv", "ceil_div", "ceildiv")
_DEEPEST = 12
_OPTIONS = ("num_warps", "num_stages", "num_ctas", "maxnreg")


class FixedTile(Exception):  # noqa: N818 - an answer, no error
    """A tile size that the host code cannot give up; the text says what was expected."""


@dataclass(frozen=True, slots=True)
class PassedTiles:
    """The tile sizes that a launch passes: parameter → the expression."""

    program: ParsedProgram
    launch: LaunchNode
    given: Mapping[str, ast.expr]

    @property
    def texts(self) -> dict[str, list[str]]:
        """Text of what is passed → the parameters that it is passed for."""
        found: dict[str, list[str]] = {}
        for name, node in self.given.items():
            found.setdefault(text_of(node), []).append(name)
        return found


def grid_changes(passed: PassedTiles, written: Callable[[str], str]) -> list[TextChange]:
    """The changes by which the launch's grid takes each tile size from what `written` says.

    (triton.cdiv(n, BLOCK),)   →   (triton.cdiv(n, meta['BLOCK']),)

    Names that stand between are put in their place. Raises FixedTile for a grid that is not
    written out, that divides by a tile size without rounding up, or of which it is not known
    which size it takes.
    """
    launch = passed.launch
    changes: list[TextChange] = []
    bodies = list(_grid_bodies(launch))
    if not bodies:
        raise FixedTile("a grid with a definition that can be read")
    for body, place in bodies:
        elements = body.elts if isinstance(body, ast.Tuple) else [body]
        for axis, element in enumerate(elements):
            changes += _Followed(passed, written, axis, place).changes(element)
    return changes


def check_grids_follow(passed: PassedTiles, names: Collection[str]) -> None:
    """Raises FixedTile where an axis of the grid that steps over one of these tiles of the kernel
    does not take its size: a number of blocks that stays as it is would cover too little."""
    tiles = reading_of(passed.program, passed.launch.kernel).tiles
    for body, place in _grid_bodies(passed.launch):
        for axis, element in enumerate(body.elts if isinstance(body, ast.Tuple) else [body]):
            taken: set[object] = {
                node.slice.value
                for node in ast.walk(element)
                if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
            }

            def noted(name: str, taken: set[object] = taken) -> str:
                taken.add(name)
                return name

            _Followed(passed, noted, axis, place).changes(element)
            for name in names:
                if name in tiles and axis in tiles[name].axes and name not in taken:
                    raise FixedTile(f"a grid that divides by {name}, rounding up")


def reads_meta(launch: LaunchNode) -> bool:
    """Whether the launch's grid is a function of META already."""
    return any(
        isinstance(node, (ast.Lambda, ast.FunctionDef)) for node in _grid_definitions(launch)
    )


def _grid_definitions(launch: LaunchNode) -> list[ast.AST]:
    if not launch.definitions:
        return [] if launch.grid is None else [launch.grid]
    found: list[ast.AST] = []
    for statement in launch.definitions:
        if isinstance(statement, ast.FunctionDef):
            found.append(statement)
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
            found.append(statement.value)
    return found


def plain_grids(launch: LaunchNode) -> list[ast.expr]:
    """The expressions of the launch's grid that are no functions."""
    return [n for n in _grid_definitions(launch) if isinstance(n, ast.expr) and not _is_lambda(n)]


def _is_lambda(node: ast.AST) -> bool:
    return isinstance(node, ast.Lambda)


def _grid_bodies(launch: LaunchNode) -> Iterator[tuple[ast.expr, tuple[int, int]]]:
    """Each expression that the grid is, and from where its names are read."""
    for node in _grid_definitions(launch):
        if isinstance(node, ast.Lambda):
            yield node.body, position_of(launch.call)
        elif isinstance(node, ast.FunctionDef):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return) and inner.value is not None:
                    yield inner.value, position_of(launch.call)
        elif isinstance(node, ast.expr):
            yield node, position_of(node)


class _Followed:
    """The changes in one extent of a grid."""

    def __init__(
        self,
        passed: PassedTiles,
        written: Callable[[str], str],
        axis: int,
        place: tuple[int, int],
    ) -> None:
        self.passed = passed
        self.written = written
        self.axis = axis
        self.place = place
        function = passed.launch.function
        tree = passed.program.tree
        body = function.node.body if function is not None else tree.body
        self.definitions = Definitions(function.node if function is not None else None, body)
        self.derived = derived_names(passed)

    def changes(self, node: ast.expr) -> list[TextChange]:
        return [instead_of(inner, text) for inner, text in self._places(node, self.place, 0)]

    def _places(
        self, node: ast.expr, place: tuple[int, int], depth: int
    ) -> Iterator[tuple[ast.expr, str]]:
        if text_of(node) in self.passed.texts and not isinstance(node, ast.Constant):
            self._refuse_bare()
        divisor = _divisor(node)
        size = None if divisor is None else self._size_in(divisor, place)
        if divisor is not None and size is not None:
            yield from self._rounded(node, divisor, size, place)
            yield from self._places(_dividend(node), place, depth)
            return
        if isinstance(node, ast.BinOp) and text_of(node.right) in self.passed.texts:
            self._refuse_bare()
        if isinstance(node, ast.Name) and node.id in self.derived:
            if depth > _DEEPEST:
                raise FixedTile("a grid whose names can be followed")
            found = self.definitions.lookup(node.id, place)
            if found is None:
                raise FixedTile(f"a grid in which {node.id} has one value")
            value, at = found
            text = self._expanded(value, (at[0], at[1] - 1), depth + 1)
            closed = isinstance(value, (ast.Call, ast.Name, ast.Attribute, ast.Subscript))
            yield node, text if closed else f"({text})"
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield from self._places(child, place, depth)

    def _expanded(self, value: ast.expr, place: tuple[int, int], depth: int) -> str:
        """The text of another expression of the host code, with its own changes made."""
        text = ast.unparse(value)
        fresh = ast.parse(text, mode="eval").body
        places = list(self._places(fresh, place, depth))
        return with_changes(text, [instead_of(node, new) for node, new in places])

    def _size_in(self, divisor: ast.expr, place: tuple[int, int]) -> ast.expr | None:
        """The tile size that a divisor is, or is some times of: `B`, `4 * B`."""
        if self._text_of(divisor, place) in self.passed.texts:
            return divisor
        if not isinstance(divisor, ast.BinOp) or not isinstance(divisor.op, ast.Mult):
            return None
        sizes = self._size_in(divisor.left, place), self._size_in(divisor.right, place)
        found = [size for size in sizes if size is not None]
        return found[0] if len(found) == 1 and not isinstance(found[0], ast.Constant) else None

    def _text_of(self, node: ast.expr, place: tuple[int, int]) -> str:
        """The text of an expression, or of what is looked up for a name: `B = options["B"]`."""
        if isinstance(node, ast.Name) and node.id in self.derived:
            found = self.definitions.lookup(node.id, place)
            if found is not None and isinstance(found[0], (ast.Subscript, ast.Attribute)):
                return text_of(found[0])
        return text_of(node)

    def _rounded(
        self, node: ast.expr, divisor: ast.expr, size: ast.expr, place: tuple[int, int]
    ) -> Iterator[tuple[ast.expr, str]]:
        """Every place of a tile size in a division that rounds up."""
        name = self._parameter(self._text_of(size, place))
        yield size, self.written(name)
        if isinstance(node, ast.BinOp):  # (n + B - 1) // B has it twice
            for inner in ast.walk(node.left):
                if isinstance(inner, ast.expr) and text_of(inner) == text_of(divisor):
                    again = self._size_in(inner, place)
                    assert again is not None
                    yield again, self.written(name)

    def _parameter(self, text: str) -> str:
        names = self.passed.texts[text]
        if len(names) > 1:
            kernel = self.passed.launch.kernel
            tiles = reading_of(self.passed.program, kernel).tiles
            names = [n for n in names if n in tiles and self.axis in tiles[n].axes] or names
        if len(names) > 1:
            raise FixedTile(f"a grid that shows whether it takes {' or '.join(names)}")
        return names[0]

    def _refuse_bare(self) -> None:
        raise FixedTile("a grid that divides by its tile sizes, rounding up, and no more")


def _divisor(node: ast.expr) -> ast.expr | None:
    """`B` of `triton.cdiv(n, B)` and `(n + B - 1) // B`."""
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func).split(".")[-1]
        return node.args[1] if name in _CDIV and len(node.args) == 2 else None
    if isinstance(node, ast.BinOp) and rounded_up(node) is not None:
        return node.right
    return None


def _dividend(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.Call):
        return node.args[0]
    assert isinstance(node, ast.BinOp)
    whole = rounded_up(node)
    assert whole is not None
    return whole


def reading_of(program: ParsedProgram, kernel: str) -> TileReading:
    """The tiles of a kernel of the program."""
    node = next(k.node for k in program.kernels if k.node.name == kernel)
    return read_tiles(node)


def derived_names(passed: PassedTiles) -> set[str]:
    """Names of the launch's function that are worked out from a tile size, less those passed."""
    sources = {n.id for n in passed.given.values() if isinstance(n, ast.Name)}
    texts = {text for text in passed.texts if not text.isidentifier()}
    found = set(sources)
    for _ in range(_DEEPEST):
        before = len(found)
        for names, value in _assignments(passed):
            if _takes(value, found, texts):
                found |= names
        if len(found) == before:
            break
    return found - sources


def _takes(value: ast.AST, names: set[str], texts: set[str]) -> bool:
    if names_in(value) & names:
        return True
    return any(
        ((divisor := _divisor(n)) is not None and text_of(divisor) in texts)
        or (isinstance(n, (ast.Subscript, ast.Attribute)) and text_of(n) in texts)
        for n in ast.walk(value)
        if isinstance(n, ast.expr)
    )


def _assignments(passed: PassedTiles) -> Iterator[tuple[set[str], ast.AST]]:
    """Names and values of the assignments around the launch, but for the one of its grid."""
    own = {id(statement) for statement in passed.launch.definitions}
    for node in ast.walk(_scope(passed)):
        if id(node) in own or isinstance(node, (ast.FunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.Assign):
            yield (
                {n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)},
                (node.value),
            )
        elif (
            isinstance(node, (ast.AnnAssign, ast.AugAssign, ast.NamedExpr))
            and isinstance(node.target, ast.Name)
            and node.value is not None
        ):
            yield {node.target.id}, node.value


def _scope(passed: PassedTiles) -> ast.AST:
    function = passed.launch.function
    return function.node if function is not None else passed.program.tree


def check_nothing_else_follows(passed: PassedTiles) -> None:
    """Raises FixedTile where host code takes a tile size for more than grids and launches.

    Allowed: the grid and the argument of this launch, grids and block sizes of other kernels (whose
    blocks are their own), tests, and what only works out such values.
    """
    sources = {n.id for n in passed.given.values() if isinstance(n, ast.Name)}
    watched = sources | derived_names(passed)
    texts = {text_of(n) for n in passed.given.values() if not isinstance(n, ast.Name)}
    allowed = _allowed_places(passed)
    for scope in _scopes(passed, sources):
        for node in _strict_uses(scope, watched, texts):
            if id(node) not in allowed:
                line = getattr(node, "lineno", 0)
                what = text_of(node) if isinstance(node, ast.expr) else "a tile size"
                raise FixedTile(f"{what} used for grids and tile sizes only (see line {line})")


def _scopes(passed: PassedTiles, sources: set[str]) -> list[ast.AST]:
    """The launch's function; every host function too where a name is the module's."""
    scope = _scope(passed)
    local = {n for names, _ in _assignments(passed) for n in names}
    if isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef)):
        arguments = scope.args
        local |= {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    if sources <= local:
        return [scope]
    return [function.node for function in passed.program.host_functions]


def _strict_uses(scope: ast.AST, watched: set[str], texts: set[str]) -> Iterator[ast.AST]:
    """Reads of watched names, and divisions by the same value, less what only works out others."""
    skipped: set[int] = set()
    for node in ast.walk(scope):
        tests = (
            getattr(node, "test", None)
            if isinstance(node, (ast.If, ast.While, ast.Assert))
            else None
        )
        if tests is not None:
            skipped |= {id(n) for n in ast.walk(tests)}
        if isinstance(node, ast.Assert) and node.msg is not None:
            skipped |= {id(n) for n in ast.walk(node.msg)}
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
            if (
                names
                and names <= watched
                and (_is_count(node.value) or text_of(node.value) in texts)
            ):
                skipped |= {id(n) for n in ast.walk(node.value)}
    for node in ast.walk(scope):
        if id(node) in skipped:
            continue
        if (
            isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in watched
        ) or (isinstance(node, ast.expr) and _names_again(node, texts)):
            yield node


def _names_again(node: ast.expr, texts: set[str]) -> bool:
    """A division by, or a reading of, what is passed for a tile size and is no plain name."""
    divisor = _divisor(node)
    if divisor is not None and text_of(divisor) in texts:
        return True
    looked_up = isinstance(node, (ast.Attribute, ast.Subscript))
    loaded = looked_up and isinstance(node.ctx, ast.Load)  # type: ignore[attr-defined]
    return loaded and text_of(node) in texts


def _is_count(value: ast.expr) -> bool:
    """Numbers, sizes and sums of them: nothing is made of the tile's size but another number."""
    for node in ast.walk(value):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).split(".")[-1]
            if name not in (*_CDIV, "min", "max", "int", "next_power_of_2", "numel", "size", "dim"):
                return False
    return True


def _allowed_places(passed: PassedTiles) -> set[int]:
    """Nodes that may take a tile size: grids, and arguments that pass it on as it is."""
    found: set[int] = set()
    for launch in find_launches(passed.program):
        for definition in (*launch.definitions, *([launch.grid] if launch.grid else [])):
            found |= {id(n) for n in ast.walk(definition)}
        own = launch.kernel == passed.launch.kernel
        for node in _arguments(passed.program, launch, set(passed.given) if own else None):
            found |= {id(n) for n in ast.walk(node)}
    return found


def _arguments(
    program: ParsedProgram, launch: LaunchNode, names: set[str] | None
) -> Iterator[ast.expr]:
    """Arguments of these parameters; None: plain names that are passed for tiles' sizes."""
    node = next((k.node for k in program.kernels if k.node.name == launch.kernel), None)
    if node is None:
        return
    yield from (k.value for k in launch.call.keywords if k.arg in _OPTIONS)
    parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    constants = {
        a.arg
        for a in parameters
        if a.annotation is not None and ast.unparse(a.annotation).endswith("constexpr")
    }
    passed = dict(zip((a.arg for a in parameters), launch.call.args, strict=False))
    passed |= {k.arg: k.value for k in launch.call.keywords if k.arg is not None}
    for name, value in passed.items():
        plain = isinstance(value, (ast.Name, ast.Attribute))
        if (names is not None and name in names) or (names is None and name in constants and plain):
            yield value


def other_kernels(program: ParsedProgram, launch: LaunchNode) -> list[str]:
    """Other kernels that the same call launches: `(a if x.is_cuda else b)[grid](…)`."""
    return [
        other.kernel
        for other in find_launches(program)
        if other.call is launch.call and other.kernel != launch.kernel
    ]


def grids_of_others(passed: PassedTiles) -> Iterator[LaunchNode]:
    """Launches of other kernels whose grid is defined where this one's is."""
    own = {id(statement) for statement in passed.launch.definitions}
    for launch in find_launches(passed.program):
        same = launch.call is passed.launch.call or launch.kernel == passed.launch.kernel
        if not same and own & {id(d) for d in launch.definitions}:
            yield launch

"""A kernel's statements for several programs at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from warpwright.program.nodes import clone
from warpwright.proposers.rewrites.coarsen.wide_values import Widener, WideValue
from warpwright.proposers.rewrites.common.kernel_text import KernelText
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.splice import Splice, end_of, start_of
from warpwright.proposers.rewrites.common.statement_text import MAX_COLUMNS, laid_out, parsed

_ATOMICS = frozenset({"atomic_add", "atomic_max", "atomic_min"})
_FLIPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Assignment:
    """`name = value`, what is added in place read as a sum."""

    statement: ast.stmt
    name: str
    value: ast.expr


@dataclass
class WideKernel:
    """`kernel` with `lanes` programs of one axis as lanes. `count`: the name of the parameter that
    says how many programs there are; `live`: that of the mask."""

    kernel: KernelText
    axis: int
    lanes: int
    count: str
    live: str
    own: set[str] = field(default_factory=set)
    wide: set[str] = field(default_factory=set)

    def splices(self) -> list[Splice]:
        """The changes of the kernel's body. Raises DoesNotApply where it cannot be widened."""
        identity = self._identity_statement()
        self._spread()
        body = [node for node in self.kernel.node.body if not _is_text(node)]
        return list(self._body(body, identity, top=True))

    def _widener(self) -> Widener:
        arange = f"{self.kernel.builtin('arange')}(0, {self.lanes})"
        program = f"{self.kernel.builtin('program_id')}({self.axis})"
        identity = f"{program} * {self.lanes} + {arange}"
        return Widener(self.kernel, self.axis, identity, self.live, self.own, self.wide)

    def _identity_statement(self) -> ast.Assign:
        """The one assignment `pid = tl.program_id(axis)`, in the kernel's own body."""
        calls = [
            node
            for node in ast.walk(self.kernel.node)
            if self.kernel.called(node) in ("program_id", "num_programs")
        ]
        if any(self.kernel.called(node) == "num_programs" for node in calls):
            raise DoesNotApply("the kernel asks how many programs there are")
        found = [
            node
            for node in self.kernel.node.body
            if isinstance(node, ast.Assign)
            and len(node.targets) == 1
            and isinstance(node.targets[0], ast.Name)
            and self.kernel.called(node.value) == "program_id"
            and self._widener().of(node.value).wide
        ]
        of_axis = [node for node in calls if self._is_axis(node)]
        if len(found) != 1 or of_axis != [found[0].value]:
            raise DoesNotApply(f"program_id({self.axis}) is not assigned to one name")
        return found[0]

    def _is_axis(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and self._widener().of(node).wide

    def _spread(self) -> None:
        """Which names have which axes: those of anything that they are assigned."""
        assignments = list(self._assignments())
        for _ in range(len(assignments) + 1):
            before = len(self.own) + len(self.wide)
            for assignment in assignments:
                value = self._widener().of(assignment.value)
                if value.own:
                    self.own.add(assignment.name)
                if value.wide:
                    self.wide.add(assignment.name)
            if len(self.own) + len(self.wide) == before:
                break
        for assignment in assignments:
            if self._widener().of(assignment.value).own is not (assignment.name in self.own):
                raise DoesNotApply(f"{assignment.name} has two forms")

    def _assignments(self) -> Iterator[Assignment]:
        for node in ast.walk(self.kernel.node):
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if len(targets) != 1 or not isinstance(targets[0], ast.Name) or not node.value:
                    raise DoesNotApply(f"`{ast.unparse(node)}` assigns more than a name")
                yield Assignment(node, targets[0].id, _value(node))

    def _body(
        self, body: Sequence[ast.stmt], identity: ast.Assign, *, top: bool
    ) -> Iterator[Splice]:
        for place, node in enumerate(body):
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
                yield from self._assigned(node)
                if node is identity:
                    yield self._live_from(identity)
            elif isinstance(node, ast.Expr):
                yield from self._effect(node)
            elif isinstance(node, ast.For | ast.While):
                yield from self._loop(node, identity)
            elif isinstance(node, ast.If):
                yield from self._branch(node, identity, top=top)
            elif not isinstance(node, ast.Pass) and not (
                isinstance(node, ast.Return) and node.value is None and place == len(body) - 1
                and top
            ):  # fmt: skip
                raise DoesNotApply(f"`{ast.unparse(node).splitlines()[0]}` stands in the kernel")

    def _live_from(self, identity: ast.Assign) -> Splice:
        assert isinstance(identity.targets[0], ast.Name)
        margin = " " * identity.col_offset
        line = f"\n{margin}{self.live} = {identity.targets[0].id} < {self.count}"
        return Splice(end_of(identity), end_of(identity), line)

    def _assigned(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> Iterator[Splice]:
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        assert isinstance(target, ast.Name)
        if target.id not in self.wide:
            return
        value = self._widener().of(_value(node))
        new = value.node if value.wide else self._started(target.id, value)
        yield self._statement(node, f"{target.id} = ", new)

    def _started(self, name: str, value: WideValue) -> ast.expr:
        """What all programs start a value with, once for each."""
        node = clone(value.node)
        creators = [n for n in ast.walk(node) if self.kernel.called(n) in ("zeros", "full")]
        inside = {id(n) for creator in creators for n in ast.walk(creator)}
        numbers = [n for n in ast.walk(node) if isinstance(n, ast.Constant) and id(n) not in inside]
        names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and id(n) not in inside}
        if names - {"float"} or any(type(n.value) is bool for n in numbers):
            raise DoesNotApply(f"{name} starts as {ast.unparse(node)}, the same for all programs")
        for creator in creators:
            assert isinstance(creator, ast.Call)
            shape = creator.args[0]
            assert isinstance(shape, ast.Tuple | ast.List)
            shape.elts = [*shape.elts, ast.Constant(self.lanes)]
        if creators:
            return node
        whole = all(type(n.value) is int for n in numbers)
        if whole and not _is_small(node):
            raise DoesNotApply(f"{name} starts as {ast.unparse(node)}, which may be no int32")
        kind = self.kernel.builtin("int32" if whole else "float32")
        full = self.kernel.builtin("full")
        return parsed(f"{full}(({self.lanes},), {ast.unparse(node)}, {kind})")

    def _effect(self, node: ast.Expr) -> Iterator[Splice]:
        called = self.kernel.called(node.value)
        if isinstance(node.value, ast.Constant):
            return
        if called != "store" and called not in _ATOMICS:
            raise DoesNotApply(f"`{ast.unparse(node)}` stands in the kernel")
        assert isinstance(node.value, ast.Call)
        yield self._statement(node, "", self._widener().store(node.value))

    def _loop(self, node: ast.For | ast.While, identity: ast.Assign) -> Iterator[Splice]:
        header = node.iter if isinstance(node, ast.For) else node.test
        parts = [header]
        if isinstance(node, ast.For):
            if self.kernel.called(header) not in ("range", "static_range"):
                raise DoesNotApply("a loop is over no range")
            assert isinstance(header, ast.Call)
            parts = list(header.args)
        for part in parts:
            value = self._widener().of(part)
            if value.own or value.wide:
                raise DoesNotApply("a loop's bounds depend on the program")
        if node.orelse:
            raise DoesNotApply("a loop has an else")
        yield from self._body(node.body, identity, top=False)

    def _branch(self, node: ast.If, identity: ast.Assign, *, top: bool) -> Iterator[Splice]:
        leaves = [type(inner) for inner in node.body] == [ast.Return] and not node.orelse
        if leaves and top and self._depends(node.test):
            inside = " & ".join(f"({text})" for text in self._stays(node.test))
            yield Splice(start_of(node), end_of(node), f"{self.live} = {self.live} & {inside}")
            return
        if not leaves:
            if self._depends(node.test):
                raise DoesNotApply("a branch depends on the program")
            yield from self._body(node.body, identity, top=False)
            yield from self._body(node.orelse, identity, top=False)
        elif self._depends(node.test):
            raise DoesNotApply("a program leaves early")

    def _depends(self, test: ast.expr) -> bool:
        names = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
        calls = any(isinstance(node, ast.Call) for node in ast.walk(test))
        return calls or bool(names & {*self.own, *self.wide})

    def _stays(self, test: ast.expr) -> Iterator[str]:
        """When a program does not leave: the comparisons of `a or b` turned around."""
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
            for part in test.values:
                yield from self._stays(part)
            return
        if isinstance(test, ast.BinOp) and isinstance(test.op, ast.BitOr):
            yield from self._stays(test.left)
            yield from self._stays(test.right)
            return
        flipped = _FLIPPED.get(type(test.ops[0])) if isinstance(test, ast.Compare) else None
        if not isinstance(test, ast.Compare) or len(test.ops) != 1 or flipped is None:
            raise DoesNotApply(f"a program leaves where {ast.unparse(test)}")
        value = self._widener().of(test)
        exact = isinstance(test.ops[0], ast.Eq | ast.NotEq)
        if value.own or not isinstance(value.node, ast.Compare):
            raise DoesNotApply(f"a program leaves where {ast.unparse(test)}")
        if not exact and self._is_loaded(test):
            raise DoesNotApply(f"{ast.unparse(test)} turned around differs for no number")
        yield ast.unparse(ast.Compare(value.node.left, [flipped()], value.node.comparators))

    def _is_loaded(self, node: ast.expr) -> bool:
        """Whether a value may come from memory, where it may be no number."""
        waiting: list[ast.AST] = [node]
        seen: set[str] = set()
        while waiting:
            for inner in ast.walk(waiting.pop()):
                if self.kernel.called(inner) == "load":
                    return True
                if isinstance(inner, ast.Name) and inner.id not in seen:
                    seen.add(inner.id)
                    waiting += [a.value for a in self._assignments() if a.name == inner.id]
        return False

    def _statement(self, node: ast.stmt, head: str, value: ast.expr) -> Splice:
        """The statement's text in its place, over as many lines as it takes."""
        margin = " " * node.col_offset
        lines = laid_out(head, value, "", MAX_COLUMNS - node.col_offset)
        return Splice(start_of(node), end_of(node), f"\n{margin}".join(lines))


def _value(node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> ast.expr:
    assert node.value is not None
    if not isinstance(node, ast.AugAssign):
        return node.value
    assert isinstance(node.target, ast.Name)
    return ast.BinOp(ast.Name(node.target.id, ast.Load()), node.op, node.value)


def _is_small(node: ast.expr) -> bool:
    """Whether it is a plain whole number, with a sign or none, that int32 holds."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _is_small(node.operand)
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value < 2**31


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)

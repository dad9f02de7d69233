"""A loop that handles one element a step, read off a kernel: what a step does and hands on."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from warpwright.program.nodes import clone
from warpwright.proposers.rewrites.common.kernel_text import KernelText, loaded_names, stored_names
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.statement_text import parsed
from warpwright.proposers.rewrites.outer.liveness import live_after
from warpwright.proposers.rewrites.vectorize.updates import Update, read_update

RANGES = ("range", "static_range")
_KEPT_OPTIONS = frozenset({"num_stages"})


@dataclass(frozen=True, slots=True)
class LoopStep:
    """One statement of the body: `name = value`, or a store, which has no name."""

    name: str | None
    value: ast.expr
    line: int

    @property
    def reads(self) -> set[str]:
        return set(loaded_names([self.value]))


@dataclass(frozen=True, slots=True)
class Carried:
    """A value that each step combines with a term of its own; `place`: which step does."""

    name: str
    place: int
    update: Update


@dataclass(frozen=True, slots=True)
class Advanced:
    """A value to which each step adds the same amount, as a pointer that is moved on."""

    name: str
    place: int
    amount: ast.expr


@dataclass(frozen=True, slots=True)
class SerialLoop:
    """`for variable in range(start, stop, step)` over `steps`."""

    statement: ast.For
    variable: str
    start: ast.expr
    stop: ast.expr
    step: int
    steps: tuple[LoopStep, ...]
    carried: tuple[Carried, ...]
    advanced: tuple[Advanced, ...]
    options: tuple[ast.keyword, ...] = ()
    unrolled: bool = False

    @property
    def assigned(self) -> set[str]:
        return {step.name for step in self.steps if step.name is not None}

    @property
    def handed_on(self) -> set[str]:
        """Names of what a step finds as the one before left it."""
        return {carried.name for carried in self.carried} | {a.name for a in self.advanced}

    @property
    def advances(self) -> dict[int, Advanced]:
        return {advanced.place: advanced for advanced in self.advanced}

    def varying(self) -> set[str]:
        """Names that have a value of their own in each step."""
        found = {self.variable, *self.handed_on}
        for step in self.steps:
            if step.name is not None and step.reads & found:
                found.add(step.name)
        return found


def loops_of(kernel: KernelText) -> list[ast.For]:
    """Every `for` of the kernel, in source order."""
    loops = [node for node in ast.walk(kernel.node) if isinstance(node, ast.For)]
    return sorted(loops, key=lambda node: (node.lineno, node.col_offset))


def read_loop(kernel: KernelText, statement: ast.For) -> SerialLoop:
    """The loop, where each step does the same on its own elements but for values that it combines
    with a term. Raises DoesNotApply for any other."""
    start, stop, step, options = _bounds(kernel, statement)
    assert isinstance(statement.target, ast.Name)
    steps = tuple(step for node in statement.body for step in _steps(kernel, node))
    variable = statement.target.id
    assigned = {step.name for step in steps if step.name is not None}
    if variable in assigned:
        raise DoesNotApply(f"the loop assigns its variable {variable}")
    bounds = set(loaded_names([start, stop]))
    if any(kernel.called(node) == "load" for node in ast.walk(statement.iter)):
        raise DoesNotApply("the loop's bounds are loaded")
    if changed := bounds & {*assigned, variable}:
        raise DoesNotApply(f"{', '.join(sorted(changed))} bounds the loop and is changed in it")
    carried, advanced = _handed_on(kernel, steps, variable)
    loop = SerialLoop(
        statement, variable, start, stop, step, steps, carried, advanced, options,
        kernel.called(statement.iter) == "static_range",
    )  # fmt: skip
    _check_behind(kernel, loop)
    return loop


def _bounds(
    kernel: KernelText, statement: ast.For
) -> tuple[ast.expr, ast.expr, int, tuple[ast.keyword, ...]]:
    call = statement.iter
    if (
        not isinstance(call, ast.Call)
        or kernel.called(call) not in RANGES
        or not isinstance(statement.target, ast.Name)
        or statement.orelse
        or not 1 <= len(call.args) <= 3
        or {keyword.arg for keyword in call.keywords} - _KEPT_OPTIONS
    ):
        raise DoesNotApply("the loop is over no plain range")
    arguments = list(call.args)
    step = _whole(arguments.pop()) if len(arguments) == 3 else 1
    if not step:
        raise DoesNotApply("the loop's step is no plain number")
    start = arguments[0] if len(arguments) == 2 else ast.Constant(0)
    return start, arguments[-1], step, tuple(call.keywords)


def _whole(node: ast.expr) -> int | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _whole(node.operand)
        return None if value is None else -value
    is_int = isinstance(node, ast.Constant) and type(node.value) is int
    return node.value if is_int else None  # type: ignore[attr-defined]


def _is_empty(node: ast.stmt) -> bool:
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return text or isinstance(node, ast.Pass)


def _steps(kernel: KernelText, node: ast.stmt) -> Iterator[LoopStep]:
    """A statement as steps: none for a text, for a branch one for each assignment under it."""
    if isinstance(node, ast.If):
        yield from _under(kernel, node)
    elif isinstance(node, ast.Expr) and kernel.called(node.value) == "store":
        yield LoopStep(None, node.value, node.lineno)
    elif not _is_empty(node):
        name, value = _assignment(node)
        yield LoopStep(name, value, node.lineno)


def _under(kernel: KernelText, node: ast.If) -> Iterator[LoopStep]:
    """`if x > acc: acc = x` as `acc = tl.where(x > acc, x, acc)`.

    Refuses loads under the condition, and a condition that an assignment under it changes.
    """
    test = node.test
    if not isinstance(test, ast.Compare):
        test = ast.Compare(test, [ast.NotEq()], [ast.Constant(0)])
    changed: set[str] = set()
    for inner in node.body:
        name, value = _assignment(inner)
        loads = any(kernel.called(call) == "load" for call in ast.walk(value))
        if node.orelse or loads or changed & set(loaded_names([test])):
            raise DoesNotApply(f"`if {ast.unparse(node.test)}:` stands in the loop")
        changed.add(name)
        where = parsed(kernel.builtin("where"))
        chosen = ast.Call(where, [clone(test), value, ast.Name(name, ast.Load())], [])
        yield LoopStep(name, chosen, inner.lineno)


def _assignment(node: ast.stmt) -> tuple[str, ast.expr]:
    """The name and its new value."""
    target: ast.expr | None = None
    value: ast.expr | None = None
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target, value = node.targets[0], node.value
    elif isinstance(node, ast.AnnAssign):
        target, value = node.target, node.value
    elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        target = node.target
        value = ast.BinOp(ast.Name(node.target.id, ast.Load()), node.op, node.value)
    if target is None or value is None:
        raise DoesNotApply(f"`{ast.unparse(node).splitlines()[0]}` stands in the loop")
    if not isinstance(target, ast.Name):
        raise DoesNotApply(f"{ast.unparse(target)} is assigned in the loop")
    return target.id, value


def _handed_on(
    kernel: KernelText, steps: Sequence[LoopStep], variable: str
) -> tuple[tuple[Carried, ...], tuple[Advanced, ...]]:
    """What a step reads of the one before."""
    assigned = [step.name for step in steps if step.name is not None]
    written: set[str] = set()
    names: list[str] = []
    for step in steps:
        names += sorted((step.reads & set(assigned)) - written)
        written |= {step.name} if step.name is not None else set()
    carried: list[Carried] = []
    advanced: list[Advanced] = []
    for name in dict.fromkeys(names):
        if assigned.count(name) != 1:
            raise DoesNotApply(f"{name} goes from step to step and is assigned twice in one")
        place = next(index for index, step in enumerate(steps) if step.name == name)
        update = read_update(kernel, name, steps[place].value)
        read = [update.term] if update.only_if is None else [update.term, update.only_if]
        if _depends(steps[:place], set(loaded_names(read)), name):
            raise DoesNotApply(f"what a step combines {name} with depends on {name}")
        if not any(_varies(node, steps, variable) for node in read):
            if update.only_if is not None:
                raise DoesNotApply(f"{name} is combined under a condition alike in all steps")
            if update.operation != "+" or set(loaded_names([update.term])) & set(assigned):
                raise DoesNotApply(f"{name} is combined with what does not depend on the step")
            if any(type(n.value) is float for n in ast.walk(update.term)
                   if isinstance(n, ast.Constant)):  # fmt: skip
                raise DoesNotApply(f"{name} moves on by a fraction")
            advanced.append(Advanced(name, place, update.term))
        else:
            carried.append(Carried(name, place, update))
    return tuple(carried), tuple(advanced)


def _depends(before: Sequence[LoopStep], reads: set[str], name: str) -> bool:
    """Whether any of what is read is made from `name`."""
    needed = set(reads)
    for step in reversed(before):
        if step.name in needed:
            needed |= step.reads
    return name in needed


def _varies(term: ast.expr, steps: Sequence[LoopStep], variable: str) -> bool:
    """Whether a term depends on the step, or holds a call and may."""
    needed = set(loaded_names([term]))
    for step in reversed(steps):
        if step.name in needed:
            needed |= step.reads
    assigned = {step.name for step in steps}
    return (
        variable in needed
        or bool(needed & assigned)
        or any(isinstance(node, ast.Call) for node in ast.walk(term))
    )


def _check_behind(kernel: KernelText, loop: SerialLoop) -> None:
    """Refuses what is read behind the loop, but for what the steps are combined to."""
    kept = {carried.name for carried in loop.carried}
    own = {*loop.assigned, loop.variable} - kept
    if behind := own & live_after(kernel.node, loop.statement):
        raise DoesNotApply(f"{', '.join(sorted(behind))} is read behind the loop")
    before = set(stored_names([kernel.node]))
    if missing := kept - before:
        raise DoesNotApply(f"{', '.join(sorted(missing))} has no value before the loop")

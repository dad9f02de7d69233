"""What one block of a kernel does: floating-point operations, bytes asked for, by TTIR.

Counts are bounds: operations from below (of a branch that nobody can foresee, the cheaper side),
bytes asked for from above (the dearer side). Where most of the operations are on one side of such a
branch, the bound says nothing, and that is told. A loop whose length is not known leaves operations
uncounted and its loads without a bound, and is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from warpwright.costmodel.ir_operations import UncountedError, float_operations, moved_bytes
from warpwright.costmodel.ir_scalars import axis_of, scalar_value
from warpwright.types.kernel_ir import IrFunction, IrOperation, IrRegion

MAX_STEPS = 300_000
UNKNOWN_LOOP = "how often a loop runs"
UNKNOWN_RETURN = "whether a block returns early"
UNKNOWN_BRANCH = "how many blocks take a branch"
LEAST_SHARE = 0.5  # of the dearest way through a block; a cheaper one is no bound worth the name
UNKNOWN_POINTER = "where a computed pointer points"
TOO_LONG = "the counting of its loops (too many passes)"

_DERIVED = frozenset(
    (
        "tt.addptr", "tt.splat", "tt.broadcast", "tt.expand_dims", "tt.bitcast", "tt.reshape",
        "tt.trans", "tt.make_tensor_ptr", "tt.make_tensor_descriptor", "tt.advance", "tt.unsplat",
        "tt.reinterpret_tensor_descriptor", "builtin.unrealized_conversion_cast",
    )
)  # fmt: skip
_LOADS = frozenset(("tt.load", "tt.descriptor_load", "tt.descriptor_gather"))
_STORES = frozenset(("tt.store", "tt.descriptor_store", "tt.descriptor_scatter"))
_BOTH = frozenset(("tt.atomic_rmw", "tt.atomic_cas", "tt.descriptor_reduce"))


class _TooLongError(Exception):
    """More passes than counting may take."""


@dataclass(slots=True)
class BlockWork:
    """A running count. `operations`: a lower bound, `most` an upper one; `loads` and `stores`:
    parameter → bytes asked for, an upper bound."""

    operations: dict[str, float] = field(default_factory=dict)
    most: dict[str, float] = field(default_factory=dict)
    loads: dict[str, float] = field(default_factory=dict)
    stores: dict[str, float] = field(default_factory=dict)
    unbounded: set[str] = field(default_factory=set)  # parameters in loops of unknown length
    lacks: set[str] = field(default_factory=set)
    open_control: bool = False  # a loop or a return depends on what is not known

    def add(self, other: BlockWork, times: float = 1) -> None:
        for ours, theirs in (
            (self.operations, other.operations),
            (self.most, other.most),
            (self.loads, other.loads),
            (self.stores, other.stores),
        ):
            for name, amount in theirs.items():
                ours[name] = ours.get(name, 0.0) + times * amount
        self.unbounded |= other.unbounded
        self.lacks |= other.lacks
        self.open_control |= other.open_control

    def add_either(self, one: BlockWork, other: BlockWork) -> None:
        """One of two branches: the fewer operations, the more bytes."""
        cheaper = BlockWork(
            operations={
                name: min(one.operations.get(name, 0.0), other.operations.get(name, 0.0))
                for name in one.operations.keys() & other.operations.keys()
            },
            most=_larger(one.most, other.most),
            loads=_larger(one.loads, other.loads),
            stores=_larger(one.stores, other.stores),
            unbounded=one.unbounded | other.unbounded,
            lacks=one.lacks | other.lacks,
            open_control=one.open_control or other.open_control,
        )
        self.add(cheaper)


def _larger(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {n: max(one.get(n, 0.0), other.get(n, 0.0)) for n in one.keys() | other.keys()}


def block_work(
    function: IrFunction,
    scalars: Mapping[str, int],
    pointers: Mapping[str, str],
    grid: Sequence[int],
    program: Mapping[int, int],
    budget: list[int],
) -> BlockWork:
    """Count the work of one block.

    `scalars`: values of the function's integer arguments; `pointers`: its pointer arguments to
    parameter names; `program`: program id by axis, as far as it is to be known. `budget` holds
    the operations that may still be visited, and is counted down.
    """
    walker = _Walker(dict(scalars), {n: frozenset((p,)) for n, p in pointers.items()}, budget)
    walker.grid, walker.program = tuple(grid), program
    try:
        work = walker.function(function)
    except _TooLongError:
        return BlockWork(lacks={TOO_LONG}, open_control=True)
    except RecursionError:
        return BlockWork(lacks={"the reading of its branches (nested too deep)"})
    if sum(work.operations.values()) < LEAST_SHARE * sum(work.most.values()):
        work.lacks.add(UNKNOWN_BRANCH)
        work.open_control = True
    return work


class _Walker:
    def __init__(
        self, known: dict[str, int], bases: dict[str, frozenset[str]], budget: list[int]
    ) -> None:
        self.known = known
        self.bases = bases
        self.budget = budget
        self.grid: tuple[int, ...] = ()
        self.program: Mapping[int, int] = {}
        self._yielded: tuple[str, ...] = ()

    def function(self, function: IrFunction) -> BlockWork:
        work = BlockWork()
        label = function.blocks[0][0]
        seen: set[str] = set()
        while label not in seen:
            seen.add(label)
            operations = function.block(label) or ()
            self._walk(operations, work)
            last = operations[-1] if operations else None
            if last is None or not last.targets:
                return work
            taken = self.known.get(last.operands[0]) if last.operands else None
            if len(last.targets) == 1:
                label = last.targets[0]
            elif taken is not None:
                label = last.targets[0 if taken else 1]
            else:
                work.lacks.add(UNKNOWN_RETURN)
                work.open_control = True
                label = max(last.targets[:2], key=lambda name: len(function.block(name) or ()))
        work.lacks.add(UNKNOWN_LOOP)  # a jump backwards
        return work

    def _walk(self, operations: Sequence[IrOperation], work: BlockWork) -> None:
        for operation in operations:
            self.budget[0] -= 1
            if self.budget[0] < 0:
                raise _TooLongError
            self._one(operation, work)

    def _one(self, operation: IrOperation, work: BlockWork) -> None:
        name = operation.name
        if name == "scf.for":
            self._for(operation, work)
        elif name == "scf.while":
            self._while(operation, work)
        elif name == "scf.if":
            self._if(operation, work)
        elif name in ("scf.yield", "scf.condition"):
            self._yielded = operation.operands
        else:
            self._scalar(operation)
            self._pointer(operation)
            self._access(operation, work)
            self._operations(operation, work)

    # values

    def _scalar(self, operation: IrOperation) -> None:
        if len(operation.results) != 1:
            return
        axis = axis_of(operation)
        value = None
        if operation.name == "tt.get_program_id" and axis is not None:
            value = self.program.get(axis)
        elif operation.name == "tt.get_num_programs" and axis is not None:
            value = self.grid[axis] if axis < len(self.grid) else 1
        else:
            value = scalar_value(operation, self.known)
        self._set(operation.results[0], value)

    def _set(self, name: str, value: int | None, base: frozenset[str] | None = None) -> None:
        if value is None:
            self.known.pop(name, None)
        else:
            self.known[name] = value
        if base:
            self.bases[name] = base
        else:
            self.bases.pop(name, None)

    def _pointer(self, operation: IrOperation) -> None:
        found: frozenset[str] = frozenset()
        if operation.name in _DERIVED and operation.operands:
            found = self.bases.get(operation.operands[0], frozenset())
        elif operation.name == "arith.select":
            for operand in operation.operands[1:]:
                found |= self.bases.get(operand, frozenset())
        if found and operation.results:
            self.bases[operation.results[0]] = found

    def _operations(self, operation: IrOperation, work: BlockWork) -> None:
        try:
            done = float_operations(operation)
        except UncountedError as unknown:
            work.lacks.add(str(unknown))
            return
        if done is not None:
            rate, count = done
            for amounts in (work.operations, work.most):
                amounts[rate] = amounts.get(rate, 0.0) + count

    def _access(self, operation: IrOperation, work: BlockWork) -> None:
        name = operation.name
        if name not in _LOADS | _STORES | _BOTH or not operation.operands:
            return
        found = self.bases.get(operation.operands[0], frozenset())
        if len(found) != 1:
            several = f"which of {', '.join(sorted(found))} it uses" if found else UNKNOWN_POINTER
            work.lacks.add(several)
            return
        (parameter,) = found
        moved = moved_bytes(operation)
        if moved is None:
            work.unbounded.add(parameter)
            moved = 0.0
        for kinds, amounts in ((_LOADS, work.loads), (_STORES, work.stores)):
            if name in kinds or name in _BOTH:
                amounts[parameter] = amounts.get(parameter, 0.0) + moved

    # control

    def _for(self, operation: IrOperation, work: BlockWork) -> None:
        if len(operation.operands) < 4 or not operation.regions:
            work.lacks.add(UNKNOWN_LOOP)
            return
        low, high, step = (self.known.get(name) for name in operation.operands[1:4])
        carried, initial = operation.operands[4::2], operation.operands[5::2]
        trips = None
        if low is not None and high is not None and step:
            trips = len(range(low, high, step))
        if trips == 0:
            self._results(operation, initial)
            return
        body = operation.regions[0]
        self._bind(carried, initial, values=False)
        self.known.pop(operation.operands[0], None)
        once = BlockWork()
        self._walk(body.operations, once)
        if trips is None:
            self._unknown_times(once, work)
        elif not once.open_control:
            work.add(once, trips)
        else:
            assert low is not None and step is not None
            self._pass_by_pass(operation, range(low, low + trips * step, step), work)
            return
        self._results(operation, initial, values=False)

    def _pass_by_pass(self, operation: IrOperation, counter: range, work: BlockWork) -> None:
        carried, values = operation.operands[4::2], operation.operands[5::2]
        for value in counter:
            self._bind(carried, values)
            self._set(operation.operands[0], value)
            self._walk(operation.regions[0].operations, work)
            values = self._yielded
        self._results(operation, values)

    def _unknown_times(self, once: BlockWork, work: BlockWork) -> None:
        """A body that runs nobody knows how often: its loads have no bound."""
        body = BlockWork(loads=once.loads, stores=once.stores, lacks=once.lacks)
        body.unbounded = once.unbounded | once.loads.keys() | once.stores.keys()
        body.open_control = True
        if once.operations or once.lacks:
            body.lacks = {*once.lacks, UNKNOWN_LOOP}
        work.add(body)

    def _while(self, operation: IrOperation, work: BlockWork) -> None:
        if len(operation.regions) != 2:
            work.lacks.add(UNKNOWN_LOOP)
            return
        test, body = operation.regions
        names, values = operation.operands[0::2], operation.operands[1::2]
        while True:
            self._bind(names, values)
            self._walk(test.operations, work)
            condition, values = self._yielded[:1], self._yielded[1:]
            goes_on = self.known.get(condition[0]) if condition else None
            if goes_on is None:
                break
            if not goes_on:
                self._results(operation, values)
                return
            self._bind(body.arguments, values)
            self._walk(body.operations, work)
            values = self._yielded
        once = BlockWork()
        self._bind(body.arguments, values, values=False)
        self._walk(body.operations, once)
        self._unknown_times(once, work)
        self._results(operation, values, values=False)

    def _if(self, operation: IrOperation, work: BlockWork) -> None:
        taken = self.known.get(operation.operands[0]) if operation.operands else None
        regions = operation.regions
        if taken is not None:
            chosen = regions[0] if taken else (regions[1] if len(regions) > 1 else None)
            if chosen is not None:
                self._walk(chosen.operations, work)
                self._results(operation, self._yielded)
            return
        sides = []
        for region in (*regions, IrRegion((), ()))[:2]:
            side = BlockWork()
            sides.append((side, self._ends(region, side)))
        work.add_either(sides[0][0], sides[1][0])
        for result, one, other in zip(operation.results, sides[0][1], sides[1][1], strict=False):
            self._set(result, one[0] if one[0] == other[0] else None, one[1] | other[1])

    def _ends(self, region: IrRegion, work: BlockWork) -> list[tuple[int | None, frozenset[str]]]:
        """Walk one side of a branch; what it yields, as numbers and pointers."""
        self._yielded = ()
        self._walk(region.operations, work)
        yielded: tuple[str, ...] = self._yielded
        return [(self.known.get(name), self.bases.get(name, frozenset())) for name in yielded]

    def _bind(self, names: Sequence[str], givers: Sequence[str], values: bool = True) -> None:
        """Give names what others hold, all at once: pointers, and with `values` numbers."""
        taken = [(self.known.get(n) if values else None, self.bases.get(n)) for n in givers]
        for name, (value, base) in zip(names, taken, strict=False):
            self._set(name, value, base)

    def _results(self, operation: IrOperation, givers: Sequence[str], values: bool = True) -> None:
        self._bind(operation.results, givers, values)

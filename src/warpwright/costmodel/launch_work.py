"""Work and roofline floor of a kernel launch: what its blocks do, over the sheet's rates.

Operations come from Triton's intermediate representation, with the launch's own arguments in
its loop bounds; bytes from the tensors that the trace saw, of those that the kernel loads from
or stores to. Nothing is estimated: what cannot be counted is None, and told.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from warpwright.compiler.lowered_launches import LoweredLaunch
from warpwright.costmodel.block_work import MAX_STEPS, UNKNOWN_LOOP, BlockWork, block_work
from warpwright.costmodel.ir_scalars import axis_of
from warpwright.costmodel.roofline import RateClass, floor
from warpwright.types.config import Config
from warpwright.types.gpu import GpuSheet
from warpwright.types.kernel_ir import IrFunction, IrOperation
from warpwright.types.launch_trace import (
    Argument,
    DescriptorArgument,
    Launch,
    ScalarArgument,
    TensorArgument,
    TracedConfig,
)
from warpwright.types.study import ConfigStudy, KernelStudy
from warpwright.types.work import LaunchFloor, LaunchWork

TENSOR_CORE_TF32_FROM = (8, 0)
DTYPE_BYTES = {
    "bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8,
    "uint64": 8, "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bound:
    """A launch's arguments as the function's: by value name what each pointer or integer is."""

    scalars: Mapping[str, int]
    pointers: Mapping[str, str]


def launch_floor(
    function: IrFunction | None,
    names: Sequence[str],
    launch: Launch,
    traced: TracedConfig,
    sheet: GpuSheet,
    launches: int = 1,
) -> LaunchFloor:
    """Work and floor of `launches` equal launches under one config.

    `function` is the kernel's TTIR for this launch's specialisation (None: there is none), and
    `names` its run-time parameters in order.
    """
    work = launch_work(function, names, launch, traced, sheet.compute_capability)
    operations = (
        None
        if work.operations is None
        else {RateClass(rate): count for rate, count in work.operations.items()}
    )
    moved = None
    if work.read_bytes is not None and work.written_bytes is not None:
        moved = work.read_bytes + work.written_bytes
    roof = floor(operations, moved, sheet)
    return LaunchFloor(
        launches, work, roof.compute_us, roof.memory_us, roof.floor_us, roof.bound, roof.lacks
    )


def launch_work(
    function: IrFunction | None,
    names: Sequence[str],
    launch: Launch,
    traced: TracedConfig,
    compute_capability: tuple[int, int],
) -> LaunchWork:
    """What one launch under one config does; see `LaunchWork` for what is counted."""
    if function is None:
        return LaunchWork(None, None, None, lacks=("the kernel's intermediate representation",))
    arguments = {**launch.arguments, **traced.arguments}
    bound = bind_arguments(function, names, arguments, traced)
    if bound is None:
        return LaunchWork(None, None, None, lacks=("which argument is which",))
    work = grid_work(function, bound.scalars, bound.pointers, traced.grid)
    operations = None if _operations_open(work) else dict(work.operations)
    if operations is not None and compute_capability < TENSOR_CORE_TF32_FROM:
        tf32 = operations.pop("tf32", 0.0)
        if tf32:
            operations["fp32"] = operations.get("fp32", 0.0) + tf32
    pointers_open = any(lack.startswith(("where", "which")) for lack in work.lacks)
    read, written = (
        _least_bytes(amounts, work.unbounded, arguments) for amounts in (work.loads, work.stores)
    )
    return LaunchWork(
        operations=operations,
        read_bytes=None if pointers_open else read,
        written_bytes=None if pointers_open else written,
        loaded_bytes=None if work.unbounded or pointers_open else sum(work.loads.values()),
        loops=_count_loops(function),
        read=tuple(name for name in arguments if name in work.loads),
        written=tuple(name for name in arguments if name in work.stores),
        lacks=tuple(sorted(work.lacks)),
    )


def _operations_open(work: BlockWork) -> bool:
    return any(not lack.startswith(("where", "which")) for lack in work.lacks)


def grid_work(
    function: IrFunction,
    scalars: Mapping[str, int],
    pointers: Mapping[str, str],
    grid: Sequence[int],
) -> BlockWork:
    """The work of all blocks of a launch.

    One block stands for all unless loops or returns depend on the program id; then every value
    of as few axes as it takes is counted, if there are not too many.
    """
    extents = (*grid, 1, 1)[:3]
    used = _axes(function)
    budget = [MAX_STEPS]
    first: BlockWork | None = None
    for axes in sorted(_subsets(used), key=lambda axes: (len(axes), _product(extents, axes))):
        if _product(extents, axes) > budget[0]:
            continue
        total = BlockWork()
        for program in itertools.product(*(range(extents[axis]) for axis in axes)):
            ids = dict(zip(axes, program, strict=True))
            total.add(block_work(function, scalars, pointers, extents, ids, budget))
            if total.open_control:
                break
        if total.open_control and first is not None:
            continue
        rest = _product(extents, [axis for axis in range(3) if axis not in axes])
        scaled = BlockWork()
        scaled.add(total, rest)
        first = scaled
        if not total.open_control:
            break
    return first if first is not None else BlockWork(lacks={UNKNOWN_LOOP}, open_control=True)


def _subsets(axes: Sequence[int]) -> Iterable[tuple[int, ...]]:
    for count in range(len(axes) + 1):
        yield from itertools.combinations(axes, count)


def _product(extents: Sequence[int], axes: Iterable[int]) -> int:
    total = 1
    for axis in axes:
        total *= extents[axis]
    return total


def _everything(operations: Iterable[IrOperation]) -> Iterable[IrOperation]:
    for operation in operations:
        yield operation
        for region in operation.regions:
            yield from _everything(region.operations)


def _axes(function: IrFunction) -> tuple[int, ...]:
    """Axes of the grid whose program id the function reads."""
    axes = {
        axis_of(operation)
        for _, block in function.blocks
        for operation in _everything(block)
        if operation.name == "tt.get_program_id"
    }
    return tuple(sorted(axis for axis in axes if axis is not None))


def _count_loops(function: IrFunction) -> int:
    return sum(
        operation.name in ("scf.for", "scf.while")
        for _, block in function.blocks
        for operation in _everything(block)
    )


def bind_arguments(
    function: IrFunction,
    names: Sequence[str],
    arguments: Mapping[str, Argument],
    traced: TracedConfig,
) -> Bound | None:
    """Match the function's arguments with parameters; None where their numbers disagree.

    A descriptor is followed by its sizes and strides, two arguments for each dimension.
    """
    scalars: dict[str, int] = {}
    pointers: dict[str, str] = {}
    position = 0
    for name in names:
        if position >= len(function.arguments):
            return None
        value, kind = function.arguments[position]
        position += 1
        argument = arguments.get(name)
        number = argument.value if isinstance(argument, ScalarArgument) else None
        if argument is None:
            given = traced.config.meta_dict.get(name)
            number = given if isinstance(given, int) else None
        if isinstance(argument, DescriptorArgument):
            position += 2 * len(argument.shape)
        if isinstance(argument, (TensorArgument, DescriptorArgument)):
            pointers[value] = name
        elif kind[:1] == "i" and isinstance(number, int):
            scalars[value] = int(number)
    return Bound(scalars, pointers) if position == len(function.arguments) else None


def _least_bytes(
    asked: Mapping[str, float], unbounded: set[str], arguments: Mapping[str, Argument]
) -> int | None:
    """Bytes that must move: of each storage its elements once, if the accesses reach so many."""
    by_storage: dict[object, float] = {}
    for name, most in asked.items():
        argument = arguments.get(name)
        if not isinstance(argument, (TensorArgument, DescriptorArgument)):
            return None
        size = dtype_bytes(argument.dtype)
        if size is None:
            return None
        whole = float(distinct_elements(argument.shape, argument.strides) * size)
        least = whole if name in unbounded else min(whole, most)
        storage = argument.storage if isinstance(argument, TensorArgument) else name
        by_storage[storage] = max(by_storage.get(storage, 0.0), least)
    return int(sum(by_storage.values()))


def dtype_bytes(dtype: str) -> int | None:
    """Bytes of an element by torch's name of its dtype; all its 8-bit floats are `float8_...`."""
    return 1 if dtype.startswith("float8") else DTYPE_BYTES.get(dtype)


def distinct_elements(shape: Sequence[int], strides: Sequence[int]) -> int:
    """Different elements of a view, at least: exact unless its dimensions overlap in memory.

    Dimensions of stride 0 repeat elements. Of overlapping ones (an unfolded tensor), only those
    are counted whose stride steps over all that came before.
    """
    if any(size == 0 for size in shape):
        return 0
    total, span = 1, 1
    for stride, size in sorted(zip(map(abs, strides), shape, strict=True)):
        if size > 1 and stride >= span:
            total *= size
            span = stride * (size - 1) + span
    return total


def with_floors(
    kernels: Sequence[KernelStudy], lowered: Sequence[LoweredLaunch], sheet: GpuSheet
) -> tuple[KernelStudy, ...]:
    """The studies with the floor of each config's launches; unchanged where nothing was traced.

    Launches of a kernel that do the same are counted once, with how many there are.
    """
    floors: dict[tuple[int, Config], list[LaunchFloor]] = {}
    done: dict[object, LaunchFloor] = {}
    for each in lowered:
        # warps and stages change nothing
        same = (each.index, id(each.launch), each.key, each.traced.grid)
        if same not in done:
            done[same] = launch_floor(
                each.function, each.names, each.launch, each.traced, sheet, launches=each.count
            )
        floors.setdefault((each.index, each.traced.config), []).append(done[same])
    return tuple(
        replace(
            kernel,
            configs=tuple(_with(c, floors.get((index, c.config), [])) for c in kernel.configs),
        )
        for index, kernel in enumerate(kernels)
    )


def _with(config: ConfigStudy, floors: list[LaunchFloor]) -> ConfigStudy:
    return replace(config, floors=tuple(floors))

"""What one block can hold: bounds on the elements of a tile and on its shared memory."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from warpwright.data.tile_kinds import TileRole
from warpwright.proposers.configs.tile_roles import TileUse
from warpwright.types.calls import KernelCalls
from warpwright.types.config import Config
from warpwright.types.gpu import GpuSheet
from warpwright.types.launch_trace import ConstantArgument, Launch, TensorArgument

SHARED_BYTES = 227 * 1024
"""Shared memory of a block where the GPU is not known: the most that any board here has."""
MOST_ELEMENTS = 1 << 20
"""Triton's limit on the elements of one tile."""
LEAST_DOT = 16
"""The least side of an operand of `tl.dot`."""


@dataclass(frozen=True, slots=True)
class TileLimits:
    """The bounds of a kernel's kind, and of a block's shared memory.

    `fixed`: the product of lanes that are no tiles.
    """

    use: TileUse
    fixed: int
    item_bytes: int
    shared_bytes: int

    @classmethod
    def of(
        cls, use: TileUse, call: KernelCalls, start: Config, sheet: GpuSheet | None
    ) -> TileLimits:
        """The bounds for a kernel as it is launched."""
        return cls(use, _fixed_sizes(use, call, start), _item_bytes(call), _shared_bytes(sheet))

    def allow(self, config: Config) -> bool:
        """Whether a config stays within them."""
        if self.use.kind in ("product", "plain"):
            sides = self._size(config, TileRole.ROWS) + self._size(config, TileRole.COLUMNS)
            buffer_bytes = sides * self._size(config, TileRole.DEPTH) * self.item_bytes
            too_large = buffer_bytes * max(1, config.num_stages) > self.shared_bytes
            if self._too_small(config) or too_large:
                return False
        table, held = self.use.table, self._held(config)
        return table.elements[0] <= held <= min(
            table.elements[1], MOST_ELEMENTS
        ) and self._a_thread(config, table.elements_a_thread)

    def usual(self, config: Config) -> bool:
        """Whether a thread holds as much as is mostly good."""
        return self._a_thread(config, self.use.table.usual_a_thread)

    def _a_thread(self, config: Config, bounds: tuple[int, int]) -> bool:
        return bounds[0] <= self._held(config) / (32 * config.num_warps) <= bounds[1]

    def _held(self, config: Config) -> int:
        """Elements of the sums of a block, or of all lanes where there are none."""
        rows, columns = self._size(config, TileRole.ROWS), self._size(config, TileRole.COLUMNS)
        if self.use.kind in ("product", "plain", "outer"):
            whole = TileRole.ROWS in self.use.roles.values() and (
                TileRole.COLUMNS in self.use.roles.values()
            )
            return rows * columns * (1 if whole else self.fixed)
        return self._size(config, TileRole.LANES) * self.fixed

    def _size(self, config: Config, role: TileRole) -> int:
        names = [name for name, own in self.use.roles.items() if own is role]
        return prod(int(config.meta_dict.get(name) or 1) for name in names)

    def _too_small(self, config: Config) -> bool:
        """A side of a product under what `tl.dot` takes."""
        sizes = (config.meta_dict.get(name) for name in self.use.roles)
        return any(isinstance(size, int) and size < LEAST_DOT for size in sizes)


def passed_size(launch: Launch, name: str) -> int | None:
    """The whole number that a launch passes for a constant."""
    argument = launch.arguments.get(name)
    value = argument.value if isinstance(argument, ConstantArgument) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _fixed_sizes(use: TileUse, call: KernelCalls, start: Config) -> int:
    """The product of lanes that no tile counts, as far as it is known."""
    total = 1
    for fixed in use.fixed:
        if isinstance(fixed, int):
            total *= fixed
            continue
        passed = passed_size(call.launches[0], fixed)
        value = start.meta_dict.get(fixed, passed)
        total *= value if isinstance(value, int) and value > 0 else 1
    return total


def _item_bytes(call: KernelCalls) -> int:
    wide = {
        argument.dtype
        for launch in call.launches
        for argument in launch.arguments.values()
        if isinstance(argument, TensorArgument)
    }
    return 4 if any("32" in dtype or "64" in dtype for dtype in wide) else 2


def _shared_bytes(sheet: GpuSheet | None) -> int:
    return SHARED_BYTES if sheet is None else sheet.limits.max_shared_bytes_per_block

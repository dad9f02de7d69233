"""A kernel in Triton's own intermediate representation (TTIR), as a tree of operations.

TTIR is what is left after helper functions are inlined, `tl.constexpr` values are put in and
`tl.static_range` is unrolled, and before anything depends on warps, stages or the GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_ELEMENTS = 1 << 30


@dataclass(frozen=True, slots=True)
class TensorType:
    """A value's type: `shape` is () for a scalar; `element` is MLIR's name (`f32`, `i64`).

    `pointer`: the elements are pointers to `element`.
    """

    shape: tuple[int, ...]
    element: str
    pointer: bool = False

    @property
    def elements(self) -> int:
        """Number of elements, 1 for a scalar; at most `MAX_ELEMENTS`."""
        total = 1
        for size in self.shape:
            total = min(total * size, MAX_ELEMENTS)
        return total


@dataclass(frozen=True, slots=True)
class IrRegion:
    """The body of a loop, a branch or a reduction: its arguments and operations."""

    arguments: tuple[str, ...]
    operations: tuple[IrOperation, ...]


@dataclass(frozen=True, slots=True)
class IrOperation:
    """One operation: `name` (`arith.addf`, `tt.load`), the values it makes and takes.

    `types` holds every type of its signature in order, operands before results; `text` is the
    operation's line, for attributes. `targets` are the labels of blocks that it jumps to.
    """

    name: str
    results: tuple[str, ...]
    operands: tuple[str, ...]
    types: tuple[TensorType, ...]
    text: str
    regions: tuple[IrRegion, ...] = ()
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IrFunction:
    """One `tt.func`: its arguments, and its blocks by label; the first block is the entry."""

    name: str
    arguments: tuple[tuple[str, str], ...]  # (value, type as text)
    blocks: tuple[tuple[str, tuple[IrOperation, ...]], ...]

    def block(self, label: str) -> tuple[IrOperation, ...] | None:
        return next((operations for name, operations in self.blocks if name == label), None)

"""A point of a schedule's space: the tile sizes and compiler options of one config."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """Meta-parameters of the tuned kernel by name, in the order of its config list."""

    meta: tuple[tuple[str, int], ...]
    num_warps: int
    num_stages: int

    def __getitem__(self, name: str) -> int:
        return dict(self.meta)[name]

    @classmethod
    def of(cls, num_warps: int, num_stages: int, **meta: int) -> Point:
        return cls(tuple(meta.items()), num_warps, num_stages)

    @classmethod
    def from_items(cls, items: tuple[tuple[str, int], ...]) -> Point:
        """The inverse of `items`."""
        options = dict(items)
        warps, stages = options.pop("num_warps"), options.pop("num_stages")
        return cls(tuple(options.items()), warps, stages)

    @property
    def items(self) -> tuple[tuple[str, int], ...]:
        """Meta-parameters and options alike, as a `ScheduleCandidate` holds them."""
        return (*self.meta, ("num_warps", self.num_warps), ("num_stages", self.num_stages))

    def config_text(self) -> str:
        """The `triton.Config` of this point."""
        meta = ", ".join(f'"{name}": {value}' for name, value in self.meta)
        return (
            f"triton.Config({{{meta}}}, num_warps={self.num_warps}, num_stages={self.num_stages})"
        )

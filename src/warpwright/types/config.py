"""A kernel config: meta-parameters and launch options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MetaValue = int | float | bool | str | None


@dataclass(frozen=True, slots=True)
class Config:
    """One `triton.Config`: meta-parameters, warps, stages.

    Triton's defaults (4 warps, 3 stages) are filled in where the source leaves them out, so
    two configs are equal when they launch the same thing. The hook is a part of that: it may
    clear an output or set a descriptor's block. `explicit`, `line`, `place` and `ignored` only
    say how and where it was written; `ignored` names launch options among the meta-parameters,
    where they have no effect.
    """

    meta: tuple[tuple[str, MetaValue], ...] = ()
    num_warps: int = 4
    num_stages: int = 3
    num_ctas: int = 1
    maxnreg: int | None = None
    explicit: tuple[str, ...] = field(default=(), compare=False)
    line: int | None = field(default=None, compare=False)
    ignored: tuple[str, ...] = field(default=(), compare=False)
    pre_hook: str | None = None  # source text of the hook that runs before each launch
    others: tuple[tuple[str, str], ...] = ()
    """Further arguments of `triton.Config` (`ir_override`), each with its source text."""
    place: int | None = field(default=None, compare=False)  # in the list that it was read from

    @classmethod
    def of(
        cls, meta: Mapping[str, MetaValue] | None = None, num_warps: int = 4, num_stages: int = 3
    ) -> Config:
        """A config from a mapping; the order of meta-parameters is not significant."""
        return cls(tuple(sorted((meta or {}).items())), num_warps, num_stages)

    @property
    def meta_dict(self) -> dict[str, MetaValue]:
        return dict(self.meta)

    def __post_init__(self) -> None:
        object.__setattr__(self, "meta", tuple(sorted(self.meta)))
        object.__setattr__(self, "others", tuple(sorted(self.others)))

    def __str__(self) -> str:
        meta = " ".join(f"{name}={value}" for name, value in self.meta)
        tail = f"warps={self.num_warps} stages={self.num_stages}"
        if self.num_ctas != 1:
            tail += f" ctas={self.num_ctas}"
        if self.maxnreg is not None:
            tail += f" maxnreg={self.maxnreg}"
        tail += "".join(f" {name}={text}" for name, text in self.others)
        return f"{meta} {tail}".strip()

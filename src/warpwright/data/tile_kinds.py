"""Sizes of tiles worth trying: `tiles.toml` as types.

The table ships with the package; a broken table is a bug of ours (`InternalError`).
"""

from __future__ import annotations

import tomllib
from enum import StrEnum
from functools import cache
from importlib import resources

from pydantic import BaseModel, ConfigDict, ValidationError

from warpwright.errors import InternalError


class TileRole(StrEnum):
    """What a tile size counts."""

    ROWS = "rows"
    COLUMNS = "columns"
    DEPTH = "depth"
    LANES = "lanes"


class TileShape(BaseModel):
    """A combination that is known to be good. A role that is None says nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int | None = None
    columns: int | None = None
    depth: int | None = None
    lanes: int | None = None
    warps: int
    stages: int

    def size(self, role: TileRole) -> int | None:
        """The size of a role's tile."""
        value: int | None = getattr(self, role.value)
        return value


class TileKind(BaseModel):
    """What is tried for one kind of kernel; bounds are (least, most), both included."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sizes: dict[TileRole, tuple[int, ...]]
    warps: tuple[int, ...]
    stages: tuple[int, ...]
    elements_a_thread: tuple[int, int]
    usual_a_thread: tuple[int, int]
    elements: tuple[int, int]
    shapes: tuple[TileShape, ...]


class _TilesFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: dict[str, TileKind]


@cache
def tile_kinds() -> dict[str, TileKind]:
    """Every kind by its name: "product", "plain", "outer", "lanes", "plane"."""
    text = resources.files("warpwright.data").joinpath("tiles.toml").read_text(encoding="utf-8")
    try:
        return _TilesFile.model_validate(tomllib.loads(text)).kind
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise InternalError(f"tiles.toml: {error}") from error

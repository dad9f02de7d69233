"""GPU sheets: `gpus.toml` and `sm_limits.toml` as types, and boards by name.

The tables ship with the package. They are validated on the first use; a broken table is a
bug of ours (`InternalError`), never the user's.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, ValidationError

from warpwright.errors import InputError, InternalError, Place
from warpwright.gpus.other_makers import other_maker
from warpwright.types.gpu import ComputeCapability, GpuSheet, SmLimits

PositiveRate = Annotated[float, Field(gt=0, allow_inf_nan=False)]

_CAPABILITY = re.compile(r"(?:sm_)?(\d{1,2})\.?(\d)")
_UNCOUNTED_WORDS = frozenset({"nvidia", "geforce", "tesla", "rtx", "gpu"})


def parse_compute_capability(text: str) -> ComputeCapability | None:
    """`"8.9"`, `"sm_89"` or `"89"` as (8, 9); None where the text is no compute capability."""
    found = _CAPABILITY.fullmatch(text.strip().lower())
    return (int(found[1]), int(found[2])) if found else None


def _capability(value: object) -> ComputeCapability:
    parsed = parse_compute_capability(value) if isinstance(value, str) else None
    if parsed is None:
        raise ValueError(f'expected a compute capability such as "8.9", got {value!r}')
    return parsed


Capability = Annotated[ComputeCapability, BeforeValidator(_capability)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _CommonLimits(_Table):
    source: list[str]
    registers_per_sm: PositiveInt
    registers_per_block: PositiveInt
    max_registers_per_thread: PositiveInt
    register_allocation_unit: PositiveInt
    max_threads_per_block: PositiveInt
    warp_size: PositiveInt
    sub_partitions: PositiveInt


class _Limits(_Table):
    compute_capability: Capability
    source: list[str]
    warps_per_sm: PositiveInt
    blocks_per_sm: PositiveInt
    threads_per_sm: PositiveInt
    shared_bytes_per_sm: PositiveInt
    max_shared_bytes_per_block: PositiveInt
    reserved_shared_bytes_per_block: Annotated[int, Field(ge=0)]
    shared_allocation_unit_bytes: PositiveInt


class _LimitsFile(_Table):
    sources: dict[str, str]
    common: _CommonLimits
    limits: list[_Limits]


class _Board(_Table):
    name: str
    architecture: str
    compute_capability: Capability
    aliases: list[str] = []
    sm_count: PositiveInt
    boost_mhz: PositiveRate | None = None
    tensor_boost_mhz: PositiveRate | None = None
    memory_bandwidth_gb_per_s: PositiveRate | None = None
    l2_bytes: PositiveInt | None = None
    fp32_tflops: PositiveRate | None = None
    tf32_tflops: PositiveRate | None = None
    fp16_tflops: PositiveRate | None = None
    bf16_tflops: PositiveRate | None = None
    fp8_tflops: PositiveRate | None = None
    sources: dict[str, str]


class _BoardsFile(_Table):
    sources: dict[str, str]
    ambiguous: dict[str, list[str]]
    board: list[_Board]


def _read_table(name: str) -> dict[str, object]:
    text = resources.files("warpwright.gpus").joinpath(name).read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def _limits_file() -> _LimitsFile:
    try:
        return _LimitsFile.model_validate(_read_table("sm_limits.toml"))
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise InternalError(f"sm_limits.toml: {error}") from error


@cache
def _boards_file() -> _BoardsFile:
    try:
        return _BoardsFile.model_validate(_read_table("gpus.toml"))
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise InternalError(f"gpus.toml: {error}") from error


@cache
def _all_limits() -> Mapping[ComputeCapability, SmLimits]:
    file = _limits_file()
    common = file.common.model_dump(exclude={"source"})
    return {
        row.compute_capability: SmLimits(**row.model_dump(exclude={"source"}), **common)
        for row in file.limits
    }


def compute_capabilities() -> tuple[ComputeCapability, ...]:
    """Every compute capability that we have limits for, ascending."""
    return tuple(sorted(_all_limits()))


def limits_for(compute_capability: ComputeCapability, *, place: Place | None = None) -> SmLimits:
    """Limits of one SM and one block. Raises `InputError` for an architecture not in the table."""
    found = _all_limits().get(compute_capability)
    if found is None:
        known = ", ".join(f"{major}.{minor}" for major, minor in compute_capabilities())
        raise InputError(
            "no limits are known for this compute capability",
            place=place,
            expected=f"one of {known}",
            got=".".join(map(str, compute_capability)),
            hint="check the compute capability; `docs/gpus.md` tells how to add one",
        )
    return found


def limit_sources(compute_capability: ComputeCapability) -> Mapping[str, str]:
    """Field of `SmLimits` → where its number comes from."""
    file = _limits_file()
    row = next(row for row in file.limits if row.compute_capability == compute_capability)

    def told(keys: list[str]) -> str:
        return "; ".join(file.sources[key] for key in keys)

    fields = dict.fromkeys(row.model_dump(exclude={"source"}), told(row.source))
    common = file.common.model_dump(exclude={"source"})
    return fields | dict.fromkeys(common, told(file.common.source))


def _board_sources(board: _Board, titles: Mapping[str, str]) -> dict[str, str]:
    values = board.model_dump(exclude={"name", "aliases", "sources"}, exclude_none=True)
    unused = board.sources.keys() - values.keys() - {"*"}
    if unused:
        raise InternalError(f"gpus.toml: {board.name}: source for an absent field: {unused}")
    try:
        return {name: titles[board.sources.get(name, board.sources["*"])] for name in values}
    except KeyError as error:
        raise InternalError(f"gpus.toml: {board.name}: no source {error}") from error


def _sheet(board: _Board, titles: Mapping[str, str]) -> GpuSheet:
    values = board.model_dump(exclude={"aliases", "sources"})
    return GpuSheet(
        **values,
        limits=limits_for(board.compute_capability),
        aliases=tuple(board.aliases),
        sources={**limit_sources(board.compute_capability), **_board_sources(board, titles)},
    )


@cache
def all_gpus() -> tuple[GpuSheet, ...]:
    """Every board we have a sheet for, in the order of the table."""
    file = _boards_file()
    return tuple(_sheet(board, file.sources) for board in file.board)


def normalize_gpu_name(name: str) -> str:
    """The part of a board's name that tells it from others, e.g. `4090` or `h100pcie`.

    Case, spaces, punctuation, trade mark signs and the words NVIDIA, GeForce, Tesla, RTX and
    GPU are dropped.
    """
    text = re.sub(r"\((?:r|tm)\)|[®™]", " ", name, flags=re.IGNORECASE)
    text = unicodedata.normalize("NFKC", text).casefold()
    # "rtx4090" and "geforce-rtx 4090": the uncounted words may stick to what follows.
    text = re.sub(r"^[\W_]*((?:nvidia|geforce|tesla|rtx)[\W_]*)+", "", text)
    return "".join(word for word in re.findall(r"[a-z0-9]+", text) if word not in _UNCOUNTED_WORDS)


@cache
def _names() -> Mapping[str, tuple[str, ...]]:
    """Normalised name → names of the boards it fits, the one to take first."""
    file = _boards_file()
    found: dict[str, tuple[str, ...]] = {}
    entries = [(name, tuple(boards)) for name, boards in file.ambiguous.items()]
    for board in file.board:
        entries += [(alias, (board.name,)) for alias in (board.name, *board.aliases)]
    for alias, boards in entries:
        if found.setdefault(normalize_gpu_name(alias), boards) != boards:
            raise InternalError(f"gpus.toml: {alias!r} names several boards")
    return found


def gpu_candidates(name: str) -> tuple[GpuSheet, ...]:
    """The boards that a name fits, the default first; empty where we know none.

    Several only for a name that the table lists as ambiguous, such as `H100`.
    """
    by_name = {sheet.name: sheet for sheet in all_gpus()}
    return tuple(by_name[board] for board in _names().get(normalize_gpu_name(name), ()))


def near_gpu_names(name: str) -> tuple[str, ...]:
    """Names of boards that look like `name`, the nearest first; at most three."""
    wanted = normalize_gpu_name(name[:100])
    near = difflib.get_close_matches(wanted, _names(), n=5, cutoff=0.6)
    return tuple(dict.fromkeys(board for key in near for board in _names()[key]))[:3]


def refuse_other_maker(name: str, place: Place | None) -> None:
    """Raises `InputError`, one sentence, for a board that NVIDIA does not make."""
    refusal = other_maker(name)
    if refusal is not None:
        raise InputError(refusal, place=place, hint="`warpwright gpus` lists the boards it knows")


def find_gpu(name: str, *, place: Place | None = None) -> GpuSheet:
    """The sheet of a board by any of its names ("4090", "RTX 4090", the driver's name).

    A name that fits several boards gives the first of `gpu_candidates`. Raises `InputError`
    with near matches and the list of boards where we know none, and one sentence for a board of
    another maker.
    """
    candidates = gpu_candidates(name)
    if candidates:
        return candidates[0]
    refuse_other_maker(name, place)
    near = near_gpu_names(name)
    raise InputError(
        "unknown GPU",
        place=place,
        expected="one of " + ", ".join(sheet.name for sheet in all_gpus()),
        got=repr(name if len(name) <= 80 else name[:77] + "..."),
        hint=(f"did you mean {' or '.join(near)}? " if near else "")
        + "`warpwright gpus` shows them; a request may also state the board: compute capability, "
        "number of SMs and its rates",
    )

"""The difference between a parent program and a candidate, as typed edits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from warpwright.types.config import Config


class EditKind(StrEnum):
    """What an edit touches. The verifier's rules are written over these."""

    CONFIG_ADDED = "config added"
    CONFIG_REMOVED = "config removed"
    CONFIGS_REORDERED = "configs reordered"
    AUTOTUNE_ADDED = "autotune added"
    AUTOTUNE_REMOVED = "autotune removed"
    AUTOTUNE_ARGUMENT = "autotune argument changed"  # key, reset_to_zero, ...
    HEURISTICS = "heuristics changed"
    KERNEL_ADDED = "kernel added"
    KERNEL_REMOVED = "kernel removed"
    KERNEL_SIGNATURE = "kernel signature changed"
    KERNEL_BODY = "kernel body changed"
    GRID = "grid changed"
    LAUNCH_ARGUMENTS = "launch arguments changed"
    LAUNCH_OPTIONS = "launch options changed"  # num_warps=, num_stages= at the launch
    HOST_CODE = "host code changed"
    IMPORT_ADDED = "import added"
    IMPORT_REMOVED = "import removed"
    MODEL = "model changed"
    OPERATION_REMOVED = "operation removed"  # a load, store, dot, atomic or reduction is gone
    OPERATION_ADDED = "operation added"
    MASK_REMOVED = "mask removed"
    LOOP_BOUND = "loop bound changed"
    COSMETIC = "comments or layout"


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit: where (`subject` is a kernel, function or class), and before → after.

    `line` is in the candidate (in the parent where something is removed). `config` is set
    for edits of the config list.
    """

    kind: EditKind
    subject: str
    before: str | None = None
    after: str | None = None
    line: int | None = None
    config: Config | None = None

"""Which edits a stage is for, which it merely does not forbid, and which it forbids."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from warpwright.types.edit import Edit, EditKind
from warpwright.types.stage import Stage, StageId

_CONFIGS = frozenset(
    {
        EditKind.CONFIG_ADDED,
        EditKind.CONFIG_REMOVED,
        EditKind.CONFIGS_REORDERED,
        EditKind.AUTOTUNE_ADDED,
        EditKind.AUTOTUNE_REMOVED,
        EditKind.AUTOTUNE_ARGUMENT,
        EditKind.LAUNCH_OPTIONS,
    }
)
_KERNEL = frozenset(
    {
        EditKind.KERNEL_BODY,
        EditKind.KERNEL_SIGNATURE,
        EditKind.OPERATION_ADDED,
        EditKind.OPERATION_REMOVED,
        EditKind.MASK_REMOVED,
        EditKind.LOOP_BOUND,
        EditKind.LAUNCH_ARGUMENTS,
        EditKind.HOST_CODE,
        EditKind.HEURISTICS,
    }
)

IN_STAGE: Mapping[StageId, frozenset[EditKind]] = {
    StageId.GRID: _CONFIGS | _KERNEL | {EditKind.GRID},
    StageId.TILING: _CONFIGS | _KERNEL | {EditKind.GRID},
    StageId.MEMORY: _CONFIGS | _KERNEL,
    StageId.TUNING: _CONFIGS,
}
"""What each stage is for. A grid or a tile cannot change without the kernel that indexes it."""

_LOST_WORK = frozenset({EditKind.OPERATION_REMOVED, EditKind.MASK_REMOVED, EditKind.LOOP_BOUND})


def classify_edits(
    stage: Stage, edits: Iterable[Edit], lost: Collection[str] = ()
) -> tuple[tuple[Edit, ...], tuple[Edit, ...], tuple[Edit, ...]]:
    """Edits as (in stage, beyond stage, forbidden).

    Comments, layout and imports belong to every stage (the names check judges imports). In
    the tuning stage lost work is forbidden, in the kernels that are shown to have lost some
    (`lost`, see `rules.semantics`; where inputs are known, outputs decide). A frozen grid forbids
    grid edits. Edits beyond the stage may stay where `verifier.checks.beyond` finds the outputs no
    less exact.
    """
    allowed = IN_STAGE.get(stage.id, _CONFIGS) if stage.id is not None else _CONFIGS
    in_stage: list[Edit] = []
    beyond: list[Edit] = []
    forbidden: list[Edit] = []
    for edit in edits:
        if _forbidden(stage, edit, lost):
            forbidden.append(edit)
        elif edit.kind in allowed or edit.kind in _EVERYWHERE:
            in_stage.append(edit)
        else:
            beyond.append(edit)
    return tuple(in_stage), tuple(beyond), tuple(forbidden)


_EVERYWHERE = frozenset({EditKind.COSMETIC, EditKind.IMPORT_ADDED, EditKind.IMPORT_REMOVED})


def _forbidden(stage: Stage, edit: Edit, lost: Collection[str]) -> bool:
    if edit.kind is EditKind.GRID:
        return stage.rule("grid.frozen") is not None
    is_lost = edit.kind in _LOST_WORK and edit.subject in lost
    return stage.id is StageId.TUNING and is_lost

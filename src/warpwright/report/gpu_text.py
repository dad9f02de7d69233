"""What was taken for the target GPU, where its name or its numbers left a choice."""

from __future__ import annotations

from warpwright.types.gpu import ResolvedGpu


def gpu_notes(gpu: ResolvedGpu) -> list[str]:
    """One sentence each; none where name and numbers are those of one sheet."""
    differing = [
        f"The request states {d.field} = {d.stated}; our sheet has {d.ours} ({d.source}). The "
        "request's value was used."
        for d in gpu.disagreements
    ]
    return [f"The card: {note}." for note in gpu.notes] + differing

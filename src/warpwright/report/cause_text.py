"""Causes in a person's words: the claim, what speaks for it, what is not known, what may help."""

from __future__ import annotations

from warpwright.types.evidence import Origin
from warpwright.types.study import Cause


def headline(cause: Cause) -> str:
    """Its id, and how much of the time it can explain at most."""
    if not cause.share_pct:
        return f"{cause.id} (takes no time by itself)"
    measured = any(e.origin in (Origin.STATED, Origin.MEASURED) for e in cause.evidence)
    where = "of the first call" if cause.id == "tuning-waste" else "of the time"
    told = "" if measured else ", nothing measured"
    return f"{cause.id} (at most {cause.share_pct:.0f} % {where}{told})"


def details(cause: Cause) -> tuple[str, ...]:
    """Evidence, unknowns and moves, one line each; a line only where there is something."""
    lines = [f"evidence: {'; '.join(f'{e.text} ({e.origin})' for e in cause.evidence)}"]
    if cause.unknown:
        lines.append(f"not known: {'; '.join(cause.unknown)}")
    if cause.moves:
        lines.append(f"may help: {', '.join(cause.moves)}")
    if cause.against:
        lines.append(f"cannot help: {', '.join(cause.against)}")
    if not cause.moves and not cause.against:
        lines.append("no change of a config is suggested")
    return tuple(lines)

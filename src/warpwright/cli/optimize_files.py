"""What `optimize` leaves behind: the program, its record, its explanation."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from warpwright.cli.output import write_file


def write_beside(
    folder: Path,
    out: Path | None,
    program: str | None,
    record: BaseModel,
    explanation: str,
    script: str | None = None,
) -> Path:
    """All files beside `out`, or in the run's folder; which of the two."""
    where = folder if out is None else out.parent
    stem = "optimize" if out is None else out.stem
    write_file(where / f"{stem}.record.json", record.model_dump_json(indent=2) + "\n")
    write_file(where / f"{stem}.explanation.md", explanation)
    if program is not None:
        write_file(out or where / "optimize.py", program)
    if script is not None:
        write_file(where / f"{stem}.verify.py", script)
    return where

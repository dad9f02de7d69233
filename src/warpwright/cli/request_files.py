"""The request documents of a walk in a folder, and the replies that lie beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from warpwright.cli.output import expect_writable, read_document, write_file

REQUEST = "{number}-{stage}.md"
REPLY = "{number}-{stage}.reply.md"


def exchange_in(folder: Path) -> Callable[[int, str, str], str | None]:
    """Writes each stage's request there, as `1-grid.md`; gives the text of `1-grid.reply.md`, if
    it is there by then. Raises InputError where the folder cannot be written to."""
    expect_writable(folder / REQUEST.format(number=1, stage="grid"))

    def exchange(number: int, stage: str, text: str) -> str | None:
        write_file(folder / REQUEST.format(number=number, stage=stage), text)
        reply = folder / REPLY.format(number=number, stage=stage)
        return read_document(str(reply)) if reply.exists() else None

    return exchange

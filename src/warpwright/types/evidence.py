"""Where a number comes from. Origins are never mixed, and every number shown says its own."""

from __future__ import annotations

from enum import StrEnum


class Origin(StrEnum):
    """The provenance of a piece of evidence."""

    MEASURED = "measured"  # on a named GPU, by us
    PREDICTED = "predicted"  # by a model, for a named GPU
    COMPILED = "compiled"  # read off the compiler's output for a named target
    STATED = "stated"  # the request says so

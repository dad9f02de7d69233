"""How much of a kind of test `make test` does, and what only `make test-all` does."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import Any

import pytest

QUICK_SHARE = 5
FEWEST = 5


def examples(many: int) -> int:
    """`many`, or a fifth of them where `WARPWRIGHT_THOROUGH` is not set; five at least."""
    if os.environ.get("WARPWRIGHT_THOROUGH"):
        return many
    return min(many, max(FEWEST, many // QUICK_SHARE))


def slow_but(quick: Collection[Any], values: Iterable[Any]) -> list[Any]:
    """Parameters of a test: those of `quick` for `make test`, all for `make test-all`."""
    values = list(values)
    assert all(value in values for value in quick), quick
    return [v if v in quick else pytest.param(v, marks=pytest.mark.slow) for v in values]

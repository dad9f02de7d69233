"""How many examples a property is tried on: few in `make test`, all in `make test-all`."""

from __future__ import annotations

import os

QUICK_SHARE = 5
FEWEST = 5


def examples(many: int) -> int:
    """`many`, or a fifth of them where `WARPWRIGHT_THOROUGH` is not set; five at least."""
    if os.environ.get("WARPWRIGHT_THOROUGH"):
        return many
    return min(many, max(FEWEST, many // QUICK_SHARE))

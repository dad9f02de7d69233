"""Worker: the product's own search for small inputs, over other sizes than the verifier's."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from warpwright.interpreter.sizes import child_shrink, shrink_search
from warpwright.sandbox import child_guard

# None of these is among the product's own, whose last tiles are partial by other amounts.
SMALL = (
    6, 10, 14, 15, 18, 21, 25, 33, 41, 55, 70, 72, 80, 90, 110, 112, 140, 144, 160, 176, 200, 224,
    270, 288, 320, 400, 448, 530, 640, 1040, 1152, 2080, 2304, 4120, 4608, 8200,
)  # fmt: skip
LARGER = (15, 25, 41, 55, 72, 90, 140, 144, 200, 270, 400, 530, 640, 1040, 2080, 4120)


def main() -> None:
    directory = Path(sys.argv[1])
    payload = json.loads((directory / "payload.json").read_text())
    shrink_search.SMALL_SIZES = SMALL
    shrink_search.LARGER_SIZES = LARGER
    child_guard.install(directory)
    answer = child_shrink.perform(payload, directory)
    (directory / "answer.json").write_text(json.dumps(answer))


if __name__ == "__main__":
    main()

"""Mistake: a block that does several tiles carries something from one to the next."""

from __future__ import annotations

import accuracy_trial as trial
import pytest

from warpwright.types.verdict import Status

pytestmark = pytest.mark.triton

HEAD = trial.PRODUCT[
    trial.PRODUCT.index("    place = tl.program_id(0)\n") : trial.PRODUCT.index("    for start")
]
BODY = trial.PRODUCT[trial.PRODUCT.index("    for start") : trial.PRODUCT.index("\n\ndef product(")]


def persistent(*, reset: bool) -> str:
    """The product with as many blocks as the card has multiprocessors."""
    total = "    total = tl.zeros((TILE_R, TILE_C), dtype=tl.float32)\n"
    assert total in HEAD
    lines = HEAD.replace(total, "" if not reset else total)
    lines = lines.replace("    place = tl.program_id(0)\n", "")
    loop = "    tiles = tl.cdiv(ROWS, TILE_R) * across\n" + ("" if reset else total)
    loop += "    for place in range(tl.program_id(0), tiles, tl.num_programs(0)):\n"
    inner = "".join(f"    {line}\n" if line else "\n" for line in (lines + BODY).splitlines())
    return trial.changed(
        trial.PRODUCT.replace(HEAD + BODY, loop + inner),
        ("product_kernel[(blocks,)]", "product_kernel[(min(blocks, processors),)]"),
        ("    blocks =", "    processors = torch.cuda.get_device_properties(0)"
         ".multi_processor_count\n    blocks ="),
    )  # fmt: skip


def test_a_sum_that_is_not_begun_anew_is_refused() -> None:
    wrong = persistent(reset=False)
    assert trial.status_of(trial.PRODUCT, wrong, trial.PRODUCT_PROBLEM) is Status.FAIL


def test_a_persistent_kernel_that_begins_anew_passes() -> None:
    honest = persistent(reset=True)
    assert trial.status_of(trial.PRODUCT, honest, trial.PRODUCT_PROBLEM) is Status.PASS

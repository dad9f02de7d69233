"""What is said of an autotune key and of descriptors: where it is so, and only there."""

from __future__ import annotations

import pytest

from warpwright.analysis.findings_tuning import tuning_findings
from warpwright.gpus.sheets import find_gpu
from warpwright.program.view import read_program

PRODUCT = """
import torch
import triton
import triton.language as tl


@triton.autotune(
    configs=[
        triton.Config({{"BLOCK_M": 64, "BLOCK_K": 32}}, num_warps=4),
        triton.Config({{"BLOCK_M": 128, "BLOCK_K": 64}}, num_warps=8),
    ],
    key={key},
)
@triton.jit
def product(a, b, c, M, K, K_BUCKET, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr):
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    rounds = tl.cdiv(K, BLOCK_K)
    acc = tl.zeros((BLOCK_M,), dtype=tl.float32)
    for k in range(0, rounds):
        acc += tl.load(a + rows * K + k, mask=rows < M)
    tl.store(c + rows, acc, mask=rows < M)


def launch(a, b, c):
    M, K = a.shape
    bucket = triton.next_power_of_2(K)
    grid = lambda meta: (triton.cdiv(M, meta["BLOCK_M"]),)
    product[grid](a, b, c, M, K, bucket)
"""
ROWS = """
import torch
import triton
import triton.language as tl


@triton.autotune(
    configs=[triton.Config({{}}, num_warps=4), triton.Config({{}}, num_warps=8)],
    key={key},
)
@triton.jit
def norm(x, y, count, width, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    value = tl.load(x + row * width + at, mask=at < width)
    tl.store(y + row * width + at, value / count, mask=at < width)


def launch(x, y):
    count, width = x.shape
    BLOCK = triton.next_power_of_2(width)
    norm[(count,)](x, y, count, width, BLOCK)
"""
PERSISTENT = """
import triton
import triton.language as tl


@triton.jit
def copy(source, target, n, workers, BLOCK: tl.constexpr):
    reader = tl.make_tensor_descriptor(source, [n], [1], [BLOCK])
    for tile in range(tl.program_id(0), tl.cdiv(n, BLOCK), workers):
        tl.store(target + tile * BLOCK + tl.arange(0, BLOCK), reader.load([tile * BLOCK]))


def launch(source, target, n):
    copy[(64,)](source, target, n, 64, BLOCK=128)
"""


def found(program: str, key: str = "[]", gpu: str = "RTX 4090", configs: int = 2) -> dict[str, str]:
    view = read_program(program.format(key=key) if "{key}" in program else program)
    findings = tuning_findings(view.kernels[0], view, (), find_gpu(gpu), configs)
    assert len({finding.id for finding in findings}) == len(findings)
    return {finding.id: finding.text for finding in findings}


def test_a_key_that_names_no_argument_is_told_with_what_counts_instead() -> None:
    said = found(PRODUCT, '["M", "K", "N"]')["key-names-no-argument"]
    assert "names N, which is no argument" in said
    assert "only M and K and the dtypes count" in said
    assert "one tuning serves all sizes" in found(PRODUCT, '["N"]')["key-names-no-argument"]
    assert found(PRODUCT, '["M", "K"]') == {}


def test_a_key_without_the_length_of_a_loop_is_told_through_a_local_name() -> None:
    said = found(PRODUCT, '["M"]')["key-misses-argument"]
    assert "leaves out K, which sets how long the loop at line 19 runs" in said


@pytest.mark.parametrize("key", ['["K"]', '["M", "K_BUCKET"]'])
def test_a_key_that_holds_the_size_or_its_bucket_misses_nothing(key: str) -> None:
    assert "key-misses-argument" not in found(PRODUCT, key)


def test_a_key_without_what_a_tile_follows_from_is_told() -> None:
    assert "leaves out BLOCK" in found(ROWS, "[]")["key-misses-argument"]
    assert found(ROWS, '["width"]') == {}


def test_a_key_that_counts_blocks_alone_retunes_per_batch() -> None:
    said = found(ROWS, '["count", "width"]')
    assert set(said) == {"key-retunes-per-batch"}
    assert "each new count times 2 configs again" in said["key-retunes-per-batch"]


def test_one_config_needs_no_key() -> None:
    assert found(PRODUCT, '["N"]', configs=1) == {}


@pytest.mark.parametrize(("gpu", "told"), [("RTX 4090", True), ("A100", True), ("H100", False)])
def test_descriptors_are_told_on_a_card_without_tma(gpu: str, told: bool) -> None:
    said = found(PERSISTENT, gpu=gpu)
    assert set(said) == ({"descriptors-without-tma"} if told else set())
    if told:
        assert "(line 8)" in said["descriptors-without-tma"]


def test_the_number_of_blocks_that_a_loop_steps_by_is_no_missed_argument() -> None:
    tuned = PERSISTENT.replace(
        "@triton.jit",
        "@triton.autotune([triton.Config({'BLOCK': 64}), triton.Config({'BLOCK': 128})], ['n'])\n"
        "@triton.jit",
    ).replace("64, BLOCK=128", "workers(source)")
    assert set(found(tuned, gpu="H100")) == set()

"""Our occupancy arithmetic against NVIDIA's own, compiled from the header in Triton's wheel."""

import importlib.util
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from warpwright.costmodel.occupancy import BLOCKS, REGISTERS, SHARED_MEMORY, WARPS, occupancy
from warpwright.gpus.sheets import compute_capabilities, limits_for

CONFIGURATIONS = 12_000
UNLIMITED = 2**31 - 1

# Reads one configuration a line, prints the calculator's answer. Device properties are those
# that the driver reports: 48 KB a block without opting in. The kernel opts in to all the
# dynamic shared memory there is, as Triton's launcher makes it do.
ORACLE = r"""
#include <stdio.h>
#include "cuda_occupancy.h"

int main(void) {
  int major, minor, threads_per_sm, optin, per_sm, reserved, carveout, barriers;
  int registers, static_bytes, dynamic_bytes, threads;
  while (scanf("%d %d %d %d %d %d %d %d %d %d %d %d", &major, &minor, &threads_per_sm, &optin,
               &per_sm, &reserved, &carveout, &barriers, &registers, &static_bytes,
               &dynamic_bytes, &threads) == 12) {
    struct cudaOccDeviceProp device = {0};
    struct cudaOccFuncAttributes kernel = {0};
    struct cudaOccDeviceState state = {0};
    struct cudaOccResult result = {0};
    device.computeMajor = major;
    device.computeMinor = minor;
    device.maxThreadsPerBlock = 1024;
    device.maxThreadsPerMultiprocessor = threads_per_sm;
    device.regsPerBlock = 65536;
    device.regsPerMultiprocessor = 65536;
    device.warpSize = 32;
    device.sharedMemPerBlock = 49152;
    device.sharedMemPerMultiprocessor = per_sm;
    device.numSms = 1;
    device.sharedMemPerBlockOptin = optin;
    device.reservedSharedMemPerBlock = reserved;
    kernel.maxThreadsPerBlock = 1024;
    kernel.numRegs = registers;
    kernel.sharedSizeBytes = static_bytes;
    kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
    kernel.maxDynamicSharedSizeBytes = optin - static_bytes;
    kernel.numBlockBarriers = barriers;
    state.cacheConfig = CACHE_PREFER_NONE;
    state.carveoutConfig = carveout;
    cudaOccError status = cudaOccMaxActiveBlocksPerMultiprocessor(
        &result, &device, &kernel, &state, threads, dynamic_bytes);
    printf("%d %d %u %d %d %d %d\n", (int)status, result.activeBlocksPerMultiprocessor,
           result.limitingFactors, result.blockLimitWarps, result.blockLimitBlocks,
           result.blockLimitRegs, result.blockLimitSharedMem);
  }
  return 0;
}
"""

FACTORS = {0x01: WARPS, 0x08: BLOCKS, 0x02: REGISTERS, 0x04: SHARED_MEMORY}

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    triton = importlib.util.find_spec("triton")
    if triton is None or triton.origin is None:
        pytest.skip("Triton is not installed")
    include = Path(triton.origin).parent / "backends" / "nvidia" / "include"
    if not (include / "cuda_occupancy.h").is_file():
        pytest.skip("this Triton ships no cuda_occupancy.h")
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    folder = tmp_path_factory.mktemp("oracle")
    (folder / "oracle.c").write_text(ORACLE)
    command = ["gcc", "-std=gnu11", "-O1", "-w", f"-I{include}", "oracle.c", "-o", "oracle"]
    subprocess.run(command, cwd=folder, check=True, timeout=120)
    return folder / "oracle"


def ask(oracle, limits, configurations, carveout=-1, barriers=0):
    """The calculator's answer for each (registers, static, dynamic, threads)."""
    device = (
        *limits.compute_capability,
        limits.threads_per_sm,
        limits.max_shared_bytes_per_block,
        limits.shared_bytes_per_sm,
        limits.reserved_shared_bytes_per_block,
        carveout,
        barriers,
    )
    lines = (" ".join(map(str, (*device, *row))) for row in configurations)
    done = subprocess.run(
        [oracle], input="\n".join(lines), capture_output=True, text=True, check=True, timeout=120
    )
    answers = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(answers) == len(configurations)
    assert all(status == 0 for status, *_ in answers)
    return answers


def random_configurations(limits, seed):
    """Shapes that kernels have, shapes that they never have, and the edges between."""
    draw = random.Random(seed)
    most_shared = limits.max_shared_bytes_per_block
    rows = []
    for _ in range(CONFIGURATIONS):
        threads = draw.choice(
            [32 * 2 ** draw.randrange(6), 32 * draw.randint(1, 32), draw.randint(1, 1100)]
        )
        registers = draw.choice([draw.randint(0, 255), 8 * draw.randint(0, 32), 255])
        blocks = draw.randint(1, 33)
        edge = limits.shared_bytes_per_sm // blocks - limits.reserved_shared_bytes_per_block
        shared = draw.choice(
            [
                0,
                draw.randint(0, most_shared + 3000),
                1024 * draw.randint(0, most_shared // 1024 + 2),
                max(0, edge + draw.randint(-130, 130)),
                most_shared + draw.randint(-2, 2),
            ]
        )
        static = draw.choice([0, min(shared, draw.randint(0, 49_152))])
        rows.append((registers, static, shared - static, threads))
    return rows


@pytest.mark.parametrize("capability", compute_capabilities())
def test_occupancy_equals_the_calculators(oracle, capability):
    limits = limits_for(capability)
    rows = random_configurations(limits, seed=repr(capability))
    differences = []
    runnable = 0
    for row, answer in zip(rows, ask(oracle, limits, rows), strict=True):
        _, blocks, factors, *caps = answer
        expected = dict(zip((WARPS, BLOCKS, REGISTERS, SHARED_MEMORY), caps, strict=True))
        expected = {limiter: cap for limiter, cap in expected.items() if cap != UNLIMITED}
        limiters = {limiter for bit, limiter in FACTORS.items() if factors & bit}
        registers, static, dynamic, threads = row
        ours = occupancy(limits, registers, static + dynamic, threads)
        if (ours.blocks_per_sm, set(ours.limiters), ours.limits) != (blocks, limiters, expected):
            differences.append((row, ours, answer))
        runnable += blocks > 0
    assert not differences, differences[:5]
    # The draw must reach both sides, or equality would say little.
    assert CONFIGURATIONS // 4 < runnable < CONFIGURATIONS * 0.95


@pytest.mark.parametrize("capability", compute_capabilities())
def test_one_barrier_and_the_largest_carveout_change_no_block_count(oracle, capability):
    limits = limits_for(capability)
    rows = random_configurations(limits, seed=f"barrier {capability}")
    plain = [blocks for _, blocks, *_ in ask(oracle, limits, rows)]
    one_barrier = [blocks for _, blocks, *_ in ask(oracle, limits, rows, barriers=1)]
    prefer_shared = [blocks for _, blocks, *_ in ask(oracle, limits, rows, carveout=100)]
    assert one_barrier == plain
    assert prefer_shared == plain


@pytest.mark.parametrize("capability", compute_capabilities())
def test_256_registers_count_as_255_as_the_calculator_has_it(oracle, capability):
    limits = limits_for(capability)
    for registers in (254, 255, 256, 257, 300):
        [(_, blocks, *_)] = ask(oracle, limits, [(registers, 0, 0, 64)])
        assert occupancy(limits, registers, 0, 64).blocks_per_sm == blocks

"""Predicted times: rates of a card that kernels like these reach, and what each pass costs.

Only for ranking what to try first. The shares were seen on an H100 (docs/log/conv2d.md).
"""

from __future__ import annotations

from warpwright.types.conv2d import Conv2dLayer, Precision
from warpwright.types.gpu import GpuSheet

LANES = 128  # instructions of a thread that a multiprocessor issues a cycle
LAUNCH_US = 4.0  # one more small kernel in the stream
_MEMORY_SHARE = 0.88  # of the published bandwidth, by a kernel that only copies
_TENSOR_SHARE = 0.70  # of the published rate: clocks fall under load
_L2_BYTES_PER_SM_US = 57e3  # 7.5 TB/s over 132 multiprocessors
_CLOCK_SHARE = 0.81  # of the boost clock, under load
_DEFAULT_MHZ = 2000.0
_DEFAULT_GB_PER_S = 900.0
_DEFAULT_TFLOPS = 80.0


def memory_us(gpu: GpuSheet, moved_bytes: float) -> float:
    """Time to move bytes to and from memory."""
    rate = (gpu.memory_bandwidth_gb_per_s or _DEFAULT_GB_PER_S) * 1e3 * _MEMORY_SHARE
    return moved_bytes / rate


def l2_us(gpu: GpuSheet, moved_bytes: float) -> float:
    """Time to move bytes from L2 into the multiprocessors."""
    return moved_bytes / (_L2_BYTES_PER_SM_US * gpu.sm_count)


def issue_us(gpu: GpuSheet, cycles: float) -> float:
    """Time of cycles that all multiprocessors share."""
    mhz = (gpu.boost_mhz or _DEFAULT_MHZ) * _CLOCK_SHARE
    return cycles / (gpu.sm_count * mhz)


def multiply_us(gpu: GpuSheet, layer: Conv2dLayer, precision: Precision, flops: float) -> float:
    """Time of products on the units that the precision asks for."""
    if layer.dtype != "float32":
        rate = gpu.fp16_tflops if layer.dtype == "float16" else gpu.bf16_tflops
        share = _TENSOR_SHARE
    elif precision is Precision.STRICT:
        rate, share = gpu.fp32_tflops, 0.35  # operands come from shared memory by ordinary loads
    else:
        rate, share = gpu.tf32_tflops, _TENSOR_SHARE
        share /= 4.0 if precision is Precision.TF32X3 else 1.0
    return flops / ((rate or _DEFAULT_TFLOPS) * 1e6 * share)


def waves(blocks: int, gpu: GpuSheet, blocks_per_sm: int) -> float:
    """How much longer a grid takes for its last, partly filled wave; at least 1."""
    slots = gpu.sm_count * blocks_per_sm
    full = -(-blocks // slots)
    return full * slots / blocks

"""What the norms' kernels have in common."""

import functools

import torch
import triton


@functools.lru_cache(maxsize=None)
def sm_count(device_index=None):
    """Multiprocessors of a card."""
    if device_index is None:
        device_index = torch.cuda.current_device()
    return torch.cuda.get_device_properties(device_index).multi_processor_count


def settings_for(columns):
    """Block size and warps for rows of that many columns."""
    block = triton.next_power_of_2(columns)
    if block > 65536:
        raise RuntimeError(f"{columns} columns exceed the widest block, 65536")
    num_warps = 4
    if block >= 32768:
        num_warps = 32
    elif block >= 8192:
        num_warps = 16
    elif block >= 2048:
        num_warps = 8
    return block, num_warps


def ensure_contiguous(function):
    """Makes the tensors that a function is given contiguous."""

    @functools.wraps(function)
    def wrapper(ctx, *args, **kwargs):
        args = [a.contiguous() if isinstance(a, torch.Tensor) else a for a in args]
        return function(ctx, *args, **kwargs)

    return wrapper

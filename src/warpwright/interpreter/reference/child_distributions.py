"""Inside the reference child: other values for the same inputs.

Only floating-point tensors get new values. What the problem's own values have in common is kept:
zeros that form a pattern (triangular, diagonal), symmetry. Integer and boolean inputs stay.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

ZERO_PATTERN = 0.1  # a share of exact zeros above this is a pattern, not chance
OUTLIER_SHARE = 0.002
OUTLIER_SCALE = 300.0
DECADES = 3.0  # "wide" spans this many powers of ten to each side of 1
LARGE, LARGE_HALF = 1e5, 100.0
OFFSET, OFFSET_HALF = 300.0, 30.0
NARROW_DECADES = 1.5  # for 16-bit floats, whose sums overflow otherwise


def normal(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Standard normal values."""
    return torch.randn(like.shape, generator=generator, dtype=torch.float64, device=like.device)


def wide(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Magnitudes spread evenly over six decades (three for 16-bit floats), random signs."""
    decades = DECADES if like.element_size() >= 4 else NARROW_DECADES

    def uniform() -> torch.Tensor:
        return torch.rand(like.shape, generator=generator, dtype=torch.float64, device=like.device)

    exponent = (uniform() * 2 - 1) * decades
    sign = uniform() < 0.5
    return torch.where(sign, -1.0, 1.0) * 10.0**exponent


def outliers(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Standard normal values, of which a few are 300 times as large."""
    values = normal(like, generator)
    flat = values.reshape(-1)
    chosen = _choose(flat.numel(), OUTLIER_SHARE, generator)
    flat[chosen] *= OUTLIER_SCALE
    return flat.reshape(like.shape)


def nonfinite(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Standard normal values with one NaN, one +Inf and one -Inf among them."""
    values = normal(like, generator)
    flat = values.reshape(-1)
    chosen = _choose(flat.numel(), 3 / max(1, flat.numel()), generator)
    for index, special in zip(chosen.tolist(), (float("nan"), float("inf"), -float("inf"))):  # noqa: B905
        flat[index] = special
    return flat.reshape(like.shape)


def negative(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Standard normal values of one sign: code that passes over what is not positive shows."""
    return -normal(like, generator).abs()


def large(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Normal values, most beyond what 16-bit floats hold (of those: a hundred times as large)."""
    scale = LARGE if like.element_size() >= 4 else LARGE_HALF
    return scale * normal(like, generator)


def offset(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Values close together and far from zero, of which differences lose most digits."""
    centre = OFFSET if like.element_size() >= 4 else OFFSET_HALF
    return centre + normal(like, generator)


DISTRIBUTIONS: dict[str, Callable[[torch.Tensor, torch.Generator], torch.Tensor]] = {
    "normal": normal,
    "wide": wide,
    "outliers": outliers,
    "nonfinite": nonfinite,
    "negative": negative,
    "large": large,
    "offset": offset,
}


MOST_PERMUTED = 2**30  # indices: CUDA sorts no 2³¹, and holds several copies of them


def _choose(count: int, share: float, generator: torch.Generator) -> torch.Tensor:
    """So many different places."""
    number = min(count, max(1, round(count * share)))
    if count > MOST_PERMUTED:
        drawn = torch.randint(count, (number,), generator=generator, device=generator.device)
        return torch.unique(drawn)
    return torch.randperm(count, generator=generator, device=generator.device)[:number]


def redraw(
    tensors: list[torch.Tensor], name: str, seed: int, *, positive: bool = False
) -> list[torch.Tensor]:
    """New values for the floating-point tensors; `positive` takes their absolute values.

    Drawn on the device of each tensor, so that a seed gives the same values in every process on
    one kind of device, and other values on another kind.
    """
    generators: dict[torch.device, torch.Generator] = {}
    drawn = []
    for tensor in tensors:
        if tensor.device not in generators:
            fresh = torch.Generator(device=tensor.device).manual_seed(seed)
            generators[tensor.device] = fresh
        generator = generators[tensor.device]
        if not tensor.is_floating_point():
            drawn.append(tensor.clone())
            continue
        values = DISTRIBUTIONS[name](tensor, generator)
        values = values.abs() if positive else values
        drawn.append(_same_structure(values, tensor).to(tensor.dtype))
    return drawn


def _same_structure(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    zeros = like == 0
    if like.numel() > 1 and zeros.double().mean().item() > ZERO_PATTERN:
        values = torch.where(zeros, torch.zeros_like(values), values)
    square = like.dim() >= 2 and like.shape[-1] == like.shape[-2] > 1
    if square and torch.equal(like, like.transpose(-1, -2)):
        lower = torch.tril(values)
        values = lower + torch.tril(values, -1).transpose(-1, -2)
    return values


def perturb_constants(state: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor] | None:
    """The state with constant tensors (zero biases, unit scales) given different values.

    A program that leaves out a bias is right as long as the bias is zero. None when the state
    has no constant floating-point tensor of more than one element.
    """
    generator = torch.Generator().manual_seed(seed)
    changed = dict(state)
    for name, tensor in state.items():
        if not tensor.is_floating_point() or tensor.numel() < 2:
            continue
        if bool((tensor == tensor.reshape(-1)[0]).all()):
            step = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
            changed[name] = (tensor.double() + 0.25 * step.to(tensor.device)).to(tensor.dtype)
    return changed if any(changed[name] is not state[name] for name in state) else None


def change_values(
    state: dict[str, torch.Tensor], names: set[str], seed: int
) -> dict[str, torch.Tensor]:
    """The state with all floating-point tensors of these names changed by up to a half, and zeros
    given values: what a step of training does, only larger."""
    generator = torch.Generator().manual_seed(seed)
    changed = dict(state)
    for name, tensor in state.items():
        if name not in names or not tensor.is_floating_point():
            continue
        step = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
        values = tensor.double().cpu()
        moved = torch.where(values == 0, 0.25 * step, values * (1 + 0.5 * step))
        changed[name] = moved.to(tensor)
    return changed

"""Inside the reference process: errors of outputs against the reference, where they lie.

The same measures as `verifier/outputs/precision.py` has for numpy arrays, in parts that fit beside
them on a GPU; a test holds both equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from warpwright.interpreter.reference.child_state import same_bits
from warpwright.sandbox import child_tensors

Named = list[tuple[str, torch.Tensor]]
CHUNK_ELEMENTS = 1 << 26
UNIT_ROUNDOFF = 2.0**-24


def output_numbers(got: Named, reference: Named, policy: Named) -> list[dict[str, Any]]:
    """By output: form, and where it is eager's, error and misplaced NaN and Inf."""
    wanted = {
        name: (right, eager) for (name, right), (_, eager) in zip(reference, policy, strict=True)
    }
    numbers = []
    for name, value in got:
        entry = _form(name, value)
        right, eager = wanted.get(name, (None, None))
        if right is not None and eager is not None and _same_form(value, eager):
            entry["error"] = _error(value, right, eager)
            entry["nonfinite"] = _nonfinite(value, right, eager)
        numbers.append(entry)
    return numbers


def reference_numbers(
    reference: Named, policy: Named, shaken: Named | None
) -> list[dict[str, Any]]:
    """By output: eager's form and error, conditioning, and what the reference can tell."""
    numbers = []
    for index, ((name, right), (_, eager)) in enumerate(zip(reference, policy, strict=True)):
        moved = None if shaken is None else shaken[index][1]
        numbers.append(
            {
                **_form(name, eager),
                "policy_error": _error(eager, right, eager),
                "conditioning": _conditioning(right, moved),
                **_content(right, eager),
            }
        )
    return numbers


def against_parent(got: Named, parent: Named | None) -> dict[str, Any]:
    """Bit-equality with the parent's outputs, and the largest distance from them."""
    if parent is None:
        return {"bit_equal": None, "apart": None, "apart_nonfinite": None, "parent_finite": True}
    same = [n for n, _ in got] == [n for n, _ in parent]
    same = same and all(_same_form(a, b) for (_, a), (_, b) in zip(got, parent, strict=True))
    if not same:
        return {"bit_equal": False, "apart": None, "apart_nonfinite": None, "parent_finite": True}
    pairs = [(a, b) for (_, a), (_, b) in zip(got, parent, strict=True)]
    errors = [_error(a, b, b) for a, b in pairs]
    wrong = [(found, b) for a, b in pairs if (found := _nonfinite(a, b, b)) is not None]
    return {
        "bit_equal": all(same_bits(a, b) for a, b in pairs),
        "apart": max(errors, key=lambda error: error[0], default=(0.0, 0.0)),
        "apart_nonfinite": wrong[0][0] if wrong else None,
        "parent_finite": not wrong or bool(torch.isfinite(wrong[0][1]).any()),
    }


def _form(name: str, value: torch.Tensor) -> dict[str, Any]:
    dtype = child_tensors.dtype_name(value.dtype)
    return {"name": name, "dtype": dtype, "shape": list(value.shape)}


def _same_form(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool(a.dtype == b.dtype and a.shape == b.shape)


def _is_exact(dtype: torch.dtype) -> bool:
    return not dtype.is_floating_point and not dtype.is_complex


def _parts(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    flat = [tensor.reshape(-1) for tensor in tensors]
    for first in range(0, flat[0].numel(), CHUNK_ELEMENTS):
        yield tuple(tensor[first : first + CHUNK_ELEMENTS] for tensor in flat)


def _wide(values: torch.Tensor) -> torch.Tensor:
    return values.to(torch.complex128 if values.is_complex() else torch.float64)


def _kinds(values: torch.Tensor) -> torch.Tensor:
    """By element: 0 finite, 1 NaN, 2 +Inf, 3 -Inf (complex: 0 or 1)."""
    if _is_exact(values.dtype):
        return torch.zeros(values.shape, dtype=torch.int8, device=values.device)
    wide = values if values.is_complex() else values.double()
    found = (~torch.isfinite(wide)).to(torch.int8)
    if not values.is_complex():
        found[torch.isposinf(wide)] = 2
        found[torch.isneginf(wide)] = 3
    return found


def _error(value: torch.Tensor, right: torch.Tensor, eager: torch.Tensor) -> tuple[float, float]:
    """`relative_l2` and `relative_max` over what is finite in reference and eager output.

    For integers and booleans both are the share of elements that differ.
    """
    if value.numel() == 0:
        return 0.0, 0.0
    if _is_exact(eager.dtype):
        differ = sum(int((a.double() != b.double()).sum()) for a, b in _parts(value, right))
        return (differ / value.numel(),) * 2
    squares = scale = 0.0
    largest = largest_right = 0.0
    for y, r, e in _parts(value, right, eager):
        kept = (_kinds(r) == 0) & (_kinds(e) == 0)
        wide_r = _wide(r)[kept]
        if wide_r.numel() == 0:
            continue
        difference = (_wide(y)[kept] - wide_r).abs()
        squares += float((difference * difference).sum())
        scale += float((wide_r.abs() ** 2).sum())
        largest = _larger(largest, float(difference.max()))
        largest_right = max(largest_right, float(wide_r.abs().max()))
    return _ratio(math.sqrt(squares), math.sqrt(scale)), _ratio(largest, largest_right)


def _larger(a: float, b: float) -> float:
    return b if math.isnan(b) or b > a else a


def _ratio(error: float, scale: float) -> float:
    if error == 0:
        return 0.0
    return error / scale if scale > 0 else math.inf


def _nonfinite(
    value: torch.Tensor, right: torch.Tensor, eager: torch.Tensor
) -> dict[str, Any] | None:
    count, first, start = 0, None, 0
    for y, r, e in _parts(value, right, eager):
        wanted = _kinds(r)
        wrong = (wanted == _kinds(e)) & (_kinds(y) != wanted)
        found = int(wrong.sum())
        if found and first is None:
            first = start + int(wrong.to(torch.uint8).argmax())
        count += found
        start += y.numel()
    if first is None:
        return None
    place = []
    for extent in reversed(value.shape):
        first, index = divmod(first, extent)
        place.append(index)
    return {"count": count, "size": value.numel(), "place": place[::-1]}


def _conditioning(right: torch.Tensor, moved: torch.Tensor | None) -> float:
    """Relative change of the output (L2) over that of the inputs, where both are finite."""
    if moved is None or not right.is_floating_point() or right.shape != moved.shape:
        return 0.0
    squares = scale = 0.0
    for r, s in _parts(right, moved):
        kept = torch.isfinite(r) & torch.isfinite(s)
        scale += float((r[kept] ** 2).sum())
        squares += float(((s - r)[kept] ** 2).sum())
    return math.sqrt(squares / scale) / UNIT_ROUNDOFF if scale > 0 else 0.0


def _content(right: torch.Tensor, eager: torch.Tensor) -> dict[str, Any]:
    finite, largest, low, high = 0, 0.0, math.inf, -math.inf
    constant_complex = not right.is_complex()
    for r, e in _parts(right, eager):
        kept = _wide(r)[(_kinds(r) == 0) & (_kinds(e) == 0)]
        if kept.numel() == 0:
            continue
        finite += kept.numel()
        largest = max(largest, float(kept.abs().max()))
        size = kept.abs() if kept.is_complex() else kept
        low, high = min(low, float(size.min())), max(high, float(size.max()))
    constant = finite > 1 and low == high and constant_complex
    return {"finite": finite, "largest": largest, "constant": constant}

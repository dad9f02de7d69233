"""Inside a child: tensors to files and back, nested values to flat lists and back."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from warpwright.sandbox import arrays

BIT_VIEWS = {
    "bfloat16": torch.uint16,
    "float8_e4m3fn": torch.uint8,
    "float8_e5m2": torch.uint8,
}


class UnsupportedValueError(Exception):
    """A value that is no tensor, number, or list/tuple/dict of these."""


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def dtype_of(name: str) -> torch.dtype:
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise UnsupportedValueError(f"unknown dtype {name!r}")
    return dtype


def save(tensor: torch.Tensor, directory: Path, file: str, name: str) -> dict[str, str]:
    """Write a tensor; its manifest entry."""
    dtype = dtype_name(tensor.dtype)
    plain = tensor.detach().contiguous().resolve_conj().resolve_neg()
    if dtype in BIT_VIEWS:
        plain = plain.view(BIT_VIEWS[dtype])
    arrays.write_bits(directory, file, plain.numpy())
    return {"name": name, "dtype": dtype, "file": file}


def load(directory: Path, entry: Mapping[str, Any]) -> torch.Tensor:
    """The tensor that `save` wrote; fresh storage."""
    tensor = torch.from_numpy(arrays.read_bits(directory, entry["file"]).copy())
    dtype = entry["dtype"]
    return tensor.view(dtype_of(dtype)) if dtype in BIT_VIEWS else tensor


def flatten(value: Any, name: str) -> list[tuple[str, torch.Tensor]]:
    """All tensors of an output, each with where it stands; numbers become 0-d tensors."""
    if isinstance(value, torch.Tensor):
        if type(value) not in (torch.Tensor, torch.nn.Parameter):
            kind = type(value).__name__
            raise UnsupportedValueError(f"{name} is a {kind}, not a plain torch.Tensor")
        return [(name, value)]
    if isinstance(value, (bool, int, float)):
        return [(name, torch.tensor(value, dtype=torch.float64))]
    if value is None:
        return []
    if isinstance(value, Mapping):
        items = [(f"{name}[{key!r}]", item) for key, item in value.items()]
    elif isinstance(value, (list, tuple)):
        items = [(f"{name}[{index}]", item) for index, item in enumerate(value)]
    else:
        raise UnsupportedValueError(f"{name} is a {type(value).__name__}")
    return [pair for item_name, item in items for pair in flatten(item, item_name)]


def to_structure(value: Any, tensors: list[torch.Tensor]) -> Any:
    """A JSON-able picture of nested arguments; tensors are appended to `tensors`."""
    if isinstance(value, torch.Tensor):
        tensors.append(value)
        return {"tensor": len(tensors) - 1}
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [to_structure(item, tensors) for item in value]}
    if isinstance(value, Mapping):
        return {"dict": [[key, to_structure(item, tensors)] for key, item in value.items()]}
    return {"literal": literal(value)}


def from_structure(structure: Mapping[str, Any], tensors: Sequence[torch.Tensor]) -> Any:
    """The inverse of `to_structure`."""
    if "tensor" in structure:
        return tensors[structure["tensor"]]
    if "literal" in structure:
        return ast.literal_eval(structure["literal"])
    build: Callable[[Any], Any]
    if "dict" in structure:
        return {key: from_structure(item, tensors) for key, item in structure["dict"]}
    kind, build = ("tuple", tuple) if "tuple" in structure else ("list", list)
    return build(from_structure(item, tensors) for item in structure[kind])


def literal(value: Any) -> str:
    """The value as text that `ast.literal_eval` reads back; raises when there is none."""
    text = repr(value)
    try:
        same = ast.literal_eval(text) == value
    except (ValueError, SyntaxError, TypeError):
        same = False
    if not same:
        raise UnsupportedValueError(f"{type(value).__name__} is no plain value: {text[:80]}")
    return text


def storage_of(tensor: torch.Tensor) -> int:
    """A number that tensors on one storage share."""
    return int(tensor.untyped_storage()._cdata)


def tensors_of(value: Any) -> list[torch.Tensor]:
    """Every tensor in a value, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in tensors_of(item)]
    return []

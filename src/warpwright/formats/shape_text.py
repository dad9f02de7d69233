"""Shapes on the command line: `--input 256x3x224x224:float16` and `--init ...` to types."""

from __future__ import annotations

import ast
import json
import math
import re
from typing import Any

from warpwright.errors import InputError, Place
from warpwright.formats.python_text import parse_python
from warpwright.types.shapes import TensorSpec

MAX_DIMENSIONS = 16
MAX_ELEMENTS = 2**40
"""Larger tensors fit no GPU; a shape above it is a slip of the keyboard."""
MAX_INIT_CHARS = 10_000

DTYPES = (
    "float32",
    "float16",
    "bfloat16",
    "float64",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
    "float8_e4m3fn",
    "float8_e5m2",
)
_ALIASES = {
    "float": "float32",
    "fp32": "float32",
    "f32": "float32",
    "half": "float16",
    "fp16": "float16",
    "f16": "float16",
    "bf16": "bfloat16",
    "double": "float64",
    "fp64": "float64",
    "f64": "float64",
    "long": "int64",
    "int": "int32",
    "i64": "int64",
    "i32": "int32",
}
_PLACE = Place("command line", "--input")
_INIT_PLACE = Place("command line", "--init")
_LOOKS = "sizes and an optional dtype, such as 256x3x224x224 or 64x128:float16; `scalar` has none"
_NEW_PAIR = re.compile(r"(?<=[^\s,(\[{=:])\s+(?=[A-Za-z_]\w*\s*=)")


def _refuse(text: str, why: str) -> InputError:
    shown = text if len(text) <= 80 else text[:77] + "..."
    return InputError(
        f"the input shape cannot be read: {why}", place=_PLACE, expected=_LOOKS, got=repr(shown)
    )


def parse_dtype(name: str) -> str:
    """A dtype by torch's name, with or without `torch`, or by a common short name."""
    wanted = name.strip().lower().removeprefix("torch.")
    wanted = _ALIASES.get(wanted, wanted)
    if wanted in DTYPES:
        return wanted
    raise InputError(
        "unknown dtype", place=_PLACE, expected="one of " + ", ".join(DTYPES), got=repr(name[:40])
    )


def _sizes(text: str, whole: str) -> tuple[int, ...]:
    if text in ("scalar", "()"):
        return ()
    parts = re.split(r"\s*[x×*,]\s*", text.strip("()[] \t").rstrip(", "))
    if len(parts) > MAX_DIMENSIONS:
        raise _refuse(whole, f"more than {MAX_DIMENSIONS} dimensions")
    sizes = []
    for part in parts:
        if not (part.isascii() and part.isdigit()) or len(part) > 15:
            raise _refuse(whole, f"{part[:20]!r} is no size")
        sizes.append(int(part))
    if 0 in sizes:
        raise _refuse(whole, "a size is 0, so the tensor is empty")
    if math.prod(sizes) > MAX_ELEMENTS:
        raise _refuse(whole, f"more than {MAX_ELEMENTS:,} elements")
    return tuple(sizes)


def parse_input(text: str) -> TensorSpec:
    """`256x3x224x224`, `64x128:float16` or `scalar:int64` as a tensor; float32 by default.

    Raises `InputError` for anything else.
    """
    if len(text) > 500:
        raise _refuse(text, "it is too long")
    sizes, colon, dtype = text.strip().lower().partition(":")
    if not sizes.strip():
        raise _refuse(text, "it has no sizes")
    return TensorSpec(_sizes(sizes.strip(), text), parse_dtype(dtype) if colon else "float32")


def _no_init(text: str, why: str) -> InputError:
    return InputError(
        f"the constructor arguments cannot be read: {why}",
        place=_INIT_PLACE,
        expected="a JSON list such as [32, 64, [5, 9]], or pairs such as features=64, bias=True",
        got=repr(text if len(text) <= 80 else text[:77] + "..."),
    )


class _JsonNames(ast.NodeTransformer):
    """`true`, `false` and `null` as Python's constants."""

    _VALUES = {"true": True, "false": False, "null": None}  # noqa: RUF012

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self._VALUES:
            return ast.copy_location(ast.Constant(self._VALUES[node.id]), node)
        return node


def _literal(node: ast.expr, text: str) -> Any:
    try:
        return ast.literal_eval(_JsonNames().visit(node))
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        raise _no_init(text, "a value is no literal (quote strings)") from error


def _call_tree(text: str) -> ast.Module:
    """Arguments as a Python call; where that fails, blanks between pairs count as commas."""
    try:
        return parse_python(f"_(\n{text}\n)")
    except InputError:
        try:
            return parse_python(f"_(\n{_NEW_PAIR.sub(', ', text)}\n)")
        except InputError as error:
            raise _no_init(text, error.what) from error


def _call_arguments(text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    tree = _call_tree(text)
    statement = tree.body[0] if len(tree.body) == 1 else None
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise _no_init(text, "these are no arguments")
    keywords: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg in keywords:
            raise _no_init(text, "a name is missing or given twice")
        keywords[keyword.arg] = _literal(keyword.value, text)
    return tuple(_literal(value, text) for value in call.args), keywords


def parse_init(text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Constructor arguments: a JSON list (positional), a JSON object (by name), or `key=value`
    pairs, positional values before them allowed. Values are JSON or Python literals.

    Returns positional arguments and arguments by name. Raises `InputError` for anything else.
    """
    if len(text) > MAX_INIT_CHARS:
        raise _no_init(text, "it is too long")
    if not text.strip():
        return (), {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        args, keywords = _call_arguments(text)
        is_one_list = len(args) == 1 and isinstance(args[0], list) and not keywords
        return (tuple(args[0]), {}) if is_one_list else (args, keywords)
    if isinstance(value, list):
        return tuple(value), {}
    return ((), value) if isinstance(value, dict) else ((value,), {})

"""However an address is put together: both texts give each element of the tile the same number.

The addresses are worked out by numpy with 32-bit numbers, which wrap as the hardware's do.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.split_address import apart_rewrite as apart
from warpwright.types.candidate import Claim, Move

ROWS, COLUMNS = 4, 8
HEAD = """\
import triton
import triton.language as tl


@triton.jit
def k(x_ptr, y_ptr, A, B, C: tl.constexpr, M: tl.constexpr, N: tl.constexpr):
    m = tl.program_id(0) * M + tl.arange(0, M)
    n = tl.arange(0, N)
    m_tile = m[:, None]
    n_tile = n[None, :] * C
"""
LEAVES = (
    "m[:, None]", "n[None, :]", "m_tile", "n_tile", "(m // 3)[:, None]", "(n % 3)[None, :]", "A",
    "B", "C", "5", "(m * C + 1)[:, None]", "(A * B)",
)  # fmt: skip


@dataclass(frozen=True)
class Kernel:
    source: str


@st.composite
def sums(draw: st.DrawFn, depth: int = 0) -> str:
    if depth > 3 or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(LEAVES))
    kind = draw(st.sampled_from(["+", "+", "-", "*", "neg"]))
    left = draw(sums(depth + 1))
    if kind == "neg":
        return f"(-({left}))"
    if kind == "*":
        factor = draw(st.sampled_from(["A", "B", "C", "7", "(A + B)", "1234"]))
        return f"({factor} * ({left}))" if draw(st.booleans()) else f"(({left}) * {factor})"
    return f"(({left}) {kind} ({draw(sums(depth + 1))}))"


@st.composite
def kernels(draw: st.DrawFn) -> Kernel:
    lines = [f"    part = {draw(sums())}", f"    other = part + ({draw(sums())})"]
    used = draw(st.sampled_from(["part", "other", "other - part", "other * C + part"]))
    pointer = draw(st.sampled_from(["x_ptr", "x_ptr + m[:, None]", "x_ptr + A"]))
    whole = f"{pointer} + ({used} + m[:, None] + n[None, :] + m[:, None] * n_extra)"
    whole = whole.replace(" + m[:, None] * n_extra", "")
    if draw(st.booleans()):
        lines += [f"    address = {whole}", "    x = tl.load(address)"]
    else:
        lines += [f"    x = tl.load({whole})"]
    return Kernel(HEAD + "\n".join(lines) + "\n    tl.store(y_ptr + m, tl.sum(x, 1))\n")


class _Language:
    """What the kernel calls, on numpy arrays; a load gives the address that it reads."""

    constexpr = None

    def __init__(self) -> None:
        self.read: list[np.ndarray[Any, Any]] = []

    def program_id(self, axis: int) -> np.int32:
        return np.int32(3)

    def arange(self, start: int, end: int) -> np.ndarray[Any, Any]:
        return np.arange(start, end, dtype=np.int32)

    def load(self, address: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        self.read.append(np.broadcast_to(address, (ROWS, COLUMNS)))
        return address

    def store(self, *_: object) -> None: ...

    def sum(self, *_: object) -> None: ...


class _Pointer:
    """A base address of 64 bits, to which numbers of 32 bits are added."""

    def __init__(self, at: Any) -> None:
        self.at = at

    def __add__(self, other: Any) -> _Pointer:
        return _Pointer(self.at + np.asarray(other, np.int32).astype(np.int64))


def _addresses(source: str) -> list[Any]:
    tree = ast.parse(source)
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef))
    function.decorator_list = []
    for argument in function.args.args:
        argument.annotation = None
    language = _Language()
    scope: dict[str, Any] = {"tl": language}
    exec(compile(ast.Module([function], []), "k", "exec"), scope)

    def load(address: _Pointer) -> None:
        language.read.append(np.broadcast_to(address.at, (ROWS, COLUMNS)))

    language.load = load  # type: ignore[assignment, method-assign]
    scope["k"](_Pointer(np.int64(2**40)), _Pointer(np.int64(0)), np.int32(11), np.int32(3), 17,
               ROWS, COLUMNS)  # fmt: skip
    return language.read


@settings(max_examples=150, deadline=None)
@given(kernels())
def test_each_element_has_the_same_address(kernel: Kernel) -> None:
    move = Move(apart.NAME, "k", (("pointers", ("x_ptr", "y_ptr")),), Claim.BIT_EQUAL)
    try:
        moved = apart.apply(kernel.source, move)
    except DoesNotApply as reason:
        assert "too many parts" in str(reason) or "not in parts" in str(reason)
        return
    with np.errstate(over="ignore"):
        before, after = _addresses(kernel.source), _addresses(moved)
    assert len(before) == len(after) == 1
    np.testing.assert_array_equal(before[0], after[0])

"""Whatever the digits are called, however they are taken apart: both loops read the same pairs.

Both loops run in plain numpy, with loads that note which elements of the two operands meet in one
lane. The set of pairs is what a sum is made of; its order is what the rewrite changes.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.digits import digits_rewrite as digits
from warpwright.types.candidate import Claim, Move

ROWS, COLUMNS = 2, 3


@dataclass(frozen=True)
class Program:
    """A kernel over digits of these sizes, outermost first, and the digit to fill the lanes."""

    source: str
    sizes: tuple[int, ...]
    names: tuple[str, ...]
    lanes: int
    block: int


@st.composite
def programs(draw: st.DrawFn) -> Program:
    count = draw(st.integers(2, 4))
    block = draw(st.sampled_from([2, 4]))
    lanes = draw(st.integers(0, count - 1))
    sizes = [draw(st.integers(1, 5)) for _ in range(count)]
    sizes[lanes] = block * draw(st.integers(1, 3))
    names = draw(st.permutations(["c", "kh", "kw", "depth"]))[:count]
    words = [f"N_{name}" for name in names]
    spelled = _spelling(draw, names, words)
    header, index = draw(
        st.sampled_from(
            [
                ("for k0 in range(0, {K}, TK):", "k0 + tl.arange(0, TK)"),
                ("for k0 in tl.static_range(0, {K}, TK):", "lanes + k0"),
                ("for step in range(tl.cdiv({K}, TK)):", "step * TK + lanes"),
                ("for step in range(0, ({K} + TK - 1) // TK):", "TK * step + tl.arange(0, TK)"),
            ]
        )
    )
    whole = " * ".join(words)
    row = draw(st.permutations(range(count)))
    first = " + ".join(f"{names[i]}[None, :] * {7 ** (p + 1)}" for p, i in enumerate(row))
    masked = draw(st.booleans())
    guard = draw(st.sampled_from(["k < total", "total > k", f"{names[0]} < {words[0]}"]))
    load = ", mask=ok[None, :] & (m[:, None] < 99), other=0.0" if masked else ""
    cleaned = [f"{n} = tl.where(ok, {n}, 0)" for n in names] if draw(st.booleans()) else []
    other_load = load.replace("(m[:, None] < 99)", "(o[:, None] < 99)")
    second = draw(st.sampled_from(["o[:, None] * total + k[None, :]", _address(names, words)]))
    lines = [
        "import triton", "import triton.language as tl", "", "", "@triton.jit",
        f"def kernel(x, w, {', '.join(f'{word}: tl.constexpr' for word in words)}, "
        "TK: tl.constexpr):",
        "    m = tl.arange(0, 2)", "    o = tl.arange(0, 3)", "    lanes = tl.arange(0, TK)",
        f"    total = {whole}", "    acc = tl.zeros((2, 3), dtype=tl.float32)",
        "    " + header.format(K=draw(st.sampled_from(["total", whole]))),
        f"        k = {index}", *(f"        {line}" for line in spelled),
        f"        ok = {guard}", *(f"        {line}" for line in cleaned),
        f"        a = tl.load(x + m[:, None] * 100000 + {first}{load})",
        f"        b = tl.load(w + {second}{other_load})",
        "        acc += tl.dot(a, b)", "",
    ]  # fmt: skip
    return Program("\n".join(lines), tuple(sizes), tuple(names), lanes, block)


def _spelling(draw: st.DrawFn, names: list[str], words: list[str]) -> list[str]:
    """One of the ways to take k apart."""
    kind = draw(st.sampled_from(["modulus", "chained", "upwards", "subtracted"]))
    count, lines = len(names), []
    if kind == "upwards":
        lines.append("rest = k")
        for i in range(count - 1, 0, -1):
            lines += [f"{names[i]} = rest % {words[i]}", f"rest = rest // {words[i]}"]
        return [*lines, f"{names[0]} = rest"]
    if kind == "modulus":
        for i in range(count):
            below = " * ".join(words[i + 1 :])
            value = f"k // ({below})" if below else "k"
            lines.append(f"{names[i]} = ({value}) % {words[i]}" if i else f"{names[i]} = {value}")
        return lines
    value = "k"
    for i in range(count - 1):
        below = " * ".join(words[i + 1 :])
        lines += [f"under_{i} = {below}", f"{names[i]} = {value} // under_{i}"]
        if kind == "chained":
            lines.append(f"rest_{i} = {value} % ({below})")
        else:
            lines.append(f"rest_{i} = {value} - {names[i]} * under_{i}")
        value = f"rest_{i}"
    return [*lines, f"{names[-1]} = {value}"]


def _address(names: list[str], words: list[str]) -> str:
    text = "o[:, None]"
    for name, word in zip(names, words, strict=True):
        text = f"({text} * {word} + {name}[None, :])"
    return text


@dataclass
class Language:
    """As much of triton.language as the kernels use, in numpy; loads note their addresses."""

    pairs: Counter[tuple[int, int]] = field(default_factory=Counter)
    cdiv: Callable[[int, int], int] = lambda a, b: -(-a // b)
    float32: Any = np.float32
    static_range: Any = range

    def arange(self, first: int, last: int) -> Any:
        return np.arange(first, last)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return np.zeros(shape, dtype)

    def where(self, condition: Any, yes: Any, no: Any) -> Any:
        return np.where(condition, yes, no)

    def load(self, pointer: Any, mask: Any = True, other: float = 0.0) -> Any:
        return np.where(np.broadcast_to(mask, pointer.shape), pointer, -1)

    def dot(self, left: Any, right: Any) -> Any:
        assert left.shape[1] == right.shape[1]
        for lane in range(left.shape[1]):
            for a in left[:, lane]:
                for b in right[:, lane]:
                    if a >= 0 and b >= 0:
                        self.pairs[int(a), int(b)] += 1
        return 0


def pairs_of(source: str, sizes: tuple[int, ...], block: int) -> Counter[tuple[int, int]]:
    tree = ast.parse(source)
    kernel = next(node for node in tree.body if isinstance(node, ast.FunctionDef))
    kernel.decorator_list = []
    for argument in kernel.args.args:
        argument.annotation = None
    language = Language()
    names: dict[str, Any] = {"tl": language}
    exec(compile(ast.Module([kernel], []), "kernel", "exec"), names)
    names["kernel"](0, 0, *sizes, block)
    return language.pairs


def reordered(program: Program) -> str:
    name = program.names[program.lanes]
    move = Move(digits.DIGITS, "kernel", (("loop", 0), ("lanes", name)), Claim.SAME_SUM)
    return digits.apply(program.source, move)


@settings(max_examples=examples(150), deadline=None)
@given(programs())
def test_both_loops_sum_the_same_products(program: Program) -> None:
    text = reordered(program)
    before = pairs_of(program.source, program.sizes, program.block)
    assert sum(before.values()) == ROWS * COLUMNS * int(np.prod(program.sizes))
    assert pairs_of(text, program.sizes, program.block) == before
    # And the loop that was kept, where the block does not divide the digit.
    odd = tuple(s + 1 if i == program.lanes else s for i, s in enumerate(program.sizes))
    kept = pairs_of(text, odd, program.block)
    assert kept == pairs_of(program.source, odd, program.block)


@settings(max_examples=examples(40), deadline=None)
@given(programs())
def test_the_new_loop_is_the_one_that_runs(program: Program) -> None:
    """Without this the test above could pass on the kept loop alone."""
    text = reordered(program)
    broken = text.replace("    else:\n", "    else:\n        raise AssertionError\n", 1)
    assert broken != text
    pairs_of(broken, program.sizes, program.block)


@settings(max_examples=examples(40), deadline=None)
@given(programs(), st.data())
def test_a_divisor_that_is_no_digit_is_refused(program: Program, data: st.DataObject) -> None:
    word = data.draw(st.sampled_from([f"N_{name}" for name in program.names[1:]]))
    source = program.source.replace(f"% {word}", f"% ({word} + 1)")
    if source == program.source:
        return
    try:
        text = digits.apply(
            source,
            Move(
                digits.DIGITS,
                "kernel",
                (("loop", 0), ("lanes", program.names[program.lanes])),
                Claim.SAME_SUM,
            ),
        )
    except DoesNotApply:
        return
    assert pairs_of(text, program.sizes, program.block) == pairs_of(
        source, program.sizes, program.block
    )

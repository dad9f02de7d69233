"""Whatever the loops are called and however they are nested: both texts sum the same products.

Both loops run in plain numpy, where a load gives the address that it reads. The set of pairs of
addresses that meet in a product is what a sum is made of; the rewrite changes its order alone.
"""

from __future__ import annotations

import ast
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from warpwright.proposers.rewrites.outer import outer
from warpwright.types.candidate import Claim, Move

ROWS, COLUMNS = 2, 3


@dataclass(frozen=True)
class Program:
    """A kernel over loops of these extents, outermost first."""

    source: str
    sizes: tuple[int, ...]
    names: tuple[str, ...]
    width: int


@st.composite
def programs(draw: st.DrawFn) -> Program:
    count = draw(st.integers(1, 4))
    names = draw(st.permutations(["c", "kh", "kw", "d"]))[:count]
    words = [f"N_{name}" for name in names]
    sizes = [draw(st.integers(1, 4)) for _ in names]
    width = draw(st.sampled_from([2, 4]))
    lines: list[str] = []
    place = draw(st.integers(0, count - 1))
    for depth, (name, word) in enumerate(zip(names, words, strict=True)):
        kind = draw(st.sampled_from(["range({})", "range(0, {})", "tl.static_range({})",
                                     "range(0, {}, 1)"]))  # fmt: skip
        indent = "    " * (depth + 1)
        lines.append(f"{indent}for {name} in {kind.format(word)}:")
        if depth == place:
            lines.append(f"{indent}    early = {name} * 7 + 1")
    indent = "    " * (count + 1)
    order = draw(st.permutations(range(count)))
    first = " + ".join(f"{names[i]} * {7 ** (p + 1)}" for p, i in enumerate(order))
    column = draw(st.booleans())
    m = "m[:, None]" if column else "m"
    mask = draw(st.sampled_from(["", f", mask={m} < 1, other=0.0", f", {names[0]} < 3, 0.0"]))
    lines += [f"{indent}a = tl.load(x + {m} * 100000 + early * 11 + {first}{mask})"]
    second = "o"
    for i in draw(st.permutations(range(count))):
        second = f"({second} * {words[i]} + {names[i]})"
    other = draw(st.sampled_from(["", ", mask=o < 2, other=0.0"]))
    lines += [f"{indent}b = tl.load(w + {second}{other})"]
    sides = ["a" if column else "a[:, None]", "b[None, :]"]
    product = " * ".join(draw(st.permutations(sides)))
    lines.append(indent + draw(st.sampled_from(["acc += {}", "acc = acc + {}", "acc = {} + acc"]))
                 .format(f"{product}"))  # fmt: skip
    head = [
        "import triton", "import triton.language as tl", "", "", "@triton.jit",
        f"def kernel(x, w, {', '.join(f'{word}: tl.constexpr' for word in words)}):",
        "    m = tl.arange(0, 2)", "    o = tl.arange(0, 3)",
        "    acc = tl.zeros((2, 3), dtype=tl.float32)",
    ]  # fmt: skip
    source = "\n".join([*head, *lines, "    tl.store(x, acc)", ""])
    return Program(source, tuple(sizes), tuple(names), width)


class Loaded:
    """Addresses that were read, -1 where a mask says no. A product notes what meets in it."""

    def __init__(self, addresses: Any, language: Language) -> None:
        self.addresses, self.language = addresses, language
        self.T = self

    def __getitem__(self, key: Any) -> Loaded:
        return Loaded(self.addresses[key], self.language)

    def __mul__(self, other: Loaded) -> int:
        row = self.addresses.shape[0] == 1
        left, right = (other, self) if row else (self, other)
        self.language.note(left.addresses, right.addresses)
        return 0


@dataclass
class Language:
    """As much of triton.language as the kernels use, in numpy."""

    pairs: Counter[tuple[int, int]] = field(default_factory=Counter)
    dots: int = 0
    float32: Any = np.float32
    static_range: Any = range

    def cdiv(self, a: int, b: int) -> int:
        return -(-a // b)

    def arange(self, first: int, last: int) -> Any:
        return np.arange(first, last)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> int:
        return 0

    def store(self, pointer: Any, value: Any) -> None:
        assert value == 0

    def load(self, pointer: Any, mask: Any = True, other: float = 0.0) -> Loaded:
        mask = np.broadcast_to(mask, pointer.shape)
        return Loaded(np.where(mask, pointer, -1), self)

    def trans(self, value: Loaded) -> Loaded:
        return Loaded(value.addresses.T, self)

    def dot(self, left: Loaded, right: Loaded, acc: int, input_precision: str) -> int:
        assert input_precision == "tf32x3"
        assert left.addresses.shape[1] == right.addresses.shape[0]
        self.dots += 1
        for lane in range(left.addresses.shape[1]):
            self.note(left.addresses[:, lane : lane + 1], right.addresses[lane : lane + 1])
        return acc

    def note(self, left: Any, right: Any) -> None:
        assert (left.shape, right.shape) == ((ROWS, 1), (1, COLUMNS))
        self.pairs.update(
            (int(a), int(b)) for a in left[:, 0] for b in right[0] if a >= 0 and b >= 0
        )


def run(source: str, sizes: tuple[int, ...]) -> Language:
    tree = ast.parse(source)
    kernel = next(node for node in tree.body if isinstance(node, ast.FunctionDef))
    kernel.decorator_list = []
    for argument in kernel.args.args:
        argument.annotation = None
    language = Language()
    names: dict[str, Any] = {"tl": language}
    exec(compile(ast.Module([kernel], []), "kernel", "exec"), names)
    names["kernel"](0, 0, *sizes)
    return language


def rewritten(program: Program, lanes: str, name: str) -> str:
    arguments = (("nest", 0), ("lanes", lanes), ("width", program.width))
    return outer.apply(program.source, Move(name, "kernel", arguments, Claim.OTHER_ARITHMETIC))


@settings(max_examples=examples(150), deadline=None)
@given(programs(), st.data())
def test_one_loop_as_lanes_sums_the_same_products(program: Program, data: st.DataObject) -> None:
    lanes = data.draw(st.integers(0, len(program.sizes) - 1))
    name = data.draw(names())
    text = rewritten(program, program.names[lanes], name)
    whole = list(program.sizes)
    whole[lanes] *= program.width
    for sizes in (tuple(whole), tuple(s + (i == lanes) for i, s in enumerate(whole))):
        before, after = run(program.source, sizes), run(text, sizes)
        assert before.pairs
        assert after.pairs == before.pairs
        taken = sizes[lanes] % program.width == 0
        assert after.dots == (math.prod(sizes) // program.width if taken else 0)


@settings(max_examples=examples(150), deadline=None)
@given(programs(), st.data())
def test_all_loops_as_lanes_sum_the_same_products(program: Program, data: st.DataObject) -> None:
    name = data.draw(names())
    before = run(program.source, program.sizes)
    after = run(rewritten(program, outer.ALL_LOOPS, name), program.sizes)
    assert after.pairs == before.pairs
    assert after.dots == -(-math.prod(program.sizes) // program.width)


def names() -> st.SearchStrategy[str]:
    return st.sampled_from([outer.ROWS_FIRST, outer.TERMS_FIRST])

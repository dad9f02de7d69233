"""Undefined names."""

from __future__ import annotations

import pytest

from warpwright.program.view import read_program


def undefined(source: str) -> list[tuple[str, int]]:
    return [(item.name, item.line) for item in read_program(source).undefined]


def test_a_module_that_is_used_but_not_imported_is_told_with_every_line() -> None:
    source = "class M:\n    def f(self):\n        a = math.sqrt(2)\n        return math.pi + a\n"
    assert undefined(source) == [("math", 3), ("math", 4)]


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    return g()\ndef g(): pass",
        "x = [a * b for a in range(3) for b in range(a) if (c := a)]\nprint(c)",
        "def f():\n    global seen\n    seen = 1\ndef g(): return seen",
        "def f():\n    n = 0\n    def g():\n        nonlocal n\n        n += 1\n    return g",
        "try:\n    import fast\nexcept ImportError as error:\n    fast = None\nfast",
        "try:\n    fancy\nexcept NameError:\n    fancy = 1",
        "class A:\n    size = 3\n    double = size * 2\n    def f(self): return __class__, super()",
        "from __future__ import annotations\ndef f(x: Later) -> Later: ...\nclass Later: ...",
        "def f(*args, key=None, **rest): return args, key, rest",
        "def f():\n    x: Missing = 1\n    return x",
        "match 3:\n    case [a, *b] | {'k': a, **b}: print(a, b)\n    case c: print(c)"
        .replace("[a, *b] | {'k': a, **b}", "[a, *b]"),
        "with open('f') as handle, open('g') as (a, b): handle, a, b",
        "for i in range(3):\n    if i: print(last)\n    last = i",
        "x = lambda y, *, z=1: y + z\nprint(f'{x!r:>{10}}')",
        "from anything import *\nprint(whatever)",
        "import os.path\nos.path.join",
        "def f(): return __name__, __file__, print, ValueError",
        "x = 1\ndel x",
        "def f(flag):\n    if flag: y = 1\n    return y",
    ],
)  # fmt: skip
def test_names_that_python_finds_are_not_accused(source: str) -> None:
    assert undefined(source) == []


@pytest.mark.parametrize(
    ("source", "name", "line"),
    [
        ("def f():\n    return [a for b in c_]\n", "a", 2),
        ("class A:\n    size = 1\n    def f(self):\n        return size\n", "size", 4),
        ("class A:\n    n = 2\n    xs = [n for _ in range(3)]\n", "n", 3),
        ("@later\ndef f(): pass\ndef later(g): return g\n", "later", 1),
        ("def f(x=limit): pass\nlimit = 1\n", "limit", 1),
        ("def f():\n    print(y)\n    y = 1\n", "y", 2),
        ("def f():\n    total += 1\n", "total", 2),
        ("def f(x: Missing): pass\n", "Missing", 1),
        ("print(f'{gone}')\n", "gone", 1),
        ("def f():\n    global ghost\n    return ghost\n", "ghost", 3),
        ("x = [i for i in range(3)]\nprint(i)\n", "i", 2),
    ],
)
def test_names_that_python_does_not_find_are_told(source: str, name: str, line: int) -> None:
    assert (name, line) in undefined(source)


KERNEL = """
import triton
import triton.language as tl
@triton.jit
def k(p, n, B: tl.constexpr):
    for i in {loop}:
        {before}
        held = tl.load(p + i)
"""


@pytest.mark.parametrize(
    ("loop", "before", "told"),
    [
        ("range(n)", "tl.store(p, held)", True),
        ("range(n)", "if i > 0: tl.store(p, held)", True),  # Triton reads both branches
        ("tl.static_range(B)", "tl.store(p, held)", True),
        ("tl.static_range(B)", "if i > 0: tl.store(p, held)", False),  # i is a constant here
    ],
)
def test_triton_reads_a_loop_body_before_it_has_run(loop: str, before: str, told: bool) -> None:
    names = [name for name, _ in undefined(KERNEL.format(loop=loop, before=before))]
    assert names == (["held"] if told else [])

"""Host code around a tile size: the grid follows a new one, and what must agree with it is seen."""

from __future__ import annotations

import pytest

from warpwright.errors import InputError
from warpwright.program.edit.config_edit import add_autotune
from warpwright.program.edit.pin_launch import pin_launches
from warpwright.types.config import Config

HEAD = """\
import torch
import triton
import triton.language as tl

WIDE, NAME = 256, "host"


@triton.jit
def k(x, y, n, m, A: tl.constexpr, B: tl.constexpr):
    row = tl.program_id(0) * A + tl.arange(0, A)
    column = tl.program_id(1) * B + tl.arange(0, B)
    inside = (row[:, None] < n) & (column[None, :] < m)
    at = row[:, None] * m + column[None, :]
    tl.store(y + at, tl.load(x + at, mask=inside), mask=inside)


@triton.jit
def other(x, y, n, B: tl.constexpr):
    at = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(y + at, tl.load(x + at, mask=at < n), mask=at < n)


def host(x, y, n, m, size=32):
"""
CONFIGS = [Config.of({"A": 16, "B": 16}), Config.of({"A": 32, "B": 64}, 8, 3)]
HOSTS = {
    # what stands there → (the grid of a tuned kernel, the grid of a pinned one)
    "    A, B = 16, 16\n    grid = (triton.cdiv(n, A), triton.cdiv(m, B))\n"
    "    k[grid](x, y, n, m, A=A, B=B)\n": (
        'grid = lambda meta: (triton.cdiv(n, meta["A"]), triton.cdiv(m, meta["B"]))',
        "grid = (triton.cdiv(n, 32), triton.cdiv(m, 64))",
    ),
    # one value for both: each extent takes the one that its blocks step over
    "    k[(triton.cdiv(n, size), (m + size - 1) // size)](x, y, n, m, size, size)\n": (
        'k[lambda meta: (triton.cdiv(n, meta["A"]), (m + meta["B"] - 1) // meta["B"])](x, y, n, m)',
        "k[(triton.cdiv(n, 32), (m + 64 - 1) // 64)](x, y, n, m, 32, 64, num_warps=8)",
    ),
    # numbers, and no brackets
    "    k[triton.cdiv(n, 16), triton.cdiv(m, 16)](x, y, n, m, A=16, B=16)\n": (
        'k[lambda meta: (triton.cdiv(n, meta["A"]), triton.cdiv(m, meta["B"]))](x, y, n, m)',
        "k[triton.cdiv(n, 32), triton.cdiv(m, 64)](x, y, n, m, A=32, B=64, num_warps=8)",
    ),
    # names between, and a size that is made smaller for a small input
    "    A = B = 16\n    if n < A:\n        A = triton.next_power_of_2(n)\n"
    "    down = triton.cdiv(n, A)\n    across = triton.cdiv(m, B)\n    grid = (down, across)\n"
    "    k[grid](x, y, n, m, A=A, B=B)\n": (
        'grid = lambda meta: (triton.cdiv(n, meta["A"]), triton.cdiv(m, meta["B"]))',
        "grid = (triton.cdiv(n, 32), triton.cdiv(m, 64))",
    ),
    # META already, under a name of its own
    '    grid = lambda META: (triton.cdiv(n, META["A"]), triton.cdiv(m, META["B"]))\n'
    "    k[grid](x, y, n, m, A=16, B=16, num_warps=4)\n": (
        'grid = lambda META: (triton.cdiv(n, META["A"]), triton.cdiv(m, META["B"]))',
        "k[grid](x, y, n, m, A=32, B=64, num_warps=8)",
    ),
    # another kernel takes the same size for blocks of its own
    "    A = B = 16\n    k[(triton.cdiv(n, A), triton.cdiv(m, B))](x, y, n, m, A=A, B=B)\n"
    "    other[(triton.cdiv(n, B),)](x, y, n, B=B)\n": (
        'k[lambda meta: (triton.cdiv(n, meta["A"]), triton.cdiv(m, meta["B"]))](x, y, n, m)\n'
        "    other[(triton.cdiv(n, B),)](x, y, n, B=B)",
        "k[(triton.cdiv(n, 32), triton.cdiv(m, 64))](x, y, n, m, A=32, B=64, num_warps=8)\n"
        "    other[(triton.cdiv(n, B),)](x, y, n, B=B)",
    ),
}


@pytest.mark.parametrize("host", HOSTS)
def test_the_grid_follows_and_all_else_stays(host: str) -> None:
    tuned = add_autotune(HEAD + host, "k", CONFIGS, ["n"])
    assert HOSTS[host][0] in tuned
    assert HOSTS[host][1] in pin_launches(HEAD + host, "k", CONFIGS[1])
    untouched = [line for line in host.splitlines() if "k[" not in line and "grid" not in line]
    assert all(line in tuned for line in untouched)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (  # a result a block
            "    A = B = 16\n    parts = torch.empty(triton.cdiv(n, A))\n"
            "    k[(triton.cdiv(n, A), triton.cdiv(m, B))](x, parts, n, m, A=A, B=B)\n",
            "used for grids and tile sizes only",
        ),
        (  # how many blocks there are, as an argument
            "    A = B = 16\n    blocks = triton.cdiv(n, A)\n"
            "    k[(blocks, triton.cdiv(m, B))](x, y, blocks, m, A=A, B=B)\n",
            "used for grids and tile sizes only",
        ),
        (  # the same number by itself
            "    parts = torch.empty(triton.cdiv(n, 16))\n"
            "    k[(triton.cdiv(n, 16), triton.cdiv(m, 32))](x, parts, n, m, A=16, B=32)\n",
            "used for grids and tile sizes only",
        ),
        (  # it divides without rounding up
            "    A = B = 16\n    k[(n // A, triton.cdiv(m, B))](x, y, n, m, A=A, B=B)\n",
            "rounding up",
        ),
        (  # the grid of another kernel too, whose launch knows no A
            "    A = B = 16\n    grid = (triton.cdiv(n, A), triton.cdiv(m, B))\n"
            "    k[grid](x, y, n, m, A=A, B=B)\n    other[grid](x, y, n, B=B)\n",
            "a grid of its own",
        ),
        ("    k[size](x, y, n, m, A=16, B=16)\n", None),  # nothing shows it: nothing to follow
        (  # which of both is the size?
            "    t = {'A': 16, 'B': 16}\n"
            "    k[(triton.cdiv(n, t['A']), triton.cdiv(m, 16))](x, y, n, m, **t)\n",
            "written out",
        ),
        (
            "    t = pick(n)\n    k[(triton.cdiv(n, 16), triton.cdiv(m, 16))](x, y, n, m, **t)\n",
            "written out",
        ),
        (  # the size of a buffer, too
            "    t = {'A': 16, 'B': 32} if n > 9 else {'A': 32, 'B': 16}\n"
            "    parts = torch.empty(t['A'])\n"
            "    k[(triton.cdiv(n, t['A']), triton.cdiv(m, t['B']))](x, parts, n, m, **t)\n",
            "used for grids and tile sizes only",
        ),
        (  # the same call launches another kernel
            "    f = k if n > 9 else other\n    A = B = 16\n"
            "    f[(triton.cdiv(n, A), triton.cdiv(m, B))](x, y, n, m, A=A, B=B)\n",
            "this kernel alone",
        ),
    ],
)
def test_what_must_agree_with_the_size_is_refused(host: str, expected: str | None) -> None:
    if expected is None:
        assert "k[size](x, y, n, m)" in add_autotune(HEAD + host, "k", CONFIGS, ["n"])
        return
    with pytest.raises(InputError) as refused:
        add_autotune(HEAD + host, "k", CONFIGS, ["n"])
    assert expected in (refused.value.expected or "")


SIDE = "{'A': 16, 'B': 32} if n > 9 else {'A': 32, 'B': 16}"


@pytest.mark.parametrize(
    ("host", "launch"),
    [
        (
            "    t = {'A': 16, 'B': 16, 'num_warps': 8}\n"
            "    k[(triton.cdiv(n, 16), triton.cdiv(m, 16))](x, y, n, m, **t)\n",
            "k[lambda meta: (triton.cdiv(n, meta['A']), triton.cdiv(m, meta['B']))](x, y, n, m)",
        ),
        (
            f"    t = {SIDE}\n"
            "    k[(triton.cdiv(n, t['A']), triton.cdiv(m, 2 * t['B']))](x, y, n, m, **t)\n",
            "k[lambda meta: (triton.cdiv(n, meta['A']), "
            "triton.cdiv(m, 2 * meta['B']))](x, y, n, m)",
        ),
        (
            f"    t = {SIDE}\n    a = t['A']\n"
            "    k[(triton.cdiv(n, a), (m + t['B'] - 1) // t['B'])](x, y, n, m, **t)\n",
            "k[lambda meta: (triton.cdiv(n, meta['A']), (m + meta['B'] - 1) // meta['B'])]"
            "(x, y, n, m)",
        ),
    ],
)
def test_options_of_a_mapping_are_taken_out_of_it(host: str, launch: str) -> None:
    edited = add_autotune(HEAD + host, "k", CONFIGS, ["n"])
    assert launch in edited.replace('"', "'")


def test_options_of_a_pinned_launch_are_changed_where_they_stand() -> None:
    host = "    k[(1, 1)](x, y, n, m, A=16, B=16, num_warps=2, num_stages=WIDE)\n"
    edited = pin_launches(HEAD + host, "k", Config.of({"A": 16, "B": 16}, 8, 3))
    assert "k[(1, 1)](x, y, n, m, A=16, B=16, num_warps=8, num_stages=3)" in edited

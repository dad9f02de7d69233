"""Launches through `*` and `**`, read as if they were written out."""

from __future__ import annotations

import ast
from textwrap import dedent, indent

import pytest

from warpwright.program.parsed import parse_program
from warpwright.program.splats import Splats
from warpwright.program.view import read_program

HEAD = dedent(
    """
    import triton
    import triton.language as tl

    WARPS = 8
    TABLE = {"small": {"BLOCK": 256, "num_warps": 2}, "large": {"BLOCK": 1024, "num_warps": 2}}
    ROWS = [dict(BLOCK=64), dict(BLOCK=64)]

    @triton.jit
    def copy_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
        at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        tl.store(y_ptr + at, tl.load(x_ptr + at, mask=at < n), mask=at < n)

    def chosen(block, warps=4):
        return {"BLOCK": block, "num_warps": warps}

    def looked_up(n):
        options = dict(TABLE["small"])
        options["BLOCK"] = n
        return options

    class Copy:
        def __init__(self):
            self.options = {"BLOCK": 128, "num_warps": WARPS}

    def copy(x, y, n, self, key, change):
    """
)


def passed(body: str) -> dict[str, str]:
    """The keywords of the one launch in a function body."""
    (launch,) = read_program(HEAD + indent(dedent(body).strip(), "    ") + "\n").launches
    return dict(launch.keywords)


WRITTEN = {"BLOCK": "128", "num_warps": "8"}


@pytest.mark.parametrize(
    "body",
    [
        "copy_kernel[(4,)](x, y, n, **{'BLOCK': 128, 'num_warps': 8})",
        "copy_kernel[(4,)](x, y, n, **dict(BLOCK=128, num_warps=8))",
        "copy_kernel[(4,)](x, y, n, BLOCK=128, **dict(num_warps=8))",
        "opts = dict(BLOCK=128, num_warps=8)\ncopy_kernel[(4,)](x, y, n, **opts)",
        "base = dict(BLOCK=128)\ncopy_kernel[(4,)](x, y, n, **dict(base, num_warps=8))",
        "base = dict(BLOCK=128)\ncopy_kernel[(4,)](x, y, n, **{**base, 'num_warps': 8})",
        "base = dict(BLOCK=64)\nfull = base | dict(BLOCK=128, num_warps=8)\n"
        "copy_kernel[(4,)](x, y, n, **full)",
        "opts = {'BLOCK': 128, 'num_warps': 8}\ngrid = (triton.cdiv(n, opts['BLOCK']),)\n"
        "copy_kernel[grid](x, y, n, **opts)",
    ],
)
def test_a_mapping_that_reading_settles_is_written_out(body: str) -> None:
    assert passed(body) == WRITTEN


@pytest.mark.parametrize(
    ("mapping", "written"),
    [
        ("TABLE['large']", {"BLOCK": "1024", "num_warps": "2"}),
        ("TABLE['large' if n > 9 else 'small']", {"BLOCK": "1024 if n > 9 else 256"}),
        ("TABLE[key]", {"BLOCK": "{'small': 256, 'large': 1024}[key]", "num_warps": "2"}),
        ("ROWS[key]", {"BLOCK": "64"}),
        ("chosen(64, warps=16)", {"BLOCK": "64", "num_warps": "16"}),
        ("self.options", {"BLOCK": "128", "num_warps": "WARPS"}),
        ("(dict(BLOCK=16) if n < 9 else dict(BLOCK=32))", {"BLOCK": "16 if n < 9 else 32"}),
    ],
)
def test_tables_functions_and_attributes_are_followed(
    mapping: str, written: dict[str, str]
) -> None:
    found = passed(f"copy_kernel[(4,)](x, y, n, **{mapping})")
    assert found.items() >= written.items()
    assert "**" not in found


@pytest.mark.parametrize(
    "body",
    [
        "opts = dict(BLOCK=128)\nopts['num_warps'] = 32\ncopy_kernel[(4,)](x, y, n, **opts)",
        "opts = dict(BLOCK=128)\nopts.update(num_warps=32)\ncopy_kernel[(4,)](x, y, n, **opts)",
        "opts = dict(BLOCK=128)\nopts |= dict(num_warps=32)\ncopy_kernel[(4,)](x, y, n, **opts)",
        "opts = dict(BLOCK=128)\nother = opts\nother['num_warps'] = 32\n"
        "copy_kernel[(4,)](x, y, n, **opts)",
        "opts = dict(BLOCK=128)\nchange(opts)\ncopy_kernel[(4,)](x, y, n, **opts)",
        "TABLE['small']['num_warps'] = 32\ncopy_kernel[(4,)](x, y, n, **TABLE['small'])",
        "self.options['num_warps'] = 32\ncopy_kernel[(4,)](x, y, n, **self.options)",
        "copy_kernel[(4,)](x, y, n, **looked_up(n))",
        "copy_kernel[(4,)](x, y, n, **change)",
    ],
)
def test_a_mapping_that_may_have_changed_stays_unknown(body: str) -> None:
    assert "**" in passed(body)


def test_positional_arguments_in_a_tuple_are_counted() -> None:
    body = "    args = (x, y)\n    copy_kernel[(4,)](*args, n, **dict(BLOCK=128))\n"
    (launch,) = read_program(HEAD + body).launches
    assert launch.arguments == ("x", "y", "n")


def test_names_are_told_where_values_are_open() -> None:
    source = """
import triton
import triton.language as tl
TABLE = {1: {"B": 16, "num_warps": 2}, 2: {"B": 32, "num_warps": 4}}

@triton.jit
def k(x, B: tl.constexpr):
    tl.store(x + tl.arange(0, B), 1.0)

def pick(n):
    for limit in sorted(TABLE):
        if n < limit:
            return TABLE[limit]
    return dict(B=64, num_warps=n)

def odd(n):
    return {"B": 16} if n else {"B": 16, "num_warps": 8}

def run(x, n):
    chosen = pick(n)
    k[(1,)](x, **chosen)
    k[(1,)](x, **odd(n))
"""
    program = parse_program(source)
    (run,) = (f for f in program.host_functions if f.name == "run")
    splats = Splats(program, run)
    mappings = [
        keyword.value
        for call in ast.walk(run.node)
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg is None
    ]
    assert [splats.names(mapping) for mapping in mappings] == [["B", "num_warps"], None]
    assert [splats.constants(mapping) for mapping in mappings] == [None, None]

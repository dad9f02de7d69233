"""Reading a program."""

from __future__ import annotations

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from warpwright.errors import InputError
from warpwright.program.view import read_program
from warpwright.types.config import Config


def test_a_program_reads_as_its_kernels_launches_and_sections(matmul: str) -> None:
    view = read_program(matmul)
    kernel = view.kernels[0]
    assert kernel.name == "product_kernel"
    assert kernel.autotune is not None
    assert kernel.autotune.key == ("rows", "cols")
    assert kernel.autotune.configs == (
        Config.of({"BM": 32, "BN": 32, "BK": 32}, 2, 2),
        Config.of({"BM": 64, "BN": 32, "BK": 32}, 4, 2),
        Config.of({"BM": 128, "BN": 64, "BK": 32}, 8, 3),
    )
    assert kernel.autotune.configs[0].line == 10
    assert [p.name for p in kernel.parameters if p.is_constexpr] == ["BM", "BN", "BK"]
    assert kernel.program_id_axes == (0, 1)
    assert len(kernel.operations_named("load")) == 2
    assert kernel.operations_named("dot")[0].loop_depth == 1
    assert kernel.operations_named("store")[0].keywords == {"mask": "keep"}
    loop = kernel.loops[0]
    assert (loop.kind, loop.bounds, loop.depth) == ("range", ("0", "depth", "BK"), 0)
    launch = view.launches[0]
    assert (launch.kernel, launch.function, launch.grid_rank) == ("product_kernel", "product", 2)
    assert launch.grid.startswith("lambda meta: (triton.cdiv(rows, meta['BM'])")
    assert launch.arguments[-1] == "depth"
    assert [t.section for t in view.top_level] == [
        "imports", "imports", "imports", "imports", "kernels", "wrappers", "model",
    ]  # fmt: skip
    assert view.top_level[4].line == 7  # its decorators belong to it
    assert view.undefined == ()


def test_aliases_and_decorators_in_any_order_are_seen_through() -> None:
    view = read_program("""
import triton as tr
from triton import jit, autotune, Config as C, heuristics
from triton import language as T

@jit
@heuristics({'EVEN': lambda a: a['n'] % 16 == 0})
@autotune([C({'B': 64}, 8), C(kwargs={'B': 128}, num_stages=1)], ['n'])
def one(p, n, B: T.constexpr, EVEN: "tl.constexpr"):
    T.store(p, T.math.exp(T.load(p)))

@tr.jit(do_not_specialize=['n'])
def two(p, n):
    one(p, n, 1, 2)
""")
    first, second = view.kernels
    assert first.autotune is not None
    assert first.autotune.configs == (Config.of({"B": 64}, 8), Config.of({"B": 128}, 4, 1))
    assert first.heuristics == {"EVEN": "lambda a: a['n'] % 16 == 0"}
    assert [p.is_constexpr for p in first.parameters] == [False, False, True, True]
    assert sorted(op.name for op in first.operations) == ["load", "math.exp", "store"]
    assert second.calls == ("one",)
    assert first.is_helper and not second.is_helper


@pytest.mark.parametrize(
    ("configs", "expected"),
    [
        ("[triton.Config({'B': W * 16}, num_warps=W)]", [({"B": 128}, 8, 3)]),
        (
            "[triton.Config({'B': b}, num_warps=w) for b in [32, 64] for w in (2, 4) if b > w * 8]",
            [({"B": 32}, 2, 3), ({"B": 64}, 2, 3), ({"B": 64}, 4, 3)],
        ),
        ("COMMON + [triton.Config({'B': 1 << 8})]", [({"B": 16}, 1, 1), ({"B": 256}, 4, 3)]),
        ("[triton.Config(dict(B=triton.next_power_of_2(33)), 4, 5)]", [({"B": 64}, 4, 5)]),
    ],
)
def test_configs_of_constants_and_comprehensions_are_worked_out(
    configs: str, expected: list[tuple[dict[str, int], int, int]]
) -> None:
    view = read_program(f"""
import triton
W = 8
COMMON = [triton.Config({{'B': 16}}, num_warps=1, num_stages=1)]
@triton.autotune(configs={configs}, key=[])
@triton.jit
def k(p, B): pass
""")
    autotune = view.kernels[0].autotune
    assert autotune is not None
    assert autotune.configs == tuple(Config.of(*item) for item in expected)


@pytest.mark.parametrize(
    "configs",
    ["make()", "LIST", "[triton.Config({'B': n()})]", "[c for c in other]", "[5]", "[*LIST]",
     "[triton.Config({'B': 2 ** 100000})]", "[triton.Config({'B': i}) for i in range(10**9)]"],
)  # fmt: skip
def test_configs_that_only_running_tells_are_none_with_their_text(configs: str) -> None:
    view = read_program(f"""
import triton
LIST = []
LIST.append(triton.Config({{}}))
@triton.autotune(configs={configs}, key=['n'])
@triton.jit
def k(p, B): pass
""")
    autotune = view.kernels[0].autotune
    assert autotune is not None
    assert autotune.configs is None
    assert autotune.configs_text == configs
    assert autotune.key == ("n",)


def test_every_option_of_a_config_and_of_autotune_is_read() -> None:
    view = read_program("""
import triton
@triton.autotune(
    configs=[triton.Config({}, 8, 2, 1, 128, hook)],
    key=['n'], reset_to_zero=['y'], restore_value=['z'], warmup=5,
)
@triton.jit
def k(y, z, n): pass
""")
    autotune = view.kernels[0].autotune
    assert autotune is not None and autotune.configs is not None
    config = autotune.configs[0]
    assert (config.num_warps, config.num_stages, config.maxnreg) == (8, 2, 128)
    assert config.pre_hook == "hook"
    assert config.explicit == ("num_warps", "num_stages", "num_ctas", "maxnreg")
    assert (autotune.reset_to_zero, autotune.restore_value) == (("y",), ("z",))
    assert autotune.other_arguments == {"warmup": "5"}


def test_loops_of_every_kind_are_told_apart() -> None:
    view = read_program("""
import triton
import triton.language as tl
@triton.jit
def k(p, n, B: tl.constexpr):
    for i in tl.static_range(4):
        for j in tl.range(0, n, num_stages=3):
            while j < n:
                tl.store(p, i)
""")
    loops = view.kernels[0].loops
    assert [(loop.kind, loop.depth) for loop in loops] == [
        ("static_range", 0), ("tl.range", 1), ("while", 2),
    ]  # fmt: skip
    assert loops[1].keywords == {"num_stages": "3"}
    assert view.kernels[0].operations_named("store")[0].loop_depth == 3


def test_methods_of_tensors_and_descriptors_are_operations() -> None:
    view = read_program("""
import triton
import triton.language as tl
@triton.jit
def k(desc, n):
    x = desc.load([0, n])
    desc.store([0, n], x.to(tl.float16).sum(axis=0))
""")
    names = {op.name: op.arguments for op in view.kernels[0].operations}
    assert names["load_tensor_descriptor"] == ("desc", "[0, n]")
    assert set(names) == {"load_tensor_descriptor", "store_tensor_descriptor", "to", "sum"}


LAUNCHES = """
import triton
@triton.jit
def a(p): pass
@triton.jit
def b(p): pass
GRID = (7,)
def host(x, n, wide):
    if wide:
        grid = (n, 2)
    else:
        grid = (n, 4)
    def by_function(meta):
        return (triton.cdiv(n, meta['B']), 1, 1)
    a[grid](x)
    a[by_function](x)
    a[(n,)](x, num_warps=4)
    a[lambda m: (m['B'], n)](x)
    a[GRID](x)
    ready = b[grid]
    ready(x)
    (a if wide else b)[(1,)](x)
"""


def test_launches_are_found_however_they_are_written() -> None:
    found = [(s.kernel, s.grid, s.grid_rank) for s in read_program(LAUNCHES).launches]
    assert found == [
        ("a", "(n, 2) or (n, 4)", 2),
        ("a", "lambda meta: (triton.cdiv(n, meta['B']), 1, 1)", 3),
        ("a", "(n,)", 1),
        ("a", "lambda m: (m['B'], n)", 2),
        ("a", "(7,)", 1),
        ("b", "(n, 2) or (n, 4)", 2),
        ("a", "(1,)", 1),
        ("b", "(1,)", 1),
    ]


def test_an_empty_program_and_one_without_kernels_still_give_a_view() -> None:
    assert read_program("").kernels == ()
    assert read_program("x = 1\n").top_level[0].section == "constants"


def test_a_syntax_error_is_told_in_the_lines_of_the_document() -> None:
    with pytest.raises(InputError) as caught:
        read_program("x = 1\ny = = 2\n", document="request.txt", first_line=41)
    assert caught.value.place.document == "request.txt"
    assert caught.value.place.line == 42
    assert caught.value.got == "y = = 2"


@pytest.mark.parametrize(
    "source",
    ["x = " + "+".join(["1"] * 5000), "x = " + "[" * 150 + "]" * 150, "x = " + "-" * 90_000 + "1",
     "if a: pass\n" + "elif b: pass\n" * 4000, "(" * 100_000, "x = '" + "a" * 1_000_001 + "'",
     "x = 1\x00", "return 5", "def f(a, a): pass", "\ud800", "\ufeff\ufeffx"],
    ids=["sum", "lists", "minus", "elif", "open", "long", "null", "return", "twice", "surrogate",
         "marks"],
)  # fmt: skip
def test_what_cannot_be_read_is_one_clear_error(source: str) -> None:
    with pytest.raises(InputError):
        read_program(source)


_FRAGMENTS = st.sampled_from(
    ["import triton\n", "@triton.jit\n", "def k(p, n):\n", "    x = tl.load(p)\n", "k[(1,)](x)\n",
     "for i in range(3):\n", "    pass\n", "@triton.autotune(configs=[", "triton.Config({'B': 1})",
     "], key=['n'])\n", "class M:\n", "lambda: (", ")", "\t", "x = [y for y in z]\n", "try:\n",
     "except E as e:\n", "match x:\n", "    case [a, *b]:\n", "global g\n", "del x\n", "f'{x!r}'\n"]
)  # fmt: skip


@settings(max_examples=examples(200), deadline=None)
@given(st.one_of(st.text(), st.lists(_FRAGMENTS, max_size=30).map("".join)))
def test_any_text_gives_a_view_or_an_input_error(source: str) -> None:
    try:
        view = read_program(source)
    except InputError as error:
        assert error.place.line is not None
    else:
        assert view.source == source


def test_warps_among_the_meta_parameters_have_no_effect() -> None:
    source = (
        "import triton\nimport triton.language as tl\n\n\n"
        "@triton.autotune(configs=[triton.Config({'TILE': 64, 'num_warps': 8}, num_stages=2)], "
        "key=[])\n@triton.jit\ndef copy(source, TILE: tl.constexpr):\n    pass\n"
    )
    kernel = read_program(source).kernel("copy")
    assert kernel is not None and kernel.autotune is not None
    assert kernel.autotune.configs == (Config.of({"TILE": 64}, 4, 2),)


TWO_WAYS = """
import torch, triton
import triton.language as tl

@triton.jit
def one(p, B: tl.constexpr):
    tl.store(p + tl.program_id(0), 1.0)

@triton.jit
def two(p, B: tl.constexpr):
    tl.store(p + tl.program_id(0), 2.0)

def run(x, which):
    kernel = one if which else two
    if kernel TEST one:
        FIRST
        kernel[(1,)](x, B=1)
    else:
        kernel[(2,)](x, B=1)
"""


@pytest.mark.parametrize(
    ("test", "first", "expected"),
    [
        ("is", "pass", [("one", "(1,)"), ("two", "(1,)"), ("two", "(2,)")]),
        ("is not", "pass", [("two", "(1,)"), ("one", "(2,)"), ("two", "(2,)")]),
        ("==", "pass", [("one", "(1,)"), ("two", "(1,)"), ("one", "(2,)"), ("two", "(2,)")]),
        (
            "is not",
            "kernel = one",
            [("one", "(1,)"), ("two", "(1,)"), ("one", "(2,)"), ("two", "(2,)")],
        ),
    ],
)
def test_a_name_that_is_another_kernel_launches_none_of_this_one(
    test: str, first: str, expected: list[tuple[str, str]]
) -> None:
    text = TWO_WAYS.replace("TEST", test).replace("FIRST", first)
    assert [(site.kernel, site.grid) for site in read_program(text).launches] == expected


def test_a_kernel_that_is_handed_to_a_function_is_launched_there() -> None:
    source = """
import torch
import triton
import triton.language as tl


@triton.jit
def one(x, n, B: tl.constexpr):
    tl.store(x + tl.program_id(0), 1.0)


@triton.jit
def two(x, n, B: tl.constexpr):
    tl.store(x + tl.program_id(0), 2.0)


def run(kernel, x, *, with_b=4):
    kernel[(x.numel(),)](x, x.numel(), B=with_b)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        run(one, x)
        run(kernel=two, x=x)
        return x
"""
    assert {site.kernel for site in read_program(source).launches} == {"one", "two"}

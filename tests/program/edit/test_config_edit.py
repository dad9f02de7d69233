"""Editing config lists: layout and comments stay."""

from __future__ import annotations

import pytest
from texts import replace_once

from warpwright.errors import InputError, InternalError
from warpwright.program.difference.difference import difference
from warpwright.program.edit.config_edit import add_autotune, set_configs
from warpwright.program.view import read_program
from warpwright.types.config import Config
from warpwright.types.edit import EditKind

SMALL = Config.of({"BM": 32, "BN": 32, "BK": 32}, 2, 2)
TALL = Config.of({"BM": 64, "BN": 32, "BK": 32}, 4, 2)
LARGE = Config.of({"BM": 128, "BN": 64, "BK": 32}, 8, 3)
WIDE = Config.of({"BM": 32, "BN": 128, "BK": 32}, 4, 4)


def configs_block(source: str) -> str:
    start = source.index("configs=")
    return source[start : source.index("key=", start)]


def test_kept_configs_keep_text_comments_and_order_and_new_ones_follow_in_their_style(
    matmul: str,
) -> None:
    edited = set_configs(
        matmul, "product_kernel", [WIDE, TALL, LARGE], comments={WIDE: "more columns per block"}
    )
    assert (
        configs_block(edited)
        == """\
configs=[
        # small tiles
        triton.Config({'BM': 64, 'BN': 32, 'BK': 32}, num_warps=4, num_stages=2),  # tall

        # large tiles
        triton.Config({'BM': 128, 'BN': 64, 'BK': 32}, num_warps=8, num_stages=3),
        # more columns per block
        triton.Config({'BM': 32, 'BN': 128, 'BK': 32}, num_warps=4, num_stages=4),
    ],
    """
    )
    rest = replace_once(edited, configs_block(edited), configs_block(matmul))
    assert rest == matmul


def test_a_heading_goes_with_the_last_config_of_its_group(matmul: str) -> None:
    edited = set_configs(matmul, "product_kernel", [LARGE])
    assert "small tiles" not in edited
    assert "# large tiles" in edited
    assert "# Tiles that were tried by hand." in edited


def test_the_same_configs_change_nothing(matmul: str) -> None:
    assert set_configs(matmul, "product_kernel", [SMALL, TALL, LARGE]) == matmul


def test_equal_configs_become_one() -> None:
    source = program("[triton.Config({'B': 1}), triton.Config({'B': 1}, num_warps=4)]")
    edited = set_configs(source, "k", [Config.of({"B": 1})])
    assert "configs=[triton.Config({'B': 1})]," in edited


def program(configs: str, before: str = "") -> str:
    return f"""\
import triton
{before}
@triton.autotune(
    configs={configs},
    key=['n'],
)
@triton.jit
def k(p, n, B): pass
"""


def test_a_vertical_style_is_copied_without_its_comments() -> None:
    source = program("""[
        triton.Config(
            {"B": 64},  # one warp's worth
            num_warps=2,
            # deep
            num_stages=4,
        ),
    ]""")
    old, new = Config.of({"B": 64}, 2, 4), Config.of({"B": 256}, 8, 4)
    assert (
        configs_block(set_configs(source, "k", [old, new]))
        == """\
configs=[
        triton.Config(
            {"B": 64},  # one warp's worth
            num_warps=2,
            # deep
            num_stages=4,
        ),
        triton.Config(
            {"B": 256},
            num_warps=8,
            num_stages=4,
        ),
    ],
    """
    )


def test_a_list_on_one_line_stays_there_while_it_fits() -> None:
    source = program("[triton.Config({'B': 64}, num_warps=2)]")
    two = [Config.of({"B": 64}, 2), Config.of({"B": 128}, 4)]
    edited = set_configs(source, "k", two)
    assert (
        "configs=[triton.Config({'B': 64}, num_warps=2), triton.Config({'B': 128}, num_warps=4)],"
        in edited
    )
    longer = set_configs(source, "k", [*two, Config.of({"B": 256}, 8)])
    assert (
        configs_block(longer)
        == """\
configs=[
        triton.Config({'B': 64}, num_warps=2),
        triton.Config({'B': 128}, num_warps=4),
        triton.Config({'B': 256}, num_warps=8),
    ],
    """
    )


def test_a_list_with_a_name_of_its_own_is_edited_where_it_stands() -> None:
    source = program("LIST", "LIST = [\n    triton.Config({'B': 64}, num_warps=2),\n]")
    edited = set_configs(source, "k", [Config.of({"B": 64}, 2), Config.of({"B": 64}, 4)])
    assert (
        "LIST = [\n    triton.Config({'B': 64}, num_warps=2),\n    triton.Config({'B': 64}, n"
        in (edited)
    )
    assert "configs=LIST," in edited


def test_a_list_that_two_kernels_share_is_left_to_the_other() -> None:
    shared = program("LIST", "LIST = [triton.Config({'B': 64})]")
    source = shared + "\n@triton.autotune(LIST, ['n'])\n@triton.jit\ndef other(p, n, B): pass\n"
    edited = read_program(set_configs(source, "k", [Config.of({"B": 32})]))
    changed, other = (edited.kernel(name) for name in ("k", "other"))
    assert changed and changed.autotune and changed.autotune.configs == (Config.of({"B": 32}),)
    assert other and other.autotune and other.autotune.configs == (Config.of({"B": 64}),)


@pytest.mark.parametrize("configs", ["make()", "[triton.Config({'B': b}) for b in (1, 2)]"])
def test_a_list_built_by_code_becomes_a_plain_one(configs: str) -> None:
    edited = set_configs(program(configs), "k", [Config.of({"B": 2}), Config.of({"B": 4}, 8, 1)])
    assert (
        configs_block(edited)
        == """\
configs=[
        triton.Config({'B': 2}, num_warps=4, num_stages=3),
        triton.Config({'B': 4}, num_warps=8, num_stages=1),
    ],
    """
    )


def test_a_config_that_fits_no_style_says_all_its_options() -> None:
    source = program("[\n        triton.Config({'B': 64}),\n    ]")
    extra = Config((("B", 64),), 8, 2, maxnreg=128)
    edited = set_configs(source, "k", [extra])
    assert "triton.Config({'B': 64}, num_warps=8, num_stages=2, maxnreg=128)," in edited


def test_windows_line_ends_and_nested_kernels_are_kept() -> None:
    source = "import triton\ndef make():\n" + "".join(
        f"    {line}\n" for line in program("[\n    triton.Config({'B': 64}),\n]").splitlines()[2:]
    )
    source = source.replace("\n", "\r\n")
    edited = set_configs(source, "k", [Config.of({"B": 64}), Config.of({"B": 32})])
    assert edited.count("\r\n") == edited.count("\n") == source.count("\n") + 1
    assert replace_once(edited, "    triton.Config({'B': 32}),\r\n    ", "") == source


def test_autotune_is_added_above_the_kernel_and_launch_options_go(scale: str) -> None:
    configs = [Config((), 4, 2), Config((), 8, 2)]
    edited = add_autotune(scale, "scale_kernel", configs, ["count"], restore_value=["target"])
    assert edited.startswith(scale[: scale.index("@triton.jit")])
    assert (
        """

@triton.autotune(
    configs=[
        triton.Config({}, num_warps=4, num_stages=2),
        triton.Config({}, num_warps=8, num_stages=2),
    ],
    key=['count'],
    restore_value=['target'],
)
@triton.jit
def scale_kernel("""
        in edited
    )
    assert (
        """\
        factor,
        BLOCK=BLOCK,
    )
    return y"""
        in edited
    )
    kinds = {edit.kind for edit in difference(scale, edited)}
    assert kinds == {EditKind.AUTOTUNE_ADDED, EditKind.CONFIG_ADDED, EditKind.LAUNCH_OPTIONS}


def test_a_meta_parameter_leaves_the_launch_and_the_grid_reads_it(scale: str) -> None:
    configs = [Config.of({"BLOCK": 512}), Config.of({"BLOCK": 1024})]
    edited = add_autotune(scale, "scale_kernel", configs, ["count"])
    assert "grid = lambda meta: (triton.cdiv(count, meta['BLOCK']),)" in edited
    launch = read_program(edited).launches[0]
    assert launch.keywords == {}
    assert EditKind.GRID not in {edit.kind for edit in difference(scale, edited)}


def test_positional_arguments_after_a_gap_get_their_names() -> None:
    source = """\
import triton
@triton.jit
def k(p, B, n): pass
def host(x, n):
    k[lambda meta: (n,)](x, 64, n)
"""
    edited = add_autotune(source, "k", [Config.of({"B": 32})], ["n"])
    assert "k[lambda meta: (n,)](x, n=n)" in edited


@pytest.mark.parametrize(
    "host",
    [
        "    k[(n,)](*arguments)",
        "    k[(n,)](x, n, 64, *arguments)",
        "    k[(n,)](x, n, **options)",
        "    B = 64\n    y = B\n    k[(n // B,)](x, n, B)",
        "    k[(n // 64,)](x, n, 64)",
        "    B = 64\n    blocks = n // B\n    k[(blocks,)](x, n, B=B)",
    ],
)
def test_a_launch_that_would_conflict_unseen_is_refused(host: str) -> None:
    source = f"""\
import triton
@triton.jit
def k(p, n, B): pass
def host(x, n, arguments, options):
{host}
"""
    with pytest.raises(InputError):
        add_autotune(source, "k", [Config.of({"B": 32})], ["n"])


def test_unpacked_arguments_stay_where_what_the_configs_set_is_passed_by_name() -> None:
    source = """\
import triton
@triton.jit
def k(p, sx, sy, n, B): pass
def host(x, n):
    k[lambda meta: (n,)](x, *x.stride(), n, B=64, num_warps=8)
"""
    edited = add_autotune(source, "k", [Config.of({"B": 32})], ["n"])
    assert "k[lambda meta: (n,)](x, *x.stride(), n)" in edited


def test_triton_is_imported_where_only_parts_of_it_are() -> None:
    source = "from triton import jit\n\n@jit\ndef k(p): pass\n"
    edited = add_autotune(source, "k", [Config()], [])
    assert edited.startswith("from triton import jit\nimport triton\n\n@triton.autotune(")


def test_wrong_use_is_told_as_such(matmul: str, scale: str) -> None:
    for wrong in (
        lambda: set_configs(matmul, "nobody", [SMALL]),
        lambda: set_configs(matmul, "product_kernel", []),
        lambda: set_configs(scale, "scale_kernel", [SMALL]),
        lambda: add_autotune(matmul, "product_kernel", [SMALL], []),
    ):
        with pytest.raises(InternalError):
            wrong()

"""The work of a launch: counted where it can be, None and told where it cannot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpwright.compiler.ttir import read_function
from warpwright.costmodel.launch_work import distinct_elements, launch_floor, launch_work
from warpwright.gpus.sheets import find_gpu
from warpwright.types.config import Config
from warpwright.types.launch_trace import (
    Argument,
    Launch,
    ScalarArgument,
    TensorArgument,
    TracedConfig,
)
from warpwright.types.work import LaunchWork

NAMES = ("a", "b", "c", "n")
HEAD = (
    "tt.func public @k(%a: !tt.ptr<f32>, %b: !tt.ptr<f32>, %c: !tt.ptr<f32>, %n: i32) "
    "attributes {noinline = false} {\n"
    "%zero = arith.constant 0 : i32\n%one = arith.constant 1 : i32\n"
    "%cst = arith.constant dense<0.0> : tensor<16x16xf32>\n"
    "%pid = tt.get_program_id x : i32\n"
)
POINTERS = "".join(
    f"%p{name} = tt.splat %{name} : !tt.ptr<f32> -> tensor<16x16x!tt.ptr<f32>>\n" for name in "abc"
)
PRODUCT = """scf.for %i = {low} to {high} step %one  : i32 {{
%x = tt.load %pa : tensor<16x16x!tt.ptr<f32>>
%y = tt.load %pb : tensor<16x16x!tt.ptr<f32>>
%d = tt.dot %x, %y, %cst, inputPrecision = {precision} : tensor<16x16xf32> * tensor<16x16xf32> -> tensor<16x16xf32>
tt.store %pc, %d : tensor<16x16x!tt.ptr<f32>>
}}
"""  # noqa: E501
DOT = 2 * 16**3
TILE_BYTES = 16 * 16 * 4


def work(
    body: str,
    *,
    n: int = 5,
    grid: tuple[int, ...] = (3,),
    cc: tuple[int, int] = (8, 9),
    shapes: tuple[int, int, int] = (100_000, 100_000, 100_000),
    storages: tuple[int, int, int] = (0, 1, 2),
) -> LaunchWork:
    arguments: dict[str, Argument] = {
        name: TensorArgument("float32", (size,), (1,), storage=storage)
        for name, size, storage in zip("abc", shapes, storages, strict=True)
    }
    arguments["n"] = ScalarArgument(n, "i32")
    traced = TracedConfig(Config(), grid)
    function = read_function(HEAD + POINTERS + body + "tt.return\n}\n")
    return launch_work(function, NAMES, Launch("k", 0, arguments, (traced,), False), traced, cc)


def product(low: str = "%zero", high: str = "%n", precision: str = "tf32") -> str:
    return PRODUCT.format(low=low, high=high, precision=precision)


def test_a_loop_runs_as_often_as_the_launchs_arguments_say_in_every_block() -> None:
    found = work(product())
    assert found.operations == {"tf32": 3 * 5 * DOT}
    assert found.loaded_bytes == 3 * 5 * 2 * TILE_BYTES
    assert found.loops == 1


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("tf32x3", {"tf32": 3.0}), ("ieee", {"fp32": 1.0}), ("bf16x6", {"bf16": 6.0})],
)
def test_the_precision_of_a_product_decides_its_rate(
    precision: str, expected: dict[str, float]
) -> None:
    found = work(product(precision=precision), n=1, grid=(1,)).operations
    assert found == {rate: passes * DOT for rate, passes in expected.items()}


def test_before_ampere_fp32_products_run_on_the_ordinary_units() -> None:
    assert work(product(), n=1, grid=(1,), cc=(7, 5)).operations == {"fp32": DOT}


def test_a_loop_that_depends_on_the_block_is_counted_block_by_block() -> None:
    found = work(product(high="%pid"), grid=(4, 2))
    assert found.operations == {"tf32": 2 * (0 + 1 + 2 + 3) * DOT}


def test_a_loop_whose_length_is_data_leaves_operations_unknown_and_bytes_whole() -> None:
    length = "%at = tt.load %a : !tt.ptr<f32>\n%m = arith.fptosi %at : f32 to i32\n"
    found = work(length + product(high="%m"), shapes=(10, 20, 30))
    assert found.operations is None
    assert found.loaded_bytes is None
    assert found.lacks == ("how often a loop runs",)
    assert (found.read_bytes, found.written_bytes) == (4 * (10 + 20), 4 * 30)


def test_tensors_count_once_and_no_further_than_loads_reach() -> None:
    small = work(product(), shapes=(50, 60, 70))
    assert (small.read_bytes, small.written_bytes) == (4 * 110, 4 * 70)
    large = work(product(), shapes=(10**9, 10**9, 10**9))
    assert large.read_bytes == 2 * 3 * 5 * TILE_BYTES
    assert large.written_bytes == 3 * 5 * TILE_BYTES


def test_two_arguments_of_one_storage_are_read_once() -> None:
    assert work(product(), shapes=(50, 60, 70), storages=(0, 0, 1)).read_bytes == 4 * 60


def test_a_tensor_that_is_never_loaded_does_not_count() -> None:
    body = "%x = tt.load %pa : tensor<16x16x!tt.ptr<f32>>\ntt.store %pc, %x : tensor<16x16x!tt.ptr<f32>>\n"  # noqa: E501
    found = work(body, shapes=(50, 60, 70))
    assert (found.read, found.written) == (("a",), ("c",))
    assert found.read_bytes == 200


def test_of_a_branch_nobody_can_foresee_the_cheaper_side_counts() -> None:
    load = "%at = tt.load %a : !tt.ptr<f32>\n%q = arith.cmpf ogt, %at, %at : f32\n"
    branch = "scf.if %q {{\n{one}}} else {{\n{other}}}\n"
    add = "%s = arith.addf %cst, %cst : tensor<16x16xf32>\n"
    found = work(load + branch.format(one=add + add, other=add), grid=(1,))
    assert found.operations == {"fp32": 256}


def test_a_branch_that_decides_over_most_of_the_work_is_told() -> None:
    load = "%at = tt.load %a : !tt.ptr<f32>\n%q = arith.cmpf ogt, %at, %at : f32\n"
    add = "%s = arith.addf %cst, %cst : tensor<16x16xf32>\n"
    found = work(load + f"scf.if %q {{\n{add}}}\n", grid=(1,))
    assert found.operations is None
    assert found.lacks == ("how many blocks take a branch",)


def test_a_branch_on_the_program_id_is_counted_block_by_block() -> None:
    add = "%s = arith.addf %cst, %cst : tensor<16x16xf32>\n"
    first = "%p = tt.get_program_id x : i32\n%q = arith.cmpi eq, %p, %zero : i32\n"
    zero = "%zero = arith.constant 0 : i32\n"
    found = work(zero + first + f"scf.if %q {{\n{add}}}\n", grid=(8,))
    assert found.operations == {"fp32": 256}


def test_a_pointer_that_comes_from_memory_leaves_bytes_unknown() -> None:
    found = work("%q = tt.int_to_ptr %n : i32 -> !tt.ptr<f32>\n%x = tt.load %q : !tt.ptr<f32>\n")
    assert found.read_bytes is None
    assert found.lacks == ("where a computed pointer points",)


def test_integer_products_have_no_rate_and_are_not_invented() -> None:
    body = "%d = tt.dot %u, %v, %w : tensor<16x32xi8> * tensor<32x16xi8> -> tensor<16x16xi32>\n"
    found = work(body)
    assert found.operations is None
    assert found.lacks == ("a rate for products of i8",)


def test_too_many_blocks_to_count_is_told_and_soon() -> None:
    found = work(product(high="%pid"), grid=(10**9,))
    assert found.operations is None
    assert found.lacks


def test_a_floor_is_the_longer_of_its_terms_and_none_without_them() -> None:
    sheet = find_gpu("RTX 4090")
    launch = Launch("k", 0, {}, (TracedConfig(Config(), (1,)),), False)
    nothing = launch_floor(None, (), launch, launch.configs[0], sheet)
    assert nothing.floor_us is None
    assert set(nothing.lacks) == {"operations", "bytes"}
    traced = TracedConfig(Config(), (3,))
    tensor = TensorArgument("float32", (10**9,), (1,))
    arguments: dict[str, Argument] = dict.fromkeys("abc", tensor)
    arguments["n"] = ScalarArgument(5, "i32")
    function = read_function(HEAD + POINTERS + product() + "tt.return\n}\n")
    launch = Launch("k", 0, arguments, (traced,), False)
    found = launch_floor(function, NAMES, launch, traced, sheet, launches=7)
    assert sheet.tf32_tflops is not None
    assert found.compute_us == pytest.approx(15 * DOT / (sheet.tf32_tflops * 1e6))
    assert found.floor_us == max(found.compute_us or 0, found.memory_us or 0)
    assert found.launches == 7


def test_views_count_distinct_elements() -> None:
    assert distinct_elements((4, 8), (8, 1)) == 32
    assert distinct_elements((4, 8), (0, 1)) == 8  # expanded
    assert distinct_elements((4, 8), (1, 4)) == 32  # transposed
    assert distinct_elements((4, 8), (100, 2)) == 32  # sliced
    assert distinct_elements((0, 8), (8, 1)) == 0
    assert distinct_elements((), ()) == 1


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), max_size=4))
def test_no_view_is_said_to_have_more_elements_than_it_has(dims: list[tuple[int, int]]) -> None:
    places = {0}
    for size, stride in dims:
        places = {place + index * stride for place in places for index in range(size)}
    shape, strides = [size for size, _ in dims], [stride for _, stride in dims]
    assert distinct_elements(shape, strides) <= len(places)


@given(st.text(max_size=200), st.lists(st.sampled_from(["}", "{", product(), "^bb1:\n", "scf.yield %x : f32\n", "cf.br ^bb1\n", "scf.while (%x = %y) : (i32) -> (i32) {\n", "} do {\n"]), max_size=8))  # fmt: skip  # noqa: E501
def test_counting_survives_any_representation(text: str, pieces: list[str]) -> None:
    found = work(text + "".join(pieces))
    assert found.operations is None or all(count >= 0 for count in found.operations.values())

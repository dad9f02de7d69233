"""TTIR is read into operations, types, regions and blocks."""

from __future__ import annotations

from warpwright.compiler.ttir import read_function, read_operation, read_types
from warpwright.types.kernel_ir import TensorType

MODULE = """
module {
  tt.func public @walk(%arg0: !tt.ptr<f32>, %arg1: !tt.tensordesc<tensor<16x32xf16>>, %arg2: i32) attributes {noinline = false} {
    %c0 = arith.constant 0 : i32
    %0 = tt.get_program_id x : i32
    %1 = arith.cmpi sge, %0, %arg2 : i32
    cf.cond_br %1, ^bb1, ^bb2
  ^bb1:  // pred: ^bb0
    tt.return
  ^bb2:  // pred: ^bb0
    %2:2 = scf.for %arg3 = %c0 to %arg2 step %c1 iter_args(%arg4 = %cst, %arg5 = %p) -> (tensor<16xf32>, i32)  : i32 {
      %3 = scf.if %1 -> (i32) {
        scf.yield %c0 : i32
      } else {
        scf.yield %arg2 : i32
      }
      scf.yield %arg4, %3 : tensor<16xf32>, i32
    } {tt.num_stages = 3 : i32}
    %4 = "tt.reduce"(%2#0) <{axis = 0 : i32}> ({
    ^bb0(%a: f32, %b: f32):
      %5 = arith.addf %a, %b : f32
      tt.reduce.return %5 : f32
    }) : (tensor<16xf32>) -> f32
    tt.return
  }
}
"""  # noqa: E501


def test_a_function_has_its_arguments_and_blocks() -> None:
    function = read_function(MODULE, "walk")
    assert function is not None
    assert function.arguments == (
        ("%arg0", "!tt.ptr<f32>"),
        ("%arg1", "!tt.tensordesc<tensor<16x32xf16>>"),
        ("%arg2", "i32"),
    )
    assert [label for label, _ in function.blocks] == ["bb0", "bb1", "bb2"]
    jump = function.blocks[0][1][-1]
    assert (jump.operands, jump.targets) == (("%1",), ("bb1", "bb2"))


def test_a_loop_has_bounds_carried_values_and_a_body() -> None:
    function = read_function(MODULE)
    assert function is not None
    loop, reduction, _ = function.blocks[2][1]
    assert loop.results == ("%2#0", "%2#1")
    assert loop.operands == ("%arg3", "%c0", "%arg2", "%c1", "%arg4", "%cst", "%arg5", "%p")
    assert loop.regions[0].arguments == ("%arg3", "%arg4", "%arg5")
    branch = loop.regions[0].operations[0]
    assert [region.operations[0].operands for region in branch.regions] == [("%c0",), ("%arg2",)]
    assert reduction.types == (TensorType((16,), "f32"), TensorType((), "f32"))


def test_types_are_tensors_pointers_and_scalars() -> None:
    text = "tensor<64x32x!tt.ptr<f16>>, !tt.ptr<bf16>, i32 -> tensor<8xf8E4M3FN>"
    assert read_types(text) == (
        TensorType((64, 32), "f16", pointer=True),
        TensorType((), "bf16", pointer=True),
        TensorType((), "i32"),
        TensorType((8,), "f8E4M3FN"),
    )
    assert read_types(text)[0].elements == 2048


def test_what_is_no_operation_has_no_name_and_does_no_harm() -> None:
    assert read_operation("what is this").name == ""
    assert read_function("module {") is None
    assert read_function(MODULE, "another") is None

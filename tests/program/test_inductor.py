"""Files that TorchInductor writes are told as such, with the sizes that stand in them."""

from __future__ import annotations

import pytest

from warpwright.analysis.study_program import Subject, read_view
from warpwright.errors import InputError
from warpwright.program.inductor import inductor_kernels
from warpwright.program.parsed import parse_program

KERNEL = """\
import triton
import triton.language as tl
from torch._inductor.runtime import triton_helpers, triton_heuristics

@triton_heuristics.pointwise(
    size_hints={"y": 64, "x": 2048}, filename=__file__,
    triton_meta={"signature": {"in_ptr0": "*fp32", "ynumel": "i32", "xnumel": "i32"}},
)
@triton.jit
def triton_poi_fused_relu_0(in_ptr0, out_ptr0, ynumel, xnumel, YBLOCK: tl.constexpr,
                            XBLOCK: tl.constexpr):
    pass
"""
AS_TEXT = f"""\
from torch._inductor.async_compile import AsyncCompile
async_compile = AsyncCompile()

first = async_compile.triton('triton_poi_fused_relu_0', '''
{KERNEL}''', device_str='cuda')
"""


@pytest.mark.parametrize(("source", "line"), [(KERNEL, 10), (AS_TEXT, 14)])
def test_its_kernels_are_read(source: str, line: int) -> None:
    (kernel,) = inductor_kernels(parse_program(source))
    assert kernel.name == "triton_poi_fused_relu_0"
    assert source.splitlines()[kernel.line - 1].startswith("def triton_poi")
    assert kernel.line == line
    assert kernel.sizes == (("y", 64), ("x", 2048))
    assert kernel.blocks == ("YBLOCK", "XBLOCK")
    assert kernel.numbers == ("ynumel", "xnumel")


def test_the_error_says_what_the_file_is_and_the_way_out() -> None:
    with pytest.raises(InputError) as told:
        read_view(Subject(AS_TEXT, "out.py"))
    text = str(told.value)
    assert "written by TorchInductor" in text
    assert "out.py:14" in text
    assert "triton_poi_fused_relu_0 (triton_heuristics.pointwise; y: 64, x: 2,048)" in text
    assert "triton.cdiv(xnumel, meta['XBLOCK'])" in text


def test_a_plain_kernel_beside_it_is_none_of_its() -> None:
    plain = KERNEL.replace("@triton_heuristics.pointwise(", "@other.pointwise(")
    assert inductor_kernels(parse_program(plain)) == ()

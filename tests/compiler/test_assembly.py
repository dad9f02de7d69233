"""Readings of what ptxas, cuobjdump and Triton print."""

from __future__ import annotations

import struct

import pytest

from warpwright.compiler import assembly

USAGE = """
Resource usage:
 Common:
  GLOBAL:0
 Function relu:
  REG:40 STACK:8 SHARED:1024 LOCAL:0 CONSTANT[0]:556 TEXTURE:0 SURFACE:0 SAMPLER:0
 Function helper:
  REG:52 STACK:0 SHARED:0 LOCAL:16 CONSTANT[0]:0 TEXTURE:0 SURFACE:0 SAMPLER:0
"""


def test_resource_usage_is_the_largest_of_a_cubins_functions() -> None:
    usage = assembly.read_usage(USAGE)
    assert usage == assembly.CubinUsage(
        registers=52, stack_bytes=8, shared_bytes=1024, local_bytes=16
    )


def test_the_drivers_kilobyte_is_not_the_kernels_from_hopper_on() -> None:
    usage = assembly.read_usage(USAGE)
    assert usage.static_shared_bytes((9, 0)) == 0
    assert usage.static_shared_bytes((12, 0)) == 0
    assert usage.static_shared_bytes((8, 9)) == 1024


def test_usage_without_registers_is_no_usage() -> None:
    with pytest.raises(ValueError, match="LOCAL, REG"):
        assembly.read_usage("STACK:0 SHARED:0")


def test_spills_are_those_of_the_worst_function() -> None:
    log = "48 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads\n" * 2
    log += "ptxas info: 8 bytes stack frame, 16 bytes spill stores, 4 bytes spill loads"
    assert assembly.read_spills(log) == {"spill_store_bytes": 16, "spill_load_bytes": 20}


def test_spills_are_unknown_where_ptxas_said_nothing() -> None:
    assert assembly.read_spills("") == {}


PTX = """
    @%p1 ld.global.v4.b32 { %r1, %r2, %r3, %r4 }, [ %rd1 + 0 ];
    @%p1 ld.global.L1::evict_last.v2.b64 { %rd5, %rd6 }, [ %rd1 + 0 ];
    ld.global.b16 { %rs1 }, [ %rd2 + 2 ];
    ld.global.nc.b8 { %rs1 }, [ %rd2 + 2 ];
    ld.shared.v4.b32 {%r5, %r6, %r7, %r8}, [%r9];
    ld.param.b64 %rd1, [relu_param_0];
    @%p2 st.global.v2.b32 [ %rd3 + 0 ], { %r1, %r2 };
    cp.async.cg.shared.global [ %r1 + 0 ], [ %rd1 + 0 ], 0x10, %r2;
    cp.async.ca.shared.global [ %r1 + 0 ], [ %rd1 + 0 ], 0x4, %r2;
    cp.async.commit_group;
    cp.async.bulk.tensor.2d.shared::cluster.global.tile [%r1], [%rd1, {%r2, %r3}], [%r4];
    ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r1, %r2, %r3, %r4}, [%r5];
    mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 { %r1 }, { %r2 }, { %r3 }, { %r4 };
    wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {%r1}, %rd1, %rd2, 1;
    bar.sync 0;
    barrier.sync 1, 128;
    atom.global.gpu.acq_rel.add.f32 %r1, [%rd1], %r2;
    fma.rn.f32 %r1, %r2, %r3, %r4;
    fma.rn.ftz.f32 %r1, %r2, %r3, %r4;
"""


def test_ptx_is_counted_by_kind_and_width() -> None:
    assert assembly.count_ptx(PTX) == {
        "mma": 2,
        "wgmma": 1,
        "cp_async": 2,
        "cp_async_16": 1,
        "cp_async_4": 1,
        "tma": 1,
        "ldmatrix": 1,
        "bar": 2,
        "atomics": 1,
        "fma": 2,
        "load_128": 2,
        "load_16": 1,
        "load_8": 1,
        "store_64": 1,
    }


def test_dots_are_told_apart_by_the_layout_of_their_result() -> None:
    ttgir = """
    %1 = tt.dot %a, %b, %c, inputPrecision = ieee : tensor<32x32xf32, #ttg.dot_op<{opIdx = 0, parent = #blocked}>> * tensor<32x32xf32, #ttg.dot_op<{opIdx = 1, parent = #blocked}>> -> tensor<32x32xf32, #blocked1> loc(#loc)
    %2 = tt.dot %a, %b, %c : tensor<32x32xf32, #ttg.dot_op<{opIdx = 0, parent = #mma, kWidth = 1}>> * tensor<32x32xf32, #ttg.dot_op<{opIdx = 1, parent = #mma, kWidth = 1}>> -> tensor<32x32xf32, #mma> loc(#loc)
    %3 = ttng.warp_group_dot %a, %b, %c {inputPrecision = 0 : i32} : !ttg.memdesc<64x64xf16, #shared, #smem> * !ttg.memdesc<64x64xf16, #shared1, #smem> -> tensor<64x64xf32, #mma>
    %4 = ttng.warp_group_dot_wait %3 {pendings = 0 : i32} : tensor<64x64xf32, #mma>
    %5 = ttng.tc_gen5_mma %a, %b, %d[%t], %true, %true : !ttg.memdesc<128x64xf16, #shared, #smem>
    """  # noqa: E501
    assert assembly.count_dots(ttgir) == {"dots_tensor_core": 3, "dots_fma": 1}


def test_the_buffers_of_a_pipeline_are_the_first_extent_of_its_allocations() -> None:
    ttgir = (
        "%60 = ttg.local_alloc : () -> !ttg.memdesc<3x64x256xf32, #shared, #smem, mutable>\n"
        "%61 = ttg.local_alloc %a : (tensor<64x64xf16>) -> !ttg.memdesc<64x64xf16, #shared>\n"
    )
    assert assembly.pipeline_buffers(ttgir) == 3
    assert assembly.pipeline_buffers("") == 0


def elf(sections: dict[str, bytes]) -> bytes:
    """A minimal ELF file with these sections."""
    names = b"\0"
    offsets = {}
    for name in [*sections, ".shstrtab"]:
        offsets[name] = len(names)
        names += name.encode() + b"\0"
    body, headers = b"", []
    for name, data in [*sections.items(), (".shstrtab", names)]:
        headers.append((offsets[name], 1, 0, 0, 64 + len(body), len(data)))
        body += data
    header = bytearray(64)
    header[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<Q", header, 0x28, 64 + len(body))
    struct.pack_into("<HHH", header, 0x3A, 64, len(headers), len(headers) - 1)
    table = b"".join(struct.pack("<IIQQQQ", *fields).ljust(64, b"\0") for fields in headers)
    return bytes(header) + body + table


def test_code_bytes_are_those_of_the_text_sections() -> None:
    cubin = elf({".text.relu": b"x" * 384, ".nv.info": b"y" * 99, ".text.helper": b"z" * 128})
    assert assembly.code_bytes(cubin) == 512


def test_what_is_no_elf_file_has_no_code() -> None:
    with pytest.raises(ValueError, match="ELF"):
        assembly.code_bytes(b"\x7fELF\x01\x01" + b"\0" * 100)

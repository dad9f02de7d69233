"""Machine code written by hand, whose counts can be told by reading it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from warpwright.compiler.sass_text import read_instruction, read_machine_code
from warpwright.costmodel.sass import count_blocks
from warpwright.costmodel.sass.count_blocks import CountedLaunch, count_launch, sample_blocks
from warpwright.costmodel.sass.sass_decode import Registers, Surroundings
from warpwright.costmodel.sass.sass_operations import decode
from warpwright.types.counts import LaunchCounts
from warpwright.types.machine_code import KernelBinary, OperandKind

BASE = 0x160


def binary(code: str) -> KernelBinary:
    """Lines of instructions and labels as nvdisasm prints them, the address put before each."""
    lines = [".text.k:"]
    address = 0
    for text in filter(None, map(str.strip, code.splitlines())):
        if text.endswith(":"):
            lines.append(text)
            continue
        lines.append(f"        /*{address:04x}*/                   {text} ;")
        address += 16
    function = read_machine_code("\n".join(lines))
    assert function is not None
    assert len(function.instructions) == address // 16
    return KernelBinary(function, BASE, ())


def count(
    code: str, words: dict[int, int | None] | None = None, grid: tuple[int, ...] = (1,)
) -> LaunchCounts:
    return count_launch(binary(code), CountedLaunch(words or {}, grid, 64))


# c[0x0][0x160] is a pointer, c[0x0][0x168] how many turns
LOOP = """
S2R R0, SR_TID.X
IMAD.WIDE.U32 R2, R0, 0x4, c[0x0][0x160]
MOV R5, RZ
.L_1:
LDG.E R6, [R2.64]
IADD3 R2, P0, R2, 0x100, RZ
IADD3.X R3, RZ, R3, RZ, P0, !PT
FADD R7, R7, R6
IADD3 R5, R5, 0x1, RZ
ISETP.LT.AND P1, PT, R5, c[0x0][0x168], PT
@P1 BRA `(.L_1)
EXIT
"""


def arguments(turns: int, low: int = 0) -> dict[int, int | None]:
    return {0: low, 4: 7, 8: turns}


@pytest.mark.parametrize("turns", [1, 2, 31, 500])
def test_a_loop_counts_each_turn_in_each_warp(turns: int) -> None:
    found = count(LOOP, arguments(turns), grid=(10,))
    assert found.instructions == 10 * 2 * (3 + 7 * turns + 1)
    assert found.by_kind["float"] == 10 * 2 * turns
    assert found.sectors == 10 * 2 * turns * 4
    assert found.requested_bytes == 10 * 64 * turns * 4


@pytest.mark.parametrize("low", [0, 2**32 - 4096])
def test_turns_that_are_left_out_count_as_much_as_those_that_are_not(
    low: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the pointer's lower word wraps among them: the upper one then grows as well."""
    whole = count(LOOP, arguments(3000, low))
    monkeypatch.setattr(count_blocks, "MEMORY_STEPS", 0)
    monkeypatch.setattr(count_blocks, "MOST_MEMORY_STEPS", 3000)
    assert count(LOOP, arguments(3000, low)) == whole


def test_a_loop_that_cannot_be_left_out_and_is_too_long_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it carries is multiplied, so it does not grow evenly."""
    code = LOOP.replace("IADD3 R2, P0, R2, 0x100, RZ", "IMAD R2, R2, 0x5, 0x100")
    monkeypatch.setattr(count_blocks, "MEMORY_STEPS", 0)
    monkeypatch.setattr(count_blocks, "MOST_MEMORY_STEPS", 3000)
    found = count(code.replace("RZ, P0, !PT", "RZ"), arguments(3000))
    assert found.sectors is None
    assert found.instructions is not None
    assert found.unknown == ("loops too long to be followed",)


def test_both_sides_of_a_branch_within_a_warp_count_and_lanes_meet_again() -> None:
    """Lanes 0 to 7 of the first warp go one way, the others another; all run the end together."""
    code = """
    S2R R0, SR_TID.X
    ISETP.LT.AND P0, PT, R0, 0x8, PT
    @P0 BRA `(.L_1)
    MOV R1, 0x1
    MOV R2, 0x2
    BRA `(.L_2)
    .L_1:
    MOV R1, 0x3
    .L_2:
    MOV R4, R1
    EXIT
    """
    # first warp: 3 + 3 + 1 + 2, second: 3 + 3 + 2
    assert count(code).instructions == 9 + 8


def test_lanes_that_exit_no_longer_count() -> None:
    code = """
    S2R R0, SR_TID.X
    ISETP.GE.AND P0, PT, R0, 0x20, PT
    @P0 EXIT
    NOP
    EXIT
    """
    assert count(code).instructions == 2 * 3 + 2


def test_a_branch_on_loaded_data_is_told_and_a_slow_path_is_not() -> None:
    code = """
    MOV R2, c[0x0][0x160]
    MOV R3, c[0x0][0x164]
    LDG.E R4, [R2.64]
    FSETP.GT.AND P0, PT, R4, R5, PT
    @P0 BRA `(.L_1)
    {path}
    .L_1:
    EXIT
    .L_2:
    RET.REL.NODEC R8 `(k)
    """
    on_data = count(code.format(path="NOP"), {0: 0, 4: 1})
    assert on_data.instructions is None
    assert on_data.unknown == ("which way a branch goes that depends on data",)
    slow = count(code.format(path="CALL.REL.NOINC `(.L_2)"), {0: 0, 4: 1})
    assert slow.instructions == 2 * 6
    assert slow.unknown == ()


def test_spilled_words_come_back() -> None:
    code = """
    MOV R1, c[0x0][0x28]
    MOV R5, c[0x0][0x168]
    STL [R1+0x8], R5
    MOV R5, RZ
    LDL.LU R6, [R1+0x8]
    .L_1:
    IADD3 R5, R5, 0x1, RZ
    ISETP.LT.AND P1, PT, R5, R6, PT
    @P1 BRA `(.L_1)
    EXIT
    """
    assert count(code, arguments(9)).instructions == 2 * (5 + 3 * 9 + 1)


SHARED = """
S2R R0, SR_TID.X
IMAD.SHL.U32 R1, R0, 0x80, RZ
STS [R0.X4+0x10], R1
{between}
BAR.SYNC.DEFER_BLOCKING 0x0
LOP3.LUT R2, R0, 0x1, RZ, 0x3c, !PT
LDS R4, [R2.X4+0x10]
MOV R5, 0x1
LDG.E R6, [R4.64]
EXIT
"""


def test_addresses_that_pass_through_shared_memory_are_known() -> None:
    """Lanes change places in pairs; each then touches a sector of its own."""
    found = count(SHARED.format(between="NOP"))
    assert found.unknown == ()
    assert found.sectors == 64


def test_data_in_shared_memory_is_unknown() -> None:
    """One warp's places are written over with data."""
    over = "@P3 LDG.E R9, [R8.64]\nLDG.E R9, [R8.64]\nSTS [R0.X4+0x10], R9"
    found = count(SHARED.format(between=over))
    assert found.sectors is None
    assert found.unknown == ("an address that depends on data",)
    assert found.instructions is not None


@pytest.mark.parametrize("guard", ["", "@P0 "])
def test_an_instruction_that_is_not_known_leaves_its_result_unknown(guard: str) -> None:
    code = """
    MOV R5, 0x4
    {guard}WHATEVER R5, R7, 0x3
    .L_1:
    IADD3 R5, R5, -0x1, RZ
    ISETP.GT.AND P1, PT, R5, RZ, PT
    @P1 BRA `(.L_1)
    EXIT
    """
    found = count("ISETP.NE.AND P0, PT, R0, c[0x0][0x200], PT\n" + code.format(guard=guard))
    assert found.instructions is None
    assert "a loop runs" in found.unknown[0]


def carried_out(line: str, given: Registers) -> Registers:
    """Registers after one instruction."""
    instruction = read_instruction(f"        /*0000*/                   {line} ;")
    assert instruction is not None
    registers: Registers = dict(given)
    step = decode(instruction, registers, Surroundings({}, lambda *_: None, 32))
    assert step.run is not None
    registers.update(dict(zip(step.writes, step.run(), strict=True)))
    return registers


ALL = 0xFFFFFFFF


def bits(number: float) -> int:
    return int(np.float32(number).view(np.uint32))


@pytest.mark.parametrize(
    ("line", "given", "expected"),
    [
        ("IADD3 R1, R2, -R3, RZ", {"R2": 3, "R3": 5}, {"R1": ALL - 1}),
        ("IADD3 R1, P0, R2, R3, RZ", {"R2": ALL, "R3": 1}, {"R1": 0, "P0": True}),
        ("IADD3 R1, P0, R2, -R3, RZ", {"R2": 7, "R3": 0}, {"R1": 7, "P0": True}),
        ("IADD3.X R1, R2, ~R3, RZ, P0, !PT", {"R2": 9, "R3": 4, "P0": True}, {"R1": 5}),
        ("IMAD R1, R2, R3, 0x7", {"R2": ALL, "R3": 3}, {"R1": 4}),
        ("IMAD.WIDE R4, R2, 0x4, R6", {"R2": ALL, "R6": 0, "R7": 1}, {"R4": ALL - 3, "R5": 0}),
        ("IMAD.WIDE.U32 R4, R2, 0x4, RZ", {"R2": ALL}, {"R4": ALL - 3, "R5": 3}),
        ("IMAD.HI.U32 R1, R2, R3, RZ", {"R2": 1 << 31, "R3": 6}, {"R1": 3}),
        ("LEA R1, P0, R2, R3, 0x2", {"R2": 1 << 30, "R3": 5}, {"R1": 5}),
        ("LEA.HI.X.SX32 R1, R2, R3, 0x2, P0", {"R2": ALL, "R3": 7, "P0": False}, {"R1": 6}),
        ("LEA.HI R1, R2, R3, RZ, 0x1c", {"R2": 0x123, "R3": 1}, {"R1": 0x13}),
        ("LEA.HI.SX32 R1, R2, R3, 0x1b", {"R2": ALL, "R3": 1}, {"R1": 0}),
        ("SHF.R.S32.HI R1, RZ, 0x1f, R2", {"R2": 1 << 31}, {"R1": ALL}),
        ("SHF.R.U32.HI R1, RZ, 0x4, R2", {"R2": 0x123}, {"R1": 0x12}),
        ("SHF.L.U32 R1, R2, 0x3, RZ", {"R2": 1 << 30 | 1}, {"R1": 8}),
        ("SHF.L.U64.HI R1, R2, 0x2, R3", {"R2": 3 << 30, "R3": 1}, {"R1": 7}),
        ("LOP3.LUT R1, R2, 0xf, R3, 0x78, !PT", {"R2": 0x3C, "R3": 0xFF}, {"R1": 0x33}),
        ("LOP3.LUT R1, R2, RZ, RZ, 0xc0, !PT", {"R2": None}, {"R1": 0}),
        ("LOP3.LUT P0, RZ, R2, 0x1, RZ, 0xc0, !PT", {"R2": 3}, {"P0": True}),
        ("ISETP.GE.AND P0, PT, R2, 0x1, PT", {"R2": ALL}, {"P0": False}),
        ("ISETP.GE.U32.AND P0, PT, R2, 0x1, PT", {"R2": ALL}, {"P0": True}),
        ("ISETP.LT.OR P0, PT, R2, R3, P1", {"R2": None, "R3": 1, "P1": True}, {"P0": True}),
        ("ISETP.GE.AND.EX P0, PT, R2, R3, PT, P1", {"R2": 4, "R3": 4, "P1": False}, {"P0": False}),
        ("PLOP3.LUT P2, PT, PT, PT, UP0, 0x40, 0x0", {"UP0": False}, {"P2": True}),
        ("SEL R1, RZ, 0x10, P0", {"P0": False}, {"R1": 16}),
        ("IMNMX R1, R2, R3, PT", {"R2": ALL, "R3": 4}, {"R1": ALL}),
        ("VIMNMX R1, PT, PT, R2, R3, !PT", {"R2": ALL, "R3": 4}, {"R1": 4}),
        ("VIMNMX3 R1, R2, R3, R4, PT", {"R2": 7, "R3": ALL, "R4": 4}, {"R1": ALL}),
        ("VIMNMX3 R1, R2, R3, R4, !PT", {"R2": 7, "R3": ALL, "R4": 4}, {"R1": 7}),
        ("VIADD.16x2 R1, R2, 0xfffefffe", {"R2": 0x00050003}, {"R1": 0x00030001}),
        ("VIADDMNMX.U32 R1, R2, 0xfffffff5, R2, PT", {"R2": 12}, {"R1": 1}),
        ("VIADDMNMX.U32 R1, R2, 0xfffffff5, R2, PT", {"R2": 10}, {"R1": 10}),
        ("VIADDMNMX.U32 R1, R2, R3, R4, !PT", {"R2": 3, "R3": 4, "R4": 6}, {"R1": 7}),
        ("VIADDMNMX R1, R2, R3, R4, PT", {"R2": 3, "R3": ALL - 5, "R4": 6}, {"R1": ALL - 2}),
        ("VIADDMNMX.U32 R1, R2, R3, R4, PT", {"R2": 3, "R3": None, "R4": 6}, {"R1": None}),
        ("IABS R1, R2", {"R2": ALL - 4}, {"R1": 5}),
        ("SGXT R1, R2, 0x1", {"R2": 3}, {"R1": ALL}),
        ("SGXT.U32 R1, R2, 0x5", {"R2": 0x7F}, {"R1": 0x1F}),
        ("PRMT R1, R2, 0x5410, R3", {"R2": 0x1234, "R3": 0xABCD}, {"R1": 0xABCD1234}),
        ("P2R R1, PR, RZ, 0x5", {"P0": True, "P2": True, "P1": True}, {"R1": 5}),
        ("R2P PR, R1, 0x6", {"R1": 4}, {"P1": False, "P2": True}),
        ("CS2R R4, SRZ", {"R4": 1, "R5": 1}, {"R4": 0, "R5": 0}),
        ("HFMA2.MMA R1, -RZ, RZ, 1.875, 0", {}, {"R1": 0x3F800000}),
        ("FADD R1, R2, -R3", {"R2": bits(2.5), "R3": bits(4.0)}, {"R1": bits(-1.5)}),
        ("FMUL R1, R2, 16777216", {"R2": bits(0.5)}, {"R1": bits(8388608.0)}),
        ("FMUL.FTZ R1, |R2|, 0.25", {"R2": bits(-2.0)}, {"R1": bits(0.5)}),
        ("FFMA R1, R2, R3, -RZ", {"R2": bits(0.1), "R3": bits(3.0)}, {"R1": bits(0.3000000119)}),
        ("FMUL.RZ R1, R2, R2", {"R2": bits(0.5)}, {"R1": None}),
        ("FADD R1, R2, R3", {"R2": None, "R3": bits(1.0)}, {"R1": None}),
        ("FSETP.GT.AND P0, PT, |R2|, 2.5e-1, PT", {"R2": bits(-0.5)}, {"P0": True}),
        ("FSETP.GE.AND P0, P1, R2, RZ, PT", {"R2": bits(-0.5)}, {"P0": False, "P1": True}),
        ("FSETP.GEU.AND P0, PT, R2, R2, PT", {"R2": 0x7FC00000}, {"P0": True}),
        ("FSETP.NE.AND P0, PT, R2, R2, PT", {"R2": 0x7FC00000}, {"P0": False}),
        ("FSETP.LT.OR P0, PT, R2, RZ, P1", {"R2": None, "P1": True}, {"P0": True}),
        ("FSEL R1, R2, 2, !P0", {"R2": bits(0.5), "P0": True}, {"R1": bits(2.0)}),
        ("F2I.FTZ.FLOOR.NTZ R1, R2", {"R2": bits(-0.5)}, {"R1": ALL}),
        ("F2I.CEIL.NTZ R1, R2", {"R2": bits(6.25)}, {"R1": 7}),
        ("F2I.NTZ R1, R2", {"R2": bits(2.5)}, {"R1": 2}),
        ("F2I.TRUNC.NTZ R1, -R2", {"R2": bits(3e9)}, {"R1": 1 << 31}),
        ("F2I.U32.TRUNC.NTZ R1, R2", {"R2": bits(-7.0)}, {"R1": 0}),
        ("I2FP.F32.S32 R1, R2", {"R2": ALL}, {"R1": bits(-1.0)}),
        ("LDG.E.128 R4, [R8.64]", {"R4": 1, "R7": 1}, {"R4": None, "R7": None}),
        ("HMMA.16816.F32 R4, R8, R12, R4", {"R7": 1, "R8": 2}, {"R7": None, "R8": 2}),
    ],
)
def test_instructions_do_what_the_hardware_does(
    line: str, given: Registers, expected: Registers
) -> None:
    after = carried_out(line, given)
    assert {name: after[name] for name in expected} == expected
    lanes = {
        name: np.full(32, value, np.uint64)
        if isinstance(value, int) and not isinstance(value, bool)
        else value
        for name, value in given.items()
    }
    after = carried_out(line, lanes)  # the same lane by lane
    for name, value in expected.items():
        assert (after[name] is None) if value is None else np.all(after[name] == value)


LANES = np.arange(32, dtype=np.uint64)


@pytest.mark.parametrize(
    ("line", "given", "expected"),
    [
        ("REDUX.SUM.S32 UR4, R2", ALL - LANES, (-496 - 32) % 2**32),
        ("REDUX.MIN.S32 UR4, R2", ALL - LANES, ALL - 31),
        ("REDUX.MAX UR4, R2", LANES, 31),
        ("CREDUX.MAX.S32 UR4, R2", ALL - LANES, ALL),
        ("REDUX.OR UR4, R2", LANES, 31),
        ("REDUX.SUM UR4, R2", None, None),
    ],
)
def test_a_warp_is_reduced_to_one_word(line: str, given: object, expected: int | None) -> None:
    found = carried_out(line, {"R2": given})["UR4"]
    assert found is None if expected is None else np.all(found == np.uint64(expected))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("SHFL.BFLY PT, R1, R2, 0x2, 0x1f", LANES ^ 2),
        ("SHFL.IDX PT, R1, R2, 0x5, 0x1f", 0 * LANES + 5),
        ("SHFL.DOWN PT, R1, R2, 0x1e, 0x1f", [30, 31, *range(2, 32)]),
        ("SHFL.UP PT, R1, R2, 0x1, RZ", [0, *range(31)]),
    ],
)
def test_lanes_read_one_another(line: str, expected: list[int]) -> None:
    assert list(carried_out(line, {"R2": LANES})["R1"]) == list(expected)  # type: ignore[call-overload]


def test_a_ballot_has_a_bit_for_each_lane_and_a_vote_asks_all() -> None:
    odd: Registers = {"P1": LANES % 2 == 1}
    assert np.all(carried_out("VOTE.ANY R1, PT, P1", odd)["R1"] == 0xAAAAAAAA)
    assert not np.any(carried_out("VOTE.ALL P0, P1", odd)["P0"])
    assert np.all(carried_out("VOTE.ANY P0, P1", odd)["P0"])


REDUCED = """
S2R R0, SR_TID.X
LOP3.LUT P1, RZ, R0, 0x1f, RZ, 0xc0, !PT
ISETP.GE.U32.AND P2, PT, R0, 0x2, PT
SHF.R.U32.HI R8, RZ, 0x5, R0
LDG.E R5, [R6.64]
REDUX.SUM UR4, R0
MOV R4, UR4
@!P1 STS [R8.X4+0x10], R4
BAR.SYNC.DEFER_BLOCKING 0x0
@!P2 LDS R5, [R0.X4+0x10]
SHFL.BFLY PT, R3, R5, {across}, 0x1f
IADD3 R5, R5, R3, RZ
ISETP.EQ.AND P3, PT, R0, RZ, PT
@P3 STS [RZ+0x10], R5
BAR.SYNC.DEFER_BLOCKING 0x0
LDS R2, [RZ+0x10]
ISETP.NE.AND P0, PT, R2, 0x7e0, PT
@P0 BRA `(.L_1)
NOP
.L_1:
EXIT
"""


def test_what_a_few_lanes_make_of_their_parts_decides_a_branch() -> None:
    """The sum of a block's 64 numbers: of two warps, of which two lanes add up the parts while
    the others hold what was loaded."""
    found = count(REDUCED.format(across="0x1"))
    assert found.unknown == ()
    assert found.instructions == 2 * 20  # the sum is right, so nothing is jumped over


def test_a_lane_that_reads_data_of_another_knows_nothing() -> None:
    found = count(REDUCED.format(across="0x4"))
    assert found.instructions is None
    assert found.unknown == ("which way a branch goes that depends on data",)


def test_operands_are_read_as_they_are_written() -> None:
    found = read_instruction(
        "        /*00f0*/              @!P4 LDG.E.64 R4, desc[UR4][R2.64+-0x10] ;"
    )
    assert found is not None and found.guard is not None
    assert (found.address, found.name, found.modifiers) == (0xF0, "LDG", ("E", "64"))
    assert found.guard.inverted and found.guard.index == 4
    memory = found.operands[1]
    assert (memory.kind, memory.value, memory.parts[0].index) == (OperandKind.MEMORY, -16, 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing of a disassembly",
        ".text.k:\n .L_0:\n",
        ".text.k:\n  /*0000*/  EXIT ;\n  /*0010*/  what is not an instruction\n",
    ],
)
def test_text_without_code_or_with_an_unread_line_gives_nothing(text: str) -> None:
    assert read_machine_code(text) is None


@pytest.mark.parametrize("grid", [(1,), (7, 3), (100_000,), (65_535, 4, 9)])
def test_sampled_blocks_stand_for_all(grid: tuple[int, ...]) -> None:
    blocks, weights = sample_blocks(grid, 128)
    assert sum(weights) == math.prod(grid)
    assert blocks == sorted(set(blocks)) and blocks[0] >= 0 and blocks[-1] < math.prod(grid)
    assert sample_blocks(grid, 128) == (blocks, weights)

"""Real compiles for GPUs that need not be there."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from warpwright.compiler.compile import (
    CompileRequest,
    compile_configs,
    cubin_classes,
    decode_result,
    request_key,
)
from warpwright.compiler.compile_pool import PoolLimits
from warpwright.sandbox.deadline import Deadline
from warpwright.sandbox.run import run_job
from warpwright.store.cache import ResultCache
from warpwright.types.compiled import (
    Compiled,
    CompileFailed,
    CompileResult,
    Resources,
    Specialization,
    Toolchain,
)
from warpwright.types.config import Config
from warpwright.types.job import Job, JobLimits

pytestmark = pytest.mark.versions

ADA, HOPPER = (8, 9), (9, 0)

MATMUL = """
import torch
import triton
import triton.language as tl

@triton.autotune(configs=[triton.Config({"TILE": 32, "DEPTH": 32}, num_warps=4)], key=["k"])
@triton.jit
def product(left, right, out, k, ROWS: tl.constexpr, TILE: tl.constexpr, DEPTH: tl.constexpr):
    row = tl.program_id(0) * TILE + tl.arange(0, TILE)
    column = tl.program_id(1) * TILE + tl.arange(0, TILE)
    inner = tl.arange(0, DEPTH)
    total = tl.zeros((TILE, TILE), dtype=tl.float32)
    for start in LOOP(0, BOUND, DEPTH):
        a = tl.load(left + row[:, None] * k + (start + inner)[None, :])
        b = tl.load(right + (start + inner)[:, None] * ROWS + column[None, :])
        total = tl.dot(a, b, total)
    tl.store(out + row[:, None] * ROWS + column[None, :], total)


def launch(left, right):
    return left @ right
"""
PIPELINED = MATMUL.replace("LOOP", "range").replace("BOUND", "k")
UNROLLED = MATMUL.replace("LOOP", "tl.static_range").replace("BOUND", "128")

PRODUCT = Specialization(
    kernel="product",
    signature={
        "left": "*fp16", "right": "*fp16", "out": "*fp32", "k": "i32",
        "ROWS": "constexpr", "TILE": "constexpr", "DEPTH": "constexpr",
    },
    constants={"ROWS": 512},
    divisible_by_16=("left", "right", "out", "k"),
)  # fmt: skip


def config(tile: int, depth: int = 32, warps: int = 4, stages: int = 2) -> Config:
    return Config.of({"TILE": tile, "DEPTH": depth}, warps, stages)


def compile_all(
    program: str,
    configs: list[Config],
    target: tuple[int, int] = ADA,
    specialization: Specialization = PRODUCT,
    cache: ResultCache | None = None,
    limits: PoolLimits | None = None,
) -> list[CompileResult]:
    requests = [CompileRequest(specialization, each) for each in configs]
    return list(
        compile_configs(
            program, requests, compute_capability=target, cache=cache, workers=1, limits=limits
        )
    )


def all_compiled(results: list[CompileResult]) -> list[Compiled]:
    for result in results:
        assert isinstance(result, Compiled), result
    return [result for result in results if isinstance(result, Compiled)]


@pytest.mark.triton
@pytest.mark.parametrize("target", [ADA, HOPPER])
def test_a_matmul_compiles_for_a_gpu_that_is_not_here(target: tuple[int, int]) -> None:
    small, large = all_compiled(compile_all(PIPELINED, [config(32), config(64, warps=8)], target))
    assert small.config == config(32)
    assert small.specialization == "as called"
    assert 16 <= small.resources.registers_per_thread <= 255
    assert large.resources.threads_per_block == 256
    assert small.resources.shared_bytes >= 2 * 32 * 32 * 2  # two tiles of 32 × 32 fp16
    assert large.resources.shared_bytes > small.resources.shared_bytes
    assert small.facts["mma"] > 0
    assert small.facts["dots_fma"] == 0
    assert small.facts["dots_tensor_core"] > 0
    assert small.facts["code_bytes"] > 500
    assert small.facts["spill_store_bytes"] == 0
    assert small.cubin_sha256 != large.cubin_sha256
    assert small.toolchain.triton
    assert small.toolchain.ptxas


@pytest.mark.triton
def test_a_pipelined_loop_takes_a_buffer_more_for_each_stage_and_copies_asynchronously() -> None:
    two, three = all_compiled(compile_all(PIPELINED, [config(64, stages=2), config(64, stages=4)]))
    tile_bytes = 64 * 32 * 2
    assert three.resources.shared_bytes - two.resources.shared_bytes == 2 * 2 * tile_bytes
    assert two.facts["pipeline_buffers"] == 1
    assert three.facts["pipeline_buffers"] == 3
    assert three.facts["cp_async"] == three.facts["cp_async_16"] > 0


@pytest.mark.triton
def test_num_stages_does_nothing_to_an_unrolled_loop_and_cubins_tell() -> None:
    configs = [config(32, stages=stages) for stages in (1, 2, 3)] + [config(64)]
    results = compile_all(UNROLLED, configs)
    all_compiled(results)
    assert cubin_classes(results) == (tuple(configs[:3]), (configs[3],))


@pytest.mark.triton
def test_a_config_that_needs_more_shared_memory_than_any_ada_has_still_compiles() -> None:
    [result] = all_compiled(compile_all(PIPELINED, [config(256, depth=64, warps=8, stages=4)]))
    assert result.resources.shared_bytes > 101_376


@pytest.mark.triton
def test_specialisation_decides_the_code() -> None:
    plain = replace(PRODUCT, divisible_by_16=(), label="nothing divisible by 16")
    [called] = all_compiled(compile_all(PIPELINED, [config(32)]))
    [other] = all_compiled(compile_all(PIPELINED, [config(32)], specialization=plain))
    assert other.specialization == "nothing divisible by 16"
    assert other.cubin_sha256 != called.cubin_sha256
    assert "cp_async_16" not in other.facts


@pytest.mark.triton
def test_a_dot_in_full_fp32_is_told_from_one_on_tensor_cores() -> None:
    full = PIPELINED.replace("tl.dot(a, b, total)", 'tl.dot(a, b, total, input_precision="ieee")')
    types = {**PRODUCT.signature, "left": "*fp32", "right": "*fp32"}
    single = replace(PRODUCT, signature=types)
    [exact] = all_compiled(compile_all(full, [config(32)], specialization=single))
    [tf32] = all_compiled(compile_all(PIPELINED, [config(32)], specialization=single))
    assert exact.facts["dots_fma"] > 0
    assert exact.facts["mma"] == 0
    assert exact.facts["fma"] > tf32.facts["fma"]
    assert tf32.facts["dots_fma"] == 0


@pytest.mark.triton
def test_maxnreg_bounds_the_registers() -> None:
    [free] = all_compiled(compile_all(PIPELINED, [config(64)]))
    [bound] = all_compiled(compile_all(PIPELINED, [replace(config(64), maxnreg=32)]))
    assert bound.resources.registers_per_thread <= 32 < free.resources.registers_per_thread
    assert bound.facts["spill_store_bytes"] > 0
    assert bound.resources.stack_bytes > 0


@pytest.mark.triton
def test_what_the_assembler_refuses_comes_in_its_words() -> None:
    [result] = compile_all(PIPELINED, [replace(config(64), maxnreg=24)], HOPPER)
    assert isinstance(result, CompileFailed)
    assert result.kind == "error"
    assert re.match(r"ptxas(-blackwell)? fatal", result.reason)
    assert "nsufficient registers" in result.reason
    assert "Repro command" not in result.reason


@pytest.mark.triton
def test_equal_code_gives_equal_cubins_wherever_it_stands() -> None:
    moved = PIPELINED.replace("import torch\n", "import torch\n\n# a comment\n\nUNUSED = 3\n")
    moved = moved.replace("    inner =", "    # the inner axis\n    inner =")
    moved = moved.replace("configs=[", 'configs=[triton.Config({"TILE": 64, "DEPTH": 64}), ')
    assert moved != PIPELINED
    [before] = all_compiled(compile_all(PIPELINED, [config(32)]))
    [after] = all_compiled(compile_all(moved, [config(32)]))
    assert before.cubin_sha256 == after.cubin_sha256


WRONG = """
import triton
import triton.language as tl


@triton.jit
def helper(x):
    return x + tl.arange(0, 3)


@triton.jit
def product(left, TILE: tl.constexpr, DEPTH: tl.constexpr):
    offsets = tl.arange(0, TILE)
    if TILE == 48:
        offsets = helper(offsets)
    tl.store(left + offsets, undefined_name if TILE == 64 else offsets)
"""
SMALL = Specialization("product", {"left": "*i32"}, {}, ("left",))


@pytest.mark.triton
def test_what_the_compiler_refuses_comes_with_its_words_and_the_line() -> None:
    good, name, power, unknown = compile_all(
        WRONG,
        [config(32), config(64), config(48), Config.of({"TILE": 32, "DEPTH": 1, "OTHER": 1})],
        specialization=SMALL,
    )
    assert isinstance(good, Compiled)
    assert isinstance(name, CompileFailed)
    assert isinstance(power, CompileFailed)
    assert isinstance(unknown, CompileFailed)
    assert name.kind == power.kind == unknown.kind == "error"
    line = 1 + WRONG.splitlines().index(
        "    tl.store(left + offsets, undefined_name if TILE == 64 else offsets)"
    )
    assert name.reason.startswith(f"line {line}: ")
    assert "undefined_name" in name.reason
    assert "power of 2" in power.reason
    assert unknown.reason == "KernelLookupError: product has no parameter OTHER"


@pytest.mark.triton
def test_an_error_in_a_helper_names_the_helpers_line() -> None:
    program = WRONG.replace("tl.arange(0, 3)", "tl.nothing_like_this(3)")
    [result] = compile_all(program, [config(48)], specialization=SMALL)
    assert isinstance(result, CompileFailed)
    # 48 is refused in the caller first; 32 with the helper called reaches the helper
    program = program.replace("TILE == 48", "TILE == 32")
    [result] = compile_all(program, [config(32)], specialization=SMALL)
    assert isinstance(result, CompileFailed)
    line = 1 + program.splitlines().index("    return x + tl.nothing_like_this(3)")
    assert result.reason.startswith(f"line {line}: ")
    assert "nothing_like_this" in result.reason


TROUBLE = """
import triton
import triton.language as tl
from triton.runtime.jit import constexpr_function


@constexpr_function
def trouble(kind):
    import os
    if kind == 64:
        os.abort()
    if kind == 128:
        while True:
            pass
    if kind == 256:
        os._exit(3)
    if kind == 512:
        return (b"x" * 10**10)[7]
    if kind == 1024:
        raise SystemExit(1)
    return 1


@triton.jit
def product(left, TILE: tl.constexpr, DEPTH: tl.constexpr):
    tl.store(left + tl.arange(0, TILE), trouble(TILE))
"""


@pytest.mark.triton
def test_a_config_that_takes_the_compiler_down_costs_only_itself() -> None:
    tiles = [32, 64, 128, 256, 1024, 16]
    results = compile_all(
        TROUBLE,
        [config(tile) for tile in tiles],
        specialization=SMALL,
        limits=PoolLimits(deadline_s=30, processor_s=3),
    )
    assert [result.config for result in results] == [config(tile) for tile in tiles]
    kinds = [result.kind if isinstance(result, CompileFailed) else "ok" for result in results]
    assert kinds == ["ok", "crash", "timeout", "crash", "error", "ok"]
    reasons = {
        result.config.meta_dict["TILE"]: result.reason
        for result in results
        if isinstance(result, CompileFailed)
    }
    assert "SIGABRT" in reasons[64]
    assert reasons[128] == "still compiling after 3 s of processor time"
    assert "exit code 3" in reasons[256]
    assert "exit" in reasons[1024]


@pytest.mark.triton
def test_a_config_that_takes_too_much_memory_costs_only_itself() -> None:
    """Given time: a machine may take seconds to hand out the memory that is watched."""
    results = compile_all(
        TROUBLE,
        [config(tile) for tile in (32, 512, 16)],
        specialization=SMALL,
        limits=PoolLimits(deadline_s=120, processor_s=120, memory_bytes=2 * 1024**3),
    )
    kinds = [result.kind if isinstance(result, CompileFailed) else "ok" for result in results]
    assert kinds == ["ok", "out of memory", "ok"]


@pytest.mark.triton
def test_a_kernels_code_may_not_start_processes_while_it_is_compiled() -> None:
    program = TROUBLE.replace("os.abort()", "os.fork()")
    [result] = compile_all(program, [config(64)], specialization=SMALL)
    assert isinstance(result, CompileFailed)
    assert "start a process" in result.reason


@pytest.mark.triton
@pytest.mark.parametrize(
    ("head", "kind", "said"),
    [
        ("import no_such_module_anywhere", "error", "no_such_module_anywhere"),
        ("def broken(:", "error", "SyntaxError"),
        ("import os; os._exit(0)", "crash", "cannot be imported"),
        ("while True: pass", "timeout", "still being imported"),
    ],
)
def test_a_program_that_cannot_be_imported_fails_every_config(
    head: str, kind: str, said: str
) -> None:
    results = compile_all(
        f"{head}\n{PIPELINED}",
        [config(32), config(64)],
        limits=PoolLimits(import_deadline_s=6),
    )
    for result in results:
        assert isinstance(result, CompileFailed)
        assert result.kind == kind
        assert said in result.reason


@pytest.mark.triton
def test_a_kernel_that_the_program_lacks_is_named() -> None:
    missing = replace(PRODUCT, kernel="quotient")
    [result] = compile_all(PIPELINED, [config(32)], specialization=missing)
    assert isinstance(result, CompileFailed)
    assert result.reason == "KernelLookupError: the program has no kernel named quotient"


class _Recorder:
    def __init__(self) -> None:
        self.seen: list[CompileResult] = []

    def __call__(self, result: CompileResult) -> None:
        self.seen.append(result)


@pytest.mark.triton
def test_results_are_kept_by_the_kernels_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ResultCache(tmp_path)
    configs = [config(32), config(64)]
    cold = compile_all(PIPELINED, configs, cache=cache)
    # From here on no child can start: what comes must come from the cache.
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    edited = PIPELINED.replace("total = tl.zeros", "# sums\n    total = tl.zeros")
    edited = edited.replace("return left @ right", "return right @ left")
    edited = edited.replace('{"TILE": 32,', '{"TILE": 128,')
    assert edited != PIPELINED
    renamed = replace(PRODUCT, label="another name")
    recorder = _Recorder()
    warm = compile_configs(
        edited,
        [CompileRequest(renamed, each) for each in (configs[1], configs[0], configs[1])],
        compute_capability=ADA,
        cache=cache,
        progress=recorder,
    )
    assert [result.config for result in warm] == [configs[1], configs[0], configs[1]]
    assert {result.specialization for result in warm} == {"another name"}
    first, second = all_compiled(cold)
    assert warm[0] == replace(second, specialization="another name")
    assert warm[1] == replace(first, specialization="another name")
    assert len(recorder.seen) == 3


@pytest.mark.triton
def test_a_refusal_is_kept_for_this_very_text_only(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    [first] = compile_all(WRONG, [config(64)], specialization=SMALL, cache=cache)
    shifted = f"# one line more\n{WRONG}"
    [second] = compile_all(shifted, [config(64)], specialization=SMALL, cache=cache)
    assert isinstance(first, CompileFailed)
    assert isinstance(second, CompileFailed)
    line = int(first.reason.split(":")[0].removeprefix("line "))
    assert second.reason.startswith(f"line {line + 1}: ")


ENDLESS = TROUBLE.replace("kind == 128", "kind < 128")


@pytest.mark.triton
def test_a_config_that_always_takes_too_long_is_not_tried_again(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    patient = PoolLimits(deadline_s=30, processor_s=2)
    started = time.monotonic()
    [first] = compile_all(ENDLESS, [config(32)], specialization=SMALL, cache=cache, limits=patient)
    cold_s = time.monotonic() - started
    [second] = compile_all(ENDLESS, [config(32)], specialization=SMALL, cache=cache, limits=patient)
    assert isinstance(first, CompileFailed)
    assert first.kind == "timeout"
    assert second == first
    assert cold_s > 2 > time.monotonic() - started - cold_s
    by_the_clock = PoolLimits(deadline_s=2, processor_s=30)
    [third] = compile_all(
        ENDLESS, [config(32)], specialization=SMALL, cache=cache, limits=by_the_clock
    )
    assert isinstance(third, CompileFailed)
    assert third.reason == "still compiling after 2 s"


@pytest.mark.triton
@pytest.mark.slow
def test_a_config_that_the_deadline_ended_is_not_begun_again_with_less_time() -> None:
    deadline = Deadline(40.0)

    def compiled() -> tuple[CompileResult, float]:
        began = time.monotonic()
        [result] = compile_configs(
            ENDLESS,
            [CompileRequest(SMALL, config(32))],
            compute_capability=ADA,
            deadline=deadline.part(0.25),
        )
        return result, time.monotonic() - began

    first, first_s = compiled()
    again, again_s = compiled()
    assert again == first
    assert isinstance(first, CompileFailed)
    assert first.reason == deadline.reason
    assert first_s > 5 > 1 > again_s


@pytest.mark.triton
@pytest.mark.slow
def test_several_children_give_what_one_gives_and_tell_as_they_go() -> None:
    configs = [config(tile, stages=stages) for tile in (16, 32, 64) for stages in (1, 2)]
    recorder = _Recorder()
    many = compile_configs(
        UNROLLED,
        [CompileRequest(PRODUCT, each) for each in configs],
        compute_capability=ADA,
        workers=3,
        progress=recorder,
    )
    assert list(many) == compile_all(UNROLLED, configs)
    assert sorted(str(result.config) for result in recorder.seen) == sorted(map(str, configs))


NOT_CONSTEXPR = """
import triton
import triton.language as tl


@triton.jit
def add(x, y):
    return x + y


@triton.jit
def product(left, OP: tl.constexpr, KIND: tl.constexpr, TILE: tl.constexpr, DEPTH):
    offsets = tl.arange(0, TILE)
    tl.store(left + offsets, OP(offsets, DEPTH).to(KIND))
"""


@pytest.mark.triton
def test_dtypes_functions_and_config_values_at_run_time_reach_the_kernel() -> None:
    specialization = Specialization(
        "product", {"left": "*fp16"}, {"OP": "@add", "KIND": "tl.float16"}, ("left",)
    )
    results = compile_all(
        NOT_CONSTEXPR, [config(32, 1), config(32, 16)], specialization=specialization
    )
    one, sixteen = all_compiled(results)
    assert one.cubin_sha256 != sixteen.cubin_sha256  # 1 is a constant, 16 an argument


@pytest.mark.triton
def test_a_kernel_made_by_a_function_is_found() -> None:
    body = "".join(f"    {line}\n" for line in WRONG.splitlines()[4:])
    program = (
        f"import triton\nimport triton.language as tl\n\ndef make():\n{body}    return product"
    )
    good, bad = compile_all(
        f"{program}\n\n\nKERNELS = [make()]\n", [config(32), config(64)], specialization=SMALL
    )
    assert isinstance(good, Compiled)
    assert isinstance(bad, CompileFailed)
    [line] = [n for n, text in enumerate(program.splitlines(), 1) if "undefined_name" in text]
    assert bad.reason.startswith(f"line {line}: ")


COUNTING = f"""
import sys
import triton
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from warpwright.compiler.child_triton import Compiler
Compiler(sys.modules[__name__], {ADA!r})
from triton.runtime.cache import triton_key
assert triton.__version__ in triton_key()
assert not [path for path in opened if path.endswith(".so")], opened
"""


@pytest.mark.triton
def test_compiling_does_not_read_all_of_triton() -> None:
    """Half a gigabyte, which took longer than a small kernel's compilation."""
    result = run_job(Job("import", {"source": COUNTING}, JobLimits(deadline_s=60)))
    assert result.ok, result.reason


def test_nothing_asked_for_is_nothing_done() -> None:
    assert compile_configs("", [], compute_capability=ADA) == ()


VERSIONS = Toolchain("3.7.1", "12.8.93", "2.13.0", "3.11.7")


def test_the_key_of_a_result_changes_with_all_that_decides_it_and_with_nothing_else() -> None:
    request = CompileRequest(PRODUCT, config(32))
    same = CompileRequest(
        replace(PRODUCT, label="x", divisible_by_16=("k", "out", "right", "left")),
        replace(config(32), line=7, explicit=("num_warps",)),
    )
    others = [
        CompileRequest(replace(PRODUCT, constants={"ROWS": 512.0}), config(32)),
        CompileRequest(replace(PRODUCT, divisible_by_16=("left",)), config(32)),
        CompileRequest(PRODUCT, config(64)),
        CompileRequest(PRODUCT, config(32, stages=3)),
        CompileRequest(PRODUCT, config(32), {"launch_pdl": True}),
    ]
    keys = [request_key("code", each, ADA, VERSIONS) for each in [request, *others]]
    keys += [
        request_key("other code", request, ADA, VERSIONS),
        request_key("code", request, HOPPER, VERSIONS),
        request_key("code", request, ADA, replace(VERSIONS, ptxas="12.9.86")),
        request_key("code", request, ADA, replace(VERSIONS, triton="3.6.0")),
    ]
    assert len(set(keys)) == len(keys)
    assert request_key("code", same, ADA, replace(VERSIONS, torch="2.11.0")) == keys[0]


@pytest.mark.parametrize(
    "value",
    [
        {"compiled": {"cubin_sha256": "x", "resources": {}, "facts": {}}},
        {"compiled": 7},
        {"failed": {"kind": "error"}},
        {},
    ],
)
def test_a_result_of_another_form_counts_as_a_crash(value: dict[str, object]) -> None:
    result = decode_result(CompileRequest(PRODUCT, config(32)), value, VERSIONS)
    assert isinstance(result, CompileFailed)
    assert result.kind == "crash"


def test_classes_group_equal_cubins_in_order_and_leave_failures_out() -> None:
    resources = Resources(32, 0, 0, 0, 128)

    def compiled(tile: int, cubin: str) -> Compiled:
        return Compiled(config(tile), "as called", resources, cubin, VERSIONS)

    results: list[CompileResult] = [
        compiled(16, "b"),
        compiled(32, "a"),
        CompileFailed(config(64), "as called", "no"),
        compiled(128, "b"),
        compiled(16, "b"),
    ]
    assert cubin_classes(results) == ((config(16), config(128)), (config(32),))
    assert cubin_classes([]) == ()


def recorded_program(cases_dir: Path, number: int) -> str:
    """The program of a recorded request: its first code block."""
    text = sorted((cases_dir / "seeds").glob("*.txt"))[number].read_text(encoding="utf-8")
    return text.split("```python\n", 1)[1].split("```", 1)[0]


def specialized(
    kernel: str, pointers: str, sizes: dict[str, int], **constants: int | bool
) -> Specialization:
    """What Triton makes of a call with aligned pointers and these integers."""
    names = pointers.split()
    ones = {name: 1 for name, size in sizes.items() if size == 1}
    signature = dict.fromkeys(names, "*fp32")
    signature |= {name: "constexpr" if name in ones else "i32" for name in sizes}
    divisible = [name for name, size in sizes.items() if size % 16 == 0]
    return Specialization(kernel, signature, {**ones, **constants}, (*names, *divisible))


@pytest.mark.triton
@pytest.mark.cases
def test_the_first_recorded_programs_nine_configs_are_five_cubins(cases_dir: Path) -> None:
    sizes = {"N": 256, "C_in": 3, "H": 224, "W": 224, "C_out": 96, "KH": 11, "KW": 11}
    sizes |= {"OH": 55, "OW": 55, "stride_h": 4, "stride_w": 4, "pad_h": 2, "pad_w": 2}
    called = specialized(
        "conv2d_fwd_kernel", "x_ptr w_ptr b_ptr out_ptr", sizes, K_TOTAL=363, HAS_BIAS=True
    )

    def tile(m: int, n: int, k: int, stages: int) -> Config:
        return Config.of({"BLOCK_M": m, "BLOCK_N": n, "BLOCK_K": k}, 4, stages)

    configs = [
        tile(m, n, 32, stages)
        for m, n in ((32, 32), (64, 32), (32, 64), (64, 64))
        for stages in (1, 2)
    ]
    configs.append(tile(64, 64, 16, 3))
    program = recorded_program(cases_dir, 0)
    results = compile_all(program, configs, specialization=called)
    all_compiled(results)
    classes = cubin_classes(results)
    assert [len(members) for members in classes] == [2, 2, 2, 2, 1]
    active = results[4]
    assert isinstance(active, Compiled)
    assert active.config == tile(32, 64, 32, 1)
    assert active.resources.shared_bytes == 12_288
    assert active.facts["cp_async"] == 0  # nothing is pipelined
    if active.toolchain.triton == "3.6.0":  # registers are the toolchain's choice
        assert active.resources.registers_per_thread == 128


@pytest.mark.triton
@pytest.mark.cases
def test_a_config_of_the_second_recorded_program_can_never_run_on_a_4090(cases_dir: Path) -> None:
    sizes = {"B": 8, "IC": 32, "IH": 512, "IW": 512, "OC": 64, "KH": 5, "KW": 9}
    sizes |= {"stride_h": 1, "stride_w": 1, "pad_h": 2, "pad_w": 4, "dil_h": 2, "dil_w": 3}
    sizes |= {"OH": 508, "OW": 496, "HW": 508 * 496}
    called = specialized("conv2d_kernel", "x_ptr w_ptr b_ptr y_ptr", sizes, has_bias=False)
    config = Config.of({"BLOCK_OC": 64, "BLOCK_HW": 256, "BLOCK_K": 64}, 8, 3)
    [result] = all_compiled(
        compile_all(recorded_program(cases_dir, 1), [config], specialization=called)
    )
    assert result.resources.shared_bytes == 163_840
    assert result.facts["pipeline_buffers"] == 2

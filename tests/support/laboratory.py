"""Programs to judge, small and written for these tests."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import dedent

from texts import replace_once

from warpwright.program.difference.difference import difference
from warpwright.program.view import read_program
from warpwright.types.compiled import Compiled, CompileResult, Resources, Toolchain, Unlaunchable
from warpwright.types.config import Config
from warpwright.types.stage import ProgramKind, Rule, Stage, StageId
from warpwright.types.verdict import Verdict, Violation
from warpwright.verifier.checks.checks import judge
from warpwright.verifier.rules.rule_context import CompileEvidence, RuleContext

MATMUL = dedent(
    """
    import torch
    import torch.nn as nn
    import triton
    import triton.language as tl


    @triton.autotune(
        configs=[
            triton.Config({"BLOCK_M": 64, "BLOCK_N": 64, "BLOCK_K": 32}, num_warps=4, num_stages=2),
            triton.Config({"BLOCK_M": 32, "BLOCK_N": 64, "BLOCK_K": 32}, num_warps=4, num_stages=3),
        ],
        key=["M", "N", "K"],
    )
    @triton.jit
    def project_kernel(
        x_ptr, w_ptr, y_ptr, M, N, K, stride_x, stride_w, stride_y,
        BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    ):
        rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
        outer = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
        total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
        for start in range(0, K, BLOCK_K):
            inner = start + tl.arange(0, BLOCK_K)
            x_mask = (rows[:, None] < M) & (inner[None, :] < K)
            w_mask = (inner[:, None] < K) & (outer[None, :] < N)
            x = tl.load(x_ptr + rows[:, None] * stride_x + inner[None, :], mask=x_mask, other=0.0)
            w = tl.load(w_ptr + inner[:, None] * stride_w + outer[None, :], mask=w_mask, other=0.0)
            total += tl.dot(x, w)
        y_mask = (rows[:, None] < M) & (outer[None, :] < N)
        tl.store(y_ptr + rows[:, None] * stride_y + outer[None, :], total, mask=y_mask)


    def project(x, w):
        M, K = x.shape
        N = w.shape[1]
        y = torch.empty((M, N), device=x.device, dtype=x.dtype)
        grid = lambda meta: (triton.cdiv(M, meta["BLOCK_M"]), triton.cdiv(N, meta["BLOCK_N"]))
        project_kernel[grid](x, w, y, M, N, K, x.stride(0), w.stride(0), y.stride(0))
        return y


    class ModelNew(nn.Module):
        def __init__(self, inner, outer):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(inner, outer))

        def forward(self, x):
            return project(x, self.weight)
    """
).lstrip()

SCALE = dedent(
    """
    import torch
    import torch.nn as nn
    import triton
    import triton.language as tl


    @triton.jit
    def scale_kernel(x_ptr, y_ptr, n, factor, BLOCK: tl.constexpr):
        offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        mask = offsets < n
        x = tl.load(x_ptr + offsets, mask=mask)
        tl.store(y_ptr + offsets, x * factor, mask=mask)


    def scale(x, factor):
        y = torch.empty_like(x)
        n = x.numel()
        BLOCK = 1024
        grid = (triton.cdiv(n, BLOCK),)
        scale_kernel[grid](x, y, n, factor, BLOCK=BLOCK, num_warps=4)
        return y


    class ModelNew(nn.Module):
        def __init__(self, factor=2.0):
            super().__init__()
            self.factor = factor

        def forward(self, x):
            return scale(x, self.factor)
    """
).lstrip()


def tuning_stage(**limits: object) -> Stage:
    """The single-operator tuning stage as requests state it, without "occupancy suggests it"."""
    rules = (
        Rule("num_warps.domain", {"values": (2, 4, 8, 16)}),
        Rule("num_stages.domain", {"values": (2, 3, 4)}),
        Rule("num_stages.step", {"max": 1}),
        Rule("grid.frozen"),
        Rule("block_sizes.frozen"),
        Rule("configs.count", {"min": limits.get("min", 3), "max": limits.get("max", 6)}),
        Rule("configs.nearby"),
        Rule("configs.keep_original"),
    )
    return Stage(StageId.TUNING, ProgramKind.SINGLE, "tuning", rules)


def stage_of(stage_id: StageId, *rules: Rule, kind: ProgramKind = ProgramKind.SINGLE) -> Stage:
    return Stage(stage_id, kind, "", rules)


def context_of(parent: str, child: str, stage: Stage, **evidence: object) -> RuleContext:
    """What the verifier judges, from two sources."""
    return RuleContext(
        stage=stage,
        parent=read_program(parent),
        child=read_program(child),
        edits=difference(parent, child),
        **evidence,  # type: ignore[arg-type]
    )


def with_configs(source: str, *configs: Config) -> str:
    """`source` with its one autotune list replaced."""
    start = source.index("configs=[") + len("configs=[")
    end = source.index("],", start)
    lines = [
        f"triton.Config({dict(c.meta)!r}, num_warps={c.num_warps}, num_stages={c.num_stages}),"
        for c in configs
    ]
    return source[:start] + "\n        " + "\n        ".join(lines) + "\n    " + source[end:]


def replaced(source: str, old: str, new: str) -> str:
    """`source` with one text replaced, which must stand there once."""
    return replace_once(source, old, new)


def compiled(config: Config, cubin: str, registers: int = 64) -> CompileResult:
    resources = Resources(registers, 0, 0, 0, 32 * config.num_warps)
    return Compiled(config, "as called", resources, cubin, Toolchain("3.7.1"))


def evidence_of(
    kernel: str, cubins: dict[Config, str], never: dict[Config, Unlaunchable] | None = None
) -> CompileEvidence:
    """Compile evidence: config → the name of its binary."""
    return CompileEvidence(
        results={(kernel, config): compiled(config, cubin) for config, cubin in cubins.items()},
        unlaunchable={(kernel, config): why for config, why in (never or {}).items()},
    )


def rule_ids(violations: Iterable[Violation]) -> set[str]:
    return {violation.rule for violation in violations}


def judged(parent: str, child: str, stage: Stage | None = None, **evidence: object) -> Verdict:
    """The verdict of a child, in the tuning stage unless another is given."""
    return judge(context_of(parent, child, stage or tuning_stage(), **evidence))


def refusals(parent: str, child: str, stage: Stage | None = None, **evidence: object) -> list[str]:
    """What the verifier holds against a child, as text."""
    return [str(violation) for violation in judged(parent, child, stage, **evidence).violations]

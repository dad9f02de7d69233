"""Programs that the interpreter runs, and the verdict on an edited one."""

from __future__ import annotations

from textwrap import dedent

from warpwright.analysis.study_program import Subject, study_program
from warpwright.gpus.sheets import find_gpu
from warpwright.program.view import read_program
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.shapes import Problem
from warpwright.types.verdict import AccuracyRun, Status
from warpwright.verifier.accuracy import verify_accuracy

IMPORTS = "import torch\nimport torch.nn as nn\nimport triton\nimport triton.language as tl\n\n\n"

SHARES = IMPORTS + dedent(
    """
    @triton.jit
    def shares_kernel(values_ptr, out_ptr, width, WIDTH: tl.constexpr):
        line = tl.program_id(0)
        place = tl.arange(0, WIDTH)
        inside = place < width
        values = tl.load(values_ptr + line * width + place, mask=inside, other=float("-inf"))
        weights = tl.exp(values - tl.max(values, axis=0))
        total = tl.sum(weights, axis=0)
        tl.store(out_ptr + line * width + place, weights / total, mask=inside)


    class ModelNew(nn.Module):
        def forward(self, values):
            lines, width = values.shape
            out = torch.empty_like(values)
            shares_kernel[(lines,)](values, out, width, WIDTH=triton.next_power_of_2(width))
            return out
    """
)
SHARES_PROBLEM = Problem(
    source=dedent(
        """
        import torch

        class Model(torch.nn.Module):
            def forward(self, values):
                return torch.softmax(values, dim=-1)

        def get_inputs():
            return [torch.randn(640, 900)]

        def get_init_inputs():
            return []
        """
    )
)

PRODUCT = IMPORTS + dedent(
    """
    @triton.jit
    def product_kernel(
        left_ptr, right_ptr, out_ptr, ROWS, COLUMNS, DEPTH,
        TILE_R: tl.constexpr, TILE_C: tl.constexpr, TILE_D: tl.constexpr,
    ):
        across = tl.cdiv(COLUMNS, TILE_C)
        place = tl.program_id(0)
        rows = (place // across) * TILE_R + tl.arange(0, TILE_R)
        columns = (place % across) * TILE_C + tl.arange(0, TILE_C)
        deep = tl.arange(0, TILE_D)
        total = tl.zeros((TILE_R, TILE_C), dtype=tl.float32)
        for start in range(0, DEPTH, TILE_D):
            at = start + deep
            left = tl.load(
                left_ptr + rows[:, None] * DEPTH + at[None, :],
                mask=(rows[:, None] < ROWS) & (at[None, :] < DEPTH), other=0.0,
            )
            right = tl.load(
                right_ptr + at[:, None] * COLUMNS + columns[None, :],
                mask=(at[:, None] < DEPTH) & (columns[None, :] < COLUMNS), other=0.0,
            )
            total += tl.dot(left, right, input_precision="ieee")
        kept = (rows[:, None] < ROWS) & (columns[None, :] < COLUMNS)
        tl.store(out_ptr + rows[:, None] * COLUMNS + columns[None, :], total, mask=kept)


    def product(left, right):
        ROWS, DEPTH = left.shape
        COLUMNS = right.shape[1]
        out = torch.empty((ROWS, COLUMNS), device=left.device, dtype=left.dtype)
        blocks = triton.cdiv(ROWS, 32) * triton.cdiv(COLUMNS, 32)
        product_kernel[(blocks,)](
            left, right, out, ROWS, COLUMNS, DEPTH, TILE_R=32, TILE_C=32, TILE_D=16
        )
        return out


    class ModelNew(nn.Module):
        def __init__(self, depth, columns):
            super().__init__()
            self.right = nn.Parameter(torch.randn(depth, columns))

        def forward(self, left):
            return product(left, self.right)
    """
)
PRODUCT_PROBLEM = Problem(
    source=dedent(
        """
        import torch

        class Model(torch.nn.Module):
            def __init__(self, depth, columns):
                super().__init__()
                self.right = torch.nn.Parameter(torch.randn(depth, columns))

            def forward(self, left):
                return left @ self.right

        def get_inputs():
            return [torch.randn(384, 1280)]

        def get_init_inputs():
            return [1280, 192]
        """
    )
)


def changed(source: str, *edits: tuple[str, str]) -> str:
    """`source` with each text replaced by the other; each stands there once."""
    for old, new in edits:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    return source


def accuracy_of(
    parent: str, candidate: str, problem: Problem, run_context: RunContext | None = None
) -> AccuracyRun:
    """The verdict on a candidate beside its parent, on an RTX 4090's numbers, nothing cached."""
    run_context = run_context or RunContext(cache=ResultCache())
    gpu = ResolvedGpu(find_gpu("4090"))
    study = study_program(Subject(parent), gpu, run_context, problem=problem)
    kernels = {kernel.kernel: kernel for kernel in study.kernels}
    return verify_accuracy(study, read_program(candidate), kernels, run_context)


def status_of(parent: str, candidate: str, problem: Problem) -> Status:
    return accuracy_of(parent, candidate, problem).result.status

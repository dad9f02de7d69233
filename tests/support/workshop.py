"""A small problem, programs that solve it, and programs that misbehave, for workers to run."""

from __future__ import annotations

from textwrap import dedent

from warpwright.bench.device.reference_process import ReferenceProcess
from warpwright.bench.device.worker import Program, Worker
from warpwright.types.accuracy_numbers import CaseSpec, CheckNumbers, ReferenceNumbers
from warpwright.types.shapes import Problem
from warpwright.types.worker_reply import Done, WorkerLimits

SEED = 20_417
ROWS, COLUMNS = 48, 40

PROBLEM = dedent(
    f"""
    import torch
    import torch.nn as nn

    class Model(nn.Module):
        def __init__(self, columns):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(columns))
            self.bias = nn.Parameter(torch.zeros(columns))

        def forward(self, x):
            return x * self.weight + self.bias

    def get_inputs():
        return [torch.rand({ROWS}, {COLUMNS})]

    def get_init_inputs():
        return [{COLUMNS}]
    """
)

PROGRAM = dedent(
    """
    import torch
    import torch.nn as nn
    import triton
    import triton.language as tl

    @triton.autotune(
        configs=[triton.Config({"BLOCK": 512}), triton.Config({"BLOCK": 1024}, num_warps=8)],
        key=["count"],
    )
    @triton.jit
    def affine_kernel(x_ptr, w_ptr, b_ptr, y_ptr, count, columns, BLOCK: tl.constexpr):
        offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        mask = offsets < count
        x = tl.load(x_ptr + offsets, mask=mask)
        w = tl.load(w_ptr + offsets % columns, mask=mask)
        b = tl.load(b_ptr + offsets % columns, mask=mask)
        tl.store(y_ptr + offsets, x * w + b, mask=mask)

    def affine(x, weight, bias):
        y = torch.empty_like(x)
        grid = lambda meta: (triton.cdiv(x.numel(), meta["BLOCK"]),)
        affine_kernel[grid](x, weight, bias, y, x.numel(), x.shape[1])
        return y

    class ModelNew(nn.Module):
        def __init__(self, columns):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(columns))
            self.bias = nn.Parameter(torch.zeros(columns))

        def forward(self, x):
            return affine(x, self.weight, self.bias)
    """
)
KERNEL = "affine_kernel"
RETURN = "return affine(x, self.weight, self.bias)"


def program(
    body: str | None = None,
    *,
    top: str = "",
    judge: ReferenceProcess | None = None,
    **fields: object,
) -> Program:
    """The honest program; `body` replaces the statements of its forward, `top` runs at import."""
    source = PROGRAM
    if body is not None:
        lines = dedent(body).strip().replace("\n", "\n        ")
        source = source.replace(RETURN, lines)
    source += dedent(top)
    states = {} if judge is None else {"states": judge.states}
    return Program(source, Problem(source=PROBLEM), SEED, **states, **fields)  # type: ignore[arg-type]


def small_worker(device: str = "cpu", **fields: object) -> Worker:
    limits = fields.pop("limits", None) or WorkerLimits(memory_bytes=2 * 1024**3)
    return Worker(device, limits=limits, **fields)  # type: ignore[arg-type]


def checked(
    worker: Worker, judge: ReferenceProcess, spec: CaseSpec, *, is_parent: bool = False
) -> tuple[ReferenceNumbers, CheckNumbers]:
    """One case through reference process, worker and reference process again."""
    reference = judge.prepare(spec)
    assert isinstance(reference, ReferenceNumbers), reference
    ran = worker.check(reference.spec)
    assert isinstance(ran, Done), ran
    numbers = judge.measure(
        reference.spec, ran.value, worker.out_dir, label="as launched", is_parent=is_parent
    )
    assert isinstance(numbers, CheckNumbers), numbers
    return reference, numbers

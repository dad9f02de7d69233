"""Problems of one conv2d, and emitted programs run in Triton's interpreter against PyTorch."""

from __future__ import annotations

from pathlib import Path

from warpwright.gpus.sheets import find_gpu
from warpwright.operators.conv2d.schedules import Schedule
from warpwright.sandbox.run import run_job
from warpwright.types.conv2d import Conv2dLayer, Conv2dTask, Pointwise, Precision
from warpwright.types.job import Job, JobLimits

GPU = find_gpu("H100 SXM")
PROBLEM = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d({arguments})

    def forward(self, x):
        return {expression}
"""
COMPARE = """
import sys
import torch
sys.path.insert(0, "in")
import theirs as problem, ours as program
torch.manual_seed(3)
ours, theirs = program.ModelNew(), problem.Model()
ours.load_state_dict(theirs.state_dict())
dtype = torch.{dtype}
ours, theirs = ours.to(dtype), theirs.to(dtype)
for batch, size in ((3, {size}), (1, {other})):
    x = torch.randn(batch, {channels}, *size).to(dtype)
    with torch.no_grad():
        y, expected = ours(x), theirs.double()(x.double())
    theirs.to(dtype)
    assert y.shape == expected.shape and y.dtype == dtype, (y.shape, expected.shape)
    print(((y.double() - expected).norm() / expected.norm()).item())
"""


def task(
    layer: Conv2dLayer,
    expression: str = "self.conv(x)",
    epilogue: tuple[Pointwise, ...] = (),
    precision: Precision = Precision.TF32,
) -> Conv2dTask:
    arguments = (
        f"{layer.in_channels}, {layer.out_channels}, {layer.kernel}, stride={layer.stride}, "
        f"padding={layer.padding_before}, dilation={layer.dilation}, groups={layer.groups}, "
        f"bias={layer.bias}"
    )
    problem = PROBLEM.format(arguments=arguments, expression=expression)
    return Conv2dTask(layer, "conv", problem, precision, epilogue)


def relative_errors(found: Conv2dTask, schedule: Schedule, folder: Path) -> list[float]:
    """Errors against float64, of the first point's program, on two sizes of input."""
    layer = found.layer
    first = schedule.points(found, GPU)[:1]
    files = {"ours.py": folder / "ours.py", "theirs.py": folder / "theirs.py"}
    files["ours.py"].write_text(schedule.program(found, first, GPU))
    files["theirs.py"].write_text(found.problem_source)
    size, other = (layer.height, layer.width), (layer.height + 2, layer.width + 3)
    script = COMPARE.format(size=size, other=other, channels=layer.in_channels, dtype=layer.dtype)
    job = Job(
        "import",
        {"source": script},
        JobLimits(deadline_s=120),
        files,
        environment={"TRITON_INTERPRET": "1"},
    )
    done = run_job(job)
    assert done.ok, done.reason + "\n" + done.detail
    return [float(line) for line in done.detail.split()]

"""Layers and problems for the tests of conv2d schedules, and an interpreter to run programs in."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from warpwright.types.conv2d import Conv2dLayer, Conv2dTask, Pointwise, Precision

CHILD = Path(__file__).with_name("interpreter_child.py")


def problem_of(layer: Conv2dLayer) -> str:
    same = layer.padding_before != layer.padding_after
    padding = "same" if same else layer.padding_before
    return f"""import torch.nn as nn


class Model(nn.Module):
    def __init__(self):
        super(Model, self).__init__()
        self.features = nn.Conv2d(
            {layer.in_channels}, {layer.out_channels}, {layer.kernel}, {layer.stride},
            padding={padding!r}, dilation={layer.dilation}, groups={layer.groups},
            bias={layer.bias},
        )

    def forward(self, image):
        return self.features(image)
"""


@pytest.fixture(scope="session")
def layers() -> ModuleType:
    """`support/conv2d_layers.py`: problems of one conv2d, and emitted programs run on them."""
    return importlib.import_module("conv2d_layers")


@pytest.fixture
def task_of() -> Callable[..., Conv2dTask]:
    def made(
        layer: Conv2dLayer,
        precision: Precision = Precision.TF32,
        epilogue: tuple[Pointwise, ...] = (),
    ) -> Conv2dTask:
        return Conv2dTask(layer, "features", problem_of(layer), precision, epilogue)

    return made


@pytest.fixture(scope="session")
def interpreted() -> Iterator[Callable[..., dict[str, Any]]]:
    """Runs a program in the interpreter, in one child for all tests."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert child.stdin is not None and child.stdout is not None
    stdin, stdout = child.stdin, child.stdout

    def run(
        task: Conv2dTask,
        program: str,
        size: tuple[int, int, int] | None = None,
        nonfinite: bool = False,
        turned: bool = False,
    ) -> dict[str, Any]:
        layer = task.layer
        case = {
            "program": program,
            "problem": task.problem_source,
            "dtype": layer.dtype,
            "in_channels": layer.in_channels,
            "channels_last": layer.channels_last,
            "size": size or (layer.batch, layer.height, layer.width),
            "nonfinite": nonfinite,
            "turned": turned,
            "after": [(step.function, step.value) for step in task.epilogue],
        }
        stdin.write(json.dumps(case) + "\n")
        stdin.flush()
        answer = stdout.readline()
        assert answer, "the child died: its traceback is on stderr"
        found: dict[str, Any] = json.loads(answer)
        return found

    yield run
    stdin.close()
    child.wait(timeout=30)

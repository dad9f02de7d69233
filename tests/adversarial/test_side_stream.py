"""Trick: work on another stream, so that events on the first one see none of it."""

from __future__ import annotations

from types import ModuleType

import pytest


@pytest.mark.parametrize(
    "work",
    [
        "with torch.cuda.stream(torch.cuda.Stream()):\n            return project(x, self.weight)",
        "s = torch.cuda.Stream()\n        return project(x, self.weight)",
        "make = torch.cuda\n        make.Stream()\n        return project(x, self.weight)",
        "g = torch.cuda.CUDAGraph()\n        return project(x, self.weight)",
    ],
)
def test_another_stream_is_refused(lab: ModuleType, work: str) -> None:
    child = lab.replaced(lab.MATMUL, "return project(x, self.weight)", work)
    assert "names.banned" in lab.rule_ids(lab.judged(lab.MATMUL, child).violations)


def test_a_thread_is_refused(lab: ModuleType) -> None:
    child = lab.replaced(lab.MATMUL, "import torch\n", "import threading\nimport torch\n")
    assert "names.imports" in lab.rule_ids(lab.judged(lab.MATMUL, child).violations)


def test_a_variable_called_stream_passes(lab: ModuleType) -> None:
    child = lab.replaced(
        lab.MATMUL,
        "return project(x, self.weight)",
        "stream = x\n        return project(stream, self.weight)",
    )
    assert lab.refusals(lab.MATMUL, child) == []

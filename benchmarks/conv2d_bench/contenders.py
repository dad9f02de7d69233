"""What is timed for a layer: PyTorch's ways to compute it, and programs of ours.

All that count take an NCHW input and give an NCHW output. In channels_last the conversions of
input and output are part of the call; the weight lies in that layout already, free of charge.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch

from conv2d_bench.layers import problem_file
from warpwright.types.conv2d import Conv2dLayer

Call = Callable[[torch.Tensor], torch.Tensor]
SOURCES = Path(tempfile.gettempdir()) / "conv2d-bench-sources"
DEFAULT = "eager"  # PyTorch's default call


@dataclass(frozen=True, slots=True)
class Contender:
    """`counts`: it is an opponent; else it is shown for information. `ours`: a program."""

    label: str
    call: Call
    x: torch.Tensor
    benchmark: bool = False  # cuDNN's, while it runs
    counts: bool = True
    ours: bool = False


class LayerBench:
    """A layer on a device: its model, its input, and everything that computes it.

    On "cpu" only PyTorch's own ways work: for tests.
    """

    def __init__(self, name: str, layer: Conv2dLayer, device: str = "cuda") -> None:
        self.name, self.layer, self.device = name, layer, torch.device(device)
        problem = load(problem_file(layer), SOURCES)
        torch.manual_seed(7)
        with self.device:
            self.model = problem.Model().eval().requires_grad_(False)
            self.x = problem.get_inputs()[0]
        self.last = problem.Model().eval().requires_grad_(False).to(self.device)
        self.last.load_state_dict(self.model.state_dict())
        self.last = self.last.to(memory_format=torch.channels_last)

    def eager(self) -> list[Contender]:
        """NCHW and channels_last, cuDNN's benchmark off and on."""
        found = []
        x_last = self.x.to(memory_format=torch.channels_last)
        for benchmark in (False, True):
            tail = ", benchmark" if benchmark else ""
            found += [
                Contender(DEFAULT + tail, self.model, self.x, benchmark),
                Contender(
                    f"eager channels_last, converted{tail}", self._converted, self.x, benchmark
                ),
                Contender(
                    f"eager channels_last in and out{tail}",
                    self.last,
                    x_last,
                    benchmark,
                    counts=False,
                ),
            ]
        return found

    def _converted(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(x.contiguous(memory_format=torch.channels_last)).contiguous()

    def compiled(self, mode: str) -> Contender:
        """Under torch.compile; compiled at its first call."""
        torch._dynamo.reset()
        compiled = torch.compile(self.model, mode=mode, fullgraph=True, dynamic=False)
        return Contender(f"torch.compile {mode}", compiled, self.x)

    def program(self, label: str, source: str) -> Contender:
        """A program of ours, with the model's parameters."""
        module = load(source, SOURCES)
        with self.device:
            model = module.ModelNew().eval().requires_grad_(False)
        model = model.to(self.device, getattr(torch, self.layer.dtype))
        model.load_state_dict(self.model.state_dict())
        return Contender(label, model, self.x, ours=True)


def load(source: str, folder: Path) -> ModuleType:
    """A source text as a module of its own. Triton reads a kernel's source from the file.

    File and name hang on the text alone, so that every process means the same by them.
    """
    name = f"conv2d_{hashlib.sha256(source.encode()).hexdigest()[:16]}"
    path = folder / f"{name}.py"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(source, encoding="utf-8")
        temporary.replace(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module

"""What is timed for a layer: PyTorch's ways to compute it, and programs of ours.

All that count take an NCHW input and give an NCHW output. In channels_last the conversions of
input and output are part of the call; the weight lies in that layout already, free of charge.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass

import torch

from conv2d_bench.layers import problem_file
from warpwright.types.conv2d import Conv2dLayer

Call = Callable[[torch.Tensor], torch.Tensor]
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
    """A layer on the device: its model, its input, and everything that computes it."""

    def __init__(self, name: str, layer: Conv2dLayer) -> None:
        self.name, self.layer = name, layer
        problem = load(problem_file(layer), f"problem_{name}")
        torch.manual_seed(7)
        with torch.device("cuda"):
            self.model = problem.Model().eval().requires_grad_(False)
            self.x = problem.get_inputs()[0]
        self.last = problem.Model().eval().requires_grad_(False).cuda()
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
        module = load(source, f"program_{abs(hash((self.name, label, source)))}")
        with torch.device("cuda"):
            model = module.ModelNew().eval().requires_grad_(False)
        model = model.cuda().to(getattr(torch, self.layer.dtype))
        model.load_state_dict(self.model.state_dict())
        return Contender(label, model, self.x, ours=True)


def load(source: str, name: str) -> types.ModuleType:
    """Execute a file's text as a module. Triton reads a kernel's source through `linecache`."""
    import linecache

    filename = f"<{name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    module = types.ModuleType(name)
    module.__file__ = filename
    sys.modules[name] = module
    exec(compile(source, filename, "exec"), module.__dict__)
    return module

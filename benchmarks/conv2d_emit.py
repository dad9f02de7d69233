"""Write the programs that conv2d_variants.py runs: for each layer, the best predicted candidates.

    python benchmarks/conv2d_emit.py --out programs.json [--layers FILE.toml] [--top 6]
        [--all A,B] [--gpu "H100 SXM"] [--schedule NAME]

Needs no GPU, no torch and no Triton.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from warpwright.data.gpus import find_gpu
from warpwright.proposers.schedules import candidates
from warpwright.types.conv2d import Conv2dLayer, Conv2dTask, ScheduleCandidate

LAYERS = Path(__file__).parent / "conv2d_layers.toml"
PAIRS = ("kernel", "stride", "padding_before", "padding_after", "dilation")


def layers(path: Path) -> Iterator[tuple[str, Conv2dLayer]]:
    """Names and sizes of the layers of a file."""
    for row in tomllib.loads(path.read_text())["layer"]:
        name = row.pop("name")
        padding = row.pop("padding", None)
        if padding is not None:
            row["padding_before"] = row["padding_after"] = padding
        sizes: dict[str, Any] = {k: tuple(v) if k in PAIRS else v for k, v in row.items()}
        yield name, Conv2dLayer(**sizes)


def problem_of(layer: Conv2dLayer) -> str:
    """A problem file whose model is this layer."""
    padding = layer.padding_before if layer.padding_before == layer.padding_after else "same"
    return f"""import torch.nn as nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(
            {layer.in_channels},
            {layer.out_channels},
            {layer.kernel},
            stride={layer.stride},
            padding={padding!r},
            dilation={layer.dilation},
            groups={layer.groups},
            bias={layer.bias},
        )

    def forward(self, x):
        return self.conv(x)
"""


def best_of(found: Sequence[ScheduleCandidate], top: int) -> list[ScheduleCandidate]:
    """The best predicted, but the best two of each schedule first: predictions err between them."""
    kept: list[ScheduleCandidate] = []
    for schedule in dict.fromkeys(candidate.schedule for candidate in found):
        kept += [candidate for candidate in found if candidate.schedule == schedule][:2]
    kept = kept[:top]
    kept += [c for c in found if c not in kept][: max(0, top - len(kept))]
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--layers", type=Path, default=LAYERS)
    parser.add_argument("--top", type=int, default=6)
    parser.add_argument("--all", default="A,B", help="layers of which every candidate is taken")
    parser.add_argument("--gpu", default="H100 SXM")
    parser.add_argument("--schedule", default="", help="only schedules whose name contains this")
    arguments = parser.parse_args()
    gpu = find_gpu(arguments.gpu)
    rows: list[dict[str, Any]] = []
    for name, layer in layers(arguments.layers):
        task = Conv2dTask(layer, "conv", problem_of(layer))
        found = [c for c in candidates(task, gpu) if arguments.schedule in c.schedule]
        chosen = found if name in arguments.all.split(",") else best_of(found, arguments.top)
        rows.append(
            {"name": name, "layer": asdict(layer), "candidates": [asdict(c) for c in chosen]}
        )
        print(f"{name}: {len(chosen)} of {len(found)} candidates")
    arguments.out.write_text(json.dumps({"gpu": gpu.name, "layers": rows}))


if __name__ == "__main__":
    main()

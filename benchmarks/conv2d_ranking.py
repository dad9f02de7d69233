"""How well schedules rank their points: predicted times beside measured ones. Needs no GPU.

    PYTHONPATH=src python benchmarks/conv2d_ranking.py [RESULTS.json] [--verbose]

Reads results of conv2d_pointwise_depthwise.py. For each layer: of the four points that the
schedules rank first (of those that were measured), the best one's time over the best measured time
of all variants. Ends with the geometric means: of that, and of predicted over measured.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from conv2d_pointwise_depthwise import LAYERS

from warpwright.gpus.sheets import find_gpu
from warpwright.operators.conv2d.schedules import (
    Schedule,
    depthwise,
    grouped,
    grouped_scalar,
    pointwise,
    pointwise_resident,
)
from warpwright.types.conv2d import Conv2dTask

RESULTS = Path(__file__).parent / "results" / "2026-11-25-conv2d-pointwise-depthwise.json"
SCHEDULES: dict[str, Schedule] = {
    "conv_pointwise": pointwise,
    "conv_pointwise_resident": pointwise_resident,
    "conv_depthwise": depthwise,
    "conv_grouped": grouped,
    "conv_grouped_scalar": grouped_scalar,
}
TOP = 4
Key = tuple[str, frozenset[tuple[str, int]]]


def key_of(kernel: str, parameters: dict[str, int]) -> Key:
    """Stages count only where loops are pipelined; the measured VECTOR made no difference."""
    unpipelined = {"num_stages"} if kernel in ("conv_depthwise", "conv_grouped_scalar") else set()
    kept = {k: v for k, v in parameters.items() if k not in {"VECTOR", *unpipelined}}
    return kernel, frozenset(kept.items())


def ranked(name: str) -> dict[Key, float]:
    """Predicted µs of every point that a schedule proposes for a layer, least first."""
    gpu = find_gpu("H100 SXM")
    task = Conv2dTask(LAYERS[name], "conv", "")
    found = {}
    for kernel, schedule in SCHEDULES.items():
        if schedule.reason_not(task, gpu) is None:
            for point in schedule.points(task, gpu):
                key = key_of(kernel, dict(point.items))
                found[key] = schedule.predicted_us(task, point, gpu)
    return dict(sorted(found.items(), key=lambda pair: pair[1]))


def main() -> None:
    files = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    results: dict[str, Any] = json.loads(Path(files[0] if files else RESULTS).read_text())
    regrets, ratios = [], []
    for name, layer in results["layers"].items():
        rows = [row for row in layer["ours"] if "median_us" in row]
        times = {key_of(row["kernel"], row["parameters"]): row["median_us"] for row in rows}
        predicted = ranked(name)
        known = [key for key in predicted if key in times]
        first = known[:TOP]
        regret = min(times[key] for key in first) / min(times.values()) if first else math.nan
        regrets.append(regret)
        ratios += [predicted[key] / times[key] for key in first]
        new = list(predicted)[:TOP]
        unmeasured = sum(key not in times for key in new)
        print(
            f"{regret:5.2f}  {name}: best measured {min(times.values())}, {unmeasured} unmeasured"
        )
        if "--verbose" in sys.argv:
            for key in list(predicted)[:12]:
                text = " ".join(f"{k}={v}" for k, v in sorted(key[1]))
                print(
                    f"    {predicted[key]:7.1f} ({times.get(key, math.nan):7.1f}) {key[0]} {text}"
                )
    logs = [math.log(value) for value in regrets]
    print(f"top {TOP}: geomean {math.exp(sum(logs) / len(logs)):.3f}, worst {max(regrets):.2f}")
    off = [abs(math.log(value)) for value in ratios]
    print(f"predicted against measured, of those: off by {math.exp(sum(off) / len(off)):.2f}x")


if __name__ == "__main__":
    main()

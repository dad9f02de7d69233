"""What the children of an answer need, loaded while the main process still loads its own modules.

Torch and Triton take seconds to load where the disk is slow. The fork servers load them beside
whatever else is done; without this each would begin when the first child that needs it is wanted.
"""

from __future__ import annotations

from pathlib import Path

from warpwright.sandbox.kinds import INTERPRETED
from warpwright.sandbox.run import load_ahead, load_process_ahead

GPU_FILES = ("/dev/nvidiactl", "/dev/dxg")  # the driver's; the second where Linux runs in Windows
JOBS_OF_AN_ANSWER = ("trace", "compile", "cost")


def load_for_an_answer(visible_gpu: str | None) -> None:
    """Begin to load for the jobs of an answer, and for workers on a GPU where there may be one.

    `visible_gpu`: as CUDA_VISIBLE_DEVICES names it; None where nothing is to be measured.
    """
    for kind in JOBS_OF_AN_ANSWER:
        load_ahead(kind)
    load_ahead("interpret", INTERPRETED)
    if visible_gpu is not None and any(Path(name).exists() for name in GPU_FILES):
        load_process_ahead("worker", {"CUDA_VISIBLE_DEVICES": visible_gpu})
        load_ahead("compile_and_keep")

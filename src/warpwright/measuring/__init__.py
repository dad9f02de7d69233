"""Programs of one problem on the device: accuracy at full size, bursts of timed calls."""

from warpwright.measuring.bench import Bench, open_bench
from warpwright.measuring.full_size import CASES, Checked

__all__ = ["CASES", "Bench", "Checked", "open_bench"]

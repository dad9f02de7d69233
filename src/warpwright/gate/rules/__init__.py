"""The stage's rules, checked by difference. `check_rules` is the way in."""

from warpwright.gate.rules.check import CHECKERS, check_reading, check_rules
from warpwright.gate.rules.stages import classify_edits

__all__ = ["CHECKERS", "check_reading", "check_rules", "classify_edits"]

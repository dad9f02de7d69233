"""Inside a child: import the program and nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch  # noqa: F401
import triton  # noqa: F401

from warpwright.sandbox.child_program import load_module
from warpwright.tracing.child_target import load_on_target


def perform(payload: Mapping[str, Any], job_dir: Path) -> dict[str, Any]:
    """Load `payload["source"]`; what it raises is the job's failure.

    `facts`: of the card that stands in; without any, none does.
    """
    if payload.get("facts") is None:
        load_module(payload["source"], "program", job_dir)
    else:
        load_on_target(payload["source"], "program", job_dir, payload["facts"])
    return {}

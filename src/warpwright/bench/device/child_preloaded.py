"""Loaded once, before workers and reference processes are forked: what each would do by itself."""

from __future__ import annotations

from warpwright.bench.device import child_reference_process, child_worker
from warpwright.compiler import child_triton_digest

LOADED = (child_reference_process, child_worker, child_triton_digest)

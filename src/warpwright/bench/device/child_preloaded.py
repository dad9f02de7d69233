"""Loaded once, before workers and reference processes are forked: what each would do by itself.

Beside the modules of both kinds this is Triton's digest of its own files (half a gigabyte), a part
of every name in its cache; it is kept for the life of a process, so the forks have it.
"""

from __future__ import annotations

import os

from triton.runtime import cache

from warpwright.bench.device import child_reference_process, child_worker

KINDS = (child_reference_process, child_worker)

if os.environ.get("TRITON_INTERPRET") != "1" and hasattr(cache, "triton_key"):
    cache.triton_key()  # the interpreter compiles nothing

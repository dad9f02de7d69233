"""Loaded once, before children are forked: Triton's digest of its own files (half a gigabyte).

It is a part of every name in Triton's cache, and a process works it out once: forks have it.
"""

from __future__ import annotations

import os

from triton.runtime import cache

if os.environ.get("TRITON_INTERPRET") != "1" and hasattr(cache, "triton_key"):
    cache.triton_key()  # the interpreter compiles nothing

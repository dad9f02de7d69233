"""Inside a child: lower kernels to Triton's intermediate representation, for counting their work.

Stops at TTIR, which takes a fraction of a second: nothing of it depends on warps or stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch  # noqa: F401  (before the program runs: outside its guard)
from triton._C.libtriton import ir
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler.compiler import make_backend

from warpwright.compiler import child_triton
from warpwright.sandbox import child_guard
from warpwright.tracing import child_target

MAX_TEXT = 8 * 1024**2


def perform(payload: Mapping[str, Any], job_dir: Path) -> dict[str, Any]:
    """`{"lowered": [{"text": …, "names": […]} | {"failed": …}, …]}`, in the items' order."""
    module = child_target.load_on_target(payload["program"], "program", job_dir, payload["facts"])
    major, minor = payload["compute_capability"]
    target = GPUTarget("cuda", 10 * major + minor, child_triton.WARP_THREADS)
    lowered = []
    for item in payload["items"]:
        try:
            lowered.append(_lower(module, item, target))
        except (MemoryError, child_guard.ForbiddenActionError):
            raise
        except Exception as error:
            lowered.append({"failed": child_triton.explain(error, payload["program"])})
    return {"lowered": lowered}


def _lower(module: Any, item: Mapping[str, Any], target: GPUTarget) -> dict[str, Any]:
    kernel = child_triton.find_kernel(module, item["specialization"]["kernel"])
    signature, constants, attributes = child_triton.arguments(
        module, kernel, item["specialization"], item["meta"]
    )
    source = ASTSource(kernel, signature, constants, attributes)
    text = ttir(source, target, item["options"])
    if len(text) > MAX_TEXT:
        return {"failed": f"its intermediate representation has {len(text):,} characters"}
    names = [name for name, kind in signature.items() if kind != "constexpr"]
    return {"text": text, "names": names}


def ttir(source: ASTSource, target: GPUTarget, options: Mapping[str, Any]) -> str:
    """TTIR of a kernel as text, without line information. Internals of Triton 3.6 to 3.9."""
    backend = make_backend(target)
    wanted = {**source.parse_options(), **{k: v for k, v in options.items() if v is not None}}
    parsed = backend.parse_options(wanted)
    context = ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    given = [target, parsed, backend.get_codegen_implementation(parsed), backend.get_module_map()]
    with child_guard.foreign_code():
        lowered = source.make_ir(*given, context)
    stages: dict[str, Any] = {}
    backend.add_stages(stages, parsed, source.language)
    return str(stages["ttir"](lowered, {}).str_nodebug())

"""Inside a child without a GPU: operators that a program registers with torch run as on a GPU.

torch would send stand-ins to an operator's shape rule (`register_fake`), which launches nothing,
and CPU tensors to no implementation at all. Here each call goes to the implementation for CUDA,
and what that does is seen like other host code. `wrap_triton(kernel)` is the kernel itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._library.custom_ops import OPDEFS
from torch._ops import OpOverload, OpOverloadPacket

CUDA_KEYS = ("CUDA", "CompositeExplicitAutograd", "CompositeImplicitAutograd", "")
WRAPPERS = ("wrap_triton", "capture_triton")

_registered: dict[tuple[str, str], Callable[..., Any]] = {}
"""What `Library.impl` was given, by operator and dispatch key."""


def implementation(func: Any) -> Callable[..., Any] | None:
    """The program's function that an operator runs on CUDA tensors; None for torch's own."""
    if not isinstance(func, (OpOverload, OpOverloadPacket)):
        return None
    overload = func if isinstance(func, OpOverload) else None
    name = func._qualified_op_name if overload is None else overload._schema.name
    if name.split("::")[0] in ("aten", "prims"):
        return None
    defined = OPDEFS.get(name)
    if defined is not None:
        own: dict[str | None, Callable[..., Any]] = defined._backend_fns
        return own.get("cuda") or own.get(None)
    return next((_registered[name, k] for k in CUDA_KEYS if (name, k) in _registered), None)


@contextmanager
def own_ops_seen() -> Iterator[None]:
    """While the block runs, what is registered is noted, and kernels stay kernels."""
    library, impl = torch.library.Library, torch.library.Library.impl

    def noted(self: Any, op_name: Any, fn: Any, dispatch_key: str = "", **options: Any) -> Any:
        name = op_name if isinstance(op_name, str) else op_name._schema.name
        full = name if "::" in name else f"{self.ns}::{name}"
        _registered[full.split(".")[0], dispatch_key or self.dispatch_key] = fn
        return impl(self, op_name, fn, dispatch_key, **options)

    before = [
        (module, name, getattr(module, name))
        for module in (torch.library, torch._library.triton)
        for name in WRAPPERS
        if hasattr(module, name)
    ]
    library.impl = noted
    for module, name, _ in before:
        setattr(module, name, lambda kernel: kernel)
    try:
        yield
    finally:
        library.impl = impl
        for module, name, value in before:
            setattr(module, name, value)

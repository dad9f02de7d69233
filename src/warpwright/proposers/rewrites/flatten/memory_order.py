"""Whether a step of a nest may read or write what another step writes: they become one step."""

from __future__ import annotations

import ast

from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    loaded_names,
    stored_names,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.flatten.walks import WalkNest
from warpwright.proposers.rewrites.vectorize.addresses import roots_of
from warpwright.types.calls import KernelCalls
from warpwright.types.launch_trace import TensorArgument


def check_memory_order(kernel: KernelText, nest: WalkNest) -> None:
    """Raises DoesNotApply where a tensor is written, and used at another address too.

    One that is read and written at the same address of each lane stays right, as does one that is
    written alone.
    """
    stores, others = _accesses(kernel, nest, "store"), _accesses(kernel, nest, "load")
    assigned = stored_names([nest.statement])
    for place, store in enumerate(stores):
        text = ast.unparse(store.args[0])
        twice = any(assigned.count(name) > 1 for name in loaded_names([store.args[0]]))
        for other in (*stores[:place], *others):
            shared = roots_of(kernel, store) & roots_of(kernel, other)
            if shared and (twice or ast.unparse(other.args[0]) != text):
                told = ", ".join(sorted(shared))
                raise DoesNotApply(f"{told} is written in the nest, and used at another address")


def shares_memory(kernel: KernelText, nest: WalkNest, call: KernelCalls) -> bool:
    """Whether a launch passes the memory that the nest writes under another name that it uses."""
    written = {n for a in _accesses(kernel, nest, "store") for n in roots_of(kernel, a)}
    read = {n for a in _accesses(kernel, nest, "load") for n in roots_of(kernel, a)}
    for launch in call.launches:
        storages = {
            name: argument.storage
            for name, argument in launch.arguments.items()
            if isinstance(argument, TensorArgument)
        }
        for one in written & storages.keys():
            for other in (written | read) & storages.keys():
                if one != other and storages[one] == storages[other]:
                    return True
    return False


def _accesses(kernel: KernelText, nest: WalkNest, kind: str) -> list[ast.Call]:
    """Loads or stores in the nest, in source order."""
    found = [
        node
        for node in ast.walk(nest.statement)
        if isinstance(node, ast.Call) and kernel.called(node) == kind and node.args
    ]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))

"""Inside a child: count the work of a problem's `Model` at full size, on meta tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional

from warpwright.sandbox import child_guard, child_program
from warpwright.sandbox.child_tensors import storage_of, tensors_of
from warpwright.tracing.child_device import WithoutCuda
from warpwright.tracing.child_needed import (
    STRUCTURE,
    Graph,
    demand,
    own_bytes,
    read_bytes,
)
from warpwright.tracing.child_target import problem_on_target
from warpwright.tracing.child_trace_problem import constructor_arguments

ATTENTION = "scaled_dot_product_attention"


def perform(payload: dict[str, Any], job_dir: Path) -> dict[str, Any]:
    """Payload: `problem`, `facts` of the GPU. Operations by operator, bytes of inputs, parameters
    and outputs, what of both every program needs, and why the rest may be spared."""
    graph = Graph()
    spared: set[str] = set()
    setattr(functional, ATTENTION, _counted(graph, functional.scaled_dot_product_attention, spared))
    with problem_on_target(payload["facts"]):
        problem = child_program.load_module(payload["problem"], "problem", job_dir)
        init = getattr(problem, "get_init_inputs", list)
        with child_guard.foreign_code(), WithoutCuda(), torch.device("meta"), torch.no_grad():
            args, kwargs = constructor_arguments(init())
            model = problem.Model(*args, **kwargs)
            with graph:
                inputs = [_to_meta(value) for value in problem.get_inputs()]
            _begin(graph, model, inputs)
            with graph:
                output = model(*inputs)
    outputs = tensors_of(output)
    needed, reasons = demand(graph, outputs)
    by_operator: dict[str, int] = {}
    for node in graph.nodes:
        if node.flops:
            by_operator[node.name] = by_operator.get(node.name, 0) + node.flops
    dtypes = {name for node in graph.nodes if node.flops for name in node.dtypes}
    parameters = [*model.parameters(), *model.buffers()]
    return {
        "flops": by_operator,
        "needed_flops": needed,
        "read_bytes": sum(map(_bytes, [*tensors_of(inputs), *parameters])),
        "needed_read_bytes": read_bytes(graph),
        "written_bytes": sum(map(_bytes, outputs)),
        "needed_written_bytes": _written(graph, outputs),
        "dtypes": sorted(dtypes) or sorted({_dtype(t) for t in tensors_of(inputs)}),
        "spared": sorted(spared | reasons),
    }


def _to_meta(value: Any) -> Any:
    return value.to("meta") if isinstance(value, torch.Tensor) else value


def _begin(graph: Graph, model: torch.nn.Module, inputs: list[Any]) -> None:
    """Forget how the inputs were made, but for their structure; parameters may be anything."""
    made = [(t, graph.structured(t) or t.dtype == torch.bool) for t in tensors_of(inputs)]
    graph.nodes.clear()
    graph.values.clear()
    for tensor, structured in made:
        graph.leaf(tensor, structured=structured)
    for parameter in model.parameters():
        graph.leaf(parameter)


def _counted(
    graph: Graph, attention: Callable[..., torch.Tensor], spared: set[str]
) -> Callable[..., torch.Tensor]:
    """The attention function, counted as one product over the pairs that its mask leaves."""

    def scaled_dot_product_attention(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **more: Any,
    ) -> torch.Tensor:
        graph.paused, before = True, graph.paused
        out = attention(query, key, value, attn_mask, dropout_p, is_causal, **more)
        graph.paused = before
        rows, columns = int(query.shape[-2]), int(key.shape[-2])
        pairs = sum(min(row + 1, columns) for row in range(rows)) if is_causal else rows * columns
        each = int(query.shape[-1]) + int(value.shape[-1])
        count = 2 * pairs * each * (query.numel() // max(1, rows * int(query.shape[-1])))
        if attn_mask is not None:
            spared.add(STRUCTURE)
        needed = count if attn_mask is None and not dropout_p else 0
        graph.product(ATTENTION, [query, key, value], out, count, needed)
        return out

    return scaled_dot_product_attention


def _bytes(tensor: torch.Tensor) -> int:
    return int(tensor.numel() * tensor.element_size())


def _written(graph: Graph, outputs: list[torch.Tensor]) -> int:
    """Bytes of the outputs that are no view of an input, each memory once."""
    own: dict[int, int] = {}
    for tensor in outputs:
        if storage_of(tensor) not in graph.leaf_storages:
            own[storage_of(tensor)] = max(own.get(storage_of(tensor), 0), own_bytes(tensor))
    return sum(own.values())


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")

"""What device time does not hold: the first call, the host's part, CUDA graphs, torch.compile."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from warpwright.bench.device.worker import Worker, chosen_configs
from warpwright.search.open_trial import GIVEN_UP, TUNING_S, Table, digest, numbers, why
from warpwright.types.trial import Apart
from warpwright.types.worker_reply import Answer, Done

APART = TypeAdapter(Apart)
WARM_UP_S = 0.05


def measure_apart(table: Table, source: str) -> Apart:
    """All of it for one program, each by itself: what fails is a note."""
    given_up = APART.dump_python(Apart(notes=(GIVEN_UP,)), mode="json")
    return APART.validate_python(
        table.once(f"apart {digest(source)}", lambda: _measured(table, source), given_up)
    )


def _measured(table: Table, source: str) -> Mapping[str, Any]:
    worker = table.bench.pool.take(fresh=True)
    try:
        return dict(APART.dump_python(_all_of(table, worker, source), mode="json"))
    finally:
        worker.close()  # torch.compile leaves it unfit for anything else


def _all_of(table: Table, worker: Worker, source: str) -> Apart:
    program = table.bench.program(source)
    notes: list[str] = []

    def value(what: str, answer: Answer) -> Mapping[str, Any]:
        if isinstance(answer, Done):
            return answer.value
        notes.append(f"{what}: {why(answer)}")
        return {}

    first = value("first call", worker.first_call(program, deadline_s=TUNING_S))
    value("load", worker.load(program))
    seed = secrets.randbelow(2**31)
    value("tuning", worker.time(1, seed=seed, warm_up_s=WARM_UP_S, deadline_s=TUNING_S))
    host = value("host overhead", worker.host_overhead(seed=seed))
    bench = value("do_bench", worker.do_bench(seed=seed))
    graph = value("CUDA graph", worker.graph(seed=seed))
    compiled = value("torch.compile", worker.torch_compile(seed=seed))
    return Apart(
        chosen=chosen_configs(first),
        first_call_s=numbers(first, "first_call_s"),
        host_us=numbers(host, "host_us"),
        do_bench_us=numbers(bench, "median_us"),
        cuda_graph=_works(graph),
        torch_compile=_works(compiled),
        notes=tuple(notes),
    )


def _works(value: Mapping[str, Any]) -> str | None:
    """Whether it works, and what differs from a direct call; None where it was not tried."""
    if not value:
        return None
    if not value.get("works"):
        return f"does not work: {value.get('reason')}"
    parts = ["works"]
    if value.get("whole_graph") is False:
        parts.append("with graph breaks")
    if value.get("bit_equal"):
        parts.append("output equal bit by bit")
    else:
        apart = numbers(value, "relative_difference")
        shown = "has another form" if apart is None else f"is {apart:.1e} apart"
        parts.append(f"output {shown}")
    return ", ".join(parts)

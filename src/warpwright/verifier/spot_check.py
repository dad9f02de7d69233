"""A spot check at full size without a GPU: some blocks of the real launch, held against the parent.

Small inputs do not show what only the real sizes bring out: offsets that leave 32 bits, a loop or a
mask that ends at a constant, a last block that is wrong. So a few blocks (first, last, middle,
edges, random) of the last launch run in the interpreter on the problem's own inputs, and what they
wrote is compared with what the parent's blocks wrote there, or with the problem's model.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from warpwright.compiler.compile_pool import usable_workers
from warpwright.interpreter.spot.spot import Spot, SpotRun, SpotState
from warpwright.store.run_context import RunContext
from warpwright.tracing.trace import device_facts
from warpwright.types.config import Config
from warpwright.types.launch_trace import Trace
from warpwright.types.program import ProgramView
from warpwright.types.study import KernelStudy, Study
from warpwright.types.verdict import CheckResult, Status
from warpwright.verifier.accuracy_case import SEED
from warpwright.verifier.accuracy_pins import PinnedRun, new_to_the_parent
from warpwright.verifier.outputs.spot_verdict import (
    SKIPPED,
    Compared,
    against_parent_blocks,
    against_reference_values,
    concluded,
    conduct_at_full_size,
    failed,
    left_out,
)
from warpwright.verifier.two_paths import launches_otherwise

LEAST_S = 15.0  # with less time left nothing is begun
SHARE = 0.8  # of the time left
# What the problem's model may cost in float64 on one core: some seconds, and some gigabytes.
MOST_FLOPS = 2e10
MOST_BYTES = 1024**3
PARENT_WRONG = f"{SKIPPED}: the parent itself is wrong there by the problem's model"
WIDEST_BYTES = 8  # of an element in float64


def with_full_size(
    accuracy: CheckResult,
    parent: Study,
    child: ProgramView,
    kernels: Mapping[str, KernelStudy],
    run_context: RunContext,
    trace: Trace | None = None,
) -> tuple[CheckResult, ...]:
    """The result on small inputs, and the one at full size, or a note on why there is none.

    A candidate that is wrong already is not run again. `trace`: the candidate's.
    """
    if accuracy.status is Status.FAIL:
        return (accuracy,)
    checked = check_full_size(parent, child, kernels, run_context, trace)
    if checked is None:
        return (accuracy,)
    if isinstance(checked, CheckResult):
        return (accuracy, checked)
    return (replace(accuracy, notes=(*accuracy.notes, checked)),)


def check_full_size(
    parent: Study,
    child: ProgramView,
    kernels: Mapping[str, KernelStudy],
    run_context: RunContext,
    trace: Trace | None = None,
) -> CheckResult | str | None:
    """The check's result; text: why it could not be made; None: nothing is new at full size.

    `kernels` holds the configs of each kernel of the child. With its `trace`, what it launches
    here is compared with what it launched there.
    """
    if parent.problem is None or parent.trace is None:
        return None
    base = {kernel.kernel: kernel.usual for kernel in parent.kernels}
    chosen = new_to_the_parent(parent, child, kernels)
    if chosen is None:
        return None
    deadline = run_context.deadline
    if deadline is not None and deadline.left_s < LEAST_S:
        return f"{SKIPPED}: no time was left for it"
    run_context.listener("full size", "running some blocks on the problem's own inputs")
    major, minor = parent.gpu.sheet.compute_capability
    spot = Spot(
        parent.problem,
        SEED,
        10 * major + minor,
        facts=device_facts(parent.gpu.sheet),
        evaluation_mode=parent.trace.evaluation_mode,
        cache=run_context.cache,
        deadline=None if deadline is None else deadline.part(SHARE),
    )
    with tempfile.TemporaryDirectory(prefix="warpwright-") as name:
        state = spot.state(Path(name))
        if isinstance(state, str):
            return f"{SKIPPED}: {state}"
        return _judged(parent, child, base, chosen, spot, state, trace)


def _judged(
    parent: Study,
    child: ProgramView,
    base: Mapping[str, Config],
    chosen: PinnedRun,
    spot: Spot,
    state: SpotState,
    trace: Trace | None,
) -> CheckResult | str:
    tasks = [(parent.view.source, base), (child.source, chosen.pins)]

    def run_both(spoil_undefined: bool) -> list[SpotRun]:
        with ThreadPoolExecutor(max_workers=usable_workers()) as pool:
            return list(
                pool.map(lambda task: spot.run(task[0], task[1], state, spoil_undefined), tasks)
            )

    theirs, ours = run_both(True)
    if theirs.undefined_lines:  # what the parent takes from such lanes is no fault of its candidate
        theirs, ours = run_both(False)
    # Where parent and candidate read values, those of the trace's inputs are others than these.
    read = trace is not None and trace.value_reads and _traced(parent).value_reads
    other = None if trace is None or read else launches_otherwise(ours, trace, chosen.pins)
    if other is not None and launches_otherwise(theirs, _traced(parent), base) is None:
        return failed(f"it launches otherwise under test: {other}")
    lines = frozenset(line.strip() for line in parent.view.source.splitlines()) - {""}
    settled = conduct_at_full_size(ours, theirs, lines)
    if settled is not None:
        return settled
    lost = left_out(ours, theirs)
    if lost is not None:
        return failed(lost)
    compared = against_parent_blocks(ours, theirs)
    if compared.is_enough and compared.fault is None:
        return concluded(ours, compared, "the parent")
    # The parent's blocks lie elsewhere, or it differs: the problem's own model tells.
    right = _by_reference(parent, ours, theirs, spot)
    if right is None:
        return concluded(ours, compared, "the parent")
    if isinstance(right, str):
        return right
    return concluded(ours, right, "the problem's model")


def _traced(parent: Study) -> Trace:
    assert parent.trace is not None  # asked before
    return parent.trace


def _by_reference(
    parent: Study, ours: SpotRun, theirs: SpotRun, spot: Spot
) -> Compared | str | None:
    """The candidate beside the problem's model; text: it shows the parent to be wrong.

    None where it costs too much or cannot be had.
    """
    if not ours.matched or not _affordable(parent):
        return None
    wanted = [
        replace(one, at=np.union1d(one.at, other.at))
        for one, other in zip(ours.outputs, theirs.outputs, strict=True)
    ]
    values = spot.reference(wanted, ours.digest)
    if isinstance(values, str) or len(values) != len(wanted):
        return None
    found = {
        value.name: (output.at, value.data) for value, output in zip(values, wanted, strict=True)
    }
    if set(found) != {output.values.name for output in ours.outputs}:
        return None
    compared = against_reference_values(ours, theirs, found)
    return PARENT_WRONG if compared is None else compared


def _affordable(parent: Study) -> bool:
    """Whether the problem's model can be computed here in float64.

    Work that is not known is bounded by the job's own time limit.
    """
    if parent.problem is None or not parent.problem.has_reference or parent.trace is None:
        return False
    if parent.cost is not None:
        size = parent.cost.read_bytes + parent.cost.written_bytes
        return parent.cost.flops <= MOST_FLOPS and size <= MOST_BYTES
    tensors = (*parent.trace.inputs, *parent.trace.outputs)
    return sum(math.prod(tensor.shape) * WIDEST_BYTES for tensor in tensors) <= 2 * MOST_BYTES

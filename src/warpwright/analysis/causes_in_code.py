"""Causes that the source and the compiler's output show, whatever the profile says."""

from __future__ import annotations

from warpwright.analysis.cause_case import CauseCase, make_cause
from warpwright.analysis.findings import stages_do_nothing
from warpwright.types.evidence import Origin
from warpwright.types.study import Cause, ConfigStep, Evidence
from warpwright.types.work import LaunchFloor

PIPELINES_FROM = (8, 0)
"""The first compute capability with asynchronous copies, which pipelining needs."""
LEAST_WASTED_PCT = 10.0
MOST_OF_SPILLS_PCT = 50.0
RUN_TIME_LOOPS = ("range", "tl.range", "while")
STAGE_MOVES = (ConfigStep.MORE_STAGES, ConfigStep.FEWER_STAGES)


def spilled_registers(case: CauseCase) -> Cause | None:
    """Registers that do not fit and go through L1."""
    compiled = case.compiled
    if compiled is None or not compiled.spill_bytes:
        return None
    text = f"{compiled.config} spills {compiled.spill_bytes} B a thread"
    return make_cause(
        "spills",
        case,
        "Registers are spilled to local memory; each access goes through L1. Fewer values to a "
        "thread avoid it.",
        (Evidence(text, Origin.COMPILED),),
        min(case.unexplained_pct, MOST_OF_SPILLS_PCT),
        unknown=("whether the spills are in the loop or outside it", *case.doubt),
        moves=(ConfigStep.MORE_WARPS, ConfigStep.FEWER_STAGES, ConfigStep.SMALLER_TILE),
    )


def idle_stages(case: CauseCase) -> Cause | None:
    """num_stages changes nothing: there is no loop that the compiler can pipeline.

    It accounts for time only where the source has a loop whose loads could be overlapped.
    """
    evidence = _why_stages_are_idle(case)
    if evidence is None:
        return None
    loops = [loop for reader in (case.source, *case.helpers) for loop in reader.loops]
    unrolled = any("static_range" in loop.kind for loop in loops)
    return make_cause(
        "idle-stages",
        case,
        "num_stages does nothing in this kernel: no other number of stages is worth a try.",
        evidence,
        case.unexplained_pct / 2 if loops else 0.0,
        unknown=("whether a run-time loop in its place would be faster",) if unrolled else (),
        against=STAGE_MOVES,
    )


def _why_stages_are_idle(case: CauseCase) -> tuple[Evidence, ...] | None:
    if stages_do_nothing(case.study):
        text = "configs that differ in num_stages alone are byte-equal binaries"
        return (Evidence(text, Origin.COMPILED),)
    if case.sheet.compute_capability < PIPELINES_FROM:
        text = f"{case.sheet.target} has no asynchronous copies to pipeline with"
        return (Evidence(text, Origin.COMPILED),)
    loops = {floor.work.loops for config in case.study.configs for floor in config.floors}
    if loops and loops <= {0}:
        unrolled = [loop.line for loop in case.source.loops if "static_range" in loop.kind]
        why = f" (line {unrolled[0]} unrolls its loop)" if unrolled else ""
        return (Evidence(f"no loop is left in the compiled kernel{why}", Origin.COMPILED),)
    readers = (case.source, *case.helpers)
    known = {reader.name for reader in readers}
    if loops or any(called not in known for reader in readers for called in reader.calls):
        return None
    if any(loop.kind in RUN_TIME_LOOPS for reader in readers for loop in reader.loops):
        return None
    return (Evidence("its source leaves the compiler no loop to pipeline", Origin.COMPILED),)


def missing_tensor_cores(case: CauseCase) -> Cause | None:
    """A product that runs on the ordinary units."""
    compiled, sheet = case.compiled, case.sheet
    if compiled is None or compiled.facts.get("mma") != 0:
        return None
    if not any(reader.operations_named("dot") for reader in (case.source, *case.helpers)):
        return None
    share = 50.0
    evidence = [Evidence("its binary has no tensor-core instruction", Origin.COMPILED)]
    if sheet.fp32_tflops and sheet.tf32_tflops:
        share = 100.0 * (1.0 - sheet.fp32_tflops / sheet.tf32_tflops)
        rates = (
            f"{sheet.fp32_tflops:g} TFLOPS on the ordinary units, {sheet.tf32_tflops:g} on tensor "
            "cores in TF32"
        )
        evidence.append(Evidence(rates, Origin.PREDICTED))
    return make_cause(
        "no-tensor-cores",
        case,
        "tl.dot runs on the ordinary fp32 units. Warps and stages do not change that.",
        tuple(evidence),
        max(share, 0.0),
        unknown=("whether its precision may change: that is the request's to say",),
    )


def wasted_lanes(case: CauseCase) -> Cause | None:
    """Work on lanes that tiles add: another tile of the program's own list needs less."""
    config = case.config
    if config is None or not config.floors:
        return None
    ours = _compute_us(config.floors)
    others = [_compute_us(c.floors) for c in case.study.configs if c.launchable and c.floors]
    known = [time for time in others if time]
    if not ours or not known:
        return None
    wasted = 100.0 * (1.0 - min(known) / ours)
    if wasted < LEAST_WASTED_PCT:
        return None
    text = (
        f"its arithmetic takes {ours / min(known):.2f} times that of the program's leanest config, "
        "masked lanes included"
    )
    return make_cause(
        "wasted-lanes",
        case,
        "The tile computes lanes that are thrown away. A tile that divides the sizes better "
        "computes less.",
        (Evidence(text, Origin.PREDICTED),),
        wasted,
        unknown=("whether arithmetic is what takes the time", *case.doubt),
        moves=(ConfigStep.SMALLER_TILE,),
    )


def _compute_us(floors: tuple[LaunchFloor, ...]) -> float | None:
    times = [
        None if floor.compute_us is None else floor.compute_us * floor.launches for floor in floors
    ]
    known = [time for time in times if time is not None]
    return sum(known) if len(known) == len(times) else None


def wasted_configs(case: CauseCase) -> Cause | None:
    """Configs that tuning compiles for nothing: a cost of the first call."""
    configs = case.study.configs
    if len(configs) < 2:
        return None
    never = [c for c in configs if c.compiled and not c.launchable]
    known = [c for c in configs if c.launchable and c.identity is not None]
    repeated = len(known) - len({c.identity for c in known})
    if not never and not repeated:
        return None
    parts = [f"{repeated} repeat another's binary"] if repeated else []
    parts += [f"{len(never)} can never run on this card"] if never else []
    return make_cause(
        "tuning-waste",
        case,
        "The first call pays for configs that cannot win. Later calls do not.",
        (Evidence(f"of {len(configs)} configs {' and '.join(parts)}", Origin.COMPILED),),
        100.0 * (repeated + len(never)) / len(configs),
        unknown=("how long tuning takes on the card",),
        first_call=True,
    )

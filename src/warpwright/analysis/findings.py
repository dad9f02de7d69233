"""What a specialist would say on seeing a kernel's source, compile reports and profile.

Pure: each function looks for one thing and returns findings, or none. Every finding names its
evidence; what cannot be known from it is said, not guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from warpwright.types.compiled import Compiled, Occupancy, Resources, Toolchain
from warpwright.types.evidence import Origin
from warpwright.types.gpu import GpuSheet
from warpwright.types.launch_trace import Trace
from warpwright.types.program import Kernel
from warpwright.types.request import KernelProfile
from warpwright.types.study import CompiledView, ConfigStudy, Finding, KernelStudy

SM_THROUGHPUT = "sm__throughput.avg.pct_of_peak_sustained_elapsed"
DRAM_THROUGHPUT = "dram__throughput.avg.pct_of_peak_sustained_elapsed"
L2_HIT_RATE = "lts__t_sector_hit_rate.pct"
NEAR_ROOF_PCT = 80.0
TRITON_TENSOR_CORES_FROM = (8, 0)
"""Triton's own support begins here; for older targets it lowers `tl.dot` to plain products."""


def kernel_findings(
    source: Kernel,
    study: KernelStudy,
    profile: KernelProfile | None,
    sheet: GpuSheet,
) -> tuple[Finding, ...]:
    """All findings about one kernel, weightiest first."""
    found = [
        *unpipelined_loops(source, study),
        *repeated_configs(source),
        *equal_binaries(study),
        *never_launching(study, sheet.name),
        *occupancy_cap(study, sheet.name),
        *profile_reading(study.kernel, profile),
        *spills(study),
        *dots_without_tensor_cores(source, study, sheet),
    ]
    return by_weight(found)


def host_findings(trace: Trace | None) -> tuple[Finding, ...]:
    """What the trace shows of the host code: values that it reads, on which launches may hang."""
    if trace is None or not trace.value_reads:
        return ()
    places = dict.fromkeys(
        read.reader if read.line is None else f"{read.reader} at line {read.line}"
        for read in trace.value_reads
    )
    text = (
        f"The host code reads values of tensors ({', '.join(places)}). They were computed on the "
        "CPU from inputs as the problem makes them, with a fixed seed: arguments, grids and "
        "launches that follow from them hold for such inputs. On a GPU each read waits until all "
        "work before it is done."
    )
    return (Finding("values-read", "host code", text, Origin.PREDICTED, weight=60),)


def by_weight(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Weightiest first."""
    return tuple(sorted(findings, key=lambda finding: -finding.weight))


def unpipelined_loops(source: Kernel, study: KernelStudy) -> list[Finding]:
    """`tl.static_range` unrolls its loop; there is no loop left for num_stages to pipeline."""
    unrolled = [loop for loop in source.loops if "static_range" in loop.kind]
    pipelined = [loop for loop in source.loops if loop.kind in ("range", "tl.range")]
    if not unrolled or pipelined:
        return []
    stages = {config.config.num_stages for config in study.configs}
    evidence = ""
    if stages_do_nothing(study):
        evidence = (
            " The compiler agrees: configs that differ in num_stages alone are byte-equal binaries."
        )
    lines = ", ".join(str(loop.line) for loop in unrolled)
    tried = (
        f" The configs try num_stages {_and(sorted(stages))} for nothing."
        if (len(stages) > 1)
        else ""
    )
    return [
        Finding(
            "static-range",
            study.kernel,
            f"The loop at line {lines} is unrolled by tl.static_range, so nothing is pipelined "
            f"and num_stages does nothing.{tried}{evidence}",
            Origin.COMPILED if evidence else Origin.STATED,
            weight=90,
        )
    ]


def stages_do_nothing(study: KernelStudy) -> bool:
    """True when configs that differ in num_stages alone exist and all are equal binaries."""
    by_rest: dict[object, set[tuple[str, ...]]] = {}
    stages: dict[object, set[int]] = {}
    for config in study.configs:
        if config.identity is None:
            continue
        key = (config.config.meta, config.config.num_warps)
        by_rest.setdefault(key, set()).add(config.identity)
        stages.setdefault(key, set()).add(config.config.num_stages)
    shared = [key for key, tried in stages.items() if len(tried) > 1]
    return bool(shared) and all(len(by_rest[key]) == 1 for key in shared)


def repeated_configs(source: Kernel) -> list[Finding]:
    """A config that stands in the list several times, as where a default is written out."""
    listed = () if source.autotune is None else source.autotune.configs or ()
    repeated = [config for config, count in Counter(listed).items() if count > 1]
    if not repeated:
        return []
    more = len(listed) - len(set(listed))
    return [
        Finding(
            "repeated-configs",
            source.name,
            f"{_and(repeated)} {'stands' if len(repeated) == 1 else 'stand'} in its list more than "
            f"once: tuning times {_count(more, 'config')} of {len(listed)} for nothing.",
            Origin.STATED,
            weight=80,
        )
    ]


def equal_binaries(study: KernelStudy) -> list[Finding]:
    """Configs that compile to the same binary are one config to a tuner."""
    known = [config for config in study.configs if config.identity is not None]
    distinct = {config.identity for config in known}
    if len(distinct) == len(known) or not known:
        return []
    return [
        Finding(
            "equal-binaries",
            study.kernel,
            f"Its {_count(len(known), 'config')} are {_count(len(distinct), 'binary')}: tuning "
            f"compiles and times {len(known) - len(distinct)} of them for nothing.",
            Origin.COMPILED,
            weight=80,
        )
    ]


def never_launching(study: KernelStudy, gpu_name: str) -> list[Finding]:
    """Configs that break a limit of the board fail silently at tuning time."""
    found = []
    for config in study.configs:
        broken = [limit for view in config.compiled for limit in view.unlaunchable]
        if broken and not config.launchable:
            found.append(
                Finding(
                    "never-launches",
                    study.kernel,
                    f"{config.config} can never run on {gpu_name}: it needs {broken[0].needs:,} "
                    f"{broken[0].unit} ({broken[0].limit}), the limit is "
                    f"{broken[0].allowed:,}. The tuner skips it without a word.",
                    Origin.COMPILED,
                    weight=85,
                )
            )
    return found


def occupancy_cap(study: KernelStudy, gpu_name: str) -> list[Finding]:
    """What caps the occupancy of each binary that may be active, or of all where none is known."""
    found = []
    for config in one_per_binary(study.active or study.configs):
        alike: dict[object, list[CompiledView]] = {}
        for view in config.compiled:
            if view.occupancy is not None:
                fits = (view.occupancy.occupancy_pct, view.occupancy.limiters)
                alike.setdefault(fits, []).append(view)
        found += [
            _occupancy_finding(study.kernel, config, views, gpu_name) for views in alike.values()
        ]
    return found


def _occupancy_finding(
    kernel: str, config: ConfigStudy, views: Sequence[CompiledView], gpu_name: str
) -> Finding:
    """One finding for the classes of arguments that come to the same occupancy."""
    first = views[0]
    assert isinstance(first.result, Compiled)
    assert first.occupancy is not None
    label = ""
    if len(config.compiled) > 1:
        names = [view.result.specialization for view in views]
        every = len(views) == len(config.compiled)
        label = f" ({'whatever the sizes' if every else ' or '.join(names)})"
    text = describe_occupancy(first.occupancy, first.result.resources, gpu_name)
    return Finding("occupancy-cap", kernel, f"{config.config}{label}: {text}", Origin.COMPILED, 60)


def one_per_binary(configs: Sequence[ConfigStudy]) -> tuple[ConfigStudy, ...]:
    """The first config of each distinct binary that can launch."""
    first: dict[object, ConfigStudy] = {}
    for config in configs:
        if config.launchable:
            first.setdefault(config.identity, config)
    return tuple(first.values())


def describe_occupancy(occupancy: Occupancy, resources: Resources, gpu_name: str) -> str:
    """Blocks, warps, percent, and the resource that caps them with its numbers."""
    uses = {
        "registers": f"{resources.registers_per_thread} registers a thread",
        "shared memory": f"{resources.shared_bytes:,} B of shared memory a block",
        "warps": f"{resources.threads_per_block // 32} warps a block",
        "blocks": "the limit of blocks an SM",
    }
    causes = _and([uses.get(limiter, limiter) for limiter in occupancy.limiters])
    others = [
        f"{name} alone would allow {blocks}"
        for name, blocks in sorted(occupancy.limits.items())
        if name not in occupancy.limiters
    ]
    rest = f" ({'; '.join(others)})" if others else ""
    return (
        f"{_count(occupancy.blocks_per_sm, 'block')} an SM, {occupancy.warps_per_sm} warps, "
        f"{occupancy.occupancy_pct:.1f} % occupancy on {gpu_name}, capped by {causes}{rest}."
    )


def profile_disagreements(
    kernel: str, texts: Sequence[str], toolchain: Toolchain | None
) -> tuple[Finding, ...]:
    """What the profile and the compile reports do not agree on: a fact about toolchains."""
    version = f" (compiled here with Triton {toolchain.triton})" if toolchain else ""
    return tuple(
        Finding("profile-disagrees", kernel, f"{_sentence(text)}{version}", Origin.COMPILED, 70)
        for text in texts
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def profile_reading(kernel: str, profile: KernelProfile | None) -> list[Finding]:
    """Where the stated throughputs stand against their roofs, without guessing further."""
    if profile is None:
        return []
    sm, dram = profile.metric(SM_THROUGHPUT), profile.metric(DRAM_THROUGHPUT)
    hit = profile.metric(L2_HIT_RATE)
    if sm is None or dram is None:
        return []
    said = f"The profile states {sm:.0f} % SM and {dram:.0f} % DRAM throughput"
    said += f", {hit:.0f} % L2 hits" if hit is not None else ""
    if max(sm, dram) >= NEAR_ROOF_PCT:
        roof = "SM throughput" if sm >= dram else "DRAM bandwidth"
        verdict = f"it is near the roof of {roof}, and a change of warps or stages can win little."
    else:
        verdict = (
            "neither is near its roof, so time goes to waiting (latency, or a unit that these "
            "metrics do not show). Stall reasons would tell which; the profile has none."
        )
    return [Finding("profile-reading", kernel, f"{said}: {verdict}", Origin.STATED, weight=50)]


def spills(study: KernelStudy) -> list[Finding]:
    """Registers that the config to speak of spills to local memory."""
    spoken_of = [(config, view) for config, view in _active_views(study) if view.spill_bytes]
    return [
        Finding(
            "spills",
            study.kernel,
            f"{config.config} spills {view.spill_bytes} B a thread from registers; each "
            "access goes through L1.",
            Origin.COMPILED,
            weight=65,
        )
        for config, view in spoken_of[:1]
    ]


def dots_without_tensor_cores(source: Kernel, study: KernelStudy, sheet: GpuSheet) -> list[Finding]:
    """A kernel with `tl.dot` whose binary holds no tensor-core instruction."""
    if not source.operations_named("dot"):
        return []
    for config, view in _active_views(study):
        result = view.result
        if isinstance(result, Compiled) and result.facts.get("mma") == 0:
            why = (
                "input_precision='ieee' or fp64 does that"
                if sheet.compute_capability >= TRITON_TENSOR_CORES_FROM
                else f"Triton has no tensor-core code for {sheet.target}"
            )
            return [
                Finding(
                    "no-tensor-cores",
                    study.kernel,
                    f"{config.config} has a tl.dot and no tensor-core instruction: it runs on "
                    f"the ordinary fp32 units ({why}).",
                    Origin.COMPILED,
                    weight=75,
                )
            ]
    return []


def _active_views(study: KernelStudy) -> list[tuple[ConfigStudy, CompiledView]]:
    """The views of the config to speak of; none where nothing tells which one is active."""
    config = study.spoken_of if study.active else None
    return [] if config is None else [(config, view) for view in config.compiled]


def _count(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"


def _and(items: Sequence[object]) -> str:
    texts = [str(item) for item in items]
    return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1]

"""From answers, verdicts and studies to the records of `schema`."""

from __future__ import annotations

from collections.abc import Sequence

from warpwright.program.kernel_kind import kernel_kind
from warpwright.report.cases_text import case_records
from warpwright.report.check_record import GateRecord
from warpwright.report.schema import (
    AnswerRecord,
    BenchRecord,
    CauseRecord,
    ChoiceRecord,
    CompiledRecord,
    ConfigStudyRecord,
    CostRecord,
    DisagreementRecord,
    FindingRecord,
    GpuRecord,
    InspectRecord,
    KernelRecord,
    LaunchFloorRecord,
    OccupancyRecord,
    PlanRecord,
    StudyRecord,
)
from warpwright.report.schema_measured import (
    ApartRecord,
    BurstRecord,
    ComparisonRecord,
    ConfigTrialRecord,
    MeasuredGpuRecord,
    MovesTrialRecord,
    OtherShapeRecord,
    TrialRecord,
)
from warpwright.report.schema_parts import (
    AccuracyRecord,
    BeyondRulesRecord,
    CheckRecord,
    ConfigRecord,
    CountsRecord,
    MoveRecord,
    MovesCountedRecord,
    ProgramCountsRecord,
    ToolchainRecord,
)
from warpwright.types.answer import Answer, BeyondRules, ConfigChoice, ConfigPlan
from warpwright.types.bench import BenchResult
from warpwright.types.compiled import Compiled
from warpwright.types.config import Config
from warpwright.types.counts import MovesCounted, ProgramCounts
from warpwright.types.evidence import Origin
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.input_cases import CaseJudged
from warpwright.types.program import ProgramView
from warpwright.types.study import CompiledView, ConfigStudy, Finding, KernelStudy, Study
from warpwright.types.trial import ConfigTrial, Trial


def config_record(config: Config) -> ConfigRecord:
    """A config with its meta-parameters as a mapping."""
    return ConfigRecord(
        meta=config.meta_dict,
        num_warps=config.num_warps,
        num_stages=config.num_stages,
        num_ctas=config.num_ctas,
        maxnreg=config.maxnreg,
    )


def _compiled(view: CompiledView) -> CompiledRecord:
    result = view.result
    if not isinstance(result, Compiled):
        return CompiledRecord(specialization=result.specialization, error=result.reason)
    return CompiledRecord(
        specialization=result.specialization,
        registers_per_thread=result.resources.registers_per_thread,
        local_bytes_per_thread=result.resources.local_bytes,
        shared_bytes=result.resources.shared_bytes,
        cubin_sha256=result.cubin_sha256,
        occupancy=None
        if view.occupancy is None
        else OccupancyRecord.model_validate(view.occupancy),
        unlaunchable=[str(limit) for limit in view.unlaunchable],
        facts=dict(result.facts),
    )


def _config_study(study: ConfigStudy) -> ConfigStudyRecord:
    return ConfigStudyRecord(
        config=config_record(study.config),
        activity=study.activity,
        cubin_class=study.cubin_class,
        launchable=study.launchable,
        grid=None if study.grid is None else list(study.grid),
        floor_us=study.floor_us,
        floors=[LaunchFloorRecord.model_validate(floor) for floor in study.floors],
        counts=None if study.counts is None else CountsRecord.model_validate(study.counts),
        compiled=[_compiled(view) for view in study.compiled],
    )


def _findings(findings: tuple[Finding, ...]) -> list[FindingRecord]:
    return [FindingRecord.model_validate(finding) for finding in findings]


def _kernel(kernel: KernelStudy, view: ProgramView) -> KernelRecord:
    read = view.kernel(kernel.kernel)
    return KernelRecord(
        kernel=kernel.kernel,
        kind=None if read is None else kernel_kind(read, view),
        autotuned=kernel.autotuned,
        active_reason=kernel.active_reason,
        floor_us=kernel.floor_us,
        causes=[CauseRecord.model_validate(cause) for cause in kernel.causes],
        configs=[_config_study(config) for config in kernel.configs],
        findings=_findings(kernel.findings),
        pruned=[config_record(config) for config in kernel.pruned],
    )


def _choice(choice: ConfigChoice) -> ChoiceRecord:
    return ChoiceRecord(
        config=config_record(choice.config),
        source="proposed" if choice.proposed else "original",
        kept=choice.kept,
        reason=choice.reason,
        cause=choice.cause,
        compiled=[_compiled(view) for view in choice.study.compiled] if choice.study else [],
    )


def _plan(plan: ConfigPlan) -> PlanRecord:
    return PlanRecord(
        kernel=plan.kernel,
        left_alone=plan.left_alone,
        conflicts=list(plan.conflicts),
        choices=[_choice(choice) for choice in plan.choices],
    )


def _gpu(gpu: ResolvedGpu) -> GpuRecord:
    major, minor = gpu.sheet.compute_capability
    return GpuRecord(
        name=gpu.sheet.name,
        compute_capability=f"{major}.{minor}",
        sm_count=gpu.sheet.sm_count,
        disagreements=[DisagreementRecord.model_validate(d) for d in gpu.disagreements],
        notes=list(gpu.notes),
    )


def study_record(study: Study) -> StudyRecord:
    return StudyRecord(
        gpu=_gpu(study.gpu),
        kernels=[_kernel(kernel, study.view) for kernel in study.kernels],
        cost=None if study.cost is None else CostRecord.model_validate(study.cost),
        floor_us=study.floor_us,
        floor_bound=study.floor_bound,
        toolchain=None
        if study.toolchain is None
        else ToolchainRecord.model_validate(study.toolchain),
        findings=_findings(study.findings),
        unknown=list(study.unknown),
    )


def inspect_record(study: Study) -> InspectRecord:
    return InspectRecord(study=study_record(study))


def trial_record(trial: Trial) -> TrialRecord:
    return TrialRecord(
        gpu=None if trial.gpu is None else MeasuredGpuRecord.model_validate(trial.gpu),
        budget=trial.budget,
        resumed=trial.resumed,
        failure=trial.failure,
        repaired=trial.repaired,
        comparison=None
        if trial.comparison is None
        else ComparisonRecord.model_validate(trial.comparison),
        floor_us=trial.floor_us,
        light=trial.light,
        accuracy=None if trial.accuracy is None else CheckRecord.model_validate(trial.accuracy),
        cases=[AccuracyRecord.model_validate(case) for case in trial.cases],
        parent=None if trial.parent is None else ApartRecord.model_validate(trial.parent),
        answer=None if trial.answer is None else ApartRecord.model_validate(trial.answer),
        moves=[MovesTrialRecord.model_validate(moves) for moves in trial.moves],
        other_shapes=[OtherShapeRecord.model_validate(other) for other in trial.other_shapes],
        configs=[_config_trial(config) for config in trial.configs],
        bursts=[BurstRecord.model_validate(burst) for burst in trial.bursts],
    )


def _config_trial(trial: ConfigTrial) -> ConfigTrialRecord:
    accuracy = trial.accuracy
    return ConfigTrialRecord(
        kernel=trial.kernel,
        config=config_record(trial.config),
        source="proposed" if trial.proposed else "original",
        time_us=trial.time_us,
        parent_us=trial.parent_us,
        gain_pct=trial.gain_pct,
        failure=trial.failure,
        accuracy=None if accuracy is None else CheckRecord.model_validate(accuracy),
        bursts=[BurstRecord.model_validate(burst) for burst in trial.bursts],
    )


def _moves_counted(counted: MovesCounted) -> MovesCountedRecord:
    return MovesCountedRecord(
        moves=[MoveRecord.model_validate(move) for move in counted.moves],
        accepted=counted.accepted,
        reason=counted.reason,
        origin=Origin.PREDICTED,
        before=program_counts_record(counted.before),
        after=None if counted.after is None else program_counts_record(counted.after),
    )


def program_counts_record(program: ProgramCounts) -> ProgramCountsRecord:
    """What a program executes and touches, by whose binaries."""
    return ProgramCountsRecord(
        **CountsRecord.model_validate(program.counts).model_dump(),
        occupancy_pct=dict(program.occupancy_pct),
        spill_bytes=dict(program.spill_bytes),
        host_operations=dict(program.host_operations),
        toolchain=ToolchainRecord.model_validate(program.toolchain),
    )


def _beyond_rules(found: BeyondRules) -> BeyondRulesRecord:
    before, after = (None, None) if found.counts is None else found.counts
    return BeyondRulesRecord(
        moves=[MoveRecord.model_validate(move) for move in found.moves],
        broken=list(found.broken),
        gain_pct=found.gain_pct,
        before=None if before is None else program_counts_record(before),
        after=None if after is None else program_counts_record(after),
    )


def answer_record(
    answer: Answer, run: str | None = None, cases: Sequence[CaseJudged] = ()
) -> AnswerRecord:
    """The record of an answer. `run` is its id in the journal; `cases`: those that it was tried on
    besides its own."""
    return AnswerRecord(
        cases=case_records(cases),
        run=run,
        decision=answer.decision,
        reason=answer.reason,
        measured=answer.trial is not None and answer.trial.comparison is not None,
        trial=None if answer.trial is None else trial_record(answer.trial),
        program=answer.program,
        moves=[MoveRecord.model_validate(move) for move in answer.moves],
        moves_counted=[_moves_counted(counted) for counted in answer.counted],
        beyond_rules=None if answer.beyond_rules is None else _beyond_rules(answer.beyond_rules),
        plans=[_plan(plan) for plan in answer.plans],
        conflicts=list(answer.conflicts),
        gate=GateRecord.model_validate(answer.gate),
        study=study_record(answer.study),
    )


def bench_record(result: BenchResult) -> BenchRecord:
    return BenchRecord.model_validate(result)

"""An answer in a person's words, as Markdown: what was found, done, kept, and left unknown."""

from __future__ import annotations

from collections.abc import Iterable

from warpwright.report.cause_text import details, headline
from warpwright.report.gpu_text import gpu_notes
from warpwright.report.moves_text import beyond_rules_section, moves_section, predicted_gain
from warpwright.report.roofline_text import PROBLEM, floor_claim, floor_lines, flops, size
from warpwright.report.trial_text import gain_text, trial_section
from warpwright.types.answer import Answer, ConfigChoice, ConfigPlan, Decision
from warpwright.types.compiled import Compiled
from warpwright.types.study import Activity, ConfigStudy, KernelStudy, Study
from warpwright.types.verdict import AccuracyCase, CheckResult, Status, Verdict

MAX_CASES_LISTED = 12


def explain(answer: Answer) -> str:
    """The whole explanation. Every number in it says where it comes from."""
    study = answer.study
    sections = [
        _headline(answer),
        moves_section(answer),
        beyond_rules_section(answer),
        "" if answer.trial is None else trial_section(answer.trial, bool(answer.moves)),
        _program_section(study),
        *(kernel_section(kernel) for kernel in study.kernels),
        *(_plan_section(plan) for plan in answer.plans),
        _conflicts(answer),
        gate_section(answer.gate),
        _unknown(study),
        _origin(answer),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _headline(answer: Answer) -> str:
    title = "Changed" if answer.decision is Decision.CHANGED else "Kept the parent"
    trial = answer.trial
    if trial is not None and trial.gpu is not None and trial.comparison is not None:
        return (
            f"# {title}: {answer.reason}\n\n"
            f"Measured on {trial.gpu.name}: {gain_text(trial.comparison)} beside the parent."
        )
    if trial is not None and trial.gpu is not None:
        return f"# {title}: {answer.reason}\n\nMeasured on {trial.gpu.name} (see below)."
    compiled = (
        f"# {title}: {answer.reason}\n\n"
        f"Compiled for {answer.study.gpu.sheet.name} ({answer.study.gpu.sheet.target}), not "
        "measured: this machine made no timing"
    )
    if (predicted := predicted_gain(answer)) is not None:
        return (
            f"{compiled}. That the moves make it faster is predicted by counts of what the "
            f"binaries execute and touch, not measured: {predicted}."
        )
    return f"{compiled}, and no speed is claimed."


def _program_section(study: Study) -> str:
    lines = []
    if study.cost is not None:
        lines.append(
            f"- One forward pass at full size is {flops(study.cost.flops)} and has "
            f"{size(study.cost.read_bytes)} in and {size(study.cost.written_bytes)} out (counted "
            "on the problem's own Model)."
        )
    if study.floor_us is not None:
        lines.append(f"- {floor_claim(study.floor_us, study.floor_bound)}")
    if study.floor_withdrawn is not None:
        lines.append(
            f"- No floor is claimed for the rest of the counted work: {study.floor_withdrawn}."
        )
    lines += [
        f"- `{line.subject}` as it is launched: {line.work}; {line.floor} (predicted)."
        for line in floor_lines(study)
        if line.work and line.subject != PROBLEM
    ]
    lines += [f"- {finding.text} ({finding.origin})" for finding in study.findings]
    lines += [f"- {note}" for note in gpu_notes(study.gpu)]
    return "## The problem and the card\n\n" + "\n".join(lines) if lines else ""


def kernel_section(kernel: KernelStudy) -> str:
    """What is known of one kernel: findings, configs as compiled, causes."""
    lines = [f"## `{kernel.kernel}`", ""]
    lines += [f"- {finding.text} ({finding.origin})" for finding in kernel.findings]
    if kernel.active_reason:
        lines.append(f"- Active config: {kernel.active_reason}")
    lines += ["", *_config_table(kernel), *_causes(kernel)]
    return "\n".join(lines)


def _causes(kernel: KernelStudy) -> list[str]:
    """The ranked causes; what is told of each stands below it."""
    if not kernel.causes:
        return []
    lines = ["", "Causes, by how much of its time each could explain:", ""]
    for number, cause in enumerate(kernel.causes, 1):
        lines.append(f"{number}. **{headline(cause)}**: {cause.claim}")
        lines += [f"   - {detail}" for detail in details(cause)]
    return lines


def _config_table(kernel: KernelStudy) -> list[str]:
    """One row a config and specialisation class, as compiled."""
    rows = [
        "| config | active | grid | registers | spill B | shared B | occupancy | binary |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for config in kernel.configs:
        rows += [_config_row(config, index) for index in range(len(config.compiled))]
    return rows


def _config_row(study: ConfigStudy, index: int) -> str:
    view = study.compiled[index]
    mark = {Activity.ACTIVE: "yes", Activity.POSSIBLE: "maybe", Activity.UNKNOWN: "?"}
    grid = "×".join(map(str, study.grid)) if study.grid else "?"
    label = str(study.config)
    if len(study.compiled) > 1:
        label += f" ({view.result.specialization})"
    head = f"| {label} | {mark.get(study.activity, 'no')} | {grid} "
    if not isinstance(view.result, Compiled):
        return f"{head}| {view.result.told} | | | | |"
    resources = view.result.resources
    if view.unlaunchable:
        occupancy = f"never launches: {view.unlaunchable[0]}"
    elif view.occupancy is not None:
        occupancy = f"{view.occupancy.occupancy_pct:.1f} % ({', '.join(view.occupancy.limiters)})"
    else:
        occupancy = "?"
    group = "?" if study.cubin_class is None else f"#{study.cubin_class + 1}"
    return (
        f"{head}| {resources.registers_per_thread} | {view.spill_bytes} | "
        f"{resources.shared_bytes:,} | {occupancy} | {group} |"
    )


def _plan_section(plan: ConfigPlan) -> str:
    lines = [f"## What was tried on `{plan.kernel}`", ""]
    if plan.left_alone:
        return "\n".join([*lines, f"Left alone: {plan.left_alone}"])
    kept = [choice for choice in plan.choices if choice.kept]
    dropped = [choice for choice in plan.choices if not choice.kept]
    lines += [f"Kept ({len(kept)}):", "", *map(_choice_line, kept)]
    if dropped:
        lines += ["", f"Not kept ({len(dropped)}):", "", *map(_choice_line, dropped)]
    return "\n".join(lines)


def _choice_line(choice: ConfigChoice) -> str:
    source = "proposed" if choice.proposed else "original"
    return f"- {choice.config} ({source}): {choice.reason}"


def _conflicts(answer: Answer) -> str:
    return _bulleted("## Conflicts between the rules and the program", answer.conflicts)


def gate_section(gate: Verdict) -> str:
    """Every check, its violations and notes, and the accuracy of each case."""
    lines = ["## Checks", ""]
    for result in gate.results:
        lines.append(f"- {result.check}: {result.status}")
        lines += [f"  - {violation}" for violation in result.violations]
        lines += [f"  - {note}" for note in result.notes]
    lines += _unchecked(gate.results)
    if gate.accuracy_cases:
        lines += ["", *_accuracy_table(gate.accuracy_cases)]
    return "\n".join(lines)


def _unchecked(results: Iterable[CheckResult]) -> list[str]:
    texts = [text for result in results for text in result.unchecked]
    if not texts:
        return []
    return ["- stated by the request, not checked by a machine here:", *(f"  - {t}" for t in texts)]


def _accuracy_table(cases: tuple[AccuracyCase, ...]) -> list[str]:
    rows = [
        "Accuracy on shrunken inputs in Triton's interpreter, against an fp64 reference "
        "(error relative to the reference; configs that differ in warps and stages alone run "
        "alike there):",
        "",
        "| config | inputs | data | error | bound | parent's | policy's | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case in cases[:MAX_CASES_LISTED]:
        verdict = "pass" if case.status is Status.PASS else f"{case.status}: {case.reason}"
        numbers = " | ".join(
            "–" if measure is None else f"{measure.relative_l2:.2e}"
            for measure in (case.error, case.bound, case.parent_error, case.policy_error)
        )
        inputs = ", ".join(case.inputs)
        rows.append(f"| {case.config} | {inputs} | {case.distribution} | {numbers} | {verdict} |")
    if len(cases) > MAX_CASES_LISTED:
        rows.append(f"\n{len(cases) - MAX_CASES_LISTED} further cases are in the record.")
    return rows


def _unknown(study: Study) -> str:
    return _bulleted("## Not known, and what is certain all the same", study.unknown)


def _origin(answer: Answer) -> str:
    toolchain = answer.study.toolchain
    if toolchain is None:
        return ""
    return (
        f"Compiled with Triton {toolchain.triton}, ptxas {toolchain.ptxas}; registers, local and "
        "shared memory are the compiler's, occupancy follows from them and the card's limits."
    )


def _bulleted(title: str, items: tuple[str, ...]) -> str:
    return "\n".join([title, "", *(f"- {item}" for item in items)]) if items else ""

"""One program through the stages: each an ordinary request, the best program so far its parent.

    algorithm → grid → tiling → memory → tuning → the whole way, judged once more

Each stage is answered by `answer_request`; nothing is decided here that it decides. What a walk
adds: which stages have nothing left to gain, a fair part of the time for each, replies of others,
and at the end the last program beside the first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from warpwright.data.stages import find_stage
from warpwright.errors import WarpwrightError
from warpwright.formats.request_text import render_request
from warpwright.gpus.target_sheet import stated_gpu
from warpwright.pipeline.answer_request import answer_request
from warpwright.pipeline.walk_algorithm import another_algorithm
from warpwright.pipeline.walk_end import concluded
from warpwright.pipeline.walk_plan import skip_reading
from warpwright.pipeline.walk_reply import judge_reply
from warpwright.pipeline.walk_tools import WalkTools
from warpwright.search.moves_predicted import OUT_OF_TIME
from warpwright.store.run_context import RunContext
from warpwright.types.answer import Answer, Decision
from warpwright.types.evidence import Origin
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.request import Request
from warpwright.types.shapes import Problem
from warpwright.types.stage import StageId
from warpwright.types.verdict import NOT_IN_TIME
from warpwright.types.walk import (
    Gain,
    SkipReading,
    StageOutcome,
    StageProfile,
    StageWalk,
    WalkPlan,
    WalkStep,
)

AT_THE_END = 0.5  # of a stage's part of the time is kept for the verdict on the whole way
FIRST_PARTS = 3  # of the first stage: much of what it does the later ones find done
NO_TIME = "the time limit was over before it"


def walk_stages(
    program: str, problem: Problem, gpu: ResolvedGpu, plan: WalkPlan, tools: WalkTools
) -> StageWalk:
    """The program after all stages of the plan, and what became of it at each.

    Raises InputError and MissingToolError where the first stage cannot begin; what happens to a
    later one is told in its step.
    """
    steps: list[WalkStep] = []
    if plan.algorithm is not False:
        steps.append(_timed(another_algorithm, program, problem, gpu, plan, tools))
    for number, stage in enumerate(plan.stages, 1):
        parts = len(plan.stages) - number + 1 + AT_THE_END
        timed = _in_time(tools, (parts + FIRST_PARTS - 1) / FIRST_PARTS if number == 1 else parts)
        current = steps[-1].program if steps else program
        work = _Stage(number, stage, current, problem, gpu, plan, timed)
        steps.append(_timed(work.step, first=number == 1))
    return concluded(program, problem, gpu, steps, plan, tools.run_context, tools.setup)


def _timed(work: Callable[..., WalkStep], *arguments: Any, **more: Any) -> WalkStep:
    began_s = time.monotonic()
    step = work(*arguments, **more)
    return replace(step, seconds=round(time.monotonic() - began_s, 1))


def _in_time(tools: WalkTools, parts: float) -> WalkTools:
    """The same with one of so many parts of the time that is left."""
    deadline = tools.run_context.deadline
    if deadline is None or deadline.over:
        return tools
    part = deadline.stage(parts)
    return replace(tools, run_context=replace(tools.run_context, deadline=part))


@dataclass(frozen=True, slots=True)
class _Stage:
    """One stage of a walk, and the program that it begins with."""

    number: int
    stage: StageId
    program: str
    problem: Problem
    gpu: ResolvedGpu
    plan: WalkPlan
    tools: WalkTools

    def step(self, *, first: bool) -> WalkStep:
        """The stage's own request, answered. Raises WarpwrightError at the first one alone."""
        run_context = _told(self.tools.run_context, f"{self.stage}: ")
        deadline = run_context.deadline
        if deadline is not None and deadline.over:
            return replace(self._step(StageOutcome.NOT_REACHED, NO_TIME), in_time=False)
        with run_context.off_the_clock():
            profile = self.tools.profile_of(self.program)
        request = self._request(profile)
        reply = self.tools.exchange(self.number, self.stage, render_request(request))
        skip = skip_reading(self.stage, profile.profile)
        if self.plan.skipping and skip.skips and reply is None:
            skipped = self._step(StageOutcome.SKIPPED, _skipped(skip, profile), profile, skip)
            run_context.listener("stage", f"skipped: {skipped.reason}")
            return skipped
        try:
            step = self._answered(request, reply, run_context)
        except WarpwrightError as error:
            if first:
                raise
            step = self._step(StageOutcome.KEPT, f"the stage failed: {error}")
        step = replace(step, profile=profile, skip=skip)
        run_context.listener("stage", f"{step.outcome}: {step.reason}")
        over = deadline is not None and deadline.over
        return replace(step, in_time=not (over or _cut_short(step.answer)))

    def _request(self, profile: StageProfile) -> Request:
        return Request(
            gpu=stated_gpu(self.gpu.sheet),
            stage=find_stage(self.stage, self.plan.kind),
            program=self.program,
            profile=profile.profile,
            problem=self.problem.source or None,
        )

    def _answered(self, request: Request, reply: str | None, run_context: RunContext) -> WalkStep:
        tools = self.tools
        answer = answer_request(
            request,
            run_context,
            self.problem,
            gpu=self.gpu,
            setup=tools.setup,
            limits=tools.limits,
        )
        changed = answer.decision is Decision.CHANGED
        step = self._step(StageOutcome.CHANGED if changed else StageOutcome.KEPT, answer.reason)
        step = replace(
            step, program=answer.program, moves=answer.moves, gain=gain_of(answer), answer=answer
        )
        if reply is None:
            return step
        return judge_reply(reply, request, step, run_context, tools.setup, tools.limits)

    def _step(
        self,
        outcome: StageOutcome,
        reason: str,
        profile: StageProfile | None = None,
        skip: SkipReading | None = None,
    ) -> WalkStep:
        return WalkStep(
            stage=self.stage,
            outcome=outcome,
            reason=reason,
            parent=self.program,
            program=self.program,
            number=self.number,
            profile=profile or StageProfile(),
            skip=skip or SkipReading(),
        )


def gain_of(answer: Answer) -> Gain:
    """How much an answer gains on its parent: by its own trial, else by the counts of its moves."""
    if answer.decision is Decision.KEPT:
        return Gain()
    if answer.trial is not None and answer.trial.comparison is not None:
        return Gain(comparison=answer.trial.comparison)
    counted = next((c for c in answer.counted if c.moves == answer.moves), None)
    if not answer.moves or counted is None or counted.after is None:
        return Gain(unknown="of configs no speed is claimed: the tuner on the card chooses")
    return Gain(counts=(counted.before, counted.after))


def _cut_short(answer: Answer | None) -> bool:
    """Whether the time limit left some of an answer's work undone."""
    if answer is None:
        return False
    notes = [note for result in answer.gate.results for note in result.notes]
    reasons = [answer.reason, *(counted.reason for counted in answer.counted)]
    reasons += [choice.reason for plan in answer.plans for choice in plan.choices]
    return OUT_OF_TIME in reasons or any(NOT_IN_TIME in told for told in (*notes, *reasons))


def _skipped(skip: SkipReading, profile: StageProfile) -> str:
    told = [
        f"{reading.condition.metric} is {reading.value:g} ({reading.condition.comparison} "
        f"{reading.condition.target:g})"
        for reading in skip.conditions
    ]
    by_whom = "measured" if profile.origin is Origin.MEASURED else "by the profile that was given"
    return f"little left to gain: {' and '.join(told)}, {by_whom}"


def _told(run_context: RunContext, before: str) -> RunContext:
    """The same, whose progress says which stage it is of."""
    listener = run_context.listener

    def tell(name: str, text: str, **detail: Any) -> None:
        listener(name, f"{before}{text}", **detail)

    return replace(run_context, listener=tell)

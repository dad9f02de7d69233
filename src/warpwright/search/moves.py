"""Programs that moves make of a parent: which there are, and what is known of each.

A candidate is studied as its parent was, so that configs can be proposed on top of it; what was
known of the parent's configs (which was active, what work a launch must do) holds for the same
configs of the candidate.
"""

from __future__ import annotations

import ast
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from warpwright.analysis.study_program import Subject, study_kernel
from warpwright.compiler.kernel_calls import find_calls
from warpwright.program.syntax import syntax_tree
from warpwright.program.view import read_program
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.registry import chains, further, refinements, replay
from warpwright.store.run_context import RunContext
from warpwright.tracing.trace import TraceFailed, trace_program
from warpwright.types.answer import ConfigPlan
from warpwright.types.candidate import Candidate, Claim, Move
from warpwright.types.compiled import Compiled
from warpwright.types.config import Config
from warpwright.types.launch_trace import Launch
from warpwright.types.program import ProgramView
from warpwright.types.request import Request
from warpwright.types.study import ConfigStudy, KernelStudy, Study
from warpwright.types.verdict import NOT_IN_TIME, EditLimits, Status
from warpwright.verifier.verify import Verification, VerifyContext, verify

Pins = Mapping[str, Config]  # the config that each tuned kernel is left

UNVERIFIED = f"the candidate was {NOT_IN_TIME} (see accuracy)"


@dataclass(frozen=True, slots=True)
class Moved:
    """A candidate with its study."""

    candidate: Candidate
    study: Study


def move_candidates(study: Study, limits: EditLimits) -> tuple[Candidate, ...]:
    """What the moves make of a studied program, each text once, short lists of moves first.

    Moves need the launches of the problem; without a trace there are none. `limits` leaves out
    those that it would have refused in the end.
    """
    if limits.strict or study.trace is None:
        return ()
    parent = study.view.source
    candidates: dict[str, Candidate] = {}
    for moves in chains(study.view, study.calls):
        candidate = Candidate(parent, replay(parent, moves), moves)
        if candidate.program != parent and _allowed(candidate, limits):
            candidates.setdefault(candidate.program, candidate)
    return tuple(candidates.values())


def refined(candidate: Candidate, study: Study, limits: EditLimits) -> tuple[Candidate, ...]:
    """The candidate with one move more, for each that may improve it (`refinements`)."""
    if limits.strict:
        return ()
    made = []
    for move in refinements(read_program(candidate.program), study.calls):
        with suppress(DoesNotApply):  # one that cannot be made leaves the others to be tried
            made.append(with_moves(candidate, (move,)))
    return tuple(one for one in made if _allowed(one, limits))


def beside(
    candidate: Candidate, study: Study, others: Sequence[Candidate], limits: EditLimits
) -> tuple[Candidate, ...]:
    """The candidate with what other candidates have and it has not, one kind of move at a time."""
    own = {move.name for move in candidate.moves}
    names = dict.fromkeys(move.name for other in others for move in other.moves)
    lists = further(candidate.program, study.calls, [name for name in names if name not in own])
    made = (with_moves(candidate, moves) for moves in lists)
    return tuple(one for one in made if _allowed(one, limits))


def _allowed(candidate: Candidate, limits: EditLimits) -> bool:
    """Whether what its moves claim is within the limits."""
    return not limits.bit_equal or candidate.claim is Claim.BIT_EQUAL


def with_moves(candidate: Candidate, moves: Sequence[Move]) -> Candidate:
    """The candidate with more moves made on its text."""
    program = replay(candidate.program, moves)
    return Candidate(candidate.parent, program, (*candidate.moves, *moves))


def with_those_that_go_together(candidate: Candidate, moves: Sequence[Move]) -> Candidate:
    """The candidate with each of the moves that can still be made when those before it are.

    Two may be ways to change the same lines, of which each was found on the candidate's text.
    """
    for move in moves:
        with suppress(DoesNotApply):
            candidate = with_moves(candidate, (move,))
    return candidate


def study_moved(
    candidate: Candidate,
    parent: Study,
    run_context: RunContext,
    only: Sequence[Config] | None = None,
) -> Study | str:
    """The candidate's launches traced and its configs compiled; or why that cannot be done.

    `only`: these configs alone, which is quicker than all.
    """
    assert parent.problem is not None
    sheet = parent.gpu.sheet
    trace = trace_program(
        candidate.program,
        parent.problem,
        gpu=sheet,
        cache=run_context.cache,
        deadline=run_context.deadline,
    )
    if isinstance(trace, TraceFailed):
        return f"its launches cannot be traced: {trace.reason}"
    view = read_program(candidate.program)
    calls, unknown = find_calls(view, trace, parent.known)
    varying = {call.name: call.varying for call in parent.calls}
    calls = tuple(replace(call, varying=varying.get(call.name, frozenset())) for call in calls)
    subject = Subject(candidate.program)
    kernels = []
    for call in calls:
        wanted = [c for c in call.configs if only is None or not call.autotuned or c in only]
        new = study_kernel(call, wanted or call.configs, subject, sheet, run_context)
        kernels.append(_as_the_parent(new, parent.kernel(call.name)))
    return replace(
        parent, view=view, kernels=tuple(kernels), trace=trace, calls=calls, unknown=unknown
    )


def _as_the_parent(kernel: KernelStudy, before: KernelStudy | None) -> KernelStudy:
    """What is known of the parent's kernel said of the candidate's: activity, work, causes."""
    if before is None:
        return kernel
    configs = []
    for config in kernel.configs:
        same = before.config(config.config)
        if same is not None:
            config = replace(config, activity=same.activity, floors=same.floors)
        configs.append(config)
    return replace(
        kernel,
        configs=tuple(configs),
        active_reason=before.active_reason,
        findings=before.findings,
        causes=before.causes,
    )


def as_moved(
    candidate: Candidate,
    request: Request,
    parent: Study,
    run_context: RunContext,
    limits: EditLimits,
) -> Moved | str:
    """The candidate studied, if its text keeps the rules and it can run on the target; the reason
    where not.

    Nothing is interpreted: the draft that is made of it will be.
    """
    context = VerifyContext(parent, run_context, parent.problem, accuracy=False, limits=limits)
    found = verify(candidate, request, context)
    if found.gate.status is Status.FAIL:
        return f"refused: {'; '.join(str(v) for v in found.gate.violations[:2])}"
    study = study_moved(candidate, parent, run_context)
    return study if isinstance(study, str) else Moved(candidate, study)


def not_as_claimed(
    candidate: Candidate, found: Verification, plans: Sequence[ConfigPlan] = ()
) -> str | None:
    """In what way the outputs are not what all moves claim, None where they are.

    Bit-equal moves must leave every bit of the parent's; others must be no less exact on any kind
    of data (docs/precision.md), also at a stage whose rules would let more pass. Configs of `plans`
    that the parent has not (other tiles) may add up in another order than its own.
    """
    kept = [choice for plan in plans for choice in plan.choices if choice.kept]
    own = {str(choice.config) for choice in kept if not choice.proposed}
    bits_count = candidate.claim is Claim.BIT_EQUAL
    for case in found.gate.accuracy_cases:
        where = f"those of {case.config} on {case.distribution} data"
        comparable = case.config in own or not any(choice.proposed for choice in kept)
        if bits_count and comparable and case.bit_equal_to_parent is False:
            return f"its moves claim bit-equal outputs, and {where} differ"
        if case.gating and not case.bit_equal_to_parent and case.less_exact is not None:
            return f"its moves claim outputs no less exact, and {where} are: {case.less_exact}"
    return None


def run_by(study: Study, pins: Pins) -> Hashable | None:
    """All that a forward pass runs under the pins: equal for programs that do the same.

    Binaries, grids and run-time arguments of each launch, and the host code. None where some of it
    is not known.
    """
    if study.trace is None:
        return None
    launches: list[tuple[int, Hashable]] = []
    for calls, kernel in zip(study.calls, study.kernels, strict=True):
        config = config_under(kernel, pins)
        if config is None or config.identity is None:
            return None
        passed = {
            name
            for view in config.compiled
            if isinstance(view.result, Compiled)
            for name in view.result.parameters
        }
        for launch in calls.launches:
            told = _launched(launch, config, passed)
            if told is None:
                return None
            launches.append((launch.order, (kernel.kernel, config.identity, told)))
    if len(launches) != len(study.trace.launches):
        return None
    return (tuple(sorted(launches, key=lambda one: one[0])), _host_code(study.view))


def _host_code(view: ProgramView) -> str:
    """All of a program but its kernels, whose binaries tell more; without comments and layout."""
    kernels = {kernel.name for kernel in view.kernels}
    return "\n".join(
        ast.dump(statement)
        for statement in syntax_tree(view.source).body
        if not (isinstance(statement, ast.FunctionDef) and statement.name in kernels)
    )


def _launched(launch: Launch, config: ConfigStudy, passed: set[str]) -> Hashable | None:
    """A launch's grid and the arguments that its binary is given."""
    traced = next((one for one in launch.configs if one.config == config.config), None)
    if traced is None:
        return None
    arguments = {**launch.arguments, **traced.arguments}
    return (
        traced.grid,
        tuple((name, repr(arguments.get(name))) for name in sorted(passed)),
        tuple(sorted((name, repr(value)) for name, value in launch.options.items())),
    )


def config_under(kernel: KernelStudy, pins: Pins) -> ConfigStudy | None:
    """The config that a kernel runs with under the pins."""
    if kernel.kernel in pins:
        return kernel.config(pins[kernel.kernel])
    return kernel.configs[0] if len(kernel.configs) == 1 else None

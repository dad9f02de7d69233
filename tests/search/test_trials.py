"""Trials on a real problem, with real processes, in Triton's interpreter (its times mean nothing).

The interpreter's time goes with the number of blocks, so larger blocks are really faster there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from warpwright import api
from warpwright.analysis.study_program import Subject, study_program
from warpwright.bench.device.worker import Worker
from warpwright.bench.full_size import NotWantedError
from warpwright.bench.statistics.budget import QUICK, Budget
from warpwright.bench.statistics.minimum import Minimum
from warpwright.program.view import read_program
from warpwright.sandbox.deadline import Deadline
from warpwright.search.beyond_device_time import measure_apart
from warpwright.search.configs_measured import settle_chosen
from warpwright.search.final_decision import check_in_full, check_program, decide_on
from warpwright.search.kept_trials import told
from warpwright.search.open_trial import Table, digest, open_table, question_key
from warpwright.search.pinned_programs import Entrant
from warpwright.search.screening import Screening
from warpwright.search.trial_setup import TrialSetup
from warpwright.store.cache import ResultCache, toolchain_versions
from warpwright.store.ledger import WorkClaim
from warpwright.store.run_context import RunContext
from warpwright.types.config import Config
from warpwright.types.measurement import MeasuredGpu, Outcome
from warpwright.types.shapes import Problem
from warpwright.types.study import Study
from warpwright.types.verdict import Status
from warpwright.types.worker_reply import Answer

pytestmark = pytest.mark.triton

SMALL = replace(
    QUICK,
    screening_burst_us=6_000,
    burst_us=6_000,
    warm_up_us=5_000,
    max_calls=8,
    looks=(3,),
    wall_s=600.0,
)


@pytest.fixture(scope="module")
def slow(workshop: ModuleType) -> str:
    """The workshop's program with small blocks alone."""
    text: str = workshop.PROGRAM
    two = '[triton.Config({"BLOCK": 512}), triton.Config({"BLOCK": 1024}, num_warps=8)]'
    assert two in text
    return text.replace(two, '[triton.Config({"BLOCK": 64})]')


@pytest.fixture(scope="module")
def fast(slow: str) -> str:
    return slow.replace('"BLOCK": 64', '"BLOCK": 2048')


@pytest.fixture(scope="module")
def study(workshop: ModuleType, slow: str) -> Study:
    problem = Problem(source=workshop.PROBLEM)
    return study_program(
        Subject(slow), api.target_gpu("RTX 4090"), RunContext(ResultCache()), problem=problem
    )


@contextmanager
def table_for(study: Study, state: Path, budget: Budget = SMALL) -> Iterator[Table]:
    setup = TrialSetup(state, budget, "cpu")
    with open_table(setup, study, {"test": True}) as table:
        assert isinstance(table, Table), table
        yield table


def entrant(workshop: ModuleType, source: str, block: int) -> Entrant:
    config = Config.of({"BLOCK": block})
    return Entrant(workshop.KERNEL, config, True, source, {workshop.KERNEL: config})


def decided(table: Table, source: str) -> Outcome | None:
    final = decide_on(table, source, call_us=900.0, minimum=Minimum(1.0, 2.0), tried=3)
    return None if final.comparison is None else final.comparison.outcome


def test_a_problem_whose_inputs_no_seed_fixes_is_not_measured_and_the_parent_not_blamed(
    workshop: ModuleType, study: Study, tmp_path: Path
) -> None:
    drawn = f"torch.rand({workshop.ROWS}, {workshop.COLUMNS})"
    unseeded = drawn.replace(")", ", generator=torch.Generator().manual_seed(time.time_ns() >> 4))")
    source = "import time\n" + workshop.PROBLEM.replace(drawn, unseeded)
    assert unseeded in source
    problem = Problem(source=source)
    setup = TrialSetup(tmp_path, SMALL, "cpu")
    with open_table(setup, replace(study, problem=problem), {"test": True}) as table:
        assert isinstance(table, str)
        assert "cannot be judged" in table and "get_inputs gives other values" in table


def test_screening_tells_faster_wrong_and_hanging_configs_apart(
    workshop: ModuleType, study: Study, slow: str, tmp_path: Path
) -> None:
    wrong = slow.replace("x * w + b", "x * w + b + (BLOCK == 1024)")
    crashing = slow.replace("y = torch.empty_like(x)", "import os; os.abort()")
    entrants = [
        entrant(workshop, wrong, 1024),
        entrant(workshop, slow, 2048),
        entrant(workshop, crashing, 256),
    ]
    with table_for(study, tmp_path) as table, Screening(table) as screening:
        screening.start()
        failing, faster, dying = screening.run(entrants)
    assert faster.failure is None, faster.accuracy
    assert faster.gain_pct is not None and faster.gain_pct > 20
    assert faster.accuracy is not None and faster.accuracy.status is Status.PASS
    assert failing.wrong and failing.gain_pct is None
    assert dying.failure is not None and "SIGABRT" in dying.failure


def test_what_is_compiled_already_is_timed_before_the_others_are_compiled(
    workshop: ModuleType, study: Study, slow: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, ready = entrant(workshop, slow, 512), entrant(workshop, slow, 1024)
    order: list[str] = []
    with table_for(study, tmp_path) as table, Screening(table, looking=True) as screening:
        table.tell = lambda _, text, **__: order.append(text.split(":")[0])
        monkeypatch.setattr(table, "is_compiled", lambda program: program.pins == ready.pins)
        monkeypatch.setattr(table, "compile_ahead", lambda *_: order.append("compiled"))
        screening.start()
        trials = screening.run([late, ready])
        assert screening.run([late, ready]) == trials  # both are kept: nothing is compiled again
    assert order == ["2 of 2", "compiled", "1 of 2", "1 of 2", "2 of 2"]
    assert [trial.config for trial in trials] == [late.config, ready.config]


def test_the_outputs_of_the_fastest_are_judged_until_one_is_right(
    workshop: ModuleType, study: Study, slow: str, tmp_path: Path
) -> None:
    wrong = slow.replace("x * w + b", "x * w + b + (BLOCK == 2048)")
    entrants = [entrant(workshop, slow, 128), entrant(workshop, wrong, 2048)]
    entrants.append(entrant(workshop, slow, 512))
    with table_for(study, tmp_path) as table, Screening(table, looking=True) as screening:
        screening.start()
        timed = screening.run(entrants)
        settled = screening.settle(entrants, timed)
        assert screening.settle(entrants, settled) == settled
        assert screening.settle(entrants, timed, deadline=Deadline(0.0)) == timed
        unasked = screening.settle(entrants, timed, least_pct=1e6)
    assert all(trial.accuracy is None and trial.failure is None for trial in timed)
    assert unasked == timed
    assert settled[0] == timed[0]  # slower than one that is right
    assert settled[1].wrong and settled[1].gain_pct is None
    assert "its output is wrong at full size" in (settled[1].failure or "")
    assert settled[2].accuracy is not None and settled[2].accuracy.status is Status.PASS
    assert timed[2].bursts == () and settled[2].bursts  # far behind the wrong one alone


def test_another_worker_takes_the_place_of_the_parents_that_was_killed_from_outside(
    workshop: ModuleType, study: Study, slow: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with table_for(study, tmp_path) as table, Screening(table) as screening:
        screening.start()
        first, warm_up = screening._parent, table.bench.warm_up
        assert first is not None

        def killing(worker: Worker, seconds: float) -> Answer:  # just before the bursts
            if first.healthy:
                os.kill(first.pid, signal.SIGKILL)
            return warm_up(worker, seconds)

        monkeypatch.setattr(table.bench, "warm_up", killing)
        (trial,) = screening.run([entrant(workshop, slow, 2048)])
    assert trial.failure is None and trial.gain_pct is not None


def test_a_faster_program_is_accepted_and_its_samples_are_kept(
    study: Study, fast: str, tmp_path: Path
) -> None:
    budget = replace(SMALL, looks=(3, 5))
    with table_for(study, tmp_path, budget) as table:
        for _ in range(2):  # as two runs leave it that died while they drew their plan
            assert table.session.claim(f"plan {digest(fast)}") == WorkClaim()
        final = decide_on(table, fast, call_us=900.0, minimum=Minimum(1.0, 2.0), tried=3)
    assert final.comparison is not None
    assert final.comparison.outcome is Outcome.ACCEPT, final.comparison
    assert final.comparison.tried == 3
    assert len(final.bursts) == 3 * budget.rounds * 3  # the first look was enough


@pytest.mark.slow
def test_those_near_the_best_are_screened_again_and_others_are_not(
    workshop: ModuleType, study: Study, slow: str, tmp_path: Path
) -> None:
    """Warps mean nothing to the interpreter, so the first two are one and the same."""
    wide = replace(SMALL, screenings=2, finalist_margin_pct=15.0)
    near = [Config.of({"BLOCK": 2048}, warps) for warps in (4, 8)]
    entrants = [
        Entrant(workshop.KERNEL, config, True, slow, {workshop.KERNEL: config})
        for config in (*near, Config.of({"BLOCK": 128}))
    ]
    others = [entrant(workshop, slow, block) for block in (256, 512, 1024)]
    with table_for(study, tmp_path, wide) as table, Screening(table, looking=True) as screening:
        screening.start()
        once = screening.run([*others, *entrants])[len(others) :]
        twice = screening.run_again(entrants, once)
    full = 2 * SMALL.screening_rounds
    assert [len(trial.bursts) for trial in once] == [full, full, 0]
    assert once[2].failure is None and "at a first look" in told(once[2])
    assert [len(trial.bursts) for trial in twice] == [2 * full, 2 * full, 0]
    for first, both in zip(once[:2], twice, strict=False):
        assert both.bursts[: len(first.bursts)] == first.bursts
        assert len({burst.worker for burst in both.bursts}) == 3  # the parent's, and two of its own
        assert both.gain_pct is not None and both.gain_pct != first.gain_pct
    assert twice[2] == once[2]


@pytest.mark.slow
def test_a_decision_that_stays_open_gets_the_groups_of_the_next_look(
    study: Study, fast: str, tmp_path: Path
) -> None:
    """Several times as fast as the parent in one process and much like it in the next: a gain on
    the whole, and no two groups agree on it."""
    turns = tmp_path / "turns"
    turns.mkdir()
    head = (
        "import os\nimport time\n"
        f"turn = len(os.listdir({str(turns)!r}))\n"
        f"os.mkdir(os.path.join({str(turns)!r}, str(turn)))\n"
    )
    fickle = fast.replace(
        "    y = torch.empty_like(x)",
        "    time.sleep(0.005 * (turn % 2))\n    y = torch.empty_like(x)",
    )
    budget = replace(SMALL, looks=(2, 3))
    with table_for(study, tmp_path, budget) as table:
        final = decide_on(table, head + fickle, call_us=900.0, minimum=Minimum(1.0, 2.0), tried=1)
    assert len(list(turns.iterdir())) == 3  # each group has a process of its own for it
    assert final.comparison is not None
    assert final.comparison.confidence == pytest.approx(0.99)
    assert len(final.bursts) == 3 * budget.rounds * 3


@pytest.mark.slow
def test_a_copy_of_the_parent_is_not_accepted(study: Study, slow: str, tmp_path: Path) -> None:
    with table_for(study, tmp_path) as table:
        assert decided(table, slow + "\n# a copy\n") in (Outcome.KEEP, Outcome.UNSTABLE)


def test_a_program_that_dies_while_it_is_timed_is_not_decided_on(
    study: Study, fast: str, tmp_path: Path
) -> None:
    dying = fast.replace(
        "    y = torch.empty_like(x)",
        "    global calls\n    calls += 1\n    if calls > 6: raise ValueError('tired')\n"
        "    y = torch.empty_like(x)",
    )
    with table_for(study, tmp_path) as table:
        final = decide_on(
            table, f"calls = 0\n{dying}", call_us=900.0, minimum=Minimum(1.0, 2.0), tried=1
        )
    assert final.comparison is None
    assert final.failure is not None and "tired" in final.failure


@pytest.mark.slow
def test_finished_work_is_not_done_again_by_a_later_run(
    workshop: ModuleType, study: Study, slow: str, fast: str, tmp_path: Path
) -> None:
    entrants = [entrant(workshop, slow, 2048)]
    with table_for(study, tmp_path) as table, Screening(table) as screening:
        screening.start()
        first = screening.run(entrants)
        decision = decide_on(table, fast, call_us=900.0, minimum=Minimum(1.0, 2.0), tried=1)
    with table_for(study, tmp_path) as table, Screening(table) as screening:
        assert table.session.resumed
        screening.start()
        assert screening.run(entrants) == first  # to the last digit: read, not measured
        again = decide_on(table, fast, call_us=900.0, minimum=Minimum(1.0, 2.0), tried=1)
        assert again == decision


def test_a_concluded_question_is_measured_anew(
    workshop: ModuleType, study: Study, slow: str, tmp_path: Path
) -> None:
    setup = TrialSetup(tmp_path, SMALL, "cpu")
    with open_table(setup, study, {}) as table:
        assert isinstance(table, Table)
        table.session.claim("a")
    setup.conclude()
    with open_table(TrialSetup(tmp_path, SMALL, "cpu"), study, {}) as table:
        assert isinstance(table, Table)
        assert not table.session.resumed


def test_another_card_of_the_same_name_goes_on_with_nothing(tmp_path: Path) -> None:
    card = MeasuredGpu("A card", (9, 0), 132, 80 * 2**30, uuid="GPU-1", driver="580.1")
    TrialSetup(tmp_path, SMALL).session("question", card).claim("a")
    for other in (replace(card, uuid="GPU-2"), replace(card, driver="580.2")):
        assert not TrialSetup(tmp_path, SMALL).session("question", other).resumed
    assert TrialSetup(tmp_path, SMALL).session("question", card).resumed


def test_a_resumed_run_keeps_what_the_parents_tuners_took_at_first(
    study: Study, tmp_path: Path
) -> None:
    took, takes_now = ({"kernel": Config.of({"BLOCK": block})} for block in (64, 128))
    with table_for(study, tmp_path) as table:
        assert settle_chosen(table, took) == took
    with table_for(study, tmp_path) as table:
        assert settle_chosen(table, takes_now) == took


def test_another_version_of_a_tool_is_another_question(
    study: Study, slow: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert study.problem is not None
    setup = TrialSetup(tmp_path, SMALL, "cpu")
    key = question_key({}, slow, study.problem, setup)
    assert question_key({}, slow, study.problem, setup) == key
    versions = {**toolchain_versions(), "triton": "3.0.1"}
    monkeypatch.setattr("warpwright.search.open_trial.toolchain_versions", lambda: versions)
    assert question_key({}, slow, study.problem, setup) != key


def test_every_kind_of_data_is_seen_in_full(
    workshop: ModuleType, study: Study, slow: str, fast: str, tmp_path: Path
) -> None:
    wrong = fast.replace("x * w + b", "x * w - b")  # biases are zero: only other parameters show it
    good = entrant(workshop, slow, 256)
    with table_for(study, tmp_path, replace(SMALL, every_kind=True)) as table:
        found = check_in_full(table, [good])[good.name]
        assert found.result.status is Status.PASS
        assert len(found.cases) == 7
        assert check_program(table, wrong).result.status is Status.FAIL
        assert check_program(table, fast).result.status is Status.PASS


def test_a_quick_run_sees_every_kind_of_data_with_the_whole_program_alone(
    workshop: ModuleType, study: Study, slow: str, fast: str, tmp_path: Path
) -> None:
    good = entrant(workshop, slow, 256)
    with table_for(study, tmp_path, replace(SMALL, every_kind=False)) as table:
        found = check_in_full(table, [good])[good.name]
        assert [case.distribution for case in found.cases] == ["problem", "outliers"]
        assert len(check_program(table, fast).cases) == 7


def test_checks_that_nobody_wants_end(
    workshop: ModuleType, study: Study, slow: str, tmp_path: Path
) -> None:
    with table_for(study, tmp_path) as table:
        with pytest.raises(NotWantedError):
            check_in_full(table, [entrant(workshop, slow, 256)], lambda: True)
        assert not any(item.startswith("check") for item in table.session.finished())


def test_a_program_that_launches_in_evaluation_mode_alone_is_measured_so(
    workshop: ModuleType, slow: str, tmp_path: Path
) -> None:
    own = "return affine(x, self.weight, self.bias)"
    program = slow.replace(own, f"if self.training:\n            return x\n        {own}")
    problem = workshop.PROBLEM.replace(
        "return x *", "if self.training:\n            return x\n        return x *"
    )
    assert program != slow and problem != workshop.PROBLEM
    study = study_program(
        Subject(program),
        api.target_gpu("RTX 4090"),
        RunContext(ResultCache()),
        problem=Problem(source=problem),
    )
    assert study.trace is not None and study.trace.evaluation_mode
    with table_for(study, tmp_path) as table:
        verdict = table.bench.full_size.parent_verdict()
        assert verdict is not None and verdict.status is Status.PASS, verdict
        with Screening(table) as screening:
            screening.start()
            (trial,) = screening.run([entrant(workshop, program, 1024)])
    assert trial.failure is None and trial.accuracy is not None
    assert trial.accuracy.status is Status.PASS


def test_a_parent_that_cannot_run_is_told(
    workshop: ModuleType, study: Study, slow: str, tmp_path: Path
) -> None:
    broken = slow.replace("y = torch.empty_like(x)", "raise ValueError('no such luck')")
    view = read_program(broken)
    with open_table(TrialSetup(tmp_path, SMALL, "cpu"), replace(study, view=view), {}) as table:
        assert isinstance(table, str)
        assert "no such luck" in table


def test_what_a_device_cannot_do_is_a_note(study: Study, fast: str, tmp_path: Path) -> None:
    with table_for(study, tmp_path) as table:
        apart = measure_apart(table, fast)
    assert apart.first_call_s is not None and apart.first_call_s > 0
    assert apart.host_us is not None and apart.host_us > 0
    assert apart.cuda_graph is None
    assert any("CUDA graph" in note for note in apart.notes)

"""The measured search over moves, in Triton's interpreter: what is timed, and when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from warpwright import api
from warpwright.analysis.study_program import Subject, study_program
from warpwright.bench.statistics.budget import QUICK, Budget
from warpwright.bench.statistics.minimum import Minimum
from warpwright.formats.request_text import parse_request
from warpwright.proposers.configs.plan import propose
from warpwright.sandbox.deadline import Deadline
from warpwright.search import moves_measured as searching
from warpwright.search.configs_measured import decide_draft, measure_configs
from warpwright.search.moves_measured import search_moves
from warpwright.search.open_trial import Table, open_table
from warpwright.search.pinned_programs import Entrant
from warpwright.search.same_code import Sieve
from warpwright.search.screening import Screening
from warpwright.search.trial_setup import TrialSetup
from warpwright.store.cache import PassingCache
from warpwright.store.run_context import RunContext
from warpwright.types.candidate import Candidate, Move
from warpwright.types.config import Config
from warpwright.types.shapes import Problem
from warpwright.types.study import Study
from warpwright.types.verdict import EditLimits

pytestmark = pytest.mark.triton

KERNEL = "shifted"
PROGRAM = """
import time

import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def shifted(x_ptr, y_ptr, count, by, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    if BLOCK > 4096:
        x = tl.load(x_ptr + at, mask=inside, other=0.0, eviction_policy="evict_first")
    else:
        x = tl.load(x_ptr + at, mask=inside, other=0.0)
    tl.store(y_ptr + at, x + by, mask=inside)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        time.sleep(0.020)
        shifted[(triton.cdiv(x.numel(), 512),)](x, y, x.numel(), 3, BLOCK=512)
        return y
"""
PROBLEM = """
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x + 3


def get_inputs():
    return [torch.rand(24, 40)]


def get_init_inputs():
    return []
"""
REQUEST = api.request(PROGRAM, gpu="RTX 4090", problem=PROBLEM)
SLEEP = "time.sleep(0.020)"
NEVER_COMPILED = 'eviction_policy="evict_first"'
SMALL = replace(
    QUICK,
    screening_burst_us=6_000,
    burst_us=6_000,
    warm_up_us=5_000,
    max_calls=8,
    looks=(3,),
    wall_s=600.0,
)


def study_of(source: str = PROGRAM) -> Study:
    problem = Problem(source=PROBLEM)
    return study_program(
        Subject(source), api.target_gpu("RTX 4090"), run_context(), problem=problem
    )


@pytest.fixture(scope="module")
def study() -> Study:
    return study_of()


def run_context() -> RunContext:
    return RunContext(PassingCache())


@contextmanager
def table_for(study: Study, state: Path, budget: Budget = SMALL) -> Iterator[Table]:
    with open_table(TrialSetup(state, budget, "cpu"), study, {"test": "moves"}) as table:
        assert isinstance(table, Table), table
        yield table


def candidate(name: str, *changes: tuple[str, str], parent: str = PROGRAM) -> Candidate:
    """A candidate by a move that is no rewrite: its text differs from the parent's by `changes`."""
    program = parent
    for before, after in changes:
        assert before in program
        program = program.replace(before, after)
    return Candidate(parent, program, (Move(name, KERNEL),))


def searched(
    table: Table, study: Study, patch: pytest.MonkeyPatch, chains: Any, singles: Any = ()
) -> Any:
    patch.setattr(searching, "refined", lambda *_: tuple(singles))
    with Screening(table, looking=True) as screening:
        screening.start()
        return search_moves(screening, study, tuple(chains), run_context(), EditLimits())


def test_a_program_that_compiles_to_anothers_code_is_not_timed(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faster = candidate("faster", (SLEEP, "pass"))
    commented = candidate(
        "comment", ("    inside = at", "    # whether it is there\n    inside = at")
    )
    untaken = candidate("untaken", (NEVER_COMPILED, 'eviction_policy="evict_last"'))
    with table_for(study, tmp_path) as table:
        found, trials = searched(table, study, monkeypatch, [faster, commented], [untaken])
        timed = [item for item in table.session.finished() if item.startswith("screen ")]
    assert [one.moves for one in trials] == [one.moves for one in found]
    assert trials[0].failure is None
    assert trials[0].gain_pct is not None and trials[0].gain_pct > 20
    for trial in trials[1:]:
        assert trial.failure == "compiles to the same code as the program as it came"
        assert trial.time_us is None and not trial.is_worth_following
    assert len(timed) == 1


def test_of_several_that_run_the_same_the_first_is_timed(study: Study) -> None:
    made = [candidate(name, ("x + by", "x + by + 1.0")) for name in ("one", "other")]
    elsewhere = candidate(
        "host", ("x + by", "x + by + 1.0"), ("        return y", "        return y + 0")
    )
    reasons = Sieve(study, run_context()).reasons([*made, elsewhere], [{}])
    assert reasons == [[None], ["compiles to the same code as one in shifted"], [None]]


def test_arguments_and_grids_count_beside_the_code(study: Study) -> None:
    another = candidate("argument", ("x.numel(), 3,", "x.numel(), 4,"))
    wider = candidate("grid", ("triton.cdiv(x.numel(), 512)", "triton.cdiv(x.numel(), 512) + 1"))
    assert Sieve(study, run_context()).reasons([another, wider], [{}]) == [[None], [None]]


def test_what_cannot_be_launched_is_not_timed(study: Study) -> None:
    large = candidate("warps", ("BLOCK=512)", "BLOCK=512, num_warps=64)"))
    ((reason,),) = Sieve(study, run_context()).reasons([large], [{}])
    assert reason is not None
    assert reason.startswith("shifted cannot be launched on RTX 4090 with ")


def test_every_move_is_timed_under_the_best_config_before_any_under_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time may end before the others."""
    tuned = PROGRAM.replace(
        "@triton.jit\n",
        '@triton.autotune([triton.Config({"BLOCK": 512}), triton.Config({"BLOCK": 1024})], '
        'key=["count"])\n@triton.jit\n',
    ).replace(", 3, BLOCK=512)", ", 3)")
    study = study_program(
        Subject(tuned), api.target_gpu("RTX 4090"), run_context(), problem=Problem(source=PROBLEM)
    )
    faster = candidate("faster", (SLEEP, "pass"), parent=tuned)
    singles = [
        Candidate(tuned, f"{faster.program}\n{line}\n", (*faster.moves, Move(line, KERNEL)))
        for line in ("import math", "import json")
    ]
    told: list[str] = []
    with table_for(study, tmp_path) as table:
        table.tell = lambda name, text, **_: told.append(text)
        monkeypatch.setattr(searching, "joint_moves", lambda *_: [])
        searched(table, study, monkeypatch, [faster], singles)
    order = [text for text in told if "import" in text and " of 4: " in text]
    assert ["math" in text for text in order] == [True, False, True, False]


def test_each_binary_takes_one_place_among_the_configs_to_refine_under(study: Study) -> None:
    (first,) = study.kernels[0].configs
    equal = replace(first, config=Config(num_stages=5))
    broken = replace(first, config=Config(num_warps=64), compiled=())
    kernel = replace(study.kernels[0], configs=(broken, first, equal))
    assert searching.distinct_configs(kernel) == (first,)


def test_what_was_not_compiled_in_time_is_left_to_the_card(study: Study) -> None:
    late = replace(run_context(), deadline=Deadline(0.1))
    other = candidate("other", ("x + by", "by - x"))
    assert Sieve(study, late).reasons([other], [{}]) == [[None]]


def test_the_search_ends_in_its_time_with_what_was_timed_by_then(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faster = candidate("faster", (SLEEP, "pass"))
    told: list[str] = []
    with table_for(study, tmp_path) as table:
        table.deadline = Deadline(0.1, "--effort")
        table.tell = lambda name, text, **_: told.append(text)
        _, trials = searched(table, study, monkeypatch, [faster], [faster])
        assert table.session.finished() == {} or not any(
            item.startswith("screen ") for item in table.session.finished()
        )
    over = "not timed: its part of the 0.1 s was over (see --effort)"
    assert {trial.failure for trial in trials} == {over}
    assert any("0 s at most" in text for text in told)


class TwoAsked(Deadline):
    """Over from the third time on that it is asked."""

    asked = 0

    @property
    def over(self) -> bool:
        self.asked += 1
        return self.asked > 2


def test_what_was_timed_before_the_end_stays(study: Study, tmp_path: Path) -> None:
    entrants = [
        Entrant(KERNEL, Config(), True, f"{PROGRAM}\n# {name}\n", {}, moves=(Move(name, KERNEL),))
        for name in ("one", "two", "three")
    ]
    with table_for(study, tmp_path) as table, Screening(table) as screening:
        screening.start()
        first, second, third = screening.run(entrants, TwoAsked(10.0))
        assert first.failure is None and second.failure is None
        assert third.failure == "not timed: its part of the 10 s was over (see --time-limit)"
        again = screening.run(entrants)
    assert again[:2] == (first, second)  # kept
    assert again[2].failure is None  # and what was left out is measured


def test_configs_are_not_held_against_what_ran_before_them(study: Study, tmp_path: Path) -> None:
    """A program that was much faster, and refused since, puts none of them far behind."""
    with table_for(study, tmp_path) as table, Screening(table, looking=True) as screening:
        screening.start()
        screening._best_us = 1e-3
        plans, _ = propose(parse_request(REQUEST), study, run_context(), 2)
        found = measure_configs(screening, study, plans)
    assert found.trial.configs
    assert all(trial.bursts or trial.failure for trial in found.trial.configs)


@pytest.mark.slow
def test_a_program_by_moves_is_decided_on_although_no_config_was_timed(
    study: Study, tmp_path: Path
) -> None:
    """As where the time for screening configs is over while they compile."""
    base = candidate("base", (SLEEP, "pass"))
    with table_for(study, tmp_path) as table:
        table.deadline = Deadline(300.0, "--effort").part(0.3)
        plans, _ = propose(parse_request(REQUEST), study, run_context(), 2)
        with Screening(table, looking=True) as screening:
            screening.start()
            found = measure_configs(screening, study, plans, moved=True)
        trial, _ = decide_draft(table, found, base.program, Minimum(1.0, 2.0))
    over = "not timed: its part of the 300 s was over (see --effort)"
    assert {one.failure for one in trial.configs} == {over}
    assert trial.comparison is not None and trial.bursts


def test_where_nothing_is_tuned_a_refinement_must_beat_what_it_refines(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are faster than the parent and slower than the base: they are not put together."""
    base = candidate("base", (SLEEP, "pass"))
    singles = [
        replace(candidate(name, (SLEEP, sleep)), moves=(*base.moves, Move(name, KERNEL)))
        for name, sleep in (("one", "time.sleep(0.008)"), ("two", "time.sleep(0.0081)"))
    ]
    with table_for(study, tmp_path) as table:
        found, trials = searched(table, study, monkeypatch, [base], singles)
    gains = [trial.gain_pct for trial in trials]
    assert gains[0] is not None and gains[1] is not None
    assert gains[0] > gains[1] > 20
    assert [one.moves for one in found] == [base.moves, *(one.moves for one in singles)]

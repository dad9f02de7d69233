"""Random sequences of moves on a program, and whether the text at their end keeps what they claim.

A sequence is drawn from a seed: each move is one of all that the registry's rewrites find on the
text so far, as it is launched, and now and then other tiles, as a tuner would try them. What a
move may do with any text is to change it or to raise `DoesNotApply`; any other exception is a
fault of the move. The text at the end is judged by the verifier, which chooses the sizes on which
each branch goes both ways.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import rewriting
from corpus import Example

from warpwright.program.view import read_program
from warpwright.proposers.configs.constraints import TuningRules
from warpwright.proposers.configs.emit import moves_of
from warpwright.proposers.configs.space import TileSpace, tile_space
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.config_list import CONFIGS
from warpwright.proposers.rewrites.pin import PIN
from warpwright.proposers.rewrites.registry import REWRITES, apply_move, replay
from warpwright.search.moves import not_as_claimed
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.answer import ConfigChoice, ConfigPlan
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Candidate, Claim, Move
from warpwright.types.config_space import with_value
from warpwright.types.gpu import ResolvedGpu
from warpwright.types.study import ConfigStudy, KernelStudy, Study
from warpwright.types.verdict import Status, Verdict
from warpwright.verifier.accuracy import verify_accuracy
from warpwright.verifier.verify import Verification

CAPABILITIES = ((8, 9), (9, 0))
LONGEST = 4
BITS_SHARE = 0.5  # of the sequences: no move that changes sums hides what another does to bits
TRACED_ANEW_SHARE = 0.5
TILES_TRIED = 8


@dataclass(frozen=True, slots=True)
class Drawn:
    """The texts of a sequence, the parent first, and the move that led to each of the others."""

    example: Example
    texts: tuple[str, ...]
    moves: tuple[Move, ...]

    def __str__(self) -> str:
        told = "".join(f"\n        {move!r}," for move in self.moves)
        return f"moves = [{told}\n    ]"


def draw(example: Example, seed: str, longest: int = LONGEST) -> Drawn:
    """A sequence of so many moves, fewer where no more are found; every other one of moves that
    leave every bit alone, else other tiles come last where there are any. Raises AssertionError
    where a move is at fault.

    All moves found so far are tried on each text, so that those of earlier texts meet others.
    """
    chance = random.Random(seed)
    drawn = Drawn(example, (example.source,), ())
    bits = chance.random() < BITS_SHARE
    anew = chance.random() < TRACED_ANEW_SHARE
    known: dict[Move, None] = {}
    for step in range(longest):
        found = _proposed(drawn, chance, anew=anew)
        known |= dict.fromkeys(found)
        texts = {move: _applied(drawn, move) for move in known}
        able = [
            move
            for move in found
            if texts[move] not in (None, *drawn.texts)
            and (move.claim is Claim.BIT_EQUAL or not bits)
        ]
        if not able:
            break
        tiles = {move.name for move in able} & {CONFIGS, PIN}
        names = tiles if tiles and step == longest - 1 else {move.name for move in able}
        name = chance.choice(sorted(names))
        move = chance.choice([move for move in able if move.name == name])
        drawn = Drawn(example, (*drawn.texts, str(texts[move])), (*drawn.moves, move))
    return drawn


def _proposed(drawn: Drawn, chance: random.Random, *, anew: bool) -> list[Move]:
    """All moves that are found on the last text, and other tiles of its kernels.

    `anew`: by its own launches, else by those of the parent, as the registry's chains are found.
    """
    view = read_program(drawn.texts[-1])
    calls = _calls(drawn, drawn.texts[-1])
    known = calls if anew else _calls(drawn, drawn.texts[0])
    found: list[Move] = []
    for rewrite in REWRITES.values():
        found += _unless_broken(
            drawn, f"find of {rewrite.name}", lambda rewrite=rewrite: rewrite.find(view, known)
        )
    for call in calls:
        found += _unless_broken(drawn, "tiles", lambda call=call: _other_tiles(drawn, call, chance))
    return found


def _calls(drawn: Drawn, text: str) -> tuple[KernelCalls, ...]:
    return _unless_broken(
        drawn, "the trace", lambda: rewriting.traced(text, drawn.example.problem)[1]
    )


def _other_tiles(drawn: Drawn, call: KernelCalls, chance: random.Random) -> tuple[Move, ...]:
    """The move to a list with another config beside the kernel's own, or to that one alone."""
    studied = _studied(call)
    view = read_program(drawn.texts[-1])
    found = tile_space(studied, call, view, TuningRules.of(()), rewriting.sheet())
    if not isinstance(found, TileSpace):
        return ()
    for _ in range(TILES_TRIED):
        config = found.space.start
        for axis in found.space.axes:
            config = with_value(config, axis.name, chance.choice(axis.values))
        if found.space.allowed(config):
            break
    else:
        return ()
    kept = chance.random() < 0.5
    choices = [ConfigChoice(study.config, False, kept, "") for study in studied.configs]
    choices.append(ConfigChoice(config, True, True, ""))
    return moves_of([(ConfigPlan(call.name, tuple(choices)), call)], drawn.texts[-1])


def _applied(drawn: Drawn, move: Move) -> str | None:
    """The last text with one move more; None where it does not apply."""

    def made() -> str | None:
        try:
            text = apply_move(drawn.texts[-1], move)
        except DoesNotApply:
            return None
        view = read_program(text)
        named = (*view.functions, *(kernel.name for kernel in view.kernels))
        assert not view.undefined, view.undefined
        assert len(set(named)) == len(named), named
        return text

    return _unless_broken(drawn, repr(move), made)


def _unless_broken(drawn: Drawn, what: str, made: Callable[[], Any]) -> Any:
    try:
        return made()
    except Exception as error:
        told = "".join(traceback.format_exception(error))
        raise AssertionError(
            f"{what} breaks after\n    {drawn}\n{told}\n{drawn.texts[-1]}"
        ) from None


def faults_of(drawn: Drawn) -> Iterator[str]:
    """In what way the last text of a sequence is not what its moves say."""
    parent, last = drawn.texts[0], drawn.texts[-1]
    for text in drawn.texts:
        for capability in CAPABILITIES:
            for fault in rewriting.compile_faults(text, drawn.example.problem, capability):
                yield f"does not compile for {capability}: {fault}"
    if replay(parent, drawn.moves) != last:
        yield "replaying the moves gives another text"
    yield from _wrong_outputs(drawn)


def first_at_fault(drawn: Drawn, faults: Sequence[str]) -> str:
    """What is told of a sequence with faults: they, and how many of its moves are enough."""
    for many in range(1, len(drawn.moves)):
        fewer = Drawn(drawn.example, drawn.texts[: many + 1], drawn.moves[:many])
        if any(faults_of(fewer)):
            told = f"the first {many} of these moves are enough"
            break
    else:
        told = "all of these moves take part"
    return "\n".join([*faults, str(drawn), told, drawn.texts[-1]])


def _wrong_outputs(drawn: Drawn) -> Iterator[str]:
    candidate = Candidate(drawn.texts[0], drawn.texts[-1], drawn.moves)
    study = _study(drawn)
    kernels = {call.name: _studied(call) for call in _calls(drawn, candidate.program)}
    run = verify_accuracy(
        study,
        read_program(candidate.program),
        kernels,
        RunContext(cache=ResultCache()),
        beside=True,
    )
    if run.result.status is Status.FAIL:
        yield from map(str, run.result.violations)
    if not run.cases:
        yield f"nothing was compared: {run.result.notes}"
    gate = Verdict((run.result,), accuracy_cases=run.cases)
    claim = not_as_claimed(candidate, Verification(gate, kernels))
    if claim is not None:
        yield claim


def _study(drawn: Drawn) -> Study:
    example = drawn.example
    calls = _calls(drawn, example.source)
    trace = rewriting.trace_of(example.source, example.problem)
    return Study(
        gpu=ResolvedGpu(rewriting.sheet()),
        view=read_program(example.source),
        kernels=tuple(map(_studied, calls)),
        problem=example.problem,
        trace=trace,
        calls=calls,
    )


def _studied(call: KernelCalls) -> KernelStudy:
    """A kernel with its configs, none of them compiled."""
    configs = tuple(ConfigStudy(config, ()) for config in call.configs)
    return KernelStudy(call.name, call.autotuned, configs)

"""Inside a child: further sets of sizes, by what parent and candidate do on stand-ins of them."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warpwright.interpreter.child_coverage import Coverage, load_observed
from warpwright.interpreter.sizes.child_shrink import ShrinkTrial, plain
from warpwright.interpreter.sizes.shrink_search import Item, Sizes
from warpwright.interpreter.sizes.sizes_search import (
    LEAST_TILE,
    MOST_TILES,
    Look,
    SetLimits,
    SetSearch,
    constants_of,
    counts_of,
    relation,
    values_to_try,
)
from warpwright.program.block_values import ways_of_blocks
from warpwright.program.branch_sites import Outcome, branch_sites
from warpwright.program.ranges import RangeReading, read_ranges
from warpwright.sandbox.child_tensors import tensors_of
from warpwright.tracing.child_real_values import follow_values
from warpwright.tracing.child_trace_driver import use_stand_in_driver
from warpwright.tracing.child_trace_launch import Recorder
from warpwright.tracing.child_trace_problem import LoadedProblem, load_problem
from warpwright.tracing.child_trace_torch import StandIns, hardware, stand_in_cuda

LARGEST_TILE = 8192
FOR_OPEN_S = 1.0  # of the search's time, where a branch must be run
TILES = 6  # of which sizes are derived, smallest first
CONSTANTS = 12
OTHERS = 6  # configs beside the usual one that are looked at, spread over the list

Meta = tuple[str, tuple[tuple[str, Any], ...]]
"""A kernel and the meta-parameters of one of its configs."""


@dataclass(slots=True)
class WaysSeen:
    """What one program did on one set of sizes.

    `ways`: outcomes of its branches in the usual config; `others`: those that only other configs
    take, each with the first that does. `undecided`: those of tests on values that loads give.
    """

    ways: set[Outcome] = field(default_factory=set)
    others: dict[Outcome, Meta] = field(default_factory=dict)
    undecided: set[Outcome] = field(default_factory=set)
    more: set[Item] = field(default_factory=set)
    tiles: set[int] = field(default_factory=set)
    counts: set[int] = field(default_factory=set)
    steps: int = 0
    elements: int = 0


class Observed:
    """One program that is tried on sizes, with all that its branches did."""

    def __init__(
        self, source: str, name: str, problem: LoadedProblem, recorder: Recorder, payload: Any,
        job_dir: Path,
    ) -> None:  # fmt: skip
        self.coverage = Coverage()
        module = load_observed(source, name, job_dir, self.coverage)
        self._at_import = set(self.coverage.seen)
        self.tree = ast.parse(source)
        self.trial = ShrinkTrial(problem, module, recorder, {**payload, "source": source})
        self._recorder = recorder
        self._usual = {k: tuple(sorted(meta.items())) for k, meta in payload["usual"].items()}
        self._processors = int(payload["few"])
        self._constants = {
            target.id: node.value.value
            for node in self.tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    def look(self, sizes: Sizes, with_init: bool) -> WaysSeen | None:
        """None where program or reference do not run on these sizes."""
        self.coverage.seen.clear()
        attempt = self.trial.attempt(sizes, with_init)
        seen = WaysSeen(ways=self._at_import | self.coverage.seen)
        if attempt is None:
            return None
        seen.elements = attempt.elements
        for launch in self._recorder.launches:
            self._add_launch(launch, seen)
        for outcome in seen.ways:
            seen.others.pop(outcome, None)
        return seen

    def _add_launch(self, launch: Mapping[str, Any], seen: WaysSeen) -> None:
        kernel = launch["kernel"]
        usual = self._usual.get(kernel)
        variants = launch["configs"]
        metas = [tuple(sorted(variant["meta"].items())) for variant in variants]
        first = metas.index(usual) if usual in metas else 0
        every = -(-len(variants) // OTHERS)
        for index, variant in enumerate(variants):
            if index != first and index % every:
                continue
            values = _values(launch, variant)
            reading = self._read(kernel, values, variant["grid"])
            if index == first:
                self._add_usual(kernel, reading, values, variant, seen)
            for outcome in reading.outcomes - seen.ways:
                seen.others.setdefault(outcome, (kernel, metas[index]))
            seen.undecided |= reading.undecided

    def _read(self, kernel: str, values: Mapping[str, Any], grid: Any) -> RangeReading:
        if kernel not in self.trial.functions:
            return RangeReading()
        reading = read_ranges(kernel, self.trial.functions, values, grid, self._constants)
        known = {**self._constants, **values}
        for site, ways in ways_of_blocks(self.trial.functions[kernel], known, grid).items():
            both = {site.outcome(True), site.outcome(False)}
            reading.undecided -= both
            reading.outcomes -= both
            reading.outcomes |= {site.outcome(way) for way in ways}
        return reading

    def _add_usual(
        self,
        kernel: str,
        reading: RangeReading,
        values: Mapping[str, Any],
        variant: Any,
        seen: WaysSeen,
    ) -> None:
        blocks = 1
        for axis, extent in enumerate(variant["grid"]):
            blocks *= extent
            seen.more.add(("grid", kernel, axis, min(extent, 3)))
        seen.steps += blocks * reading.steps
        seen.ways |= reading.outcomes
        seen.more |= {("compare", *outcome) for outcome in reading.comparisons}
        for line, trips in reading.trips.items():
            seen.more.add(("trips", kernel, line, None if trips is None else min(trips, 3)))
        if blocks > self._processors:
            seen.more.add(("waves", kernel))
        numbers = {n: v for n, v in values.items() if type(v) is int and v > 1}
        constants = _constant_names(variant, kernel, self)
        tiles = {n: v for n, v in numbers.items() if LEAST_TILE <= v <= LARGEST_TILE
                 and v & (v - 1) == 0 and n in constants}  # fmt: skip
        seen.tiles |= set(tiles.values())
        seen.counts |= {v for n, v in numbers.items() if v <= MOST_TILES and n in variant["meta"]}
        for name, size in numbers.items():
            seen.more |= {
                ("relation", kernel, name, tile, relation(size, value))
                for tile, value in tiles.items()
                if tile != name
            }


def _constant_names(variant: Mapping[str, Any], kernel: str, program: Observed) -> set[str]:
    """Parameters that a launch fixes at compile time: of its config, and annotated ones."""
    names = {*variant["meta"], *variant["heuristic_values"]}
    function = program.trial.functions.get(kernel)
    if function is not None:
        names |= {
            argument.arg
            for argument in function.args.args
            if argument.annotation is not None and "constexpr" in ast.unparse(argument.annotation)
        }
    return names


def _values(launch: Mapping[str, Any], variant: Mapping[str, Any]) -> dict[str, Any]:
    values = {
        name: argument.get("value")
        for name, argument in {**launch["arguments"], **variant["arguments"]}.items()
        if argument["kind"] != "tensor"
    }
    return {**values, **variant["meta"], **variant["heuristic_values"]}


def perform(payload: Mapping[str, Any], job_dir: Path) -> dict[str, Any]:
    """Payload: `parent` (None where the program stands alone), `source`, `problem`, `facts`,
    `few` (multiprocessors of the card in further sets), `evaluation_mode`, `usual` (kernel → meta),
    `sizes`, `with_init`, `search_s`. Result: `sets`, `reached`, `reached_at_full`, `undecided`."""
    facts = hardware(payload["facts"])
    use_stand_in_driver(facts)
    mode = StandIns("meta", job_dir)
    recorder = Recorder(mode, payload["source"])
    recorder.install()
    follow_values(mode)
    with stand_in_cuda(mode, facts):
        problem = load_problem(payload["problem"], job_dir)
        pair = _Pair(payload, problem, recorder, job_dir)
        base = {int(full): int(small) for full, small in payload["sizes"]}
        pair.note_full()
        covered, variables = pair.base_items(base), pair.variables()
        if hasattr(facts, "multi_processor_count"):
            facts.multi_processor_count = payload["few"]
        few = _Pair(payload, problem, recorder, job_dir)
        few.note_full()
        few.take_notes_of(pair)
        return few.search(base, covered, variables)


class _Pair:
    """Parent and candidate (the same program, where it stands alone)."""

    def __init__(
        self, payload: Mapping[str, Any], problem: LoadedProblem, recorder: Recorder, job_dir: Path
    ) -> None:
        self.payload = payload
        self.ends = time.process_time() + payload["search_s"]
        self.problem = problem
        self.candidate = Observed(payload["source"], "program", problem, recorder, payload, job_dir)
        self.parent = self.candidate
        if payload["parent"] is not None:
            self.parent = Observed(payload["parent"], "parent", problem, recorder, payload, job_dir)
            self.candidate.trial.compares = False  # the parent is held to the reference
        self.with_init = True
        self.reached: set[Outcome] = set()
        self.at_full: set[Outcome] = set()
        self.undecided: set[Outcome] = set()
        self._last: dict[tuple[tuple[int, int], ...], tuple[Look, WaysSeen]] = {}

    def take_notes_of(self, other: _Pair) -> None:
        self.with_init = other.with_init
        self.reached |= other.reached
        self.at_full = other.at_full
        self.undecided |= other.undecided

    def note_full(self) -> None:
        """What the problem's own sizes lead to; the trials learn from it which sizes are fixed."""
        if self.parent is not self.candidate:
            self.parent.look({}, False)
        seen = self.candidate.look({}, False)
        if seen is not None:
            self.at_full = {*seen.ways, *seen.others}

    def variables(self) -> list[int]:
        trial = self.parent.trial
        return sorted({*trial.input_sizes(), *trial.init_sizes()})

    def base_items(self, base: Sizes) -> frozenset[Item]:
        """What the first set does, which is run with all configs."""
        look = self.look(base)
        if look is None:
            self.with_init = self.payload["with_init"]
            look = self.look(base)
        # that set runs on the card as it is, where few blocks are one wave
        return frozenset(i for i in look.items if i[0] != "waves") if look else frozenset()

    def look(self, sizes: Sizes) -> Look | None:
        """What both do; None where one of them does not run."""
        theirs = None
        if self.parent is not self.candidate:
            theirs = self.parent.look(sizes, self.with_init)
            if theirs is None:
                return None
        ours = self.candidate.look(sizes, self.with_init)
        if ours is None:
            return None
        self.reached |= {*ours.ways, *ours.others}
        self.undecided |= ours.undecided
        items = set(_items("candidate", ours))
        if theirs is not None:
            items |= set(_items("parent", theirs))
        steps = ours.steps if theirs is None else max(ours.steps, theirs.steps)
        look = Look(frozenset(items), steps, ours.elements)
        self._last[tuple(sorted(sizes.items()))] = look, ours
        return look

    def search(self, base: Sizes, covered: frozenset[Item], variables: list[int]) -> dict[str, Any]:
        look = self.look(base)
        tiles = set() if look is None else self._last[tuple(sorted(base.items()))][1].tiles
        full = self.candidate.look({}, False)
        if full is not None:
            tiles |= full.tiles
        constants = constants_of(self.candidate.tree) | constants_of(self.parent.tree)
        ranked = sorted(constants - tiles)[:CONSTANTS]
        counts = counts_of(self.candidate.tree) | (set() if full is None else full.counts)
        values = {
            size: values_to_try(size, base.get(size, size), sorted(tiles)[:TILES], ranked, counts)
            for size in variables
        }
        open_ways = self._open_ways()
        search = SetSearch(
            self.look,
            values,
            self.parent.trial.fixed_sizes(variables),
            SetLimits(**self.payload["limits"]),
            lambda: time.process_time() > self.ends - (FOR_OPEN_S if open_ways else 0.0),
            open_ways.__contains__,
            lambda: time.process_time() > self.ends,
        )
        done = set(covered)
        sets = []
        for sizes, look in search.run(base, covered):
            sets.append(self._told(sizes, done))
            done |= look.items
        return {
            "sets": sets,
            "reached": sorted(self.reached),
            "reached_at_full": sorted(self.at_full),
            "undecided": sorted(self.undecided),
        }

    def _open_ways(self) -> set[Item]:
        """Branches of the candidate alone that the full sizes lead to: without a run of them it is
        not verified."""
        theirs: set[tuple[str, str]] = set()
        if self.parent is not self.candidate:
            theirs = {(site.kind, site.text) for site in branch_sites(self.parent.tree)}
        return {
            ("way", "candidate", *way)
            for way in self.at_full
            if way[1] == "if" and (way[1], way[2]) not in theirs
        }

    def _told(self, sizes: Sizes, done: set[Item]) -> dict[str, Any]:
        """A set as the parent process needs it, with the configs that take ways of their own."""
        look, seen = self._last[tuple(sorted(sizes.items()))]
        metas = {
            meta for way, meta in seen.others.items() if ("way", "candidate", *way) not in done
        }
        trial = self.candidate.trial
        return {
            "inputs": [
                {"shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}
                for tensor in tensors_of(trial.inputs(sizes))
            ],
            "init": plain(trial.init(sizes)) if self.with_init else None,
            "steps": look.steps,
            "metas": [[kernel, [list(pair) for pair in meta]] for kernel, meta in sorted(metas)],
        }


def _items(program: str, seen: WaysSeen) -> Iterator[Item]:
    for way in (*seen.ways, *seen.others):
        yield ("way", program, *way)
    for item in seen.more:
        yield (item[0], program, *item[1:])

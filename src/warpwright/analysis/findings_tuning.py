"""What a specialist would say of how a kernel is tuned: its key, and a card without TMA.

Pure, and about the source alone: nothing here says how much time it costs.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from warpwright.program.argument_roots import assignments_in, function_around, roots
from warpwright.program.parsed import parse_program
from warpwright.program.parsing import parse_expression
from warpwright.types.evidence import Origin
from warpwright.types.gpu import GpuSheet
from warpwright.types.launch_trace import DescriptorArgument, Launch
from warpwright.types.program import Autotune, Kernel, LaunchSite, ProgramView
from warpwright.types.study import Finding

TMA_FROM = (9, 0)
"""The first compute capability with the tensor memory accelerator (CUDA programming guide)."""
DESCRIPTOR_OPERATIONS = (
    "make_tensor_descriptor", "load_tensor_descriptor", "store_tensor_descriptor",
)  # fmt: skip
_BATCH_NAME = re.compile(
    r"(b|bs|bsz|(n|num)?_?batch(es)?(_?size)?|(n|num)_?(tokens|rows|seqs)|tokens|rows)", re.I
)


def tuning_findings(
    kernel: Kernel, view: ProgramView, launches: Sequence[Launch], sheet: GpuSheet, configs: int
) -> tuple[Finding, ...]:
    """Findings about the autotune key and about descriptors. `configs`: how many are listed."""
    found = descriptors_without_tma(kernel, launches, sheet)
    tune = kernel.autotune
    if tune is None or configs < 2 or "key" in tune.other_arguments or not tune.line:
        return tuple(found)
    site = next((site for site in view.launches if site.kernel == kernel.name), None)
    key = _Key(kernel, tune, view, site)
    return (*found, *key.unknown_names(), *key.missing_sizes(), *key.batch_sizes(configs))


def descriptors_without_tma(
    kernel: Kernel, launches: Sequence[Launch], sheet: GpuSheet
) -> list[Finding]:
    """Triton turns descriptors into ordinary loads and stores where the card has no TMA."""
    passed = any(
        isinstance(argument, DescriptorArgument)
        for launch in launches
        for argument in launch.arguments.values()
    )
    operations = kernel.operations_named(*DESCRIPTOR_OPERATIONS)
    if sheet.compute_capability >= TMA_FROM or not (operations or passed):
        return []
    where = f" (line {operations[0].line})" if operations else ""
    return [
        Finding(
            "descriptors-without-tma",
            kernel.name,
            f"It moves tiles by tensor descriptors{where}, and {sheet.name} ({sheet.target}) has "
            "no TMA, which begins at compute capability 9.0: Triton turns them into ordinary "
            "masked loads and stores by pointers. Configs tuned for TMA need not be best here.",
            Origin.STATED,
            weight=72,
        )
    ]


@dataclass(frozen=True)
class _Key:
    """An autotune key beside what the kernel and its launch do with the arguments."""

    kernel: Kernel
    tune: Autotune
    view: ProgramView
    site: LaunchSite | None

    @cached_property
    def _tree(self) -> ast.Module:
        return parse_program(self.view.source).written

    @cached_property
    def _parameters(self) -> frozenset[str]:
        return frozenset(parameter.name for parameter in self.kernel.parameters)

    @cached_property
    def _set_by_configs(self) -> frozenset[str]:
        names = {name for c in self.tune.configs or () for name, _ in c.meta}
        return frozenset(names | set(self.kernel.heuristics))

    def unknown_names(self) -> list[Finding]:
        """Triton skips a name of the key that is no argument, without a word."""
        wrong = [name for name in self.tune.key if name not in self._parameters]
        if not wrong:
            return []
        heard = [name for name in self.tune.key if name in self._parameters]
        rest = (
            f"only {_and(heard)} and the dtypes count"
            if heard
            else "one tuning serves all sizes, and dtypes alone count"
        )
        are = "is no argument" if len(wrong) == 1 else "are no arguments"
        text = (
            f"Its autotune key (line {self.tune.line}) names {_and(wrong)}, which {are} of the "
            f"kernel: the tuner skips it without a word, and {rest}."
        )
        return [Finding("key-names-no-argument", self.kernel.name, text, Origin.STATED, weight=88)]

    def missing_sizes(self) -> list[Finding]:
        """Arguments that set how long a loop runs or how large a tile is, and stand in no key."""
        keyed = [name for name in self.tune.key if name in self._parameters]
        known = {root for name in keyed for root in self._passed_roots(name)}
        found = []
        for name, role in self._roles.items():
            passed = self._passed_roots(name)
            if name in keyed or not passed or passed <= known:
                continue
            if any(_words(name) & _words(other) for other in keyed):
                continue  # K and K_BUCKET
            found.append(
                Finding(
                    "key-misses-argument",
                    self.kernel.name,
                    f"Its autotune key (line {self.tune.line}: {_and(self.tune.key) or 'empty'}) "
                    f"leaves out {name}, which sets {role}: the config that was best for the first "
                    f"{name} is used for every other, and never tuned again.",
                    Origin.STATED,
                    weight=76,
                )
            )
        return found

    def batch_sizes(self, configs: int) -> list[Finding]:
        """Arguments of the key that only count blocks: each new value tunes again."""
        found = []
        for name in self.tune.key:
            if name not in self._parameters or name in self._roles:
                continue
            if not (_BATCH_NAME.fullmatch(name) or self._is_an_extent(name)):
                continue
            found.append(
                Finding(
                    "key-retunes-per-batch",
                    self.kernel.name,
                    f"Its autotune key (line {self.tune.line}) holds {name}, which sets how many "
                    f"blocks there are and nothing inside one: each new {name} times "
                    f"{configs} configs again. Left out, or rounded to a power of two by the "
                    "launch, it would not.",
                    Origin.STATED,
                    weight=74,
                )
            )
        return found

    @cached_property
    def _roles(self) -> dict[str, str]:
        """Argument → what of a block's work it sets: a loop's length, a tile's size."""
        function = function_around(self._tree, self.kernel.end_line)
        if function is None:
            return {}
        assigned = assignments_in(function)
        free = self._parameters - self._set_by_configs
        found: dict[str, str] = {}
        for loop in self.kernel.loops:
            ends = map(_parsed, loop.bounds[:2])  # a step is a tile, or the number of blocks
            for name in sorted(roots(ends, assigned) & free):
                found.setdefault(name, f"how long the loop at line {loop.line} runs")
        for operation in self.kernel.operations_named("arange"):
            for name in sorted(roots(map(_parsed, operation.arguments), assigned) & free):
                found.setdefault(name, f"the size of the tile at line {operation.line}")
        return found

    def _passed_roots(self, name: str) -> frozenset[str]:
        """What the launch passes for a parameter comes from; empty for a plain number."""
        node = None if self.site is None else self.site.passed_to(self.kernel).get(name)
        return frozenset() if node is None else roots([node], self._host)

    @cached_property
    def _host(self) -> dict[str, tuple[ast.expr, ...]]:
        function = None if self.site is None else function_around(self._tree, self.site.line)
        return {} if function is None else assignments_in(function)

    def _is_an_extent(self, name: str) -> bool:
        """Whether an extent of the grid is this argument itself, in no relation to a tile."""
        grid = None if self.site is None else _parsed(self.site.grid)
        grid = grid.body if isinstance(grid, ast.Lambda) else grid
        passed = self._passed_roots(name)
        if not isinstance(grid, ast.Tuple) or not passed:
            return False
        return any(
            not any(isinstance(part, ast.Call) for part in ast.walk(extent))
            and not any(isinstance(part, ast.BinOp) for part in ast.walk(extent))
            and roots([extent], self._host) == passed
            for extent in grid.elts
        )


def _parsed(text: str) -> ast.expr:
    return parse_expression(text) or ast.Constant(None)


def _words(name: str) -> set[str]:
    return set(name.lower().split("_")) - {"block", "size", "n", "num", ""} or {name.lower()}


def _and(items: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))

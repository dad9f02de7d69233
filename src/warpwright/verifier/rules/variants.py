"""A kernel as each config of each launch runs it: branches on its constants are decided.

A kernel with `if C % TILE == 0: fast loop else: loop` has two loops and two dots, of which one
runs. Each variant of a candidate's kernel is held to the parent's under the same constants.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from warpwright.program.memory_accesses import Constants, KernelMemory, kernel_node, read_body
from warpwright.types.config import MetaValue
from warpwright.types.launch_trace import (
    ConstantArgument,
    Launch,
    ScalarArgument,
    Trace,
    TracedConfig,
)
from warpwright.types.program import Kernel, ProgramView
from warpwright.verifier.rules.rule_context import KernelPair, RuleContext

_Values = Mapping[str, MetaValue]


@dataclass(frozen=True, slots=True)
class Ran:
    """The integers of one launch under one config, in the parent's names, and its grid."""

    values: _Values
    child_values: _Values
    grid: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """Both kernels with their branches decided, and the launches that run them so.

    `ran` is empty where no trace tells how the kernels are launched.
    """

    before: KernelMemory
    after: KernelMemory
    parent: Constants
    child: Constants
    ran: tuple[Ran, ...] = ()


def variants(context: RuleContext, pair: KernelPair) -> tuple[Variant, ...]:
    """Each way in which the traced launches run a pair of kernels, once; without a trace, one
    with every branch in it."""
    found: dict[tuple[str, str], Variant] = {}
    for ran in _launched(context, pair):
        parent = _of(pair.parent, ran.values, also=pair.child)
        child = _of(pair.child, ran.child_values)
        old = kernel_node(context.parent.source, pair.parent.name, parent)
        new = kernel_node(context.child.source, pair.child.name, child)
        if old is None or new is None:
            continue
        key = ast.dump(old), ast.dump(new)
        if key in found:
            known = found[key]
            found[key] = Variant(
                known.before, known.after, known.parent, known.child, (*known.ran, ran)
            )
            continue
        found[key] = Variant(
            read_body(context.parent.source, pair.parent.name, parent),
            read_body(context.child.source, pair.child.name, child),
            parent,
            child,
            (ran,),
        )
    return tuple(found.values()) or (whole(context, pair),)


def whole(context: RuleContext, pair: KernelPair) -> Variant:
    """Both kernels with every branch in them."""
    return Variant(
        read_body(context.parent.source, pair.parent.name),
        read_body(context.child.source, pair.child.name),
        (),
        (),
    )


def lines_left(view: ProgramView, kernel: Kernel, constants: Constants) -> frozenset[int]:
    """Lines that stay in a kernel when its branches are decided."""
    node = kernel_node(view.source, kernel.name, constants)
    nodes = () if node is None else ast.walk(node)
    return frozenset(inner.lineno for inner in nodes if hasattr(inner, "lineno"))


def _launched(context: RuleContext, pair: KernelPair) -> list[Ran]:
    """Each launch and config of the candidate's kernel beside the parent's of the same order."""
    ours = _launches(context.child_trace, pair.child.name)
    theirs = _launches(context.parent_trace, pair.parent.name)
    if len(ours) != len(theirs):
        return []
    found = []
    for new, old in zip(ours, theirs, strict=True):
        for traced in new.configs:
            same = [t for t in old.configs if t.config.meta_dict == traced.config.meta_dict]
            beside = (same or list(old.configs))[0]
            values = {**_numbers(old, beside), **_tiles(traced, pair.parent)}
            found.append(Ran(values, _numbers(new, traced), traced.grid))
    return found


def _launches(trace: Trace | None, kernel: str) -> list[Launch]:
    return [] if trace is None else [la for la in trace.launches if la.kernel == kernel]


def _numbers(launch: Launch, traced: TracedConfig) -> dict[str, MetaValue]:
    values: dict[str, MetaValue] = {
        name: argument.value
        for name, argument in launch.arguments.items()
        if isinstance(argument, (ScalarArgument, ConstantArgument))
    }
    return {**values, **traced.config.meta_dict, **traced.heuristic_values}


def _tiles(traced: TracedConfig, kernel: Kernel) -> dict[str, MetaValue]:
    names = {parameter.name for parameter in kernel.parameters}
    return {name: value for name, value in traced.config.meta if name in names}


def _of(kernel: Kernel, values: _Values, also: Kernel | None = None) -> Constants:
    """The kernel's compile-time arguments, with those that are such in `also` alone: what they
    decide there was decided so here, when it ran."""
    kernels = (kernel,) if also is None else (kernel, also)
    own = {parameter.name for parameter in kernel.parameters}
    names = {p.name for each in kernels for p in each.parameters if p.is_constexpr}
    return tuple((name, values[name]) for name in sorted(names & own & values.keys()))

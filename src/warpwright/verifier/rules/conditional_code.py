"""Grid, addresses and eviction policies change only where a metric of the profile asks for it.

Predicates and outcomes as in `conditional_options`.
"""

from __future__ import annotations

from collections.abc import Callable

from warpwright.data.predicates import either, sm_utilization_is_clearly_low
from warpwright.program.memory_accesses import KernelMemory, read_body
from warpwright.types.stage import Rule
from warpwright.verifier.rules.config_evidence import SM_THROUGHPUT, metric, misses_target
from warpwright.verifier.rules.finding import (
    OBEYED,
    RuleFinding,
    RuleReading,
    merged,
    undecided,
    violated,
)
from warpwright.verifier.rules.grid import grid_changes


def check_grid_only_if(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`grid.only_if`: a grid changes only where SM utilisation is clearly low."""
    changes = grid_changes(reading)
    if not changes:
        return OBEYED
    values = [metric(reading.context, c, SM_THROUGHPUT) for c in reading.configs]
    answer = either([sm_utilization_is_clearly_low(value) for value in values])
    if answer:
        return OBEYED
    if answer is None:
        return undecided(rule.id, "the profile has no sm__throughput to justify another grid")
    known = ", ".join(f"{value:g} %" for value in values if value is not None)
    findings = []
    for change in changes:
        if not isinstance(change, str):
            expected = f"the grid as it was, since sm__throughput is {known}"
            findings.append(violated(rule.id, change.line, expected, change.found))
    return merged(findings)


def check_access_only_if(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`access.only_if`: addresses change only where a metric of the stage misses its target."""
    return _body_change(rule, reading, _addresses, "addresses of loads and stores")


def check_eviction_only_if(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`eviction_policy.only_if`: a policy is added only where a metric misses its target."""
    return _body_change(rule, reading, _policies, "eviction policies")


def _body_change(
    rule: Rule,
    reading: RuleReading,
    read: Callable[[RuleReading, str, bool], frozenset[str]],
    what: str,
) -> RuleFinding:
    findings = []
    for pair, configs in zip(reading.match.pairs, reading.configs, strict=True):
        before = read(reading, pair.parent.name, True)
        after = read(reading, pair.child.name, False)
        if after <= before:
            continue
        answer = misses_target(reading.context, configs)
        if answer is None:
            text = f"{pair.child.name}: the profile has no metric to justify other {what}"
            findings.append(undecided(rule.id, text))
        elif not answer:
            expected = f"the {what} as they were, since the metrics meet their targets"
            found = next(iter(sorted(after - before)))[:120]
            findings.append(violated(rule.id, pair.child.line, expected, found))
    return merged(findings)


def _body(reading: RuleReading, kernel: str, of_parent: bool) -> KernelMemory:
    view = reading.context.parent if of_parent else reading.context.child
    return read_body(view.source, kernel)


def _addresses(reading: RuleReading, kernel: str, of_parent: bool) -> frozenset[str]:
    return frozenset(access.address for access in _body(reading, kernel, of_parent).accesses)


def _policies(reading: RuleReading, kernel: str, of_parent: bool) -> frozenset[str]:
    view = reading.context.parent if of_parent else reading.context.child
    found = view.kernel(kernel)
    return frozenset(
        f"{operation.name}(eviction_policy={operation.keywords['eviction_policy']})"
        for operation in (found.operations if found is not None else ())
        if "eviction_policy" in operation.keywords
    )

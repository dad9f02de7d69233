"""What one rule checker works on, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from warpwright.types.stage import Rule
from warpwright.types.verdict import Violation
from warpwright.verifier.rules.launch_configs import (
    KernelConfigs,
    kernel_configs,
    new_kernel_configs,
)
from warpwright.verifier.rules.rule_context import KernelMatch, RuleContext, match_kernels
from warpwright.verifier.rules.traced_options import settled


@dataclass(frozen=True, slots=True)
class RuleFinding:
    """The outcome of one rule.

    `undecided` holds the reasons for which the rule could not be decided; where it is not
    empty and nothing is violated, the rule is not verified, which is no pass.
    """

    violations: tuple[Violation, ...] = ()
    notes: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()

    def __add__(self, other: RuleFinding) -> RuleFinding:
        return RuleFinding(
            self.violations + other.violations,
            self.notes + other.notes,
            self.undecided + other.undecided,
        )


OBEYED = RuleFinding()


def merged(findings: Iterable[RuleFinding]) -> RuleFinding:
    """All findings as one, in order."""
    total = OBEYED
    for finding in findings:
        total += finding
    return total


def violated(rule: str, line: int | None, expected: str, found: str) -> RuleFinding:
    """A finding of one violation."""
    return RuleFinding(violations=(Violation(rule, line, expected, found),))


def undecided(rule: str, what: str) -> RuleFinding:
    """A finding of one reason for which a rule could not be decided."""
    return RuleFinding(undecided=(f"{rule}: {what}",))


@dataclass(frozen=True, slots=True)
class RuleReading:
    """A context with what every checker needs from it, read once.

    `configs`: of the kernels that answer one of the parent's. `new_configs`: of those that
    answer none, where there are no originals to compare with.
    """

    context: RuleContext
    match: KernelMatch
    configs: tuple[KernelConfigs, ...]
    new_configs: tuple[KernelConfigs, ...] = ()

    @classmethod
    def of(cls, context: RuleContext) -> RuleReading:
        match = match_kernels(context.parent, context.child)
        configs = tuple(settled(context, kernel_configs(context, pair)) for pair in match.pairs)
        new = tuple(new_kernel_configs(context, kernel) for kernel in match.added)
        return cls(context, match, configs, new)


Checker = Callable[[Rule, RuleReading], RuleFinding]

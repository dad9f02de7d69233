"""Which branches of a candidate ran in no check: a branch that never ran was never judged."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from warpwright.program.branch_sites import Outcome, Site, branch_sites
from warpwright.program.parsed import parse_program
from warpwright.program.settled_flags import settled_flags

# Facts of a tensor or a machine that no size of the problem's inputs changes.
OF_KIND = re.compile(
    r"\bdtype\b|\bis (not )?None\b|\bis_contiguous\b|\bstride\b|\bis_cuda\b|\bdevice\b|"
    r"\bisinstance\b|\brequires_grad\b|\btraining\b|\bdim\(\)|\bndim\b|\bhasattr\b|__name__|"
    r"\bis_available\b"
)


@dataclass(frozen=True, slots=True)
class UnrunBranch:
    """A way that the candidate has and no check took. `open`: accuracy is not verified for it."""

    line: int
    what: str
    open: bool

    def __str__(self) -> str:
        told = "accuracy is not verified there"
        if not self.open:
            told = "no sizes that were tried lead to it"
        return f"line {self.line}: {self.what} ran in no check; {told}"


def unrun_branches(
    source: str,
    parent: str,
    ran: Collection[Outcome],
    *,
    reached: Collection[Outcome],
    reached_at_full: Collection[Outcome],
) -> tuple[UnrunBranch, ...]:
    """The ways of `source` that its parent does not have, and that are not among `ran`.

    `parent`: the parent's source, empty without one. `reached`: ways that some sizes lead to,
    `reached_at_full`: those that the problem's own do. A way that nothing reaches counts too,
    unless its test is about the kind of a tensor, which sizes do not change. One that no call in
    the program can lead to, since all of them give the same literal, is no way.
    """
    theirs = {(site.kind, site.text) for site in branch_sites(parse_program(parent).written)}
    tree = parse_program(source).written
    kinds, settled = _kinds(tree), settled_flags(tree)
    return tuple(
        _unrun(site, way, reached, reached_at_full, kinds)
        for site in branch_sites(tree)
        if (site.kind, site.text) not in theirs and _was_met(site, ran)
        for way in _ways_that_count(site, reached_at_full)
        if site.outcome(way) not in ran
        and settled.get((site.function or "", site.text), way) == way
    )


def _was_met(site: Site, ran: Collection[Outcome]) -> bool:
    """Whether it was come to at all: what stands in a branch that never ran is told by that one.

    The body of a loop is all that is seen of one, so a loop counts as met.
    """
    return site.kind == "for" or any(site.outcome(way) in ran for way in (True, False))


def _ways_that_count(site: Site, reached_at_full: Collection[Outcome]) -> Iterator[bool]:
    for way in (True, False):
        if site.kind == "for" and (not way or site.outcome(way) not in reached_at_full):
            continue
        if way in site.runs or site.outcome(way) in reached_at_full:
            yield way


def _unrun(
    site: Site,
    way: bool,
    reached: Collection[Outcome],
    reached_at_full: Collection[Outcome],
    kinds: Collection[str],
) -> UnrunBranch:
    led_to = site.outcome(way) in reached or site.outcome(way) in reached_at_full
    names = set(re.findall(r"\w+", site.text))
    of_kind = bool(OF_KIND.search(site.text)) or bool(names & set(kinds))
    return UnrunBranch(site.line, _words(site, way), led_to or not of_kind)


def _words(site: Site, way: bool) -> str:
    if site.kind in ("min", "max"):
        return f"`{site.text}` with its {'first' if way else 'second'} argument chosen"
    if site.kind == "for":
        return f"the body of `for ... in {site.text}`"
    return f"`{site.kind} {site.text}`" + ("" if way else " not holding")


def _kinds(tree: ast.Module) -> set[str]:
    """Names that hold a fact about a tensor's kind: `needs_copy = not x.is_contiguous()`, and
    parameters that are given one by name: `kernel[grid](…, COPY=needs_copy)`."""
    found = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and OF_KIND.search(ast.unparse(node.value))
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    given = {
        keyword.arg
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg is not None
        and isinstance(keyword.value, ast.Name)
        and keyword.value.id in found
    }
    return found | given

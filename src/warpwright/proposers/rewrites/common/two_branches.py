"""Consecutive statements of a kernel in two branches: changed where a condition holds, else not."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Sequence

from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.splice import Splice, spliced
from warpwright.proposers.rewrites.common.statement_text import INDENT, indented, margin_of

_FORMS = frozenset({"trans", "permute", "reshape", "view", "expand_dims", "broadcast_to"})


def in_two_branches(
    source: str,
    body: Sequence[ast.stmt],
    splices: Sequence[Splice],
    before: Sequence[str],
    condition: str,
) -> str:
    """The source with the statements of `body` under `if condition`, and as they were under `else`.

    `splices` change the first branch; `before` are lines that come before the `if`. Raises
    DoesNotApply where the statements do not stand on lines of their own.
    """
    head, tail = body[0].lineno - 1, body[-1].end_lineno or 0
    lines = lines_of(source)
    check_own_lines(lines, body)
    edited = lines_of(spliced(source, splices))
    new = _dedented(edited[head : len(edited) - (len(lines) - tail)])
    block = [*before, f"if {condition}:", *indented(new, INDENT)]
    block += ["else:", *indented(_dedented(lines[head:tail]), INDENT)]
    margin = margin_of(source, body[0])
    return "\n".join([*lines[:head], *indented(block, margin), *lines[tail:]])


def may_branch_at_run_time(body: Sequence[ast.stmt]) -> bool:
    """Whether the statements may stand under a condition on what a block knows at run time.

    A name keeps its type there, so a tile that takes another form under its own name may not.
    """
    nodes = [inner for node in body for inner in ast.walk(node)]
    return not any(
        isinstance(node, ast.Return | ast.AnnAssign)
        or (isinstance(node, ast.Assign) and _takes_another_form(node))
        for node in nodes
    )


def _takes_another_form(node: ast.Assign) -> bool:
    """`acc = tl.trans(acc)`, `m = m[:, None]`."""
    names = {target.id for target in node.targets if isinstance(target, ast.Name)}
    value = node.value
    if isinstance(value, ast.Call) and value.args:
        inner, changes = value.args[0], ast.unparse(value.func).split(".")[-1] in _FORMS
    elif isinstance(value, ast.Subscript | ast.Attribute):
        inner, changes = value.value, True
    else:
        return False
    return changes and isinstance(inner, ast.Name) and inner.id in names


def check_own_lines(lines: Sequence[str], body: Sequence[ast.stmt]) -> None:
    """Raises DoesNotApply where the statements do not stand on lines of their own."""
    first, last = body[0], body[-1]
    before = lines[first.lineno - 1].encode()[: first.col_offset]
    behind = lines[(last.end_lineno or 0) - 1].encode()[last.end_col_offset :].strip()
    if before.strip() or (behind and not behind.startswith(b"#")):
        raise DoesNotApply("statements share a line")
    nodes = (inner for node in body for inner in ast.walk(node))
    texts = (n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str))
    if any("\n" in text for text in texts):
        raise DoesNotApply("a text of several lines stands among the statements")


def _dedented(lines: Sequence[str]) -> list[str]:
    return textwrap.dedent("\n".join(lines)).split("\n")

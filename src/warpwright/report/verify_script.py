"""`verify.py`: a standalone script that checks an answer against its parent on a reader's card."""

from __future__ import annotations

import ast
import re
from importlib import resources

from warpwright import __version__
from warpwright.program.syntax import syntax_tree

TEMPLATE = "verify.py.txt"
_PLACE = re.compile(r"@([A-Z_]+)@")


def verify_script(
    *,
    parent: str,
    answer: str,
    problem: str,
    title: str = "",
    minimum_pct: float,
    evaluation_mode: bool = False,
) -> str:
    """The script's text, with all three programs in it.

    `problem` is a problem file's source (`Model`, `get_inputs`, `get_init_inputs`); `title`, one
    line, says what the programs are; with `evaluation_mode` all models are put into `eval()`. Its
    statistics are those of `bench.statistics.gain`, word for word.
    """
    filled = {
        "TITLE": _one_line(title),
        "VERSION": __version__,
        "PARENT": _literal(parent),
        "ANSWER": _literal(answer),
        "PROBLEM": _literal(problem),
        "MINIMUM_PCT": repr(minimum_pct),
        "EVALUATION_MODE": repr(evaluation_mode),
        "STATISTICS": _statistics(),
    }
    template = (resources.files("warpwright.data") / TEMPLATE).read_text(encoding="utf-8")
    return _PLACE.sub(lambda place: filled[place[1]], template)


def _one_line(text: str) -> str:
    """Fit for a docstring."""
    return " ".join(text.split()).replace("\\", "/").replace('"', "'")


def _literal(source: str) -> str:
    """Python source as a string literal that a person can read, where quotes permit."""
    readable = f"r'''{source}'''"
    try:
        same = ast.literal_eval(readable) == source
    except (SyntaxError, ValueError):
        same = False
    return readable if same else repr(source)


def _statistics() -> str:
    """The body of `bench/statistics/gain.py`, read as text: without docstring and imports, which
    the template has."""
    source = (resources.files("warpwright.bench.statistics") / "gain.py").read_text(
        encoding="utf-8"
    )
    body = syntax_tree(source).body
    kept = next(
        statement
        for statement in body[1:]
        if not isinstance(statement, ast.Import | ast.ImportFrom)
    )
    return "\n".join(source.splitlines()[kept.lineno - 1 :])

"""Configs as texts among the arguments of a move."""

from __future__ import annotations

import ast

from warpwright.program.configs import config_reader
from warpwright.program.evaluate import Evaluator, Unreadable
from warpwright.program.resolve import Aliases
from warpwright.program.syntax import syntax_tree
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.types.config import Config

ONE_LINE = -(1 << 20)  # a column so far left that every config fits on one line


def read_config_text(text: str) -> Config:
    """A config from its text in a move. Raises `DoesNotApply` for a text that is none."""
    aliases = Aliases(syntax_tree("import triton"))
    try:
        node = syntax_tree(text, "eval").body
        config = Evaluator(aliases, {}, config_reader(aliases)).value(node)
    except (SyntaxError, Unreadable) as error:
        raise DoesNotApply(
            f"{text} cannot be written anew: its hook has no name at module level, or a value no "
            "text (expected hooks and values that a literal list can hold)"
        ) from error
    if not isinstance(config, Config) or not isinstance(node, ast.Call):
        raise DoesNotApply(f"no config: {text}")
    return config

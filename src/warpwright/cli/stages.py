"""`warpwright stages`: the stages and their rules."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from warpwright import api
from warpwright.cli.options import JsonOption
from warpwright.cli.output import stdout, write_json
from warpwright.formats.rule_templates import render_rule
from warpwright.types.stage import Stage


def command(
    kind: Annotated[str | None, typer.Argument(help="single, fusion or network.")] = None,
    json_output: JsonOption = False,
) -> None:
    """List the stages and the rules of each. A request's own text comes before these."""
    found = api.stages(kind)
    if json_output:
        write_json(
            {
                "schema_name": "warpwright.stages",
                "schema_version": 1,
                "stages": [_as_json(stage) for stage in found],
            }
        )
        return
    for stage in found:
        table = Table("rule", "meaning", title=f"{stage.kind} · {stage.id}: {stage.focus}")
        for rule in stage.rules:
            table.add_row(rule.id, render_rule(rule))
        stdout().print(table)


def _as_json(stage: Stage) -> dict[str, object]:
    return {
        "id": stage.id,
        "kind": stage.kind,
        "focus": stage.focus,
        "rules": [{"id": r.id, "parameters": dict(r.parameters)} for r in stage.rules],
        "metrics": [m.metric for m in stage.metrics],
    }

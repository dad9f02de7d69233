"""`warpwright stages`: the stages and their rules."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from warpwright import api
from warpwright.cli.options import JsonOption
from warpwright.cli.output import stdout, write_json
from warpwright.data.stages import skip_conditions
from warpwright.formats.rule_templates import render_rule
from warpwright.types.stage import MetricTarget, Stage


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
        if stage.id is not None:
            bounds = " and ".join(map(_bound, skip_conditions(stage.id)))
            table.caption = f"little left to gain where {bounds}"
        stdout().print(table)


def _bound(target: MetricTarget) -> str:
    return f"{target.metric} {target.comparison} {target.target:g}"


def _as_json(stage: Stage) -> dict[str, object]:
    skip = () if stage.id is None else skip_conditions(stage.id)
    return {
        "id": stage.id,
        "kind": stage.kind,
        "focus": stage.focus,
        "rules": [{"id": r.id, "parameters": dict(r.parameters)} for r in stage.rules],
        "metrics": [m.metric for m in stage.metrics],
        "skip_when": [asdict(target) for target in skip],
    }

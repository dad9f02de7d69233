"""`warpwright runs`: what was run on this machine, and what came of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from warpwright import api
from warpwright.cli.options import JsonOption
from warpwright.cli.output import stdout, write_json


def command(
    run: Annotated[str | None, typer.Argument(help="A run's id, or the beginning of it.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many to list.")] = 20,
    json_output: JsonOption = False,
) -> None:
    """List the latest runs, or every step of one."""
    if run is None:
        _list(limit, json_output)
    else:
        _show(run, json_output)


def _list(limit: int, json_output: bool) -> None:
    found = api.runs(limit)
    if json_output:
        rows = [asdict(entry) for entry in found]
        write_json({"schema_name": "warpwright.runs", "schema_version": 1, "runs": rows})
        return
    if not found:
        stdout().print("nothing was run on this machine yet")
        return
    table = Table("run", "command", "subject", "started (UTC)", "status", "summary")
    for entry in found:
        table.add_row(
            entry.id, entry.command, entry.subject, entry.started, entry.status, entry.summary or ""
        )
    stdout().print(table)


def _show(run: str, json_output: bool) -> None:
    entry, steps, record = api.run(run)
    if json_output:
        write_json(
            {
                "schema_name": "warpwright.run",
                "schema_version": 1,
                "run": asdict(entry),
                "steps": [asdict(step) for step in steps],
                "record": record,
            }
        )
        return
    console = stdout()
    console.print(f"{entry.id} {entry.command} {entry.subject}: {entry.status}", markup=False)
    for step in steps:
        text = step.detail.get("text", "")
        console.print(f"  {step.at} {step.name}: {text}", markup=False, soft_wrap=True)
    if entry.summary:
        console.print(entry.summary, markup=False, soft_wrap=True)

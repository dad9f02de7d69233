"""`warpwright runs`: what was run on this machine, and what came of it."""

from __future__ import annotations

from dataclasses import asdict
from statistics import median
from typing import Annotated

import typer
from rich.table import Table

from warpwright import api
from warpwright.cli.options import JsonOption
from warpwright.cli.output import stdout, write_json
from warpwright.errors import InputError, Place
from warpwright.types.evidence import Origin

ADDED_TO = {
    Origin.MEASURED: "speed, measured",
    Origin.PREDICTED: "executed instructions, predicted",
}


def command(
    run: Annotated[str | None, typer.Argument(help="A run's id, or the beginning of it.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many to list.")] = 20,
    moves: Annotated[
        bool, typer.Option("--moves", help="How each move has done in all runs that are kept.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """List the latest runs, or every step of one.

    --moves tells of each move, by GPU and kind of kernel, in how many answers it was tried and
    handed out, and what it added each time that the program was looked at without it: the median
    and the range, of time where it was measured, of executed instructions where it was predicted.
    """
    if moves:
        _moves(run, json_output)
    elif run is None:
        _list(limit, json_output)
    else:
        _show(run, json_output)


def _moves(run: str | None, json_output: bool) -> None:
    if run is not None:
        raise InputError(
            "--moves is of all runs, and a run was named",
            place=Place("command line"),
            expected="one of them",
        )
    scores = api.move_scores()
    if json_output:
        rows = [asdict(score) for score in scores]
        write_json({"schema_name": "warpwright.move_scores", "schema_version": 1, "moves": rows})
        return
    if not scores:
        stdout().print("no run on this machine has tried a move yet")
        return
    table = Table("GPU", "kind of kernel", "move", "tried", "handed out", "added", "range", "of")
    for score in scores:
        gains = score.gains_pct
        table.add_row(
            score.gpu,
            score.kernel_kind,
            score.move,
            str(score.tried),
            str(score.accepted),
            f"{median(gains):+.1f} %" if gains else "–",
            f"{gains[0]:+.1f} to {gains[-1]:+.1f} %" if len(gains) > 1 else "–",
            ADDED_TO[score.origin],
        )
    stdout().print(table)


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

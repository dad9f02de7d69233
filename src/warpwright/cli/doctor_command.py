"""`warpwright doctor`: what this machine can do, and the fix for what it cannot."""

from __future__ import annotations

from dataclasses import asdict

from rich.table import Table

from warpwright import api
from warpwright.cli.options import JsonOption
from warpwright.cli.output import stdout, write_json


def command(json_output: JsonOption = False) -> None:
    """Say what this machine can do: GPU, driver, torch, Triton, Nsight Compute, isolation.

    Each line that lacks something says what that costs you and how to mend it.
    """
    report = api.doctor()
    if json_output:
        write_json({"schema_name": "warpwright.doctor", "schema_version": 1, **asdict(report)})
        return
    table = Table("what", "status", "found", "what it is for")
    colours = {"ok": "green", "limited": "yellow", "missing": "red"}
    for item in report.items:
        status = str(item.status)
        table.add_row(
            item.name, f"[{colours.get(status, '')}]{status}[/]", item.found, item.enables
        )
    console = stdout()
    console.print(table)
    for item in report.items:
        if item.fix:
            console.print(f"{item.name}: {item.fix}", markup=False, soft_wrap=True)

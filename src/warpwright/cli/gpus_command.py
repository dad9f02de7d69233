"""`warpwright gpus`: the GPU sheets."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from warpwright import api
from warpwright.cli.options import JsonOption
from warpwright.cli.output import stdout, write_json
from warpwright.types.gpu import GpuSheet


def command(
    name: Annotated[
        str | None,
        typer.Argument(help="One GPU, or 'here' for this machine's: its numbers and sources."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """List the GPUs that Warpwright knows, or one GPU's sheet with the source of each number."""
    sheets = api.gpus(name)
    if json_output:
        rows = [asdict(sheet) for sheet in sheets]
        write_json({"schema_name": "warpwright.gpus", "schema_version": 1, "gpus": rows})
    elif name is None:
        stdout().print(_overview(sheets))
    else:
        stdout().print(_sheet(sheets[0]))


def _overview(sheets: tuple[GpuSheet, ...]) -> Table:
    table = Table("GPU", "arch", "SMs", "GB/s", "L2 MB", "FP32", "TF32", "FP16", "shared KB/block")
    for sheet in sheets:
        table.add_row(
            sheet.name,
            sheet.target,
            str(sheet.sm_count),
            _number(sheet.memory_bandwidth_gb_per_s),
            _number(None if sheet.l2_bytes is None else sheet.l2_bytes / 1024**2),
            _number(sheet.fp32_tflops),
            _number(sheet.tf32_tflops),
            _number(sheet.fp16_tflops),
            _number(sheet.limits.max_shared_bytes_per_block / 1024),
        )
    table.caption = "Dense TFLOPS; FP16 accumulates in FP32."
    return table


def _sheet(sheet: GpuSheet) -> Table:
    table = Table("field", "value", "source", title=sheet.name)
    values = asdict(sheet)
    limits = values.pop("limits")
    sources = values.pop("sources")
    for field, value in {**values, **limits}.items():
        table.add_row(field, _number(value), sources.get(field, ""))
    return table


def _number(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:g}" if isinstance(value, float) else str(value)

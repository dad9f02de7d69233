"""The readers over recorded programs and replies: real text, of every quality."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from warpwright.errors import InputError
from warpwright.program.difference.difference import difference
from warpwright.program.edit.config_edit import add_autotune, set_configs
from warpwright.program.host_calls import host_calls
from warpwright.program.view import read_program
from warpwright.types.config import Config
from warpwright.types.edit import EditKind

pytestmark = [pytest.mark.cases, pytest.mark.slow]


def block(text: str) -> str:
    found = re.search(r"```(?:python)?\s*\n(.*?)```", text, re.DOTALL)
    return found.group(1) if found else text


@pytest.fixture(scope="module")
def records(cases_dir: Path) -> list[dict[str, object]]:
    with gzip.open(cases_dir / "cases" / "recorded.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in lines]


def program_of(record: dict[str, object]) -> str:
    request = str(record["request"])
    return block(request[request.index("[CURRENT CODE]") :])


def replies(records: list[dict[str, object]]) -> Iterator[tuple[dict[str, object], str]]:
    for record in records:
        if record["reply"]:
            yield record, block(str(record["reply"]))


def test_every_recorded_program_reads_with_all_its_launches(
    records: list[dict[str, object]],
) -> None:
    for record in records:
        view = read_program(program_of(record))
        assert view.kernels and view.launches
        assert view.undefined == ()
        launched = {launch.kernel for launch in view.launches}
        assert all(k.is_helper or k.name in launched for k in view.kernels), record["task"]
        assert (
            all(k.autotune is None or k.autotune.configs for k in view.kernels) or (record["task"])
        )
        host_calls(view.source)


def test_undefined_names_are_those_of_the_recorded_name_errors(
    records: list[dict[str, object]],
) -> None:
    missed: list[str] = []
    accused: list[str] = []
    for record, reply in replies(records):
        error = str(record["reply_error"] or "").strip().splitlines()[-1:]
        named = re.search(r"NameError\W+(\w+)'? is not defined", error[0]) if error else None
        named = named or (re.search(r"NameError: name '(\w+)'", error[0]) if error else None)
        try:
            found = {item.name for item in read_program(reply).undefined}
        except InputError:
            continue
        if named and named.group(1) not in found:
            missed.append(named.group(1))
        if found and record["reply_runnable"]:
            accused.append(f"{record['task']}: {found}")
    assert (missed, accused) == ([], [])


def test_every_recorded_reply_is_compared_with_its_parent(
    records: list[dict[str, object]],
) -> None:
    for record, reply in replies(records):
        try:
            edits = difference(program_of(record), reply)
        except InputError:
            continue
        assert all(edit.before or edit.after or edit.kind is EditKind.COSMETIC for edit in edits)


def test_configs_of_recorded_programs_can_be_edited(records: list[dict[str, object]]) -> None:
    plain = {EditKind.AUTOTUNE_ADDED, EditKind.CONFIG_ADDED, EditKind.LAUNCH_OPTIONS}
    for record in records[::6]:
        source = program_of(record)
        for kernel in read_program(source).launched_kernels:
            if kernel.autotune is None:
                new = [Config((), 4, 2), Config((), 8, 3)]
                edited = add_autotune(source, kernel.name, new, ["n"])
                assert {e.kind for e in difference(source, edited)} <= plain
            elif kernel.autotune.configs:
                old = kernel.autotune.configs
                new = [old[0], Config(old[0].meta, 16, 5)]
                edited = set_configs(source, kernel.name, new)
                kinds = {e.kind for e in difference(source, edited)}
                assert kinds <= {EditKind.CONFIG_ADDED, EditKind.CONFIG_REMOVED}

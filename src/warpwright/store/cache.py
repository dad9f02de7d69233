"""What jobs found, kept on disk by content and toolchain.

A job's result depends only on its payload, its files, the versions of the tools and our own
child modules; all of these make the key. Only results of jobs that ended well are kept: a
timeout or a crash may be the machine's doing.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from warpwright.sandbox.deadline import Deadline, run_in_time
from warpwright.sandbox.kinds import JOBS, MAIN
from warpwright.types.job import Job, JobOutcome, JobResult

TOOLS = ("triton", "torch", "numpy")
CACHE_VERSION = 1
PACKAGE = Path(__file__).parent.parent
_IMPORT = re.compile(
    r"^[ \t]*(?:from|import) (warpwright[\w.]*)(?: import (\([^)]*\)|.*))?", re.MULTILINE
)
_NAME = re.compile(r"\w+")


def default_cache_dir() -> Path:
    """`$WARPWRIGHT_CACHE_DIR`, else the user's cache directory."""
    if override := os.environ.get("WARPWRIGHT_CACHE_DIR"):
        return Path(override)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "warpwright"


@cache
def toolchain_versions() -> Mapping[str, str | None]:
    """Installed versions of what decides a job's result; None: not installed."""
    versions: dict[str, str | None] = {"python": ".".join(map(str, sys.version_info[:3]))}
    for tool in TOOLS:
        try:
            versions[tool] = importlib.metadata.version(tool)
        except importlib.metadata.PackageNotFoundError:
            versions[tool] = None
    return versions


def children_digest(kind: str) -> str:
    """Of what runs in a job of this kind: its module and all of ours that it imports."""
    return own_digest(JOBS[kind], MAIN)


@cache
def own_digest(*modules: str) -> str:
    """Of the text of modules of ours and of all of ours that they import.

    What other text of theirs made earlier is not what they make now.
    """
    digest = hashlib.sha256()
    for path in sorted(own_modules(*modules)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def own_modules(*modules: str) -> set[Path]:
    """The files of modules of ours and of all of ours that they import.

    Read off the source, since importing a child's module would import torch.
    """
    found: set[Path] = set()
    waiting = list(modules)
    while waiting:
        path = _file_of(waiting.pop())
        if path is None or path in found:
            continue
        found.add(path)
        waiting += _imported_by(path)
    return found


@cache
def _imported_by(path: Path) -> tuple[str, ...]:
    """What of ours a file of ours imports, and maybe more; children share most of theirs.

    Found by a pattern, since parsing some dozens of files takes longer than reading a program.
    """
    names: list[str] = []
    for package, listed in _IMPORT.findall(path.read_text(encoding="utf-8")):
        names += [package, *(f"{package}.{name}" for name in _NAME.findall(listed))]
    return tuple(names)


def _file_of(module: str) -> Path | None:
    """The file of one of our modules; None for foreign ones, packages and plain names."""
    root, *rest = module.split(".")
    path = PACKAGE.joinpath(*rest).with_suffix(".py")
    return path if root == PACKAGE.name and rest and path.is_file() else None


def content_key(kind: str, payload: Mapping[str, Any], files: Mapping[str, Path]) -> str:
    """The key of a job: sha256 over everything its result depends on."""
    parts = {
        "version": CACHE_VERSION,
        "kind": kind,
        "payload": payload,
        "files": {name: _file_digest(path) for name, path in sorted(files.items())},
        "tools": dict(toolchain_versions()),
        "children": children_digest(kind),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class ResultCache:
    """A directory of results. Safe to share between processes: entries appear by rename."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or default_cache_dir()

    def _entry(self, key: str) -> Path:
        return self.directory / "jobs" / key[:2] / key

    def load(self, key: str) -> Mapping[str, Any] | None:
        """The JSON value kept under `key`, or None; a damaged entry counts as none."""
        try:
            value = json.loads((self._entry(key) / "value.json").read_text())
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def output_dir(self, key: str) -> Path:
        """Where the entry's files lie."""
        return self._entry(key) / "out"

    def store(self, key: str, value: Mapping[str, Any], output: Path | None = None) -> None:
        """Keep a value, and the files of `output` beside it."""
        entry = self._entry(key)
        entry.parent.mkdir(parents=True, exist_ok=True)
        fresh = entry.with_name(f"{key}.{secrets.token_hex(4)}")
        fresh.mkdir()
        if output is not None and output.is_dir():
            shutil.copytree(output, fresh / "out")
        (fresh / "value.json").write_text(json.dumps(dict(value)))
        if entry.exists() and self.load(key) is None:  # damaged
            shutil.rmtree(entry, ignore_errors=True)
        try:
            fresh.rename(entry)
        except OSError:  # another process was first
            shutil.rmtree(fresh, ignore_errors=True)


class PassingCache(ResultCache):
    """Results of one run alone: what the same run asks twice is done once, and nothing is left."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="warpwright-cache-")
        super().__init__(Path(self._folder.name))


def run_cached(
    job: Job,
    cache: ResultCache | None,
    keep: Callable[[Mapping[str, Any]], bool] = lambda _: True,
    *,
    deadline: Deadline | None = None,
) -> JobResult:
    """`run_job`, unless the same job was done before. `cache` None: always run.

    `keep` tells from a result's value whether it is one to keep. With a `deadline` the job may take
    no more than what is left of it; one that it ends is a timeout with the deadline's reason.

    Files that the job leaves go to `job.keep_output` in both cases.
    """
    if cache is None:
        return run_in_time(job, deadline)
    payload = {**job.payload, "environment": dict(job.environment)}
    key = content_key(job.kind, payload, job.files)
    value = cache.load(key)
    if value is not None:
        if job.keep_output is not None and cache.output_dir(key).is_dir():
            shutil.copytree(cache.output_dir(key), job.keep_output, dirs_exist_ok=True)
        return JobResult(JobOutcome.OK, value=value, from_cache=True)
    result = run_in_time(job, deadline)
    if result.ok and result.value is not None and keep(result.value):
        cache.store(key, result.value, job.keep_output)
    return replace(result, from_cache=False)

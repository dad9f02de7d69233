"""What Triton builds at the start of every process on a GPU, built once for all of them.

Its driver module and a launcher are C code that the machine's compiler takes seconds for. A worker
that has just started, before any foreign program was loaded, has them in its own Triton cache; they
are kept from there by toolchain, and later workers start with a copy.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from pathlib import Path

from warpwright.store.cache import default_cache_dir, toolchain_versions

FOLDER = "triton"  # a child's own Triton cache, in its directory (`sandbox.run`)
GROUPS = "__grp__*.json"  # lists of files that belong together, by absolute paths


def kept_files(base: Path | None = None) -> Path:
    """Where they lie for this toolchain; there may be none yet."""
    versions = json.dumps(dict(toolchain_versions()), sort_keys=True)
    name = hashlib.sha256(versions.encode()).hexdigest()[:16]
    return (base or default_cache_dir()) / "workers" / name


def give_files(kept: Path, job_dir: Path) -> None:
    """Copy them into the directory of a child that is about to start."""
    if not kept.is_dir():
        return
    shutil.copytree(kept, job_dir / FOLDER, dirs_exist_ok=True)
    for group in (job_dir / FOLDER).glob(f"*/{GROUPS}"):
        told = json.loads(group.read_text())
        paths = {name: str(group.parent / Path(path).name) for name, path in _paths(told).items()}
        group.write_text(json.dumps({**told, "child_paths": paths}))


def _paths(group: dict[str, dict[str, str]]) -> dict[str, str]:
    return group.get("child_paths", {})


def keep_files(kept: Path, job_dir: Path) -> None:
    """Keep what a child built that has started and has loaded nothing yet. The first stays."""
    built = job_dir / FOLDER
    if kept.exists() or not built.is_dir():
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    fresh = kept.with_name(f"{kept.name}.{secrets.token_hex(4)}")
    shutil.copytree(built, fresh)
    try:
        fresh.rename(kept)
    except OSError:  # another process was first
        shutil.rmtree(fresh, ignore_errors=True)

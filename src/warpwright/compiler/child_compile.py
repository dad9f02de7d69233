"""Inside a child: compile configs for a target GPU that need not be there.

Several children work on one list. Each takes the next config that nobody has claimed, and
writes each result as soon as it has it, so that a config that takes the process down costs
only itself. Files in the exchange directory:

    claim-<id>        a link naming the child that took the config
    result-<id>.json  what came of it
    log-<id>          what the compiler printed to stderr
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warpwright.compiler import assembly
from warpwright.sandbox import child_blame, child_guard

if TYPE_CHECKING:
    from warpwright.compiler import child_triton

LOG_BYTES = 64 * 1024
FILE_BYTES = 512 * 1024**2
TOOL_TIMEOUT_S = 30


def perform(payload: Mapping[str, Any], job_dir: Path) -> dict[str, Any]:
    """Compile what is left of `payload["items"]`; the results are in the exchange directory."""
    sys.dont_write_bytecode = True  # the guard would take it for a write outside the job
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    import torch  # noqa: F401  (before the program runs: outside its guard and its deadline)

    from warpwright.compiler import child_triton
    from warpwright.tracing import child_target

    binaries = payload.get("binaries")
    if binaries is not None:  # under the names, and as complete, as a launch would have them
        child_guard.allow_directories(job_dir, Path(binaries))
        os.environ["TRITON_CACHE_DIR"] = binaries
        os.environ["TRITON_ALWAYS_COMPILE"] = "1"
    with _deadline(payload["import_deadline_s"]):
        module = child_target.load_on_target(
            payload["program"], "program", job_dir, payload["facts"]
        )
    compiler = child_triton.Compiler(
        module, tuple(payload["compute_capability"]), own_cache=binaries is None
    )
    exchange = Path(payload["exchange"])
    done = 0
    while (item := claim_next(payload["items"], exchange, payload["child"])) is not None:
        with (
            _deadline(payload["deadline_s"], payload["processor_s"]),
            _stderr_to(exchange / f"log-{item['id']}"),
        ):
            result = compile_item(compiler, item, payload, job_dir)
        _write(exchange / f"result-{item['id']}.json", result, exchange)
        done += 1
    return {"compiled": done}


def claim_next(
    items: Sequence[Mapping[str, Any]], exchange: Path, child: str
) -> Mapping[str, Any] | None:
    """Take the next unclaimed item, or None when none is left.

    First those whose stages this child may have done already, then the costliest of those
    that nobody has begun.
    """
    while True:
        claims = {path.name: str(path.readlink()) for path in exchange.glob("claim-*")}
        free = [item for item in items if f"claim-{item['id']}" not in claims]
        if not free:
            return None
        owners: dict[str, set[str]] = {}
        for item in items:
            if owner := claims.get(f"claim-{item['id']}"):
                owners.setdefault(item["group"], set()).add(owner)

        def rank(
            item: Mapping[str, Any], owners: Mapping[str, set[str]] = owners
        ) -> tuple[int, float, int]:
            holders = owners.get(item["group"], set())
            order = 0 if child in holders else (2 if holders else 1)
            return order, -item["cost"], item["id"]

        item = min(free, key=rank)
        with contextlib.suppress(FileExistsError):  # another child was faster
            (exchange / f"claim-{item['id']}").symlink_to(child)
            return item


def compile_item(
    compiler: child_triton.Compiler,
    item: Mapping[str, Any],
    payload: Mapping[str, Any],
    job_dir: Path,
) -> dict[str, Any]:
    """One config's result, or why it failed, as JSON data."""
    from warpwright.compiler import child_triton

    try:
        binary = compiler.compile(item["specialization"], item["meta"], item["options"])
        return {"compiled": describe(binary, payload, job_dir)}
    except MemoryError:
        return _failed("out of memory", "the compiler ran out of memory")
    except child_guard.ForbiddenActionError as error:
        return _failed("error", f"the kernel's code tried to {error}")
    except (SystemExit, KeyboardInterrupt):
        return _failed("error", "the kernel's code called exit")
    except Exception as error:
        sys.stderr.flush()
        words = child_triton.explain(error, payload["program"])
        said = compiler_says(_tail(sys.stderr.fileno()))
        kind = "tool" if child_blame.names_a_tool(error) else "error"
        return _failed(kind, f"{words}\n{said}" if said and said not in words else words)


def describe(
    binary: child_triton.Binary, payload: Mapping[str, Any], job_dir: Path
) -> dict[str, Any]:
    """Resources and facts of a compiled config, read from its files."""
    path = job_dir / "kernel.cubin"
    path.write_bytes(binary.cubin)
    text = subprocess.run(
        [payload["cuobjdump"], "-res-usage", path],
        check=True,
        capture_output=True,
        text=True,
        timeout=TOOL_TIMEOUT_S,
    ).stdout
    usage = assembly.read_usage(text)
    target = (int(payload["compute_capability"][0]), int(payload["compute_capability"][1]))
    static = usage.static_shared_bytes(target)
    return {
        "cubin_sha256": assembly.executable_digest(binary.cubin),
        "code": base64.b64encode(zlib.compress(binary.cubin)).decode(),
        "parameters": list(binary.parameters),
        "resources": {
            "registers_per_thread": usage.registers,
            "stack_bytes": usage.stack_bytes,
            "local_bytes": usage.local_bytes,
            "shared_bytes": binary.shared_bytes + static,
            "threads_per_block": 32 * binary.num_warps,
        },
        "facts": {
            **assembly.count_ptx(binary.ptx),
            **assembly.count_dots(binary.ttgir),
            **assembly.read_spills(binary.ptxas_log),
            "pipeline_buffers": assembly.pipeline_buffers(binary.ttgir),
            "code_bytes": assembly.code_bytes(binary.cubin),
        },
    }


def compiler_says(log: str) -> str:
    """The first error in what Triton's passes and LLVM print to stderr."""
    for line in log.splitlines():
        if "error:" in line or "LLVM ERROR" in line or "Assertion" in line:
            return line.strip()
    return ""


def _failed(kind: str, reason: str) -> dict[str, Any]:
    return {"failed": {"kind": kind, "reason": reason}}


@contextlib.contextmanager
def _deadline(seconds: float, processor_s: float | None = None) -> Iterator[None]:
    """End the process by SIGALRM, or by SIGPROF for processor time, unless the body is done.

    The signals' default action needs no Python to run, so a loop inside the compiler is ended
    as well; the parent tells these signals from a crash.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_PROF, processor_s or 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)


@contextlib.contextmanager
def _stderr_to(path: Path) -> Iterator[None]:
    """Send file descriptor 2, which C++ code writes to, into a file."""
    sys.stderr.flush()
    saved = os.dup(2)
    log = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 2)
    os.close(log)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)


def _tail(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, LOG_BYTES, max(0, size - LOG_BYTES)).decode(errors="replace")


def _write(path: Path, result: Mapping[str, Any], exchange: Path) -> None:
    temporary = exchange / f"{path.name}.tmp"
    temporary.write_text(json.dumps(result))
    temporary.rename(path)

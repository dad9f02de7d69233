"""The parent's side of `child_worker`: run, check and time programs in a persistent process."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from warpwright.bench.device.card import turn
from warpwright.bench.device.start_files import give_files, keep_files, kept_files
from warpwright.sandbox.kinds import INTERPRETED
from warpwright.sandbox.persistent import PersistentChild
from warpwright.tracing.trace import problem_payload
from warpwright.types.accuracy_numbers import CaseSpec
from warpwright.types.config import Config
from warpwright.types.measurement import MeasuredGpu
from warpwright.types.shapes import Problem
from warpwright.types.worker_reply import Answer, Done, WorkerDied, WorkerLimits

LOAD_S = 60.0
CALL_S = 60.0
KEPT_BYTES = 2**20  # a smaller file is made in no time
ROOM_FOR_FILES = 16  # as large as one that is kept: every worker may keep its own
GIVEN_BACK = "free-"  # as `child_files.given_back` has it
# Where outputs pass from worker to judge: memory, where the system has it.
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class States:
    """Parameters of the problem's model, which the reference process left in `directory`: name →
    manifest."""

    manifests: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    directory: Path | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """What to load. `pins` leaves a kernel one config; `cache_dir` is Triton's, for it alone.

    Without `cache_dir` nothing compiled is found, or kept for the next load. `evaluation_mode`: the
    model is put into `eval()`, without which it launches none of its kernels.
    """

    source: str
    problem: Problem
    seed: int
    pins: Mapping[str, Config] = field(default_factory=dict)
    states: States = field(default_factory=States)
    cache_dir: Path | None = None
    evaluation_mode: bool = False


@dataclass(frozen=True, slots=True)
class EagerVariant:
    """How the problem's own model is run as a baseline. `compile`: a mode of `torch.compile`.

    `channels_last` gives it inputs in that layout without counting the change.
    """

    channels_last: bool = False
    cudnn_benchmark: bool = False
    compile: str | None = None

    def __str__(self) -> str:
        words = ["channels_last" if self.channels_last else "NCHW"]
        words += ["cudnn.benchmark"] if self.cudnn_benchmark else []
        words += [f"torch.compile {self.compile}"] if self.compile else []
        return "eager, " + ", ".join(words)


def exchange_directory() -> Path:
    """A new directory for outputs, in shared memory where there is some.

    Those of main processes that were killed are removed first: they hold memory.
    """
    usable = SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK)
    base = SHARED_MEMORY if usable else Path(tempfile.gettempdir())
    for left in base.glob("warpwright-outputs-*-*"):
        owner = left.name.split("-")[2]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    prefix = f"warpwright-outputs-{os.getpid()}-"
    return Path(tempfile.mkdtemp(prefix=prefix, dir=base)).resolve()


OFF_THE_CARD = frozenset({"compile"})
TIMED = frozenset({"time", "first_call", "host_overhead", "do_bench", "graph", "torch_compile"})
"""Requests that take times (a first call tunes): no other run may use the card meanwhile."""


def device_environment(device: str) -> dict[str, str]:
    """Environment of a child on "cuda" or "cpu"."""
    if device == "cpu":
        return dict(INTERPRETED)
    return {
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0],
        # torch's compiler works in the process itself: starting others is forbidden there
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        **({"CC": os.environ["CC"]} if "CC" in os.environ else {}),
    }


class Worker:
    """A persistent process that runs programs, one loaded at a time.

    Every request answers a `Done`, a `CandidateFailed` or a `WorkerDied`. Files of outputs lie in
    `out_dir`. `directory`: where the process gets its own empty directory.
    """

    def __init__(
        self,
        device: str = "cuda",
        *,
        limits: WorkerLimits | None = None,
        cores: Iterable[int] | None = None,
        directory: Path | None = None,
        file_bytes: int | None = None,
    ) -> None:
        self.device = device
        self.out_dir = exchange_directory()
        settings: dict[str, Any] = {"device": device}
        if file_bytes is not None:
            settings["file_bytes"] = file_bytes
        try:
            self._child = PersistentChild(
                "worker",
                settings=settings,
                limits=limits,
                cores=cores,
                environment=device_environment(device),
                directory=directory,
                prepare=None if device == "cpu" else partial(give_files, kept_files()),
            )
        except BaseException:
            shutil.rmtree(self.out_dir, ignore_errors=True)
            raise
        self._files = 0
        self._spoiled = False
        self.used = False

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def healthy(self) -> bool:
        """Whether it may get another program."""
        return self._child.alive and not self._spoiled

    def ready(self) -> Answer:
        """Wait until it has started."""
        answer = self._child.ready()
        if isinstance(answer, Done) and not self.used and self.device != "cpu":
            keep_files(kept_files(), self._child.job_dir)
        return answer

    def move_to(self, cores: Iterable[int]) -> None:
        """Let it run on these cores only, from its next request on."""
        self._child.move_to(cores)

    def gpu(self) -> MeasuredGpu | None:
        """The card as torch tells it; None on the CPU device or before it is ready."""
        return None if self.device == "cpu" else measured_gpu(self._child.facts)

    def load(self, program: Program, *, deadline_s: float = LOAD_S) -> Answer:
        """Load a program; the one before is forgotten. Value: `parameters`, `parameters_matched`,
        `inputs_s` (seconds to make the problem's inputs)."""
        return self._ask("load", self._loading(program), deadline_s)

    def first_call(self, program: Program, *, deadline_s: float = 2 * LOAD_S) -> Answer:
        """Load a program with an empty Triton cache and call it once. Value: `first_call_s`, wall
        time with compiling and tuning, and `chosen`, what each tuner took (`chosen_configs`)."""
        payload = self._loading(program) | {"cache_dir": None}
        return self._ask("first_call", payload, deadline_s)

    def compile(self, program: Program, *, deadline_s: float = 2 * LOAD_S) -> Answer:
        """Fill the program's Triton cache; no kernel of it runs. Value: `compile_s`."""
        return self._ask("compile", self._loading(program), deadline_s)

    def load_eager(
        self, program: Program, variant: EagerVariant, *, deadline_s: float = LOAD_S
    ) -> Answer:
        """Load the problem's own model; the source of `program` is not used. The worker is for
        baselines from then on."""
        payload = self._loading(program) | {"variant": asdict(variant)}
        self._spoiled = True  # library settings and torch's compiler stay in the process
        return self._ask("load_eager", payload, deadline_s)

    def check(
        self,
        spec: CaseSpec,
        *,
        seed: int = 0,
        poison_bytes: Sequence[int] = (),
        deadline_s: float = CALL_S,
    ) -> Answer:
        """Run once on a case. Value: `outputs` (manifest of files in `out_dir`), `launches`,
        `changed_inputs`, `parameters`, `parameters_matched`, `call_s`; or `skipped`."""
        payload = {
            "spec": asdict(spec),
            "seed": seed,
            "poison_bytes": list(poison_bytes),
            "prefix": self._prefix(),
        }
        return self._ask("check", payload, deadline_s)

    def time(
        self,
        calls: int,
        *,
        seed: int,
        warm_up_s: float = 0.0,
        keep: int | None = None,
        deadline_s: float = CALL_S,
    ) -> Answer:
        """A burst of timed calls, after calling for `warm_up_s`.

        Value: `times_us`, `host_us`, `tail_us` (one a call), `chosen` (see `chosen_configs`), and
        `kept`: the spec of call `keep`, whose output `kept_output` fetches. Choose `seed` and
        `keep` at random for each burst.
        """
        payload = {"calls": calls, "seed": seed, "warm_up_s": warm_up_s, "keep": keep}
        return self._ask("time", payload, deadline_s)

    def kept_output(self, *, deadline_s: float = CALL_S) -> Answer:
        """The output that the last burst kept. Value: `outputs`, the manifest of its files."""
        return self._ask("kept_output", {"prefix": self._prefix()}, deadline_s)

    def host_overhead(self, *, seed: int, deadline_s: float = CALL_S) -> Answer:
        """Host time to issue a call with the device idle. Value: `host_us`, `samples_us`."""
        return self._ask("host_overhead", {"seed": seed}, deadline_s)

    def do_bench(self, *, seed: int, rep_ms: int = 200, deadline_s: float = CALL_S) -> Answer:
        """`triton.testing.do_bench`. Value: `median_us`, `p20_us`, `p80_us`."""
        return self._ask("do_bench", {"seed": seed, "rep_ms": rep_ms}, deadline_s)

    def graph(self, *, seed: int, calls: int = 20, deadline_s: float = CALL_S) -> Answer:
        """Capture in a CUDA graph and replay. Value: `works`; `reason`, or `times_us`,
        `bit_equal`, `relative_difference` to a direct call."""
        return self._ask("graph", {"seed": seed, "calls": calls}, deadline_s)

    def torch_compile(
        self, *, seed: int, backend: str = "inductor", deadline_s: float = 2 * CALL_S
    ) -> Answer:
        """Under `torch.compile`; nothing else should be asked of this worker later.

        Value: `works`; `reason`, or `whole_graph`, `bit_equal`, `relative_difference` to a direct
        call.
        """
        self._spoiled = True
        return self._ask("torch_compile", {"seed": seed, "backend": backend}, deadline_s)

    def forget(self, manifest: Iterable[Mapping[str, Any]]) -> None:
        """Give the files of a manifest back, once they were measured: the worker writes large ones
        again, where there is room enough to leave them."""
        for entry in manifest:
            path = self.out_dir / Path(str(entry["file"])).name
            with contextlib.suppress(OSError):
                size_bytes = path.stat().st_size
                room_bytes = shutil.disk_usage(self.out_dir).free
                if KEPT_BYTES <= size_bytes <= room_bytes // ROOM_FOR_FILES:
                    path.rename(path.with_name(f"{GIVEN_BACK}{path.name}"))
                else:
                    path.unlink()

    def close(self) -> None:
        """Kill the process and remove its files."""
        self._child.close()
        shutil.rmtree(self.out_dir, ignore_errors=True)

    def _ask(self, command: str, payload: Mapping[str, Any], deadline_s: float) -> Answer:
        self.used = True
        if command in OFF_THE_CARD:
            answer = self._child.call(command, payload, deadline_s=deadline_s)
        else:
            with turn(self.device, alone=command in TIMED):
                answer = self._child.call(command, payload, deadline_s=deadline_s)
        if not isinstance(answer, (Done, WorkerDied)):
            self._spoiled = self._spoiled or answer.replace_worker
        return answer

    def _prefix(self) -> str:
        self._files += 1
        return f"out{self._files}"

    def _loading(self, program: Program) -> dict[str, Any]:
        states = program.states
        return {
            "source": program.source,
            "problem": problem_payload(program.problem),
            "pins": {kernel: _pin(config) for kernel, config in program.pins.items()},
            "seed": program.seed,
            "states": dict(states.manifests),
            "states_dir": str(states.directory) if states.directory else None,
            "cache_dir": str(program.cache_dir) if program.cache_dir else None,
            "out_dir": str(self.out_dir),
            "evaluation_mode": program.evaluation_mode,
        }


def _pin(config: Config) -> dict[str, Any]:
    return {
        "meta": config.meta_dict,
        "num_warps": config.num_warps,
        "num_stages": config.num_stages,
        "num_ctas": config.num_ctas,
        "maxnreg": config.maxnreg,
    }


def chosen_configs(value: Mapping[str, Any]) -> dict[str, Config]:
    """Kernel → the config that its tuner took, from a `Done`'s value; on the CPU there are none."""
    return {
        name: Config(
            tuple(taken["meta"].items()),
            taken["num_warps"],
            taken["num_stages"],
            taken["num_ctas"] or 1,
            taken["maxnreg"],
        )
        for name, taken in value.get("chosen", {}).items()
    }


def measured_gpu(facts: Mapping[str, Any]) -> MeasuredGpu:
    """The card from what a child said of its device. The driver's version comes from NVML."""
    major, minor = facts["compute_capability"]
    return MeasuredGpu(
        name=str(facts["name"]),
        compute_capability=(int(major), int(minor)),
        sm_count=int(facts["sm_count"]),
        memory_bytes=int(facts["memory_bytes"]),
        l2_bytes=facts.get("l2_bytes"),
        uuid=facts.get("uuid"),
        cuda=facts.get("cuda"),
        torch=facts.get("torch"),
        triton=facts.get("triton"),
    )

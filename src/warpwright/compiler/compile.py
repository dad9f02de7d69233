"""Compile a kernel's configs for a target GPU, in parallel, in children.

No GPU is needed. A config that the compiler refuses, that hangs, aborts or takes too much
memory becomes a `CompileFailed`; the others are compiled all the same. Results are kept by
content: see `kernel_identity` for what counts as the kernel's content.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from warpwright.compiler.compile_pool import CompilePool, PoolLimits
from warpwright.compiler.kernel_identity import kernel_code
from warpwright.errors import InputError, MissingToolError
from warpwright.sandbox.deadline import Deadline
from warpwright.sandbox.toolchain import find_triton, toolchain
from warpwright.store.binaries import cache_directory, has_compiled, note_compiled
from warpwright.store.cache import ResultCache, children_digest
from warpwright.tracing.trace import target_facts
from warpwright.types.compiled import (
    Compiled,
    CompileFailed,
    CompileResult,
    Resources,
    Specialization,
    Toolchain,
)
from warpwright.types.config import Config, MetaValue

COMPILE_VERSION = 2  # raise it when results of older versions are no longer right
KINDS = ("error", "timeout", "crash", "out of memory", "tool")
# What a child says where it cannot find a kernel, e.g. one that a function defines: the compiler
# was never asked.
NOT_FOUND = "KernelLookupError: the program has no kernel"
# A program without these words cannot have a kernel that depends on more of the card than its
# architecture.
CARD_WORDS = ("cuda", "driver", "accelerator", "device_module")


@dataclass(frozen=True, slots=True)
class CompileRequest:
    """One config of a kernel, specialised in one way. `options`: others of Triton's options."""

    specialization: Specialization
    config: Config
    options: Mapping[str, MetaValue] = field(default_factory=dict)


def compile_configs(
    program: str,
    requests: Sequence[CompileRequest],
    *,
    compute_capability: tuple[int, int],
    facts: Mapping[str, Any] | None = None,
    cache: ResultCache | None = None,
    workers: int | None = None,
    limits: PoolLimits | None = None,
    deadline: Deadline | None = None,
    binaries: Path | None = None,
    progress: Callable[[CompileResult], None] | None = None,
) -> tuple[CompileResult, ...]:
    """Compile every request for a GPU of `compute_capability`, e.g. (8, 9).

    Results come in the order of the requests; equal requests are compiled once. `workers`
    children run at a time (None: as many as there are usable cores); `limits` holds the
    deadline of each config and a child's memory; what `deadline` ends is a timeout, and not kept.
    `facts` (`trace.device_facts`) answer a program that asks for the card when it is imported.
    `binaries`: what has to be compiled stays there for the processes that run the program, as
    Triton's own cache. `progress` is called with each result as it comes, in the calling thread.

    Raises MissingToolError where Triton, torch or its tools are not installed.
    """
    if not requests:
        return ()
    versions = toolchain(compute_capability)
    triton = find_triton()
    if triton is None or triton.cuobjdump is None:
        raise MissingToolError(
            "Triton's cuobjdump is missing: registers cannot be read",
            hint="install Triton's own Linux wheel (pip install --force-reinstall triton)",
        )
    limits = limits or PoolLimits()
    card = target_facts(compute_capability, facts)
    work = _Work(program, compute_capability, versions, cache, limits.processor_s, card)

    def report(index: int, value: Mapping[str, Any]) -> None:
        if progress is not None:
            progress(work.result(index, value))

    for index, request in enumerate(requests):
        work.add(index, request)
    for index, result in work.from_cache(binaries):
        report(index, result)
    for index, result in work.hopeless(deadline):
        report(index, result)
    pool = CompilePool(
        payload={
            "program": program,
            "compute_capability": list(compute_capability),
            "facts": card,
            "cuobjdump": str(triton.cuobjdump),
            "binaries": None if binaries is None else str(cache_directory(binaries, program)),
        },
        items=work.items(),
        limits=limits,
        deadline=deadline,
    )
    for item, value, keep in pool.run(workers):
        for index in work.settle(item, value, keep=keep):
            report(index, value)
    work.remember_ended(pool.ended_after_s, deadline)
    results = work.results()
    if binaries is not None:
        note_compiled(binaries, program, work.compiled())
    return results


def cubin_classes(results: Sequence[CompileResult]) -> tuple[tuple[Config, ...], ...]:
    """Configs that compiled, grouped by equal cubins, in order of first appearance.

    The configs of a class launch the same machine code. Configs that failed are left out.
    """
    classes: dict[str, list[Config]] = {}
    for result in results:
        if isinstance(result, Compiled):
            members = classes.setdefault(result.cubin_sha256, [])
            if result.config not in members:
                members.append(result.config)
    return tuple(tuple(members) for members in classes.values())


def request_key(
    code: str, request: CompileRequest, compute_capability: tuple[int, int], versions: Toolchain
) -> str:
    """sha256 over all that a compile result depends on.

    The label of a specialisation, the line of a config and torch's version are not part of it.
    """
    specialization, config = request.specialization, request.config
    parts = {
        "version": COMPILE_VERSION,
        "children": children_digest("compile"),
        "code": code,
        "kernel": specialization.kernel,
        "signature": dict(specialization.signature),
        "constants": _typed(specialization.constants),
        "divisible_by_16": sorted(specialization.divisible_by_16),
        "meta": _typed(config.meta_dict),
        "options": _typed({**request.options, **_options(config)}),
        "target": list(compute_capability),
        "tools": [versions.triton, versions.ptxas, (versions.python or "").rsplit(".", 1)[0]],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def asks_for_card(program: str) -> bool:
    """Whether the program may ask for facts of the card, which then may be in its kernels."""
    return any(word in program for word in CARD_WORDS)


def _typed(values: Mapping[str, Any]) -> dict[str, list[Any]]:
    # 1, 1.0 and True compile to different code but are equal as dict values.
    return {name: [type(value).__name__, value] for name, value in values.items()}


def _options(config: Config) -> dict[str, int | None]:
    return {
        "num_warps": config.num_warps,
        "num_stages": config.num_stages,
        "num_ctas": config.num_ctas,
        "maxnreg": config.maxnreg,
    }


class _Work:
    """Requests, the items they come down to, and the results as they become known."""

    def __init__(
        self,
        program: str,
        compute_capability: tuple[int, int],
        versions: Toolchain,
        cache: ResultCache | None,
        processor_s: float,
        facts: Mapping[str, Any],
    ) -> None:
        self._program = program
        self._program_digest = hashlib.sha256(program.encode("utf-8", "replace")).hexdigest()
        self._target = compute_capability
        self._versions = versions
        self._cache = cache
        self._processor_s = processor_s
        self._facts = facts
        self._requests: list[CompileRequest] = []
        self._codes: dict[str, str] = {}
        self._members: dict[str, list[int]] = {}  # key → indices of equal requests
        self._values: dict[str, Mapping[str, Any]] = {}
        self._keys: list[str] = []

    def add(self, index: int, request: CompileRequest) -> None:
        key = request_key(
            self._code(request.specialization.kernel), request, self._target, self._versions
        )
        if asks_for_card(self._program):
            key = hashlib.sha256(f"{key}{sorted(self._facts.items())}".encode()).hexdigest()
        self._requests.append(request)
        self._keys.append(key)
        self._members.setdefault(key, []).append(index)

    def _code(self, kernel: str) -> str:
        if kernel not in self._codes:
            try:
                self._codes[kernel] = kernel_code(self._program, kernel)
            except InputError:
                self._codes[kernel] = self._program  # the child will say what is wrong with it
        return self._codes[kernel]

    def _refusal_key(self, key: str) -> str:
        # What the compiler says of a refused config names a line of this very text.
        return hashlib.sha256(f"{key}{self._program_digest}".encode()).hexdigest()

    def _timeout_key(self, key: str) -> str:
        return hashlib.sha256(f"{key} in {self._processor_s:g} s".encode()).hexdigest()

    def _key_of(self, key: str, value: Mapping[str, Any]) -> str:
        failed = value.get("failed")
        if failed is None:
            return key
        timeout = isinstance(failed, dict) and failed.get("kind") == "timeout"
        return self._timeout_key(key) if timeout else self._refusal_key(key)

    def from_cache(self, binaries: Path | None) -> list[tuple[int, Mapping[str, Any]]]:
        """Requests whose results are kept, with them; settles these. Not those of which a binary is
        wanted in `binaries` that is not there."""
        found = []
        for key, members in self._members.items():
            value = self._load(key)
            if value is not None and ("failed" in value or self._has_binary(members, binaries)):
                self._values[key] = value
                found += [(index, value) for index in members]
        return found

    def _has_binary(self, members: Sequence[int], binaries: Path | None) -> bool:
        request = self._requests[members[0]]
        pins = {request.specialization.kernel: request.config}
        return binaries is None or has_compiled(binaries, self._program, pins)

    def hopeless(self, deadline: Deadline | None) -> list[tuple[int, Mapping[str, Any]]]:
        """Requests that the deadline ended before and would end again; settles these."""
        found = []
        for key, members in self._members.items():
            if deadline is None or key in self._values or not deadline.would_end(key):
                continue
            self._values[key] = {"failed": {"kind": "timeout", "reason": deadline.reason}}
            found += [(index, self._values[key]) for index in members]
        return found

    def remember_ended(self, after_s: Mapping[int, float], deadline: Deadline | None) -> None:
        """Tell the deadline which requests it ended, and after how long (`after_s`, by item)."""
        for item, spent_s in after_s.items():
            failed = self._values[self._keys[item]].get("failed", {})
            if deadline is not None and failed.get("reason") == deadline.reason:
                deadline.remember_ended(self._keys[item], spent_s)

    def _load(self, key: str) -> Mapping[str, Any] | None:
        if self._cache is None:
            return None
        for candidate in (key, self._refusal_key(key), self._timeout_key(key)):
            value = self._cache.load(candidate)
            if value is not None and _is_result(value):
                return value
        return None

    def items(self) -> list[dict[str, Any]]:
        """What is left to compile, as children take it; `id` is the first request's index."""
        return [
            item_of(members[0], self._requests[members[0]])
            for key, members in self._members.items()
            if key not in self._values
        ]

    def settle(self, item: int, value: Mapping[str, Any], *, keep: bool) -> list[int]:
        """Take a child's result; the indices of all requests that it answers."""
        key = self._keys[item]
        self._values[key] = value
        if keep and self._cache is not None:
            self._cache.store(self._key_of(key, value), value)
        return self._members[key]

    def result(self, index: int, value: Mapping[str, Any]) -> CompileResult:
        request = self._requests[index]
        return decode_result(request, value, self._versions)

    def compiled(self) -> list[tuple[str, Config]]:
        """Kernels and configs that did compile."""
        return [
            (request.specialization.kernel, request.config)
            for request, key in zip(self._requests, self._keys, strict=True)
            if "compiled" in self._values[key]
        ]

    def results(self) -> tuple[CompileResult, ...]:
        return tuple(self.result(i, self._values[key]) for i, key in enumerate(self._keys))


def item_of(index: int, request: CompileRequest) -> dict[str, Any]:
    """A request as JSON for the children. Items of one `group` may share compiler stages."""
    specialization, config = request.specialization, request.config
    shared = replace(config, num_stages=0)
    described = {
        "kernel": specialization.kernel,
        "signature": dict(specialization.signature),
        "constants": dict(specialization.constants),
        "divisible_by_16": list(specialization.divisible_by_16),
    }
    return {
        "id": index,
        "specialization": described,
        "meta": config.meta_dict,
        "options": {**request.options, **_options(config)},
        "group": hashlib.sha256(f"{described}{shared}".encode()).hexdigest()[:16],
        "cost": _cost(config),
    }


def _cost(config: Config) -> float:
    """A guess at how long it compiles, for the order only: larger tiles first."""
    sizes = [v for v in config.meta_dict.values() if type(v) is int and v > 0]
    return math.prod(map(float, sizes)) / config.num_warps


def _is_result(value: Mapping[str, Any]) -> bool:
    return len(value) == 1 and ("compiled" in value or "failed" in value)


def decode_result(
    request: CompileRequest, value: Mapping[str, Any], versions: Toolchain
) -> CompileResult:
    """A child's JSON as a result; what does not have that form counts as a crash."""
    label = request.specialization.label
    try:
        if "failed" in value:
            failed = value["failed"]
            kind = failed["kind"] if failed["kind"] in KINDS else "crash"
            reason = str(failed["reason"])
            kind = "lookup" if reason.startswith(NOT_FOUND) else kind
            return CompileFailed(request.config, label, reason, kind)
        compiled = value["compiled"]
        resources = {name: int(compiled["resources"][name]) for name in Resources.__slots__}
        facts = {str(name): int(count) for name, count in compiled["facts"].items()}
        return Compiled(
            config=request.config,
            specialization=label,
            resources=Resources(**resources),
            cubin_sha256=str(compiled["cubin_sha256"]),
            toolchain=versions,
            facts=facts,
            code=base64.b64decode(compiled["code"]),
            parameters=tuple(map(str, compiled["parameters"])),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"the child's result cannot be read ({type(error).__name__})"
        return CompileFailed(request.config, label, reason, "crash")

"""Inside a child: the few calls into Triton's compiler, whose names differ between versions.

Works with Triton 3.6 to 3.9. No GPU and no driver is needed: the target is named, and nothing
is loaded or launched.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import io
import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia import compiler as nvidia
from triton.compiler import ASTSource
from triton.compiler.errors import CompilationError
from triton.runtime import cache as triton_cache
from triton.runtime.autotuner import Autotuner, Heuristics
from triton.runtime.jit import JITFunction

from warpwright.compiler.child_launcher import Launchers
from warpwright.sandbox import child_guard

WARP_THREADS = 32
ALIGNMENT = 16
INT32_MAX = 2**31 - 1
SPEAKS = re.compile(r"ptxas(-\w+)? ")
DTYPE_PREFIXES = ("tl.", "triton.language.")


class KernelLookupError(Exception):
    """The program has no such kernel, or the kernel lacks a parameter that was named."""


@dataclass(frozen=True, slots=True)
class Binary:
    """What Triton made of a config. Shared bytes are the dynamic ones of a block."""

    cubin: bytes
    ptx: str
    ttgir: str
    shared_bytes: int
    num_warps: int  # in all: warp specialisation adds some to the config's
    ptxas_log: str
    parameters: tuple[str, ...] = ()  # those passed at run time, in order


CONSTANTS_HAVE_ENTRIES = tuple(map(int, triton.__version__.split(".")[:2])) >= (3, 7)


class _GuardedSource(ASTSource):  # type: ignore[misc]
    """Reading a kernel runs the program's own code (constexpr functions): guard that part."""

    def make_ir(self, *args: Any, **kwargs: Any) -> Any:
        with child_guard.foreign_code():
            return super().make_ir(*args, **kwargs)


class Compiler:
    """Compiles configs of one program for one target; equal stages are done once.

    Triton repeats all stages for each config. Where two configs give the same TTGIR (configs
    that differ in `num_stages` alone often do), the later stages give the same as well.
    `own_cache`: Triton's cache is this process's alone, so that its names may be short.
    """

    def __init__(
        self,
        module: types.ModuleType,
        compute_capability: tuple[int, int],
        own_cache: bool = True,
    ) -> None:
        major, minor = compute_capability
        self._module = module
        self._target = GPUTarget("cuda", 10 * major + minor, WARP_THREADS)
        self._launchers = None if own_cache else Launchers()
        if own_cache:
            _name_entries_by_version()
        self._known: dict[str, tuple[Any, dict[str, Any], str]] = {}
        self._log = ""

    def compile(
        self, specialization: Mapping[str, Any], meta: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Binary:
        """Compile one config; whatever Triton or the kernel raises propagates."""
        kernel = find_kernel(self._module, specialization["kernel"])
        signature, constants, attributes = arguments(self._module, kernel, specialization, meta)
        source = _GuardedSource(kernel, signature, constants, attributes)
        wanted = {name: value for name, value in options.items() if value is not None}
        if getattr(kernel, "debug", None):
            wanted["debug"] = True
        self._log = ""
        try:
            with self._sharing_stages():
                compiled = triton.compile(source, target=self._target, options=wanted)
        except BaseException:
            self._forget_hashes()
            raise
        if self._launchers is not None:  # processes to come will find them in the cache
            self._launchers.build(compiled)
        return Binary(
            cubin=compiled.asm["cubin"],
            ptx=compiled.asm["ptx"],
            ttgir=compiled.asm["ttgir"],
            shared_bytes=compiled.metadata.shared,
            num_warps=compiled.metadata.num_warps,
            ptxas_log=self._log,
            parameters=tuple(name for name, kind in signature.items() if kind != "constexpr"),
        )

    def _forget_hashes(self) -> None:
        # While Triton hashes a function it leaves a placeholder in it. When that fails the
        # placeholder stays, and the next config would pass a check that this one did not.
        for value in vars(self._module).values():
            function = unwrap(value)
            if function is not None:
                function.hash = None

    @contextlib.contextmanager
    def _sharing_stages(self) -> Iterator[None]:
        backend = nvidia.CUDABackend
        original = backend.add_stages

        def add_stages(this: Any, stages: dict[str, Any], options: Any, *rest: Any) -> None:
            original(this, stages, options, *rest)
            for name in ("llir", "ptx", "cubin"):
                stages[name] = self._once(name, stages[name], options)

        backend.add_stages = add_stages
        try:
            yield
        finally:
            backend.add_stages = original

    def _once(self, name: str, stage: Callable[..., Any], options: Any) -> Callable[..., Any]:
        # The number of stages is spent once TTGIR is made; all else that these stages read is
        # in the options or in the text. `metadata` is their second result.
        same = repr(replace(options, num_stages=0))

        def run(source: Any, metadata: dict[str, Any]) -> Any:
            key = hashlib.sha256(f"{name}\0{same}\0{source}".encode()).hexdigest()
            if key not in self._known:
                before = dict(metadata)
                printed = io.StringIO()
                with contextlib.redirect_stdout(printed):
                    result = stage(source, metadata)
                added = {k: v for k, v in metadata.items() if k not in before or before[k] != v}
                self._known[key] = (result, added, printed.getvalue())
            result, added, log = self._known[key]
            metadata.update(added)
            self._log = log
            return result

        return run


def _name_entries_by_version() -> None:
    """Spare Triton the digest of its own files (half a gigabyte), part of each cache entry's name.

    The cache of this process is its own directory: there is no other Triton to tell apart.
    """
    if hasattr(triton_cache, "triton_key"):
        triton_cache.triton_key = lambda: str(triton.__version__)


def unwrap(value: Any) -> JITFunction | None:
    """The kernel inside autotune and heuristics decorators, or None."""
    while isinstance(value, (Autotuner, Heuristics)):
        value = value.fn
    return value if isinstance(value, JITFunction) else None


def find_kernel(module: types.ModuleType, name: str) -> JITFunction:
    """The `@triton.jit` function `name`, decorators of choice taken off."""
    # Most kernels are module-level names; some are attributes of classes or made by functions.
    for candidates in ([getattr(module, name, None)], vars(module).values(), gc.get_objects()):
        for candidate in candidates:
            function = unwrap(candidate)
            if (
                function is not None
                and function.fn.__name__ == name
                and function.fn.__module__ == module.__name__
            ):
                return function
    raise KernelLookupError(f"the program has no kernel named {name}")


def arguments(
    module: types.ModuleType,
    kernel: JITFunction,
    specialization: Mapping[str, Any],
    meta: Mapping[str, Any],
) -> tuple[dict[str, str], dict[str, Any], dict[tuple[int, ...], list[list[Any]]]]:
    """Signature, constants and attributes of a kernel, as Triton's `ASTSource` takes them."""
    unknown = [name for name in meta if name not in kernel.arg_names]
    if unknown:
        raise KernelLookupError(f"{kernel.fn.__name__} has no parameter {', '.join(unknown)}")
    types_given, constants = specialization["signature"], specialization["constants"]
    divisible = set(specialization["divisible_by_16"])
    signature: dict[str, str] = {}
    values: dict[str, Any] = {}
    attributes: dict[tuple[int, ...], list[list[Any]]] = {}
    for index, parameter in enumerate(kernel.params):
        name = parameter.name
        aligned = name in divisible
        if name in meta and not parameter.is_constexpr:
            signature[name], aligned = runtime_type(meta[name])
            values |= {name: meta[name]} if signature[name] == "constexpr" else {}
        elif name in meta or name in constants:
            signature[name] = "constexpr"
            values[name] = constant(module, meta[name] if name in meta else constants[name])
        elif name in types_given and types_given[name] != "constexpr":
            signature[name] = types_given[name]
        elif parameter.has_default:
            signature[name] = "constexpr"
            values[name] = parameter.default
        else:
            raise KernelLookupError(f"{kernel.fn.__name__} got no value for its parameter {name}")
        if aligned and signature[name] != "constexpr":
            attributes[(index,)] = [["tt.divisibility", ALIGNMENT]]
        elif _has_entry(signature[name], values.get(name)):
            attributes[(index,)] = []
    return signature, values, attributes


def _has_entry(kind: str, value: Any) -> bool:
    """Whether a launch gives a parameter of which nothing is promised an empty list of promises.

    It changes nothing but the binary's name, by which a launch looks for it. Pointers and integers
    have one; of constants Triton 3.6 gives one to strings, later versions to all.
    """
    if kind == "constexpr":
        return isinstance(value, str) or CONSTANTS_HAVE_ENTRIES
    return kind.startswith("*") or (kind[1:].isdigit() and kind[0] in "iu" and kind != "u1")


def runtime_type(value: Any) -> tuple[str, bool]:
    """Type and divisibility of a config's value whose parameter is not `tl.constexpr`."""
    if isinstance(value, bool):
        return "u1", False
    if value is None or value == 1:
        return ("constexpr", False) if not isinstance(value, float) else ("fp32", False)
    if isinstance(value, float):
        return "fp32", False
    if isinstance(value, str):
        raise KernelLookupError(f"a string ({value!r}) can only be a tl.constexpr parameter")
    return ("i32" if abs(value) <= INT32_MAX else "i64"), value % ALIGNMENT == 0


def constant(module: types.ModuleType, value: Any) -> Any:
    """A constant as the kernel sees it, from its JSON form.

    "tl.float16" stands for the dtype of that name, "@helper" for that function.
    """
    if not isinstance(value, str):
        return value
    if value.startswith("@"):
        return find_kernel(module, value[1:])
    for prefix in DTYPE_PREFIXES:
        found = getattr(tl, value.removeprefix(prefix), None)
        if value.startswith(prefix) and isinstance(found, tl.dtype):
            return found
    return value


def explain(error: BaseException, program: str) -> str:
    """The compiler's words, with the line of the program they speak of.

    Triton wraps an error once for each function it was in; the innermost has the place.
    """
    innermost: CompilationError | None = None
    current: BaseException | None = error
    last = error
    while current is not None:
        if isinstance(current, CompilationError):
            innermost = current
        last = current
        current = current.__cause__ or (
            None if current.__suppress_context__ else current.__context__
        )
    if innermost is None:
        return assembler_says(str(error)) or f"{type(error).__name__}: {error}"
    words = innermost.error_message or (
        str(last) if last is not innermost else type(innermost).__name__
    )
    line = source_line(innermost, program)
    return f"line {line}: {words}" if line is not None else words


def assembler_says(message: str) -> str:
    """The lines of an error in which ptxas speaks; the rest is how to call it again.

    For newer targets its name is `ptxas-blackwell` (Triton 3.9: from 9.0 on).
    """
    lines = message.splitlines()
    return "\n".join(re.sub(r"\s+", " ", line) for line in lines if SPEAKS.match(line))


def source_line(error: CompilationError, program: str) -> int | None:
    """The 1-based line of the program where a compilation error is, or None."""
    lineno = getattr(error.node, "lineno", None)
    if lineno is None or not error.src:
        return None
    start = program.find(error.src.rstrip())
    if start >= 0:
        return program.count("\n", 0, start) + int(lineno)
    first = error.src.splitlines()[0].strip()  # an indented function was dedented
    for number, text in enumerate(program.splitlines()):
        if text.strip() == first:
            return number + int(lineno)
    return None

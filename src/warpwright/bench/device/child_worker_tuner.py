"""Inside a GPU worker: Triton's tuner and launcher, with one config pinned or launches counted.

Works with Triton 3.6 to 3.9.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from subprocess import SubprocessError
from types import ModuleType
from typing import Any

import triton
from triton.compiler.compiler import CompiledKernel
from triton.compiler.errors import CompileTimeAssertionFailure
from triton.runtime.autotuner import Autotuner
from triton.runtime.errors import OutOfResources, PTXASError
from triton.runtime.jit import JITFunction

OPTIONS = ("num_warps", "num_stages", "num_ctas", "maxnreg")


class PinError(Exception):
    """The program has no tuned kernel of that name."""


def tuners(module: ModuleType) -> dict[str, Autotuner]:
    """The program's autotuned kernels by name, whatever decorators stand around them."""
    found: dict[str, Autotuner] = {}
    for value in vars(module).values():
        inner = value
        while inner is not None and not isinstance(inner, JITFunction):
            if isinstance(inner, Autotuner):
                found[inner.base_fn.__name__] = inner
            inner = getattr(inner, "fn", None)
    return found


def pin(module: ModuleType, pins: Mapping[str, Mapping[str, Any]]) -> None:
    """Leave each named kernel one config. It has the hook of the nearest that the tuner has."""
    known = tuners(module)
    for name, wanted in pins.items():
        if name not in known:
            raise PinError(f"the program has no autotuned kernel {name!r}")
        tuner = known[name]
        options = {key: wanted[key] for key in OPTIONS if wanted.get(key) is not None}
        alike = [config for config in tuner.configs if config.kwargs == wanted["meta"]]
        exact = [c for c in alike if all(getattr(c, key) == v for key, v in options.items())]
        hook = {"pre_hook": (exact or alike)[0].pre_hook} if alike else {}
        tuner.configs = [triton.Config(dict(wanted["meta"]), **options, **hook)]
        tuner.cache.clear()


def chosen(module: ModuleType) -> dict[str, dict[str, Any]]:
    """The config that each tuner chose; kernels that were not tuned yet are left out."""
    return {
        name: {"meta": dict(best.kwargs), **{key: getattr(best, key, None) for key in OPTIONS}}
        for name, tuner in tuners(module).items()
        if (best := getattr(tuner, "best_config", None)) is not None
    }


@contextmanager
def count_launches(counts: dict[str, int]) -> Iterator[None]:
    """Count launches by kernel while the block runs; empty grids do not count."""
    before = CompiledKernel.run

    def run(kernel: Any) -> Any:
        launch = before.fget(kernel)

        def counted(grid_x: int, grid_y: int, grid_z: int, *rest: Any, **named: Any) -> Any:
            result = launch(grid_x, grid_y, grid_z, *rest, **named)
            if grid_x > 0 and grid_y > 0 and grid_z > 0:
                counts[kernel.name] = counts.get(kernel.name, 0) + 1
            return result

        return counted

    CompiledKernel.run = property(run)
    try:
        yield
    finally:
        CompiledKernel.run = before


@contextmanager
def notice_tuning(names: set[str]) -> Iterator[None]:
    """Add the kernels whose tuners run configs, to choose among them, while the block runs."""
    before = Autotuner._bench

    def noticed(tuner: Any, *args: Any, **named: Any) -> Any:
        names.add(tuner.base_fn.__name__)
        return before(tuner, *args, **named)

    Autotuner._bench = noticed
    try:
        yield
    finally:
        Autotuner._bench = before


def _build_launcher(binary: Any) -> None:
    """Build what launches a binary into Triton's cache, so that its first call need not.

    It is C code of its own for each kernel and kinds of arguments. Where it cannot be built, the
    first call tells.
    """
    source, metadata = getattr(binary, "src", None), getattr(binary, "metadata", None)
    if source is None or metadata is None:
        return
    with suppress(AttributeError, OSError, RuntimeError, SubprocessError):
        triton.runtime.driver.active.launcher_cls(source, metadata)


@contextmanager
def compile_only() -> Iterator[None]:
    """Launches compile and do not run; tuners compile every config and choose the first."""
    run, bench = JITFunction.run, Autotuner._bench

    def compiled(kernel: Any, *args: Any, grid: Any, **named: Any) -> Any:
        named.pop("warmup", None)
        binary = run(kernel, *args, grid=grid, warmup=True, **named)
        _build_launcher(binary)
        return binary

    def compiled_bench(tuner: Any, *args: Any, config: Any, **meta: Any) -> list[float]:
        try:
            tuner.fn.run(*args, **{**meta, **config.all_kwargs()})
        except (OutOfResources, PTXASError, CompileTimeAssertionFailure):
            return [float("inf")] * 3
        return [1.0] * 3

    JITFunction.run, Autotuner._bench = compiled, compiled_bench
    try:
        yield
    finally:
        JITFunction.run, Autotuner._bench = run, bench

"""Inside the interpreting child: launches as Triton's runtime does them, in the interpreter.

Replaces three parts of Triton's interpreter mode: the loop over the grid (checked memory, typed
arguments, launches counted by kernel), the autotuner (one config is pinned, nothing is timed),
and the per-call patching of `triton.language` (done once: it costs more than most kernels).
"""

from __future__ import annotations

import ast
import inspect
import time
from collections.abc import Callable, Mapping
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.autotuner import Autotuner
from triton.runtime.interpreter import InterpretedFunction, TensorHandle
from triton.tools.tensor_descriptor import TensorDescriptor

from warpwright.interpreter import child_shortcuts
from warpwright.interpreter.child_block_order import Schedule, every_block
from warpwright.interpreter.child_coverage import Coverage
from warpwright.interpreter.child_memory import Addresses, Memory, spoiled_bits
from warpwright.program.branch_sites import observed
from warpwright.tracing.child_device import CudaOnCpu

LAUNCH_OPTIONS = {
    "num_warps", "num_stages", "num_ctas", "maxnreg", "debug", "enable_fp_fusion", "extern_libs",
    "launch_cooperative_grid", "launch_pdl", "sanitize_overflow", "instrumentation_mode",
    "waves_per_eu", "matrix_instr_nonkdim", "ir_override", "max_num_imprecise_acc_default",
    "allow_fp8e4nv", "cluster_dims", "kpack", "enable_warp_specialization", "minRegAutoWS",
    "maxRegAutoWS", "pingpongAutoWS",
}  # fmt: skip
MOST_TOLD = 1000  # launches of which grid and numbers are told
# A config has these of its own, so that they have no effect among its meta-parameters.
ALWAYS_SET = {"num_warps", "num_stages", "num_ctas"}


class ConfigError(Exception):
    """The config that should be pinned is not among the kernel's."""


class InterpreterSession:
    """State of the run that is going on: pins, counts, memory, and which blocks run.

    `block_from_s`: processor time at which the block that is running began; None between launches.
    """

    def __init__(self) -> None:
        self.addresses = Addresses()
        self.memory = Memory(self.addresses)
        self.device = CudaOnCpu(self.addresses.of)
        self.coverage = Coverage()
        self.schedule: Schedule = every_block
        self.pins: Mapping[str, Mapping[str, Any]] = {}
        self.launches: dict[str, int] = {}
        self.launched: list[dict[str, Any]] = []
        self.block_from_s: float | None = None

    def begin(self, pins: Mapping[str, Mapping[str, Any]], spoil_undefined: bool = False) -> None:
        self.memory = Memory(self.addresses)
        self.coverage.seen.clear()
        self.memory.spoil_undefined = spoil_undefined
        self.pins = pins
        self.launches = {}
        self.launched = []
        self.block_from_s = None
        self.device.addressed.clear()


session = InterpreterSession()


def install() -> None:
    """Patch Triton's interpreter mode for good."""
    _patch_language()
    interpreter._patch_lang = lambda _: _NoScope()
    interpreter.GridExecutor.__call__ = _launch
    interpreter.FunctionRewriter.ast_transformer = _KernelTransformer()
    interpreter.FunctionRewriter._transform_ast = _transform_observed
    for name, function in session.coverage.names().items():
        setattr(interpreter, name, function)  # the rewriter hands its globals to kernels
    InterpretedFunction.__call__ = _call_device_function
    interpreter._implicit_cvt = _at_seen_addresses(interpreter._implicit_cvt)
    Autotuner.run = _run_pinned
    child_shortcuts.install()
    for module in (tl, tl.core):
        module.load = _with_other_told(module.load)
    builder = interpreter.InterpreterBuilder
    builder.create_masked_load = _masked_load
    builder.create_masked_store = _masked_store
    builder.create_atomic_rmw = _checked_atomic(builder.create_atomic_rmw, mask_at=3)
    builder.create_atomic_cas = _checked_atomic(builder.create_atomic_cas, mask_at=None)


class _NoScope:
    def restore(self) -> None:
        return None


def _patch_language() -> None:
    """Put the language into its interpreted form, and leave it so."""
    # `_patch_lang` reads which language modules a function can see from its globals.
    interpreter._patch_lang(FunctionType((lambda: None).__code__, {"tl": tl, "core": tl.core}))
    for name in ("multiple_of", "max_contiguous", "max_constancy"):
        for module in (tl, tl.core):
            setattr(module, name, lambda value, *_, **__: value)  # hints change no value
    for module in (tl, tl.core):
        module.static_print = lambda *_, **__: None
        module.range = _new_range
    tl.tensor.__index__ = lambda self: int(np.asarray(self.handle.data).reshape(-1)[0])
    _patch_libdevice()


def _patch_libdevice() -> None:
    """libdevice, and its stubs that the compiler would exchange for the CUDA ones."""
    try:
        from triton.language.extra import libdevice as stubs
        from triton.language.extra.cuda import libdevice
    except ImportError:
        return
    for name, member in inspect.getmembers(libdevice):
        if not tl.core.is_builtin(member):
            continue
        bound = _with_semantic(member)
        setattr(libdevice, name, bound)
        if hasattr(stubs, name):
            setattr(stubs, name, bound)


def _with_semantic(member: Callable[..., Any]) -> Callable[..., Any]:
    def bound(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("_semantic", None)
        return member(*args, **kwargs, _semantic=interpreter.interpreter_semantic)

    bound.__name__ = getattr(member, "__name__", "builtin")
    return bound


def adopt(module: ModuleType) -> None:
    """Exchange language functions that the program imported by name for the patched ones."""
    for name, value in list(vars(module).items()):
        if callable(value) and tl.core.is_builtin(value):
            setattr(module, name, _with_semantic(value))


class LoopIndex(int):
    """A loop variable: an int that has what an int32 tensor has in a compiled kernel."""

    dtype = tl.int32
    type = tl.int32

    def to(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        tensor = interpreter.interpreter_semantic.to_tensor(int(self), False)
        return tensor.to(dtype, *args, **kwargs)

    def __add__(self, other: Any) -> Any:
        return _index_or(int(self).__add__(other), other)

    def __sub__(self, other: Any) -> Any:
        return _index_or(int(self).__sub__(other), other)

    def __mul__(self, other: Any) -> Any:
        return _index_or(int(self).__mul__(other), other)

    __radd__ = __add__
    __rmul__ = __mul__


def _index_or(value: Any, other: Any) -> Any:
    return LoopIndex(value) if isinstance(other, int) and value is not NotImplemented else value


def _kernel_range(*args: Any) -> Any:
    return map(LoopIndex, range(*args))


def _new_range(first: Any, second: Any = None, step: Any = None, **_: Any) -> Any:
    start, end = (0, first) if second is None else (first, second)
    return map(LoopIndex, range(start, end, 1 if step is None else step))


class _KernelTransformer(interpreter.ASTTransformer):  # type: ignore[misc]
    """Triton's own rewriting, and `range` whose values act as tensors."""

    def visit_Name(self, node: ast.Name) -> ast.Name:  # noqa: N802
        if node.id == "range" and isinstance(node.ctx, ast.Load):
            node.id = "_warpwright_range"
        return node


def _transform_observed(self: Any, src: str) -> ast.AST:
    """As Triton's own, with the kernel's branches observed under their lines in the file."""
    tree = ast.increment_lineno(ast.parse(src), self.def_file_lineno - 1)
    changed: ast.AST = self.ast_transformer.visit(observed(tree))
    return ast.fix_missing_locations(changed)


interpreter._warpwright_range = _kernel_range  # the rewriter hands its globals to kernels


def _call_device_function(self: InterpretedFunction, *args: Any, **kwargs: Any) -> Any:
    return self.rewrite()(*args, **kwargs)


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, tuple):
        return [tensor for item in value for tensor in _tensors(item)]
    if isinstance(value, TensorDescriptor):
        return [value.base]
    value = getattr(value, "base", value) if not isinstance(value, torch.Tensor) else value
    return [value] if isinstance(value, torch.Tensor) else []


def _at_seen_addresses(original: Callable[..., Any]) -> Callable[..., Any]:
    """Pointers to tensors as kernels see them, also those inside tuples and descriptors."""

    def convert(argument: Any) -> Any:
        result = original(argument)
        if hasattr(argument, "data_ptr"):
            tensor = getattr(argument, "base", argument)
            tensor = tensor if isinstance(tensor, torch.Tensor) else argument
            result.handle.data = np.array([session.addresses.of(tensor)], dtype=np.uint64)
        return result

    return convert


def _convert(value: Any) -> Any:
    """A launch argument as a kernel sees it: floats are fp32, bools one bit."""
    if isinstance(value, bool):
        return tl.tensor(TensorHandle(np.array([value]), tl.int1), tl.int1)
    if isinstance(value, float):
        handle = TensorHandle(np.array([value], dtype=np.float32), tl.float32)
        return tl.tensor(handle, tl.float32)
    return interpreter._implicit_cvt(value)


def _launch(self: Any, *args: Any, **kwargs: Any) -> None:
    unknown = [name for name in kwargs if name not in self.arg_names and name not in LAUNCH_OPTIONS]
    if unknown:
        raise KeyError(
            f"Keyword argument {unknown[0]} was specified but unrecognised by {self.fn.__name__}"
        )
    kwargs = {name: value for name, value in kwargs.items() if name in self.arg_names}
    for hook in self.pre_run_hooks:
        hook(*args, **kwargs)
    bound = inspect.getcallargs(self.fn, *args, **kwargs)
    grid = self.grid(bound) if callable(self.grid) else self.grid
    grid = (grid,) if isinstance(grid, int) else tuple(grid)
    if not 1 <= len(grid) <= 3:
        raise ValueError(f"a grid has 1 to 3 dimensions, this one has {len(grid)}")
    extents = [int(extent) for extent in grid] + [1] * (3 - len(grid))
    if 0 in extents:
        return
    name = self.fn.__name__
    with torch._C.DisableTorchFunction():
        reachable = [tensor for value in bound.values() for tensor in _tensors(value)]
        session.memory.allow(reachable + session.device.addressed)
        session.memory.kernel = name
        constants = _constants(self.fn)
        arguments = {
            key: value if key in constants else _convert(value) for key, value in bound.items()
        }
        session.launches[name] = session.launches.get(name, 0) + 1
        if len(session.launched) < MOST_TOLD:
            numbers = {n: v for n, v in bound.items() if type(v) in (bool, int, float)}
            session.launched.append({"kernel": name, "grid": extents, "numbers": numbers})
        run_grid(self.fn, arguments, extents)


def _constants(fn: Any) -> set[str]:
    """Compile-time parameters, also where the annotation is text, as the compiler takes them."""
    return {name for name, kind in fn.__annotations__.items() if "constexpr" in str(kind)}


def run_grid(fn: Any, arguments: dict[str, Any], extents: list[int]) -> None:
    builder = interpreter.interpreter_builder
    builder.set_grid_dim(*extents)

    def run(block: tuple[int, int, int]) -> None:
        builder.grid_idx = block
        session.memory.block += 1
        session.block_from_s = time.process_time()
        fn(**arguments)

    with np.errstate(all="ignore"):
        session.schedule(fn.__name__, extents, run)
    session.block_from_s = None


def _run_pinned(self: Autotuner, *args: Any, **kwargs: Any) -> Any:
    """The autotuner after tuning: the pinned config runs, `reset_to_zero` and the like do not."""
    self.nargs = dict(zip(self.arg_names, args, strict=False))
    config = _pinned(self, session.pins.get(self.base_fn.__name__))
    conflicts = kwargs.keys() & config.kwargs.keys()
    if conflicts:
        raise ValueError(f"Conflicting meta-parameters: {', '.join(sorted(conflicts))}.")
    if config.pre_hook is not None:
        config.pre_hook({**self.nargs, **kwargs, **config.all_kwargs()})
    self.best_config = config
    return self.fn.run(*args, **kwargs, **config.all_kwargs())


def _pinned(tuner: Autotuner, pin: Mapping[str, Any] | None) -> triton.Config:
    if pin is None:
        return tuner.configs[0]
    found = [config for config in tuner.configs if _is_pinned(config, pin)]
    place = pin.get("place")
    if place is not None and place < len(tuner.configs) and tuner.configs[place] in found:
        found = [tuner.configs[place]]  # several may differ in their hooks alone
    if found:
        return found[0]
    raise ConfigError(f"{tuner.base_fn.__name__} has no config {dict(pin)}")


def _is_pinned(config: triton.Config, pin: Mapping[str, Any]) -> bool:
    meta = {name: value for name, value in config.kwargs.items() if name not in ALWAYS_SET}
    same = (meta, config.num_warps, config.num_stages)
    return bool(same == (pin["meta"], pin["num_warps"], pin["num_stages"]))


def _with_other_told(original: Callable[..., Any]) -> Callable[..., Any]:
    """A scalar `other` of zero is false, so that the interpreter takes it for none."""

    def load(pointer: Any, mask: Any = None, other: Any = None, *args: Any, **kwargs: Any) -> Any:
        session.memory.other_is_zero = other is not None
        try:
            return original(pointer, mask, other, *args, **kwargs)
        finally:
            session.memory.other_is_zero = False

    return load


def _masked_load(
    _: Any, ptrs: TensorHandle, mask: TensorHandle, other: Any, *_rest: Any, **_hints: Any
) -> TensorHandle:
    element = ptrs.get_element_ty()
    dtype = interpreter._get_np_dtype(element)
    lanes = getattr(mask, "data", mask)
    bits = spoiled_bits(dtype, element.name)
    if other is None:
        fill = session.memory.undefined_lanes(ptrs.data.shape, lanes, dtype, bits)
    else:
        fill = other.data
    real, allowed = session.memory.reach(ptrs.data, lanes, dtype.itemsize, "read")
    if allowed is not None:
        bad = np.broadcast_to(lanes, ptrs.data.shape) & ~allowed
        fill = np.where(bad, np.array(bits).astype(dtype), fill)
        lanes = allowed
    return TensorHandle(interpreter._interpreter.load(real, lanes, fill, dtype), element)


def _masked_store(
    _: Any, ptrs: TensorHandle, value: TensorHandle, mask: TensorHandle, *_rest: Any, **_hints: Any
) -> Any:
    lanes = getattr(mask, "data", mask)
    itemsize = interpreter._get_np_dtype(ptrs.get_element_ty()).itemsize
    real, allowed = session.memory.reach(ptrs.data, lanes, itemsize, "write")
    lanes = lanes if allowed is None else allowed
    if session.memory.watch_owners:
        empty = np.zeros_like(value.data)
        there = interpreter._interpreter.load(real, lanes, empty, value.data.dtype)
        session.memory.stored(ptrs.data, value.data, there, lanes)
    return interpreter._interpreter.store(real, value.data, lanes)


def _checked_atomic(original: Callable[..., Any], mask_at: int | None) -> Callable[..., Any]:
    """Atomics outside of known memory raise: their result cannot be made up."""

    def operation(self: Any, *args: Any) -> Any:
        ptrs = args[0] if mask_at is None else args[1]
        lanes = np.ones(ptrs.data.shape, dtype=bool) if mask_at is None else args[mask_at].data
        itemsize = interpreter._get_np_dtype(ptrs.get_element_ty()).itemsize
        real, missed = session.memory.reach(ptrs.data, lanes, itemsize, "write")
        if missed is not None:
            raise MemoryAccessError("an atomic operation outside of its tensor")
        place = 0 if mask_at is None else 1
        return original(self, *args[:place], TensorHandle(real, ptrs.dtype), *args[place + 1 :])

    return operation


class MemoryAccessError(Exception):
    """An access outside of all tensors of the launch that cannot be skipped."""

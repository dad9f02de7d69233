"""Inside a tracing child: Triton's launch replaced by a recorder.

Follows what `Autotuner.run`, `Heuristics.run` and `JITFunction.run` do up to the point where
they would compile: which value each parameter gets, which configs are tried, the grid of each.
Mistakes that Triton would refuse there raise here too. Written for Triton 3.6 to 3.9; what it
uses of Triton's internals is in the functions at the end.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from warpwright.program.memory_accesses import stores_of
from warpwright.tracing.child_trace_arguments import (
    dtype_name,
    encode_constant,
    encode_scalar,
    encode_tensor,
    is_descriptor,
)
from warpwright.tracing.child_trace_torch import StandIns

CONFIG_OPTIONS = ("num_warps", "num_stages", "num_ctas", "maxnreg")
OTHER_OPTIONS = ("ir_override",)
"""Of a config's own options, those that are no number: told as text."""
MAX_LAUNCHES = 20000


class LaunchError(Exception):
    """A launch that Triton would refuse, or that this recorder does not understand."""


class CompiledStandIn:
    """What a launch returns: a compiled kernel, of which nothing is known here."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise LaunchError(f"the host code reads {name} of the compiled kernel")


class Recorder:
    """Records launches as JSON-ready dicts, in order."""

    def __init__(self, mode: StandIns, source: str = "") -> None:
        self.mode = mode
        self.source = source
        self.launches: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.hooks: list[Any] = []

    def install(self) -> None:
        """Replace the launch of all three of Triton's launchable classes."""
        recorder = self

        def run(launchable: Any, *args: Any, grid: Any, warmup: bool = False, **kwargs: Any) -> Any:
            recording, recorder.mode.recording = recorder.mode.recording, False
            if not warmup:
                recorder.record(launchable, args, grid, kwargs)
            recorder.mode.recording = recording
            return CompiledStandIn()

        for launchable in launchable_classes():
            launchable.run = run

    def record(self, top: Any, args: Sequence[Any], grid: Any, kwargs: Mapping[str, Any]) -> None:
        if len(self.launches) >= MAX_LAUNCHES:
            raise LaunchError(f"more than {MAX_LAUNCHES:,} launches")
        layers, kernel = unwrap(top)
        call = _Call(self, kernel, layers, args, dict(kwargs))
        self.launches.append(call.describe(grid, len(self.launches)))
        written = list(self._written(kernel, call.given))
        for tensor in written:
            self.mode.values.forget(tensor)
        self.mode.log.note_launch(kernel_name(kernel), written)

    def _written(self, kernel: Any, given: Mapping[str, Any]) -> Iterator[torch.Tensor]:
        """Tensors that the kernel may write into: all, where reading does not tell."""
        told = stores_of(self.source, kernel_name(kernel))
        for name, value in given.items():
            if is_descriptor(value):
                yield value.base
            elif isinstance(value, torch.Tensor) and (told is None or name in told):
                yield value

    def nameless(self, hook: Any) -> str:
        """A text for a function without a name of its own: equal for one function only."""
        if not any(known is hook for known in self.hooks):
            self.hooks.append(hook)
        number = next(i for i, known in enumerate(self.hooks) if known is hook)
        return f"<hook {number + 1}: {getattr(hook, '__qualname__', type(hook).__name__)}>"

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


class _Call:
    """One call of a launchable: resolves parameters as Triton's layers would."""

    def __init__(
        self,
        recorder: Recorder,
        kernel: Any,
        layers: Sequence[Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
    ) -> None:
        self.recorder = recorder
        self.kernel = kernel
        self.layers = layers
        self.names = [parameter.name for parameter in kernel.params]
        if len(args) > len(self.names):
            raise TypeError(
                f"{kernel_name(kernel)} takes {len(self.names)} arguments, {len(args)} were given"
            )
        self.positional = dict(zip(self.names, args, strict=False))
        for name in kwargs:
            if name in self.positional:
                raise TypeError(f"{kernel_name(kernel)} got multiple values for argument {name!r}")
        self.given = {**self.positional, **kwargs}

    def describe(self, grid: Any, order: int) -> dict[str, Any]:
        autotuners = [layer for layer in self.layers if is_autotuner(layer)]
        if len(autotuners) > 1:
            raise LaunchError(f"{kernel_name(self.kernel)} is autotuned twice")
        configs = self._configs(autotuners[0]) if autotuners else [None]
        variants = [self._variant(config, grid) for config in configs]
        if autotuners:
            # host code may look at it after the call
            autotuners[0].best_config = configs[0]
        fixed = self._shared(variants)
        described = []
        for variant in variants:
            changed = {
                name: value for name, value in variant["arguments"].items() if name not in fixed
            }
            described.append({**variant, "arguments": changed})
        first = variants[0]
        for variant in described:
            variant.pop("options")
        return {
            "kernel": kernel_name(self.kernel),
            "order": order,
            "arguments": fixed,
            "configs": described,
            "pruned": self._dropped(autotuners[0], configs) if autotuners else [],
            "autotuned": bool(autotuners),
            "line": self.recorder.mode.foreign_line(),
            "options": first["options"],
            **unspecialized(self.kernel),
        }

    @staticmethod
    def _shared(variants: list[dict[str, Any]]) -> dict[str, Any]:
        first = variants[0]["arguments"]
        return {
            name: value
            for name, value in first.items()
            if all(variant["arguments"].get(name) == value for variant in variants)
        }

    def _configs(self, tuner: Any) -> list[Any]:
        configs = list(tuner.configs)
        if len(configs) < 2:
            return configs
        tuner.nargs = self.positional
        options = {k: v for k, v in self.given.items() if k not in self.positional}
        pruned = list(tuner.prune_configs(options))
        if len(pruned) < len(configs):
            self.recorder.note(
                f"{kernel_name(self.kernel)}: the program's own pruning leaves "
                f"{len(pruned)} of {len(configs)} configs"
            )
        return pruned or configs

    def _dropped(self, tuner: Any, kept: Sequence[Any]) -> list[dict[str, Any]]:
        """Configs of the tuner that its own pruning leaves out of this call."""
        dropped = [c for c in tuner.configs if not any(c is other for other in kept)]
        described: list[dict[str, Any]] = []
        for config in dropped:
            values = {name: v for name, v in config_values(config).items() if v is not None}
            described.append(
                {
                    "place": self._place(config),
                    "hook": self._hook_text(config.pre_hook),
                    "others": {n: repr(v) for n, v in values.items() if n in OTHER_OPTIONS},
                    "meta": {
                        n: encode_constant(v)["value"] for n, v in values.items() if n in self.names
                    },
                    "launch_options": {n: v for n, v in values.items() if n in CONFIG_OPTIONS},
                    "grid": [],
                    "heuristic_values": {},
                    "arguments": {},
                }
            )
        return described

    def _variant(self, config: Any, grid: Any) -> dict[str, Any]:
        """Values, grid and options of the call under one config."""
        values = dict(self.given)
        from_config: dict[str, Any] = {}
        from_heuristics: dict[str, Any] = {}
        for layer in self.layers:  # outermost first
            if is_autotuner(layer):
                from_config = config_values(config)
                clash = sorted(from_config.keys() & values.keys())
                if clash:
                    raise ValueError(
                        f"{kernel_name(self.kernel)}: {', '.join(clash)} given both by the launch "
                        "and by the autotuner's config"
                    )
                values |= from_config
                hook = getattr(config, "pre_hook", None)
                if hook is not None:
                    hook(values)
            else:
                for name, function in heuristics_of(layer).items():
                    values[name] = from_heuristics[name] = function(dict(values))
        bound, options = self._bind(values)
        launch_options = {name: options.pop(name, None) for name in CONFIG_OPTIONS}
        own = {n: v for n, v in from_config.items() if n in self.names}
        others = {name: options.pop(name) for name in OTHER_OPTIONS if name in from_config}
        return {
            "place": self._place(config),
            "hook": None if config is None else self._hook_text(config.pre_hook),
            "others": {name: repr(value) for name, value in others.items()},
            "meta": {name: encode_constant(value)["value"] for name, value in own.items()},
            "launch_options": {n: v for n, v in launch_options.items() if v is not None},
            "grid": self._grid(grid, bound),
            "heuristic_values": {
                name: encode_constant(value)["value"] for name, value in from_heuristics.items()
            },
            "arguments": {
                name: self._argument(parameter, bound[name])
                for name, parameter in zip(self.names, self.kernel.params, strict=True)
                if name not in own and name not in from_heuristics
            },
            "options": {n: encode_constant(v)["value"] for n, v in options.items()},
        }

    def _place(self, config: Any) -> int | None:
        """The config's index in the whole list of its tuner."""
        for layer in self.layers:
            if is_autotuner(layer):
                return next((i for i, c in enumerate(layer.configs) if c is config), None)
        return None

    def _hook_text(self, hook: Any) -> str | None:
        """A name by which the program's module knows the hook; `<...>` where it has none."""
        if hook is None:
            return None
        known = self.kernel.fn.__globals__
        own = getattr(hook, "__name__", None)
        names = [own, *known] if isinstance(own, str) else list(known)
        for name in names:
            if known.get(name) is hook and name.isidentifier():
                return str(name)
        return self.recorder.nameless(hook)

    def _bind(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        bound: dict[str, Any] = {}
        missing = []
        for name, parameter in zip(self.names, self.kernel.params, strict=True):
            if name in values:
                bound[name] = values[name]
            elif parameter.default is not inspect.Parameter.empty:
                bound[name] = parameter.default
            else:
                missing.append(name)
        if missing:
            raise TypeError(f"{kernel_name(self.kernel)} is launched without {', '.join(missing)}")
        options = {name: value for name, value in values.items() if name not in bound}
        unknown = sorted(options.keys() - known_options())
        if unknown:
            raise KeyError(
                f"{kernel_name(self.kernel)} has no parameter {', '.join(unknown)}, and it is no "
                "launch option of Triton's"
            )
        return bound, options

    def _grid(self, grid: Any, bound: Mapping[str, Any]) -> list[int]:
        extents = grid(dict(bound)) if callable(grid) else grid
        if not isinstance(extents, (tuple, list)):
            raise TypeError(
                f"the grid of {kernel_name(self.kernel)} is no tuple but "
                f"{type(extents).__name__}: Triton takes its length"
            )
        if not 1 <= len(extents) <= 3:
            raise ValueError(
                f"the grid of {kernel_name(self.kernel)} has {len(extents)} dimensions; "
                "a GPU has at most 3"
            )
        sizes = [operator.index(extent) for extent in extents]
        if any(size < 0 for size in sizes):
            raise ValueError(f"the grid of {kernel_name(self.kernel)} is negative: {sizes}")
        return sizes

    def _argument(self, parameter: Any, value: Any) -> dict[str, Any]:
        if parameter.is_constexpr or value is None:
            return encode_constant(value)
        if is_descriptor(value):
            return {
                "kind": "descriptor",
                "dtype": dtype_name(value.base.dtype),
                "shape": [int(size) for size in value.shape],
                "strides": [int(stride) for stride in value.strides],
                "block": [int(size) for size in value.block_shape],
            }
        if isinstance(value, torch.Tensor):
            return encode_tensor(self.recorder.mode, value)
        return encode_scalar(parameter, value)


# What is used of Triton's internals.


def launchable_classes() -> tuple[Any, ...]:
    from triton.runtime.autotuner import Autotuner, Heuristics
    from triton.runtime.jit import JITFunction

    return Autotuner, Heuristics, JITFunction


def unwrap(top: Any) -> tuple[list[Any], Any]:
    """The layers around a kernel, outermost first, and the kernel."""
    autotuner, heuristics, kernel = launchable_classes()
    layers = []
    while isinstance(top, (autotuner, heuristics)):
        layers.append(top)
        top = top.fn
    if not isinstance(top, kernel):
        raise LaunchError(f"a launch of {type(top).__name__}, which is no Triton kernel")
    return layers, top


def is_autotuner(layer: Any) -> bool:
    return isinstance(layer, launchable_classes()[0])


def heuristics_of(layer: Any) -> Mapping[str, Callable[[dict[str, Any]], Any]]:
    values: Mapping[str, Callable[[dict[str, Any]], Any]] = layer.values
    return values


def config_values(config: Any) -> dict[str, Any]:
    """Meta-parameters and options of a `triton.Config`, without those that are not set."""
    return dict(config.all_kwargs())


def kernel_name(kernel: Any) -> str:
    return str(kernel.fn.__name__)


def unspecialized(kernel: Any) -> dict[str, list[str]]:
    """Parameters whose value, or whose alignment alone, Triton does not specialise on.

    A parameter with a scalar type as annotation is never made a constant.
    """
    plain = ("u1", "fp", "bf")
    value_ignored, alignment_ignored = [], []
    for parameter in kernel.params:
        annotated = getattr(parameter, "annotation_type", "")
        if parameter.do_not_specialize or (annotated and annotated.startswith(plain)):
            value_ignored.append(parameter.name)
        elif parameter.do_not_specialize_on_alignment:
            alignment_ignored.append(parameter.name)
    return {"unspecialized": value_ignored, "unaligned": alignment_ignored}


def known_options() -> set[str]:
    """Names of launch options of the NVIDIA backend."""
    from triton.backends.nvidia.compiler import CUDAOptions

    return set(CUDAOptions.__dataclass_fields__)

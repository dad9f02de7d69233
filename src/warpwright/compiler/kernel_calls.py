"""Which kernels a program launches, with which configs, specialised how.

From the trace where shapes are known; otherwise from the source, with one specialisation for
each class of arguments that could be passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from warpwright.compiler.specialize import same_launch, specialization
from warpwright.compiler.specialize_source import missing_constants, specialization_classes
from warpwright.types.calls import KernelCalls
from warpwright.types.compiled import Specialization
from warpwright.types.config import Config, MetaValue
from warpwright.types.launch_trace import ConstantArgument, Launch, Trace, TracedConfig
from warpwright.types.program import Kernel, LaunchSite, ProgramView


def find_calls(
    view: ProgramView,
    trace: Trace | None,
    known: Mapping[str, Mapping[str, MetaValue]] | None = None,
) -> tuple[tuple[KernelCalls, ...], tuple[str, ...]]:
    """Every launched kernel with its calls, and what is not known of them.

    `known`: kernel → arguments whose values are certain although the shapes are not.
    """
    if trace is not None:
        return _traced_calls(view, as_written(view, trace)), ()
    calls, unknown = [], ["input shapes: none were given (--problem, --input or [PROBLEM])"]
    for kernel in view.launched_kernels:
        configs = source_configs(view, kernel)
        if configs is None:
            unknown.append(
                f"{kernel.name}: its configs are built by code; without shapes the program "
                "is not run, so they are not known"
            )
            continue
        classes = specialization_classes(view, kernel.name, (known or {}).get(kernel.name))
        missing = missing_constants(classes[0], configs[0].meta_dict) if classes else ()
        if missing:
            unknown.append(
                f"{kernel.name}: the values of its constants {', '.join(missing)} follow from the "
                "shapes; without them it cannot be compiled"
            )
            continue
        calls.append(KernelCalls(kernel, configs, classes=classes))
    return tuple(calls), tuple(unknown)


def as_written(view: ProgramView, trace: Trace) -> Trace:
    """The trace with each config as the source writes it, where reading shows the list.

    The running program shows of a hook only a function; its source shows the expression.
    """
    lists = {
        kernel.name: kernel.autotune.configs
        for kernel in view.kernels
        if kernel.autotune is not None and kernel.autotune.configs is not None
    }
    launches = tuple(
        replace(
            launch,
            configs=tuple(
                replace(traced, config=_written(traced, lists.get(launch.kernel, ())))
                for traced in launch.configs
            ),
            pruned=tuple(
                replace(traced, config=_written(traced, lists.get(launch.kernel, ())))
                for traced in launch.pruned
            ),
        )
        for launch in trace.launches
    )
    return replace(trace, launches=launches)


def _written(traced: TracedConfig, written: Sequence[Config]) -> Config:
    """The config of the list that the traced one is, by its place; itself where none is."""
    if traced.place is None or traced.place >= len(written):
        return traced.config
    config = written[traced.place]
    return config if same_launch(config, traced.config) else traced.config


def _traced_calls(view: ProgramView, trace: Trace) -> tuple[KernelCalls, ...]:
    calls = []
    for name in trace.kernels:
        kernel = view.kernel(name)
        if kernel is None:
            continue  # a kernel of a library that the program calls
        launches = tuple(launch for launch in trace.launches if launch.kernel == name)
        configs = dict.fromkeys(traced.config for launch in launches for traced in launch.configs)
        calls.append(KernelCalls(kernel, tuple(configs), launches=launches))
    return tuple(calls)


def source_configs(view: ProgramView, kernel: Kernel) -> tuple[Config, ...] | None:
    """A kernel's distinct configs as written; for one without autotune, those of its launches.

    None where code builds the list, or a mapping that cannot be read holds the options.
    """
    if kernel.autotune is not None:
        written = kernel.autotune.configs
        return None if written is None else tuple(dict.fromkeys(written))
    sites = [site for site in view.launches if site.kernel == kernel.name]
    if any("**" in site.keywords for site in sites):
        return None  # it may hold any option
    return tuple(dict.fromkeys(map(_launched_config, sites))) or (Config(),)


def _launched_config(site: LaunchSite) -> Config:
    """Launch options that are plain numbers; Triton's defaults for the rest."""

    def option(name: str, default: int) -> int:
        text = site.keywords.get(name, "")
        return int(text) if text.isdigit() else default

    return Config(
        num_warps=option("num_warps", 4),
        num_stages=option("num_stages", 3),
        num_ctas=option("num_ctas", 1),
    )


def launch_options(calls: KernelCalls) -> dict[str, MetaValue]:
    """Compiler options that the launches pass beside warps and stages (`enable_fp_fusion`)."""
    return {
        name: option
        for launch in calls.launches
        for name, option in launch.options.items()
        if name not in ("num_warps", "num_stages", "num_ctas", "maxnreg")
    }


def specializations_of(calls: KernelCalls, config: Config) -> tuple[Specialization, ...]:
    """The distinct ways in which a config is compiled, the first launch's first.

    A config that no launch has (a candidate) is specialised as the traced one with the same
    meta-parameters, since warps and stages do not take part; one with other meta-parameters as the
    launch would be if it did not pass them.
    """
    if not calls.launches:
        return calls.classes
    found: list[Specialization] = []
    for launch in calls.launches:
        launched = launch
        traced = _nearest(launch, config)
        if traced is None and config.meta:
            launched = _launched_with(launch, config)
            traced = _nearest(launched, config)
        if traced is None:
            continue
        label = "as called" if not found else f"as called by launch {launch.order + 1}"
        made = specialization(launched, traced.config, label)
        if not any(_same(made, other) for other in found):
            found.append(made)
    return tuple(found)


def _launched_with(launch: Launch, config: Config) -> Launch:
    """The launch with other meta-parameters, which it then does not pass; its grid is not known.

    As it was where heuristics or a hook would have to work out anew what follows from them.
    """
    own = set(config.meta_dict)
    tuned = set(launch.configs[0].config.meta_dict) if launch.configs else set()
    passed = {
        name
        for name, argument in launch.arguments.items()
        if name in own and isinstance(argument, ConstantArgument)
    }
    if own - tuned - passed or tuned - own or any(c.heuristic_values for c in launch.configs):
        return launch
    arguments = {name: a for name, a in launch.arguments.items() if name not in own}
    return replace(launch, arguments=arguments, configs=(TracedConfig(config, ()),))


def _nearest(launch: Launch, config: Config) -> TracedConfig | None:
    same = [traced for traced in launch.configs if traced.config.meta == config.meta]
    alike = [traced for traced in same if traced.config.pre_hook == config.pre_hook]
    exact = [traced for traced in alike if traced.config == config]
    return next(iter(exact or alike or same), None)


def _same(one: Specialization, other: Specialization) -> bool:
    return replace(one, label="") == replace(other, label="")

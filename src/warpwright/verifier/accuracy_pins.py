"""Which configs of a program are run apart: one run for those that compute alike.

Configs that differ in warps and stages alone are one to the interpreter, so each set of
meta-parameters runs once; but for kernels that read an option as a parameter of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from warpwright.program.difference.difference import difference
from warpwright.types.config import Config
from warpwright.types.edit import EditKind
from warpwright.types.program import ProgramView
from warpwright.types.study import KernelStudy, Study

# Edits that leave to every config the code and the tiles that it had.
SAME_CODE = frozenset({
    EditKind.CONFIG_ADDED, EditKind.CONFIG_REMOVED, EditKind.CONFIGS_REORDERED,
    EditKind.LAUNCH_OPTIONS, EditKind.COSMETIC,
})  # fmt: skip

_OPTIONS = ("num_warps", "num_stages", "num_ctas")


@dataclass(frozen=True, slots=True)
class PinnedRun:
    """One set of pinned configs: `members` are the configs it stands for."""

    label: str
    pins: Mapping[str, Config]
    kernel: str | None = None
    members: tuple[Config, ...] = ()


def pinned_runs(
    child: ProgramView, kernels: Mapping[str, KernelStudy], base: Mapping[str, Config]
) -> list[PinnedRun]:
    """One run for each distinct set of meta-parameters and hook of each kernel, the usual first."""
    listed = {kernel.name: _listed(kernel.name, child, kernels) for kernel in child.kernels}
    usual = {name: _closest(base.get(name), configs) for name, configs in listed.items() if configs}
    runs = [PinnedRun(label_of(usual), usual)]
    for name, configs in listed.items():
        read = _options_read(child, name)
        alike: dict[object, list[Config]] = {}
        for config in configs:
            alike.setdefault(_computes(config, read), []).append(config)
        for key, members in alike.items():
            if key == _computes(usual[name], read):
                if len(listed) == 1:
                    runs[0] = replace(runs[0], kernel=name, members=tuple(members))
                continue
            pins = {**usual, name: members[0]}
            runs.append(PinnedRun(label_of(pins), pins, name, tuple(members)))
    return runs


def _options_read(program: ProgramView, kernel: str) -> list[str]:
    """The launch options that a kernel has as parameters of its own."""
    found = program.kernel(kernel)
    return [] if found is None else [p.name for p in found.parameters if p.name in _OPTIONS]


def _computes(config: Config, read: Sequence[str]) -> object:
    """What of a config may change results. `read`: options that the kernel has as parameters."""
    return _values(config, read), config.pre_hook


def _values(config: Config, read: Sequence[str]) -> object:
    """What the kernel sees of a config."""
    return config.meta, tuple(getattr(config, option) for option in read)


def new_to_the_parent(
    parent: Study, child: ProgramView, kernels: Mapping[str, KernelStudy]
) -> PinnedRun | None:
    """Pins to run a candidate with that show what its parent does not; None where all its code
    and tiles are the parent's. `kernels` holds the configs of each kernel of the child."""
    runs = pinned_runs(child, kernels, {kernel.kernel: kernel.usual for kernel in parent.kernels})
    edits = difference(parent.view.source, child.source)
    if any(edit.kind not in SAME_CODE for edit in edits):
        return runs[0]
    read = {kernel.kernel: _options_read(child, kernel.kernel) for kernel in parent.kernels}
    known = {
        kernel.kernel: {_computes(s.config, read[kernel.kernel]) for s in kernel.configs}
        for kernel in parent.kernels
    }
    return next(
        (
            run
            for run in runs
            for name, config in run.pins.items()
            if _computes(config, read.get(name, ())) not in known.get(name, set())
        ),
        None,
    )


def is_original(
    run: PinnedRun, parent: Study, *, beside: Mapping[str, Config] | None = None
) -> bool:
    """Whether the parent lists one of these configs; `beside`: and not as its usual one."""
    if beside is not None and run.kernel is not None:
        usual = beside.get(run.kernel)
        if usual is not None and usual.meta in {member.meta for member in run.members}:
            return False
    study = None if run.kernel is None else parent.kernel(run.kernel)
    if study is None:
        return False
    read = _options_read(parent.view, study.kernel)
    known = {_values(config.config, read) for config in study.configs}
    return any(_values(member, read) in known for member in run.members)


def _listed(
    name: str, child: ProgramView, kernels: Mapping[str, KernelStudy]
) -> tuple[Config, ...]:
    """The configs that the program lists for a kernel: as written, else as studied.

    Those that can never run on the target compute nothing there, and are left out.
    """
    kernel, study = child.kernel(name), kernels.get(name)
    studied = () if study is None else study.configs
    listed = tuple(config.config for config in studied)
    if kernel is not None and kernel.autotune is not None and kernel.autotune.configs:
        listed = kernel.autotune.configs
    never = {config.config for config in studied if not config.launchable}
    return tuple(config for config in listed if config not in never) or listed


def _closest(wanted: Config | None, configs: Sequence[Config]) -> Config:
    if wanted is None:
        return configs[0]
    same = [config for config in configs if config.meta == wanted.meta]
    alike = [config for config in same if config.pre_hook == wanted.pre_hook]
    return (alike or same or list(configs))[0]


def label_of(pins: Mapping[str, Config]) -> str:
    if len(pins) == 1:
        return str(next(iter(pins.values())))
    return "; ".join(f"{name}: {config}" for name, config in pins.items()) or "as launched"

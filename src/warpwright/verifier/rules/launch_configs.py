"""The configs a kernel really launches with, on both sides of an edit.

A `triton.Config` holds only a part: the rest of the meta-parameters may be passed at the
launch, and a kernel without autotune has all of them there. Rules compare what is launched,
so moving `BLOCK=128` from the launch into a config changes nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from warpwright.program.dotted_names import host_digest, host_nodes, program_of
from warpwright.program.parsed import ParsedProgram, once, parse_program
from warpwright.program.parsing import expression_of
from warpwright.types.config import Config, MetaValue
from warpwright.types.program import Kernel, LaunchSite, ProgramView
from warpwright.verifier.rules.rule_context import KernelPair, RuleContext

LAUNCH_OPTIONS = ("num_warps", "num_stages", "num_ctas", "maxnreg")
UNREAD = "unread_"
"""Starts the text of a value that comes from a mapping or tuple which reading does not follow."""
_TILE = re.compile(r"(BLOCK|TILE|GROUP_(SIZE_)?[MNK]$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LaunchConfig:
    """A config as launched: the written one plus the tile parameters given at the launch.

    `unknown` names what the source does not settle (`num_warps=8 if n > 1024 else 4`); its
    value in `tile` is then the source text. `written` is the config in the autotune list, or
    None for the config of a plain launch.
    """

    tile: tuple[tuple[str, MetaValue], ...]
    num_warps: int
    num_stages: int
    num_ctas: int = 1
    maxnreg: int | None = None
    pre_hook: str | None = None
    others: tuple[tuple[str, str], ...] = ()
    unknown: frozenset[str] = frozenset()
    open_options: tuple[tuple[str, str], ...] = ()  # launch options as text, where unknown
    written: Config | None = field(default=None, compare=False)
    line: int | None = field(default=None, compare=False)

    @property
    def key(self) -> Config:
        """The config under which compile evidence is filed."""
        if self.written is not None:
            return self.written
        return self.launched

    @property
    def launched(self) -> Config:
        """The whole config as launched, with the tile parameters given at the launch."""
        return Config(self.tile, self.num_warps, self.num_stages, self.num_ctas, self.maxnreg)

    def __str__(self) -> str:
        return str(self.launched)


@dataclass(frozen=True, slots=True)
class KernelConfigs:
    """The configs of one kernel in both programs; None where the list cannot be read."""

    kernel: str
    originals: tuple[LaunchConfig, ...] | None
    candidates: tuple[LaunchConfig, ...] | None
    parent_autotuned: bool
    child_autotuned: bool
    parent_name: str
    notes: tuple[str, ...] = ()
    line: int | None = None

    @property
    def unchanged(self) -> bool:
        """The same configs, in whatever order."""
        if self.originals is None or self.candidates is None:
            return False
        return set(self.originals) == set(self.candidates) and len(self.originals) == len(
            self.candidates
        )

    @property
    def added(self) -> tuple[LaunchConfig, ...]:
        """Configs that no original equals."""
        if self.originals is None or self.candidates is None:
            return ()
        old = set(self.originals)
        return tuple(dict.fromkeys(c for c in self.candidates if c not in old))


def kernel_configs(context: RuleContext, pair: KernelPair) -> KernelConfigs:
    """What one kernel launches with before and after; see `LaunchConfig`."""
    names = tile_names(pair)
    originals = launch_configs(context.parent, pair.parent, names)
    candidates = launch_configs(context.child, pair.child, names)
    return KernelConfigs(
        kernel=pair.child.name,
        originals=originals,
        candidates=candidates,
        parent_autotuned=pair.parent.autotune is not None,
        child_autotuned=pair.child.autotune is not None,
        parent_name=pair.parent.name,
        notes=_told_of_list(pair.child),
        line=pair.child.autotune.line if pair.child.autotune else pair.child.line,
    )


def new_kernel_configs(context: RuleContext, kernel: Kernel) -> KernelConfigs:
    """What a kernel launches with that answers none of the parent's: no originals."""
    names = tile_names(KernelPair(kernel, kernel))
    return KernelConfigs(
        kernel=kernel.name,
        originals=(),
        candidates=launch_configs(context.child, kernel, names),
        parent_autotuned=False,
        child_autotuned=kernel.autotune is not None,
        parent_name=kernel.name,
        notes=_told_of_list(kernel),
        line=kernel.autotune.line if kernel.autotune else kernel.line,
    )


def _told_of_list(kernel: Kernel) -> tuple[str, ...]:
    """What is told of a list that code builds, and of options inside a config's dictionary."""
    if kernel.autotune is not None and kernel.autotune.traced:
        told = "its config list is built by code, and judged as it was when the host code ran"
        return (f"{kernel.name}: {told}",)
    for config in (kernel.autotune.configs or ()) if kernel.autotune else ():
        if config.ignored:
            return (
                f"{kernel.name}: {', '.join(config.ignored)} inside the dictionary of a "
                "triton.Config has no effect: Triton overwrites it with the config's own "
                "argument (4 warps, 3 stages where none is given)",
            )
    return ()


def tile_names(pair: KernelPair) -> frozenset[str]:
    """Meta-parameters that a config of either side sets, and constexpr sizes of blocks."""
    names = set()
    for kernel in (pair.parent, pair.child):
        for parameter in kernel.parameters:
            if parameter.is_constexpr and _TILE.search(parameter.name):
                names.add(parameter.name)
        for config in (kernel.autotune.configs or ()) if kernel.autotune else ():
            names.update(name for name, _ in config.meta)
    return frozenset(names - set(LAUNCH_OPTIONS))


def launch_configs(
    view: ProgramView, kernel: Kernel, names: frozenset[str]
) -> tuple[LaunchConfig, ...] | None:
    """The configs that `kernel` is launched with, or None if its list cannot be read."""
    sites = [site for site in view.launches if site.kernel == kernel.name]
    autotune = kernel.autotune
    if autotune is not None and autotune.configs is None:
        return None
    launched = [_launch_values(view, kernel, site) for site in sites] or [{}]
    if autotune is None:
        found = [_plain(kernel, values, names, site) for values, site in _zip(launched, sites)]
        return tuple(dict.fromkeys(found))
    # A config of the list holds for every launch; values that differ between the launches
    # are no part of it.
    common = {
        name: value
        for name, value in launched[0].items()
        if all(other.get(name, None) == value for other in launched)
    }
    return tuple(_listed(kernel, config, common, names) for config in autotune.configs or ())


def _zip(
    launched: list[dict[str, MetaValue | ast.expr]], sites: list[LaunchSite]
) -> list[tuple[dict[str, MetaValue | ast.expr], LaunchSite | None]]:
    places: list[LaunchSite | None] = [*sites] or [None]
    return list(zip(launched, places, strict=True))


def _listed(
    kernel: Kernel,
    config: Config,
    launched: Mapping[str, MetaValue | ast.expr],
    names: frozenset[str],
) -> LaunchConfig:
    meta = {name: value for name, value in config.meta if name not in LAUNCH_OPTIONS}
    tile, unknown = _tile(kernel, {**launched, **meta}, names)
    return LaunchConfig(
        tile,
        config.num_warps,
        config.num_stages,
        config.num_ctas,
        config.maxnreg,
        config.pre_hook,
        config.others,
        unknown,
        written=config,
        line=config.line,
    )


def _plain(
    kernel: Kernel,
    launched: Mapping[str, MetaValue | ast.expr],
    names: frozenset[str],
    site: LaunchSite | None,
) -> LaunchConfig:
    tile, unknown = _tile(kernel, launched, names)
    options: dict[str, int] = {"num_warps": 4, "num_stages": 3, "num_ctas": 1}
    texts: list[tuple[str, str]] = []
    for option in options:
        value = launched.get(option)
        if isinstance(value, int):
            options[option] = value
        elif value is not None:
            unknown |= {option}
            texts.append(
                (option, ast.unparse(value) if isinstance(value, ast.expr) else str(value))
            )
    line = site.line if site is not None else kernel.line
    return LaunchConfig(
        tile,
        options["num_warps"],
        options["num_stages"],
        options["num_ctas"],
        unknown=unknown,
        open_options=tuple(texts),
        line=line,
    )


def _tile(
    kernel: Kernel, values: Mapping[str, MetaValue | ast.expr], names: frozenset[str]
) -> tuple[tuple[tuple[str, MetaValue], ...], frozenset[str]]:
    """Values of the tile parameters that the kernel has, and those that are unknown."""
    tile: dict[str, MetaValue] = {}
    unknown = set()
    parameters = {parameter.name: parameter for parameter in kernel.parameters}
    for name in names & set(parameters):
        value: MetaValue | ast.expr = values.get(name)
        if value is None and name not in values and parameters[name].default is not None:
            default = expression_of(parameters[name].default or "")
            value = parameters[name].default if default is None else _plain_value(default)
        if isinstance(value, ast.expr):
            unknown.add(name)
            value = ast.unparse(value)
        elif value is None:
            continue
        tile[name] = value
    return tuple(sorted(tile.items())), frozenset(unknown)


def _plain_value(node: ast.expr) -> MetaValue | ast.expr:
    """The value of a literal, any other expression as it is."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, bool, str)):
        return node.value
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    return node


def _launch_values(
    view: ProgramView, kernel: Kernel, site: LaunchSite
) -> dict[str, MetaValue | ast.expr]:
    """Argument values of a launch by parameter: a literal where the source settles it."""
    passed = {**_maybe_passed(view, kernel, site), **site.passed_to(kernel)}
    constants = local_constants(view, site.function)
    values: dict[str, MetaValue | ast.expr] = {}
    for name, node in passed.items():
        value = _plain_value(node)
        if isinstance(value, ast.Name):
            found = constants.get(value.id)
            if found is not None:
                value = found
        values[name] = value
    return values


def _maybe_passed(view: ProgramView, kernel: Kernel, site: LaunchSite) -> dict[str, ast.expr]:
    """What `*args` and `**options` that cannot be read may pass, as items of something unread.

    Those of two programs are equal only where all of their host code is.
    """
    is_mapping = "**" in site.keywords
    if not is_mapping and not any(text.startswith("*") for text in site.arguments):
        return {}
    names = [parameter.name for parameter in kernel.parameters if parameter.is_constexpr]
    names += LAUNCH_OPTIONS[:3] if is_mapping else ()
    unread = ast.Name(f"{UNREAD}{host_digest(parse_program(view.source))}", ast.Load())
    return {name: ast.Subscript(unread, ast.Constant(name), ast.Load()) for name in names}


def local_constants(view: ProgramView, function: str) -> Mapping[str, MetaValue | ast.expr]:
    """Names that are assigned once in `function` or at module level, with their values.

    A literal is given as its value, any other expression as its syntax tree; a name that is
    assigned more than once is left out, since its value depends on the path taken.
    """
    program = program_of(view.source)
    return {} if program is None else _constants(program, function)


@once
def _constants(program: ParsedProgram, function: str) -> dict[str, MetaValue | ast.expr]:
    assigned: dict[str, list[ast.expr]] = {}
    for node, scope in host_nodes(program):
        if scope not in ("", function) or not isinstance(node, (ast.Assign, ast.AnnAssign)):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            for name, value in _bindings(target, node.value):
                assigned.setdefault(name, []).append(value)
    found: dict[str, MetaValue | ast.expr] = {}
    for name, values in assigned.items():
        if len(values) == 1:
            found[name] = _plain_value(values[0])
    return found


def _bindings(target: ast.expr, value: ast.expr | None) -> list[tuple[str, ast.expr]]:
    """Name → value of an assignment; `n, c = x.shape` gives `x.shape[0]`, `x.shape[1]`."""
    if value is None:
        return []
    if isinstance(target, ast.Name):
        return [(target.id, value)]
    if not isinstance(target, (ast.Tuple, ast.List)):
        return []
    found = []
    items: list[ast.expr] = []
    if isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(target.elts):
        items = value.elts
    elif any(isinstance(name, ast.Starred) for name in target.elts):
        return []
    else:
        items = [
            ast.Subscript(value, ast.Constant(position), ast.Load())
            for position in range(len(target.elts))
        ]
    for name, item in zip(target.elts, items, strict=True):
        if isinstance(name, ast.Name):
            found.append((name.id, item))
    return found

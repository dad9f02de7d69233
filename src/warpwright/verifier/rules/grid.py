"""Rules on launch grids."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from warpwright.program.grid_expressions import canonical_grid, grid_extents, uses_meta
from warpwright.program.nodes import names_in
from warpwright.types.program import Kernel, LaunchSite, ProgramView
from warpwright.types.stage import Rule
from warpwright.types.verdict import Violation
from warpwright.verifier.rules.finding import OBEYED, RuleFinding, RuleReading, merged, violated
from warpwright.verifier.rules.launch_configs import KernelConfigs, local_constants
from warpwright.verifier.rules.listed_configs import limit
from warpwright.verifier.rules.rule_context import KernelPair


def sites_of(view: ProgramView, kernel: Kernel) -> list[LaunchSite]:
    """The launches of a kernel, in order of lines."""
    return [site for site in view.launches if site.kernel == kernel.name]


def grid_changes(reading: RuleReading) -> list[Violation | str]:
    """What changed in the grids: a violation for each, a text where it cannot be told.

    Grids are compared after local names, META and the block sizes of each config are put in
    their place, so `(n + 127) // 128` and `cdiv(n, META["BLOCK"])` with BLOCK=128 are equal.
    """
    found: list[Violation | str] = []
    for pair, configs in zip(reading.match.pairs, reading.configs, strict=True):
        found += _changes_of(reading, pair, configs)
    return found


def _changes_of(
    reading: RuleReading, pair: KernelPair, configs: KernelConfigs
) -> Iterator[Violation | str]:
    context = reading.context
    old_axes, new_axes = set(pair.parent.program_id_axes), set(pair.child.program_id_axes)
    if old_axes != new_axes:
        expected = f"{pair.child.name} reads program_id of axes {sorted(old_axes)}"
        yield Violation("", pair.child.line, expected, f"axes {sorted(new_axes)}")
        return
    tiles = [dict(c.tile) for c in configs.originals or ()] or [{}]
    new_tiles = [dict(c.tile) for c in configs.candidates or () if dict(c.tile) in tiles]
    before: set[str | None] = set()
    for site in sites_of(context.parent, pair.parent):
        names = local_constants(context.parent, site.function)
        before |= {canonical_grid(site, names, tile) for tile in tiles}
        before.add(canonical_grid(site, names, {}))
    for site in sites_of(context.child, pair.child):
        names = local_constants(context.child, site.function)
        after = {canonical_grid(site, names, tile) for tile in new_tiles or [{}]}
        if None in after or None in before:
            texts = {s.grid for s in sites_of(context.parent, pair.parent)}
            if site.grid not in texts:
                yield f"{pair.child.name}: the grid of line {site.line} cannot be read"
        elif not after <= before:
            old = " or ".join(sorted(filter(None, before)))
            new = " or ".join(sorted(filter(None, after - before)))
            yield Violation("", site.line, f"grid of {pair.child.name} as it was: {old}", new)


def check_frozen(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`grid.frozen`: no launch grid and no program_id axis changes."""
    findings = []
    for change in grid_changes(reading):
        if isinstance(change, str):
            findings.append(RuleFinding(undecided=(f"{rule.id}: {change}",)))
        else:
            findings.append(violated(rule.id, change.line, change.expected, change.found))
    return merged(findings)


def check_max_dims(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`grid.max_dims {max}`: no grid with more dimensions, no program_id beyond them."""
    most = limit(rule, "max") or 3
    inherited = {rank for _, rank in _ranks(reading.context.parent)}
    findings = []
    for site, rank in _ranks(reading.context.child):
        if rank <= most:
            continue
        text = f"a grid of {rank} dimensions for {site.kernel}"
        if rank in inherited:
            findings.append(RuleFinding(notes=(f"inherited from the parent: {text}",)))
        else:
            findings.append(violated(rule.id, site.line, f"at most {most} dimensions", text))
    for kernel in reading.context.child.launched_kernels:
        if any(axis >= most for axis in kernel.program_id_axes):
            found = f"tl.program_id({max(kernel.program_id_axes)}) in {kernel.name}"
            findings.append(violated(rule.id, kernel.line, f"axes below {most}", found))
    return merged(findings)


def _ranks(view: ProgramView) -> list[tuple[LaunchSite, int]]:
    found = []
    for site in view.launches:
        rank = site.grid_rank
        if rank is None:
            extents = grid_extents(site, local_constants(view, site.function))
            rank = None if extents is None else len(extents)
        if rank is not None:
            found.append((site, rank))
    return found


def check_static_rank(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`grid.static_rank`: the number of dimensions can be read in the source."""
    readable = {id(site) for site, _ in _ranks(reading.context.child)}
    old = {site.grid for site in reading.context.parent.launches}
    notes = [
        f"{site.kernel}: the rank of its grid cannot be read (line {site.line})"
        for site in reading.context.child.launches
        if id(site) not in readable and site.grid not in old
    ]
    return RuleFinding(undecided=tuple(f"{rule.id}: {note}" for note in notes))


def check_matches_program_ids(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`grid.matches_program_ids`: every axis read has an extent, every extent an axis."""
    view = reading.context.child
    inherited = set()
    for site, rank in _ranks(reading.context.parent):
        kernel = reading.context.parent.kernel(site.kernel)
        if kernel is not None:
            inherited.add((site.kernel, rank, kernel.program_id_axes))
    findings = []
    for site, rank in _ranks(view):
        kernel = view.kernel(site.kernel)
        if kernel is None:
            continue
        axes = set(_axes(view, kernel))
        if axes and max(axes) >= rank:
            problem = f"program_id({max(axes)}) is read, the grid has {rank} dimensions"
        elif set(range(_used_rank(view, site, rank))) - axes:
            missing = sorted(set(range(_used_rank(view, site, rank))) - axes)
            problem = f"no program_id({', '.join(map(str, missing))}) is read"
        else:
            continue
        if (site.kernel, rank, kernel.program_id_axes) in inherited:
            findings.append(RuleFinding(notes=(f"inherited from the parent: {problem}",)))
            continue
        expected = f"a grid of {site.kernel} with the axes that it reads"
        findings.append(violated(rule.id, site.line, expected, problem))
    return merged(findings)


def _axes(view: ProgramView, kernel: Kernel) -> set[int]:
    """Axes that the kernel reads, helpers that it calls included."""
    axes = set(kernel.program_id_axes)
    for name in kernel.calls:
        helper = view.kernel(name)
        if helper is not None and helper.name != kernel.name:
            axes |= set(helper.program_id_axes)
    return axes


def _used_rank(view: ProgramView, site: LaunchSite, rank: int) -> int:
    """The rank without trailing extents of 1."""
    extents = grid_extents(site, local_constants(view, site.function))
    if extents is None or len(extents) != rank:
        return rank
    while extents and _is_one(extents[-1]):
        extents = extents[:-1]
    return len(extents)


def check_meta_lambda(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`grid.meta_lambda`: where several BLOCK sizes are tried, the grid follows them."""
    context = reading.context
    findings = []
    for pair, configs in zip(reading.match.pairs, reading.configs, strict=True):
        if not configs.child_autotuned or len({c.tile for c in configs.candidates or ()}) < 2:
            continue
        for site in sites_of(context.child, pair.child):
            names = local_constants(context.child, site.function)
            if uses_meta(site, names) or _needs_no_block(context.child, site, pair):
                continue
            expected = "a grid that is a function of META, since BLOCK sizes are autotuned"
            findings.append(violated(rule.id, site.line, expected, f"`{site.grid[:80]}`"))
    return merged(findings) if findings else OBEYED


def _needs_no_block(view: ProgramView, site: LaunchSite, pair: KernelPair) -> bool:
    """No block size is in the grid: `(batch, heads)` launches the same blocks for every tile."""
    names = local_constants(view, site.function)
    # Names of block sizes stay as they are, so that they can be seen in the extents.
    open_names = {name: value for name, value in names.items() if isinstance(value, ast.expr)}
    extents = grid_extents(site, open_names)
    blocks = {p.name for p in pair.child.parameters if p.is_constexpr}
    return extents is not None and not any(names_in(e) & blocks for e in extents)


def _is_one(extent: ast.expr) -> bool:
    return isinstance(extent, ast.Constant) and extent.value == 1

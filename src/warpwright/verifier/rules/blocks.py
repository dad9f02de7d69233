"""Rules on BLOCK sizes: frozen, powers of two, in their domains, defined once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from warpwright.program.dotted_names import program_of
from warpwright.program.kernel_assignments import lane_counts
from warpwright.program.kernel_forms import AUTOTUNE
from warpwright.program.nodes import names_in
from warpwright.program.parsing import parse_expression
from warpwright.types.config import MetaValue
from warpwright.types.program import Kernel, ProgramView
from warpwright.types.stage import Rule
from warpwright.verifier.rules.finding import OBEYED, RuleFinding, RuleReading, merged, violated
from warpwright.verifier.rules.launch_configs import KernelConfigs, LaunchConfig, local_constants
from warpwright.verifier.rules.listed_configs import limit, may_be_equal, undecidable
from warpwright.verifier.rules.rule_context import KernelPair

_BLOCK = re.compile(r"(BLOCK|TILE)", re.IGNORECASE)
_PREFIX = re.compile(r"^(BLOCK_SIZE|BLOCK|TILE_SIZE|TILE)_?", re.IGNORECASE)


def is_block(name: str) -> bool:
    """True for names of block sizes: BLOCK_M, BLOCK_SIZE_K, TILE_N."""
    return _BLOCK.search(name) is not None


def block_axis(name: str) -> str:
    """`M` of BLOCK_M and BLOCK_SIZE_M; "" of BLOCK and BLOCK_SIZE."""
    return _PREFIX.sub("", name).upper()


def concerns(names: object, parameter: str) -> bool:
    """True if a rule on `names` (`BLOCK_M`, `BLOCK_*`, ...) is about this parameter."""
    if not is_block(parameter):
        return False
    if not isinstance(names, tuple):
        return True
    axis = block_axis(parameter)
    return any(name in ("BLOCK_*", "*") or block_axis(str(name)) == axis for name in names)


def check_frozen(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`block_sizes.frozen`: no new tile in a config, no block size redefined anywhere."""
    findings = []
    for pair, configs in zip(reading.match.pairs, reading.configs, strict=True):
        findings.append(_tiles_frozen(rule, configs))
        findings.append(_kernel_constants(rule, reading, pair))
        findings.append(_lanes(rule, reading, pair))
    findings.append(_host_constants(rule, reading))
    return merged(findings)


def _tiles_frozen(rule: Rule, configs: KernelConfigs) -> RuleFinding:
    reason = undecidable(configs)
    if reason is not None:
        return RuleFinding(undecided=(f"{rule.id}: {reason}",))
    tiles = {config.tile for config in configs.originals or ()}
    findings = []
    for config in configs.added:
        if config.tile in tiles:
            continue
        if _may_be_equal(config, configs.originals or ()):
            names = ", ".join(sorted(_unknown_tile(config, configs.originals or ())))
            why = f"{configs.kernel}: {names} is chosen by host code at run time"
            findings.append(RuleFinding(undecided=(f"{rule.id}: {why}",)))
            continue
        expected = f"the meta-parameters of an original config of {configs.kernel}"
        findings.append(violated(rule.id, config.line, expected, str(config)))
    return merged(findings)


def _unknown_tile(config: LaunchConfig, originals: Iterable[LaunchConfig]) -> set[str]:
    names = set(config.unknown)
    for original in originals:
        names |= original.unknown
    return names


def _may_be_equal(config: LaunchConfig, originals: Iterable[LaunchConfig]) -> bool:
    """Some original's tile may be this one: what differs is chosen by host code."""
    plain = replace(config, num_warps=4, num_stages=3, num_ctas=1, maxnreg=None)
    return any(
        may_be_equal(plain, replace(o, num_warps=4, num_stages=3, num_ctas=1, maxnreg=None))
        for o in originals
        if config.unknown | o.unknown
    )


def _kernel_constants(rule: Rule, reading: RuleReading, pair: KernelPair) -> RuleFinding:
    """A block size assigned inside the kernel body, other than the parent's."""
    before = block_assignments(reading.context.parent, pair.parent.name)
    after = block_assignments(reading.context.child, pair.child.name)
    parameters = {parameter.name for parameter in pair.parent.parameters}
    findings = []
    for name, values in after.items():
        new = values - before.get(name, set())
        if new and (name in before or name in parameters):
            expected = f"{name} as it was in {pair.child.name}"
            found = f"{name} = {' or '.join(sorted(new))}"
            findings.append(violated(rule.id, pair.child.line, expected, found))
    return merged(findings)


def block_assignments(view: ProgramView, kernel: str) -> dict[str, set[str]]:
    """Block-size names that a kernel assigns in its body, with the texts assigned."""
    program = program_of(view.source)
    found: dict[str, set[str]] = {}
    for node in program.kernels if program is not None else ():
        if node.node.name != kernel:
            continue
        for inner in ast.walk(node.node):
            if isinstance(inner, ast.Assign):
                for target in inner.targets:
                    if isinstance(target, ast.Name) and target.id.isupper() and is_block(target.id):
                        found.setdefault(target.id, set()).add(ast.unparse(inner.value))
    return found


def _lanes(rule: Rule, reading: RuleReading, pair: KernelPair) -> RuleFinding:
    """Lanes counted by a multiple of a block size, where the parent counts them by that itself."""
    before, after = (
        lane_counts(view.source, kernel.name)
        for view, kernel in (
            (reading.context.parent, pair.parent),
            (reading.context.child, pair.child),
        )
    )
    findings = []
    for text, line in after.items():
        count = parse_expression(text)
        if count is None:
            continue
        larger = isinstance(count, ast.BinOp) and isinstance(count.op, (ast.Mult, ast.LShift))
        names = {name for name in names_in(count) if is_block(name) and name in before}
        if text not in before and names and larger:
            expected = f"lanes of {pair.child.name} counted as in the parent: {', '.join(before)}"
            findings.append(violated(rule.id, line, expected, text))
    return merged(findings)


def _host_constants(rule: Rule, reading: RuleReading) -> RuleFinding:
    """Literal block sizes in host functions that both programs have."""
    context = reading.context
    findings = []
    functions = {site.function for site in context.parent.launches}
    for function in sorted(functions & {site.function for site in context.child.launches}):
        before = _block_literals(local_constants(context.parent, function))
        after = _block_literals(local_constants(context.child, function))
        for name in sorted(before.keys() & after.keys()):
            if before[name] != after[name]:
                findings.append(
                    violated(rule.id, None, f"{name} = {before[name]}", f"{name} = {after[name]}")
                )
    # Where the value reaches a launch, the tile of that launch tells it with its line.
    told = any(
        config.tile not in {original.tile for original in configs.originals or ()}
        for configs in reading.configs
        for config in configs.added
    )
    return OBEYED if told else merged(findings)


def _block_literals(names: Mapping[str, MetaValue | ast.expr]) -> dict[str, int]:
    return {
        name: value
        for name, value in names.items()
        if is_block(name) and isinstance(value, int) and not isinstance(value, bool)
    }


def _new_blocks(reading: RuleReading) -> Iterable[tuple[KernelConfigs, LaunchConfig, str, int]]:
    """Every block size with a known value that a candidate's new config has."""
    for configs in reading.configs:
        old = {config.tile for config in configs.originals or ()}
        for config in configs.added:
            if config.tile in old:
                continue
            for name, value in config.tile:
                if is_block(name) and isinstance(value, int) and not isinstance(value, bool):
                    yield configs, config, name, value


def check_power_of_two(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`block_sizes.power_of_two`, for every block size of a new tile."""
    return merged(
        violated(
            rule.id, config.line, f"{name} a power of two", f"{configs.kernel}: {name}={value}"
        )
        for configs, config, name, value in _new_blocks(reading)
        if value < 1 or value & (value - 1)
    )


def check_domain(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`block_sizes.domain {names, values, when}`, for every block size of a new tile."""
    values = rule.parameters.get("values")
    if not isinstance(values, tuple):
        return OBEYED
    text = "{" + ", ".join(map(str, values)) + "}"
    return _on_new_blocks(rule, reading, lambda value: value in values, f"in {text}")


def check_multiple(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`block_sizes.multiple {names, of, when}`, for every block size of a new tile."""
    of = limit(rule, "of") or 1
    return _on_new_blocks(rule, reading, lambda value: value % of == 0, f"a multiple of {of}")


def _on_new_blocks(rule: Rule, reading: RuleReading, obeys: object, text: str) -> RuleFinding:
    assert callable(obeys)
    findings = []
    for configs, config, name, value in _new_blocks(reading):
        kernel = reading.context.child.kernel(configs.kernel)
        if not concerns(rule.parameters.get("names"), name) or obeys(value):
            continue
        if kernel is None or not applies(rule, reading.context.child, kernel):
            continue
        found = f"{configs.kernel}: {name}={value}"
        if rule.parameters.get("preference"):
            findings.append(RuleFinding(notes=(f"{found}: {text} is preferred",)))
        else:
            findings.append(violated(rule.id, config.line, f"{name} {text}", found))
    return merged(findings)


def applies(rule: Rule, view: ProgramView, kernel: Kernel) -> bool:
    """Whether the rule's `when` is about this kernel; without `when` it always is."""
    when = rule.parameters.get("when")
    uses_dot = _calls(view, kernel, "dot", "dot_scaled")
    if when in ("tensor cores", "matmul fusion"):
        return uses_dot
    if when == "element-wise":
        return not uses_dot and not _calls(view, kernel, "sum", "max", "min", "reduce", "softmax")
    if when == "fp32":
        return uses_dot and "float16" not in view.source
    return True


def _calls(view: ProgramView, kernel: Kernel, *names: str) -> bool:
    """The kernel or a helper it calls has one of these operations."""
    kernels = [kernel, *(view.kernel(name) for name in kernel.calls)]
    return any(k is not None and k.operations_named(*names) for k in kernels)


def check_keep_baseline(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`block_sizes.keep_baseline`: some original tile is still among the configs."""
    findings = []
    for configs in reading.configs:
        if configs.unchanged or undecidable(configs) is not None:
            continue
        tiles = {config.tile for config in configs.originals or ()}
        candidates = configs.candidates or ()
        if tiles and candidates and not tiles & {config.tile for config in candidates}:
            if any(_may_be_equal(config, configs.originals or ()) for config in candidates):
                why = f"{configs.kernel}: its original tile is chosen by host code at run time"
                findings.append(RuleFinding(undecided=(f"{rule.id}: {why}",)))
                continue
            expected = f"an original tile of {configs.kernel} among its configs"
            findings.append(violated(rule.id, configs.line, expected, "only new tiles"))
    return merged(findings)


def check_smaller_fallback(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`configs.smaller_fallback`: in a changed list, one tile smaller than another."""
    findings = []
    for configs in reading.configs:
        candidates = configs.candidates or ()
        if not configs.child_autotuned or configs.unchanged or not candidates:
            continue
        sizes = {area(config) for config in candidates}
        if None not in sizes and len(sizes) < 2:
            expected = f"a config of {configs.kernel} with smaller BLOCK sizes than the others"
            findings.append(violated(rule.id, configs.line, expected, "all tiles of one size"))
    return merged(findings)


def area(config: LaunchConfig) -> int | None:
    """Product of the block sizes, or None where one is unknown."""
    area = 1
    for name, value in config.tile:
        if is_block(name):
            if not isinstance(value, int):
                return None
            area *= value
    return area


def check_defined_once(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`block_sizes.defined_once`: not in a config and at the launch, nor in the kernel again."""
    findings = []
    view = reading.context.child
    for kernel in view.launched_kernels:
        own = block_assignments(view, kernel.name)
        for parameter in kernel.parameters:
            if parameter.name in own:
                expected = f"{parameter.name} given by its caller only"
                found = f"assigned again in {kernel.name}"
                findings.append(violated(rule.id, kernel.line, expected, found))
        tuned = (
            {n for c in (kernel.autotune.configs or ()) for n, _ in c.meta}
            if (kernel.autotune)
            else set()
        )
        for site in view.launches:
            for name in sorted(tuned & site.keywords.keys()) if site.kernel == kernel.name else ():
                expected = f"{name} in the configs or at the launch"
                findings.append(violated(rule.id, site.line, expected, "both"))
    return merged(findings)


def check_on_kernel(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`autotune.on_kernel`: @triton.autotune decorates @triton.jit functions only."""
    program = program_of(reading.context.child.source)
    if program is None:
        return OBEYED
    findings = []
    for node in ast.walk(program.tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        for decorator in node.decorator_list:
            target = decorator.func if isinstance(decorator, ast.Call) else decorator
            if program.aliases.path(target) == AUTOTUNE and not program.is_kernel(node):
                expected = "@triton.autotune on a @triton.jit kernel"
                findings.append(violated(rule.id, decorator.lineno, expected, f"on {node.name}"))
    return merged(findings)


def check_blocks_or_launch(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`autotune.blocks_or_launch`: a changed list varies tiles, or warps and stages, not both."""
    findings = []
    for configs in reading.configs:
        candidates = configs.candidates or ()
        if not configs.child_autotuned or configs.unchanged or len(candidates) < 2:
            continue
        tiles = {config.tile for config in candidates}
        options = {(config.num_warps, config.num_stages) for config in candidates}
        if len(tiles) > 1 and len(options) > 1:
            if _varies_both(configs.originals or ()):
                note = f"{configs.kernel}: the parent's configs already vary both"
                findings.append(RuleFinding(notes=(f"inherited from the parent: {note}",)))
                continue
            expected = f"configs of {configs.kernel} that vary BLOCK sizes or (warps, stages)"
            found = f"{len(tiles)} tiles and {len(options)} (warps, stages) pairs"
            findings.append(violated(rule.id, configs.line, expected, found))
    return merged(findings)


def _varies_both(configs: Iterable[LaunchConfig]) -> bool:
    configs = list(configs)
    tiles = {config.tile for config in configs}
    return len(tiles) > 1 and len({(c.num_warps, c.num_stages) for c in configs}) > 1


def check_grid_variants(rule: Rule, reading: RuleReading) -> RuleFinding:
    """`grid.variants {max}`: a changed list has at most this many tiles."""
    most = limit(rule, "max")
    findings = []
    for configs in reading.configs:
        tiles = {config.tile for config in configs.candidates or ()}
        if not configs.unchanged and most is not None and len(tiles) > most:
            expected = f"at most {most} grid variants of {configs.kernel}"
            findings.append(violated(rule.id, configs.line, expected, f"{len(tiles)} tiles"))
    return merged(findings)

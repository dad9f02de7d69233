"""Checks of every stage: what autotune does to outputs, and launches that cannot work.

Autotune runs each config on the live buffers. A kernel that accumulates into its output, uses
atomics or updates a tensor in place then runs several times over the same data, and the
result is wrong on the first call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet

from warpwright.program.hooks import HookEffect, read_hook
from warpwright.program.memory_accesses import Constants, read_body
from warpwright.types.config import Config
from warpwright.types.launch_trace import Launch, TensorArgument
from warpwright.types.program import Autotune, Kernel, LaunchSite, ProgramView
from warpwright.types.verdict import Violation
from warpwright.verifier.rules.finding import RuleFinding, RuleReading, merged, undecided, violated
from warpwright.verifier.rules.grid import sites_of
from warpwright.verifier.rules.launch_configs import LAUNCH_OPTIONS

SAFE_RULE = "autotune.safe"
LAUNCH_RULE = "launch.arguments"
_KNOWN_OPTIONS = frozenset(
    (*LAUNCH_OPTIONS, "grid", "warmup", "enable_fp_fusion", "launch_cooperative_grid",
     "launch_pdl", "debug", "extern_libs", "max_num_imprecise_acc_default", "pre_hook",
     "num_buffers_warp_spec", "num_consumer_groups", "reg_dec_producer", "reg_inc_consumer",
     "arch", "sanitize_overflow", "instrumentation_mode", "ir_override", "ptx_options")
)  # fmt: skip


def check_autotune_safe(reading: RuleReading) -> RuleFinding:
    """Autotune added where kernels change what they read needs reset_to_zero or restore_value."""
    context = reading.context
    findings = []
    inherited = {
        kernel.name: set(changed_by_running(context.parent, kernel))
        for kernel in _tuned(context.parent)
    }
    old_names = {pair.child.name: pair.parent.name for pair in reading.match.pairs}
    for kernel in _tuned(context.child):
        known = inherited.get(old_names.get(kernel.name, ""), set())
        for pointer, why in changed_by_running(context.child, kernel):
            expected = (
                f"reset_to_zero or restore_value for {pointer}, a pre_hook that overwrites it, or "
                f"no autotune on {kernel.name}"
            )
            found = f"{why}: every config that autotune tries adds to the same data"
            if (pointer, why) in known:
                note = f"inherited from the parent: {kernel.name} is autotuned, and {why}"
                findings.append(RuleFinding(notes=(note,)))
            else:
                line = kernel.autotune.line if kernel.autotune else kernel.line
                findings.append(violated(SAFE_RULE, line, expected, found))
        unread = set(_unread(context.parent, old_names.get(kernel.name, "")))
        for pointer, why in dict.fromkeys(behind_unread_hooks(context.child, kernel)):
            if (pointer, why) not in unread:
                told = f"{kernel.name}: {why}, and its pre_hook, which may reset it, cannot be read"
                findings.append(undecided(SAFE_RULE, told))
    return merged(findings)


def _unread(view: ProgramView, name: str) -> Iterable[tuple[str, str]]:
    kernel = view.kernel(name)
    return () if kernel is None or not is_tuned(kernel) else behind_unread_hooks(view, kernel)


def _tuned(view: ProgramView) -> Iterable[Kernel]:
    """Kernels whose autotune tries more than one config (one is launched without trying)."""
    return (kernel for kernel in view.kernels if is_tuned(kernel))


def is_tuned(kernel: Kernel) -> bool:
    """Whether a kernel's autotune tries configs, of which there may be too many to read."""
    autotune = kernel.autotune
    return autotune is not None and (autotune.configs is None or len(autotune.configs) > 1)


def changed_by_running(
    view: ProgramView, kernel: Kernel, launches: Sequence[Launch] = ()
) -> Iterator[tuple[str, str]]:
    """Pointers that a second run of a kernel finds changed, and that no autotune restores.

    Each with why. A kernel without autotune is read as if one without `reset_to_zero` and
    `restore_value` were added. `launches`: the traced ones, which tell tensors of one storage
    that have different names in the source. Parts of a storage that do not overlap are not told
    apart there, so that only one who may err to the safe side passes them.
    """
    restored, reset = _restored(kernel.autotune)
    if not _has_hook(kernel.autotune):
        yield from _changed(view, kernel, launches, restored, reset)
        return
    told: dict[tuple[str, str], None] = {}
    for constants, effect in _under_hooks(view, kernel):
        if effect.readable:
            both = reset | effect.overwritten
            told |= dict.fromkeys(_changed(view, kernel, launches, restored, both, constants))
    yield from told


def behind_unread_hooks(view: ProgramView, kernel: Kernel) -> Iterator[tuple[str, str]]:
    """Pointers that a second run finds changed unless a hook that cannot be read restores them.

    Each with why, and which hook that is.
    """
    restored, reset = _restored(kernel.autotune)
    hooks = [] if not _has_hook(kernel.autotune) else list(_under_hooks(view, kernel))
    for constants, effect in hooks:
        if not effect.readable:
            both = reset | effect.overwritten
            yield from _changed(view, kernel, (), restored, both, constants)


def _under_hooks(view: ProgramView, kernel: Kernel) -> Iterator[tuple[Constants, HookEffect]]:
    """The constants of each config, and what its hook and the tuner's own overwrite."""
    autotune = kernel.autotune
    assert autotune is not None
    tuners = autotune.other_arguments.get("pre_hook")
    for config in autotune.configs or (Config(),):
        hooks = [hook for hook in (config.pre_hook, tuners) if hook not in (None, "None")]
        effects = [read_hook(view.source, str(hook), config.meta_dict) for hook in hooks]
        overwritten = frozenset().union(*(effect.overwritten for effect in effects))
        yield config.meta, HookEffect(overwritten, all(effect.readable for effect in effects))


def _changed(
    view: ProgramView,
    kernel: Kernel,
    launches: Sequence[Launch],
    restored: AbstractSet[str],
    reset: AbstractSet[str],
    constants: Constants = (),
) -> Iterator[tuple[str, str]]:
    """Pointers that a second run finds changed, but for those that are put back or zeroed.

    `constants`: those of a config, whose branches are decided.
    """
    body = read_body(view.source, kernel.name, constants)
    for pointer in sorted(body.pointers("atomic") - reset):
        yield pointer, f"it uses atomics on {pointer}"
    if not reset and any(
        access.pointer is None and access.kind.startswith("atomic_") for access in body.accesses
    ):
        yield "what it adds to", "it uses atomics on an address that cannot be read"
    for name in kernel.calls:
        helper = view.kernel(name)
        if helper is not None and not reset and read_body(view.source, name).pointers("atomic"):
            yield "what it adds to", f"it calls {name}, which uses atomics"
    loaded, stored = body.pointers("load"), body.pointers("store")
    for pointer in sorted((loaded & stored) - reset):
        yield pointer, f"it reads and writes {pointer}"
    for site in sites_of(view, kernel):
        texts = site.texts_of(kernel)
        for output in sorted(stored - restored):
            for source in sorted(loaded - {output} - restored):
                if texts.get(output) is not None and texts.get(output) == texts.get(source):
                    text = texts[output]
                    yield output, f"it updates {text} in place (as {source} and {output})"
    for output, source in _of_one_storage(launches, stored - restored, loaded - restored):
        yield output, f"{source} and {output} are launched on one tensor, read and written"


def _restored(autotune: Autotune | None) -> tuple[set[str], set[str]]:
    """Pointers whose values the tuner puts back, and those that it puts back or zeroes."""
    if autotune is None:
        return set(), set()
    restored = {*autotune.restore_value}
    return restored, {*autotune.reset_to_zero, *restored}


def _has_hook(autotune: Autotune | None) -> bool:
    return autotune is not None and (
        "pre_hook" in autotune.other_arguments or any(c.pre_hook for c in autotune.configs or ())
    )


def _of_one_storage(
    launches: Sequence[Launch], outputs: AbstractSet[str], sources: AbstractSet[str]
) -> list[tuple[str, str]]:
    """(written, read) pointers that were launched on tensors of one storage."""
    found: dict[tuple[str, str], None] = {}
    for launch in launches:
        storage = {
            name: argument.storage
            for name, argument in launch.arguments.items()
            if isinstance(argument, TensorArgument)
        }
        for output in sorted(outputs & storage.keys()):
            for source in sorted((sources & storage.keys()) - {output}):
                if storage[output] == storage[source]:
                    found[output, source] = None
    return list(found)


def check_launches(reading: RuleReading) -> RuleFinding:
    """Launches that Triton refuses with certainty: arguments given twice, missing or unknown."""
    context = reading.context
    inherited = {v.found for v in _launch_errors(context.parent)}
    findings = []
    for violation in _launch_errors(context.child):
        if violation.found in inherited:
            findings.append(RuleFinding(notes=(f"inherited from the parent: {violation}",)))
        else:
            findings.append(RuleFinding(violations=(violation,)))
    return merged(findings)


def _launch_errors(view: ProgramView) -> Iterable[Violation]:
    for site in view.launches:
        kernel = view.kernel(site.kernel)
        if kernel is None or any(text.startswith("*") for text in site.arguments):
            continue
        if "**" in site.keywords or "*" in kernel.heuristics:
            continue
        yield from _errors_of(kernel, site)


def _errors_of(kernel: Kernel, site: LaunchSite) -> Iterable[Violation]:
    names = [parameter.name for parameter in kernel.parameters]
    if len(site.arguments) > len(names):
        expected = f"at most {len(names)} arguments for {kernel.name}"
        yield Violation(LAUNCH_RULE, site.line, expected, f"{len(site.arguments)} of them")
        return
    given = {*names[: len(site.arguments)], *site.keywords}
    twice = set(names[: len(site.arguments)]) & set(site.keywords)
    for name in sorted(twice):
        yield Violation(LAUNCH_RULE, site.line, f"{name} given once", f"{name} given twice")
    tuned: set[str] = set()
    autotune = kernel.autotune
    if autotune is not None:
        if autotune.configs is None:
            return
        tuned = {name for config in autotune.configs for name, _ in config.meta}
        for name in sorted((tuned - set(LAUNCH_OPTIONS)) & given):
            expected = f"{name} from the configs of {kernel.name} or from its launch"
            found = f"{name} in both: Triton refuses the launch"
            yield Violation(LAUNCH_RULE, site.line, expected, found)
        for name in sorted(set(LAUNCH_OPTIONS) & set(site.keywords)):
            if name != "maxnreg" or any(c.maxnreg for c in autotune.configs):
                expected = f"{name} from the configs of {kernel.name} only"
                found = f"{name}= at the launch of an autotuned kernel: Triton refuses it"
                yield Violation(LAUNCH_RULE, site.line, expected, found)
        for name in sorted(tuned - set(names) - set(LAUNCH_OPTIONS)):
            expected = f"meta-parameters that {kernel.name} has"
            found = f"{name} in its configs is no parameter of it"
            yield Violation(LAUNCH_RULE, autotune.line, expected, found)
    filled = given | tuned | set(kernel.heuristics) | set(LAUNCH_OPTIONS)
    for parameter in kernel.parameters:
        if parameter.name not in filled and parameter.default is None:
            found = f"no value for {parameter.name}"
            yield Violation(LAUNCH_RULE, site.line, f"every argument of {kernel.name}", found)
    for name in sorted(set(site.keywords) - set(names) - _KNOWN_OPTIONS):
        expected = f"arguments that {kernel.name} has"
        yield Violation(LAUNCH_RULE, site.line, expected, f"{name}= is no parameter of it")

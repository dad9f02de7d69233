"""Edits between two versions of one kernel."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher

from warpwright.program.difference.access import removed_masks
from warpwright.program.kernel_forms import KernelNode
from warpwright.program.kernels import is_constexpr
from warpwright.program.normal_form import Definitions, NormalLine, body_lines, renamed_lines
from warpwright.program.parsed import ParsedProgram
from warpwright.program.parsing import text_of
from warpwright.types.config import Config
from warpwright.types.edit import Edit, EditKind
from warpwright.types.program import Autotune, Kernel, Operation

REDUCTIONS = frozenset({
    "sum", "max", "min", "argmax", "argmin", "xor_sum", "reduce", "reduce_or", "cumsum",
    "cumprod", "associative_scan", "histogram", "sort", "topk", "softmax",
})  # fmt: skip

_COUNTED = REDUCTIONS | {"dot", "dot_scaled", "load", "store"}
MAX_COMPARED = 4_000_000


def autotune_edits(parent: Kernel, child: Kernel) -> Iterator[Edit]:
    """Autotune added or removed, its configs as a set, its other arguments; heuristics."""
    before, after = parent.autotune, child.autotune
    name = child.name
    if before is None and after is not None:
        yield Edit(EditKind.AUTOTUNE_ADDED, name, None, _autotune_text(after), after.line)
    elif before is not None and after is None:
        yield Edit(EditKind.AUTOTUNE_REMOVED, name, _autotune_text(before), None, before.line)
    yield from _config_edits(name, before, after)
    if before is not None and after is not None:
        yield from _argument_edits(name, before, after)
    if dict(parent.heuristics) != dict(child.heuristics):
        texts = (_mapping_text(parent.heuristics), _mapping_text(child.heuristics))
        yield Edit(EditKind.HEURISTICS, name, *texts, child.line)


def _config_edits(name: str, before: Autotune | None, after: Autotune | None) -> Iterator[Edit]:
    old = () if before is None else before.configs
    new = () if after is None else after.configs
    if old is None or new is None:
        texts = (before.configs_text if before else "", after.configs_text if after else "")
        readable_in_one = (old is None) != (new is None)
        if readable_in_one or "".join(texts[0].split()) != "".join(texts[1].split()):
            line = after.line if after else None
            yield Edit(
                EditKind.AUTOTUNE_ARGUMENT, name, f"configs={texts[0]}", f"configs={texts[1]}", line
            )
        return
    kept_old = [config for config in old if config in new]
    kept_new = [config for config in new if config in old]
    for config in dict.fromkeys(old):
        if config not in new:
            yield Edit(EditKind.CONFIG_REMOVED, name, str(config), None, config.line, config)
    for config in dict.fromkeys(new):
        if config not in old:
            yield Edit(EditKind.CONFIG_ADDED, name, None, str(config), config.line, config)
    if list(dict.fromkeys(kept_old)) != list(dict.fromkeys(kept_new)):
        texts = (_configs_text(tuple(kept_old)), _configs_text(tuple(kept_new)))
        yield Edit(EditKind.CONFIGS_REORDERED, name, *texts, after.line if after else None)


def _argument_edits(name: str, before: Autotune, after: Autotune) -> Iterator[Edit]:
    for argument in ("key", "reset_to_zero", "restore_value"):
        old, new = getattr(before, argument), getattr(after, argument)
        if old != new:
            texts = (f"{argument}={list(old)}", f"{argument}={list(new)}")
            yield Edit(EditKind.AUTOTUNE_ARGUMENT, name, *texts, after.line)
    for argument in sorted({*before.other_arguments, *after.other_arguments}):
        one, other = before.other_arguments.get(argument), after.other_arguments.get(argument)
        if one != other:
            yield Edit(
                EditKind.AUTOTUNE_ARGUMENT,
                name,
                None if one is None else f"{argument}={one}",
                None if other is None else f"{argument}={other}",
                after.line,
            )


def signature_edits(
    parent: KernelNode, child: KernelNode, old: ParsedProgram, new: ParsedProgram
) -> Iterator[Edit]:
    """The name, each parameter added, removed or changed, their order, options of `jit`."""
    kind, name, line = EditKind.KERNEL_SIGNATURE, child.node.name, child.node.lineno
    if parent.node.name != name:
        yield Edit(kind, name, f"def {parent.node.name}", f"def {name}", line)
    before = _parameters(parent.node, old)
    after = _parameters(child.node, new)
    for parameter in before:
        if parameter not in after:
            yield Edit(kind, name, before[parameter][0], None, before[parameter][1])
    for parameter, (text, at) in after.items():
        if parameter not in before:
            yield Edit(kind, name, None, text, at)
        elif before[parameter][0] != text:
            yield Edit(kind, name, before[parameter][0], text, at)
    common = [p for p in before if p in after], [p for p in after if p in before]
    if common[0] != common[1]:
        yield Edit(kind, name, ", ".join(common[0]), ", ".join(common[1]), line)
    options = _jit_options(parent), _jit_options(child)
    if options[0] != options[1]:
        yield Edit(kind, name, f"jit({options[0]})", f"jit({options[1]})", line)


def _parameters(node: ast.FunctionDef, program: ParsedProgram) -> dict[str, tuple[str, int]]:
    """Parameter → its text; the spelling of the `constexpr` annotation does not count."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    padding: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    pairs = [*zip(positional, [*padding, *arguments.defaults], strict=True)]
    pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    found: dict[str, tuple[str, int]] = {}
    for argument, default in pairs:
        annotation = text_of(argument.annotation)
        if is_constexpr(argument.annotation, program.aliases):
            annotation = "tl.constexpr"
        text = f"{argument.arg}: {annotation}" if annotation else argument.arg
        text += f" = {text_of(default)}" if default is not None else ""
        found[argument.arg] = (text, argument.lineno)
    return found


def _jit_options(kernel: KernelNode) -> str:
    if not isinstance(kernel.jit, ast.Call):
        return ""
    options = [keyword for keyword in kernel.jit.keywords if keyword.arg != "fn"]
    return ", ".join(sorted(text_of(option) for option in options))


def body_edits(parent: KernelNode, child: KernelNode) -> Iterator[Edit]:
    """Statement-level edits of the body; none where only local names differ."""
    before, after = body_lines(parent.node.body), body_lines(child.node.body)
    if [line.key for line in before] == [line.key for line in after]:
        return
    if renamed_lines(parent.node) == renamed_lines(child.node):
        return
    yield from line_edits(EditKind.KERNEL_BODY, child.node.name, before, after)


def line_edits(
    kind: EditKind, subject: str, before: list[NormalLine], after: list[NormalLine]
) -> Iterator[Edit]:
    """One edit per run of lines that differs."""
    old, new = [line.key for line in before], [line.key for line in after]
    if len(old) * len(new) > MAX_COMPARED:
        if old != new:
            yield Edit(kind, subject, _lines_text(before), _lines_text(after), after[0].line)
        return
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        removed, added = before[i1:i2], after[j1:j2]
        line = added[0].line if added else removed[0].line
        yield Edit(kind, subject, _lines_text(removed), _lines_text(added), line)


def _lines_text(lines: list[NormalLine]) -> str | None:
    if not lines:
        return None
    base = min(line.depth for line in lines)
    return "\n".join("    " * (line.depth - base) + line.text for line in lines)


def operation_edits(
    parent: Kernel, child: Kernel, old: dict[str, Kernel], new: dict[str, Kernel]
) -> Iterator[Edit]:
    """Loads, stores, dots, atomics and reductions that are gone or new, helpers included."""
    before, after = _counted(parent, old), _counted(child, new)
    counts = Counter(_family(op) for op in before), Counter(_family(op) for op in after)
    for family in sorted({*counts[0], *counts[1]}):
        surplus = counts[0][family] - counts[1][family]
        if surplus > 0:
            for op in _unmatched(before, after, family)[:surplus]:
                text = operation_text(op)
                yield Edit(EditKind.OPERATION_REMOVED, child.name, text, None, op.line)
        elif surplus < 0:
            for op in _unmatched(after, before, family)[:-surplus]:
                text = operation_text(op)
                yield Edit(EditKind.OPERATION_ADDED, child.name, None, text, op.line)


def _counted(
    kernel: Kernel, kernels: dict[str, Kernel], open_: frozenset[str] = frozenset()
) -> list[Operation]:
    found = [op for op in kernel.operations if _is_counted(op)]
    for name in kernel.calls:
        helper = kernels.get(name)
        if helper is not None and name not in open_:
            found += _counted(helper, kernels, open_ | {kernel.name, name})
    return found


def _is_counted(operation: Operation) -> bool:
    family = _family(operation)
    return family in _COUNTED or family.startswith("atomic_")


def _family(operation: Operation) -> str:
    return operation.name.removesuffix("_tensor_descriptor")


def _unmatched(ours: list[Operation], theirs: list[Operation], family: str) -> list[Operation]:
    """Those of ours without an equal one among theirs; the rest follows, in source order."""
    left = Counter(operation_text(op) for op in theirs if _family(op) == family)
    alone: list[Operation] = []
    paired: list[Operation] = []
    for op in (op for op in ours if _family(op) == family):
        text = operation_text(op)
        if left[text] > 0:
            left[text] -= 1
            paired.append(op)
        else:
            alone.append(op)
    return alone + paired


def operation_text(operation: Operation) -> str:
    """The operation as a call in canonical layout."""
    keywords = [f"{name}={value}" for name, value in operation.keywords.items()]
    return f"tl.{operation.name}({', '.join([*operation.arguments, *keywords])})"


def mask_edits(
    parent: KernelNode, child: KernelNode, old: ParsedProgram, new: ParsedProgram
) -> Iterator[Edit]:
    """Loads, stores and atomics whose mask is gone or weaker than the parent's."""
    for before, after, line in removed_masks(parent.node, child.node, old.aliases, new.aliases):
        yield Edit(EditKind.MASK_REMOVED, child.node.name, before, after, line)


def loop_edits(parent: KernelNode, child: KernelNode) -> Iterator[Edit]:
    """Loops whose bounds differ, local names resolved; loops that are gone or new."""
    before, after = _loop_bounds(parent.node), _loop_bounds(child.node)
    old, new = [bound for bound, _, _ in before], [bound for bound, _, _ in after]
    if len(old) == len(new):
        blocks = [(i, i + 1, i, i + 1) for i in range(len(old)) if old[i] != new[i]]
    else:
        opcodes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        blocks = [(i1, i2, j1, j2) for tag, i1, i2, j1, j2 in opcodes if tag != "equal"]
    for i1, i2, j1, j2 in blocks:
        removed, added = before[i1:i2], after[j1:j2]
        for index in range(max(len(removed), len(added))):
            one = removed[index] if index < len(removed) else None
            other = added[index] if index < len(added) else None
            where = other or one
            yield Edit(
                EditKind.LOOP_BOUND,
                child.node.name,
                one[1] if one else None,
                other[1] if other else None,
                where[2] if where else None,
            )


def _loop_bounds(node: ast.FunctionDef) -> list[tuple[str, str, int]]:
    """For each loop: resolved bounds to compare, its header as text, its line."""
    definitions = Definitions(node, node.body)
    found: list[tuple[str, str, int]] = []
    loops = [n for n in ast.walk(node) if isinstance(n, (ast.For, ast.While))]
    for loop in sorted(loops, key=lambda n: n.lineno):
        place = (loop.lineno, loop.col_offset)
        if isinstance(loop, ast.While):
            bound = "while " + text_of(definitions.expand(loop.test, place))
            found.append((bound, f"while {text_of(loop.test)}", loop.lineno))
            continue
        bounds = loop.iter.args if isinstance(loop.iter, ast.Call) else [loop.iter]
        resolved = [text_of(definitions.expand(bound, place)) for bound in bounds]
        if len(resolved) == 1:
            resolved.insert(0, "0")
        if len(resolved) == 2:
            resolved.append("1")
        header = f"for {text_of(loop.target)} in {text_of(loop.iter)}"
        found.append((", ".join(resolved), header, loop.lineno))
    return found


def _autotune_text(autotune: Autotune) -> str:
    configs = autotune.configs_text if autotune.configs is None else _configs_text(autotune.configs)
    return f"configs: {configs}; key={list(autotune.key)}"


def _configs_text(configs: tuple[Config, ...]) -> str:
    return ", ".join(f"[{config}]" for config in configs)


def _mapping_text(mapping: object) -> str | None:
    items = dict(mapping).items()  # type: ignore[call-overload]
    return ", ".join(f"{name}: {value}" for name, value in items) or None

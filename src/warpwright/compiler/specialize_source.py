"""Specialisations that a call could have, where shapes and so the call itself are unknown.

Triton compiles a kernel anew for each class of arguments; which class a call falls into depends
on its sizes. What the source tells is used: constants at the launch, defaults, the last stride
of a contiguous tensor. The rest gives classes: sizes all divisible by 16 or none, each branch
flag on or off. Window sizes, strides and paddings (by their usual names) count as not divisible.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Mapping

from warpwright.compiler.specialize import ALIGNMENT, triton_type
from warpwright.program.parameter_types import parameter_kinds
from warpwright.program.parsed import parse_program
from warpwright.types.compiled import Specialization
from warpwright.types.config import MetaValue
from warpwright.types.parameters import ParameterKind
from warpwright.types.program import Kernel, LaunchSite, ProgramView

MAX_FLAGS = 3  # 2³ branches × 2 size classes is the most that is worth compiling
# Sizes of windows and their steps: small numbers, which 16 hardly ever divides.
_WINDOW = re.compile(
    r"^((kernel|pad|padding|dil|dilation|group|stride|step)s?(_?(size|[dhw]|[0-2]))?"
    r"|[ksp]_?([dhw]|size))$",
    re.IGNORECASE,
)
_STRIDE = re.compile(r"^(?P<tensor>[\w.]+)\.stride\((?P<axis>-?\d+)\)$")


def specialization_classes(
    view: ProgramView,
    kernel: str,
    known: Mapping[str, MetaValue] | None = None,
    dtype: str = "float32",
) -> tuple[Specialization, ...]:
    """One specialisation for each class of arguments that `kernel` could be called with.

    `known` gives values of parameters that are certain; `dtype` is that of all tensors, by
    torch's name. A constexpr whose value nothing tells is in the signature and not in
    `constants`; `missing_constants` names those. Empty when the view has no such kernel.
    """
    found = view.kernel(kernel)
    if found is None:
        return ()
    values = {**_defaults(found), **_from_launches(found, view.launches), **(known or {})}
    kinds = parameter_kinds(parse_program(view.source).written, kernel)
    flags = [n for n, k in kinds.items() if k is ParameterKind.FLAG and n not in values]
    integers = [n for n, k in kinds.items() if k is ParameterKind.INTEGER and n not in values]
    choices = itertools.product((True, False), repeat=len(flags[:MAX_FLAGS]))
    classes = []
    for chosen in choices:
        settled = {**values, **dict(zip(flags, chosen, strict=False))}
        for divisible in (True, False) if integers else (None,):
            label = _label(divisible, zip(flags, chosen, strict=False))
            classes.append(_class(found, kinds, settled, dtype, divisible, label))
    return tuple(classes)


def missing_constants(
    specialization: Specialization, config: Iterable[str] = ()
) -> tuple[str, ...]:
    """Constexprs that have no value: neither in the class nor among a config's parameters."""
    given = set(config) | set(specialization.constants)
    return tuple(
        name
        for name, kind in specialization.signature.items()
        if kind == "constexpr" and name not in given
    )


def _label(divisible: bool | None, flags: Iterable[tuple[str, bool]]) -> str:
    parts = (
        []
        if divisible is None
        else ["sizes divisible by 16" if divisible else "sizes not divisible by 16"]
    )
    parts += [f"{name}={value}" for name, value in flags]
    return ", ".join(parts) or "as the source states"


def _class(
    kernel: Kernel,
    kinds: Mapping[str, ParameterKind],
    values: Mapping[str, MetaValue],
    dtype: str,
    divisible: bool | None,
    label: str,
) -> Specialization:
    signature: dict[str, str] = {}
    constants: dict[str, MetaValue] = {}
    by_16: list[str] = []
    for parameter in kernel.parameters:
        name = parameter.name
        kind = kinds.get(name, ParameterKind.INTEGER)
        value = values.get(name)
        if parameter.is_constexpr or (name in values and value is None):
            signature[name] = "constexpr"
            if name in values:
                constants[name] = value
        elif kind is ParameterKind.POINTER:
            signature[name] = f"*{triton_type(dtype)}"
            by_16.append(name)
        elif name in values:
            signature[name], aligned = _typed(value)
            if signature[name] == "constexpr":
                constants[name] = 1
            elif aligned:
                by_16.append(name)
        else:
            signature[name] = "fp32" if kind is ParameterKind.FLOAT else "i32"
            if divisible and kind is ParameterKind.INTEGER and not _WINDOW.match(name):
                by_16.append(name)
    return Specialization(kernel.name, signature, constants, tuple(by_16), label)


def _typed(value: MetaValue) -> tuple[str, bool]:
    if isinstance(value, bool):
        return "u1", False
    if isinstance(value, float):
        return "fp32", False
    if not isinstance(value, int):
        raise ValueError(f"a kernel takes no {type(value).__name__} at run time")
    if value == 1:
        return "constexpr", False
    return ("i32" if -(2**31) <= value < 2**31 else "i64"), value % ALIGNMENT == 0


def _defaults(kernel: Kernel) -> dict[str, MetaValue]:
    found = {}
    for parameter in kernel.parameters:
        known, value = _literal(parameter.default)
        if known:
            found[parameter.name] = value
    return found


def _from_launches(kernel: Kernel, launches: Iterable[LaunchSite]) -> dict[str, MetaValue]:
    """Values that every launch of the kernel states alike: literals, last strides."""
    names = [parameter.name for parameter in kernel.parameters]
    per_launch: list[dict[str, MetaValue]] = []
    for launch in launches:
        if launch.kernel != kernel.name:
            continue
        if any(text.startswith("*") for text in launch.arguments):
            return {}
        given = dict(zip(names, launch.arguments, strict=False))
        given |= {name: text for name, text in launch.keywords.items() if name in names}
        stated: dict[str, MetaValue] = {}
        for name, text in given.items():
            known, value = _literal(text)
            if known:
                stated[name] = value
        stated |= dict.fromkeys(_last_strides(given), 1)
        per_launch.append(stated)
    if not per_launch:
        return {}
    first = per_launch[0]
    return {
        name: value
        for name, value in first.items()
        if all(name in other and other[name] == value for other in per_launch[1:])
    }


def _last_strides(given: Mapping[str, str]) -> list[str]:
    """Parameters that get the stride of a tensor's last dimension: 1 where it is contiguous.

    The highest axis whose stride a launch passes is taken for the last one, if it is not the
    only one.
    """
    axes: dict[str, dict[int, list[str]]] = {}
    for name, text in given.items():
        match = _STRIDE.match(text.replace(" ", ""))
        if match:
            of_tensor = axes.setdefault(match["tensor"], {})
            of_tensor.setdefault(int(match["axis"]), []).append(name)
    found = []
    for by_axis in axes.values():
        last = -1 if -1 in by_axis else max(by_axis)
        if last == -1 or last > 0:
            found += by_axis[last]
    return found


def _literal(text: str | None) -> tuple[bool, MetaValue]:
    if text is None:
        return False, None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        return False, None
    if value is None or isinstance(value, (bool, int, float, str)):
        return True, value
    return False, None

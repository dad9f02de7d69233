"""Packages of plain functions, written to a folder: imported as they are, and joined."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

NAMES = ("f", "g", "scale")
STYLES = ("from", "alias", "relative", "module", "relative module", "inside")


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@contextmanager
def imported(folder: Path, module: str) -> Iterator[Any]:
    """The module as Python imports it, with nothing left of it afterwards."""
    top = module.split(".")[0]
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield importlib.import_module(module)
    finally:
        sys.path.remove(str(folder))
        for name in [n for n in sys.modules if n == top or n.startswith(f"{top}.")]:
            del sys.modules[name]


def executed(source: str, name: str) -> Any:
    """A name of a joined text, which needs no torch."""
    lines = [line for line in source.split("\n") if line != "import torch"]
    namespace: dict[str, Any] = {"__name__": "joined", "__package__": ""}
    exec(compile("\n".join(lines), "joined", "exec"), namespace)
    return namespace[name]


def _import(style: str, module: str, name: str, own: str) -> tuple[str, str, str]:
    """At the head, inside the function, and how the name is called."""
    if style == "from":
        return f"from pkg.{module} import {name} as {own}", "", own
    if style == "alias":
        return f"import pkg.{module} as {own}", "", f"{own}.{name}"
    if style == "relative":
        return f"from .{module} import {name} as {own}", "", own
    if style == "module":
        return f"import pkg.{module}", "", f"pkg.{module}.{name}"
    if style == "relative module":
        return f"from . import {module}", "", f"{module}.{name}"
    return "", f"    from .{module} import {name} as {own}\n", own


@st.composite
def packages(draw: st.DrawFn) -> dict[str, str]:
    """Modules m0 … m3 of `pkg` with functions of the same few names, which call those of modules
    below them, imported in every style; `m3.f` is the entry point."""
    files = {"pkg/__init__.py": ""}
    for number in range(4):
        head, body = [], []
        for position, name in enumerate(NAMES):
            constant = draw(st.integers(2, 9))
            terms, inside = [f"x * {name.upper()}_{position}"], ""
            first = f"{constant}"
            if number and draw(st.booleans()):  # needed while the module is imported
                head.append(f"from .m{number - 1} import {name} as early_{number}_{position}")
                first += f" + early_{number}_{position}(1)"
            body.append(f"{name.upper()}_{position} = {first}\n")
            for index in range(draw(st.integers(0, 2)) if number else 0):
                below = f"m{draw(st.integers(0, number - 1))}"
                called = draw(st.sampled_from(NAMES))
                own = draw(st.sampled_from([called, f"other_{name}_{index}", "helper"]))
                line, within, call = _import(draw(st.sampled_from(STYLES)), below, called, own)
                if own in {*NAMES, "helper"} and not within:
                    own = f"own_{number}_{position}_{index}"
                    line, within, call = _import("from", below, called, own)
                head.append(line)
                inside += within
                terms.append(f"{call}(x + {index})")
            body.append(f"def {name}(x):\n{inside}    return {' + '.join(terms)}\n\n")
        files[f"pkg/m{number}.py"] = "\n".join([*filter(None, head), "", *body])
    return files

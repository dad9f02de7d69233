"""A program as its source shows it: nothing here was executed."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from warpwright.types.config import Config


class KernelKind(StrEnum):
    """What a kernel does for the most part, by the first of these that its text has."""

    PRODUCT = "matrix product"  # tl.dot: products of matrices, convolutions
    SCAN = "scan"
    REDUCTION = "reduction"
    LOOP = "loop"  # no such operation, but a loop: sums in registers, a long row in pieces
    ELEMENTWISE = "element-wise"


@dataclass(frozen=True, slots=True)
class ImportedModule:
    """One imported name: `import math` → module "math"; `from a import b as c`."""

    module: str
    name: str | None
    alias: str | None
    line: int

    @property
    def bound_name(self) -> str:
        return self.alias or self.name or self.module.split(".")[0]


@dataclass(frozen=True, slots=True)
class KernelParameter:
    name: str
    is_constexpr: bool
    default: str | None = None  # source text
    annotation: str | None = None


@dataclass(frozen=True, slots=True)
class Autotune:
    """`@triton.autotune(...)` as written.

    `configs` is None when the list is not a literal that can be read without running it
    (built by a function); `configs_text` then still holds its source. `traced`: `configs` are
    those that such a list was seen to have when the host code ran.
    """

    configs: tuple[Config, ...] | None
    key: tuple[str, ...]
    reset_to_zero: tuple[str, ...] = ()
    restore_value: tuple[str, ...] = ()
    other_arguments: Mapping[str, str] = field(default_factory=dict)
    configs_text: str = ""
    line: int = 0
    traced: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """A call of a Triton built-in inside a kernel: `name` without `tl`."""

    name: str
    line: int
    arguments: tuple[str, ...]  # source text of positional arguments
    keywords: Mapping[str, str]  # source text by keyword
    loop_depth: int = 0


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop in a kernel. `kind`: "range", "static_range", "tl.range" or "while"."""

    kind: str
    line: int
    bounds: tuple[str, ...]
    keywords: Mapping[str, str]
    depth: int


@dataclass(frozen=True, slots=True)
class Kernel:
    """A `@triton.jit` function. A helper is one that another kernel calls and no host does."""

    name: str
    line: int
    end_line: int
    parameters: tuple[KernelParameter, ...]
    autotune: Autotune | None
    heuristics: Mapping[str, str]  # name → source text
    operations: tuple[Operation, ...]
    loops: tuple[Loop, ...]
    program_id_axes: tuple[int, ...]
    calls: tuple[str, ...]  # other jit functions it calls
    is_helper: bool

    def operations_named(self, *names: str) -> tuple[Operation, ...]:
        return tuple(op for op in self.operations if op.name in names)


@dataclass(frozen=True, slots=True)
class LaunchSite:
    """`kernel[grid](...)` in host code, as written.

    The nodes are those of the texts, and not to be changed; a grid that branches define has none.
    """

    kernel: str
    function: str  # qualified name of the host function it stands in
    line: int
    grid: str  # source text, a name resolved to its definition where it is local
    grid_rank: int | None  # where the grid is a readable tuple
    arguments: tuple[str, ...]
    keywords: Mapping[str, str]
    grid_node: ast.AST | None = field(default=None, compare=False, repr=False)
    argument_nodes: tuple[ast.expr, ...] = field(default=(), compare=False, repr=False)
    keyword_nodes: Mapping[str, ast.expr] = field(default_factory=dict, compare=False, repr=False)

    def texts_of(self, kernel: Kernel) -> dict[str, str]:
        """Argument texts by the kernel's parameter; an unpacked `*args` counts as one."""
        names = (parameter.name for parameter in kernel.parameters)
        return {**dict(zip(names, self.arguments, strict=False)), **self.keywords}

    def passed_to(self, kernel: Kernel) -> dict[str, ast.expr]:
        """Arguments by the kernel's parameter, up to an unpacked one: behind it, which is which
        is not known."""
        found: dict[str, ast.expr] = {}
        for parameter, node in zip(kernel.parameters, self.argument_nodes, strict=False):
            if isinstance(node, ast.Starred):
                break
            found[parameter.name] = node
        return {**found, **self.keyword_nodes}


@dataclass(frozen=True, slots=True)
class TopLevel:
    """One top-level statement: its section in the strict output order, and its lines."""

    section: str  # "docstring", "imports", "kernels", "wrappers", "model", "constants", "other"
    name: str | None
    line: int
    end_line: int


@dataclass(frozen=True, slots=True)
class UndefinedName:
    name: str
    line: int


@dataclass(frozen=True, slots=True)
class ProgramView:
    """Everything that reading the source tells."""

    source: str
    imports: tuple[ImportedModule, ...]
    kernels: tuple[Kernel, ...]
    launches: tuple[LaunchSite, ...]
    top_level: tuple[TopLevel, ...]
    classes: tuple[str, ...]
    functions: tuple[str, ...]
    undefined: tuple[UndefinedName, ...]

    def kernel(self, name: str) -> Kernel | None:
        return next((kernel for kernel in self.kernels if kernel.name == name), None)

    @property
    def launched_kernels(self) -> tuple[Kernel, ...]:
        return tuple(kernel for kernel in self.kernels if not kernel.is_helper)

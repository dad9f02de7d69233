"""Files that TorchInductor writes: recognised, with what stands in them of each kernel.

    @triton_heuristics.pointwise(size_hints={"x": 1024}, triton_meta={"signature": {…}}, …)
    @triton.jit
    def triton_poi_fused_add_0(in_ptr0, out_ptr0, xnumel, XBLOCK: tl.constexpr): …

or the same as a text, `async_compile.triton("triton_poi_fused_add_0", '''…''')`. Their launcher is
Inductor's own, which makes the configs up when a kernel first runs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from warpwright.program.parsed import ParsedProgram
from warpwright.program.parsing import text_of
from warpwright.program.syntax import syntax_tree

_HEURISTICS = "triton_heuristics"


@dataclass(frozen=True, slots=True)
class InductorKernel:
    """A kernel as Inductor wrote it: `sizes` are its hints, `blocks` what its launcher chooses."""

    name: str
    line: int
    heuristic: str
    sizes: tuple[tuple[str, int], ...]
    blocks: tuple[str, ...]
    numbers: tuple[str, ...]  # parameters that are neither pointers nor chosen

    def __str__(self) -> str:
        sizes = ", ".join(f"{name}: {size:,}" for name, size in self.sizes)
        return f"{self.name} ({self.heuristic}; {sizes or 'no size hints'})"

    def as_launch(self) -> str:
        """How a launch of it is written without Inductor."""
        passed = ", ".join(("…", *self.numbers))
        grids = [n for n in ("XBLOCK", "YBLOCK", "ZBLOCK") if n in self.blocks]
        axes = ", ".join(f"triton.cdiv({n[0].lower()}numel, meta['{n}'])" for n in grids)
        return f"{self.name}[lambda meta: ({axes or '1'},)]({passed})"


def inductor_kernels(program: ParsedProgram) -> tuple[InductorKernel, ...]:
    """Every kernel that has a launcher of Inductor's, in order of lines."""
    return tuple(sorted(_found(program.written, 0), key=lambda kernel: kernel.line))


def _found(tree: ast.AST, above: int) -> Iterator[InductorKernel]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and _HEURISTICS in text_of(decorator.func):
                    yield _kernel(node, decorator, above)
        elif isinstance(node, ast.Constant) and f"@{_HEURISTICS}." in str(node.value):
            try:
                yield from _found(syntax_tree(str(node.value), "exec"), above + node.lineno - 1)
            except SyntaxError:
                continue


def _kernel(node: ast.FunctionDef, decorator: ast.Call, above: int) -> InductorKernel:
    given = {keyword.arg: keyword.value for keyword in decorator.keywords}
    arguments = node.args.args
    chosen = tuple(a.arg for a in arguments if "constexpr" in text_of(a.annotation))
    return InductorKernel(
        node.name,
        above + node.lineno,
        text_of(decorator.func),
        tuple(_sizes(given.get("size_hints"))),
        chosen,
        tuple(a.arg for a in arguments if "ptr" not in a.arg and a.arg not in chosen),
    )


def _sizes(node: ast.expr | None) -> Iterator[tuple[str, int]]:
    """`{"x": 1024, "r0_": 64}`; of older versions `[1024, 64]`."""
    pairs: list[tuple[str, ast.expr]] = []
    if isinstance(node, ast.Dict):
        keys = [k.value if isinstance(k, ast.Constant) else "" for k in node.keys]
        pairs = [(str(key), value) for key, value in zip(keys, node.values, strict=True)]
    elif isinstance(node, (ast.List, ast.Tuple)):
        pairs = list(zip(("x", "y", "z", "r"), node.elts, strict=False))
    for name, value in pairs:
        if isinstance(value, ast.Constant) and isinstance(value.value, int):
            yield name, value.value

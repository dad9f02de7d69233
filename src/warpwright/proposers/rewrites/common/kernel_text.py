"""A kernel in a program's text: its node, its parameters, what names of it stand for."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from warpwright.program.launches import find_launches
from warpwright.program.parsed import ParsedProgram, parse_program
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.types.calls import KernelCalls
from warpwright.types.launch_trace import ConstantArgument, ScalarArgument

LANGUAGE = "triton.language"


@dataclass(frozen=True, slots=True)
class KernelText:
    """One kernel of a parsed program."""

    program: ParsedProgram
    node: ast.FunctionDef

    @property
    def source(self) -> str:
        return self.program.source

    @property
    def parameters(self) -> tuple[ast.arg, ...]:
        arguments = self.node.args
        return (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)

    @property
    def constants(self) -> frozenset[str]:
        """Names of `tl.constexpr` parameters."""
        return frozenset(p.arg for p in self.parameters if self.is_constexpr(p))

    def is_constexpr(self, parameter: ast.arg) -> bool:
        annotation = parameter.annotation
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            return annotation.value.split(".")[-1] == "constexpr"
        return annotation is not None and self.path(annotation) == "constexpr"

    def path(self, node: ast.AST) -> str | None:
        """The name of a Triton built-in without `triton.language.`; None for anything else."""
        path = self.program.aliases.path(node)
        if path is None:
            return None
        for prefix in (LANGUAGE + ".", "triton."):
            if path.startswith(prefix):
                return path.removeprefix(prefix)
        return None

    def called(self, node: ast.AST) -> str | None:
        """The Triton built-in that a call calls; a plain name for a Python built-in."""
        if not isinstance(node, ast.Call):
            return None
        path = self.path(node.func)
        if path is None and isinstance(node.func, ast.Name):
            return node.func.id
        return path

    def builtin(self, name: str) -> str:
        """How this program writes a Triton built-in: `tl.static_range`."""
        for word in self._words():
            if self.program.aliases.path(ast.Name(word, ast.Load())) == LANGUAGE:
                return f"{word}.{name}"
        raise DoesNotApply("the program does not import triton.language under a name")

    def _words(self) -> Iterator[str]:
        for node in ast.walk(self.node):
            if isinstance(node, ast.Name):
                yield node.id
        yield "tl"


def kernels_of(
    source: str, calls: Sequence[KernelCalls]
) -> Iterator[tuple[KernelCalls, KernelText]]:
    """The kernels of these launches, as far as each stands in the text by its name."""
    for call in calls:
        try:
            kernel = kernel_text(source, call.name)
        except DoesNotApply:
            continue
        yield call, kernel


def kernel_text(source: str, name: str) -> KernelText:
    """The kernel of that name. Raises DoesNotApply where the program has none."""
    program = parse_program(source)
    for kernel in program.kernels:
        if kernel.node.name == name:
            return KernelText(program, kernel.node)
    raise DoesNotApply(f"the program has no kernel named {name}")


def stored_names(nodes: Sequence[ast.AST]) -> list[str]:
    """Every name that the nodes assign, as often as they do."""
    return [
        node.id
        for root in nodes
        for node in ast.walk(root)
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del))
    ]


def loaded_names(nodes: Sequence[ast.AST]) -> list[str]:
    """Every name that the nodes read; what `+=` changes is read too."""
    found = []
    for root in nodes:
        for node in ast.walk(root):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                found.append(node.id)
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                found.append(node.target.id)
    return found


def argument_values(calls: KernelCalls) -> Mapping[str, frozenset[int]]:
    """Parameter → every whole number that the traced launches and configs give it."""
    found: dict[str, set[int]] = {}
    for launch in calls.launches:
        for name, argument in launch.arguments.items():
            if isinstance(argument, (ScalarArgument, ConstantArgument)) and _is_int(argument.value):
                found.setdefault(name, set()).add(int(argument.value))  # type: ignore[arg-type]
        for traced in launch.configs:
            values = {**traced.config.meta_dict, **traced.heuristic_values}
            for name, value in values.items():
                if _is_int(value):
                    found.setdefault(name, set()).add(int(value))  # type: ignore[arg-type]
    return {name: frozenset(values) for name, values in found.items()}


def _is_int(value: object) -> bool:
    return type(value) is int


def launch_arguments(
    program: ParsedProgram, kernel: str
) -> list[tuple[ast.Call, dict[str, ast.expr]]]:
    """Each launch of a kernel with its arguments by parameter.

    Raises DoesNotApply where an argument list is splatted, so that they cannot be told apart.
    """
    node = next(k.node for k in program.kernels if k.node.name == kernel)
    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
    found = []
    for launch in find_launches(program):
        if launch.kernel != kernel:
            continue
        call = launch.call
        if any(isinstance(a, ast.Starred) for a in call.args) or any(
            k.arg is None for k in call.keywords
        ):
            raise DoesNotApply(f"a launch of {kernel} passes a splatted list of arguments")
        arguments = dict(zip(names, call.args, strict=False))
        arguments |= {k.arg: k.value for k in call.keywords if k.arg is not None}
        found.append((call, arguments))
    return found

"""Loop nests that add up outer products, read off a kernel."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from warpwright.program.nodes import clone
from warpwright.proposers.rewrites.common.kernel_text import KernelText, loaded_names
from warpwright.proposers.rewrites.common.value_axes import new_axes

RANGES = ("range", "static_range")


@dataclass(frozen=True, slots=True)
class NestLoop:
    """One loop of a nest: `for variable in range(0, extent)`. `unrolled`: by `static_range`."""

    variable: str
    extent: ast.expr
    unrolled: bool = False


@dataclass(frozen=True, slots=True)
class NestStep:
    """An assignment of a nest, `name = value`, and the line that it is on."""

    name: str
    value: ast.expr
    line: int

    @property
    def reads(self) -> set[str]:
        return set(loaded_names([self.value]))


@dataclass(frozen=True, slots=True)
class Nest:
    """Loops from the outermost in, the assignments between them in order, and the sum.

    `accumulator += left * right`, the two operands as they stand there.
    """

    statement: ast.For
    loops: tuple[NestLoop, ...]
    steps: tuple[NestStep, ...]
    accumulator: str
    left: ast.expr
    right: ast.expr

    @property
    def own(self) -> set[str]:
        """What the nest assigns but for the sum."""
        return {*(loop.variable for loop in self.loops), *(step.name for step in self.steps)}

    def extent(self, variable: str) -> ast.expr:
        return next(loop.extent for loop in self.loops if loop.variable == variable)

    def renamed(self, names: dict[str, str]) -> Nest:
        """The same nest with other names for what it assigns. The statement stays as it is."""

        def anew(node: ast.expr) -> ast.expr:
            copy = clone(node)
            for inner in ast.walk(copy):
                if isinstance(inner, ast.Name):
                    inner.id = names.get(inner.id, inner.id)
            return copy

        return replace(
            self,
            loops=tuple(
                replace(loop, variable=names.get(loop.variable, loop.variable))
                for loop in self.loops
            ),
            steps=tuple(
                NestStep(names.get(s.name, s.name), anew(s.value), s.line) for s in self.steps
            ),
            left=anew(self.left),
            right=anew(self.right),
        )


def nests_of(kernel: KernelText) -> list[Nest]:
    """Every nest of the kernel, in source order."""
    return list(_nests(kernel, kernel.node.body))


def _nests(kernel: KernelText, body: list[ast.stmt]) -> Iterator[Nest]:
    for statement in body:
        nest = _nest(kernel, statement) if isinstance(statement, ast.For) else None
        if nest is not None:
            yield nest
        elif isinstance(statement, ast.If | ast.For | ast.While):
            yield from _nests(kernel, statement.body)
            yield from _nests(kernel, statement.orelse)


def _nest(kernel: KernelText, outermost: ast.For) -> Nest | None:
    loops: list[NestLoop] = []
    steps: list[NestStep] = []
    entered: list[int] = []  # before each loop, the number of steps
    statement: ast.stmt = outermost
    while isinstance(statement, ast.For):
        extent = _extent(kernel, statement)
        if extent is None or not isinstance(statement.target, ast.Name) or statement.orelse:
            return None
        unrolled = kernel.called(statement.iter) == "static_range"
        loops.append(NestLoop(statement.target.id, extent, unrolled))
        entered.append(len(steps))
        *before, last = statement.body
        for assignment in before:
            if not isinstance(assignment, ast.Assign) or len(assignment.targets) != 1:
                return None
            target = assignment.targets[0]
            if not isinstance(target, ast.Name):
                return None
            steps.append(NestStep(target.id, assignment.value, assignment.lineno))
        statement = last
    found = _product(statement)
    if found is None:
        return None
    accumulator, *operands = found
    taken = {node.id for node in ast.walk(kernel.node) if isinstance(node, ast.Name)}
    left, right = (_named(operand, taken, steps) for operand in operands)
    nest = Nest(outermost, tuple(loops), tuple(steps), accumulator, left, right)
    return nest if _carries_the_sum_alone(nest, entered) else None


def _extent(kernel: KernelText, loop: ast.For) -> ast.expr | None:
    """The extent of a loop from 0 in steps of 1; None for any other loop.

    The new loop multiplies extents: one that may be negative, or is costly or loaded, is none.
    """
    call = loop.iter
    if not isinstance(call, ast.Call) or call.keywords:
        return None
    arguments = list(call.args)
    if kernel.called(call) not in RANGES or not 1 <= len(arguments) <= 3:
        return None
    if len(arguments) == 3 and not _is_number(arguments.pop(), 1):
        return None
    if len(arguments) == 2 and not _is_number(arguments.pop(0), 0):
        return None
    return arguments[0] if _is_size(arguments[0]) else None


def _is_size(node: ast.expr) -> bool:
    """Names and numbers, multiplied, added and divided down."""
    if isinstance(node, ast.BinOp):
        whole = isinstance(node.op, ast.Mult | ast.Add | ast.FloorDiv)
        return whole and _is_size(node.left) and _is_size(node.right)
    return isinstance(node, ast.Name) or (
        isinstance(node, ast.Constant) and type(node.value) is int and node.value >= 0
    )


def _is_number(node: ast.expr, value: int) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value == value


def _product(statement: ast.stmt) -> tuple[str, ast.expr, ast.expr] | None:
    """`acc += a * b`, `acc = acc + a * b` or `acc = a * b + acc`."""
    if isinstance(statement, ast.AugAssign) and isinstance(statement.op, ast.Add):
        target: ast.expr = statement.target
        value = statement.value
    elif (
        isinstance(statement, ast.Assign)
        and len(statement.targets) == 1
        and isinstance(statement.value, ast.BinOp)
        and isinstance(statement.value.op, ast.Add)
    ):
        target = statement.targets[0]
        sides = [statement.value.left, statement.value.right]
        others = [side for side in sides if ast.unparse(side) != ast.unparse(target)]
        if len(others) != 1:
            return None
        value = others[0]
    else:
        return None
    if not isinstance(target, ast.Name):
        return None
    if not isinstance(value, ast.BinOp) or not isinstance(value.op, ast.Mult):
        return None
    return target.id, value.left, value.right


def _named(operand: ast.expr, taken: set[str], steps: list[NestStep]) -> ast.expr:
    """The operand as a name, or as a name with a new axis; what stands there otherwise becomes
    a step of its own."""
    axes = isinstance(operand, ast.Subscript) and new_axes(operand) is not None
    inner = operand.value if axes and isinstance(operand, ast.Subscript) else operand
    if isinstance(inner, ast.Name):
        return operand
    name = free_name("factor", taken)
    steps.append(NestStep(name, inner, operand.lineno))
    if axes and isinstance(operand, ast.Subscript):
        return ast.Subscript(ast.Name(name, ast.Load()), operand.slice, ast.Load())
    return ast.Name(name, ast.Load())


def free_name(name: str, taken: set[str]) -> str:
    """The name, with underscores behind it until no other has it. It is taken then."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _carries_the_sum_alone(nest: Nest, entered: list[int]) -> bool:
    """Every name is assigned once, before it is read, and the sum is read nowhere else: nothing is
    carried from one step to the next but the sum."""
    variables = [loop.variable for loop in nest.loops]
    names = [*variables, *(step.name for step in nest.steps), nest.accumulator]
    own = set(names)
    if len(own) != len(names):
        return False
    done: set[str] = set()
    for number, step in enumerate(nest.steps):
        done |= {name for name, start in zip(variables, entered, strict=True) if start <= number}
        if (step.reads & own) - done:
            return False
        done.add(step.name)
    if nest.accumulator in loaded_names([nest.left, nest.right]):
        return False
    return not set(loaded_names([loop.extent for loop in nest.loops])) & own

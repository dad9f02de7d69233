"""The *join* move: what an address takes apart and puts together again stays whole.

Before, a flat index is divided into rows and columns, which the strides of a contiguous tensor make
one number again. The compiler sees neither that lanes lie together in memory nor that the divisions
are for nothing:

    h = p // W
    w = p % W
    x = tl.load(x_ptr + c * stride_c + h * stride_h + w * stride_w, mask=p < H * W)

After:

    x_at = p * stride_w if stride_h == W * stride_w else h * stride_h + w * stride_w
    x = tl.load(x_ptr + c * stride_c + x_at, mask=p < H * W)

Any number of digits, by `//`, `%`, chained remainders or subtraction, of a vector; strides and
sizes are products of compile-time parameters (`specialise` first), so the condition is decided by
the compiler. What would be joined under a condition that does not hold in all launches is left as
it is: nothing would be gained.

Claim: bit-equal. `(p // W) * W + p % W` is `p`, and sums of whole numbers wrap around alike in any
order.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from warpwright.program.parsing import lines_of
from warpwright.proposers.rewrites.common.block_extents import BlockExtents
from warpwright.proposers.rewrites.common.kernel_text import (
    KernelText,
    argument_values,
    kernel_text,
)
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite
from warpwright.proposers.rewrites.common.splice import Splice, replaced, spliced
from warpwright.proposers.rewrites.common.statement_text import (
    INDENT,
    MAX_COLUMNS,
    indented,
    margin_of,
)
from warpwright.proposers.rewrites.digits.extent import ONE, Extent
from warpwright.proposers.rewrites.digits.read_digits import subscripted
from warpwright.proposers.rewrites.join.digit_terms import (
    AddressDigit,
    DigitReader,
    DigitTerm,
)
from warpwright.proposers.rewrites.outer.nests import free_name
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.program import ProgramView

NAME = "join"
Equality = tuple[Extent, Extent]
"""The stride of a digit, and the size times the stride of the digit below it."""
Accept = Callable[[Equality], bool]


@dataclass(frozen=True, slots=True)
class _Group:
    """Terms of an address that are one term where the equalities hold."""

    terms: tuple[DigitTerm, ...]
    whole: DigitTerm
    equal: tuple[Equality, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sum:
    """An address in a statement, as its terms."""

    statement: ast.stmt
    node: ast.expr
    terms: tuple[DigitTerm, ...]


def find(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move for each kernel with such addresses; it changes all of them."""
    moves = []
    for call in calls:
        with suppress(DoesNotApply):
            kernel = kernel_text(program.source, call.name)
            known = argument_values(call)
            equal = {
                _text(equality)
                for _, groups in _joinable(
                    DigitReader(kernel), kernel, partial(_holds, known=known)
                )
                for group in groups
                for equality in group.equal
            }
            move = Move(NAME, call.name, (("equal", tuple(sorted(equal))),), Claim.BIT_EQUAL)
            apply(program.source, move)
            moves.append(move)
    return tuple(moves)


def apply(source: str, move: Move) -> str:
    """The program with those digits joined. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    allowed = move.argument("equal")
    if not isinstance(allowed, tuple):
        raise DoesNotApply("the move names no equal strides")
    reader = DigitReader(kernel)
    taken = {node.id for node in ast.walk(kernel.node) if isinstance(node, ast.Name)}
    taken |= {parameter.arg for parameter in kernel.parameters}
    splices: list[Splice] = []
    for one, groups in _joinable(reader, kernel, lambda equality: _text(equality) in allowed):
        with suppress(DoesNotApply):
            splices += _joined(kernel, reader, one, groups, taken)
    if not splices:
        raise DoesNotApply(f"{move.kernel} puts no digits of a vector together again")
    return spliced(source, splices)


def _joinable(
    reader: DigitReader, kernel: KernelText, accept: Accept
) -> Iterator[tuple[_Sum, list[_Group]]]:
    """Every sum with digits that are joined, at most one a statement, in source order.

    A name that is such a sum is joined where it is assigned: behind that it is no sum any more.
    """
    statements = [node for node in ast.walk(kernel.node) if isinstance(node, ast.stmt)]
    for statement in sorted(statements, key=lambda node: node.lineno):
        if not isinstance(statement, ast.Assign | ast.Expr):
            continue
        for node in [statement.value, *_addresses(kernel, statement)]:
            if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Add):
                continue
            terms = tuple(reader.terms(node, statement))
            groups = [group for group in _groups(terms, accept) if _is_run(group)]
            if groups:
                reader.opaque.add(statement)
                yield _Sum(statement, node, terms), groups
                break


def _is_run(group: _Group) -> bool:
    """Whether digits were joined down to the last one, so that lanes step by one stride."""
    return len(group.terms) > 1 and group.whole.digit is not None and group.whole.digit.low == ONE


def _addresses(kernel: KernelText, statement: ast.stmt) -> Iterator[ast.expr]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and kernel.called(node) in ("load", "store") and node.args:
            yield node.args[0]


def _groups(terms: Sequence[DigitTerm], accept: Accept) -> list[_Group]:
    """Terms that make one, by equalities that are accepted."""
    groups = [_Group((term,), term) for term in terms if term.digit is not None]
    while True:
        pair = next(_pairs(groups, accept), None)
        if pair is None:
            return groups
        above, below, joined = pair
        groups = [group for group in groups if group not in (above, below)] + [joined]


def _pairs(groups: Sequence[_Group], accept: Accept) -> Iterator[tuple[_Group, _Group, _Group]]:
    for below in groups:
        rest = below.whole
        radix = None if rest.digit is None else rest.digit.radix
        if rest.digit is None or radix is None or rest.negative:
            continue
        for above in groups:
            upper = above.whole
            if upper.digit is None or upper.axis != rest.axis or upper.negative:
                continue
            if upper.digit.of != rest.digit.of or upper.digit.low != rest.digit.high:
                continue
            equality = (upper.factor, radix * rest.factor)
            if equality[0] == equality[1] or accept(equality):
                new = () if equality[0] == equality[1] else (equality,)
                digit = replace(rest.digit, high=upper.digit.high)
                whole = replace(rest, digit=digit, node=None, statement=None)
                equal = tuple(dict.fromkeys((*above.equal, *below.equal, *new)))
                yield above, below, _Group((*above.terms, *below.terms), whole, equal)


def _text(equality: Equality) -> str:
    return f"{equality[0]} == {equality[1]}"


def _holds(equality: Equality, known: Mapping[str, frozenset[int]]) -> bool:
    """Whether both sides are equal in all launches, of which each gives every name one value."""
    names = {name for side in equality for name in side.names}
    if any(len(known.get(name, ())) != 1 for name in names):
        return False
    sizes = {name: min(known[name]) for name in names}
    return equality[0].value(sizes) == equality[1].value(sizes)


def _joined(
    kernel: KernelText,
    reader: DigitReader,
    one: _Sum,
    groups: Sequence[_Group],
    taken: set[str],
) -> list[Splice]:
    """The statement with its groups named before it. Raises DoesNotApply."""
    writer = _Writer(kernel, reader, one.statement)
    source, statement = kernel.source, one.statement
    if lines_of(source)[statement.lineno - 1][: statement.col_offset].strip():
        raise DoesNotApply("the statement shares its line with another")
    groups = [group for group in groups if writer.is_vector(group)]
    if not groups:
        raise DoesNotApply("no vector is taken apart")
    margin, stem = margin_of(source, statement), _stem(statement)
    before, summands = "", []
    first = {id(group.terms[0]): group for group in groups}
    inside = {id(term) for group in groups for term in group.terms}
    values = [writer.named(group) for group in groups]  # refuses before any name is taken
    for group, value in zip(groups, values, strict=True):
        name = free_name(stem, taken)
        before += "".join(f"{margin}{line}\n" for line in _laid_out(name, *value, len(margin)))
        first[id(group.terms[0])] = replace(group, whole=replace(group.whole, node=ast.Name(name)))
    for term in one.terms:
        if id(term) in first:
            whole = first[id(term)].whole
            summands.append(("+", subscripted(ast.unparse(whole.node), whole.axis)))  # type: ignore[arg-type]
        elif id(term) not in inside:
            summands.append(("-" if term.negative else "+", writer.summand(term)))
    if summands[0][0] == "-":
        raise DoesNotApply("the address begins with a difference")
    text = summands[0][1] + "".join(f" {sign} {summand}" for sign, summand in summands[1:])
    where = (statement.lineno, 0)
    return [Splice(where, where, before), replaced(one.node, text)]


def _laid_out(name: str, whole: str, condition: str, apart: str, margin: int) -> list[str]:
    if not condition:
        return [f"{name} = {whole}"]
    line = f"{name} = {whole} if {condition} else {apart}"
    if margin + len(line) <= MAX_COLUMNS:
        return [line]
    parts = [whole, f"if {condition}", f"else {apart}"]
    return [f"{name} = (", *indented(parts, INDENT), ")"]


def _stem(statement: ast.stmt) -> str:
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return f"{statement.targets[0].id}_at"
    return "run_at"


class _Writer:
    """Digits and terms as text at one statement."""

    def __init__(self, kernel: KernelText, reader: DigitReader, statement: ast.stmt) -> None:
        self._kernel, self._reader, self._statement = kernel, reader, statement
        self._extents = BlockExtents(kernel, statement)

    def is_vector(self, group: _Group) -> bool:
        """Whether what is joined has one axis."""
        assert group.whole.digit is not None
        found = self._extents.of(ast.Name(group.whole.digit.of.name))
        return found is not None and len(found) == 1

    def named(self, group: _Group) -> tuple[str, str, str]:
        """A group as a whole, where its strides are equal, which condition that is (none: always),
        and else its terms."""
        whole = _times(self._digit(group.whole.digit), group.whole.factor)
        apart = " + ".join(_times(self._digit(term.digit), term.factor) for term in group.terms)
        return whole, " and ".join(map(_text, group.equal)), apart

    def summand(self, term: DigitTerm) -> str:
        """Any other term. Raises DoesNotApply where it may have another value here."""
        if term.digit is not None:
            return _times(subscripted(self._digit(term.digit), term.axis), term.factor)
        assert term.node is not None
        assert term.statement is not None
        text = ast.get_source_segment(self._kernel.source, term.node) or ""
        if term.statement is not self._statement:
            calls = any(isinstance(node, ast.Call) for node in ast.walk(term.node))
            if calls or not self._reader.reaching.same(term.node, self._statement, term.statement):
                raise DoesNotApply(f"{text} may have another value by then")
        extents = self._extents.of(term.node)
        if extents is None and (term.axis is not None or term.factor != ONE):
            raise DoesNotApply(f"the form of {text} is not known")
        if term.factor == ONE and term.axis is None and not term.negative:
            sums = isinstance(term.node, ast.BinOp) and isinstance(term.node.op, ast.Add | ast.Sub)
            return text if sums else _in_sum(term.node, text)
        plain = isinstance(term.node, ast.Name | ast.Call | ast.Subscript | ast.Constant)
        if term.axis is not None and extents:
            text, plain = subscripted(text if plain else f"({text})", term.axis), True
        return _times(text if plain else _in_sum(term.node, text), term.factor)

    def _digit(self, digit: AddressDigit | None) -> str:
        """A name that has the value here, or the operations. Raises DoesNotApply."""
        assert digit is not None
        name = self._reader.name_of(digit, self._statement)
        if name is not None:
            return name
        text = self._reader.name_of(AddressDigit(digit.of), self._statement)
        if text is None:
            raise DoesNotApply(f"{digit.of.name} has another value by then")
        if digit.low != ONE:
            text += f" // {digit.low.bracketed}"
        radix = digit.radix
        return f"({text})" if radix is None else f"({text} % {radix.bracketed})"


def _in_sum(node: ast.expr, text: str) -> str:
    """The text of an operand in the brackets that it needs beside `+` and `*`."""
    tight = isinstance(node, ast.Name | ast.Call | ast.Subscript | ast.Constant | ast.Attribute)
    product = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)
    return text if tight or product else f"({text})"


def _times(text: str, factor: Extent) -> str:
    return text if factor == ONE else f"{text} * {factor.bracketed}"


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "an index that an address takes apart and puts together again stays whole",
        place=82,
        alone=False,
        refines=True,
    ),
)

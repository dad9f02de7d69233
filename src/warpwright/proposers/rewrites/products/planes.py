"""The *planes* move: a product in strict float32 is computed on the tensor cores, no less exact.

Before, on the plain multipliers:

    acc += tl.dot(a, b, allow_tf32=False)

After, with each operand as a sum of three bfloat16 values:

    if a.dtype == tl.float32 and b.dtype == tl.float32:
        left_1 = a.to(tl.bfloat16)
        left_rest = a - left_1.to(tl.float32)
        left_2 = left_rest.to(tl.bfloat16)
        left_3 = (left_rest - left_2.to(tl.float32)).to(tl.bfloat16)
        …
        part = tl.dot(left_1, right_3)
        part = tl.dot(left_3, right_1, part)
        part = tl.dot(left_2, right_2, part)
        part = tl.dot(left_1, right_2, part)
        part = tl.dot(left_2, right_1, part)
        part = tl.where(part == part, part, 0.0)
        part = tl.dot(left_1, right_1, part)
        acc += part
    else:
        acc += tl.dot(a, b, allow_tf32=False)

Each step of a loop sums its products by themselves and adds them in float32: the accumulator of a
tensor core loses bits over a long chain. (Of `acc += tl.dot(…)` alone the compiler makes such a
chain again, of this it does not.) `input_precision="tf32x3"` would be a shorter text, but was
slower than strict float32 in most of the tiles that were timed on an H200.

Applies to products that say `allow_tf32=False` or `input_precision="ieee"`, with an accumulator or
without. Operands of other types take the old way; their type is known when the kernel is compiled.
Refuses products of other keywords, and ones that a condition within their expression may skip.

Claim: other arithmetic. Of the nine products of parts the three smallest are left out, 2**-24 of
the whole at most each. Infinity less infinity is NaN, so all parts but the first of a value that is
not finite are NaN: they are cleared out of the sum before the product of the first parts, which
has NaN and infinity where the whole product has them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from warpwright.proposers.rewrites.common.kernel_text import KernelText, kernel_text, kernels_of
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.rewrite import Rewrite, that_apply
from warpwright.proposers.rewrites.common.splice import Splice, replaced, spliced, whole_lines
from warpwright.proposers.rewrites.common.statement_text import INDENT, indented, margin_of
from warpwright.proposers.rewrites.outer.nests import free_name
from warpwright.proposers.rewrites.products.dots import Product, strict_products
from warpwright.types.calls import KernelCalls
from warpwright.types.candidate import Claim, Move
from warpwright.types.launch_trace import TensorArgument
from warpwright.types.program import ProgramView

NAME = "planes"
_ORDER = ((1, 3), (3, 1), (2, 2), (1, 2), (2, 1))
"""Which parts are multiplied, the smallest products first; (1, 1) comes last."""


def find(program: ProgramView, calls: Sequence[KernelCalls]) -> tuple[Move, ...]:
    """One move for each product in strict float32 of each kernel that is given such tensors."""
    moves = []
    for call, kernel in kernels_of(program.source, calls):
        if _has_float32(call):
            moves += [
                Move(NAME, call.name, (("product", number),), Claim.OTHER_ARITHMETIC)
                for number in range(len(strict_products(kernel)))
            ]
    return tuple(that_apply(program.source, moves, apply))


def apply(source: str, move: Move) -> str:
    """The program with one product by parts. Raises DoesNotApply."""
    kernel = kernel_text(source, move.kernel)
    products = strict_products(kernel)
    number = int(str(move.argument("product")))
    if number >= len(products):
        raise DoesNotApply(f"{move.kernel} has no product in strict float32 number {number}")
    product = products[number]
    if product.around is not None and "float32" in ast.unparse(product.around.test):
        raise DoesNotApply("the product is computed by parts already where it is in float32")
    return spliced(source, [_by_parts(source, kernel, product)])


def _has_float32(call: KernelCalls) -> bool:
    return any(
        isinstance(argument, TensorArgument) and argument.dtype == "float32"
        for launch in call.launches
        for argument in launch.arguments.values()
    )


def _by_parts(source: str, kernel: KernelText, product: Product) -> Splice:
    """The statement under a condition on the operands' types, in both ways."""
    statement = product.statement
    margin = margin_of(source, statement)
    lines = source.splitlines(keepends=True)
    last = statement.end_lineno or statement.lineno
    rest = lines[last - 1].encode()[statement.end_col_offset or 0 :].decode().strip()
    if margin.strip() or (rest and not rest.startswith("#")):
        raise DoesNotApply("the product shares its line with another statement")
    taken = {node.id for node in ast.walk(kernel.node) if isinstance(node, ast.Name)}
    taken |= {parameter.arg for parameter in kernel.parameters}
    block = ["# Float32 products on the tensor cores: three bfloat16 parts of each operand."]
    sides, tests = [], []
    for side, operand in (("left", product.left), ("right", product.right)):
        text = _segment(source, operand)
        if not isinstance(operand, ast.Name):
            word = free_name(side, taken)
            block.append(f"{word} = {text}")
            text = word
        sides.append(text)
        if not _is_cast_to_float32(kernel, operand):
            tests.append(f"{text}.dtype == {kernel.builtin('float32')}")
    new = _parts(source, kernel, product, sides, taken)
    if tests:
        old = [line.rstrip("\r\n") for line in lines[statement.lineno - 1 : last]]
        old = [line.removeprefix(margin) for line in old]
        block += [f"if {' and '.join(tests)}:", *indented(new, INDENT)]
        block += ["else:", *indented(old, INDENT)]
    else:
        block += new
    text = "".join(f"{line}\n" for line in indented(block, margin))
    return whole_lines(statement, statement, text)


def _is_cast_to_float32(kernel: KernelText, node: ast.expr) -> bool:
    """Whether an operand is `x.to(tl.float32)`."""
    method = node.func if isinstance(node, ast.Call) else None
    if not isinstance(method, ast.Attribute) or method.attr != "to":
        return False
    arguments = node.args  # type: ignore[attr-defined]
    return len(arguments) == 1 and kernel.path(arguments[0]) == "float32"


def _parts(
    source: str, kernel: KernelText, product: Product, sides: Sequence[str], taken: set[str]
) -> list[str]:
    dot, where = kernel.builtin("dot"), kernel.builtin("where")
    bfloat16, float32 = kernel.builtin("bfloat16"), kernel.builtin("float32")
    lines: list[str] = []
    parts: dict[tuple[int, int], str] = {}
    for place, (side, whole) in enumerate(zip(("left", "right"), sides, strict=True)):
        first, second, third, rest = (
            free_name(f"{side}_{word}", taken) for word in ("1", "2", "3", "rest")
        )
        lines += [
            f"{first} = {whole}.to({bfloat16})",
            f"{rest} = {whole} - {first}.to({float32})",
            f"{second} = {rest}.to({bfloat16})",
            f"{third} = ({rest} - {second}.to({float32})).to({bfloat16})",
        ]
        parts |= {(place, 1): first, (place, 2): second, (place, 3): third}
    part = free_name("part", taken)
    for number, (left, right) in enumerate(_ORDER):
        into = f", {part}" if number else ""
        lines.append(f"{part} = {dot}({parts[0, left]}, {parts[1, right]}{into})")
    lines += [
        "# What is not finite has no other parts: it counts in the last product alone.",
        f"{part} = {where}({part} == {part}, {part}, 0.0)",
        f"{part} = {dot}({parts[0, 1]}, {parts[1, 1]}, {part})",
    ]
    added = "" if product.added is None else f"{_segment(source, product.added)} + "
    return [*lines, *_statement(source, product, f"{added}{part}")]


def _statement(source: str, product: Product, value: str) -> list[str]:
    """The statement with another expression in the product's place."""
    statement, call = product.statement, product.call
    text = value if statement.value is call or re.fullmatch(r"\w+", value) else f"({value})"
    whole = spliced(source, [replaced(call, text)])
    margin = margin_of(source, statement)
    shorter = len(source.splitlines()) - len(whole.splitlines())
    last = (statement.end_lineno or statement.lineno) - shorter
    return [line.removeprefix(margin) for line in whole.splitlines()[statement.lineno - 1 : last]]


def _segment(source: str, node: ast.expr) -> str:
    text = ast.get_source_segment(source, node)
    if text is None or "\n" in text:
        return ast.unparse(node)
    return text


REWRITES = (
    Rewrite(
        NAME,
        find,
        apply,
        "products in strict float32 became six of bfloat16 parts, for the tensor cores",
        place=120,
        worth=1.6,
        then=("transposed",),
        float32_by=("bf16", 6),
    ),
)

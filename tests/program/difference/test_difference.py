"""The difference between a parent and a candidate."""

from __future__ import annotations

import pytest
from texts import replace_once

from warpwright.errors import InputError
from warpwright.program.difference.difference import difference
from warpwright.types.config import Config
from warpwright.types.edit import Edit, EditKind

LOOP = "    for start in range(0, depth, BK):"


def edits(parent: str, *changes: tuple[str, str]) -> tuple[Edit, ...]:
    child = parent
    for before, after in changes:
        assert before in child, before
        child = child.replace(before, after)
    return difference(parent, child)


def kinds(parent: str, *changes: tuple[str, str]) -> set[EditKind]:
    return {edit.kind for edit in edits(parent, *changes)}


def test_equal_programs_have_no_edits(matmul: str) -> None:
    assert difference(matmul, matmul) == ()


@pytest.mark.parametrize(
    "change",
    [
        ("    # small", "    # tiny"),
        ('"""One tile of the product."""', "'''Another text.'''"),
        ("row = tl.program_id(0) * BM", "row = ((tl.program_id(0)) * BM)"),
        ("'BM'", '"BM"'),
        ("total += tl.dot(a, b)", "total += tl.dot(\n            a,\n            b,\n        )"),
        ("inside", "within"),
        ("BM: tl.constexpr", "BM: 'tl.constexpr'"),
        ("lambda meta:", "lambda META:"),
        ("triton.cdiv(rows, meta['BM'])", "(rows + meta['BM'] - 1) // meta['BM']"),
        ("triton.cdiv(cols, meta['BN']))", "triton.cdiv(cols, meta['BN']), 1)"),
        (
            "    grid = lambda meta: (triton.cdiv(rows, meta['BM']), "
            "triton.cdiv(cols, meta['BN']))",
            "    def grid(META):\n        tall = triton.cdiv(rows, META['BM'])\n"
            "        return (tall, triton.cdiv(cols, META['BN']))",
        ),
        ("rows, cols, depth)\n    return", "rows, cols, depth=depth)\n    return"),
    ],
)
def test_layout_comments_and_names_are_cosmetic(matmul: str, change: tuple[str, str]) -> None:
    changes = [change]
    if "META:" in change[1]:
        changes.append(("meta[", "META["))
    assert kinds(matmul, *changes) == {EditKind.COSMETIC}


def test_the_order_of_functions_is_cosmetic(matmul: str) -> None:
    start = matmul.index("def product(")
    model = matmul.index("class ModelNew")
    moved = matmul[:start] + matmul[model:] + "\n\n" + matmul[start:model]
    assert {edit.kind for edit in difference(matmul, moved)} == {EditKind.COSMETIC}


def test_configs_are_compared_as_a_set(matmul: str) -> None:
    found = edits(
        matmul,
        ("num_warps=8, num_stages=3", "num_warps=8"),
    )
    assert [edit.kind for edit in found] == [EditKind.COSMETIC]  # 3 stages is the default
    found = edits(matmul, ("num_warps=8", "num_warps=16"))
    assert [(edit.kind, edit.config, edit.line) for edit in found] == [
        (EditKind.CONFIG_REMOVED, Config.of({"BM": 128, "BN": 64, "BK": 32}, 8, 3), 14),
        (EditKind.CONFIG_ADDED, Config.of({"BM": 128, "BN": 64, "BK": 32}, 16, 3), 14),
    ]
    first, second = [line for line in matmul.splitlines(True) if "triton.Config" in line][:2]
    swapped = edits(matmul, (first + second, second + first))
    assert [edit.kind for edit in swapped] == [EditKind.CONFIGS_REORDERED]


def test_configs_that_cannot_be_read_on_one_side_are_told(matmul: str) -> None:
    start, end = matmul.index("configs=["), matmul.index("    key=")
    child = matmul[:start] + "configs=make(),\n" + matmul[end:]
    assert {edit.kind for edit in difference(matmul, child)} == {EditKind.AUTOTUNE_ARGUMENT}


def test_arguments_of_autotune_and_heuristics_are_told(matmul: str) -> None:
    found = edits(matmul, ("key=['rows', 'cols'],", "key=['rows'],\n    reset_to_zero=['out'],"))
    assert [(e.kind, e.before, e.after) for e in found] == [
        (EditKind.AUTOTUNE_ARGUMENT, "key=['rows', 'cols']", "key=['rows']"),
        (EditKind.AUTOTUNE_ARGUMENT, "reset_to_zero=[]", "reset_to_zero=['out']"),
    ]
    heuristics = "@triton.heuristics({'EVEN': lambda args: True})\n@triton.jit"
    assert kinds(matmul, ("@triton.jit", heuristics)) == {EditKind.HEURISTICS}


def test_the_signature_of_a_kernel_is_compared_by_parameter(matmul: str) -> None:
    found = edits(
        matmul, ("    rows, cols, depth,\n    BM", "    rows, cols, depth: tl.constexpr,\n    BM")
    )
    assert [(e.kind, e.before, e.after) for e in found] == [
        (EditKind.KERNEL_SIGNATURE, "depth", "depth: tl.constexpr")
    ]


def test_a_deleted_dot_is_an_operation_removed(matmul: str) -> None:
    found = edits(matmul, ("total += tl.dot(a, b)", "total += tl.sum(a) * tl.sum(b)"))
    told = {(e.kind, e.before or e.after) for e in found}
    assert (EditKind.OPERATION_REMOVED, "tl.dot(a, b)") in told
    assert (EditKind.OPERATION_ADDED, "tl.sum(a)") in told
    assert EditKind.KERNEL_BODY in {e.kind for e in found}


def test_an_operation_moved_into_a_helper_is_still_there() -> None:
    parent = """
import triton
import triton.language as tl
@triton.jit
def k(p):
    tl.store(p, tl.dot(tl.load(p), tl.load(p)))
def host(x): k[(1,)](x)
"""
    child = replace_once(
        replace_once(
            parent,
            "@triton.jit\n",
            """@triton.jit
def square(a, b):
    return tl.dot(a, b)
@triton.jit
""",
        ),
        "tl.dot(tl.load(p), tl.load(p))",
        "square(tl.load(p), tl.load(p))",
    )
    assert {e.kind for e in difference(parent, child)} == {
        EditKind.KERNEL_BODY, EditKind.KERNEL_ADDED,
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        ("total, mask=keep)", "total)"),
        ("total, mask=keep)", "total, mask=True)"),
        ("total, mask=keep)", "total, mask=None)"),
        ("total, mask=keep)", "total, mask=row[:, None] < rows)"),
        ("(row[:, None] < rows) & inside[None, :]", "(row[:, None] < rows)"),
        ("(row[:, None] < rows) & inside[None, :]", "(row[:, None] < rows) | inside[None, :]"),
        ("inside = inner < depth", "inside = inner <= depth"),
        ("inside = inner < depth", "inside = inner < depth + 16"),
        ("inside = inner < depth", "inside = inner == inner"),
        ("inside = inner < depth", "inside = (inner < depth) | (inner >= depth)"),
    ],
)  # fmt: skip
def test_a_mask_that_is_gone_or_weaker_is_told(matmul: str, change: tuple[str, str]) -> None:
    assert EditKind.MASK_REMOVED in kinds(matmul, change)


@pytest.mark.parametrize(
    "change",
    [
        ("keep = (row[:, None] < rows) & (col[None, :] < cols)",
         "keep = (cols > col[None, :]) & (rows > row)[:, None]"),
        ("total, mask=keep)", "total, keep)"),
        ("inside = inner < depth", "inside = (inner < depth) & (inner >= 0)"),
        ("inside[None, :],\n", "tl.broadcast_to(inside[None, :], (BM, BK)),\n"),
    ],
)  # fmt: skip
def test_a_mask_that_is_as_strong_is_not_accused(matmul: str, change: tuple[str, str]) -> None:
    assert EditKind.MASK_REMOVED not in kinds(matmul, change)


def test_a_load_without_mask_for_even_shapes_is_not_accused() -> None:
    parent = """
import triton
import triton.language as tl
@triton.jit
def k(p, n, EVEN: tl.constexpr):
    i = tl.arange(0, 16)
    x = tl.load(p + i, mask=i < n)
    tl.store(p + i, x, mask=i < n)
"""
    load = "    x = tl.load(p + i, mask=i < n)"
    branch = f"    if EVEN:\n        x = tl.load(p + i)\n    else:\n    {load}"
    assert EditKind.MASK_REMOVED not in kinds(parent, (load, branch))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("range(0, depth, BK)", "range(0, depth - BK, BK)"), True),
        (("range(0, depth, BK)", "range(BK, depth, BK)"), True),
        (("range(0, depth, BK)", "tl.static_range(0, depth, BK)"), False),
        ((LOOP, replace_once(f"    last = depth\n{LOOP}", "0, depth", "0, last")), False),
        ((LOOP, replace_once(f"    last = depth // 2\n{LOOP}", "0, depth", "0, last")), True),
    ],
)  # fmt: skip
def test_loop_bounds_are_compared_with_their_names_resolved(
    matmul: str, change: tuple[str, str], told: bool
) -> None:
    found = kinds(matmul, change)
    assert EditKind.KERNEL_BODY in found
    assert (EditKind.LOOP_BOUND in found) is told


def test_a_body_edit_shows_the_statements_before_and_after(matmul: str) -> None:
    found = edits(matmul, ("total += tl.dot(a, b)", "total = tl.dot(a, b, total)"))
    body = next(e for e in found if e.kind is EditKind.KERNEL_BODY)
    assert (body.subject, body.before, body.after, body.line) == (
        "product_kernel", "total += tl.dot(a, b)", "total = tl.dot(a, b, total)", 41,
    )  # fmt: skip


def test_a_renamed_kernel_is_one_kernel(matmul: str) -> None:
    found = edits(matmul, ("product_kernel", "tiled_product"))
    assert [(e.kind, e.before, e.after) for e in found] == [
        (EditKind.KERNEL_SIGNATURE, "def product_kernel", "def tiled_product")
    ]


def test_new_and_missing_kernels_are_told(matmul: str, scale: str) -> None:
    found = {e.kind for e in difference(matmul, scale)}
    assert {EditKind.KERNEL_ADDED, EditKind.KERNEL_REMOVED} <= found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("triton.cdiv(count, BLOCK),)", "triton.cdiv(count, 2 * BLOCK),)"), {EditKind.GRID}),
        (("BLOCK = 1024", "BLOCK = 512"), {EditKind.LAUNCH_ARGUMENTS}),
        (("num_warps=4,", "num_warps=8,"), {EditKind.LAUNCH_OPTIONS}),
        (("        num_stages=2,\n", ""), {EditKind.LAUNCH_OPTIONS}),
        (("        count,\n", "        count + 1,\n"), {EditKind.LAUNCH_ARGUMENTS}),
        (("y = torch.empty_like(x)", "y = torch.zeros_like(x)"), {EditKind.HOST_CODE}),
        (("self.factor = factor", "self.factor = 2 * factor"), {EditKind.MODEL}),
        (("import torch\n", "import torch\nimport math\n"), {EditKind.IMPORT_ADDED}),
        (("import torch\n", ""), {EditKind.IMPORT_REMOVED}),
        (("class ModelNew", "LIMIT = 3\n\n\nclass ModelNew"), {EditKind.HOST_CODE}),
        (("    grid = (triton.cdiv(count, BLOCK),)", "    blocks = triton.cdiv(count, BLOCK)\n"
          "    grid = (blocks,)"), {EditKind.COSMETIC}),
        (("    return y", "    y.sum()\n    return y"), {EditKind.HOST_CODE}),
    ],
)  # fmt: skip
def test_edits_of_host_code_get_their_kind(
    scale: str, change: tuple[str, str], expected: set[EditKind]
) -> None:
    assert kinds(scale, change) == expected


def test_a_second_launch_is_told(scale: str) -> None:
    call = scale[scale.index("    scale_kernel[grid](") : scale.index("    return y")]
    found = edits(scale, (call, call + call))
    assert EditKind.LAUNCH_ARGUMENTS in {e.kind for e in found}


def test_a_candidate_that_cannot_be_read_is_an_input_error(scale: str) -> None:
    with pytest.raises(InputError):
        difference(scale, scale + "\n)")

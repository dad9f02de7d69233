"""What kind of kernel a kernel is, by its text."""

from __future__ import annotations

import pytest

from warpwright.program.kernel_kind import adds_across_lanes, kernel_kind
from warpwright.program.view import read_program
from warpwright.types.program import KernelKind

HEAD = "import triton\nimport triton.language as tl\n\n\n"
BODIES = {
    KernelKind.PRODUCT: "    c = tl.dot(tl.load(x_ptr + i), tl.load(y_ptr + i))\n"
    "    tl.store(y_ptr + i, tl.sum(c, axis=1))\n",
    KernelKind.SCAN: "    tl.store(y_ptr + i, tl.cumsum(tl.load(x_ptr + i), axis=0))\n",
    KernelKind.REDUCTION: "    tl.atomic_add(y_ptr, tl.load(x_ptr))\n",
    KernelKind.LOOP: "    for at in range(0, 8):\n"
    "        tl.store(y_ptr + at, tl.load(x_ptr + at))\n",
    KernelKind.ELEMENTWISE: "    tl.store(y_ptr + i, tl.load(x_ptr + i) + 1.0)\n",
}


@pytest.mark.parametrize("kind", BODIES)
def test_a_kernel_is_of_the_kind_that_its_text_shows(kind: KernelKind) -> None:
    source = f"{HEAD}@triton.jit\ndef one(x_ptr, y_ptr):\n    i = tl.arange(0, 16)\n{BODIES[kind]}"
    view = read_program(source)
    (kernel,) = view.kernels
    assert kernel_kind(kernel, view) is kind


def test_what_a_helper_does_counts() -> None:
    source = (
        f"{HEAD}@triton.jit\ndef total(x):\n    return tl.sum(x, axis=0)\n\n\n"
        "@triton.jit\ndef one(x_ptr, y_ptr):\n"
        "    tl.store(y_ptr, total(tl.load(x_ptr + tl.arange(0, 16))))\n"
    )
    view = read_program(source)
    kernel = view.kernel("one")
    assert kernel is not None
    assert kernel_kind(kernel, view) is KernelKind.REDUCTION
    assert adds_across_lanes(kernel, view)


@pytest.mark.parametrize(
    ("value", "adds"),
    [
        ("tl.sum(x, axis=0)", True),
        ("x.sum()", True),
        ("tl.max(tl.cumsum(x, axis=0))", True),
        ("tl.max(x, axis=0)", False),
        ("tl.dot(x, x)", False),
    ],
)
def test_lanes_are_added_up_where_their_order_may_tell(value: str, adds: bool) -> None:
    source = f"{HEAD}@triton.jit\ndef one(x_ptr):\n    x = tl.load(x_ptr)\n    y = {value}\n"
    view = read_program(source)
    (kernel,) = view.kernels
    assert adds_across_lanes(kernel, view) is adds

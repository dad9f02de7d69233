"""Reading kernel bodies: pointers, masks, trip counts."""

from __future__ import annotations

import pytest

from warpwright.program.memory_accesses import read_body, written_pointers


def kernel(body: str, parameters: str = "x_ptr, y_ptr, n, K, B") -> str:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    head = "import triton\nimport triton.language as tl\n\n\n"
    return f"{head}@triton.jit\ndef k({parameters}):\n{lines}\n"


@pytest.mark.parametrize(
    ("loop", "trips"),
    [
        ("for i in range(0, K, B):", "cdiv(K, B)"),
        ("for i in range(tl.cdiv(K, B)):", "cdiv(K, B)"),
        ("for i in range((K + B - 1) // B):", "cdiv(K, B)"),
        ("for i in tl.static_range(0, K, B):", "cdiv(K, B)"),
        ("for i in range(0, K // 2, B):", "cdiv(K // 2, B)"),
        ("for i in range(K):", "K"),
        ("for i in range(2, K):", "K - 2"),
    ],
)
def test_a_loop_s_trip_count_does_not_depend_on_its_spelling(loop: str, trips: str) -> None:
    normal = {"K - 2": "K - (2)"}
    body = read_body(kernel(f"{loop}\n    pass"), "k")
    assert body.trips[0].text == normal.get(trips, trips)


def test_a_counting_while_is_the_same_loop() -> None:
    body = read_body(kernel("i = 0\nwhile i < K:\n    i += B"), "k")
    assert body.trips[0].text == "cdiv(K, B)"


def test_a_while_that_cannot_be_counted_is_unknown() -> None:
    body = read_body(kernel("i = 0\nwhile i < K:\n    i = i * 2 + 1"), "k")
    assert body.trips[0].text is None


@pytest.mark.parametrize(
    "address",
    [
        "x_ptr + offs",
        "p",
        "x_ptr + offs[:, None] * n",
        "tl.make_block_ptr(base=x_ptr, shape=(n,), strides=(1,), offsets=(0,), block_shape=(B,))",
    ],
)
def test_the_parameter_behind_an_address_is_found(address: str) -> None:
    body = read_body(
        kernel(f"offs = tl.arange(0, B)\np = x_ptr + offs\nv = tl.load({address})"), "k"
    )
    assert body.pointers("load") == {"x_ptr"}


def test_masks_are_compared_by_their_parts() -> None:
    text = "m = (n > 0) & (K > 1)\na = tl.load(x_ptr, mask=m)\n"
    text += "b = tl.load(x_ptr, mask=(K > 1) & (n > 0))"
    first, second = read_body(kernel(text), "k").accesses
    assert first.mask == second.mask == {"n > 0", "K > 1"}


def test_source_that_does_not_parse_reads_as_empty() -> None:
    assert read_body("def broken(:", "broken").accesses == ()


def test_a_padding_that_is_only_added_is_no_pointer() -> None:
    text = "row = tl.arange(0, B) * n - K\ninside = row >= 0\nv = tl.load(x_ptr + row, mask=inside)"
    assert read_body(kernel(text), "k").pointers("load") == {"x_ptr"}


def test_a_pointer_that_may_be_none_is_still_a_pointer() -> None:
    text = "if y_ptr is not None:\n    v = tl.load(y_ptr + tl.arange(0, B))"
    assert read_body(kernel(text), "k").pointers("load") == {"y_ptr"}


def test_what_a_kernel_writes_is_found_in_the_functions_that_it_calls() -> None:
    callees = """

@triton.jit
def add(p, v):
    tl.atomic_add(p + 1, v)
    again(p, v)


@triton.jit
def again(q, v):
    add(q, v)


@triton.jit
def read(x_ptr):
    return tl.load(x_ptr)
"""
    body = "p = y_ptr + n * 2\nadd(p, v=read(x_ptr))"
    assert written_pointers(kernel(body) + callees, "k") == {"y_ptr"}
    assert read_body(kernel(body) + callees, "k").pointers("store", "atomic") == set()

"""The interpreter's short cuts give what Triton's own interpreter gives, bit for bit."""

from __future__ import annotations

from textwrap import dedent

import pytest
from amounts import slow_but
from interpreted import run_interpreted

pytestmark = [pytest.mark.triton, pytest.mark.versions]

SCRIPT = dedent(
    """
    import itertools, json
    import numpy as np
    import triton.language as tl
    from triton.runtime import interpreter
    from triton.runtime.interpreter import TensorHandle
    from warpwright.interpreter import child_executor, child_shortcuts

    originals = {}
    install = child_shortcuts.install
    def note_originals():
        names = [*child_shortcuts.ARITHMETIC, *child_shortcuts.REVERSED,
                 *child_shortcuts.COMPARISONS, *child_shortcuts.LOGIC,
                 "__floordiv__", "__mod__", "__getitem__", "to"]
        originals.update({name: getattr(tl.tensor, name) for name in names})
        originals["where"] = tl.where
        install()
    child_shortcuts.install = note_originals
    child_executor.install()

    rng = np.random.default_rng(4)
    TYPES = {tl.int32: np.int32, tl.int64: np.int64, tl.float32: np.float32, tl.int1: np.bool_,
             tl.float16: np.float16}

    def tensor(dtype, shape, low=-50):
        numbers = rng.integers(low, 50, shape or (1,))
        if dtype in (tl.float32, tl.float16):
            numbers = numbers + rng.standard_normal(numbers.shape)
        data = numbers.astype(TYPES[dtype])
        kind = tl.block_type(dtype, list(shape)) if shape else dtype
        return tl.tensor(TensorHandle(data, dtype), kind)

    def outcome(function, *args):
        try:
            with np.errstate(all="ignore"):
                result = function(*args)
        except Exception as error:
            return type(error).__name__
        if not isinstance(result, tl.tensor):
            return repr(result)
        data = np.ascontiguousarray(result.handle.data)
        return (str(result.type), [int(getattr(s, "value", s)) for s in result.shape],
                str(data.dtype), data.shape, data.tobytes().hex())

    shapes = SHAPES
    tensors = [tensor(d, s, low) for d in TYPES for s in shapes for low in (-50, 1)]
    numbers = [0, 1, -3, 7, 2**31, 2**40, 0.5, -0.1, True, tl.constexpr(5), tl.constexpr(0.3)]
    wrong, compared = [], 0
    operators = [name for name in originals if name not in ("__getitem__", "to", "where")]
    for name in operators:
        for a, b in itertools.product(tensors, tensors + numbers):
            compared += 1
            mine = outcome(getattr(tl.tensor, name), a, b)
            if mine != outcome(originals[name], a, b):
                wrong.append((name, str(a.type), str(getattr(b, "type", b))))
    full, none = slice(None), None
    for a in tensors:
        for slices in ((full, none), (none, full), (full, none, full), (none,), (full, full)):
            compared += 1
            if outcome(tl.tensor.__getitem__, a, slices) != outcome(originals["__getitem__"], a,
                                                                    slices):
                wrong.append(("__getitem__", str(a.type), str(slices)))
        for dtype in TYPES:
            compared += 1
            if outcome(tl.tensor.to, a, dtype) != outcome(originals["to"], a, dtype):
                wrong.append(("to", str(a.type), str(dtype)))
    conditions = [t for t in tensors if t.dtype == tl.int1]
    for c, a, b in itertools.product(conditions, tensors[::2], tensors[1::2] + numbers):
        compared += 2
        for x, y in ((a, b), (b, a)):
            if outcome(tl.where, c, x, y) != outcome(originals["where"], c, x, y):
                wrong.append(("where", str(c.type), str(getattr(x, "type", x)),
                              str(getattr(y, "type", y))))
    print(json.dumps({"compared": compared, "wrong": wrong[:20]}))
    """
)


FEW_SHAPES = (None, (4, 1), (4, 8))
SHAPES = (None, (4,), (1, 8), (4, 1), (4, 8))


@pytest.mark.parametrize("shapes", slow_but([FEW_SHAPES], [FEW_SHAPES, SHAPES]))
def test_every_operator_agrees_on_types_shapes_and_bits(shapes):
    found = run_interpreted(SCRIPT.replace("SHAPES", repr(shapes)))
    assert found["compared"] > 1000 * len(shapes) ** 2
    assert found["wrong"] == []


NUMERICS = dedent(
    """
    import json
    import numpy as np
    import torch
    import triton.language as tl
    from triton._C.libtriton import ir
    from triton.runtime.interpreter import TensorHandle, interpreter_builder as builder
    from warpwright.interpreter import child_builder
    from warpwright.interpreter.reference import child_tf32

    child_builder.install(89)
    rng = np.random.default_rng(9)
    values = (rng.standard_normal(4096) * 10.0 ** rng.integers(-6, 7, 4096)).astype(np.float32)
    values[:4] = [0.0, -0.0, np.inf, -np.inf]
    found = {}

    def bits(dtype):
        return torch.from_numpy(values.copy()).to(dtype)

    handle = TensorHandle(values, tl.float32)
    half = builder.create_fp_trunc(handle, tl.bfloat16)
    found["bfloat16"] = bool((half.data == bits(torch.bfloat16).view(torch.uint16).numpy()).all())
    inside = np.clip(values, -400, 400)
    eighth = builder.create_fp_to_fp(TensorHandle(inside, tl.float32), tl.float8e4nv, None)
    wanted = torch.from_numpy(inside).to(torch.float8_e4m3fn).view(torch.uint8).numpy()
    found["float8"] = bool((eighth.data == wanted).all())
    back = builder.create_fp_ext(half, tl.float32).data
    found["widened"] = bool((back == bits(torch.bfloat16).float().numpy()).all())
    total = builder.create_fadd(half, half)
    doubled = (bits(torch.bfloat16) + bits(torch.bfloat16)).view(torch.uint16).numpy()
    found["bfloat16 sum"] = bool((total.data == doubled).all())

    finite = values[4:]
    exact = finite.astype(np.float64)
    exponent = np.floor(np.log2(np.abs(exact)))
    step = np.exp2(exponent - 10)
    rounded = np.sign(exact) * np.floor(np.abs(exact) / step + 0.5) * step
    cut = np.sign(exact) * np.floor(np.abs(exact) / step) * step
    found["rounded"] = bool((child_tf32.round_nearest(finite) == rounded).all())
    found["cut"] = bool((child_tf32.truncate(finite) == cut).all())

    a = rng.standard_normal((16, 32)).astype(np.float32)
    b = rng.standard_normal((32, 16)).astype(np.float32)
    zero = TensorHandle(np.zeros((16, 16), np.float32), tl.float32)
    right = a.astype(np.float64) @ b
    def error(precision, left=a, other=b, kind=tl.float32):
        d = builder.create_dot(TensorHandle(left, kind), TensorHandle(other, kind), zero,
                               precision, 0).data
        return float(np.linalg.norm(d - right) / np.linalg.norm(right))
    kinds = ir.INPUT_PRECISION
    found["ieee"] = error(kinds.IEEE)
    found["tf32"] = error(kinds.TF32)
    found["tf32x3"] = error(kinds.TF32x3)
    found["half"] = error(kinds.TF32, a.astype(np.float16), b.astype(np.float16), tl.float16)
    child_builder.install(75)
    found["tf32 on sm_75"] = error(kinds.TF32)
    integers = rng.integers(-128, 128, (16, 32)).astype(np.int8)
    exact_sum = builder.create_dot(
        TensorHandle(integers, tl.int8), TensorHandle(integers.T.copy(), tl.int8),
        TensorHandle(np.zeros((16, 16), np.int32), tl.int32), kinds.IEEE, 0).data
    found["int8"] = bool((exact_sum == integers.astype(np.int64) @ integers.T.astype(int)).all())
    print(json.dumps(found))
    """
)


@pytest.fixture(scope="module")
def numerics() -> dict:
    return run_interpreted(NUMERICS)


@pytest.mark.parametrize(
    "name",
    ["bfloat16", "float8", "widened", "bfloat16 sum", "rounded", "cut", "int8"],
)
def test_conversions_are_exact(numerics, name):
    assert numerics[name] is True


def test_dots_are_as_precise_as_the_hardware(numerics):
    assert numerics["ieee"] < 5e-7
    assert numerics["tf32x3"] < 2e-6
    assert 4e-4 < numerics["tf32"] < 1.2e-3
    assert 1e-4 < numerics["half"] < 6e-4


def test_gpus_without_tf32_do_not_round(numerics):
    assert numerics["tf32 on sm_75"] == numerics["ieee"]

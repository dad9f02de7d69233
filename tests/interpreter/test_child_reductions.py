"""The interpreter's reductions, scans and atomics on types that numpy lacks, against float32.

One child runs a kernel for each operation, type and shape on random numbers, and compares it with
the same operation on the same numbers in float64. The bound is some roundings to the type, which
is far below what taking bits for numbers, or adding one by one, gives.
"""

from __future__ import annotations

from textwrap import dedent

import pytest
from interpreted import run_interpreted

pytestmark = [pytest.mark.triton, pytest.mark.versions]

SCRIPT = dedent(
    """
    import importlib.util, json, tempfile
    from pathlib import Path
    import torch
    from warpwright.interpreter import child_builder, child_executor

    child_builder.install(89)
    child_executor.install()

    def running(x, combine):
        out = x.clone()
        for column in range(1, x.shape[1]):
            out[:, column] = combine(out[:, column - 1], x[:, column])
        return out

    # what the kernel computes of block x → the same of x in float64
    OPERATIONS = {
        "tl.sum(x, 1)": lambda x: x.sum(1),
        "tl.sum(x, 0)": lambda x: x.sum(0),
        "tl.sum(x).to(tl.float32) + tl.zeros((1, 1), tl.float32)": lambda x: x.sum(),
        "tl.sum(x, 1, keep_dims=True)": lambda x: x.sum(1, keepdim=True),
        "tl.sum(x, 1) / C": lambda x: x.mean(1),
        "tl.max(x, 1)": lambda x: x.amax(1),
        "tl.min(x, 0)": lambda x: x.amin(0),
        "tl.argmax(x, 1).to(tl.float32)": lambda x: x.argmax(1),
        "tl.argmin(x, 0).to(tl.float32)": lambda x: x.argmin(0),
        "tl.cumsum(x, 1)": lambda x: x.cumsum(1),
        "tl.cumsum(x, 0)": lambda x: x.cumsum(0),
        "tl.cumsum(x, 1, reverse=True)": lambda x: x.flip(1).cumsum(1).flip(1),
        "tl.associative_scan(x, 1, added)": lambda x: x.cumsum(1),
        "tl.associative_scan(x, 1, halved)": lambda x: running(x, lambda a, b: torch.where(
            a > b, a, b)),
        "tl.reduce(x, 1, added)": lambda x: x.sum(1),
        "tl.reduce(x, 0, halved)": lambda x: x.amax(0),
        "tl.reduce(x, 1, branching)": lambda x: x.amax(1),
        "tl.dot(x, tl.trans(x))": lambda x: x @ x.T,
        "tl.where(x > 0, x, 0.0)": lambda x: x.clamp(min=0),
        "tl.abs(x) + x * 2.5": lambda x: x.abs() + x * 2.5,
        "tl.maximum(x, tl.full((R, C), 0.25, x.dtype))": lambda x: x.clamp(min=0.25),
        "tl.sort(x, 1)": lambda x: x.sort(1).values,
        "tl.sum(x, 1).to(tl.float16)": lambda x: x.sum(1),
        "tl.sum((x * 8).to(tl.int32), 1).to(tl.float32)":
            lambda x: (x * 8).trunc().sum(1),
    }
    NARROW = ("tl.float8e4nv", "tl.float8e5")
    NO_NARROW = ("sort", "dot", "full", "* ", "/ C", "halved", "branching", "reverse", "argm",
                 "where", "abs")

    SOURCE = '''
    import triton
    import triton.language as tl

    @triton.jit
    def added(a, b):
        return a + b

    @triton.jit
    def halved(a, b):
        return tl.where(a > b, a, b)

    @triton.jit
    def branching(a, b):
        if a > b:
            return a
        return b

    @triton.jit
    def kernel(source, out, R: tl.constexpr, C: tl.constexpr, H: tl.constexpr, W: tl.constexpr):
        r = tl.arange(0, R)[:, None]
        c = tl.arange(0, C)[None, :]
        x = tl.load(source + r * C + c){cast}
        value = {operation}
        tl.store(out + tl.arange(0, H)[:, None] * W + tl.arange(0, W)[None, :],
                 tl.reshape(value.to(tl.float32), (H, W)))
    '''

    def compared(operation, wanted_of, dtype, shape, cast, number):
        torch.manual_seed(number)
        x = (torch.rand(shape) * 2 - 0.75).to(dtype)
        seen = x
        if cast:
            seen = x.to(torch.float8_e4m3fn if "e4nv" in cast else torch.float8_e5m2)
        wanted = wanted_of(seen.double())
        flat = wanted.reshape(-1, wanted.shape[-1]) if wanted.dim() else wanted.reshape(1, 1)
        path = Path(tempfile.mkdtemp()) / f"kernel{number}.py"
        text = SOURCE.format(operation=operation, cast=f".to({cast})" if cast else "")
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        out = torch.full(flat.shape, float("nan"))
        child_executor.session.begin({})
        module.kernel[(1,)](x, out, *shape, *flat.shape)
        scale = flat.abs().max().item()
        return float((out.double() - flat).abs().max()) / scale

    UNIT = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-10, torch.float32: 2.0**-20}
    wrong, count = [], 0
    for dtype, unit in UNIT.items():
        for shape in ((16, 32), (64, 16), (256, 16)):
            for operation, wanted_of in OPERATIONS.items():
                if "branching" in operation and shape[0] > 16:
                    continue  # element by element: slow
                if dtype == torch.float32 and ("dot" in operation or "float16" in operation):
                    continue  # rounded to TF32 and to float16: looser than its unit
                count += 1
                error = compared(operation, wanted_of, dtype, shape, "", count)
                if not error <= 4 * unit:
                    wrong.append([str(dtype), shape, operation, error])
    for cast, unit in zip(NARROW, (2.0**-3, 2.0**-2)):
        for operation, wanted_of in OPERATIONS.items():
            if any(part in operation for part in NO_NARROW):
                continue
            count += 1
            error = compared(operation, wanted_of, torch.float32, (16, 16), cast, count)
            if not error <= 4 * unit:
                wrong.append([cast, operation, error])
    print(json.dumps({"wrong": wrong, "count": count}))
    """
)

ATOMICS = dedent(
    """
    import importlib.util, json, tempfile
    from pathlib import Path
    import torch
    from warpwright.interpreter import child_builder, child_executor

    child_builder.install(89)
    child_executor.install()
    path = Path(tempfile.mkdtemp()) / "atomics.py"
    path.write_text('''
    import triton
    import triton.language as tl

    @triton.jit
    def kernel(source, out, before, N: tl.constexpr):
        at = tl.arange(0, N)
        old = tl.atomic_add(out + at % 4, tl.load(source + at), mask=at < N - 4)
        tl.store(before + at, old)
    ''')
    spec = importlib.util.spec_from_file_location("atomics", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = {}
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        x = torch.arange(1, 33).to(dtype) / 4
        out, before = torch.ones(4, dtype=dtype), torch.zeros(32, dtype=dtype)
        child_executor.session.begin({})
        module.kernel[(1,)](x, out, before, 32)
        wanted = 1 + x.double()[:28].reshape(7, 4).sum(0)
        found[str(dtype)] = [(out.double() - wanted).abs().max().item(), before[4].item()]
    print(json.dumps(found))
    """
)


def test_every_operation_gives_numbers_and_rounds_as_a_tree_does():
    found = run_interpreted(SCRIPT)
    assert found["count"] > 200
    assert found["wrong"] == []


def test_atomic_addition_adds_numbers_lane_after_lane():
    found = run_interpreted(ATOMICS)
    for error, second in found.values():
        assert error <= 0.25  # sums of up to 30 in steps that the type holds
        assert second == pytest.approx(1.25)  # what the first lane left for the fifth
    assert len(found) == 3

"""The mutation engine: each operator does what its name says, and every mutant is a program."""

from __future__ import annotations

import ast

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from mutation.engine import mutants, sample
from mutation.host_operators import HOST_OPERATORS
from mutation.kernel_operators import KERNEL_OPERATORS

PROGRAM = '''
import torch
import triton
import triton.language as tl


def clear(arguments):
    arguments["y_ptr"].zero_()


@triton.autotune([triton.Config({"BLOCK": 16}, pre_hook=clear)], key=["n"])
@triton.heuristics({"EVEN": lambda arguments: arguments["k"] % 16 == 0})
@triton.jit
def project(a_ptr, b_ptr, bias_ptr, y_ptr, m, n, k, stride_am, stride_ak, eps,
            BLOCK: tl.constexpr, EVEN: tl.constexpr):
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    acc = tl.zeros((BLOCK, BLOCK), dtype=tl.float32)
    for step in range(0, tl.cdiv(k, BLOCK)):
        inner = step * BLOCK + tl.arange(0, BLOCK)
        inside = (rows[:, None] < m) & (inner[None, :] < k)
        a_at = a_ptr + rows[:, None] * stride_am + inner[None, :] * stride_ak
        a = tl.load(a_at, mask=inside, other=0.0)
        b = tl.load(b_ptr + inner[:, None] * n + rows[None, :])
        acc += tl.dot(a, b)
    bias = tl.load(bias_ptr + rows)
    y = tl.maximum(acc + bias[None, :], 0.0)
    y = tl.where(y > 1.0, tl.exp(y - eps), y) / tl.sum(y, axis=1)[:, None]
    tl.store(y_ptr + rows[:, None] * n + rows[None, :], y, mask=rows[:, None] < m)


def launch(a, b, bias, y):
    m, k = a.shape[0], a.shape[1]
    y = torch.zeros((m, m))
    y.zero_()
    grid = (triton.cdiv(m, 16),)
    project[grid](a, b, bias, y, m, b.shape[1], k, a.stride(0), a.stride(1), 1e-3)
'''  # fmt: skip


@pytest.mark.parametrize(
    ("operator", "before", "after"),
    [
        ("dropped mask", "tl.load(a_at, mask=inside, other=0.0)", "tl.load(a_at, )"),
        ("dropped condition", "& (inner[None, :] < k)", "inside = (rows[:, None] < m)\n"),
        ("wrong stride", "inner[None, :] * stride_ak", "inner[None, :] * stride_am"),
        ("wrong size", "rows[:, None] * n + rows", "rows[:, None] * k + rows"),
        ("swapped operands", "tl.dot(a, b)", "tl.dot(b, a)"),
        ("deleted dot", "acc += tl.dot(a, b)", "        pass\n"),
        ("off-by-one bound", "inner[None, :] < k", "inner[None, :] <= k"),
        ("skipped iteration", "range(0, tl.cdiv", "range(0 + 1, tl.cdiv"),
        ("wrong pointer", "b_ptr + inner", "a_ptr + inner"),
        ("removed accumulation", "acc += tl.dot(a, b)", "acc = tl.dot(a, b)"),
        ("dropped bias", "tl.maximum(acc + bias[None, :], 0.0)", "tl.maximum(acc, 0.0)"),
        ("wrong axis", "tl.program_id(0)", "tl.program_id(1)"),
        ("changed reduction", "tl.sum(y, axis=1)", "tl.max(y, axis=1)"),
        ("changed other", "other=0.0", "other=1.0"),
        ("swapped extremum", "tl.maximum(acc", "tl.minimum(acc"),
        ("changed function", "tl.exp(y - eps)", "tl.exp2(y - eps)"),
        ("changed constant", "y > 1.0", "y > 1.5"),
        ("wrong cast", "dtype=tl.float32", "dtype=tl.float16"),
        ("widened mask", "(rows[:, None] < m) & (inner", "((rows[:, None] < m) | (inner"),
        ("dropped other", "mask=inside, other=0.0)", "mask=inside, )"),
        ("narrow index", "rows[:, None] * stride_am", "(rows[:, None] * stride_am).to(tl.int8)"),
        ("rounded accumulator", "acc += tl.dot(a, b)", "(acc + (tl.dot(a, b))).to(tl.bfloat16)"),
        ("started accumulator", "acc = tl.zeros(", "dtype=tl.float32) + 1"),
        ("doubled accumulation", "acc += tl.dot(a, b)", "acc += (tl.dot(a, b)) + acc"),
        ("rounded down", "tl.cdiv(k, BLOCK)", "(k // BLOCK)"),
        ("dropped hook", "pre_hook=clear", '{"BLOCK": 16}, )'),
        ("changed heuristic", "% 16 == 0", "not (arguments"),
        ("dropped fill", "    y.zero_()", "    y = torch.zeros((m, m))\n    pass"),
        ("changed fill", "torch.zeros((m, m))", "torch.ones((m, m))"),
        ("broken grid", "triton.cdiv(m, 16)", "(m // 16)"),
        ("swapped arguments", "(a, b, bias, y,", "(b, a, bias, y,"),
        ("changed argument", "1e-3", "0.0015"),
        ("wrong dimension", "a.stride(1)", "a.stride(0)"),
    ],
)
def test_an_operator_makes_the_mutant_that_its_name_promises(
    operator: str, before: str, after: str
) -> None:
    assert before in PROGRAM
    made = [mutant.source for mutant in mutants(PROGRAM, [operator])]
    assert any(after in source and after not in PROGRAM for source in made) or any(
        source.count(after) > PROGRAM.count(after) for source in made
    )


def test_a_mutant_changes_one_place_and_names_its_line() -> None:
    lines = PROGRAM.splitlines()
    for mutant in mutants(PROGRAM):
        differ = [
            index + 1
            for index, (a, b) in enumerate(zip(lines, mutant.source.splitlines(), strict=True))
            if a != b
        ]
        assert differ == [mutant.line], mutant.operator


def test_every_operator_is_in_a_table_once() -> None:
    assert not set(KERNEL_OPERATORS) & set(HOST_OPERATORS)


def test_host_code_is_not_mutated_as_a_kernel_is() -> None:
    host = {m.operator for m in mutants(PROGRAM) if m.function == "launch"}
    assert host == set(HOST_OPERATORS)


@settings(max_examples=examples(25), deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 12))
def test_samples_are_distinct_programs_and_the_same_for_the_same_seed(
    seed: int, count: int
) -> None:
    found = sample(PROGRAM, count, seed)
    assert len({mutant.source for mutant in found} | {PROGRAM}) == count + 1
    for mutant in found:
        ast.parse(mutant.source)
    assert found == sample(PROGRAM, count, seed)


EXPRESSIONS = st.recursive(
    st.sampled_from(["n", "m", "x", "1", "0.0", "2.5", "tl.program_id(0)", "bias"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%", "&", "<"]), inner).map(
            lambda parts: f"({' '.join(parts)})"
        ),
        inner.map(lambda text: f"tl.load(x + {text}, mask={text} < n, other=0.0)"),
        inner.map(lambda text: f"tl.where({text} > 0, {text}, 1.0)"),
    ),
    max_leaves=6,
)


@settings(max_examples=examples(40), deadline=None)
@given(expressions=st.lists(EXPRESSIONS, min_size=1, max_size=2))
def test_every_mutant_of_any_kernel_parses_and_differs(expressions: list[str]) -> None:
    body = "".join(f"    v{i} = {text}\n" for i, text in enumerate(expressions))
    source = f"@triton.jit\ndef kernel(x, y, n, m, bias):\n{body}    tl.store(y, v0)\n"
    for mutant in mutants(source):
        assert ast.dump(ast.parse(mutant.source)) != ast.dump(ast.parse(source))

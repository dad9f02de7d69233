"""`check` on edits that the rules neither ask for nor forbid, with and without its two limits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Command = Callable[..., CompletedProcess[str]]

PROBLEM = """import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        return 7.0 * x


def get_inputs():
    return [torch.rand(16, 128)]


def get_init_inputs():
    return []
"""
PARENT = """import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def seven_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    x = tl.load(x_ptr + at, mask=inside)
    tl.store(y_ptr + at, x + x + x + x + x + x + x, mask=inside)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        seven_kernel[(triton.cdiv(x.numel(), 256),)](x, y, x.numel(), BLOCK=256)
        return y
"""
CONSTANT_SIZE = PARENT.replace("n, BLOCK: tl", "n: tl.constexpr, BLOCK: tl")
ONE_PRODUCT = PARENT.replace("x + x + x + x + x + x + x", "7.0 * x")
"""Rounds once where the parent rounds six times: more exact, and other bits."""


@pytest.fixture
def checked(warpwright: Command, tmp_path: Path) -> Callable[..., CompletedProcess[str]]:
    (tmp_path / "parent.py").write_text(PARENT)
    (tmp_path / "problem.py").write_text(PROBLEM)
    made = warpwright("request", "parent.py", "--gpu", "4090")
    assert made.returncode == 0, made.stderr
    (tmp_path / "request.txt").write_text(made.stdout)

    def check(reply: str, *flags: str) -> CompletedProcess[str]:
        assert reply != PARENT
        (tmp_path / "reply.py").write_text(reply)
        return warpwright(
            "check", "request.txt", "reply.py", "--problem", "problem.py", "--json", *flags
        )

    return check


@pytest.mark.triton
def test_bit_equal_passes_a_size_made_constant_and_refuses_other_bits(
    checked: Callable[..., CompletedProcess[str]],
) -> None:
    assert checked(CONSTANT_SIZE, "--bit-equal").returncode == 0
    plain = checked(ONE_PRODUCT)
    assert plain.returncode == 0, plain.stdout
    assert json.loads(plain.stdout)["gate"]["beyond_stage"]
    held = checked(ONE_PRODUCT, "--bit-equal")
    assert held.returncode == 1, held.stdout
    report = json.loads(held.stdout)
    assert {violation["rule"] for violation in report["violations"]} == {"stage.beyond"}
    assert report["violations"][0]["found"] == "other bits"
    assert report["gate"]["limits"]["bit_equal"] is True


@pytest.mark.triton
def test_strict_refuses_even_what_changes_no_bit(
    checked: Callable[..., CompletedProcess[str]],
) -> None:
    done = checked(CONSTANT_SIZE, "--strict")
    assert done.returncode == 1, done.stdout
    (violation,) = json.loads(done.stdout)["violations"]
    assert violation["rule"] == "stage.beyond"
    assert "kernel signature changed in seven_kernel" in violation["found"]

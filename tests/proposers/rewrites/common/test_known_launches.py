"""A kernel whose launches change is used by launches that the text shows, and by nothing else."""

from __future__ import annotations

import pytest

from warpwright.proposers.rewrites.common.kernel_text import kernel_text
from warpwright.proposers.rewrites.common.known_launches import check_known_launches
from warpwright.proposers.rewrites.common.refusal import DoesNotApply

KERNEL = """\
import triton
import triton.language as tl


@triton.jit
def double(x_ptr, N):
    i = tl.program_id(0)
    tl.store(x_ptr + i, tl.load(x_ptr + i) * 2.0)


@triton.jit
def other(x_ptr, N):
    tl.store(x_ptr, 0.0)


class Model:
    def forward(self, x, wide):
        double[(8,)](x, 8)
        HERE
        return x
"""


def of(text: str) -> str:
    return KERNEL.replace("HERE", text.replace("\n", "\n        "))


@pytest.mark.parametrize(
    "text",
    [
        "pass",
        "double[(4,)](x, N=4)",
        "k = double if wide else other\nk[(4,)](x, 4)",
        "(double if wide else other)[(4,)](x, 4)",
        "k = double if wide else other\nif k is double:\n    k[(4,)](x, 4)",
        "k = double if wide else other\nif k is double:\n    pass\nelse:\n    k[(4,)](x, 4)",
    ],
)
def test_launches_that_the_text_shows(text: str) -> None:
    check_known_launches(kernel_text(of(text), "double"))


@pytest.mark.parametrize(
    "text",
    [
        "for k in [double, other]:\n    k[(4,)](x, 4)",
        "ks = {0: double}\nks[0][(4,)](x, 4)",
        "double.__getitem__((4,))(x, 4)",
        "k = double\nself.run(k)",
        "self.launch(double, x)",
    ],
)
def test_a_use_that_may_launch_it_unseen(text: str) -> None:
    with pytest.raises(DoesNotApply, match="is used but to launch double"):
        check_known_launches(kernel_text(of(text), "double"))


def test_a_kernel_that_another_one_calls() -> None:
    text = of("pass").replace("tl.store(x_ptr, 0.0)", "double(x_ptr, N)")
    with pytest.raises(DoesNotApply, match="is used but to launch double"):
        check_known_launches(kernel_text(text, "double"))

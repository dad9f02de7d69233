"""The strict order: whole definitions move, nothing else changes, and the module still imports."""

from __future__ import annotations

import ast

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from warpwright.program.edit.strict_order import has_strict_order, in_strict_order
from warpwright.program.view import read_program
from warpwright.verifier.checks.format import check_format

HEAD = "import torch\nimport triton\nimport triton.language as tl\n"
KERNEL = """

# Doubles.
@triton.jit
def double(x_ptr, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(x_ptr + at, tl.load(x_ptr + at) * 2)  # in place
"""
WRAPPER = """

# What the model calls.
def launch(x):
    double[(1,)](x, BLOCK=16)
    return x
"""
MODEL = """

class ModelNew(torch.nn.Module):
    def forward(self, x):
        return launch(x)
"""
HOOK = """

def clear(nargs):
    nargs["x_ptr"].zero_()
"""


def test_a_wrapper_before_a_kernel_moves_behind_it_with_its_comment() -> None:
    assert in_strict_order(HEAD + WRAPPER + KERNEL + MODEL) == HEAD + KERNEL + WRAPPER + MODEL


def test_a_model_before_a_wrapper_moves_to_the_end() -> None:
    assert in_strict_order(HEAD + KERNEL + MODEL + WRAPPER) == HEAD + KERNEL + WRAPPER + MODEL


def test_a_program_in_order_comes_back_as_it_is() -> None:
    source = HEAD + KERNEL + WRAPPER + MODEL
    assert in_strict_order(source) == source
    assert has_strict_order(source)


def tuned(hook: str) -> str:
    decorator = (
        "@triton.autotune(\n    configs=[triton.Config({'BLOCK': 16}, pre_hook=HOOK)], key=[]\n)\n"
    )
    return KERNEL.replace("@triton.jit", decorator.replace("HOOK", hook) + "@triton.jit")


def test_a_hook_that_a_decorator_needs_stays_before_its_kernel() -> None:
    source = HEAD + HOOK + tuned("clear") + WRAPPER + MODEL
    assert in_strict_order(source) == source
    told = check_format(read_program(source), read_program(source))
    assert not any("format.order" in note for note in told.notes)


def test_what_a_function_called_at_import_reads_stays_before_it_too() -> None:
    factory = "\n\ndef zeroing():\n    return FOUND[0]\n"
    source = HEAD + HOOK + "\n\nFOUND = (clear,)\n" + factory + tuned("zeroing()") + WRAPPER + MODEL
    assert in_strict_order(source) == source


def test_a_constant_of_a_default_goes_before_what_needs_it() -> None:
    wrapper = WRAPPER.replace("launch(x)", "launch(x, size=SIZE)")
    changed = in_strict_order(HEAD + "\nSIZE = 16\n" + wrapper + KERNEL + MODEL)
    assert changed.index("def double") < changed.index("def launch")
    assert changed.index("SIZE = 16") < changed.index("def launch")


@pytest.mark.parametrize(
    "between",
    [
        "\n\nprint('ready')\n",  # runs between them
        "\n\nlaunch = torch.no_grad()(launch)\n",  # a name bound twice
        "\n\nlaunch.calls = 0\n",  # changed in place
    ],
)
def test_what_cannot_be_moved_safely_stays_and_is_told(between: str) -> None:
    source = HEAD + WRAPPER + between + KERNEL + MODEL
    assert in_strict_order(source) == source
    told = check_format(read_program(HEAD + KERNEL + WRAPPER + MODEL), read_program(source))
    assert any("format.order" in note for note in told.notes)


PIECES = {
    "import": "import math\n",
    "constant": "\nSIZE = 16\n",
    "built": "\nSIZES = tuple(range(SIZE))\n",
    "kernel": KERNEL.replace("double", "twice"),
    "tuned": tuned("clear"),
    "hook": HOOK,
    "wrapper": WRAPPER,
    "default": "\n\ndef sized(x, size=SIZES):\n    return launch(x)\n",
    "helper": "\n\nclass Kept:\n    size = SIZE\n",
    "model": MODEL,
}
NEEDED = {"built": {"constant"}, "tuned": {"hook"}, "default": {"built"}, "helper": {"constant"}}


@settings(max_examples=examples(150), deadline=None)
@given(st.permutations(sorted(PIECES)))
def test_any_order_that_imports_becomes_one_that_imports_with_the_same_definitions(
    order: list[str],
) -> None:
    names: list[str] = []
    for name in order:
        if NEEDED.get(name, set()) <= {*names}:
            names.append(name)
    source = HEAD + "".join(PIECES[name] for name in names)
    changed = in_strict_order(source)
    assert sorted(texts(changed)) == sorted(texts(source))
    assert in_strict_order(changed) == changed
    assert has_strict_order(changed)
    assert comments(changed) == comments(source)
    assert_defined_before_use(changed)


def texts(source: str) -> list[str]:
    return [ast.get_source_segment(source, node) or "" for node in ast.parse(source).body]


def comments(source: str) -> list[str]:
    return sorted(line.strip() for line in source.splitlines() if line.strip().startswith("#"))


def assert_defined_before_use(source: str) -> None:
    """By running it: Triton stands aside as something that any attribute and call is taken from."""

    class Anything:
        def __getattr__(self, _: str) -> Anything:
            return self

        def __call__(self, *_: object, **__: object) -> Anything:
            return self

        def __mro_entries__(self, _: object) -> tuple[type, ...]:
            return (object,)

    code = "\n".join(line for line in source.splitlines() if not line.startswith("import "))
    exec(code, {"triton": Anything(), "tl": Anything(), "torch": Anything()})

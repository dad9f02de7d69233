"""Decorators of a program's own around a kernel: read as what they return, edited where given."""

from __future__ import annotations

import pytest

from warpwright.errors import InputError
from warpwright.program.edit.config_edit import set_configs
from warpwright.program.view import read_program
from warpwright.types.config import Config
from warpwright.types.program import Autotune

KERNEL = """\
@triton.jit
def twice(x, n, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    tl.store(x + at, 2 * tl.load(x + at, mask=at < n), mask=at < n)
"""
HEAD = """\
import functools
import torch
import triton
import triton.language as tl
from triton.runtime.autotuner import Autotuner

"""
LIST = '[triton.Config({"WIDTH": 64}, num_warps=2), triton.Config({"WIDTH": 128}, num_warps=4)]'
NAMED = f'@tuned(configs={LIST}, key=["n"])'
CONFIGS = [(64, 2), (128, 4)]


def tuner(house: str, decorator: str = NAMED) -> Autotune:
    kernel = read_program(f"{HEAD}\n{house}\n\n{decorator}\n{KERNEL}").kernel("twice")
    assert kernel is not None and kernel.autotune is not None
    return kernel.autotune


def sizes(found: Autotune) -> list[tuple[object, int]] | None:
    if found.configs is None:
        return None
    return [(config.meta_dict["WIDTH"], config.num_warps) for config in found.configs]


PLAIN = "def tuned(configs, key):\n    return triton.autotune(configs, key)\n"
OPTIONS = """
def tuned(configs, key, *, verbose=False, **options):
    '''Ours.'''
    if verbose:
        print(configs)
    return triton.autotune(configs=configs, key=key, **options)
"""
CLOSURE = """
def tuned(configs, key):
    def decorate(fn):
        return triton.autotune(configs=configs, key=key)(fn)
    return decorate
"""
BRANCHES = """
def tuned(configs, key):
    if hasattr(triton, "knobs"):
        return triton.autotune(configs=configs, key=key, cache_results=True)
    return triton.autotune(configs=configs, key=key)
"""
CLASS = """
class Kept(Autotuner):
    def run(self, *args, **kwargs):
        return super().run(*args, **kwargs)

def tuned(configs, key):
    def decorate(fn):
        return Kept(fn, fn.arg_names, configs, key, None, None)
    return decorate
"""
THROUGH = (
    PLAIN.replace("tuned", "inner") + "def tuned(configs, key):\n    return inner(configs, key)\n"
)


@pytest.mark.parametrize("house", [PLAIN, OPTIONS, CLOSURE, BRANCHES, CLASS, THROUGH])
def test_a_function_that_returns_the_tuner_is_followed(house: str) -> None:
    found = tuner(house)
    assert sizes(found) == CONFIGS
    assert found.key == ("n",)


def test_other_arguments_are_told_too() -> None:
    found = tuner(OPTIONS, NAMED.replace("key=", "restore_value=['x'], verbose=True, key="))
    assert found.restore_value == ("x",)


def test_a_tuner_of_another_module_of_the_house_is_known_by_its_configs() -> None:
    assert sizes(tuner("from ours.tuning import tuned")) == CONFIGS


@pytest.mark.parametrize(
    "house",
    [
        PLAIN.replace("(configs, key)\n    return", "(configs, key)\n    return").replace(
            "autotune(configs,", "autotune(configs[:1],"
        ),
        BRANCHES.replace("return triton.autotune(configs=configs, key=key)\n",
                         "return triton.autotune(configs=configs[1:], key=key)\n"),
        PLAIN.replace("(configs, key):\n", "(*given, **named):\n"),
    ],
)  # fmt: skip
def test_a_list_that_is_not_handed_on_whole_is_not_guessed(house: str) -> None:
    assert sizes(tuner(house)) is None


@pytest.mark.parametrize(
    ("around", "known"),
    [
        ("class Entry:\n    def __init__(self, fn):\n        self.fn = fn\n", True),
        ("def Entry(fn):\n    print(fn)\n    return fn\n", True),
        ("def Entry(fn):\n    return triton.autotune(LISTS[0], [])(fn)\n", False),
        ("def inner(fn):\n    return triton.autotune(LISTS[0], [])(fn)\n"
         "class Entry:\n    def __init__(self, fn):\n        self.fn = inner(fn)\n", False),
        ("from ours import Entry\n", False),
    ],
)  # fmt: skip
def test_what_tunes_nothing_hides_nothing(around: str, known: bool) -> None:
    found = tuner(PLAIN + around, f"@Entry\n{NAMED}")
    assert (sizes(found) == CONFIGS) is known


@pytest.mark.parametrize("house", [PLAIN, OPTIONS, CLOSURE, CLASS])
def test_the_list_is_edited_where_it_is_given(house: str) -> None:
    source = f"{HEAD}\n{house}\n\n{NAMED}\n{KERNEL}"
    edited = set_configs(source, "twice", [Config.of({"WIDTH": 64}, 2, 3)])
    assert edited == source.replace(LIST, '[triton.Config({"WIDTH": 64}, num_warps=2)]')


def test_a_list_inside_the_house_that_two_kernels_share_is_left() -> None:
    house = f"def tuned(key):\n    return triton.autotune({LIST}, key)\n"
    other = KERNEL.replace("twice", "again")
    source = f'{HEAD}\n{house}\n\n@tuned(["n"])\n{KERNEL}\n\n@tuned(["n"])\n{other}'
    alone = f'{HEAD}\n{house}\n\n@tuned(["n"])\n{KERNEL}'
    configs = [Config.of({"WIDTH": 64}, 2, 3)]
    with pytest.raises(InputError, match="again has too"):
        set_configs(source, "twice", configs)
    assert "num_warps=4" not in set_configs(alone, "twice", configs)

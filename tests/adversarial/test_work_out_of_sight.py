"""Trick: torch works, libraries change or results are kept where no reader of names looks."""

from __future__ import annotations

from functools import cache

import accuracy_trial as trial
import pytest

from warpwright.gpus.sheets import find_gpu
from warpwright.program.view import read_program
from warpwright.store.cache import ResultCache
from warpwright.tracing.trace import trace_program
from warpwright.types.launch_trace import Trace
from warpwright.types.verdict import Violation
from warpwright.verifier.checks.integrity import check_integrity
from warpwright.verifier.checks.observed import check_observed

pytestmark = pytest.mark.triton

USED = "        return product(left, self.right)\n"
LAUNCH = "        left, right, out, ROWS, COLUMNS, DEPTH, TILE_R=32, TILE_C=32, TILE_D=16\n"
MODEL = "class ModelNew(nn.Module):\n"
KERNEL = "@triton.jit\ndef product_kernel("


@cache
def traced(source: str) -> Trace:
    gpu = find_gpu("RTX 4090")
    found = trace_program(source, trial.PRODUCT_PROBLEM, gpu=gpu, cache=ResultCache())
    assert isinstance(found, Trace), found
    return found


def seen(*changes: tuple[str, str]) -> list[Violation]:
    """What watching tells of the product with these changes."""
    candidate = trial.changed(trial.PRODUCT, *changes)
    return check_observed(traced(trial.PRODUCT), traced(candidate))[0]


DISHONEST = {
    "in a table": (
        "integrity.torch_work",
        (MODEL, "WORK = {'product': torch.mm}\n\n\n" + MODEL),
        (USED, "        return WORK['product'](left, self.right)\n"),
    ),
    "as a default": (
        "integrity.torch_work",
        (MODEL, "def finish(left, right, out, work=torch.mm):\n    return out + 0 * work(left, "
         "right)\n\n\n" + MODEL),
        (USED, "        return finish(left, self.right, product(left, self.right))\n"),
    ),
    "in a heuristic": (
        "integrity.torch_work",
        (KERNEL, "@triton.heuristics({'TILE_D': lambda given: torch.mm(given['left_ptr'], "
         "given['right_ptr'], out=given['out_ptr']).shape[0] // 40 + 15})\n" + KERNEL),
        (LAUNCH, LAUNCH.replace(", TILE_D=16", "")),
    ),
    "one output for all calls": (
        "integrity.same_output",
        (MODEL, "KEPT = []\n\n\ndef once(make):\n    kept = KEPT\n    if not kept:\n"
         "        kept.append(make())\n    return kept[0]\n\n\n" + MODEL),
        (USED, "        return once(lambda: product(left, self.right))\n"),
    ),
    "half of the depth on a busy card": (
        "integrity.second_call",
        ("    ROWS, DEPTH = left.shape\n",
         "    ROWS, DEPTH = left.shape\n    if torch.cuda.memory_allocated() > 2**20:\n"
         "        DEPTH = DEPTH // 2\n"),
    ),
    "a library that is handed on": (
        "integrity.patched",
        (MODEL, "def settle(library):\n    library.do_bench = None\n    return 0\n\n\n"
         "SETTLED = settle(triton.testing)\n\n\n" + MODEL),
    ),
    "a text run as code": (
        "integrity.action",
        (USED, "        torch.sys.modules['builtins'].eval('0')\n" + USED),
    ),
    "the environment through torch": (
        "integrity.ways_out",
        (USED, "        if 'SOME_NAME' in torch.os.environ:\n            left = left[:1]\n" + USED),
    ),
    "a thread": (
        "integrity.action",
        (USED, "        side = torch.sys.modules['threading'].Thread(target=print)\n"
         "        side.start()\n" + USED),
    ),
}  # fmt: skip


@pytest.mark.parametrize("trick", DISHONEST)
def test_what_ran_is_refused_whatever_it_was_called(trick: str) -> None:
    rule, *changes = DISHONEST[trick]
    assert rule in {violation.rule for violation in seen(*changes)}


def test_the_message_names_what_was_seen_and_its_line() -> None:
    _, *changes = DISHONEST["in a table"]
    (found,) = [v for v in seen(*changes) if v.rule == "integrity.torch_work"]
    source = trial.changed(trial.PRODUCT, *changes).splitlines()
    assert found.line is not None and "WORK['product'](" in source[found.line - 1]
    assert "aten.mm" in found.found


def test_launches_of_the_first_call_alone_are_told() -> None:
    _, *changes = DISHONEST["one output for all calls"]
    (found,) = [v for v in seen(*changes) if v.rule == "integrity.second_call"]
    assert "0 launches, 1 in the first" in found.found


HONEST = {
    "operands in another order": (USED, USED.replace("right)", "right.t().contiguous().t())")),
    "padded and cut": (
        USED,
        "        wide = nn.functional.pad(left, (0, 0, 0, 3))\n"
        "        return product(wide, self.right)[: left.shape[0]]\n",
    ),
    "a table of numbers": (USED, "        steps = torch.tensor([1, 2, 3, 4])\n" + USED),
    "mirrored at its ends and cut": (
        USED,
        "        wide = nn.functional.pad(left[None], (0, 0, 1, 1), mode='reflect')[0]\n"
        "        return product(wide[1:-1].contiguous(), self.right)\n",
    ),
    "what torch warns of": (USED, "        torch.tensor(left[:1])\n" + USED),
    "a cast and back": (USED, USED.replace("left,", "left.double().float(),")),
    "filled memory and numbers": (
        USED,
        "        blank = torch.zeros_like(left)\n        blank.fill_(torch.tensor(2.0).sqrt())\n"
        + USED,
    ),
    "parts of the libraries": (
        USED,
        USED.replace("product(", "torch.nn.functional.pad(triton.language and product(").replace(
            "right)", "right), (0, 0))"
        ),
    ),
    "names made at run time": (
        MODEL,
        "import collections\n\nSizes = collections.namedtuple('Sizes', 'rows')\n\n\n" + MODEL,
    ),
}


@pytest.mark.parametrize("way", HONEST)
def test_copies_views_and_memory_are_no_work(way: str) -> None:
    assert seen(HONEST[way]) == []


def test_what_the_parent_does_as_well_is_told_and_not_blamed() -> None:
    both = trial.changed(
        trial.PRODUCT,
        (USED, USED.replace("product(", "torch.relu(product(").replace("right)", "right))")),
    )
    violations, notes = check_observed(traced(both), traced(both))
    assert violations == [] and any("relu" in note for note in notes)
    assert [v.rule for v in check_observed(traced(trial.PRODUCT), traced(both))[0]] == [
        "integrity.torch_work"
    ]


def test_the_verdict_on_integrity_has_both_what_was_read_and_what_was_seen() -> None:
    _, *changes = DISHONEST["in a table"]
    candidate = trial.changed(trial.PRODUCT, *changes)
    views = read_program(trial.PRODUCT), read_program(candidate)
    result = check_integrity(*views, None, traced(candidate), traced(trial.PRODUCT))
    rules = [violation.rule for violation in result.violations]
    assert rules.count("integrity.torch_work") == 1
    assert "integrity.kernel_not_launched" in rules


def test_a_second_call_that_the_trace_cannot_follow_is_no_fault_of_the_program() -> None:
    """It reads a value of its data, which no stand-in has, only where it was called before."""
    reads = trial.changed(
        trial.PRODUCT,
        (MODEL, "CALLS = []\n\n\n" + MODEL),
        (USED, "        CALLS.append(1)\n        if len(CALLS) > 1:\n"
         "            left[0, 0].item()\n" + USED),
    )  # fmt: skip
    assert traced(reads).behaviour.second_call is None
    fails = trial.changed(
        reads, ("            left[0, 0].item()\n", "            raise ValueError('tired')\n")
    )
    assert "it fails: ValueError: tired" in str(traced(fails).behaviour.second_call)

"""One verdict for every candidate: moves in the tuning stage, their dishonest twins, limits."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import gathering
import pytest
from amounts import slow_but

from warpwright import api
from warpwright.formats.reply import parse_reply
from warpwright.formats.request_text import parse_request
from warpwright.pipeline.check_reply import check_reply
from warpwright.store.cache import ResultCache
from warpwright.store.run_context import RunContext
from warpwright.types.verdict import EditLimits, Status, Verdict

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def checked() -> Callable[..., Verdict]:
    """`check` on a program beside the gathering parent, in the tuning stage."""
    text = api.request(gathering.PARENT, gpu="RTX 4090", problem=gathering.PROBLEM)
    request = parse_request(text)
    run_context = RunContext(ResultCache())

    def check(program: str, limits: EditLimits | None = None) -> Verdict:
        return check_reply(request, parse_reply(program), run_context, limits=limits)

    return check


HONEST = {
    "specialised": gathering.SPECIALISED,
    "reordered": gathering.DIGITS,
    "packed": gathering.PACKED,
    "packed, without masks that are always true": gathering.UNMASKED,
}
TWINS = {
    "drops the last tap": gathering.once(
        gathering.PACKED, gathering.FAST_HEAD, gathering.FAST_HEAD.replace("depth,", "depth - 16,")
    ),
    "drops the mask of the borders": gathering.once(
        gathering.PACKED, "mask=inside[:, None],", "mask=(pixel < pixels)[:, None],"
    ),
    "drops every mask of the pixels": gathering.once(
        gathering.PACKED, "            mask=inside[:, None],\n                other=0.0,\n", ""
    ),
    "keeps the packed weight in an attribute": gathering.once(
        gathering.once(
            gathering.PACKED, gathering.PACKING, "self.packed"
        ),
        "        weight = self.conv.weight\n",
        "        weight = self.conv.weight\n"
        "        if not hasattr(self, 'packed'):\n"
        f"            self.packed = {gathering.PACKING}\n",
    ),
    "keeps the packed weight on the parameter": gathering.once(
        gathering.once(gathering.PACKED, gathering.PACKING, "weight.packed"),
        "        weight = self.conv.weight\n",
        "        weight = self.conv.weight\n"
        "        if not hasattr(weight, 'packed'):\n"
        f"            weight.packed = {gathering.PACKING}\n",
    ),
    "packs when the model is built": gathering.once(
        gathering.once(gathering.PACKED, gathering.PACKING, "self.packed"),
        "padding=1, bias=False)\n\n    def forward",
        "padding=1, bias=False)\n"
        "        self.packed = self.conv.weight.detach().permute(0, 2, 3, 1).contiguous()\n\n"
        "    def forward",
    ),
    "packs in the wrong order": gathering.once(
        gathering.PACKED, gathering.PACKING, "weight.permute(0, 3, 2, 1).contiguous()"
    ),
    "pads on one side": gathering.once(
        gathering.once(
            gathering.PACKED, "x, weight.permute", "torch.nn.functional.pad(x, (1, 0, 1, 0))[:, :, "
            ":height, :width].contiguous(), weight.permute"
        ),
        "size, padding,\n        )", "size, 0,\n        )",
    ),
    "has no dot in its fast branch": gathering.once(
        gathering.PACKED,
        "            total = tl.dot(a, b, total)\n    else:",
        "            total += tl.sum(a) * tl.sum(b)\n    else:",
    ),
    "rounds its operands": gathering.once(
        gathering.PACKED,
        "            total = tl.dot(a, b, total)\n    else:",
        "            total = tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16), total)\n    else:",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", slow_but(["specialised", "packed"], HONEST))
def test_a_move_passes_the_tuning_stage(checked: Callable[..., Verdict], name: str) -> None:
    gate = checked(HONEST[name])
    assert gate.status is Status.PASS, [*map(str, gate.violations), *gate.results]
    beyond = next(result for result in gate.results if result.check == "beyond stage")
    assert beyond.status is Status.PASS
    assert {edit.kind for edit in gate.beyond_stage}


REFUSED_BY = {
    "drops the last tap": "accuracy",
    "drops the mask of the borders": "accuracy",
    "drops every mask of the pixels": "accuracy",
    "keeps the packed weight in an attribute": "integrity.state",
    "keeps the packed weight on the parameter": "integrity.state",
    "packs when the model is built": "integrity.state",
    "packs in the wrong order": "accuracy",
    "pads on one side": "accuracy",
    "has no dot in its fast branch": "accuracy",
    "rounds its operands": "accuracy",
}


@pytest.mark.parametrize(
    "name", slow_but(TWINS.keys() - {"pads on one side", "rounds its operands"}, TWINS)
)
def test_its_dishonest_twin_is_refused(checked: Callable[..., Verdict], name: str) -> None:
    assert {v.rule for v in checked(TWINS[name]).violations} == {REFUSED_BY[name]}


def test_strict_refuses_the_move_and_bit_equal_those_that_change_a_bit(
    checked: Callable[..., Verdict],
) -> None:
    strict = checked(gathering.SPECIALISED, EditLimits(strict=True))
    assert {violation.rule for violation in strict.violations} == {"stage.beyond"}
    assert strict.limits.strict and not strict.accuracy_cases
    assert checked(gathering.SPECIALISED, EditLimits(bit_equal=True)).status is Status.PASS
    other = checked(gathering.DIGITS, EditLimits(bit_equal=True))
    assert {violation.rule for violation in other.violations} == {"stage.beyond"}


def test_the_copy_of_the_packed_weight_is_told(checked: Callable[..., Verdict]) -> None:
    notes = [note for result in checked(gathering.PACKED).results for note in result.notes]
    assert any("permute" in note and "its time and bytes count" in note for note in notes)


def test_without_shapes_a_move_is_not_verified_and_nothing_is_refused() -> None:
    text = api.request(gathering.PARENT, gpu="RTX 4090")
    gate = check_reply(
        parse_request(text), parse_reply(gathering.PACKED), RunContext(ResultCache())
    )
    assert gate.status is Status.NOT_VERIFIED, list(map(str, gate.violations))
    beyond = next(result for result in gate.results if result.check == "beyond stage")
    assert beyond.status is Status.NOT_VERIFIED


def affine(workshop: ModuleType) -> tuple[str, str]:
    """A program whose first config leaves half of the output out, and its problem."""
    program = workshop.PROGRAM.replace('{"BLOCK": 512}', '{"BLOCK": 256}', 1)
    program = program.replace('{"BLOCK": 1024}', '{"BLOCK": 512}', 1)
    program = gathering.once(program, 'meta["BLOCK"]),)', "512),)")
    return program, workshop.PROBLEM


@pytest.mark.parametrize("stage", ["tuning", "memory"])
@pytest.mark.parametrize("which", slow_but(["wrong config"], ["gathering", "wrong config"]))
def test_check_says_of_an_answer_what_the_answer_says_of_itself(
    workshop: ModuleType, which: str, stage: str
) -> None:
    """Its own verdict is that of `check` on its final text, changed or kept."""
    program, problem = gathering.PARENT, gathering.PROBLEM
    if which == "wrong config":
        program, problem = affine(workshop)
    text = api.request(program, gpu="RTX 4090", stage=stage, problem=problem)
    answer = api.answer(text)
    gate = api.check(text, answer.program)
    assert (answer.program == program) is (stage == "memory")
    assert gate.results == answer.gate.results
    assert gate.beyond_stage == answer.gate.beyond_stage
    if answer.program != program:
        assert gate.status is not Status.FAIL

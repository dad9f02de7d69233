"""Whether outputs are what moves claim, beside configs that the parent has not."""

from __future__ import annotations

from warpwright.search.moves import not_as_claimed
from warpwright.types.answer import ConfigChoice, ConfigPlan
from warpwright.types.candidate import Candidate, Claim, Move
from warpwright.types.config import Config
from warpwright.types.verdict import AccuracyCase, Status, Verdict
from warpwright.verifier.verify import Verification

OWN, OTHER = Config.of({"BLOCK": 64}), Config.of({"BLOCK": 32})
BIT_EQUAL = Candidate("a", "b", (Move("specialise", "k"),))
SAME_SUM = Candidate("a", "b", (Move("partials", "k", (), Claim.SAME_SUM),))


def _found(config: Config, *, equal: bool, less_exact: str | None = None) -> Verification:
    case = AccuracyCase(
        str(config), ("4x4",), "normal", Status.PASS, bit_equal_to_parent=equal,
        less_exact=less_exact,
    )  # fmt: skip
    return Verification(Verdict((), accuracy_cases=(case,)))


def _plans(*choices: tuple[Config, bool]) -> tuple[ConfigPlan, ...]:
    return (ConfigPlan("k", tuple(ConfigChoice(c, new, True, "") for c, new in choices)),)


def test_bit_equal_moves_are_held_to_every_bit_under_the_parents_own_configs() -> None:
    plans = _plans((OWN, False), (OTHER, True))
    told = not_as_claimed(BIT_EQUAL, _found(OWN, equal=False), plans)
    assert told is not None and "bit-equal" in told
    assert not_as_claimed(BIT_EQUAL, _found(OWN, equal=False)) is not None
    assert not_as_claimed(BIT_EQUAL, _found(OWN, equal=True), plans) is None


def test_another_tile_may_add_up_in_another_order() -> None:
    for plans in (_plans((OWN, False), (OTHER, True)), _plans((OTHER, True))):
        assert not_as_claimed(BIT_EQUAL, _found(OTHER, equal=False), plans) is None


def test_no_config_may_be_less_exact() -> None:
    found = _found(OTHER, equal=False, less_exact="twice the error")
    told = not_as_claimed(SAME_SUM, found, _plans((OTHER, True)))
    assert told is not None and "twice the error" in told

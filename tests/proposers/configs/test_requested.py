"""Plans that are left with the list that the program came with."""

from __future__ import annotations

from dataclasses import replace

from warpwright.proposers.configs.requested import OWN_LIST, with_own_list
from warpwright.types.answer import ConfigChoice, ConfigPlan, Fate
from warpwright.types.config import Config

FIRST, SECOND, NEW = (Config.of({"BLOCK": size}) for size in (128, 256, 512))


def own(config: Config, *, kept: bool, fate: Fate | None = None) -> ConfigChoice:
    return ConfigChoice(config, False, kept, "as it was", fate=fate)


def test_originals_come_back_and_new_ones_go() -> None:
    new = ConfigChoice(NEW, True, True, "faster")
    slower = own(SECOND, kept=False, fate=Fate.SLOWER)
    plan = ConfigPlan("kernel", (own(FIRST, kept=True), slower, new))
    found = with_own_list(plan)
    assert found.kept == (FIRST, SECOND)
    assert [choice.reason for choice in found.choices][:2] == ["as it was", OWN_LIST]
    assert with_own_list(found) == found


def test_what_is_wrong_stays_out() -> None:
    wrong = own(FIRST, kept=False, fate=Fate.WRONG)
    plan = ConfigPlan("kernel", (wrong, own(SECOND, kept=False, fate=Fate.SLOWER)))
    assert with_own_list(plan).kept == (SECOND,)


def test_the_binary_of_one_that_is_wrong_stays_out() -> None:
    class Study:
        """As much of a config's study as is asked for."""

        identity = ("a binary",)

    wrong, equal = own(FIRST, kept=False, fate=Fate.WRONG), own(SECOND, kept=False, fate=Fate.EQUAL)
    same = [replace(choice, study=Study()) for choice in (wrong, equal)]  # type: ignore[arg-type]
    assert with_own_list(ConfigPlan("kernel", tuple(same))).kept == ()

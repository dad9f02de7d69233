"""Parameters given by name or recognised by their values, in a child's own code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from warpwright.interpreter.reference.child_state import _fingerprint, copy_state  # noqa: E402

NUMBERS = st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=12)


@given(NUMBERS, st.randoms())
def test_values_in_another_order_or_shape_are_the_same_parameter(
    values: list[float], random: object
) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = torch.tensor(values), torch.tensor(shuffled).reshape(1, -1)
    assert _fingerprint(one) == _fingerprint(other)
    assert _fingerprint(one.double()) == _fingerprint(one)


@given(NUMBERS, st.data())
def test_one_changed_value_is_another_parameter(values: list[float], data: st.DataObject) -> None:
    one = torch.tensor(values)
    place = data.draw(st.integers(0, len(values) - 1))
    other = one.clone()
    other[place] = data.draw(st.floats(width=32, allow_nan=False).filter(lambda v: v != one[place]))
    assert _fingerprint(one) != _fingerprint(other)
    assert _fingerprint(one) != _fingerprint(torch.cat([one, one[:1]]))


def test_parameters_of_other_names_match_where_the_same_seed_gave_them_the_same_values() -> None:
    def model(name: str) -> torch.nn.Module:
        torch.manual_seed(5)
        made = torch.nn.Module()
        setattr(made, name, torch.nn.Linear(7, 3))
        return made

    wanted = {name: value.clone() for name, value in model("gemm").state_dict().items()}
    given = copy_state(model("linear"), wanted)
    assert given.matched and "2 of 2 parameters came out equal" in given.note


def test_other_values_are_copied_by_shape_where_all_find_a_place_and_that_is_a_guess() -> None:
    wanted = {"gemm.weight": torch.rand(3, 7), "gemm.bias": torch.rand(3)}
    program = torch.nn.Module()
    program.linear = torch.nn.Linear(7, 3)
    given = copy_state(program, wanted)
    assert not given.matched and "matched by shape and order" in given.note
    assert torch.equal(program.linear.weight, wanted["gemm.weight"])
    assert torch.equal(program.linear.bias, wanted["gemm.bias"])
    swapped = torch.nn.Module()
    swapped.bias, swapped.weight = (
        torch.nn.Parameter(torch.rand(3)),
        torch.nn.Parameter(torch.rand(3)),
    )
    norm = {"bn.weight": torch.rand(3), "bn.bias": torch.rand(3)}
    assert "matched by shape" in copy_state(swapped, norm).note
    assert torch.equal(swapped.weight, norm["bn.weight"])
    turned = torch.nn.Module()
    turned.linear = torch.nn.Linear(3, 7)
    before = turned.linear.weight.clone()
    given = copy_state(turned, wanted)
    assert not given.matched and "0 of 2 parameters came out equal" in given.note
    assert torch.equal(turned.linear.weight, before)

"""Specialisation of a launch, compared with what Triton itself makes of the same arguments."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from warpwright.compiler.specialize import TRITON_TYPES, same_launch, specialization, triton_type
from warpwright.types.config import Config
from warpwright.types.launch_trace import (
    Argument,
    ConstantArgument,
    DescriptorArgument,
    Launch,
    ScalarArgument,
    TensorArgument,
    TracedConfig,
)

ONE, TWO = Config.of({"BLOCK": 32}, 4, 2), Config.of({"BLOCK": 64}, 8, 3)


def launch(arguments: dict[str, Argument], *configs: Config, **options: Any) -> Launch:
    traced = tuple(TracedConfig(config, (1,)) for config in configs or (Config(),))
    return Launch("kernel", 0, arguments, traced, autotuned=bool(configs), **options)


def tensor(dtype: str = "float32", aligned: bool = True) -> TensorArgument:
    return TensorArgument(dtype, (4, 4), (4, 1), aligned)


def test_an_integer_of_one_is_a_constant_and_sixteen_divides_what_it_divides() -> None:
    found = specialization(
        launch(
            {
                "x": tensor(),
                "y": tensor("bfloat16", aligned=False),
                "one": ScalarArgument(1, "i32"),
                "n": ScalarArgument(48, "i32"),
                "odd": ScalarArgument(49, "i32"),
                "eps": ScalarArgument(1.0, "fp32"),
                "flag": ScalarArgument(True, "u1"),
                "mask": ConstantArgument(None, "None"),
            }
        )
    )
    assert found.signature == {
        "x": "*fp32",
        "y": "*bf16",
        "one": "constexpr",
        "n": "i32",
        "odd": "i32",
        "eps": "fp32",
        "flag": "u1",
        "mask": "constexpr",
    }
    assert found.constants == {"one": 1, "mask": None}
    assert found.divisible_by_16 == ("x", "n")
    assert found.label == "as called"


def test_meta_parameters_are_constexpr_without_a_value() -> None:
    found = specialization(launch({"x": tensor()}, ONE, TWO), TWO)
    assert found.signature["BLOCK"] == "constexpr"
    assert "BLOCK" not in found.constants


def test_heuristics_and_descriptors_belong_to_their_config() -> None:
    block = DescriptorArgument("float16", (64, 64), (64, 1), (16, 64))
    traced = TracedConfig(ONE, (1,), {"EVEN": False}, {"x": block})
    made = replace(launch({"n": ScalarArgument(3, "i32")}), configs=(traced,))
    found = specialization(made)
    assert found.signature["x"] == "tensordesc<fp16[16, 64]>"
    assert found.constants == {"EVEN": False}


def test_what_triton_does_not_look_at_is_not_specialised() -> None:
    arguments = {
        "n": ScalarArgument(1, "i32"),
        "m": ScalarArgument(32, "i32"),
        "k": ScalarArgument(1, "i64", annotated=True),
        "x": tensor(),
    }
    found = specialization(launch(arguments, unspecialized=("n", "x"), unaligned=("m",)))
    assert found.signature == {"n": "i32", "m": "i32", "k": "i64", "x": "*fp32"}
    assert found.constants == {}
    assert found.divisible_by_16 == ()


def test_a_config_must_be_named_where_there_are_several() -> None:
    with pytest.raises(ValueError, match="2 configs"):
        specialization(launch({}, ONE, TWO))
    with pytest.raises(ValueError, match="not launched with"):
        specialization(launch({}, ONE), TWO)


def test_how_a_config_is_written_does_not_matter() -> None:
    assert same_launch(replace(ONE, explicit=("num_warps",), line=7), ONE)
    assert not same_launch(replace(ONE, num_warps=8), ONE)


def test_a_dtype_that_triton_lacks_is_an_error() -> None:
    with pytest.raises(ValueError, match="complex64"):
        triton_type("complex64")


@pytest.mark.triton
def test_dtype_names_are_tritons() -> None:
    from triton.runtime.jit import type_canonicalisation_dict

    for dtype, name in TRITON_TYPES.items():
        assert type_canonicalisation_dict[dtype] == name


@pytest.mark.triton
@pytest.mark.parametrize("seed", range(20))
def test_random_arguments_specialise_as_triton_specialises_them(seed: int) -> None:
    native = pytest.importorskip("triton._C.libtriton").native_specialize_impl
    import torch
    from triton.backends.compiler import BaseBackend

    rng = random.Random(seed)
    integers = [0, 1, 2, 15, 16, 17, 4096, 2**31 - 1, 2**31, -(2**31), 2**62, 2**63]
    for _ in range(50):
        value: Any = rng.choice([*integers, rng.randrange(2**40), 1.0, 0.5, True, False, None])
        looked_at, aligned = rng.random() < 0.8, rng.random() < 0.8
        expected_type, extra = native(BaseBackend, value, False, looked_at, aligned)
        found = specialization(
            launch(
                {"x": as_argument(value)},
                unspecialized=() if looked_at else ("x",),
                unaligned=() if aligned else ("x",),
            )
        )
        assert found.signature["x"] == expected_type, value
        assert bool(found.divisible_by_16) == (extra == "D"), value
        if expected_type == "constexpr":
            assert found.constants["x"] == value
    for dtype in TRITON_TYPES:
        storage = torch.zeros(64, dtype=getattr(torch, dtype))
        for offset in (0, 1, 16):
            value = storage[offset:]
            expected_type, extra = native(BaseBackend, value, False, True, True)
            argument = TensorArgument(dtype, (4,), (1,), value.data_ptr() % 16 == 0)
            found = specialization(launch({"x": argument}))
            assert found.signature["x"] == expected_type
            assert bool(found.divisible_by_16) == (extra == "D")


def as_argument(value: Any) -> Argument:
    if value is None:
        return ConstantArgument(None, "None")
    if isinstance(value, bool):
        return ScalarArgument(value, "u1")
    if isinstance(value, float):
        return ScalarArgument(value, "fp32")
    small = -(2**31) <= value < 2**31
    return ScalarArgument(value, "i32" if small else "i64" if value < 2**63 else "u64")

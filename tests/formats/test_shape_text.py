from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpwright.errors import InputError
from warpwright.formats.shape_text import DTYPES, parse_init, parse_input
from warpwright.types.shapes import TensorSpec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("256x3x224x224", TensorSpec((256, 3, 224, 224))),
        ("64x128:float16", TensorSpec((64, 128), "float16")),
        ("64X128:torch.BFloat16", TensorSpec((64, 128), "bfloat16")),
        ("7", TensorSpec((7,))),
        ("(2, 3):half", TensorSpec((2, 3), "float16")),
        ("[2,3,]", TensorSpec((2, 3))),
        ("2 × 3:long", TensorSpec((2, 3), "int64")),
        ("scalar:int64", TensorSpec((), "int64")),
    ],
)
def test_an_input_is_sizes_and_a_dtype(text: str, spec: TensorSpec) -> None:
    assert parse_input(text) == spec


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":float16",
        "3x",
        "x3",
        "3x-1",
        "0x4",
        "3x4:float17",
        "3.5",
        "99999999x99999999",
        "²",
        "1x" * 20,
    ],
)
def test_what_is_no_shape_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_input(text)
    assert caught.value.place.section == "--input"
    assert caught.value.expected


@given(shape=st.lists(st.integers(1, 64), max_size=6).map(tuple), dtype=st.sampled_from(DTYPES))
def test_every_tensor_is_read_back(shape: tuple[int, ...], dtype: str) -> None:
    sizes = "x".join(map(str, shape)) or "scalar"
    assert parse_input(f"{sizes}:{dtype}") == TensorSpec(shape, dtype)


@given(text=st.text(max_size=40))
def test_any_text_is_an_input_or_an_input_error(text: str) -> None:
    try:
        assert all(size > 0 for size in parse_input(text).shape)
    except InputError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "args", "kwargs"),
    [
        ("", (), {}),
        ("[32, 64, [5, 9]]", (32, 64, [5, 9]), {}),
        ('{"bias": true}', (), {"bias": True}),
        ("7", (7,), {}),
        ("features=64, bias=False", (), {"features": 64, "bias": False}),
        ("features=64 bias=true pad=null", (), {"features": 64, "bias": True, "pad": None}),
        ("3, 4, kernel=(5, 9)", (3, 4), {"kernel": (5, 9)}),
        ("name='a b=c'", (), {"name": "a b=c"}),
        ("[1, (2, 3)]", (1, (2, 3)), {}),
        ("scale=-0.5", (), {"scale": -0.5}),
    ],
)
def test_constructor_arguments_are_json_or_pairs(
    text: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    assert parse_init(text) == (args, kwargs)


@pytest.mark.parametrize(
    "text",
    ["a=", "a=b", "a=1, a=2", "**x", "f(1)", "__import__('os')", "1) + f(2", "[1", "x" * 20_000],
)
def test_what_is_no_list_of_arguments_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_init(text)
    assert caught.value.place.section == "--init"


LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple),
    max_leaves=8,
)


@given(
    kwargs=st.dictionaries(
        st.from_regex(r"[a-z]{1,6}_", fullmatch=True), LITERALS, min_size=1, max_size=4
    )
)
def test_every_pair_of_literals_is_read_back(kwargs: dict[str, Any]) -> None:
    text = ", ".join(f"{name}={value!r}" for name, value in kwargs.items())
    assert parse_init(text) == ((), kwargs)


@given(text=st.text(max_size=60))
def test_any_text_is_arguments_or_an_input_error(text: str) -> None:
    try:
        parse_init(text)
    except InputError as error:
        assert str(error)

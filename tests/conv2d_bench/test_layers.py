"""The layers file of `benchmarks/conv2d.py`: enough layers of each kind, and what they mean."""

from __future__ import annotations

import pytest
from amounts import slow_but
from conv2d_bench.layers import problem_file, read_layers, task_of
from pydantic import ValidationError

from warpwright.operators.conv2d.recognize import recognize_conv2d
from warpwright.types.conv2d import Conv2dLayer
from warpwright.types.shapes import Problem

LAYERS = {named.name: named for named in read_layers()}


def test_the_seeds_are_those_of_the_examples():
    pad, far = (2, 2), (2, 4)
    a = Conv2dLayer(256, 3, 224, 224, 96, (11, 11), (4, 4), pad, pad)
    b = Conv2dLayer(8, 32, 512, 512, 64, (5, 9), (1, 1), far, far, (2, 3), bias=False)
    assert (LAYERS["A"].layer, LAYERS["B"].layer) == (a, b)


def test_there_are_thirty_more_of_every_kind():
    layers = [named.layer for name, named in LAYERS.items() if name not in "AB"]
    assert len(layers) >= 30
    assert len(LAYERS) == len(read_layers())  # no name twice
    assert {layer.dtype for layer in layers} == {"float32", "float16", "bfloat16"}
    assert min(layer.batch for layer in layers) == 1
    assert max(layer.batch for layer in layers) == 256
    assert any(layer.groups == layer.in_channels for layer in layers)
    assert any(1 < layer.groups < layer.in_channels for layer in layers)
    assert any(layer.kernel[0] != layer.kernel[1] for layer in layers)
    assert any(layer.height != layer.width for layer in layers)
    assert any(layer.dilation[0] > 1 for layer in layers)
    assert any(layer.kernel == (1, 1) for layer in layers)


def test_every_layer_says_where_it_comes_from_and_has_an_output():
    for named in LAYERS.values():
        assert named.source
        assert named.layer.out_height > 0 < named.layer.out_width
        assert named.layer.in_channels % named.layer.groups == 0
        assert named.layer.out_channels % named.layer.groups == 0


def test_a_misspelt_field_is_refused(tmp_path):
    file = tmp_path / "layers.toml"
    file.write_text(
        '[[layer]]\nname = "x"\nsource = "y"\ndtype = "float32"\nbatch = 1\n'
        "input = [3, 8, 8]\nfilters = 4\nkernel = [3, 3]\nstrides = 2\n"
    )
    with pytest.raises(ValidationError, match="strides"):
        read_layers(file)


@pytest.mark.triton
@pytest.mark.parametrize(
    "name",
    slow_but(["A", "mobile-dw-7"], ["A", "B", "mobile-dw-7", "inception-7x1-f16", "resnext-3x3"]),
)
def test_a_layers_problem_file_is_recognised_as_the_layer(name):
    layer = LAYERS[name].layer
    assert recognize_conv2d(Problem(source=problem_file(layer))) == task_of(layer)

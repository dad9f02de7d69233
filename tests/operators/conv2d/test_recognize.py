"""Recognition: which problems are one conv2d, with which sizes, and why others are not."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from amounts import slow_but

from warpwright.operators.conv2d.recognize import NotRecognized, recognize_conv2d
from warpwright.types.conv2d import Conv2dLayer, Conv2dTask, Pointwise, Precision
from warpwright.types.shapes import Problem

pytestmark = pytest.mark.triton

EXAMPLES = Path(__file__).parents[3] / "examples"
CONV = "self.conv = nn.Conv2d(6, 8, 3)"
IMAGE = "torch.rand(2, 6, 12, 10)"
LAYER = Conv2dLayer(2, 6, 12, 10, 8, (3, 3))


def problem(
    forward: str = "return self.conv(x)",
    init: str = CONV,
    inputs: str = IMAGE,
    head: str = "",
    init_inputs: str = "[]",
) -> str:
    """A problem file; `forward` and `init` are bodies of one or more lines."""
    return "\n".join(
        [
            "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F",
            head,
            "class Model(nn.Module):",
            "    def __init__(self, *sizes):",
            "        super().__init__()",
            *(f"        {line}" for line in init.splitlines()),
            "    def forward(self, x):",
            *(f"        {line}" for line in forward.splitlines()),
            f"def get_inputs():\n    return [{inputs}]",
            f"def get_init_inputs():\n    return {init_inputs}",
        ]
    )


def recognized(source: str) -> Conv2dTask:
    found = recognize_conv2d(Problem(source=source))
    assert isinstance(found, Conv2dTask), found
    return found


def reason(source: str) -> str:
    found = recognize_conv2d(Problem(source=source))
    assert isinstance(found, NotRecognized), found
    return found.reason


class TestSizes:
    def test_the_stride4_example_is_recognised_whole(self):
        source = (EXAMPLES / "01-conv2d-stride4" / "problem.py").read_text()
        pad = (2, 2)
        layer = Conv2dLayer(256, 3, 224, 224, 96, (11, 11), (4, 4), pad, pad)
        assert recognized(source) == Conv2dTask(layer, "conv", source)

    def test_a_weight_of_the_models_own_has_an_empty_path(self):
        source = (EXAMPLES / "02-conv2d-dilated" / "problem.py").read_text()
        layer = Conv2dLayer(8, 32, 512, 512, 64, (5, 9), (1, 1), (2, 4), (2, 4), (2, 3), bias=False)
        task = recognized(source)
        assert (task.layer, task.module) == (layer, "")
        assert (task.layer.out_height, task.layer.out_width) == (508, 496)

    @pytest.mark.parametrize(
        ("options", "before", "after"),
        [
            ("padding=1", (1, 1), (1, 1)),
            pytest.param("padding=(0, 2)", (0, 2), (0, 2), marks=pytest.mark.slow),
            pytest.param("padding='valid'", (0, 0), (0, 0), marks=pytest.mark.slow),
            ("padding='same'", (1, 1), (1, 1)),
        ],
    )
    def test_paddings_are_numbers_pairs_or_words(self, options, before, after):
        layer = recognized(problem(init=f"self.conv = nn.Conv2d(6, 8, 3, {options})")).layer
        assert (layer.padding_before, layer.padding_after) == (before, after)

    def test_same_padding_of_an_even_kernel_has_the_odd_zero_after(self):
        init = "self.conv = nn.Conv2d(6, 8, (2, 4), padding='same', dilation=(3, 1))"
        layer = recognized(problem(init=init)).layer
        assert (layer.padding_before, layer.padding_after) == ((1, 1), (2, 2))
        assert (layer.out_height, layer.out_width) == (12, 10)

    def test_stride_dilation_groups_and_a_missing_bias_are_read(self):
        init = "self.conv = nn.Conv2d(6, 8, (3, 1), (2, 1), 0, (1, 2), groups=2, bias=False)"
        layer = recognized(problem(init=init)).layer
        assert (layer.stride, layer.dilation, layer.groups) == ((2, 1), (1, 2), 2)
        assert (layer.kernel, layer.bias) == ((3, 1), False)

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_half_precision_is_read_from_input_and_weight(self, dtype):
        source = problem(init=f"{CONV}.to(torch.{dtype})", inputs=f"{IMAGE}.to(torch.{dtype})")
        assert recognized(source).layer.dtype == dtype

    def test_channels_last_is_the_inputs_layout(self):
        inputs = f"{IMAGE}.to(memory_format=torch.channels_last)"
        assert recognized(problem(inputs=inputs)).layer.channels_last
        assert not recognized(problem()).layer.channels_last

    def test_an_image_of_one_pixel_lies_in_the_usual_layout(self):
        inputs = "torch.rand(2, 6, 1, 1).to(memory_format=torch.channels_last)"
        source = problem(init="self.conv = nn.Conv2d(6, 8, 1)", inputs=inputs)
        assert not recognized(source).layer.channels_last

    def test_sizes_come_from_the_call_where_its_module_says_otherwise(self):
        forward = "return F.conv2d(x, self.conv.weight, self.conv.bias, stride=2)"
        assert recognized(problem(forward)).layer.stride == (2, 2)


class TestModels:
    def test_the_path_leads_into_nested_modules(self):
        init = "self.body = nn.Sequential(nn.Identity(), nn.Sequential(nn.Conv2d(6, 8, 3)))"
        task = recognized(problem("return self.body(x)", init))
        assert task.module == "body.1.0"

    def test_constructor_arguments_come_from_the_problem(self):
        source = problem(init="self.conv = nn.Conv2d(*sizes)", init_inputs="[6, 8, (3, 3)]")
        assert recognized(source).layer == LAYER

    def test_code_that_is_for_cuda_inputs_is_followed(self):
        forward = (
            "if not x.is_cuda:\n    raise RuntimeError('a GPU is needed')\nreturn self.conv(x)"
        )
        assert recognized(problem(forward)).layer == LAYER

    def test_code_that_asks_for_cuda_is_told_that_there_is_some(self):
        forward = "return self.conv(x) if torch.cuda.is_available() else F.relu(self.conv(x))"
        assert recognized(problem(forward)).epilogue == ()

    def test_inputs_made_on_cuda_need_no_gpu(self):
        assert recognized(problem(inputs=f"{IMAGE}.cuda()", init=f"{CONV}.cuda()")).layer == LAYER

    def test_full_size_needs_no_memory(self):
        source = problem(inputs="torch.rand(65536, 6, 1024, 1024)")
        assert recognized(source).layer.batch == 65536

    def test_weights_set_by_hand_are_still_weights(self):
        init = f"{CONV}\nnn.init.constant_(self.conv.weight, 0.5)"
        assert recognized(problem(init=init)).module == "conv"

    def test_work_whose_result_is_thrown_away_does_not_count(self):
        assert recognized(problem("torch.sum(x)\nreturn self.conv(x)")).layer == LAYER


class TestPrecision:
    def test_tf32_is_what_eager_does(self):
        assert recognized(problem()).precision is Precision.TF32

    @pytest.mark.parametrize(
        "flag",
        slow_but(
            ["allow_tf32 = False"],
            ["allow_tf32 = False", "enabled = False", "conv.fp32_precision = 'ieee'"],
        ),
    )
    def test_a_flag_of_the_file_makes_it_strict(self, flag):
        source = problem(head=f"torch.backends.cudnn.{flag}")
        assert recognized(source).precision is Precision.STRICT

    def test_a_flag_that_holds_during_the_call_alone_counts(self):
        forward = "with torch.backends.cudnn.flags(allow_tf32=False):\n    return self.conv(x)"
        assert recognized(problem(forward)).precision is Precision.STRICT

    def test_a_flag_of_one_file_does_not_reach_the_next(self):
        recognized(problem(head="torch.backends.cudnn.allow_tf32 = False"))
        assert recognized(problem(forward="y = self.conv(x)\nreturn y")).precision is Precision.TF32

    def test_half_precision_has_no_tf32_to_forbid(self):
        source = problem(
            head="torch.backends.cudnn.allow_tf32 = False",
            init=f"{CONV}.half()",
            inputs=f"{IMAGE}.half()",
        )
        assert recognized(source).precision is Precision.TF32


OPERATIONS = [
    ("F.relu(y)", [("relu", None)]),
    ("F.relu(y, inplace=True)", [("relu", None)]),
    ("y.relu_()", [("relu", None)]),
    ("nn.ReLU6()(y)", [("maximum", 0.0), ("minimum", 6.0)]),
    ("torch.sigmoid(y)", [("sigmoid", None)]),
    ("torch.tanh(y)", [("tanh", None)]),
    ("F.silu(y)", [("silu", None)]),
    ("F.mish(y)", [("mish", None)]),
    ("F.hardswish(y)", [("hardswish", None)]),
    ("F.hardsigmoid(y)", [("hardsigmoid", None)]),
    ("F.softplus(y)", [("softplus", None)]),
    ("F.elu(y, 0.7)", [("elu", 0.7)]),
    ("F.gelu(y)", [("gelu", None)]),
    ("F.gelu(y, approximate='tanh')", [("gelu_tanh", None)]),
    ("F.leaky_relu(y, 0.2)", [("leaky_relu", 0.2)]),
    ("F.hardtanh(y, -2, 3)", [("maximum", -2.0), ("minimum", 3.0)]),
    ("torch.clamp(y, min=0.5)", [("maximum", 0.5)]),
    ("torch.clamp(y, max=0.5)", [("minimum", 0.5)]),
    ("y.clamp_max(0.5)", [("minimum", 0.5)]),
    ("y + 1.5", [("add", 1.5)]),
    ("1.5 + y", [("add", 1.5)]),
    ("torch.add(y, 2, alpha=3)", [("add", 6.0)]),
    ("y - 1.5", [("add", -1.5)]),
    ("1.5 - y", [("neg", None), ("add", 1.5)]),
    ("2 * y", [("mul", 2.0)]),
    ("y * 1", []),
    ("y / 3", [("div", 3.0)]),
    ("-y.abs()", [("abs", None), ("neg", None)]),
    ("torch.exp(y)", [("exp", None)]),
    ("F.dropout(y, 0.5, training=False)", []),
    ("F.dropout(y, 0.0)", []),
    ("y.contiguous().clone()", []),
    ("y.float()", []),
    ("y * torch.sigmoid(y)", [("silu", None)]),
    ("torch.tanh(F.softplus(y)) * y", [("mish", None)]),
    ("F.softsign(y)", [("softsign", None)]),
    ("y * y", [("square", None)]),
    ("y ** 2", [("square", None)]),
    ("F.selu(y)", [("elu", 1.6732632423543772), ("mul", 1.0507009873554805)]),
]
"""An operation on y, and what it is recognised as."""


class TestPointwise:
    @pytest.mark.parametrize("first", slow_but([11], range(0, len(OPERATIONS), 11)))
    def test_operations_on_the_output(self, first):
        """Eleven in a row, in one model: each reads the result of the one before."""
        chain = OPERATIONS[first : first + 11]
        lines = ["y = self.conv(x)", *(f"y = {after}" for after, _ in chain), "return y"]
        task = recognized(problem("\n".join(lines)))
        wanted = [Pointwise(*step) for _, steps in chain for step in steps]
        assert list(task.epilogue) == wanted

    def test_several_keep_their_order(self):
        task = recognized(problem("return torch.tanh(F.relu(self.conv(x) * 2 - 1) / 4)"))
        names = [step.function for step in task.epilogue]
        assert names == ["mul", "add", "relu", "div", "tanh"]

    def test_a_bound_that_binds_nothing_is_left_out(self):
        task = recognized(problem("return torch.clamp(self.conv(x), 0, float('inf'))"))
        assert task.epilogue == (Pointwise("maximum", 0.0),)

    def test_an_infinite_number_survives_the_way_from_the_child(self):
        task = recognized(problem("return self.conv(x) + float('inf')"))
        assert task.epilogue == (Pointwise("add", math.inf),)


BN = "self.bn = nn.BatchNorm2d(8)"


REFLECT = "self.conv = nn.Conv2d(6, 8, 3, padding=1, padding_mode='reflect')"
POOL = f"{CONV}\nself.pool = nn.MaxPool2d(2)"
SHIFT = f"{CONV}\nself.shift = nn.Parameter(torch.rand(8, 1, 1))"
FILTERS = "self.filters = nn.Parameter(torch.rand(8, 6, 3, 3))"
SEEN = f"{CONV}\nself.register_buffer('seen', torch.zeros(1))"
NORMED = f"{CONV}\nnn.utils.parametrizations.weight_norm(self.conv)"
AUTOCAST = "with torch.autocast('cuda', torch.float16):\n    return self.conv(x)"


OTHERS = [
    ("return self.b(self.a(x))", "self.a = nn.Conv2d(6, 8, 3)\nself.b = nn.Conv2d(8, 8, 3)",
     "2 convolutions"),
    ("return self.conv(self.conv(x))", "self.conv = nn.Conv2d(6, 6, 3)", "2 convolutions"),
    ("self.conv(x)\nreturn x * 2", CONV, "no conv2d"),
    ("return self.conv(x)", REFLECT, "pad"),
    ("return self.conv(x)", "self.conv = nn.ConvTranspose2d(6, 8, 3)", "conv_transpose2d"),
    ("return F.conv_transpose2d(x, self.conv.weight.transpose(0, 1))", CONV, "no conv2d"),
    ("return self.bn(self.conv(x))", f"{CONV}\n{BN}", "batch_norm"),
    ("return self.pool(self.conv(x))", POOL, "max_pool2d"),
    ("return F.dropout(self.conv(x), 0.5)", CONV, "random"),
    ("return self.drop(self.conv(x))", f"{CONV}\nself.drop = nn.Dropout(0.1)", "random"),
    ("return F.softmax(self.conv(x), dim=1)", CONV, "no pointwise"),
    ("y = self.conv(x)\nreturn y * torch.exp(y)", CONV, "two tensors"),
    ("y = self.conv(x)\nreturn torch.sigmoid(y) / y", CONV, "two tensors"),
    ("y = self.conv(x)\nreturn y * torch.sigmoid(y + 1)", CONV, "two tensors"),
    ("y = self.conv(x)\nreturn y / y", CONV, "twice"),
    ("return self.conv(x) ** 3", CONV, "exponent"),
    ("return 1.0 / self.conv(x)", CONV, "reciprocal"),
    ("return 2.0 ** self.conv(x)", CONV, "pow"),
    ("return self.conv(x) + self.shift", SHIFT, "two tensors"),
    ("return self.conv(x).to(torch.float16)", CONV, "dtype"),
    ("return self.conv(x).permute(0, 2, 3, 1)", CONV, "permute"),
    ("return self.conv(x).flatten(1)", CONV, "pointwise"),
    ("return self.conv(x), x", CONV, "not one tensor"),
    ("return (self.conv(x),)", CONV, "tuple"),
    ("return {'y': self.conv(x)}", CONV, "dict"),
    ("return self.conv(F.relu(x))", CONV, "not the input"),
    ("return self.conv(x[:, :, 1:])", CONV, "not the input"),
    ("return F.conv2d(x, torch.tanh(self.conv.weight), self.conv.bias)", CONV, "computed"),
    ("return F.conv2d(x, self.conv.weight)", CONV, "besides: conv.bias"),
    ("return F.conv2d(x, self.filters)", FILTERS, "other names"),
    ("return self.conv(x)", f"{CONV}\nself.unused = nn.Linear(4, 4)", "unused.weight"),
    ("return self.conv(x)", SEEN, "seen"),
    ("return self.conv(x)", NORMED, "computed"),
    (AUTOCAST, CONV, "autocast"),
    ("return self.conv(x) if x.sum() > 0 else x", CONV, "cannot be followed"),
    ("return self.conv(x) if x.shape[0] == 2 else F.relu(self.conv(x))", CONV,
     "another batch"),
    ("x += 1\nreturn self.conv(x)", CONV, "changes its input"),
    ("return x @ x.transpose(2, 3)", CONV, "no conv2d"),
    ("return self.conv(x.half())", f"{CONV}.half()", "not the input"),
]  # fmt: skip
"""A forward pass, how its model is made, and words of the reason against it."""


class TestOthers:
    """Each with a word of the reason that is told."""

    @pytest.mark.parametrize(("forward", "init", "words"), OTHERS[::6])
    def test_a_model_that_is_something_else(self, forward, init, words):
        assert words in reason(problem(forward, init))

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("forward", "init", "words"), [other for n, other in enumerate(OTHERS) if n % 6]
    )
    def test_one_more_model_that_is_something_else(self, forward, init, words):
        assert words in reason(problem(forward, init))

    @pytest.mark.parametrize(
        ("inputs", "words"),
        [
            pytest.param("torch.rand(6, 12, 10)", "3 dimensions", marks=pytest.mark.slow),
            (f"{IMAGE}, {IMAGE}", "2 arguments"),
            pytest.param("[torch.rand(2, 6, 12, 10)]", "not one tensor", marks=pytest.mark.slow),
            pytest.param(
                "torch.rand(2, 6, 12, 10, dtype=torch.float64)", "float64", marks=pytest.mark.slow
            ),
            pytest.param("torch.rand(0, 6, 12, 10)", "empty", marks=pytest.mark.slow),
            ("torch.rand(2, 6, 10, 12).transpose(2, 3)", "strides"),
            ("torch.rand(2, 6, 12, 10).half()", "should be the same"),
        ],
    )
    def test_inputs_that_no_schedule_takes(self, inputs, words):
        source = problem(inputs=inputs)
        source = source.replace("forward(self, x)", "forward(self, x, *others)")
        assert words in reason(source)

    def test_autocast_as_a_decorator_is_seen_too(self):
        source = problem().replace(
            "    def forward", "    @torch.autocast('cuda')\n    def forward"
        )
        assert "autocast" in reason(source)

    def test_a_weight_in_another_layout_than_the_input(self):
        init = f"{CONV}.to(memory_format=torch.channels_last)"
        assert "channels_last" in reason(problem(init=init))

    def test_a_file_that_fails_says_how(self):
        found = recognize_conv2d(Problem(source=problem(head="import no_such_module")))
        assert isinstance(found, NotRecognized)
        assert found.problem_fails
        assert "no_such_module" in found.reason

    def test_a_file_that_starts_a_process_is_stopped(self):
        head = "import subprocess\nsubprocess.run(['true'])"
        found = recognize_conv2d(Problem(source=problem(head=head)))
        assert isinstance(found, NotRecognized)
        assert found.problem_fails
        assert "start a process" in found.reason

    def test_without_a_file_there_is_nothing_to_recognise(self):
        assert isinstance(recognize_conv2d(Problem()), NotRecognized)

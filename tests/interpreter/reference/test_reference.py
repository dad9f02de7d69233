"""References: the problem's own values at smaller sizes, in float64, and eager's precision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from warpwright.interpreter.reference.reference import ReferenceRun, Unavailable, make_reference
from warpwright.types.shapes import Problem, TensorSpec
from warpwright.verifier.outputs.comparison import degenerate_references
from warpwright.verifier.outputs.precision import measure

pytestmark = pytest.mark.triton

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n\n"


def problem(forward: str, inputs: str, init: str = "pass", init_inputs: str = "[]") -> str:
    return (
        f"{HEAD}class Model(nn.Module):\n"
        f"    def __init__(self, *sizes):\n        super().__init__()\n        {init}\n\n"
        f"    def forward(self, *x):\n        return {forward}\n\n\n"
        f"def get_inputs():\n    return {inputs}\n\n\n"
        f"def get_init_inputs():\n    return {init_inputs}\n"
    )


def reference(
    source: str, shapes: Sequence[tuple[int, ...] | TensorSpec], tmp_path: Path, **changes: Any
) -> ReferenceRun:
    specs = [s if isinstance(s, TensorSpec) else TensorSpec(s) for s in shapes]
    made = make_reference(Problem(source=source), specs, tmp_path, seed=77, **changes)
    assert not isinstance(made, Unavailable), made
    return made


def input_values(made: ReferenceRun, case: str, index: int = 0) -> np.ndarray:
    entry = made.case(case).entry["inputs"][index]
    return np.load(made.directory / entry["file"])


class TestInputs:
    def test_they_keep_the_problems_distribution(self, tmp_path):
        source = problem("x[0] * 2", "[torch.rand(4096, 512) * 3 + 5]")
        made = reference(source, [(40, 30)], tmp_path, distributions=["problem"])
        values = input_values(made, "problem")
        assert values.shape == (40, 30)
        assert 5 <= values.min() < 5.2 < 7.8 < values.max() <= 8
        assert made.made_by == "the problem's get_inputs at the smaller sizes"

    def test_labels_stay_below_the_smaller_number_of_classes(self, tmp_path):
        source = problem(
            "F.cross_entropy(x[0], x[1])",
            "[torch.randn(4096, 1000), torch.randint(0, 1000, (4096,))]",
        )
        shapes = [TensorSpec((24, 17)), TensorSpec((24,), "int64")]
        made = reference(source, shapes, tmp_path, distributions=["problem", "normal"])
        assert input_values(made, "problem", 1).max() < 17
        assert made.skipped == {}

    def test_patterns_stay_in_other_distributions(self, tmp_path):
        source = problem("x[0] @ x[0]", "[torch.tril(torch.rand(2048, 2048))]")
        made = reference(source, [(33, 33)], tmp_path, distributions=["problem", "wide"])
        for case in ("problem", "wide"):
            values = input_values(made, case)
            assert np.all(np.triu(values, 1) == 0)
            assert np.count_nonzero(values) == 33 * 34 // 2

    def test_inputs_that_look_at_values_are_cut_from_the_full_ones(self, tmp_path):
        source = problem("x[0] + 1", "(lambda t: [t / t.sum().item()])(torch.rand(64, 64))")
        made = reference(source, [(8, 8)], tmp_path, distributions=["problem"])
        assert made.made_by == "the leading part of the problem's inputs"
        assert input_values(made, "problem").max() < 0.01

    def test_operators_of_positive_numbers_get_positive_ones(self, tmp_path):
        made = reference(
            problem("torch.log(x[0])", "[torch.rand(99, 99) + 0.1]"), [(9, 9)], tmp_path
        )
        assert input_values(made, "normal").min() > 0
        assert "wide" not in made.skipped

    def test_the_wide_distribution_spans_decades(self, tmp_path):
        made = reference(problem("x[0] + 1", "[torch.rand(999, 999)]"), [(50, 50)], tmp_path)
        values = np.abs(input_values(made, "wide"))
        assert np.log10(values.max() / values.min()) > 5

    @pytest.mark.parametrize(
        "inputs",
        [
            "[torch.rand(4096, 512, device='cuda') + 5]",
            "[torch.rand(4096, 512).cuda() + 5]",
            "[(torch.rand(4096, 512) + 5).to(torch.device('cuda:0'), torch.float32)]",
        ],
    )
    def test_inputs_that_name_a_cuda_device_need_none(self, inputs, tmp_path):
        source = problem("x[0] * 2", inputs, init="self.to('cuda')")
        made = reference(source, [(40, 30)], tmp_path, distributions=["problem"])
        assert made.made_by == "the problem's get_inputs at the smaller sizes"
        assert input_values(made, "problem").min() >= 5

    def test_nested_arguments_and_numbers_pass_through(self, tmp_path):
        source = problem(
            "x[0][0] * x[1] + x[0][1]", "[(torch.rand(512, 8), torch.rand(512, 8)), 3]"
        )
        made = reference(source, [(16, 8), (16, 8)], tmp_path, distributions=["problem"])
        case = made.case("problem")
        assert case.outputs[0].data.shape == (16, 8)
        a, b = (input_values(made, "problem", i).astype(np.float64) for i in (0, 1))
        assert np.array_equal(case.outputs[0].data, a * 3 + b)

    def test_the_same_seed_gives_the_same_and_another_gives_others(self, tmp_path):
        source = problem("x[0] + 1", "[torch.rand(64, 64)]")
        specs = [TensorSpec((8, 8))]
        found = []
        for index, seed in enumerate((1, 1, 2)):
            made = make_reference(
                Problem(source=source),
                specs,
                tmp_path / str(index),
                seed=seed,
                distributions=["problem"],
            )
            found.append(input_values(made, "problem").tobytes())
        assert found[0] == found[1] != found[2]


class TestPrecision:
    def test_convolutions_are_rounded_to_tf32_and_products_are_not(self, tmp_path):
        conv = reference(
            problem("self.c(x[0])", "[torch.rand(8, 16, 64, 64)]", "self.c = nn.Conv2d(16, 8, 3)"),
            [(2, 16, 12, 12)],
            tmp_path / "conv",
            distributions=["problem"],
        ).case("problem")
        linear = reference(
            problem("self.l(x[0])", "[torch.rand(512, 144)]", "self.l = nn.Linear(144, 8)"),
            [(20, 144)],
            tmp_path / "linear",
            distributions=["problem"],
        ).case("problem")
        error = [measure(c.policy[0].data, c.outputs[0].data).relative_l2 for c in (conv, linear)]
        assert 1e-4 < error[0] < 4e-4
        assert error[1] < 1e-6
        assert conv.summands == linear.summands == 144

    def test_the_reference_is_float64_and_the_policy_has_the_operators_dtype(self, tmp_path):
        source = problem("x[0] @ x[0].T", "[torch.rand(256, 64).half()]")
        made = reference(
            source, [TensorSpec((16, 64), "float16")], tmp_path, distributions=["problem"]
        )
        case = made.case("problem")
        assert (case.outputs[0].dtype, case.policy[0].dtype) == ("float64", "float16")
        assert measure(case.policy[0].data, case.outputs[0].data).relative_l2 < 4e-4

    def test_conditioning_is_what_the_operator_does_to_small_changes(self, tmp_path):
        steep = reference(
            problem("torch.exp(x[0] * 40)", "[torch.rand(99, 99)]"),
            [(30, 30)],
            tmp_path / "a",
            distributions=["problem"],
        ).case("problem")
        flat = reference(
            problem("x[0] * 40", "[torch.rand(99, 99)]"),
            [(30, 30)],
            tmp_path / "b",
            distributions=["problem"],
        ).case("problem")
        assert steep.conditioning["output"] > 20
        assert flat.conditioning["output"] == pytest.approx(1.0, rel=0.01)


class TestOutputsAndState:
    def test_tuples_lists_and_dicts_are_named_by_place(self, tmp_path):
        source = problem("{'a': x[0] + 1, 'b': [x[0] * 2, (x[0].sum(),)]}", "[torch.rand(64, 4)]")
        made = reference(source, [(6, 4)], tmp_path, distributions=["problem"])
        names = [output.name for output in made.case("problem").outputs]
        assert names == ["output['a']", "output['b'][0]", "output['b'][1][0]"]

    def test_zero_biases_are_given_values_in_a_case_of_their_own(self, tmp_path):
        source = problem("self.n(x[0])", "[torch.rand(64, 16)]", "self.n = nn.LayerNorm(16)")
        made = reference(source, [(8, 16)], tmp_path, distributions=["problem"])
        assert [case.name for case in made.cases] == ["problem", "perturbed state"]
        a, b = (case.outputs[0].data for case in made.cases)
        assert not np.allclose(a, b)

    def test_tuple_constructor_arguments_stay_tuples(self, tmp_path):
        source = problem(
            "x[0] + 1",
            "[torch.rand(64, 4)]",
            "assert sizes == ((2, 3), 'same')",
            "[(2, 3), 'same']",
        )
        assert reference(source, [(6, 4)], tmp_path, distributions=["problem"]).init == (
            "([(2, 3), 'same'], {})"
        )

    def test_constructor_arguments_may_have_names(self, tmp_path):
        source = problem("x[0] * self.by", "[torch.rand(64, 8)]", init="self.by = by")
        source = source.replace("*sizes", "*, by")
        for made_of in ("{'by': 3.0}", "[[], {'by': 3.0}]"):
            named = source.replace("return []", f"return {made_of}")
            made = reference(named, [(4, 8)], tmp_path, distributions=["problem"])
            assert made.init == "([], {'by': 3.0})"

    def test_an_operator_that_changes_its_input_is_noted(self, tmp_path):
        made = reference(
            problem("x[0].mul_(2)", "[torch.rand(64, 4)]"),
            [(6, 4)],
            tmp_path,
            distributions=["problem"],
        )
        assert made.case("problem").changes_inputs == (0,)


class TestRefusals:
    @pytest.mark.parametrize(
        ("forward", "words"),
        [
            ("x[0] * 0", "zero everywhere"),
            ("x[0] * 0 + 3", "one constant"),
            ("x[0].softmax(1)[:, :1] * 0 + torch.arange(8.0)[:, None]", "does not depend"),
            (
                "(x[0] - x[0].mean(1, keepdim=True))[:, :1] * 0 + (x[0].sum() - x[0].sum(0).sum())",
                "",
            ),
        ],
    )
    def test_degenerate_references_are_told(self, forward, words, tmp_path):
        made = reference(
            problem(forward, "[torch.rand(64, 4)]"),
            [(8, 4)],
            tmp_path,
            distributions=["problem", "normal"],
        )
        reasons = degenerate_references(made.cases)
        assert set(reasons) == {"problem", "normal"}
        assert words in reasons["problem"]

    def test_a_random_operator_has_no_reference(self, tmp_path):
        made = reference(problem("F.dropout(x[0], 0.5)", "[torch.rand(64, 4)]"), [(8, 4)], tmp_path)
        assert made.cases == ()
        assert set(made.skipped.values()) == {"the operator is random"}

    @pytest.mark.parametrize(
        ("source", "words"),
        [
            ("import torch\nx = 1 / 0\n", "ZeroDivisionError"),
            ("import torch.nn as nn\nclass Model(nn.Module):\n    pass\n", "get_inputs"),
            (problem("x[0] + y", "[torch.rand(4, 4)]"), "NameError"),
            (problem("x[0]", "[torch.rand(4, 4), torch.rand(4)]"), "makes 2 tensors, but 1"),
            ("import os\nos._exit(0)\n", "ended early"),
        ],
    )
    def test_a_problem_that_cannot_be_run_is_a_reason_and_no_exception(
        self, source, words, tmp_path
    ):
        made = make_reference(Problem(source=source), [TensorSpec((4, 4))], tmp_path, seed=1)
        assert isinstance(made, Unavailable)
        assert words in made.reason

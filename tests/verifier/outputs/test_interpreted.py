"""Verdicts on arrays: what passes, what fails, and what proves nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from warpwright.types.shapes import TensorSpec
from warpwright.types.verdict import AccuracyCase, Status
from warpwright.verifier.outputs.compare_outputs import NO_REFERENCE
from warpwright.verifier.outputs.interpreted import conclude, judge_outputs

KERNELS = ("kernel",)


@dataclass(frozen=True)
class Tensor:
    data: Any
    dtype: str = "float32"
    name: str = "output"


@dataclass(frozen=True)
class Asked:
    case: str = "problem"
    label: str = "config A"


@dataclass(frozen=True)
class Run:
    outputs: Sequence[Tensor] | None
    run: Asked = field(default_factory=Asked)
    outcome: str = "ok"
    reason: str | None = None
    launches: Mapping[str, int] = field(default_factory=lambda: {"kernel": 1})
    changed_inputs: Sequence[int] = ()
    memory_events: Sequence[Any] = ()
    parameters: str = ""
    parameters_matched: bool = True
    cpu_s: float | None = 0.1
    block_cpu_s: float | None = None


@dataclass(frozen=True)
class Event:
    access: str
    text: str = "x = tl.load(p)"

    def __str__(self) -> str:
        return f"1 {self.access}s out of bounds"


@dataclass(frozen=True)
class Right:
    outputs: Sequence[Tensor]
    policy: Sequence[Tensor]
    name: str = "problem"
    inputs: Sequence[TensorSpec] = (TensorSpec((4,)),)
    summands: int = 100
    conditioning: Mapping[str, float] = field(default_factory=lambda: {"output": 1.0})
    changes_inputs: Sequence[int] = ()


def values(size: int = 1000, seed: int = 5) -> Any:
    return np.random.default_rng(seed).standard_normal(size)


def noisy(right: Any, scale: float, seed: int = 6) -> Any:
    noise = np.random.default_rng(seed).standard_normal(right.shape)
    return (right * (1 + scale * noise)).astype(np.float32)


def right_of(data: Any, policy_noise: float = 1e-7, **changes: Any) -> Right:
    return Right([Tensor(data, "float64")], [Tensor(noisy(data, policy_noise, seed=7))], **changes)


def judge(output: Any, right: Right, parent: Run | None = None, **changes: Any) -> AccuracyCase:
    run = Run([Tensor(output)], Asked(right.name), **changes)
    parents = [] if parent is None else [parent]
    (case,) = judge_outputs([run], parents, [right], required_kernels=KERNELS)
    return case


class TestErrors:
    def test_an_output_as_precise_as_eager_passes(self):
        data = values()
        case = judge(noisy(data, 1e-7), right_of(data))
        assert case.status is Status.PASS
        assert case.error.relative_l2 == pytest.approx(1e-7, rel=0.5)

    def test_tf32_where_eager_has_float32_fails(self):
        data = values()
        case = judge(noisy(data, 3e-4), right_of(data))
        assert case.status is Status.FAIL
        assert "relative error 0.0003" in case.reason

    def test_tf32_where_eager_has_tf32_passes_and_truncation_fails(self):
        data = values()
        right = right_of(data, policy_noise=2.9e-4)
        assert judge(noisy(data, 2.9e-4), right).status is Status.PASS
        assert judge(noisy(data, 7.3e-4), right).status is Status.FAIL

    def test_truncation_passes_where_the_parent_truncates_and_that_is_said(self):
        data = values()
        parent = Run([Tensor(noisy(data, 7.3e-4))])
        case = judge(noisy(data, 7.3e-4, seed=8), right_of(data, 2.9e-4), parent)
        assert case.status is Status.PASS
        assert "the parent breaks the precision policy" in case.notes[0]
        assert case.bit_equal_to_parent is False

    def test_six_percent_more_error_than_such_a_parent_fails(self):
        data = values()
        off = noisy(data, 7.3e-4).astype(np.float64) - data
        parent = Run([Tensor((data + off).astype(np.float32))])
        worse = (data + 1.06 * off).astype(np.float32)
        assert judge(worse, right_of(data, 2.9e-4), parent).status is Status.FAIL
        equal = (data + 1.04 * off).astype(np.float32)
        assert judge(equal, right_of(data, 2.9e-4), parent).status is Status.PASS

    @pytest.mark.parametrize("size", [10, 1000, 1_000_000])
    def test_one_wrong_element_fails_in_any_size(self, size):
        data = values(size)
        output = noisy(data, 2.9e-4)
        output[size // 2] += 0.05 * np.abs(data).max()
        assert judge(output, right_of(data, 2.9e-4)).status is Status.FAIL

    def test_zeros_and_constants_fail(self):
        data = values()
        assert judge(np.zeros_like(data, np.float32), right_of(data)).status is Status.FAIL
        assert judge(np.full_like(data, 0.1, np.float32), right_of(data)).status is Status.FAIL

    def test_a_wrong_parent_excuses_nothing(self):
        data = values()
        parent = Run([Tensor(noisy(data, 0.5))])
        case = judge(noisy(data, 0.3, seed=9), right_of(data), parent)
        assert case.status is Status.NOT_VERIFIED
        assert "the parent itself is wrong" in case.reason
        assert judge(noisy(data, 1e-7), right_of(data), parent).status is Status.PASS

    def test_integers_are_compared_element_by_element(self):
        data = np.arange(50)
        right = Right([Tensor(data, "int64")], [Tensor(data, "int64")])
        good = Run([Tensor(data.copy(), "int64")])
        bad = Run([Tensor(np.where(data == 7, 8, data), "int64")])
        cases = judge_outputs([good, bad], [good], [right], required_kernels=KERNELS)
        assert [case.status for case in cases] == [Status.PASS, Status.FAIL]

    def test_each_output_of_several_counts(self):
        data = values()
        right = right_of(data)
        names = ["output[0]", "output[1]"]
        right = replace(
            right,
            outputs=[replace(right.outputs[0], name=name) for name in names],
            policy=[replace(right.policy[0], name=name) for name in names],
            conditioning=dict.fromkeys(names, 1.0),
        )
        run = Run([Tensor(noisy(data, s), name=n) for n, s in zip(names, (1e-7, 0.1), strict=True)])
        (case,) = judge_outputs([run], [], [right], required_kernels=KERNELS)
        assert case.status is Status.FAIL
        assert case.reason.startswith("output[1]")


class TestNonFinite:
    def test_a_nan_where_there_is_none_fails_with_its_place(self):
        data = values()
        output = noisy(data, 1e-7)
        output[17] = np.nan
        case = judge(output, right_of(data))
        assert case.status is Status.FAIL
        assert "(17,)" in case.reason

    def test_an_infinity_must_stand_where_it_should_with_its_sign(self):
        data = values()
        data[3] = np.inf
        output = noisy(data, 1e-7)
        assert judge(output, right_of(data)).status is Status.PASS
        output[3] = -np.inf
        assert judge(output, right_of(data)).status is Status.FAIL
        output[3] = 1e30
        assert judge(output, right_of(data)).status is Status.FAIL

    def test_nan_inputs_decide_only_where_the_parent_follows_the_operator(self):
        data = values()
        data[3] = np.nan
        right = right_of(data, name="nonfinite")
        ignoring = noisy(np.nan_to_num(data), 1e-7)
        parent = Run([Tensor(ignoring)], Asked("nonfinite"))
        case = judge(ignoring, right, parent)
        assert (case.status, case.gating) == (Status.NOT_VERIFIED, False)
        strict_parent = Run([Tensor(noisy(data, 1e-7))], Asked("nonfinite"))
        case = judge(ignoring, right, strict_parent)
        assert (case.status, case.gating) == (Status.FAIL, True)

    def test_products_that_overflow_as_the_parents_do_are_reported_only_on_wide_data(self):
        data = values()
        overflowed = noisy(data, 1e-7)
        overflowed[40:44] = np.nan
        parent = Run([Tensor(overflowed)], Asked("wide"))
        case = judge(overflowed, right_of(data, name="wide"), parent)
        assert (case.status, case.gating) == (Status.NOT_VERIFIED, False)
        assert "the parent differs here" in case.reason
        more = overflowed.copy()
        more[7] = np.nan
        case = judge(more, right_of(data, name="wide"), parent)
        assert (case.status, case.gating) == (Status.FAIL, True)

    def test_a_nan_that_the_parent_has_too_is_wrong_on_the_problems_own_data(self):
        data = values()
        output = noisy(data, 1e-7)
        output[3] = np.nan
        case = judge(output, right_of(data), Run([Tensor(output)]))
        assert (case.status, case.gating) == (Status.FAIL, True)


class TestForm:
    def test_shape_dtype_and_places_must_agree_exactly(self):
        data = values()
        right = right_of(data)
        for wrong, words in (
            (Tensor(noisy(data, 0)[:, None]), "has shape"),
            (Tensor(data, "float64"), "is float64 instead of float32"),
            (Tensor(noisy(data, 0), name="output[0]"), "returns output[0] instead of output"),
        ):
            (case,) = judge_outputs([Run([wrong])], [], [right], required_kernels=KERNELS)
            assert case.status is Status.FAIL
            assert words in case.reason


class TestWhatProvesNothing:
    def test_a_perfect_output_without_the_kernels_is_not_verified(self):
        data = values()
        case = judge(noisy(data, 0), right_of(data), launches={"other": 3})
        assert case.status is Status.NOT_VERIFIED
        assert case.reason == "not launched: kernel"

    def test_a_wrong_output_without_the_kernels_fails(self):
        data = values()
        case = judge(noisy(data, 0.1), right_of(data), launches={"other": 3})
        assert case.status is Status.FAIL
        assert "relative error" in case.reason

    def test_nor_is_it_when_no_kernel_is_known(self):
        data = values()
        (case,) = judge_outputs(
            [Run([Tensor(noisy(data, 0))])], [], [right_of(data)], required_kernels=()
        )
        assert case.status is Status.NOT_VERIFIED

    @pytest.mark.parametrize(
        ("reference", "words"),
        [
            (np.zeros(50), "zero everywhere"),
            (np.full(50, 3.0), "one constant"),
            (np.full(50, np.nan), "no finite value"),
        ],
    )
    def test_a_degenerate_reference_refuses_to_judge(self, reference, words):
        output = reference.astype(np.float32)
        case = judge(output, Right([Tensor(reference, "float64")], [Tensor(output)]))
        assert case.status is Status.NOT_VERIFIED
        assert words in case.reason

    def test_but_nan_and_values_far_off_are_wrong_where_the_parent_is_right(self):
        constant = np.full(50, 3.0)
        output = constant.astype(np.float32)
        right = Right([Tensor(constant, "float64")], [Tensor(output)])
        parent = Run([Tensor(output)])
        unwritten = np.where(np.arange(50) % 2, output, np.float32(np.nan))
        cases = [judge(got, right, parent) for got in (output, output * 2, unwritten)]
        assert [case.status for case in cases] == [Status.NOT_VERIFIED, Status.FAIL, Status.FAIL]
        zero = np.zeros(50)
        nothing = Right([Tensor(zero, "float64")], [Tensor(zero.astype(np.float32))])
        noise = judge(output * np.float32(1e-9), nothing, Run([Tensor(zero.astype(np.float32))]))
        assert noise.status is Status.NOT_VERIFIED

    def test_so_does_one_that_is_all_rounding(self):
        data = values()
        assert "drowns" in judge(noisy(data, 0), right_of(data, policy_noise=0.5)).reason

    def test_so_does_one_that_ignores_the_input(self):
        data = values()
        rights = [right_of(data), right_of(data, name="normal")]
        runs = [Run([Tensor(noisy(data, 0))], Asked(right.name)) for right in rights]
        cases = judge_outputs(runs, [], rights, required_kernels=KERNELS)
        assert {case.reason for case in cases} == {"the output does not depend on the input"}

    def test_without_a_reference_the_parent_is_the_measure_and_nothing_passes(self):
        right = Right([], [])
        data = noisy(values(), 0)
        same = judge(data, right, Run([Tensor(data)]))
        assert same.reason == f"equal to the parent; {NO_REFERENCE}"
        near = judge(noisy(values(), 1e-5), right, Run([Tensor(data)]))
        assert near.reason.endswith(NO_REFERENCE)
        far = judge(noisy(values(), 0.1), right, Run([Tensor(data)]))
        assert [same.status, near.status] == [Status.NOT_VERIFIED] * 2
        assert far.status is Status.FAIL

    def test_nor_does_it_say_which_of_two_is_right_about_a_nan(self):
        data = values()
        data[3] = np.nan
        finite = noisy(np.nan_to_num(data), 1e-7)
        nothing = Right([], [], name="nonfinite")
        parent = Run([Tensor(noisy(data, 1e-7))], Asked("nonfinite"))
        case = judge(finite, nothing, parent)
        assert (case.status, case.gating) == (Status.NOT_VERIFIED, False)
        usual = Right([], [])
        case = judge(finite, usual, Run(parent.outputs, Asked(usual.name)))
        assert (case.status, case.gating) == (Status.FAIL, True)

    def test_parameters_that_cannot_be_matched_make_no_failure(self):
        data = values()
        case = judge(
            noisy(data, 0.5), right_of(data), parameters="names differ", parameters_matched=False
        )
        assert case.status is Status.NOT_VERIFIED
        assert "names differ" in case.reason

    def test_with_other_parameters_than_the_references_a_program_is_held_to_its_parent(self):
        data = values()
        others = Run([Tensor(noisy(3 * data, 1e-7))], parameters="names differ")
        unmatched = {"parameters": "names differ", "parameters_matched": False}
        same = judge(noisy(3 * data, 1e-6), right_of(data), others, **unmatched)
        assert same.status is Status.NOT_VERIFIED
        assert same.reason.endswith("not verified against the reference: names differ")
        apart = judge(noisy(3 * data, 0.5), right_of(data), others, **unmatched)
        assert apart.status is Status.FAIL
        assert "differs from the parent" in apart.reason

    def test_a_right_parent_proves_that_a_guess_at_the_parameters_was_right(self):
        data = values()
        unmatched = {"parameters": "by order", "parameters_matched": False}
        parent = Run([Tensor(noisy(data, 1e-7))], parameters="by order", parameters_matched=False)
        assert judge(noisy(data, 1e-7), right_of(data), parent, **unmatched).status is Status.PASS
        wrong = judge(noisy(data, 0.5), right_of(data), parent, **unmatched)
        assert wrong.status is Status.FAIL


class TestWithoutAReference:
    def against(self, output: Any, parent: Any, distribution: str = "normal") -> AccuracyCase:
        right = Right([], [], name=distribution)
        return judge(output, right, Run([Tensor(parent)], Asked(distribution)))

    def test_a_parent_that_gives_nothing_but_nan_refuses_nothing(self):
        data = values().astype(np.float32)
        broken = np.full_like(data, np.nan)
        case = self.against(data, broken)
        assert case.status is Status.NOT_VERIFIED
        assert "the parent gives nothing but NaN" in case.reason
        assert self.against(broken, data).status is Status.FAIL

    @pytest.mark.parametrize("distribution", ["wide", "outliers"])
    def test_where_terms_cancel_more_is_rounding(self, distribution):
        data = values().astype(np.float32)
        assert self.against(noisy(data, 2e-2), data).status is Status.FAIL
        case = self.against(noisy(data, 2e-2), data, distribution)
        assert case.status is Status.NOT_VERIFIED
        assert self.against(noisy(data, 2e-1), data, distribution).status is Status.FAIL

    @pytest.mark.parametrize(
        ("parent", "child", "limit"),
        [
            ("tl.sum(x)", "tl.sum(x)", 2e-4),
            ("tl.sum(x)", "tl.sum(x.to(tl.bfloat16))", 2e-4),
            ("tl.dot(a, b)", "tl.dot(a, b, acc)", 2e-3),
            ("tl.sum(a * b)", "tl.dot(a, b)", 5e-3),
            ("x.to(tl.float16)", "x", 5e-3),
            ("tl.sum(x)", "", 5e-3),
        ],
    )
    def test_how_far_apart_follows_from_what_both_compute_with(self, parent, child, limit):
        data = values().astype(np.float32)
        for times, status in ((0.7, Status.NOT_VERIFIED), (1.5, Status.FAIL)):
            (case,) = judge_outputs(
                [Run([Tensor(noisy(data, times * limit))])],
                [Run([Tensor(data)])],
                [Right([], [])],
                required_kernels=KERNELS,
                parent_source=parent,
                child_source=child,
            )
            assert case.status is status, times

    def test_sixteen_bits_of_an_input_count_too(self):
        data = values().astype(np.float32)
        right = Right([], [], inputs=(TensorSpec((4,), "float16"),))
        (case,) = judge_outputs(
            [Run([Tensor(noisy(data, 1e-3))])],
            [Run([Tensor(data)])],
            [right],
            required_kernels=KERNELS,
            parent_source="tl.sum(x)",
            child_source="tl.sum(x)",
        )
        assert case.status is Status.NOT_VERIFIED


class TestRunsThatDidNotEnd:
    def test_a_failure_is_the_candidates_when_the_parent_runs(self):
        data = values()
        good = Run([Tensor(noisy(data, 0))])
        bad = Run(None, outcome="failed", reason="line 3: NameError: x")
        (case,) = judge_outputs([bad], [good], [right_of(data)], required_kernels=KERNELS)
        assert (case.status, case.reason) == (Status.FAIL, "line 3: NameError: x")

    def test_it_is_nobodys_when_the_parent_fails_too(self):
        data = values()
        bad = Run(None, outcome="failed", reason="assert")
        (case,) = judge_outputs([bad], [replace(bad)], [right_of(data)], required_kernels=KERNELS)
        assert case.status is Status.NOT_VERIFIED

    @pytest.mark.parametrize("outcome", ["timeout", "unsupported"])
    def test_what_did_not_end_is_never_a_pass(self, outcome):
        data = values()
        run = Run(None, outcome=outcome, reason="why")
        (case,) = judge_outputs([run], [], [right_of(data)], required_kernels=KERNELS)
        assert case.status is Status.NOT_VERIFIED
        assert "why" in case.reason

    def stopped(self, block_cpu_s: float | None, parent: Run) -> AccuracyCase:
        run = Run(None, outcome="timeout", reason="still running", block_cpu_s=block_cpu_s)
        (case,) = judge_outputs([run], [parent], [right_of(values())], required_kernels=KERNELS)
        return case

    def test_a_block_that_takes_many_times_the_parents_whole_run_does_not_end(self):
        parent = Run([Tensor(noisy(values(), 0))], cpu_s=0.5)
        case = self.stopped(60.0, parent)
        assert case.status is Status.FAIL
        assert "does not end" in case.reason and "0.5 s" in case.reason

    @pytest.mark.parametrize(
        ("block_cpu_s", "parent_cpu_s"),
        [
            (60.0, 4.0),  # a slow parent: the block may only be slow as well
            (3.0, 0.01),  # the machine was busy: little of the deadline was its own
            (None, 0.5),  # stopped in host code
            (60.0, None),
        ],
    )
    def test_a_run_that_may_have_ended_later_is_not_refused(self, block_cpu_s, parent_cpu_s):
        parent = Run([Tensor(noisy(values(), 0))], cpu_s=parent_cpu_s)
        assert self.stopped(block_cpu_s, parent).status is Status.NOT_VERIFIED

    def test_nothing_is_endless_where_the_parent_does_not_end_either(self):
        parent = Run(None, outcome="timeout", reason="still running", cpu_s=60.0)
        assert self.stopped(60.0, parent).status is Status.NOT_VERIFIED


class TestSideEffects:
    def test_a_write_out_of_bounds_fails_even_with_a_right_output(self):
        data = values()
        case = judge(noisy(data, 0), right_of(data), memory_events=[Event("write")])
        assert case.status is Status.FAIL

    def test_sizes_on_which_the_parent_writes_out_of_bounds_settle_nothing(self):
        data = values()
        events = [Event("write")]
        parent = Run([Tensor(noisy(data, 0))], memory_events=events)
        case = judge(noisy(data, 0), right_of(data), parent, memory_events=events)
        assert case.status is Status.NOT_VERIFIED and not case.gating
        assert "so it is in the parent" in case.reason
        reading = Run([Tensor(noisy(data, 0))], memory_events=[Event("read")])
        case = judge(noisy(data, 0), right_of(data), reading, memory_events=events)
        assert case.status is Status.FAIL

    def test_a_race_fails_unless_the_parent_has_one(self):
        data = values()
        events = [Event("race")]
        assert judge(noisy(data, 0), right_of(data), memory_events=events).status is Status.FAIL
        parent = Run([Tensor(noisy(data, 0))], memory_events=events)
        case = judge(noisy(data, 0), right_of(data), parent, memory_events=events)
        assert case.status is Status.PASS

    def test_a_read_out_of_bounds_fails_unless_the_parent_does_it(self):
        data = values()
        output = noisy(data, 0)
        events = [Event("read")]
        assert judge(output, right_of(data), memory_events=events).status is Status.FAIL
        parent = Run([Tensor(output)], memory_events=events)
        case = judge(output, right_of(data), parent, memory_events=events)
        assert case.status is Status.PASS

    def test_a_load_that_stands_in_the_parent_is_noted_and_does_not_fail(self):
        data = values()
        run = Run([Tensor(noisy(data, 0))], memory_events=[Event("read")])
        good = Run([Tensor(noisy(data, 0))])
        (case,) = judge_outputs(
            [run],
            [good],
            [right_of(data)],
            required_kernels=KERNELS,
            parent_source="def f():\n    x = tl.load(p)\n",
        )
        assert case.status is Status.PASS
        assert "1 reads out of bounds" in case.notes

    def test_changing_an_input_fails_unless_the_reference_does_it(self):
        data = values()
        output = noisy(data, 0)
        assert judge(output, right_of(data), changed_inputs=[0]).status is Status.FAIL
        allowed = right_of(data, changes_inputs=[0])
        assert judge(output, allowed, changed_inputs=[0]).status is Status.PASS


class TestConclusion:
    def case(self, status: Status, config: str = "A", **changes: Any) -> AccuracyCase:
        return AccuracyCase(config, ("4",), "problem", status, **changes)

    def test_it_passes_when_every_gating_case_does(self):
        cases = [self.case(Status.PASS), self.case(Status.NOT_VERIFIED, gating=False)]
        assert conclude(cases).status is Status.PASS

    def test_one_failure_fails_and_is_a_violation(self):
        result = conclude([self.case(Status.PASS), self.case(Status.FAIL, reason="too large")])
        assert result.status is Status.FAIL
        assert result.violations[0].found == "too large"

    def test_a_config_without_a_pass_is_not_verified(self):
        cases = [self.case(Status.PASS), self.case(Status.NOT_VERIFIED, "B", gating=False)]
        assert conclude(cases).status is Status.NOT_VERIFIED

    def test_no_case_is_not_verified_for_want_of_shapes(self):
        result = conclude([])
        assert result.status is Status.NOT_VERIFIED
        assert "no input shapes" in result.notes[0]

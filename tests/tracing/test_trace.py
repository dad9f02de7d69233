"""Tracing: what the host code of a program launches, in all the styles that people write."""

from __future__ import annotations

import gzip
import json
import re
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from warpwright.store.cache import ResultCache
from warpwright.tracing.trace import TraceFailed, encode, read_result, trace_program
from warpwright.types.config import Config
from warpwright.types.gpu import GpuSheet, SmLimits
from warpwright.types.job import JobLimits, JobOutcome, JobResult
from warpwright.types.launch_trace import (
    ConstantArgument,
    DescriptorArgument,
    Launch,
    ScalarArgument,
    TensorArgument,
    Trace,
)
from warpwright.types.shapes import Problem, TensorSpec

PRELUDE = """
import torch
import torch.nn as nn
import triton
import triton.language as tl

@triton.jit
def twice(value):
    return value + value

@triton.jit
def copy(src, dst, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(dst + at, twice(tl.load(src + at, mask=at < count)), mask=at < count)
"""

TUNED = """
@triton.autotune(
    configs=[
        triton.Config({"BLOCK": 128}, num_warps=2),
        triton.Config({"BLOCK": 512}, num_warps=8, num_stages=4),
    ],
    key=["count"],
)
@triton.jit
def tuned(src, dst, count, factor, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(dst + at, tl.load(src + at, mask=at < count) * factor, mask=at < count)
"""

SHEET = GpuSheet(
    name="Test card",
    architecture="Test",
    compute_capability=(8, 9),
    sm_count=46,
    limits=SmLimits((8, 9), 48, 24, 1536, 102400, 101376, 1024, 128),
)


def forward(body: str, prelude: str = PRELUDE, init: str = "pass") -> str:
    """A program whose model's `forward(self, x)` has this body."""
    return (
        prelude
        + "\nclass ModelNew(nn.Module):\n    def __init__(self, *args, **kwargs):\n"
        + "        super().__init__()\n"
        + textwrap.indent(textwrap.dedent(init), " " * 8)
        + "\n    def forward(self, x, *more):\n"
        + textwrap.indent(textwrap.dedent(body), " " * 8)
        + "\n"
    )


def shaped(*shapes: tuple[int, ...], **init: object) -> Problem:
    return Problem(inputs=tuple(TensorSpec(shape) for shape in shapes), init_kwargs=dict(init))


def traced(source: str, problem: Problem | None = None, **options: object) -> Trace:
    result = trace_program(source, problem or shaped((1000,)), **options)  # type: ignore[arg-type]
    assert isinstance(result, Trace), result
    return result


def failed(source: str, problem: Problem | None = None, **options: object) -> TraceFailed:
    result = trace_program(source, problem or shaped((1000,)), **options)  # type: ignore[arg-type]
    assert isinstance(result, TraceFailed), result
    return result


def only(trace: Trace) -> Launch:
    (launch,) = trace.launches
    return launch


def grids(trace: Trace) -> list[list[tuple[int, ...]]]:
    return [[config.grid for config in launch.configs] for launch in trace.launches]


pytestmark = [pytest.mark.triton, pytest.mark.versions]


class TestStylesOfLaunches:
    @pytest.mark.parametrize(
        "grid",
        [
            "(triton.cdiv(x.numel(), 256),)",
            "[triton.cdiv(x.numel(), 256)]",
            'lambda meta: (triton.cdiv(x.numel(), meta["BLOCK"]),)',
            'lambda META: (triton.cdiv(META["count"], META["BLOCK"]), 1)',
        ],
    )
    def test_tuples_lists_and_functions_give_the_grid(self, grid: str) -> None:
        trace = traced(
            forward(f"y = torch.empty_like(x); copy[{grid}](x, y, x.numel(), BLOCK=256); return y")
        )
        assert grids(trace)[0][0][0] == 4
        assert only(trace).kernel == "copy"

    def test_a_def_and_a_cached_launcher_are_launches_like_any_other(self) -> None:
        trace = traced(
            forward(
                """
                def grid(meta):
                    return (triton.cdiv(x.numel(), meta["BLOCK"]),)
                y = torch.empty_like(x)
                launcher = copy[grid]
                launcher(x, y, x.numel(), 256)
                copy.run(x, y, x.numel(), BLOCK=512, grid=grid, warmup=False)
                return y
                """
            )
        )
        assert grids(trace) == [[(4,)], [(2,)]]
        assert [launch.order for launch in trace.launches] == [0, 1]

    def test_every_config_of_an_autotuned_kernel_has_its_grid(self) -> None:
        trace = traced(
            forward(
                """
                y = torch.empty_like(x)
                tuned[lambda m: (triton.cdiv(x.numel(), m["BLOCK"]),)](x, y, x.numel(), 0.5)
                return y
                """,
                PRELUDE + TUNED,
            )
        )
        launch = only(trace)
        assert launch.autotuned
        assert [(c.config, c.grid) for c in launch.configs] == [
            (Config.of({"BLOCK": 128}, 2, 3), (8,)),
            (Config.of({"BLOCK": 512}, 8, 4), (2,)),
        ]
        assert "BLOCK" not in launch.arguments

    def test_a_list_of_configs_that_code_builds_is_traced_as_built(self) -> None:
        tuned = TUNED.replace(
            'triton.Config({"BLOCK": 128}, num_warps=2),',
            '*[triton.Config({"BLOCK": 32 * n}, num_warps=n) for n in (1, 2, 4)],',
        )
        source = forward(
            "tuned[lambda m: (m['BLOCK'],)](x, x, x.numel(), 0.5); return x", PRELUDE + tuned
        )
        assert grids(traced(source)) == [[(32,), (64,), (128,), (512,)]]

    def test_the_programs_own_pruning_decides_which_configs_remain(self) -> None:
        tuned = TUNED.replace(
            'key=["count"],',
            'key=["count"],\n'
            "    prune_configs_by={'early_config_prune': lambda configs, named, **kw:"
            " [c for c in configs if c.kwargs['BLOCK'] < named['count'] / 4]},",
        )
        trace = traced(forward("tuned[(1,)](x, x, x.numel(), 0.5); return x", PRELUDE + tuned))
        assert [c.config.meta_dict["BLOCK"] for c in only(trace).configs] == [128]
        assert "leaves 1 of 2 configs" in trace.notes[0]
        assert [(c.config.meta_dict, c.place) for c in only(trace).pruned] == [({"BLOCK": 512}, 1)]

    @pytest.mark.parametrize("order", ["outside", "inside"])
    def test_heuristics_add_constants(self, order: str) -> None:
        heuristics = "@triton.heuristics({'EVEN': lambda args: args['count'] % 8 == 0})"
        tune = (
            "@triton.autotune(configs=[triton.Config({'BLOCK': 64}), triton.Config({'BLOCK': 128})]"
            ", key=['count'])"
        )
        layers = [heuristics, tune] if order == "outside" else [tune, heuristics]
        kernel = (
            "\n".join(layers)
            + "\n@triton.jit\ndef even(src, count, EVEN: tl.constexpr, BLOCK: tl.constexpr):\n"
            "    tl.store(src, 0.0)\n"
        )
        trace = traced(
            forward(
                "even[lambda m: (m['BLOCK'] * (2 if m['EVEN'] else 1),)](x, x.numel()); return x",
                PRELUDE + kernel,
            )
        )
        assert grids(trace) == [[(128,), (256,)]]
        assert all(c.heuristic_values == {"EVEN": True} for c in only(trace).configs)

    def test_several_kernels_come_in_order(self) -> None:
        trace = traced(
            forward(
                """
                y = torch.empty_like(x)
                tuned[(3,)](x, y, x.numel(), 2)
                copy[(5,)](y, x, x.numel(), 64)
                tuned[(3,)](x, y, x.numel(), 2)
                return y
                """,
                PRELUDE + TUNED,
            )
        )
        assert [launch.kernel for launch in trace.launches] == ["tuned", "copy", "tuned"]
        assert trace.kernels == ("tuned", "copy")
        assert [launch.line is not None for launch in trace.launches] == [True] * 3

    def test_launch_options_of_a_plain_kernel_make_its_config(self) -> None:
        trace = traced(
            forward("copy[(1,)](x, x, 8, BLOCK=64, num_warps=8, num_stages=2); return x")
        )
        (config,) = only(trace).configs
        assert config.config == Config((), 8, 2)
        assert not only(trace).autotuned
        assert only(trace).arguments["BLOCK"] == ConstantArgument(64, "64")

    def test_tensor_descriptors_and_pre_hooks(self) -> None:
        kernel = """
from triton.tools.tensor_descriptor import TensorDescriptor

def shape_block(args):
    args["src"].block_shape = [args["ROWS"], 32]

@triton.autotune(
    configs=[
        triton.Config({"ROWS": rows}, pre_hook=shape_block) for rows in (16, 64)
    ],
    key=[],
)
@triton.jit
def tiles(src, dst, ROWS: tl.constexpr):
    tl.store(dst, tl.sum(src.load([0, 0])))
"""
        trace = traced(
            forward(
                """
                view = TensorDescriptor.from_tensor(x, [8, 32])
                tiles[lambda m: (triton.cdiv(x.shape[0], m["ROWS"]),)](view, x)
                return x
                """,
                PRELUDE + kernel,
            ),
            shaped((128, 64)),
        )
        blocks = [config.arguments["src"] for config in only(trace).configs]
        assert blocks == [
            DescriptorArgument("float32", (128, 64), (64, 1), (16, 32)),
            DescriptorArgument("float32", (128, 64), (64, 1), (64, 32)),
        ]
        assert grids(trace) == [[(8,), (2,)]]


class TestArguments:
    def test_each_argument_has_tritons_type_and_the_real_value(self) -> None:
        kernel = """
@triton.jit
def many(a, b, n, big, huge, eps, flag, none, DTYPE: tl.constexpr, ACT: tl.constexpr,
         NAME: tl.constexpr, LAST: tl.constexpr = 7):
    tl.store(a, 0.0)
"""
        trace = traced(
            forward(
                """
                part = x[1:]
                many[(1,)](x, part.t(), x.shape[0], 2**40, 2**63, 1e-5, True, None,
                           DTYPE=tl.float16, ACT=twice, NAME="relu")
                return x
                """,
                PRELUDE + kernel,
            ),
            shaped((6, 3)),
        )
        arguments = only(trace).arguments
        a, b = arguments["a"], arguments["b"]
        assert isinstance(a, TensorArgument)
        assert isinstance(b, TensorArgument)
        assert (a.dtype, a.shape, a.strides, a.aligned) == ("float32", (6, 3), (3, 1), True)
        assert (b.shape, b.strides, b.aligned) == ((3, 5), (1, 3), False)
        assert a.storage == b.storage
        assert arguments["n"] == ScalarArgument(6, "i32")
        assert arguments["big"] == ScalarArgument(2**40, "i64")
        assert arguments["huge"] == ScalarArgument(2**63, "u64")
        assert arguments["eps"] == ScalarArgument(1e-5, "fp32")
        assert arguments["flag"] == ScalarArgument(True, "u1")
        assert arguments["none"] == ConstantArgument(None, "None")
        assert arguments["DTYPE"] == ConstantArgument("tl.float16", "tl.float16")
        assert arguments["ACT"] == ConstantArgument("@twice", "@twice")
        assert arguments["NAME"] == ConstantArgument("relu", "'relu'")
        assert arguments["LAST"] == ConstantArgument(7, "7")

    def test_parameters_that_triton_does_not_look_at_are_named(self) -> None:
        kernel = """
@triton.jit(do_not_specialize=["n"], do_not_specialize_on_alignment=["m"])
def plain(a, n, m, k: tl.int64, scale: tl.float32):
    tl.store(a, 0.0)
"""
        trace = traced(forward("plain[(1,)](x, 1, 32, 1, 1); return x", PRELUDE + kernel))
        launch = only(trace)
        assert launch.unspecialized == ("n", "scale")
        assert launch.unaligned == ("m",)
        assert launch.arguments["k"] == ScalarArgument(1, "i64", annotated=True)
        assert launch.arguments["scale"] == ScalarArgument(1, "fp32", annotated=True)

    def test_non_tensor_inputs_and_constructor_arguments_arrive_as_they_are(self) -> None:
        source = """
class ModelNew(nn.Module):
    def __init__(self, width, shape, table=None):
        super().__init__()
        assert shape == (2, [3, 4]) and table == {"a": (1,)}, (shape, table)
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, x, scale, flag):
        assert flag is True and scale == 0.5
        copy[(self.weight.shape[0],)](x, self.weight, x.numel(), BLOCK=64)
        return self.weight
"""
        problem = Problem(
            inputs=(TensorSpec((4, 4), "float16"), 0.5, True),  # type: ignore[arg-type]
            init_args=(12, (2, [3, 4])),
            init_kwargs={"table": {"a": (1,)}},
        )
        trace = traced(PRELUDE + source, problem)
        assert grids(trace) == [[(12,)]]
        assert trace.inputs[0].dtype == "float16"
        assert trace.outputs[0].shape == (12,)


class TestTheMachineThatAProgramSees:
    def test_a_program_sees_a_cuda_machine(self) -> None:
        body = """
        assert x.is_cuda and not x.is_cpu and x.device == torch.device("cuda", 0)
        assert x.device.type == "cuda" and x.get_device() == 0
        assert torch.cuda.is_available() and torch.cuda.current_device() == 0
        assert torch.cuda.device_count() == 1
        torch.cuda.synchronize()
        with torch.cuda.device(x.device), torch.cuda.stream(torch.cuda.Stream()):
            y = torch.empty(10, 4, device="cuda")
            z = torch.zeros_like(y, device=x.device).cuda().to("cuda:0", torch.float16)
        assert z.is_cuda and z.dtype == torch.float16 and x.cpu().to(x.device).is_cuda
        assert x.data_ptr() % 512 == 0 and y.data_ptr() != x.data_ptr()
        print(x, f"{y}")
        copy[(2,)](x, z, 8, BLOCK=64)
        return z
        """
        trace = traced(forward(body))
        assert trace.outputs[0].dtype == "float16"

    def test_the_sheet_answers_for_the_hardware(self) -> None:
        body = """
        sms = torch.cuda.get_device_properties(x.device).multi_processor_count
        driver = triton.runtime.driver.active
        props = driver.utils.get_device_properties(driver.get_current_device())
        assert props["multiprocessor_count"] == sms
        assert torch.cuda.get_device_capability() == (8, 9)
        copy[(sms * 2,)](x, x, 8, BLOCK=64)
        return x
        """
        assert grids(traced(forward(body), gpu=SHEET)) == [[(92,)]]

    def test_hardware_that_no_sheet_tells_of_is_not_made_up(self) -> None:
        body = """
        copy[(torch.cuda.get_device_properties(0).multi_processor_count,)](x, x, 8, BLOCK=64)
        return x
        """
        result = failed(forward(body))
        assert "multi_processor_count" in result.reason
        assert "not known" in result.reason

    def test_a_guard_for_other_devices_does_not_hide_the_launch(self) -> None:
        trace = traced(
            forward(
                """
                if not x.is_cuda:
                    return self.layer(x)
                copy[(1,)](x, self.layer.weight, 8, BLOCK=64)
                return x
                """,
                init="self.layer = nn.Linear(1000, 3)",
            )
        )
        assert trace.kernels == ("copy",)

    def test_parameters_buffers_and_torch_operators_keep_their_shapes(self) -> None:
        body = """
        y = self.norm(self.conv(x)).flatten(2).transpose(1, 2).contiguous()
        y.mul_(2).add_(self.offset)
        copy[(y.shape[1],)](y, y, y.numel(), BLOCK=64)
        return [y, {"copy": y.mean(dim=-1)}]
        """
        init = """
        self.conv = nn.Conv2d(3, 16, 5, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.register_buffer("offset", torch.arange(16).float())
        """
        trace = traced(forward(body, init=init), shaped((2, 3, 32, 32)))
        assert grids(trace) == [[(900,)]]
        assert [output.shape for output in trace.outputs] == [(2, 900, 16), (2, 900)]

    def test_host_operations_are_listed_with_their_lines(self) -> None:
        source = forward(
            "y = torch.nn.functional.conv2d(x, x)\ncopy[(1,)](x, y, 8, BLOCK=64)\nreturn y"
        )
        trace = traced(source, shaped((2, 3, 8, 8)))
        (found,) = [op for op in trace.host_operations if "conv2d" in op.name]
        assert found.line is not None
        assert "conv2d" in source.splitlines()[found.line - 1]
        assert all("stride" not in op.name for op in trace.host_operations)

    def test_a_model_that_launches_only_outside_of_training_is_put_into_evaluation(self) -> None:
        trace = traced(forward("if not self.training: copy[(1,)](x, x, 8, BLOCK=64)\nreturn x"))
        assert trace.evaluation_mode
        assert trace.kernels == ("copy",)

    def test_an_operator_without_shape_rules_runs_on_small_real_tensors(self) -> None:
        body = "y, tau = torch.geqrf(x); copy[y.shape](y, tau, 8, BLOCK=64); return y"
        trace = traced(forward(body), shaped((12, 5)))
        assert grids(trace) == [[(12, 5)]]
        assert "real memory" in trace.notes[0]

    def test_such_an_operator_on_large_inputs_is_a_failure_that_names_it(self) -> None:
        body = "y, tau = torch.geqrf(x); copy[y.shape](y, tau, 8, BLOCK=64); return y"
        assert "geqrf" in failed(forward(body), shaped((20000, 20000))).reason


class TestData:
    @pytest.mark.parametrize(
        "read",
        [
            "x.sum().item()",
            "int(x[0])",
            "x.tolist()",
            "x.cpu().numpy()",
            "bool((x > 0).any())",
            "torch.nonzero(x)",
            "1 if x.max() > 3 else 2",
        ],
    )
    def test_host_code_may_read_values_of_its_inputs(self, read: str) -> None:
        trace = traced(forward(f"y = {read}\ncopy[(1,)](x, x, 8, BLOCK=64)\nreturn x"))
        assert len(trace.value_reads) == 1
        line = trace.value_reads[0].line
        assert line is not None

    @pytest.mark.parametrize(
        ("read", "value"),
        [
            ("int(x.sum().item())", 10),
            ("int(x[x > 1.5].sum())", 9),
            ("int((x * 2).to(torch.int64).cumsum(0)[-1])", 20),
            ("torch.nonzero(x > 2).shape[0] + 1", 3),
            ("int(torch.nonzero(x > 2)[0, 0]) + 1", 3),
            ("int(x.view(2, 2).t()[0, 1])", 3),
            ("sum(int(v) for v in x.tolist())", 10),
            ("int(torch.unique(x.clamp(max=2)).numel())", 2),
            ("int(x.cpu().numpy()[3])", 4),
            ("5 if x.max() > 3 else 2", 5),
            ("int(x.clone().mul_(x).sum())", 30),
            ("int((self.scale * x).sum())", 30),
        ],
    )
    def test_a_value_is_what_the_inputs_give(self, read: str, value: int) -> None:
        inputs = "import torch\ndef get_inputs():\n    return [torch.randint(0, 1, (4,)) + DATA]\n"
        inputs += "def get_init_inputs():\n    return []\nDATA = torch.arange(1.0, 5.0)\n"
        body = f"n = {read}\ncopy[(n,)](x, x, 8, BLOCK=64)\nreturn x"
        init = "self.scale = nn.Parameter(torch.full((4,), 3.0))"
        assert grids(traced(forward(body, init=init), Problem(source=inputs))) == [[(value,)]]

    def test_inputs_that_read_values_themselves_are_made_for_real(self) -> None:
        inputs = "import torch\ndef get_inputs():\n    n = torch.randint(3, 9, (5,)).cumsum(0)\n"
        inputs += "    return [torch.randn(int(n[-1])), n]\n"
        body = """
        ends, = more
        assert int(ends[-1].item()) == x.shape[0]
        copy[(ends.numel(),)](x, x, 8, BLOCK=64)
        return x
        """
        assert grids(traced(forward(body), Problem(source=inputs))) == [[(5,)]]

    def test_the_inputs_stay_as_they_are_for_the_next_read(self) -> None:
        body = """
        before = x.sum().item()
        changed = (x.mul_(2)).sum().item()
        assert changed == 2 * before, (before, changed)
        assert x.sum().item() == changed
        copy[(1,)](x, x, 8, BLOCK=64)
        return x
        """
        assert len(traced(forward(body), shaped((64,))).launches) == 1

    def test_large_inputs_are_not_made_for_a_value(self) -> None:
        body = "n = int(x[0])\ncopy[(1,)](x, x, n, BLOCK=64)\nreturn x"
        result = failed(forward(body), shaped((20000, 20000)))
        assert result.kind == "DataDependentError"
        assert "1.5 GiB" in result.reason
        assert result.line is not None

    def test_what_a_kernel_only_reads_is_known_afterwards(self) -> None:
        body = "copy[(1,)](x, torch.empty_like(x), 8, BLOCK=64)\n"
        body += "copy[(1 if x.sum() == x.sum() else 2,)](x, x, 8, BLOCK=64)\nreturn x"
        assert grids(traced(forward(body)))[1] == [(1,)]

    def test_values_that_follow_from_constants_may_be_read(self) -> None:
        body = """
        rates = [r.item() for r in torch.linspace(0, 1, 5)]
        assert rates == [0.0, 0.25, 0.5, 0.75, 1.0], rates
        rows = int(torch.prod(torch.tensor(x.shape)))
        table = torch.arange(4)
        table[1] = 9
        copy[(rows,)](x, x, 8, BLOCK=64)
        return x
        """
        assert grids(traced(forward(body), shaped((2, 5)))) == [[(10,)]]

    def test_what_a_kernel_wrote_is_not_known_any_more(self) -> None:
        body = """
        count = torch.zeros(1, dtype=torch.int32)
        assert count.item() == 0
        copy[(1,)](x, count, 8, BLOCK=64)
        return count.item()
        """
        assert failed(forward(body)).kind == "DataDependentError"

    def test_what_was_written_in_place_is_worked_out_anew(self) -> None:
        body = """
        t = torch.ones(3)
        assert t[0].item() == 1
        t.mul_(x[:3])
        same = t[0].item() == x[0].item()
        copy[(2 if same else 1,)](x, x, 8, BLOCK=64)
        return x
        """
        assert grids(traced(forward(body))) == [[(2,)]]


class TestOwnOperators:
    """Operators that a program registers with torch are followed to their launches."""

    @pytest.mark.parametrize(
        "registered",
        [
            '@torch.library.custom_op("trial::one", mutates_args=())\ndef one(x: T) -> T:',
            '@torch.library.triton_op("trial::one", mutates_args={})\ndef one(x: T) -> T:',
            "def plain(x: T) -> T:",
        ],
    )
    def test_its_launches_are_seen(self, registered: str) -> None:
        own = f"""
T = torch.Tensor
{registered}
    out = torch.empty_like(x)
    assert x.is_cuda and x.device.type == "cuda"
    torch.library.wrap_triton(copy)[(7,)](x, out, x.numel(), BLOCK=64)
    return out
"""
        if "plain" in registered:
            own += 'LIBRARY = torch.library.Library("trial", "FRAGMENT")\n'
            own += 'LIBRARY.define("one(Tensor x) -> Tensor")\n'
            own += 'LIBRARY.impl("one", plain, dispatch_key="CUDA")\n'
            own += 'LIBRARY.impl("one", torch.empty_like, dispatch_key="Meta")\n'
        trace = traced(forward("return torch.ops.trial.one(x)", PRELUDE + own))
        assert grids(trace) == [[(7,)]]


class TestMistakes:
    @pytest.mark.parametrize(
        ("launch", "message"),
        [
            ("copy[4](x, x, 8, BLOCK=64)", "the grid of copy is no tuple"),
            ("copy[(1, 1, 1, 1)](x, x, 8, BLOCK=64)", "has 4 dimensions"),
            ("copy[(2.0,)](x, x, 8, BLOCK=64)", "float"),
            ("copy[(1,)](x, x, BLOCK=64)", "without count"),
            ("copy[(1,)](x, x, 8, BLOK=64, BLOCK=64)", "no parameter BLOK"),
            ("copy[(1,)](x, x, 8, 64, BLOCK=64)", "multiple values for argument 'BLOCK'"),
            ("tuned[(1,)](x, x, 8, 1.0, BLOCK=64)", "given both"),
            ("copy[lambda m: (m['SIZE'],)](x, x, 8, BLOCK=64)", "SIZE"),
            ("copy[(1,)](x, 'text', 8, BLOCK=64)", "str"),
        ],
    )
    def test_what_triton_would_refuse_is_refused(self, launch: str, message: str) -> None:
        source = forward(f"{launch}\nreturn x", PRELUDE + TUNED)
        result = failed(source)
        assert message in result.reason
        assert result.line is not None
        assert launch in source.splitlines()[result.line - 1]

    def test_a_failure_names_stage_kind_and_line(self) -> None:
        source = forward("return undefined_thing(x)")
        result = failed(source)
        assert (result.stage, result.kind) == ("forward", "NameError")
        assert "undefined_thing" in result.reason
        assert result.line is not None
        assert "undefined_thing" in source.splitlines()[result.line - 1]

    @pytest.mark.parametrize(
        ("source", "stage"),
        [
            ("x = 1 / 0", "import"),
            (forward("return x", init="raise ValueError('no')"), "constructor"),
        ],
    )
    def test_each_stage_is_told(self, source: str, stage: str) -> None:
        assert failed(source).stage == stage

    @pytest.mark.parametrize(
        ("source", "of_the_program"),
        [
            ("x = 1 / 0", True),
            ("raise SystemExit(3)", True),
            ("import subprocess\nsubprocess.run(['true'])", True),
            (forward("return undefined_thing(x)"), True),
            (forward("return x.view(7, 999)"), True),
            (forward("copy[(1,)](x, x, 8, BLOCK=64)\nreturn x if x.sum() > 0 else -x"), False),
            (forward("return torch.cuda.get_device_properties(0).ecc_enabled"), False),
            (forward("return torch.ops.aten._foobar_no_such(x)"), True),
        ],
    )
    def test_a_failure_is_the_programs_own_or_the_traces(
        self, source: str, of_the_program: bool
    ) -> None:
        assert failed(source).is_of_the_program is of_the_program

    def test_time_and_memory_limits_say_nothing_of_the_program(self) -> None:
        for outcome in (JobOutcome.TIMEOUT, JobOutcome.OUT_OF_MEMORY, JobOutcome.CRASHED):
            assert not TraceFailed(outcome, "stopped").is_of_the_program
        assert not TraceFailed(JobOutcome.FAILED, "no", stage="problem").is_of_the_program

    def test_a_timer_answers_and_is_noted(self) -> None:
        body = """
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        copy[(1,)](x, x, 8, BLOCK=64)
        end.record()
        torch.cuda.synchronize()
        return x if start.elapsed_time(end) > 0 else copy[(2,)](x, x, 8, BLOCK=64)
        """
        trace = traced(forward(body))
        assert grids(trace) == [[(1,)]]
        assert any("times its launches" in note for note in trace.notes)

    def test_a_program_without_the_model_class_is_told_so(self) -> None:
        assert "no class ModelNew" in failed(PRELUDE).reason

    def test_a_program_that_launches_nothing_has_an_empty_trace(self) -> None:
        assert traced(forward("return x * 2")).launches == ()

    def test_a_loop_is_a_timeout(self) -> None:
        result = failed("while True: pass", limits=JobLimits(deadline_s=6))
        assert result.outcome is JobOutcome.TIMEOUT

    def test_a_syntax_error_is_told(self) -> None:
        assert "SyntaxError" in failed("def f(:\n").reason


class TestProblemFiles:
    PROBLEM = """
import torch
rows = 24
class Model(torch.nn.Module):
    def __init__(self, width):
        raise RuntimeError("a trace needs no reference")
def get_inputs():
    return [torch.rand(rows, 40).cuda(), 3]
def get_init_inputs():
    return [40]
"""

    def test_only_inputs_and_constructor_arguments_are_used(self) -> None:
        source = forward(
            "copy[(x.shape[0], more[0])](x, self.w, 8, BLOCK=64); return x",
            init="self.w = nn.Parameter(torch.randn(args[0]))",
        )
        trace = traced(source, Problem(source=self.PROBLEM))
        assert grids(trace) == [[(24, 3)]]
        assert trace.inputs[0].shape == (24, 40)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (("def get_inputs", "def inputs"), "has no get_inputs"),
            (("return [torch.rand(rows, 40).cuda(), 3]", "return 5"), "expected a list"),
            (("rows = 24", "rows = 1 / 0"), "ZeroDivisionError"),
        ],
    )
    def test_a_problem_file_that_does_not_serve_is_told(
        self, change: tuple[str, str], message: str
    ) -> None:
        result = failed(forward("return x"), Problem(source=self.PROBLEM.replace(*change)))
        assert result.stage == "problem"
        assert message in result.reason


class TestTheParentsSide:
    def test_a_trace_is_kept(self, tmp_path: Path) -> None:
        cache = ResultCache(tmp_path)
        source = forward("copy[(1,)](x, x, 8, BLOCK=64); return x")
        first = traced(source, cache=cache)
        assert traced(source, cache=cache) == first
        assert len(list(tmp_path.rglob("value.json"))) == 1

    @pytest.mark.parametrize(
        "value",
        [
            {},
            {"trace": None},
            {"trace": {"launches": [1]}},
            {"trace": {"launches": [], "inputs": [{"dtype": 3}]}},
            {"failed": "text"},
        ],
    )
    def test_a_forged_result_is_a_failure(self, value: dict[str, object]) -> None:
        result = read_result(JobResult(JobOutcome.OK, value=value))
        assert isinstance(result, TraceFailed)
        assert "malformed" in result.reason

    def test_tuples_and_lists_stay_apart_on_the_way_to_the_child(self) -> None:
        assert encode((1, [2, (3,)])) == {"tuple": [1, [2, {"tuple": [3]}]]}


@pytest.mark.cases
class TestRecordedPrograms:
    def test_both_seeds_have_the_grids_that_were_profiled(self, cases_dir: Path) -> None:
        conv = Problem(inputs=(TensorSpec((256, 3, 224, 224)),))
        dilated = Problem(
            inputs=(TensorSpec((8, 32, 512, 512)),),
            init_args=(32, 64, (5, 9), 1, (2, 4), (2, 3)),
        )
        active = {
            (24200, 2): Config.of({"BLOCK_M": 32, "BLOCK_N": 64, "BLOCK_K": 32}, 4, 2),
            (985, 2, 8): Config.of({"BLOCK_OC": 32, "BLOCK_HW": 256, "BLOCK_K": 32}, 8, 2),
        }
        seeds = sorted((cases_dir / "seeds").glob("*.txt"))
        found = {}
        for path, problem in zip(seeds, (conv, dilated), strict=True):
            launch = only(traced(program_in(path.read_text(encoding="utf-8")), problem))
            found |= {c.grid: c.config for c in launch.configs if c.config in active.values()}
        assert found == active

    def test_a_sample_of_programs_launches_as_many_blocks_as_were_profiled(
        self, cases_dir: Path
    ) -> None:
        with gzip.open(cases_dir / "cases" / "recorded.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        rows = [row for row in rows if row.get("inputs") and row["metrics"]]
        for row in rows[::20]:
            trace = traced(program_in(row["request"]), recorded_problem(row))
            for kernel, metrics in row["metrics"].items():
                of_launches = metrics if isinstance(metrics, list) else [metrics]
                counts = {
                    config.blocks
                    for launch in trace.launches
                    if launch.kernel == kernel
                    for config in launch.configs
                }
                assert {m["launch__grid_size"] for m in of_launches} <= counts, row["task"]


def program_in(request: str) -> str:
    found = re.search(r"```python\n(.*?)```", request.split("[CURRENT CODE]", 1)[1], re.DOTALL)
    assert found is not None
    return found[1]


def recorded_problem(row: dict[str, object]) -> Problem:
    def as_tuple(value: object) -> object:
        return tuple(map(as_tuple, value)) if isinstance(value, list) else value

    inputs = tuple(TensorSpec(tuple(i["shape"]), i["dtype"]) for i in row["inputs"])  # type: ignore[attr-defined]
    problem = Problem(inputs=inputs)
    return replace(problem, init_args=tuple(as_tuple(a) for a in row["init"]))  # type: ignore[attr-defined]

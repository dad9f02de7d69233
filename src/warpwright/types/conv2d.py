"""A conv2d as a problem's model computes it: what recognition finds and schedules are made for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

TRIES = 24
"""Candidates that are compiled, the best predicted first, where the user does not say otherwise."""

CONFIGS = 4
"""Configs in the program that is written, at most, where the user does not say otherwise."""


class Precision(StrEnum):
    """How an fp32 convolution may multiply. Half-precision inputs always accumulate in fp32."""

    TF32 = "tf32"  # operands rounded to nearest, as eager PyTorch's convolutions do by default
    TF32X3 = "tf32x3"  # three products of TF32 parts: close to fp32
    STRICT = "fp32"  # no tensor cores


@dataclass(frozen=True, slots=True)
class Conv2dLayer:
    """Sizes of one call, in elements. Pairs are (vertical, horizontal).

    `padding_before` is the zeros above and to the left, `padding_after` those below and to the
    right: they differ only for padding='same' with an even extent. `dtype` is torch's name
    without the module ("float32", "float16", "bfloat16").
    """

    batch: int
    in_channels: int
    height: int
    width: int
    out_channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding_before: tuple[int, int] = (0, 0)
    padding_after: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    bias: bool = True
    dtype: str = "float32"
    channels_last: bool = False  # the input's layout, and with it the output's

    @property
    def out_height(self) -> int:
        return self._out(0, self.height)

    @property
    def out_width(self) -> int:
        return self._out(1, self.width)

    def _out(self, axis: int, size: int) -> int:
        reach = self.dilation[axis] * (self.kernel[axis] - 1)
        padded = size + self.padding_before[axis] + self.padding_after[axis]
        return (padded - reach - 1) // self.stride[axis] + 1

    @property
    def element_bytes(self) -> int:
        return 4 if self.dtype == "float32" else 2

    @property
    def flops(self) -> int:
        """Two operations a multiply-add, taps in the padding counted as well."""
        taps = self.kernel[0] * self.kernel[1] * (self.in_channels // self.groups)
        return 2 * self.batch * self.out_channels * self.out_height * self.out_width * taps

    @property
    def least_bytes(self) -> int:
        """Input, weight and output moved once."""
        into = self.batch * self.in_channels * self.height * self.width
        weight = self.out_channels * (self.in_channels // self.groups)
        weight *= self.kernel[0] * self.kernel[1]
        out = self.batch * self.out_channels * self.out_height * self.out_width
        return self.element_bytes * (into + weight + out)


@dataclass(frozen=True, slots=True)
class Pointwise:
    """One operation on the convolution's output, element by element.

    `function` is one of the names that `proposers.schedules` can write ("relu", "add", "mul", …),
    `value` the number it takes besides, where it takes one.
    """

    function: str
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Conv2dTask:
    """A problem whose model is one conv2d: what a schedule must compute, and under which names.

    `module` is the attribute path of the nn.Conv2d in the model ("conv1"); its parameters are
    `<module>.weight` and, with a bias, `<module>.bias`. `problem_source` is the problem file, from
    which the emitted program takes how the model is constructed.
    """

    layer: Conv2dLayer
    module: str
    problem_source: str
    precision: Precision = Precision.TF32
    epilogue: tuple[Pointwise, ...] = ()


@dataclass(frozen=True, slots=True)
class ScheduleCandidate:
    """One schedule at one point of its space, as a complete program in the strict format.

    `predicted_us` ranks candidates before anything is measured; it is a prediction for the target.
    """

    schedule: str
    point: tuple[tuple[str, int], ...]
    program: str
    why: str
    predicted_us: float

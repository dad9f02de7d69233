"""The grids: for each kernel its axes, its sizes, and how it is launched and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from warpwright.types.config import Config
from warpwright.types.config_space import Axis, ConfigSpace

Meta = Mapping[str, int]
Shapes = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """One kernel's space of configs.

    `tensors`: (dtype, shape) of each pointer in order, the output last; `scalars` follow them.
    `fixed`: compile-time values that are no axis. `launch`: a config's values → the grid.
    """

    kernel: str
    tensors: Shapes
    scalars: tuple[int | float, ...]
    axes: tuple[Axis, ...]
    launch: Callable[[Meta], tuple[int, ...]]
    fixed: Mapping[str, int]
    most_elements: int | None = None  # in a thread's share of BLOCK_R × BLOCK_C

    def space(self) -> ConfigSpace:
        """The space, as the search takes it; the start is the middle of each axis."""
        middle = {axis.name: axis.values[len(axis.values) // 2] for axis in self.axes}
        warps, stages = middle.pop("num_warps"), middle.pop("num_stages")
        assert warps is not None and stages is not None
        start = Config.of(middle, warps, stages)
        return ConfigSpace(start, self.axes, lambda config: self._allowed(config))

    def _allowed(self, config: Config) -> bool:
        if self.most_elements is None:
            return True
        meta = config.meta_dict
        elements = int(meta["BLOCK_R"] or 0) * int(meta["BLOCK_C"] or 0)
        threads = 32 * config.num_warps
        return threads <= elements <= threads * self.most_elements

    def configs(self) -> Iterator[Config]:
        return self.space().configs()


def _axes(**values: tuple[int, ...]) -> tuple[Axis, ...]:
    return tuple(Axis(name, chosen) for name, chosen in values.items())


def _cdiv(size: int, block: int) -> int:
    return -(-size // block)


_M, _N, _K = 4096, 4096, 1024
_SM, _SN, _SK = 2048, 2048, 512
_IMAGES, _CHANNELS, _SIDE, _FILTERS = 16, 64, 56, 256
_PIXELS = _IMAGES * _SIDE * _SIDE
_ROWS, _COLUMNS = 16384, 2000
_TALL, _WIDE = 8192, 4096
_HEADS, _LENGTH, _WIDTH = 32, 2048, 64

GRIDS = (
    Grid(
        "row_softmax",
        (("fp32", (_ROWS, _COLUMNS)), ("fp32", (_ROWS, _COLUMNS))),
        (_ROWS, _COLUMNS),
        _axes(
            BLOCK_R=(1, 2, 4, 8, 16),
            BLOCK_C=(128, 256, 512, 1024, 2048),
            num_warps=(1, 2, 4, 8, 16),
            num_stages=(1, 2, 3),
        ),
        lambda meta: (_cdiv(_ROWS, meta["BLOCK_R"]),),
        {},
        most_elements=128,
    ),
    Grid(
        "scaled_transpose",
        (("fp32", (_TALL, _WIDE)), ("fp32", (_TALL,)), ("fp32", (_WIDE, _TALL))),
        (_TALL, _WIDE),
        _axes(
            BLOCK_R=(16, 32, 64, 128),
            BLOCK_C=(16, 32, 64, 128, 256),
            TILES=(1, 4),
            num_warps=(1, 2, 4, 8),
            num_stages=(1, 2, 3),
        ),
        lambda meta: (
            _cdiv(_TALL, meta["BLOCK_R"]),
            _cdiv(_WIDE, meta["BLOCK_C"] * meta["TILES"]),
        ),
        {},
        most_elements=128,
    ),
    Grid(
        "matmul_bias_swish",
        (("fp32", (_M, _K)), ("fp32", (_K, _N)), ("fp32", (_N,)), ("fp32", (_M, _N))),
        (_N, _K),
        _axes(
            BLOCK_M=(32, 64, 128, 256),
            BLOCK_N=(32, 64, 128, 256),
            BLOCK_K=(16, 32, 64),
            num_warps=(4, 8),
            num_stages=(2, 3, 4),
        ),
        lambda meta: ((_M // meta["BLOCK_M"]) * (_N // meta["BLOCK_N"]),),
        {},
    ),
    Grid(
        "implicit_conv",
        (
            ("fp32", (_IMAGES, _CHANNELS, _SIDE, _SIDE)),
            ("fp32", (_FILTERS, _CHANNELS, 3, 3)),
            ("fp32", (_IMAGES, _FILTERS, _SIDE, _SIDE)),
        ),
        (_CHANNELS, _SIDE, _SIDE, _FILTERS, _PIXELS),
        _axes(
            BLOCK_P=(32, 64, 128, 256),
            BLOCK_F=(32, 64, 128),
            BLOCK_C=(16, 32, 64),
            num_warps=(4, 8),
            num_stages=(1, 2, 3),
        ),
        lambda meta: (_cdiv(_PIXELS, meta["BLOCK_P"]), _FILTERS // meta["BLOCK_F"]),
        {},
    ),
    Grid(
        "two_dots",
        tuple(("fp16", (_HEADS, _LENGTH, _WIDTH)) for _ in range(4)),
        (_LENGTH, 0.125),
        _axes(
            BLOCK_Q=(16, 32, 64, 128, 256),
            BLOCK_K=(16, 32, 64, 128),
            num_warps=(2, 4, 8),
            num_stages=(1, 2, 3, 4),
        ),
        lambda meta: (_LENGTH // meta["BLOCK_Q"], _HEADS),
        {"WIDTH": _WIDTH},
    ),
    Grid(
        "strict_matmul",
        (("fp32", (_SM, _SK)), ("fp32", (_SK, _SN)), ("fp32", (_SM, _SN))),
        (_SM, _SN, _SK),
        _axes(
            BLOCK_M=(16, 32, 64, 128),
            BLOCK_N=(16, 32, 64, 128),
            BLOCK_K=(16, 32),
            num_warps=(2, 4, 8),
            num_stages=(1, 2, 3),
        ),
        lambda meta: (_SM // meta["BLOCK_M"], _SN // meta["BLOCK_N"]),
        {},
    ),
)


def references(tensors: tuple[Any, ...], kernel: str) -> Any:
    """What a kernel should give, by torch."""
    import torch
    import torch.nn.functional as functional

    if kernel == "matmul_bias_swish":
        a, b, bias, _ = tensors
        return functional.silu(a @ b + bias)
    if kernel == "strict_matmul":
        return tensors[0] @ tensors[1]
    if kernel == "implicit_conv":
        return functional.conv2d(tensors[0], tensors[1], padding=1)
    if kernel == "row_softmax":
        return torch.softmax(tensors[0], dim=1)
    if kernel == "scaled_transpose":
        return (tensors[0] * tensors[1][:, None]).T.contiguous()
    q, k, v, _ = tensors
    return functional.scaled_dot_product_attention(q, k, v)

"""From the JSON that a tracing child wrote to types; anything unexpected is refused.

The child runs foreign code, which could write any result it likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from warpwright.types.config import Config, MetaValue
from warpwright.types.host_behaviour import HostBehaviour, SeenAction, SeenOperator
from warpwright.types.launch_trace import (
    Argument,
    ConstantArgument,
    DescriptorArgument,
    HostOperation,
    Launch,
    ScalarArgument,
    TensorArgument,
    Trace,
    TracedConfig,
    ValueRead,
)


class MalformedTraceError(Exception):
    """A child's result does not have the form of a trace."""


def decode_trace(value: Any) -> Trace:
    """A `Trace`. Raises `MalformedTraceError`."""
    try:
        return Trace(
            launches=tuple(decode_launch(launch) for launch in value["launches"]),
            inputs=tuple(decode_tensor(tensor) for tensor in value["inputs"]),
            outputs=tuple(decode_tensor(tensor) for tensor in value["outputs"]),
            notes=tuple(str(note) for note in value["notes"]),
            host_operations=tuple(
                HostOperation(str(op["name"]), _line(op["line"]), int(op["count"]))
                for op in value["operations"]
            ),
            evaluation_mode=bool(value["evaluation_mode"]),
            behaviour=_behaviour(value["behaviour"]),
            value_reads=tuple(
                ValueRead(str(read["reader"]), _line(read["line"])) for read in value["value_reads"]
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedTraceError(f"{type(error).__name__}: {error}") from error


def _behaviour(value: Mapping[str, Any]) -> HostBehaviour:
    second = value["second_call"]
    return HostBehaviour(
        operators=tuple(
            SeenOperator(str(op["name"]), str(op["kind"]), int(op["line"]), int(op["count"]))
            for op in value["operators"]
        ),
        actions=tuple(
            SeenAction(str(action["what"]), int(action["line"])) for action in value["actions"]
        ),
        replaced=tuple(str(name) for name in value["replaced"]),
        same_output=bool(value["same_output"]),
        second_call=None if second is None else str(second),
        ways_out=tuple((str(name), int(line)) for name, line in value["ways_out"]),
    )


def decode_launch(value: Mapping[str, Any]) -> Launch:
    return Launch(
        kernel=str(value["kernel"]),
        order=int(value["order"]),
        arguments=_arguments(value["arguments"]),
        configs=tuple(_config(config) for config in value["configs"]),
        autotuned=bool(value["autotuned"]),
        line=_line(value["line"]),
        unspecialized=tuple(map(str, value["unspecialized"])),
        unaligned=tuple(map(str, value["unaligned"])),
        options={str(name): _constant(item) for name, item in value["options"].items()},
        pruned=tuple(_config(config) for config in value.get("pruned", ())),
    )


def _config(value: Mapping[str, Any]) -> TracedConfig:
    options = value["launch_options"]
    maxnreg = options.get("maxnreg")
    config = Config(
        meta=tuple((str(name), _constant(item)) for name, item in value["meta"].items()),
        num_warps=int(options.get("num_warps", 4)),
        num_stages=int(options.get("num_stages", 3)),
        num_ctas=int(options.get("num_ctas", 1)),
        maxnreg=None if maxnreg is None else int(maxnreg),
        pre_hook=None if value["hook"] is None else str(value["hook"]),
        others=tuple((str(name), str(text)) for name, text in value["others"].items()),
        place=_line(value["place"]),
    )
    return TracedConfig(
        config,
        grid=_sizes(value["grid"]),
        heuristic_values={
            str(name): _constant(item) for name, item in value["heuristic_values"].items()
        },
        arguments=_arguments(value["arguments"]),
        place=_line(value["place"]),
    )


def _arguments(value: Mapping[str, Any]) -> dict[str, Argument]:
    return {str(name): decode_argument(argument) for name, argument in value.items()}


def decode_argument(value: Mapping[str, Any]) -> Argument:
    kind = value["kind"]
    if kind == "tensor":
        return decode_tensor(value)
    if kind == "scalar":
        number = value["value"]
        if not isinstance(number, (int, float)):
            raise ValueError(f"a scalar argument of {type(number).__name__}")
        return ScalarArgument(number, str(value["type"]), bool(value["annotated"]))
    if kind == "constant":
        return ConstantArgument(_constant(value["value"]), str(value["text"]))
    if kind == "descriptor":
        return DescriptorArgument(
            str(value["dtype"]),
            _sizes(value["shape"]),
            _sizes(value["strides"]),
            _sizes(value["block"]),
        )
    raise ValueError(f"an argument of kind {kind!r}")


def decode_tensor(value: Mapping[str, Any]) -> TensorArgument:
    return TensorArgument(
        dtype=str(value["dtype"]),
        shape=_sizes(value["shape"]),
        strides=_sizes(value["strides"]),
        aligned=bool(value["aligned"]),
        storage=int(value["storage"]),
    )


def _sizes(value: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in value)


def _constant(value: Any) -> MetaValue:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"a constant of {type(value).__name__}")


def _line(value: Any) -> int | None:
    return value if isinstance(value, int) else None

"""What Triton specialises a launch on: types, constants, divisibility by 16.

Follows Triton's own rules (`JITFunction`'s binder, the same in 3.6 to 3.9): an integer equal to
1 and None become constants, an integer that 16 divides and a pointer whose address 16 divides
are marked, floats and bools are never looked at. Tests compare with Triton's own result.
"""

from __future__ import annotations

from warpwright.types.compiled import Specialization
from warpwright.types.config import Config, MetaValue
from warpwright.types.launch_trace import (
    Argument,
    ConstantArgument,
    DescriptorArgument,
    Launch,
    ScalarArgument,
    TensorArgument,
    TracedConfig,
)

ALIGNMENT = 16

TRITON_TYPES = {
    "bool": "u1",
    "float8_e4m3fn": "fp8e4nv",
    "float8_e4m3fnuz": "fp8e4b8",
    "float8_e5m2": "fp8e5",
    "float8_e5m2fnuz": "fp8e5b16",
    "float16": "fp16",
    "bfloat16": "bf16",
    "float32": "fp32",
    "float64": "fp64",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "uint8": "u8",
    "uint16": "u16",
    "uint32": "u32",
    "uint64": "u64",
}
"""Triton's name of each torch dtype (without `torch`) that a kernel can take."""


def specialization(
    launch: Launch, config: Config | None = None, label: str = "as called"
) -> Specialization:
    """What the kernel is compiled for when `launch` runs under `config`.

    `config` None stands for the only one. Raises ValueError for a config that the launch does
    not have, and for a dtype that Triton has no type for.
    """
    traced = _traced(launch, config)
    arguments = {**launch.arguments, **traced.arguments}
    signature: dict[str, str] = {}
    constants: dict[str, MetaValue] = {}
    divisible: list[str] = []
    for name, argument in arguments.items():
        looked_at = name not in launch.unspecialized
        type_, constant, aligned = _one(argument, looked_at)
        signature[name] = type_
        if type_ == "constexpr":
            constants[name] = constant
        elif aligned and looked_at and name not in launch.unaligned:
            divisible.append(name)
    for name, value in traced.heuristic_values.items():
        signature[name] = "constexpr"
        constants[name] = value
    for name in traced.config.meta_dict:
        signature[name] = "constexpr"
    return Specialization(launch.kernel, signature, constants, tuple(divisible), label)


def _traced(launch: Launch, config: Config | None) -> TracedConfig:
    if config is None:
        if len(launch.configs) != 1:
            raise ValueError(f"{launch.kernel} has {len(launch.configs)} configs: name one")
        return launch.configs[0]
    alike = [traced for traced in launch.configs if same_launch(traced.config, config)]
    for traced in alike:
        if traced.config == config:  # of its hook too, which may set a descriptor's block
            return traced
    if alike:
        return alike[0]
    raise ValueError(f"{launch.kernel} is not launched with {config}")


def same_launch(one: Config, other: Config) -> bool:
    """Whether two configs are compiled alike, however they are written; hooks take no part."""
    return _essence(one) == _essence(other)


def _essence(config: Config) -> tuple[object, ...]:
    return (
        config.meta,
        config.num_warps,
        config.num_stages,
        config.num_ctas,
        config.maxnreg,
    )


def _one(argument: Argument, looked_at: bool) -> tuple[str, MetaValue, bool]:
    """Triton's type, the constant where that is `constexpr`, whether 16 divides it."""
    match argument:
        case ConstantArgument():
            return "constexpr", argument.value, False
        case TensorArgument():
            return f"*{triton_type(argument.dtype)}", None, argument.aligned
        case DescriptorArgument():
            block = ", ".join(map(str, argument.block))
            return f"tensordesc<{triton_type(argument.dtype)}[{block}]>", None, False
        case ScalarArgument():
            return _scalar(argument, looked_at)


def _scalar(argument: ScalarArgument, looked_at: bool) -> tuple[str, MetaValue, bool]:
    if not argument.type.startswith(("i", "u")) or argument.type == "u1":
        return argument.type, None, False
    value = argument.value
    if looked_at and value == 1 and not argument.annotated:
        return "constexpr", 1, False
    return argument.type, None, value % ALIGNMENT == 0


def triton_type(dtype: str) -> str:
    """Triton's name of a torch dtype. Raises ValueError where it has none."""
    try:
        return TRITON_TYPES[dtype]
    except KeyError:
        raise ValueError(f"Triton has no type for tensors of {dtype}") from None

"""Reading `triton.Config`, `@triton.autotune` and `@triton.heuristics` without running them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace

from warpwright.program.evaluate import CallReader, Evaluator, Unreadable
from warpwright.program.hook_text import written_out
from warpwright.program.parsing import segment_of, text_of
from warpwright.program.resolve import Aliases
from warpwright.types.config import Config, MetaValue
from warpwright.types.program import Autotune

CONFIG_PARAMETERS = (
    "kwargs", "num_warps", "num_stages", "num_ctas", "maxnreg", "pre_hook", "ir_override",
)  # fmt: skip
"""Positional order of `triton.Config` (3.6 to 3.9)."""

AUTOTUNE_PARAMETERS = (
    "configs", "key", "prune_configs_by", "reset_to_zero", "restore_value", "pre_hook",
    "post_hook", "warmup", "rep", "use_cuda_graph", "do_bench", "cache_results",
)  # fmt: skip

_DEFAULTS: Mapping[str, int | None] = {
    "num_warps": 4, "num_stages": 3, "num_ctas": 1, "maxnreg": None,
}  # fmt: skip


_ALWAYS_SET = ("num_warps", "num_stages", "num_ctas")


def read_config(call: ast.Call, evaluator: Evaluator) -> Config:
    """One `triton.Config(...)`. Raises `Unreadable`."""
    arguments = bind_arguments(call, CONFIG_PARAMETERS)
    meta_node = arguments.pop("kwargs", None)
    meta = {} if meta_node is None else evaluator.value(meta_node)
    if not isinstance(meta, dict) or not all(
        isinstance(name, str) and isinstance(value, (int, float, bool, str, type(None)))
        for name, value in meta.items()
    ):
        raise Unreadable("meta-parameters are not a plain mapping")
    hook = arguments.pop("pre_hook", None)
    others = {name: arguments.pop(name) for name in list(arguments) if name not in _DEFAULTS}
    options = {name: _option(name, evaluator.value(node)) for name, node in arguments.items()}
    values: dict[str, int | None] = {**_DEFAULTS, **options}
    # Among the meta-parameters these have no effect: Triton puts the config's own over them.
    pairs: list[tuple[str, MetaValue]] = [
        (name, value) for name, value in meta.items() if name not in _ALWAYS_SET
    ]
    return Config(
        tuple(pairs),
        num_warps=values["num_warps"] or 4,
        num_stages=values["num_stages"] or 0,
        num_ctas=values["num_ctas"] or 1,
        maxnreg=values["maxnreg"],
        explicit=tuple(options),
        line=call.lineno,
        ignored=tuple(name for name in meta if name in _ALWAYS_SET),
        pre_hook=None if hook is None else written_out(hook, evaluator),
        others=tuple(
            (name, text)
            for name, node in others.items()
            if (text := written_out(node, evaluator)) is not None
        ),
    )


def _option(name: str, value: object) -> int | None:
    if value is None and name == "maxnreg":
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unreadable(f"{name} is not an integer")
    return value


def bind_arguments(call: ast.Call, parameters: tuple[str, ...]) -> dict[str, ast.expr]:
    """Arguments of a call by parameter name. Raises `Unreadable` for `*args`, `**kwargs`."""
    if any(isinstance(a, ast.Starred) for a in call.args) or len(call.args) > len(parameters):
        raise Unreadable("positional arguments cannot be told apart")
    found = dict(zip(parameters, call.args, strict=False))
    for keyword in call.keywords:
        if keyword.arg is None:
            raise Unreadable("arguments come from a mapping")
        found[keyword.arg] = keyword.value
    return found


def read_autotune(
    call: ast.Call, source: str, aliases: Aliases, names: Mapping[str, ast.expr]
) -> Autotune:
    """`@triton.autotune(...)`: what cannot be read is kept as text, never guessed.

    `names` maps names to the one expression that defines each (module level, and the
    function around a nested kernel).
    """
    named, mappings = _written_out(call, names)
    try:
        arguments = bind_arguments(named, AUTOTUNE_PARAMETERS)
    except Unreadable:
        return Autotune(None, (), configs_text=segment_of(source, call), line=call.lineno)
    # What is named in the call cannot be in a mapping beside it: Python refuses it twice.
    other: dict[str, str] = {"**": ", ".join(mappings)} if mappings else {}
    configs_node = arguments.pop("configs", None)
    evaluator = Evaluator(aliases, names, config_reader(aliases))
    lists: dict[str, tuple[str, ...]] = {}
    for name in ("key", "reset_to_zero", "restore_value"):
        node = arguments.pop(name, None)
        strings = None if node is None else _strings(node, evaluator)
        if node is not None and strings is None:
            other[name] = text_of(node)
        lists[name] = strings or ()
    other.update((name, text_of(node)) for name, node in arguments.items())
    return Autotune(
        configs=None if configs_node is None else _read_configs(configs_node, evaluator),
        key=lists["key"],
        reset_to_zero=lists["reset_to_zero"],
        restore_value=lists["restore_value"],
        other_arguments=other,
        configs_text="" if configs_node is None else segment_of(source, configs_node),
        line=call.lineno,
    )


def _written_out(call: ast.Call, names: Mapping[str, ast.expr]) -> tuple[ast.Call, list[str]]:
    """The call with `**` of literal mappings as keywords, and the texts of other mappings."""
    keywords, texts = [], []
    for keyword in call.keywords:
        value = keyword.value
        if keyword.arg is None and isinstance(value, ast.Name):
            value = names.get(value.id, value)
        if keyword.arg is not None:
            keywords.append(keyword)
        elif isinstance(value, ast.Dict) and all(_is_text(key) for key in value.keys):
            pairs = zip(value.keys, value.values, strict=True)
            keywords += [ast.keyword(key.value, v) for key, v in pairs]  # type: ignore[union-attr]
        else:
            texts.append(text_of(keyword.value))
    written = ast.Call(call.func, call.args, keywords)
    return ast.copy_location(written, call), texts


def _is_text(key: ast.expr | None) -> bool:
    return isinstance(key, ast.Constant) and isinstance(key.value, str)


def config_reader(aliases: Aliases) -> CallReader:
    def read(call: ast.Call, evaluator: Evaluator) -> object:
        if aliases.path(call.func) == "triton.Config":
            return read_config(call, evaluator)
        raise Unreadable("a call that is not simple")

    return read


def _read_configs(node: ast.expr, evaluator: Evaluator) -> tuple[Config, ...] | None:
    try:
        value = evaluator.value(node)
    except Unreadable:
        return None
    if not isinstance(value, (list, tuple)):
        return None
    configs = [item for item in value if isinstance(item, Config)]
    if len(configs) != len(value):
        return None
    return tuple(replace(config, place=place) for place, config in enumerate(configs))


def _strings(node: ast.expr, evaluator: Evaluator) -> tuple[str, ...] | None:
    try:
        value = evaluator.value(node)
    except Unreadable:
        return None
    if value is None:
        return ()
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(str(item) for item in value)
    return None


def read_heuristics(call: ast.Call, names: Mapping[str, ast.expr]) -> dict[str, str]:
    """`@triton.heuristics({...})`: name → source text; {"*": text} if not a literal mapping."""
    node = call.args[0] if call.args else next((k.value for k in call.keywords), None)
    text = text_of(node)
    if isinstance(node, ast.Name):
        node = names.get(node.id, node)
    if not isinstance(node, ast.Dict):
        return {"*": text}
    found: dict[str, str] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        literal = isinstance(key, ast.Constant) and isinstance(key.value, str)
        found[key.value if literal else text_of(key)] = text_of(value)  # type: ignore[union-attr]
    return found

"""A kernel that a tuner launches, launched with one of its configs."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from warpwright.program.launches import LaunchNode, find_launches
from warpwright.proposers.rewrites.common.kernel_text import KernelText
from warpwright.proposers.rewrites.common.refusal import DoesNotApply
from warpwright.proposers.rewrites.common.splice import Splice, inserted_after, spliced
from warpwright.types.config import Config


def with_one_config(kernel: KernelText, config: Config) -> str:
    """The program without the kernel's `@triton.autotune`, whose launches pass the config.

        k[grid](x, n)   →   k[grid](x, n, BLOCK=512, num_warps=8, num_stages=3)

    Raises DoesNotApply for hooks, other decorators, and launches that pass lists of arguments.
    """
    if config.pre_hook is not None or config.others:
        raise DoesNotApply(f"a launch of {kernel.node.name} takes no hook")
    every = find_launches(kernel.program)
    splices = [_without_tuner(kernel)]
    for launch in every:
        if launch.kernel != kernel.node.name:
            continue
        if len({one.kernel for one in every if one.call is launch.call}) > 1:
            raise DoesNotApply("one call launches one of several kernels")
        splices += _passed(launch, config)
    return spliced(kernel.source, splices)


def _without_tuner(kernel: KernelText) -> Splice:
    decorators = kernel.node.decorator_list
    tuners = [
        node
        for node in decorators
        if isinstance(node, ast.Call) and kernel.path(node.func) == "autotune"
    ]
    if len(decorators) != 2 or len(tuners) != 1 or decorators[0] is not tuners[0]:
        raise DoesNotApply(f"{kernel.node.name} has other decorators than a tuner")
    if kernel.path(decorators[1]) != "jit":
        raise DoesNotApply(f"{kernel.node.name} is compiled in another way")
    names = {n.id for n in ast.walk(kernel.program.tree) if isinstance(n, ast.Name)}
    attributes = {n.attr for n in ast.walk(kernel.program.tree) if isinstance(n, ast.Attribute)}
    if kernel.node.name not in names or attributes & {"best_config", "configs", "cache"}:
        raise DoesNotApply(f"the program asks the tuner of {kernel.node.name}")
    return Splice((tuners[0].lineno, 0), (decorators[1].lineno, 0), "")


def _passed(launch: LaunchNode, config: Config) -> Iterator[Splice]:
    call = launch.call
    starred = any(isinstance(a, ast.Starred) for a in call.args)
    if starred or any(k.arg is None for k in call.keywords):
        raise DoesNotApply(f"a launch of {launch.kernel} passes a splatted list of arguments")
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    if not given:
        raise DoesNotApply(f"a launch of {launch.kernel} passes nothing")
    options = {"num_warps": config.num_warps, "num_stages": config.num_stages}
    if config.num_ctas != 1:
        options["num_ctas"] = config.num_ctas
    if config.maxnreg is not None:
        options["maxnreg"] = config.maxnreg
    every = {**config.meta_dict, **options}
    if {keyword.arg for keyword in call.keywords} & every.keys():
        raise DoesNotApply("the launch passes what the tuner chooses")
    last = max(given, key=lambda node: (node.end_lineno or 0, node.end_col_offset or 0))
    yield inserted_after(last, "".join(f", {name}={value!r}" for name, value in every.items()))

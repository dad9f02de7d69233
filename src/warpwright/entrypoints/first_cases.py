"""A first cases file for an entry point: inputs guessed from its parameters, to be edited."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from warpwright.entrypoints.harness import Parameter, Signature

ROWS, COLUMNS, HEADS, SIZE = 2048, 4096, 16, 64
DTYPE = "torch.float16"

_VECTOR = re.compile(r"(weight|gamma|bias|beta|gain|scale|^w$|^b$|^g$)s?$", re.IGNORECASE)
_INDEX = re.compile(r"(ind(ex|ices)|idx|ids|label|target|position|offset|lengths?$)", re.IGNORECASE)
_NUMBERS = {
    re.compile(r"^(eps|epsilon)$"): "1e-5",
    re.compile(r"^(lr|learning_rate)$"): "1e-3",
    re.compile(r"^(p|dropout|rate)$"): "0.1",
    re.compile(r"^(beta1|beta_1)$"): "0.9",
    re.compile(r"^(beta2|beta_2)$"): "0.999",
    re.compile(r"(seed|step|steps)$"): "1",
    re.compile(r"(alpha|decay|momentum|temperature)$"): "0.1",
    re.compile(r"^(causal|is_causal|inplace|transpose|training)$"): "True",
    re.compile(r"^(sm_scale|softmax_scale|softcap)$"): "0.125",
    re.compile(r"^(group_size|groups|num_groups|bins|k)$"): "32",
}


@dataclass(frozen=True, slots=True)
class Guess:
    """One guess: each argument by name, as Python text."""

    arguments: dict[str, str]


def guesses(signature: Signature) -> Iterator[Guess]:
    """Inputs that an entry point might take, the likeliest first: rows of a matrix, matrices that
    multiply, heads of attention, images, one long vector."""
    wanted = [p for p in signature.parameters if p.default is None]
    names = {p.name for p in wanted}
    alike = names & {"b", "B"} if names & {"a", "A"} else set()  # two operands, not a bias
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((ROWS, COLUMNS), (COLUMNS,)),
        ((ROWS, ROWS), (ROWS, ROWS)),
        ((2, HEADS, SIZE * 16, SIZE), (SIZE,)),
        ((2, ROWS, COLUMNS), (COLUMNS,)),
        ((16, SIZE, SIZE, SIZE), (SIZE,)),
        ((ROWS * COLUMNS,), (ROWS * COLUMNS,)),
        ((8, 512, 512), (8, 512, 512)),
    ]
    for shape, vector in shapes:
        for index_shape in (shape[:1], shape):
            guess = {p.name: _argument(p, shape, vector, index_shape, alike) for p in wanted}
            yield Guess(guess)
            if not any(_INDEX.search(p.name) for p in wanted):
                break


def _argument(
    parameter: Parameter,
    shape: Sequence[int],
    vector: Sequence[int],
    index_shape: Sequence[int],
    among: Collection[str],
) -> str:
    """One argument as text; those of the names `among` have the shape of the others."""
    name = parameter.name
    for pattern, text in _NUMBERS.items():
        if pattern.search(name):
            return text
    if _INDEX.search(name):
        return f"torch.randint(0, {shape[-1]}, {_sizes(index_shape)})"
    chosen = vector if _VECTOR.search(name) and name not in among else shape
    return f"torch.randn({', '.join(map(str, chosen))}, dtype={DTYPE})"


def _sizes(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def cases_text(label: str, signature: Signature, guess: Guess, failed: str | None) -> str:
    """The file's text. `failed`: why the guess does not run, if it does not."""
    parameters = ", ".join(
        p.name if p.default is None else f"{p.name}={p.default}" for p in signature.parameters
    )
    optional = [p for p in signature.parameters if p.default is not None]
    left_out = ", ".join(f"{p.name}={p.default}" for p in optional)
    return _TEXT.format(
        label=label,
        state="They were guessed from its parameters and run: kernels are launched."
        if failed is None
        else f"They were guessed from its parameters and do NOT run yet: {failed}",
        arguments=_body(guess),
        left_out=f"    # left out: {left_out}\n" if left_out else "",
        parameters=parameters,
    )


def _body(guess: Guess) -> str:
    return "".join(f'        "{name}": {text},\n' for name, text in guess.arguments.items())


_TEXT = '''"""Cases of {label}: the inputs that it is studied, checked and timed on.

{state}
Give the shapes and dtypes that you really call it with. Nothing here needs a GPU.
"""

import torch


def usual():
{left_out}    return {{
{arguments}    }}


# Give a function for each set of inputs that matters, and how often it occurs beside the others.
# The program is made faster for the one with the most weight; on the others it must be right, and
# over all of them faster.
CASES = {{usual: 1}}

# With a reference in plain PyTorch, outputs are judged against it in float64, and edits that change
# the last bits (another order of a sum) become possible. Without one, outputs are held to those of
# the program as it is, bit for bit.
#
# def reference({parameters}):
#     return ...
'''

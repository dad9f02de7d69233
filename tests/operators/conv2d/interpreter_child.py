"""Child of the tests: runs emitted programs in Triton's interpreter, a line of JSON for each."""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

# One file holds one program after the other: byte code of the same second and size would be taken
# for that of the next one.
sys.dont_write_bytecode = True

AFTER = {
    "relu": lambda y, v: F.relu(y),
    "add": lambda y, v: y + v,
    "mul": lambda y, v: y * v,
    "gelu": lambda y, v: F.gelu(y),
    "mish": lambda y, v: F.mish(y),
    "softsign": lambda y, v: F.softsign(y),
    "tanh": lambda y, v: torch.tanh(y),
    "minimum": lambda y, v: torch.clamp(y, max=v),
    "leaky_relu": lambda y, v: F.leaky_relu(y, v),
}


def load(source: str, name: str, folder: Path) -> Any:
    path = folder / f"{name}.py"
    path.write_text(source)
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def image(case: dict[str, Any], dtype: torch.dtype) -> torch.Tensor:
    batch, height, width = case["size"]
    x = (torch.rand(batch, case["in_channels"], height, width) - 0.3).to(dtype)
    if case["nonfinite"]:
        x[0, 0, height // 2, width // 2] = float("inf")
        x[-1, -1, -1, -1] = float("nan")
    if case["turned"]:  # the same values column by column; contiguous() would not move one column
        columns = torch.empty(batch, case["in_channels"], width, height, dtype=dtype)
        x = columns.transpose(2, 3).copy_(x)
    elif case["channels_last"]:
        x = x.contiguous(memory_format=torch.channels_last)
    return x


def compared(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """How far the program is from the problem's model in float64."""
    torch.manual_seed(0)
    dtype = getattr(torch, case["dtype"])
    model = load(case["problem"], "problem", folder).Model().to(dtype)
    new = load(case["program"], "program", folder).ModelNew().to(dtype)
    new.load_state_dict(model.state_dict())
    x = image(case, dtype)
    with torch.no_grad():
        want = model.double()(x.double())
        for function, value in case["after"]:
            want = AFTER[function](want, value)
        got = new(x)
    finite = want.isfinite()
    layout = torch.channels_last if case["channels_last"] else torch.contiguous_format
    return {
        "shape": list(got.shape) == list(want.shape),
        "layout": got.is_contiguous(memory_format=layout),
        "dtype": got.dtype == dtype,
        "nonfinite": torch.equal(got.isnan(), want.isnan())
        and torch.equal(got.isinf(), want.isinf()),
        "error": float((got.double() - want)[finite].norm() / want[finite].norm()),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            print(json.dumps(compared(json.loads(line), Path(folder))), flush=True)


if __name__ == "__main__":
    main()

"""Jobs for `measured_answers.py`: the seeds, the examples, and the first ten convolutions among the
recorded tuning requests by the SHA-256 of the task's name.

    WARPWRIGHT_CASES=DIR python benchmarks/convolution_jobs.py OUT

`DIR` holds `seeds/` and `cases/recorded.jsonl.gz`. Writes requests, problem files and `jobs.json`
into the folder `OUT`. The models below are written from each task's name and shapes; a task without
one is answered by its shapes alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from recorded import TUNING, cases

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n\n"
SEED_1 = """class Model(nn.Module):
    def __init__(self, num_classes=1000):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, kernel_size=11, stride=4, padding=2)

    def forward(self, x):
        return self.conv1(x)
"""
SEED_2 = """class Model(nn.Module):
    def __init__(self, cin, cout, k, stride=1, padding=(0, 0), dilation=(1, 1), bias=False):
        super().__init__()
        self.conv2d = nn.Conv2d(
            cin, cout, k, stride=stride, padding=padding, dilation=dilation, bias=bias
        )

    def forward(self, x):
        return self.conv2d(x)
"""
MODELS = {
    "35_Conv2d_Subtract_HardSwish_MaxPool_Mish": """class Model(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, subtract_value, pool_kernel_size):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size)
        self.subtract_value = subtract_value
        self.pool = nn.MaxPool2d(pool_kernel_size)

    def forward(self, x):
        return F.mish(self.pool(F.hardswish(self.conv(x) - self.subtract_value)))
""",
    "89_ConvTranspose3d_MaxPool_Softmax_Subtract_Swish_Max": """class Model(nn.Module):
    def __init__(self, cin, cout, k, stride, padding, output_padding, pk, ps, pp):
        super().__init__()
        self.conv_transpose = nn.ConvTranspose3d(
            cin, cout, k, stride=stride, padding=padding, output_padding=output_padding
        )
        self.max_pool = nn.MaxPool3d(pk, ps, pp)
        self.subtract = nn.Parameter(torch.randn(cout))

    def forward(self, x):
        x = self.max_pool(self.conv_transpose(x))
        x = torch.softmax(x, dim=1) - self.subtract.view(1, -1, 1, 1, 1)
        x = torch.sigmoid(x) * x
        return torch.max(x, dim=1)[0]
""",
    "65_Conv2d_AvgPool_Sigmoid_Sum": """class Model(nn.Module):
    def __init__(self, cin, cout, k, pool):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, k)
        self.pool = nn.AvgPool2d(pool)

    def forward(self, x):
        return torch.sigmoid(self.pool(self.conv(x))).sum(dim=(1, 2, 3))
""",
    "83_conv_depthwise_2D_square_input_asymmetric_kernel": """class Model(nn.Module):
    def __init__(self, channels, k, stride=1, padding=0, dilation=1, bias=False):
        super().__init__()
        self.conv2d = nn.Conv2d(
            channels,
            channels,
            (k, 1),
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=channels,
            bias=bias,
        )

    def forward(self, x):
        return self.conv2d(x)
""",
    "47_Conv3d_Mish_Tanh": """class Model(nn.Module):
    def __init__(self, cin, cout, k, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv3d(cin, cout, k, stride=stride, padding=padding)

    def forward(self, x):
        return torch.tanh(F.mish(self.conv(x)))
""",
    "93_ConvTranspose2d_Add_Min_GELU_Multiply": """class Model(nn.Module):
    def __init__(self, cin, cout, k, stride, add_value, multiply_value):
        super().__init__()
        self.conv_transpose = nn.ConvTranspose2d(cin, cout, k, stride=stride)
        self.add_value = add_value
        self.multiply_value = multiply_value

    def forward(self, x):
        x = torch.clamp(self.conv_transpose(x) + self.add_value, max=0.0)
        return F.gelu(x) * self.multiply_value
""",
    "54_Conv2d_Multiply_LeakyReLU_GELU": """class Model(nn.Module):
    def __init__(self, cin, cout, k, shape):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, k)
        self.multiplier = nn.Parameter(torch.randn(shape))

    def forward(self, x):
        return F.gelu(F.leaky_relu(self.conv(x) * self.multiplier))
""",
    "78_conv_transposed_2D_asymmetric_input_asymmetric_kernel": """class Model(nn.Module):
    def __init__(self, cin, cout, k, stride=(1, 1), padding=(0, 0), bias=False):
        super().__init__()
        self.conv_transpose2d = nn.ConvTranspose2d(
            cin, cout, k, stride=stride, padding=padding, bias=bias
        )

    def forward(self, x):
        return self.conv_transpose2d(x)
""",
}
CONVOLUTIONS = 10


def problem(model: str, shape: list[int], init: list[Any]) -> str:
    """A problem file: the model, random inputs of the shape, the constructor's arguments."""
    sizes = ", ".join(map(str, shape))
    inputs = f"def get_inputs():\n    return [torch.rand({sizes})]\n"
    return f"{HEAD}{model}\n\n{inputs}\n\ndef get_init_inputs():\n    return {init!r}\n"


def recorded_jobs(out: Path) -> list[dict[str, Any]]:
    """The recorded convolutions, in the order of their hashes."""
    found = [(n, case) for n, case in cases(TUNING) if "conv" in case["task"].lower()]
    found.sort(key=lambda entry: hashlib.sha256(entry[1]["task"].encode()).hexdigest())
    jobs: list[dict[str, Any]] = []
    for number, case in found[:CONVOLUTIONS]:
        name = f"r{number}"
        (out / f"{name}.txt").write_text(case["request"])
        (entry,) = case["inputs"]
        shape = entry["shape"] if isinstance(entry, dict) else entry
        job: dict[str, Any] = {"name": name, "task": case["task"], "request": f"{name}.txt"}
        task = next((m for t, m in MODELS.items() if t in case["task"]), None)
        if task is None:
            job |= {"inputs": ["x".join(map(str, shape))], "init": case["init"]}
        else:
            (out / f"{name}.problem.py").write_text(problem(task, shape, case["init"]))
            job["problem"] = f"{name}.problem.py"
        jobs.append(job)
    return jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    seeds = sorted((Path(os.environ["WARPWRIGHT_CASES"]) / "seeds").glob("*.txt"))
    problems = (
        problem(SEED_1, [256, 3, 224, 224], [1000]),
        problem(SEED_2, [8, 32, 512, 512], [32, 64, (5, 9), 1, (2, 4), (2, 3)]),
    )
    jobs = []
    for number, (seed, text) in enumerate(zip(seeds, problems, strict=True), 1):
        (out / f"seed{number}.txt").write_text(seed.read_text())
        (out / f"seed{number}.problem.py").write_text(text)
        files = {"request": f"seed{number}.txt", "problem": f"seed{number}.problem.py"}
        jobs.append({"name": f"seed{number}", **files})
    examples = sorted((Path(__file__).parent.parent / "examples").iterdir())
    for number, folder in enumerate((f for f in examples if f.is_dir()), 1):
        files = {"request": str(folder / "request.txt"), "problem": str(folder / "problem.py")}
        jobs.append({"name": f"ex{number}", **files})
    jobs += recorded_jobs(out)
    (out / "jobs.json").write_text(json.dumps(jobs, indent=1))
    print(f"{len(jobs)} jobs in {out / 'jobs.json'}")


if __name__ == "__main__":
    main()

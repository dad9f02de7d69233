"""Models of the tasks whose recorded requests are measured, from each task's name and shapes.

`MODELS`: the start of a task's name → the text of its `Model`; `INPUTS`: that of its inputs where
they are not plain random numbers of the recorded shapes. In KernelBench's form (`problem`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
    "37_Matmul_Swish_Sum_GroupNorm": """class Model(nn.Module):
    def __init__(self, inputs, outputs, groups, shape):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.bias = nn.Parameter(torch.randn(shape))
        self.group_norm = nn.GroupNorm(groups, outputs)

    def forward(self, x):
        return self.group_norm(F.silu(self.linear(x)) + self.bias)
""",
    "4_Matrix_vector_multiplication": """class Model(nn.Module):
    def forward(self, a, b):
        return torch.matmul(a, b)
""",
    "14_Matmul_for_upper_triangular_matrices": """class Model(nn.Module):
    def forward(self, a, b):
        return torch.triu(torch.matmul(a, b))
""",
    "94_Gemm_BiasAdd_Hardtanh_Mish_GroupNorm": """class Model(nn.Module):
    def __init__(self, inputs, outputs, shape, groups):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.bias = nn.Parameter(torch.randn(shape))
        self.norm = nn.GroupNorm(groups, outputs)

    def forward(self, x):
        return self.norm(F.mish(F.hardtanh(self.linear(x) + self.bias)))
""",
    "77_ConvTranspose3d_Scale_BatchNorm_GlobalAvgPool": """class Model(nn.Module):
    def __init__(self, cin, cout, k, scale, eps=1e-5, momentum=0.1):
        super().__init__()
        self.conv_transpose = nn.ConvTranspose3d(cin, cout, k)
        self.scale_factor = scale
        self.batch_norm = nn.BatchNorm3d(cout, eps=eps, momentum=momentum)

    def forward(self, x):
        x = self.batch_norm(self.conv_transpose(x) * self.scale_factor)
        return F.adaptive_avg_pool3d(x, 1)
""",
    "37_FrobeniusNorm_": """class Model(nn.Module):
    def forward(self, x):
        return x / torch.linalg.vector_norm(x)
""",
    "70_Gemm_Sigmoid_Scaling_ResidualAdd": """class Model(nn.Module):
    def __init__(self, inputs, hidden, scale):
        super().__init__()
        self.gemm = nn.Linear(inputs, hidden)
        self.scaling_factor = scale

    def forward(self, x):
        x = self.gemm(x)
        return torch.sigmoid(x) * self.scaling_factor + x
""",
    "97_ScaledDotProductAttention": """class Model(nn.Module):
    def forward(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v)
""",
    "29_Matmul_Mish_Mish": """class Model(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x):
        return F.mish(F.mish(self.linear(x)))
""",
    "83_Conv3d_GroupNorm_Min_Clamp_Dropout": """class Model(nn.Module):
    def __init__(self, cin, cout, k, groups, low, high, p):
        super().__init__()
        self.conv = nn.Conv3d(cin, cout, k)
        self.norm = nn.GroupNorm(groups, cout)
        self.dropout = nn.Dropout(p)
        self.low, self.high = low, high

    def forward(self, x):
        x = torch.clamp(self.norm(self.conv(x)), max=self.low)
        return self.dropout(torch.clamp(x, min=self.low, max=self.high))
""",
    "21_Conv2d_Add_Scale_Sigmoid_GroupNorm": """class Model(nn.Module):
    def __init__(self, cin, cout, k, groups, bias_shape, scale_shape):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, k)
        self.bias = nn.Parameter(torch.randn(bias_shape))
        self.scale = nn.Parameter(torch.randn(scale_shape))
        self.group_norm = nn.GroupNorm(groups, cout)

    def forward(self, x):
        return self.group_norm(torch.sigmoid((self.conv(x) + self.bias) * self.scale))
""",
    "44_Average_Pooling_1D": """class Model(nn.Module):
    def __init__(self, k, stride=1, padding=0):
        super().__init__()
        self.pool = nn.AvgPool1d(k, stride, padding)

    def forward(self, x):
        return self.pool(x)
""",
    "30_Softsign": """class Model(nn.Module):
    def forward(self, x):
        return F.softsign(x)
""",
    "91_ConvTranspose2d_Softmax_BiasAdd_Scaling_Sigmoid": """class Model(nn.Module):
    def __init__(self, cin, cout, k, stride, padding, output_padding, shape, scale):
        super().__init__()
        self.conv_transpose = nn.ConvTranspose2d(
            cin, cout, k, stride=stride, padding=padding, output_padding=output_padding
        )
        self.bias = nn.Parameter(torch.randn(shape))
        self.scaling_factor = scale

    def forward(self, x):
        x = torch.softmax(self.conv_transpose(x), dim=1)
        return torch.sigmoid((x + self.bias) * self.scaling_factor)
""",
    "79_conv_transposed_1D_asymmetric_input_square_kernel": """class Model(nn.Module):
    def __init__(self, cin, cout, k, stride=1, padding=0, dilation=1, bias=False):
        super().__init__()
        self.conv1d_transpose = nn.ConvTranspose1d(
            cin, cout, k, stride=stride, padding=padding, dilation=dilation, bias=bias
        )

    def forward(self, x):
        return self.conv1d_transpose(x)
""",
    "75_Gemm_GroupNorm_Min_BiasAdd": """class Model(nn.Module):
    def __init__(self, inputs, outputs, groups, shape):
        super().__init__()
        self.gemm = nn.Linear(inputs, outputs)
        self.group_norm = nn.GroupNorm(groups, outputs)
        self.bias = nn.Parameter(torch.randn(shape))

    def forward(self, x):
        x = self.group_norm(self.gemm(x))
        return torch.min(x, dim=1, keepdim=True)[0] + self.bias
""",
}
INPUTS = {
    "14_Matmul_for_upper_triangular_matrices": (
        "[torch.triu(torch.rand(4096, 4096)), torch.triu(torch.rand(4096, 4096))]"
    ),
    "97_ScaledDotProductAttention": (
        "[torch.rand(32, 32, 512, 1024, dtype=torch.float16) for _ in range(3)]"
    ),
}


def problem(model: str, shapes: Sequence[Sequence[int]], init: Sequence[Any]) -> str:
    """A problem file: the model, random inputs of the shapes, the constructor's arguments."""
    made = ", ".join(f"torch.rand({', '.join(map(str, shape))})" for shape in shapes)
    return _file(model, f"[{made}]", init)


def problem_of(task: str, shapes: Sequence[Sequence[int]], init: Sequence[Any]) -> str | None:
    """The problem file of a recorded task; None where its model is not here."""
    name = next((start for start in MODELS if task.startswith(start)), None)
    if name is None:
        return None
    if name in INPUTS:
        return _file(MODELS[name], INPUTS[name], init)
    return problem(MODELS[name], shapes, init)


def _file(model: str, inputs: str, init: Sequence[Any]) -> str:
    made = f"def get_inputs():\n    return {inputs}\n"
    return f"{HEAD}{model}\n\n{made}\n\ndef get_init_inputs():\n    return {list(init)!r}\n"

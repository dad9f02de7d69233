"""Stand-ins refuse what a device refuses."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from warpwright.tracing.child_trace_checks import CHECKS  # noqa: E402

TRANSPOSED = (torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("shape", [(2, 4), (4,)])
def test_channels_that_torch_takes_pass(dims: int, shape: tuple[int, ...]) -> None:
    images, weight = torch.rand(*shape, *[5] * dims), torch.rand(4, 3, *[2] * dims)
    function = TRANSPOSED[dims - 1]
    function(images, weight)
    CHECKS[function]((images, weight), {})


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("shape", [(2, 6), (6,)])
def test_channels_that_torch_refuses_raise_as_there(dims: int, shape: tuple[int, ...]) -> None:
    images, weight = torch.rand(*shape, *[5] * dims), torch.rand(4, 3, *[2] * dims)
    function = TRANSPOSED[dims - 1]
    with pytest.raises(RuntimeError) as real:
        function(images, weight)
    with pytest.raises(RuntimeError) as ours:
        CHECKS[function]((images,), {"weight": weight})
    assert "expected input" in str(real.value)
    assert str(ours.value).split(",")[0] == str(real.value).split(",")[0]

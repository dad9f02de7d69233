"""What a person is told of the card that a name was taken for."""

from warpwright import api
from warpwright.gpus.target_sheet import resolve_gpu
from warpwright.report.gpu_text import gpu_notes
from warpwright.types.gpu import StatedGpu


def test_a_name_that_fits_several_boards_is_told() -> None:
    (note,) = gpu_notes(api.target_gpu("H100"))
    assert "H100 SXM is taken, not H100 PCIe" in note


def test_a_board_without_a_sheet_is_told() -> None:
    stated = StatedGpu("RTX 9999", fields={"compute_capability": "8.9", "sm_count": 128})
    (note,) = gpu_notes(resolve_gpu(stated))
    assert "no sheet is known for 'RTX 9999'" in note


def test_a_number_that_differs_from_the_sheet_is_told() -> None:
    (note,) = gpu_notes(resolve_gpu(StatedGpu("RTX 4090", fields={"sm_count": 100})))
    assert "sm_count = 100; our sheet has 128" in note


def test_a_full_name_leaves_nothing_to_tell() -> None:
    assert gpu_notes(api.target_gpu("H100 SXM")) == []

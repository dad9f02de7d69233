"""Arrays between processes: decoded without loss, read without trust."""

from __future__ import annotations

import numpy as np
import pytest

from warpwright.errors import SandboxError
from warpwright.sandbox import arrays


def test_an_array_comes_back_as_it_was(tmp_path):
    values = np.arange(12, dtype=np.float16).reshape(3, 4)
    arrays.write_bits(tmp_path, "a.npy", values)
    entry = {"name": "output", "dtype": "float16", "file": "a.npy"}
    found = arrays.read_array(tmp_path, entry)
    assert found.data.dtype == np.float16
    assert np.array_equal(found.data, values)


def test_a_scalar_stays_a_scalar(tmp_path):
    arrays.write_bits(tmp_path, "a.npy", np.array(2.5))
    assert arrays.read_bits(tmp_path, "a.npy").shape == ()


def test_bfloat16_bits_become_the_values_they_stand_for():
    bits = np.array([0x3F80, 0xC000, 0x7F80, 0x0001], dtype=np.uint16)
    values = arrays.decode(bits, "bfloat16")
    assert values.tolist()[:3] == [1.0, -2.0, np.inf]
    assert 0 < values[3] < 1e-38


@pytest.mark.triton
@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "bfloat16"])
def test_every_bit_pattern_decodes_as_torch_has_it(dtype):
    torch = pytest.importorskip("torch")
    kind = np.uint16 if dtype == "bfloat16" else np.uint8
    bits = np.arange(np.iinfo(kind).max + 1, dtype=kind)
    expected = torch.from_numpy(bits.copy()).view(getattr(torch, dtype)).float().numpy()
    assert np.array_equal(arrays.decode(bits, dtype), expected, equal_nan=True)


def test_pickled_objects_are_refused(tmp_path):
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(SandboxError, match="cannot be read"):
        arrays.read_bits(tmp_path, "evil.npy")


@pytest.mark.parametrize("file", ["../a.npy", "sub/a.npy", "absent.npy"])
def test_only_plain_files_of_the_directory_are_read(tmp_path, file):
    arrays.write_bits(tmp_path, "a.npy", np.zeros(1))
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(SandboxError, match="no array file"):
        arrays.read_bits(inner, file)


def test_links_and_garbage_are_refused(tmp_path):
    (tmp_path / "garbage.npy").write_bytes(b"\x93NUMPY\x01\x00nothing")
    (tmp_path / "link.npy").symlink_to("/etc/hostname")
    for file in ("garbage.npy", "link.npy"):
        with pytest.raises(SandboxError):
            arrays.read_bits(tmp_path, file)


def test_bits_of_another_type_are_refused():
    with pytest.raises(SandboxError, match="stored as"):
        arrays.decode(np.zeros(2, dtype=np.float32), "bfloat16")

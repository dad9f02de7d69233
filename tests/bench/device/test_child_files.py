"""Output files of a worker: written, read, given back, written again."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from warpwright.bench.device import worker  # noqa: E402
from warpwright.bench.device.child_files import GIVEN_BACK, Outbox, given_back, load  # noqa: E402

CPU = torch.device("cpu")


def test_a_file_that_was_given_back_is_written_again_with_what_is_new(tmp_path: Path) -> None:
    outbox = Outbox()
    (first,) = outbox.save_all([("output", torch.arange(6.0))], tmp_path, "out1")
    inode = (tmp_path / first["file"]).stat().st_ino
    (tmp_path / first["file"]).rename(given_back(tmp_path / first["file"]))
    values = torch.tensor([[5, 4, 3], [2, 1, 0]], dtype=torch.int32)
    (second,) = outbox.save_all([("output", values)], tmp_path, "out2")
    assert (tmp_path / second["file"]).stat().st_ino == inode
    assert torch.equal(load(tmp_path, second, CPU), values)
    assert [path.name for path in tmp_path.iterdir()] == [second["file"]]


def test_a_file_that_is_not_given_back_stays_as_it_is(tmp_path: Path) -> None:
    outbox = Outbox()
    (first,) = outbox.save_all([("output", torch.arange(6.0))], tmp_path, "out1")
    (second,) = outbox.save_all([("output", torch.zeros(6))], tmp_path, "out2")
    assert torch.equal(load(tmp_path, first, CPU), torch.arange(6.0))
    assert torch.equal(load(tmp_path, second, CPU), torch.zeros(6))


def test_one_of_another_size_gives_up_its_room(tmp_path: Path) -> None:
    outbox = Outbox()
    (first,) = outbox.save_all([("output", torch.arange(6.0))], tmp_path, "out1")
    (tmp_path / first["file"]).rename(given_back(tmp_path / first["file"]))
    named = [("a", torch.arange(3.0)), ("b", torch.empty(0)), ("c", torch.ones(2, 2).half())]
    manifest = outbox.save_all(named, tmp_path, "out2")
    assert sorted(path.name for path in tmp_path.iterdir()) == [e["file"] for e in manifest]
    for (_, tensor), entry in zip(named, manifest, strict=True):
        assert torch.equal(load(tmp_path, entry, CPU), tensor)


def test_two_files_take_turns_while_one_of_them_is_read(tmp_path: Path) -> None:
    outbox, inodes = Outbox(), []
    names: list[str] = []
    for number in range(6):
        (entry,) = outbox.save_all([("output", torch.full((6,), number))], tmp_path, f"out{number}")
        names.append(entry["file"])
        inodes.append((tmp_path / entry["file"]).stat().st_ino)
        assert torch.equal(load(tmp_path, entry, CPU), torch.full((6,), number))
        if number:  # the one before was read while this was written
            (tmp_path / names[-2]).rename(given_back(tmp_path / names[-2]))
    assert inodes[::2] == inodes[:1] * 3 and inodes[1::2] == inodes[1:2] * 3


def test_both_sides_mean_the_same_files() -> None:
    assert worker.GIVEN_BACK == GIVEN_BACK

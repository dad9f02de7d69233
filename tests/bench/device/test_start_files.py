"""What Triton builds in each process is kept, and given to the next one under its own paths."""

import json

from warpwright.bench.device.start_files import FOLDER, give_files, keep_files


def built(job_dir):
    entry = job_dir / FOLDER / "ENTRY"
    entry.mkdir(parents=True)
    (entry / "fill.cubin").write_bytes(b"binary")
    (entry / "__grp__fill.json").write_text(
        json.dumps({"child_paths": {"fill.cubin": str(entry / "fill.cubin")}})
    )


def test_files_are_given_with_paths_of_the_new_process(tmp_path):
    first, second, kept = tmp_path / "first", tmp_path / "second", tmp_path / "kept"
    built(first)
    second.mkdir()
    keep_files(kept, first)
    give_files(kept, second)
    entry = second / FOLDER / "ENTRY"
    group = json.loads((entry / "__grp__fill.json").read_text())
    assert group["child_paths"] == {"fill.cubin": str(entry / "fill.cubin")}
    assert (entry / "fill.cubin").read_bytes() == b"binary"


def test_the_first_files_stay(tmp_path):
    first, second, kept = tmp_path / "first", tmp_path / "second", tmp_path / "kept"
    built(first)
    built(second)
    (second / FOLDER / "ENTRY" / "fill.cubin").write_bytes(b"another")
    keep_files(kept, first)
    keep_files(kept, second)
    assert (kept / "ENTRY" / "fill.cubin").read_bytes() == b"binary"


def test_nothing_is_given_where_nothing_is_kept(tmp_path):
    give_files(tmp_path / "none", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_kept_of_a_process_that_built_nothing(tmp_path):
    (tmp_path / "job").mkdir()
    keep_files(tmp_path / "kept", tmp_path / "job")
    assert not (tmp_path / "kept").exists()

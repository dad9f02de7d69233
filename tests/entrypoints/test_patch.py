"""A changed program as a patch of the files: they compute what it computes, and little changes."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

import packages
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warpwright.entrypoints.join import Joiner
from warpwright.entrypoints.modules import Modules
from warpwright.entrypoints.named_programs import named_program
from warpwright.entrypoints.patch import Patch, checked_patch, patch_of, whole_file
from warpwright.errors import InputError, InternalError
from warpwright.types.entry import EntryPoint, JoinedProgram

HELPER = "def doubled_here(x):\n    return 2 * x\n\n\n"


def joined(file: Path, name: str) -> tuple[JoinedProgram, str]:
    joiner = Joiner(Modules(file))
    definition = joiner.definition(file, name)
    return joiner.join(EntryPoint(file, name)), joiner.names[definition]


def changed(source: str, constants: list[int], with_helper: bool) -> str:
    """The text with other constants, and perhaps a new function that its last one calls."""
    numbers = iter(constants)
    text = re.sub(r"^(\w+ = )(\d+)$", lambda m: f"{m[1]}{next(numbers, m[2])}", source, flags=re.M)
    if with_helper:
        at = text.rindex("\ndef ") + 1
        text = text[:at] + HELPER + text[at:]
        text = re.sub(r"return (?!2 \* x)(.*)\Z", r"return doubled_here(\1)\n", text.rstrip("\n"))
    return text


@settings(max_examples=50, deadline=None)
@given(packages.packages(), st.lists(st.integers(10, 99), max_size=12), st.booleans())
def test_the_patched_files_compute_what_the_changed_text_computes(
    files: dict[str, str], constants: list[int], with_helper: bool
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = packages.write(Path(name), files)
        program, entry = joined(folder / "pkg" / "m3.py", "f")
        text = changed(program.source, constants, with_helper)
        patch = patch_of(program, text)
        patch.apply()
        with packages.imported(folder, "pkg.m3") as module:
            expected = [module.f(x) for x in (1, 5)]
        function = packages.executed(text, entry)
        assert [function(x) for x in (1, 5)] == expected
        for path in folder.rglob("*.py"):
            before = files[str(path.relative_to(folder))].split("\n")
            lines = path.read_text().split("\n")
            assert len(set(before) - set(lines)) <= len(constants) + 1  # nothing else was touched


@settings(max_examples=25, deadline=None)
@given(packages.packages(), st.lists(st.integers(10, 99), min_size=1, max_size=12))
def test_the_diff_is_one_that_patch_applies_and_takes_back(
    files: dict[str, str], constants: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = packages.write(Path(name), files)
        program, _ = joined(folder / "pkg" / "m3.py", "f")
        patch = patch_of(program, changed(program.source, constants, False))
        diff = patch.diff(folder)
        _run("patch", "-p1", folder=folder, text=diff)
        for path, text in patch.after.items():
            assert path.read_text() == text
        _run("patch", "-R", "-p1", folder=folder, text=diff)
        for path, text in patch.before.items():
            assert path.read_text() == text


def _run(*command: str, folder: Path, text: str) -> None:
    if text:
        subprocess.run(command, cwd=folder, input=text, text=True, check=True, capture_output=True)


class TestLayout:
    def test_line_ends_and_a_byte_order_mark_stay(self, tmp_path: Path) -> None:
        path = tmp_path / "one.py"
        path.write_bytes(
            b"\xef\xbb\xbfimport math\r\nA = 1\r\n\r\ndef f(x):\r\n    return A + x\r\n"
        )
        program, _ = joined(path, "f")
        patch_of(program, program.source.replace("A + x", "A - x")).apply()
        expected = b"\xef\xbb\xbfimport math\r\nA = 1\r\n\r\ndef f(x):\r\n    return A - x\r\n"
        assert path.read_bytes() == expected

    def test_a_file_without_a_last_line_end(self, tmp_path: Path) -> None:
        path = tmp_path / "one.py"
        path.write_text("def f(x):\n    return x")
        program, _ = joined(path, "f")
        patch = patch_of(program, program.source.replace("return x", "return -x"))
        assert patch.after[path.resolve()] == "def f(x):\n    return -x"
        diff = patch.diff(tmp_path)
        _run("patch", "-p1", folder=tmp_path, text=diff)
        assert path.read_text() == "def f(x):\n    return -x"

    def test_comments_and_odd_spacing_stay(self, tmp_path: Path) -> None:
        text = "# head\nA = 1   # why\n\n\n\n\n# above f\ndef f( x ) :  # odd\n    return ( A+x )\n"
        path = tmp_path / "one.py"
        path.write_text(text)
        program, _ = joined(path, "f")
        patch = patch_of(program, program.source.replace("A = 1 ", "A = 2 "))
        assert patch.after == {path.resolve(): text.replace("A = 1", "A = 2")}

    def test_an_import_beside_a_block_that_imports_a_part(self, tmp_path: Path) -> None:
        text = (
            "import xml\n\ntry:\n    import xml.dom\nexcept ImportError:\n    pass\n\n"
            "def f(x):\n    return xml.dom is not None and x\n"
        )
        path = tmp_path / "one.py"
        path.write_text(text)
        program, _ = joined(path, "f")
        after = patch_of(program, program.source.replace("and x", "and -x")).after
        assert after == {path.resolve(): text.replace("and x", "and -x")}

    def test_a_new_import_goes_behind_the_others(self, tmp_path: Path) -> None:
        path = tmp_path / "one.py"
        path.write_text('"""Doc."""\nimport math\n\ndef f(x):\n    return math.pi\n')
        program, _ = joined(path, "f")
        text = program.source.replace("import math", "import cmath\nimport math")
        text = text.replace("math.pi", "cmath.pi")
        after = patch_of(program, text).after[path.resolve()]
        assert after == '"""Doc."""\nimport math\nimport cmath\n\ndef f(x):\n    return cmath.pi\n'


class TestApplying:
    def test_a_file_that_changed_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "one.py"
        path.write_text("def f(x):\n    return x\n")
        program, _ = joined(path, "f")
        patch = patch_of(program, program.source.replace("return x", "return -x"))
        path.write_text("def f(x):\n    return x + 1\n")
        with pytest.raises(InputError, match="changed since it was read"):
            patch.apply()
        assert path.read_text() == "def f(x):\n    return x + 1\n"

    def test_all_files_or_none(self, tmp_path: Path) -> None:
        one, two = tmp_path / "one.py", tmp_path / "deep" / "two.py"
        packages.write(tmp_path, {"one.py": "1\n", "deep/two.py": "2\n"})
        patch = Patch({one: "1\n", two: "2\n"}, {one: "11\n", two: "22\n"})
        two.chmod(0o644)
        (tmp_path / "deep").rename(tmp_path / "elsewhere")
        with pytest.raises(InputError):
            patch.apply()
        assert one.read_text() == "1\n"

    def test_a_program_in_one_file(self, tmp_path: Path) -> None:
        path = tmp_path / "one.py"
        path.write_text("A = 1\n")
        assert whole_file(path, "A = 1\n", "A = 1\n").diff(tmp_path) == ""
        with pytest.raises(InputError, match="changed since it was read"):
            whole_file(path, "A = 0\n", "A = 2\n")
        path.write_bytes(b"\xef\xbb\xbfA = 1\r\nB = 1\r\n")
        whole_file(path, "A = 1\r\nB = 1\r\n", "A = 1\nB = 2\n").apply()
        assert path.read_bytes() == b"\xef\xbb\xbfA = 1\r\nB = 2\r\n"
        path.write_text("A = 1\n")
        assert "-A = 1\n+A = 2\n" in whole_file(path, "A = 1\n", "A = 2\n").diff(tmp_path)


def test_a_new_definition_that_nothing_uses_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text("def f(x):\n    return x\n")
    program, _ = joined(path, "f")
    with pytest.raises(InputError, match="new, and unused"):
        patch_of(program, program.source + "\n\ndef lost(x):\n    return x\n")


CONFIGS = """\
import torch
import triton
import triton.language as tl


def some_configs():
    return [triton.Config({"BLOCK": b}) for b in (64, 128)]


@triton.autotune(configs=some_configs(), key=["count"])
@triton.jit
def copy_kernel(x_ptr, y_ptr, count, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < count)
    tl.store(y_ptr + offsets, x, mask=offsets < count)


def copied(x):
    y = torch.empty_like(x)
    copy_kernel[lambda meta: (triton.cdiv(x.numel(), meta["BLOCK"]),)](x, y, x.numel())
    return y
"""


class TestShownToBeTheChange:
    def test_what_is_not_used_any_more_may_stay_in_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "one.py"
        path.write_text(CONFIGS)
        named = named_program(str(path))
        assert named is not None
        text = named.source.replace("some_configs(), key", '[triton.Config({"BLOCK": 64})], key')
        patch = checked_patch(named, text)
        (after,) = patch.after.values()
        assert 'configs=[triton.Config({"BLOCK": 64})]' in after
        assert "def some_configs" in after

    def test_a_patch_that_makes_another_program_is_not_handed_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "one.py"
        path.write_text(CONFIGS)
        named = named_program(str(path))
        assert named is not None
        text = named.source.replace("offsets < count)\n    tl", "offsets < count - 1)\n    tl")
        wrong = Patch({path: CONFIGS}, {path: CONFIGS.replace("x.numel())\n", "x.numel() - 1)\n")})
        monkeypatch.setattr("warpwright.entrypoints.patch.patch_of", lambda *_: wrong)
        with pytest.raises(InternalError, match="does not make the program"):
            checked_patch(named, text)

"""Functions of files and packages as programs: every command takes them, answers are patches."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import packages
import pytest

from warpwright.formats.request_text import parse_request

Command = Callable[..., CompletedProcess[str]]

MATH = """
import triton
import triton.language as tl


@triton.jit
def halved(x):
    return x * 0.5
"""

ROWS = """\
import torch
import triton
import triton.language as tl

from .parts import halved as half  # a kernel of another file


@triton.jit
def halve_rows(x_ptr, y_ptr, stride, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    for start in range(0, columns, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        mask = offsets < columns
        x = tl.load(x_ptr + row * stride + offsets, mask=mask)
        tl.store(y_ptr + row * stride + offsets, half(x), mask=mask)


def halve(x, *, block=64):
    \"\"\"Half of each value.\"\"\"
    y = torch.empty_like(x)
    halve_rows[(x.shape[0],)](x, y, x.stride(0), x.shape[1], BLOCK=block)
    return y
"""

IN_PLACE = """
import torch
import triton
import triton.language as tl


@triton.jit
def add_one(x_ptr, count, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < count
    tl.store(x_ptr + offsets, tl.load(x_ptr + offsets, mask=mask) + 1, mask=mask)


def add_one_(x):
    add_one[(triton.cdiv(x.numel(), 64),)](x, x.numel(), BLOCK=64)
"""

SQUARE = """
import torch
import triton
import triton.language as tl


@triton.jit
def square_forward(x_ptr, y_ptr, count, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < count)
    tl.store(y_ptr + offsets, x * x, mask=offsets < count)


@triton.jit
def square_backward(x_ptr, dy_ptr, dx_ptr, count, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < count)
    dy = tl.load(dy_ptr + offsets, mask=offsets < count)
    tl.store(dx_ptr + offsets, 2 * x * dy, mask=offsets < count)


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        y = torch.empty_like(x)
        square_forward[(triton.cdiv(x.numel(), 64),)](x, y, x.numel(), BLOCK=64)
        return y

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        dx = torch.empty_like(x)
        dy = dy.contiguous()
        square_backward[(triton.cdiv(x.numel(), 64),)](x, dy, dx, x.numel(), BLOCK=64)
        return dx
"""

CASES = """
import torch


def wide():
    return [torch.randn(64, 512)]


def narrow():
    return {"x": torch.randn(96, 256)}


def tall():
    return {"x": torch.randn(640, 256)}


CASES = {wide: 1, narrow: 4}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `halving` with a kernel in another file, and cases beside it."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.chdir(tmp_path)
    files = {
        "halving/__init__.py": "from .rows import halve\n",
        "halving/parts.py": MATH,
        "halving/rows.py": ROWS,
        "cases.py": CASES,
        "alike.py": CASES.replace("{wide: 1,", "{tall: 1,"),
    }
    return packages.write(tmp_path, files)


@pytest.mark.triton
@pytest.mark.usefixtures("package")
class TestCommands:
    @pytest.mark.parametrize(
        "subject",
        ["halving/rows.py", "halving/rows.py:halve", "halving:halve", "halving.rows:halve"],
    )
    def test_inspect(self, warpwright: Command, subject: str) -> None:
        done = warpwright(
            "inspect", subject, "--gpu", "4090", "--cases", "cases.py", "--json", "-q"
        )
        assert done.returncode == 0, done.stderr
        (kernel,) = json.loads(done.stdout)["study"]["kernels"]
        assert kernel["kernel"] == "halve_rows"
        assert kernel["configs"][0]["grid"] == [96]  # the case with the most weight

    def test_a_request_stands_alone(self, warpwright: Command, tmp_path: Path) -> None:
        done = warpwright(
            "request", "halving:halve", "--gpu", "4090", "--stage", "grid", "--cases", "cases.py"
        )
        assert done.returncode == 0, done.stderr
        (tmp_path / "request.txt").write_text(done.stdout)
        (tmp_path / "halving" / "rows.py").unlink()
        (tmp_path / "reply.py").write_text(parse_request(done.stdout).program)
        judged = warpwright("check", "request.txt", "reply.py", "-q")
        assert "pass: every check was made" in judged.stdout, judged.stdout

    def test_a_patch_of_the_users_files_and_back(self, warpwright: Command, tmp_path: Path) -> None:
        before = {path: path.read_text() for path in tmp_path.rglob("*.py")}
        words = ("halving:halve", "--gpu", "4090", "--cases", "alike.py", "--stage", "memory")
        done = warpwright("answer", *words, "--diff")
        assert done.returncode == 0, done.stderr
        assert "+++ b/halving/rows.py" in done.stdout, done.stderr
        assert "case tall (weight 1): pass" in done.stderr
        assert {path: path.read_text() for path in tmp_path.rglob("*.py")} == before
        applied = warpwright("answer", *words, "--apply")
        assert applied.returncode == 0, applied.stderr
        after = (tmp_path / "halving" / "rows.py").read_text()
        assert after != ROWS
        assert "# a kernel of another file" in after
        assert '"""Half of each value."""' in after
        (command,) = (line for line in applied.stderr.splitlines() if "to undo it" in line)
        subprocess.run(command.split(": ")[1], shell=True, check=True, cwd=tmp_path)
        assert {path: path.read_text() for path in tmp_path.rglob("*.py")} == before

    def test_what_differs_between_cases_is_no_constant(self, warpwright: Command) -> None:
        words = ("halving:halve", "--gpu", "4090", "--stage", "memory", "--bit-equal", "--diff")
        one = warpwright("answer", *words, "--input", "96x256")
        assert "columns: tl.constexpr" in one.stdout, one.stderr
        both = warpwright("answer", *words, "--cases", "cases.py")
        assert both.returncode == 0, both.stderr
        assert "columns: tl.constexpr" not in both.stdout

    def test_check_judges_another_file_by_the_same_entry_point(
        self, warpwright: Command, tmp_path: Path
    ) -> None:
        text = (tmp_path / "halving" / "rows.py").read_text()
        wrong = tmp_path / "halving" / "other.py"
        wrong.write_text(text.replace("half(x), mask=mask", "x, mask=mask"))
        words = ("check", "halving/rows.py:halve", "--gpu", "4090", "--cases", "cases.py", "-q")
        assert warpwright(*words, "halving/rows.py").returncode == 0
        done = warpwright(*words, "halving/other.py")
        assert done.returncode == 1
        assert "differs from the parent" in done.stdout

    def test_check_judges_every_case(self, warpwright: Command, tmp_path: Path) -> None:
        words = ("check", "halving/rows.py:halve", "--gpu", "4090", "--cases", "cases.py", "-q")
        right = warpwright(*words, "halving/rows.py")
        assert "case wide (weight 1): pass" in right.stdout
        text = (tmp_path / "halving" / "rows.py").read_text()
        fewer = text.replace("[(x.shape[0],)]", "[(x.shape[0] - (x.shape[0] == 64),)]")
        (tmp_path / "halving" / "fewer.py").write_text(fewer)
        done = warpwright(*words, "halving/fewer.py")
        assert done.returncode == 1, done.stdout
        assert "fail" in done.stdout

    def test_a_reference_that_raises_is_named(self, warpwright: Command, tmp_path: Path) -> None:
        text = CASES + "\n\ndef reference(x, *, block=64):\n    return x.chunk(2).to(x.dtype)\n"
        (tmp_path / "raising.py").write_text(text)
        words = ("halving/rows.py:halve", "halving/rows.py", "--gpu", "4090", "-q")
        done = warpwright("check", *words, "--cases", "raising.py")
        assert "the reference raises AttributeError" in done.stdout
        assert "return x.chunk(2).to(x.dtype)" in done.stdout

    def test_a_first_cases_file_runs(self, warpwright: Command, tmp_path: Path) -> None:
        done = warpwright("cases", "halving:halve", "-o", "first.py")
        assert done.returncode == 0, done.stderr
        assert "the inputs run" in done.stderr
        again = warpwright("cases", "halving:halve", "-o", "first.py")
        assert again.returncode == 2
        assert "left as it is" in again.stderr
        shown = warpwright("inspect", "halving:halve", "--gpu", "4090", "--cases", "first.py", "-q")
        assert shown.returncode == 0, shown.stderr


@pytest.mark.triton
@pytest.mark.parametrize(
    ("text", "subject", "reference"),
    [
        (IN_PLACE, "one.py", "return x + 1"),
        (SQUARE, "one.py:Square", "return x * x"),
        (SQUARE, "one.py:Square.backward", "return x * x"),
    ],
    ids=["in place", "forward", "backward"],
)
def test_what_a_function_leaves_is_held_to_its_reference(
    warpwright: Command, tmp_path: Path, text: str, subject: str, reference: str
) -> None:
    made = "import torch\n\ndef only():\n    return [torch.randn(6, 40)]\n"
    right = f"{made}\ndef reference(x):\n    {reference}\n"
    packages.write(tmp_path, {"one.py": text, "right.py": right})
    wrong = right.replace("x + 1", "x + 2").replace("x * x", "x * x * x")
    packages.write(tmp_path, {"wrong.py": wrong})
    words = ("check", subject, "one.py", "--gpu", "4090", "-q", "--cases")
    done = warpwright(*words, "right.py")
    assert "accuracy: pass" in done.stdout, done.stdout + done.stderr
    done = warpwright(*words, "wrong.py")
    assert "accuracy: pass" not in done.stdout
    assert "the parent itself is wrong here" in done.stdout


class TestRefused:
    def test_several_functions(self, warpwright: Command, tmp_path: Path) -> None:
        text = IN_PLACE + IN_PLACE.split("\n\n\n")[-1].replace("def add_one_", "def add_again_")
        packages.write(tmp_path, {"two.py": text})
        done = warpwright("inspect", "two.py", "--gpu", "4090")
        assert done.returncode == 2
        assert "two.py:FUNCTION with one of add_one_, add_again_" in done.stderr

    def test_a_module_that_is_nowhere(self, warpwright: Command, tmp_path: Path) -> None:
        text = IN_PLACE.replace("import torch\n", "import torch\nfrom no_such_kit import tool\n")
        text = text.replace("def add_one_(x):\n", "def add_one_(x):\n    tool(x)\n")
        packages.write(tmp_path, {"one.py": text})
        done = warpwright("inspect", "one.py:add_one_", "--gpu", "4090")
        assert done.returncode == 2
        assert "one.py:3: the module no_such_kit is not found" in done.stderr
        assert "--root" in done.stderr
        assert "pip install" in done.stderr

    def test_no_file_no_name_no_case(self, warpwright: Command, tmp_path: Path) -> None:
        packages.write(tmp_path, {"one.py": IN_PLACE, "empty.py": "import torch\n"})
        for subject, words in (("none.py:f", "no such file"), ("one.py:f", "there is no f")):
            done = warpwright("inspect", subject, "--gpu", "4090")
            assert done.returncode == 2
            assert words in done.stderr
        done = warpwright("inspect", "one.py", "--gpu", "4090", "--cases", "empty.py")
        assert done.returncode == 2
        assert "empty.py: the file has no case" in done.stderr

    def test_a_patch_of_a_request_document(self, warpwright: Command, tmp_path: Path) -> None:
        packages.write(tmp_path, {"request.txt": "nothing"})
        done = warpwright("answer", "request.txt", "--diff")
        assert done.returncode == 2
        assert "--diff needs a program in files" in done.stderr

    def test_options_that_do_not_fit(self, warpwright: Command, tmp_path: Path) -> None:
        packages.write(tmp_path, {"request.txt": "nothing", "one.py": IN_PLACE})
        for words, told in (
            (("answer", "request.txt", "--stage", "grid"), "--stage with a request document"),
            (("check", "request.txt", "one.py", "--gpu", "4090"), "--gpu with a request document"),
            (("answer", "one.py", "--gpu", "4090", "--diff", "--json"), "--diff and --json"),
            (("answer", "one.py"), "no target GPU"),
        ):
            done = warpwright(*words)
            assert done.returncode == 2
            assert told in done.stderr

    def test_a_case_that_names_no_parameter(self, warpwright: Command, tmp_path: Path) -> None:
        cases = "import torch\n\ndef only():\n    return {'z': torch.randn(4)}\n"
        packages.write(tmp_path, {"one.py": IN_PLACE, "cases.py": cases})
        done = warpwright("inspect", "one.py", "--gpu", "4090", "--cases", "cases.py")
        assert done.returncode == 2
        assert "case only gives z, which is no parameter" in done.stderr


@pytest.mark.triton
def test_lines_of_errors_are_those_of_the_users_file(warpwright: Command, tmp_path: Path) -> None:
    text = "# one\n# two\n\n\ndef unused():\n    pass\n\n" + IN_PLACE.replace(
        "    add_one[", "    x = x.no_such_method()\n    add_one["
    )
    packages.write(tmp_path, {"one.py": text})
    line = text.split("\n").index("    x = x.no_such_method()") + 1
    done = warpwright("inspect", "one.py", "--gpu", "4090", "--input", "64")
    assert done.returncode == 2
    assert f"one.py:{line}: " in done.stderr

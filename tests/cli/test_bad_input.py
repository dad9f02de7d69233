"""Whatever is wrong with the input: one clear error, exit code 2, nothing half written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from warpwright.cli.main import app
from warpwright.errors import InputError
from warpwright.formats.request_text import parse_request

Command = Callable[..., CompletedProcess[str]]
Change = Callable[[str], str]


PROBLEM = Path(__file__).parents[2] / "examples" / "02-conv2d-dilated" / "problem.py"


def refused(done: CompletedProcess[str], *words: str) -> None:
    """One error and no more: exit code 2, nothing on stdout, no traceback."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert [line[:6] for line in done.stderr.splitlines()].count("error:") == 1
    for word in words:
        assert word.lower() in done.stderr.lower(), f"{word!r} is not in {done.stderr}"


def program_line(text: str, beginning: str) -> int:
    """The line of the document on which some text begins."""
    return text[: text.index(beginning)].count("\n") + 1


DOCUMENTS: dict[str, tuple[Change, tuple[str, ...]]] = {
    "nothing": (lambda text: "", ("empty",)),
    "cut in the program": (lambda text: text[: text.index("tl.dot")], ("[CURRENT CODE]",)),
    "cut in the profile": (
        lambda text: text[: text.index('"launch__grid_size"') + 5],
        ("[NCU PROFILING METRICS]", "JSON"),
    ),
    "no program": (
        lambda text: re.sub(r"```python.*?```", "", text, count=1, flags=re.S),
        ("[CURRENT CODE]",),
    ),
    "syntax error": (
        lambda text: text.replace("@triton.jit\ndef ", "@triton.jit\ndef (", 1),
        ("syntax",),
    ),
    "unknown GPU": (
        # a sheet that states what the board is would do without a name that we know
        lambda text: re.sub(r"RTX 4090\n.*?\n\n", "RTX 4990\n\n", text, count=1, flags=re.S),
        ("RTX 4990", "4090"),
    ),
    "unknown stage": (
        lambda text: re.sub(
            r"Stage: tuning\n.*?(?=\[CURRENT)",
            "Stage: polishing\nFocus: Polish it.\n\nRules:\n- Make it shine\n\n",
            text,
            flags=re.S,
        ),
        ("stage", "tuning"),
    ),
    "unknown metric": (
        lambda text: text.replace("launch__grid_size", "launch__grid_sise"),
        ("launch__grid_sise", "launch__grid_size"),
    ),
    "metrics that are not JSON": (
        lambda text: text.replace('"launch__grid_size":', '"launch__grid_size" ='),
        ("[NCU PROFILING METRICS]", "JSON"),
    ),
    "a profile of another kernel": (
        lambda text: text.replace('"dilated_conv_kernel":', '"softmax_kernel":'),
        ("softmax_kernel", "dilated_conv_kernel"),
    ),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_is_wrong_is_refused_with_the_place(
    name: str, warpwright: Command, request_text: str, tmp_path: Path
) -> None:
    change, words = DOCUMENTS[name]
    changed = change(request_text)
    assert changed != request_text
    (tmp_path / "request.txt").write_text(changed)
    done = warpwright("answer", "request.txt", "--out", "better.py")
    refused(done, "request.txt", *words)
    assert not (tmp_path / "better.py").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["request.txt"]


def test_a_syntax_error_is_told_in_the_documents_lines(
    warpwright: Command, request_text: str, tmp_path: Path
) -> None:
    changed = request_text.replace("acc = tl.zeros", "acc == = tl.zeros", 1)
    assert changed != request_text
    (tmp_path / "request.txt").write_text(changed)
    line = program_line(changed, "acc == = tl.zeros")
    refused(warpwright("answer", "request.txt"), f"request.txt:{line}")


@pytest.mark.parametrize("fence", ["", "```python\n"])
def test_a_reply_with_a_syntax_error_is_a_violation_that_says_so(
    fence: str, warpwright: Command, request_text: str, tmp_path: Path
) -> None:
    """Fenced or not, in the terminal and as JSON: the error, on the line of the reply."""
    program = parse_request(request_text).program
    broken = program.replace("def forward(self, maps: torch.Tensor)", "def forward(self, maps", 1)
    assert broken != program
    reply = f"Here it is.\n\n{fence}{broken}" + ("```\n" if fence else "\nIt is faster.\n")
    line = reply[: reply.index("def forward(self, maps")].count("\n") + 1
    (tmp_path / "request.txt").write_text(request_text)
    (tmp_path / "reply.md").write_text(reply)
    shown = warpwright("check", "request.txt", "reply.md")
    assert shown.returncode == 1, shown.stderr
    assert f"line {line}: format.syntax" in shown.stdout
    assert "invalid syntax" in shown.stdout
    done = warpwright("check", "request.txt", "reply.md", "--json")
    assert done.returncode == 1
    (violation,) = json.loads(done.stdout)["violations"]
    assert violation["rule"] == "format.syntax"
    assert violation["line"] == line
    assert "invalid syntax" in violation["found"]
    assert violation["expected"]


def test_fifty_megabytes_are_refused_before_they_are_read(
    warpwright: Command, as_a_process: Command, tmp_path: Path
) -> None:
    with (tmp_path / "request.txt").open("wb") as stream:
        stream.truncate(50 * 1024**2)
    refused(warpwright("answer", "request.txt", timeout_s=20), "bytes")
    refused(as_a_process("answer", "-", stdin=b"x" * 50 * 1024**2, timeout_s=20), "bytes")


def test_bytes_that_are_no_text_are_refused(warpwright: Command, tmp_path: Path) -> None:
    (tmp_path / "request.txt").write_bytes(b"\xff\xfe\x00\x9c" * 64)
    refused(warpwright("answer", "request.txt"), "request.txt", "text")


def test_a_file_that_is_not_there_is_named(warpwright: Command) -> None:
    refused(warpwright("answer", "nowhere.txt"), "nowhere.txt", "No such file")


HOSTILE = {
    "loops": "while True:\n    pass\n",
    "exits": "import os\nos._exit(0)\n",
    "forks": "import os\nos.fork()\n",
}


@pytest.mark.triton
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n == "loops" else n for n in HOSTILE],
)
def test_a_program_that_misbehaves_at_import_is_told_apart(
    name: str, warpwright: Command, request_text: str, tmp_path: Path
) -> None:
    changed = request_text.replace("import torch\n", f"import torch\n{HOSTILE[name]}", 1)
    (tmp_path / "request.txt").write_text(changed)
    # the child's deadline is the cost of a loop, so it is paid once
    for extra in [[]] if name == "loops" else [[], ["--problem", str(PROBLEM)]]:
        done = warpwright("answer", "request.txt", "--out", "better.py", *extra)
        expected = {"loops": "still", "exits": "ended early", "forks": "fork"}[name]
        refused(done, "request.txt", expected)
        assert not (tmp_path / "better.py").exists()


def test_a_problem_file_without_get_inputs_is_refused(
    warpwright: Command, request_text: str, tmp_path: Path
) -> None:
    (tmp_path / "request.txt").write_text(request_text)
    (tmp_path / "layer.py").write_text("import torch\n\nclass Model(torch.nn.Module):\n    pass\n")
    done = warpwright("answer", "request.txt", "--problem", "layer.py")
    refused(done, "layer.py", "get_inputs")


def test_an_unknown_gpu_or_stage_on_the_command_line_names_the_near_ones(
    warpwright: Command, tmp_path: Path
) -> None:
    (tmp_path / "kernel.py").write_text("import triton\n\n@triton.jit\ndef k(x):\n    pass\n")
    refused(warpwright("inspect", "kernel.py", "--gpu", "RTX 4091"), "RTX 4090")
    refused(warpwright("inspect", "kernel.py"), "--gpu")
    refused(warpwright("gpus", "Voodoo 2"), "Voodoo 2")
    refused(warpwright("request", "kernel.py", "--gpu", "4090", "--stage", "tilling"), "tiling")
    refused(warpwright("stages", "double"), "single")


def test_shapes_that_cannot_be_read_are_refused(
    warpwright: Command, request_text: str, tmp_path: Path
) -> None:
    (tmp_path / "request.txt").write_text(request_text)
    refused(warpwright("answer", "request.txt", "--input", "8by32"), "8by32")
    refused(warpwright("answer", "request.txt", "--init", "[1]"), "--input")


OUT_OPTIONS = {
    "answer": ("answer", "request.txt"),
    "optimize": ("optimize", "layer.py", "--gpu", "4090"),
    "bench": ("bench", "kernel.py", "--problem", "layer.py"),
    "profile": ("profile", "kernel.py", "--problem", "layer.py"),
}


@pytest.mark.parametrize(
    ("out", "word"), [("folder", "directory"), ("file/a.py", "not a directory")]
)
@pytest.mark.parametrize("command", OUT_OPTIONS)
def test_a_result_that_cannot_be_written_is_refused_before_any_work(
    command: str, out: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other files are not there, and are not asked for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=rf"^{out}, in --out: .*(?i:{word})"):
        app([*OUT_OPTIONS[command], "--out", out], standalone_mode=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


WRONG_FILES = {
    "a program without a kernel": (("request", "plain.py", "--gpu", "4090"), "plain.py"),
    "a problem without a Model": (
        ("request", "kernel.py", "--gpu", "4090", "--problem", "plain.py"),
        "plain.py",
    ),
    "an empty reply": (("check", "request.txt", "empty.txt"), "empty.txt"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_the_wrong_one_of_several_files_is_named(
    name: str, request_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, blamed = WRONG_FILES[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "request.txt").write_text(request_text)
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "plain.py").write_text("import torch\n\n\ndef twice(x):\n    return x + x\n")
    (tmp_path / "kernel.py").write_text("import triton\n\n@triton.jit\ndef k(x):\n    pass\n")
    with pytest.raises(InputError, match=rf"^{blamed}"):
        app(list(arguments), standalone_mode=False)


def test_with_json_the_error_is_json_too(as_a_process: Command) -> None:
    done = as_a_process("answer", "nowhere.txt", "--json")
    assert done.returncode == 2
    error = json.loads(done.stdout)
    assert error["schema_name"] == "warpwright.error"
    assert error["error"]["document"] == "nowhere.txt"

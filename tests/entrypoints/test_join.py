"""Statements of several files as one text: it computes what the files compute."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import packages
import pytest
from hypothesis import given, settings

from warpwright.entrypoints.join import Joiner
from warpwright.entrypoints.modules import Modules
from warpwright.errors import InputError
from warpwright.types.entry import JoinedProgram


def joined(file: Path, name: str, roots: tuple[Path, ...] = ()) -> tuple[JoinedProgram, str]:
    joiner = Joiner(Modules(file, roots))
    definition = joiner.definition(file, name)
    program = joiner.join(None)
    return program, joiner.names[definition]


@settings(max_examples=60, deadline=None)
@given(packages.packages())
def test_the_joined_text_computes_what_the_package_computes(files: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = packages.write(Path(name), files)
        program, entry = joined(folder / "pkg" / "m3.py", "f")
        with packages.imported(folder, "pkg.m3") as module:
            expected = [module.f(x) for x in (1, 5)]
        function = packages.executed(program.source, entry)
        assert [function(x) for x in (1, 5)] == expected


@settings(max_examples=20, deadline=None)
@given(packages.packages())
def test_every_line_knows_its_place(files: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = packages.write(Path(name), files)
        program, _ = joined(folder / "pkg" / "m3.py", "f")
        for number, line in enumerate(program.source.split("\n"), 1):
            place = program.place_of(number)
            if place is None or "pkg" in line:
                continue
            own = place[0].read_text().split("\n")[place[1] - 1]
            if "import" in own or "own_" in own or "other_" in own or "helper" in own or "m" in own:
                continue  # what calls other files is written otherwise
            (piece,) = (p for p in program.pieces if p.joined_line <= number < p.joined_line
                        + p.joined.count("\n") + 1)  # fmt: skip
            if piece.spelled:
                names = "|".join(map(re.escape, piece.spelled))
                line = re.sub(rf"\b(?:{names})\b", lambda m, p=piece: p.spelled[m[0]], line)
            assert line == own


class TestWhatIsNeeded:
    def test_what_the_entry_point_does_not_need_stays_out(self, tmp_path: Path) -> None:
        text = "import os\nimport math\n\ndef other(): return os.name\n\ndef f(x): return math.pi\n"
        packages.write(tmp_path, {"one.py": text})
        program, _ = joined(tmp_path / "one.py", "f")
        assert "import math" in program.source
        assert "os" not in program.source.split()
        assert "other" not in program.source

    def test_a_name_from_the_packages_init(self, tmp_path: Path) -> None:
        files = {
            "pkg/__init__.py": "from .deep.ops import act as activation\n",
            "pkg/deep/__init__.py": "from pkg.deep.constants import *\n",
            "pkg/deep/constants.py": "SLOPE = 3\n",
            "pkg/deep/ops.py": "from . import SLOPE\n\ndef act(x): return SLOPE * x\n",
            "use.py": "import pkg\n\ndef f(x): return pkg.activation(x)\n",
        }
        packages.write(tmp_path, files)
        program, entry = joined(tmp_path / "use.py", "f")
        assert packages.executed(program.source, entry)(2) == 6

    def test_blocks_and_what_changes_a_name_come_along(self, tmp_path: Path) -> None:
        text = (
            "try:\n    from .absent_parts import speed\nexcept ImportError:\n    speed = 2\n"
            "TABLE = {'a': 1}\nTABLE['b'] = speed\nTABLE.update(c=4)\n"
            "if speed > 1:\n    def g(x): return x + 1\nelse:\n    def g(x): return x\n"
            "def f(x): return g(x) + TABLE['b'] + TABLE['c']\n"
        )
        files = {"pkg/__init__.py": "", "pkg/one.py": text, "pkg/absent_parts.py": "speed = 7\n"}
        packages.write(tmp_path, files)
        program, entry = joined(tmp_path / "pkg" / "one.py", "f")
        assert packages.executed(program.source, entry)(1) == 2 + 7 + 4

    def test_equal_names_of_two_files_stay_two(self, tmp_path: Path) -> None:
        files = {
            "left.py": "SIZE = 2\ndef helper(x): return x * SIZE\n",
            "right.py": "SIZE = 10\ndef helper(x): return x + SIZE\n",
            "top.py": (
                "import left\nfrom right import helper\n\n"
                "def f(x, SIZE=1):\n    return left.helper(x) + helper(x) * SIZE\n"
            ),
        }
        packages.write(tmp_path, files)
        program, entry = joined(tmp_path / "top.py", "f")
        assert packages.executed(program.source, entry)(3) == 6 + 13

    def test_imports_of_one_name_for_two_things(self, tmp_path: Path) -> None:
        files = {
            "below.py": "from math import floor as turn\ndef g(x): return turn(x)\n",
            "top.py": "from math import ceil as turn\nfrom below import g\n"
            "def f(x): return turn(x) * 10 + g(x)\n",
        }
        packages.write(tmp_path, files)
        program, entry = joined(tmp_path / "top.py", "f")
        assert packages.executed(program.source, entry)(1.5) == 21


class TestRefused:
    def test_a_relative_import_that_is_not_there(self, tmp_path: Path) -> None:
        packages.write(tmp_path, {"pkg/one.py": "from .two import g\n\ndef f(x): return g(x)\n"})
        with pytest.raises(InputError) as caught:
            joined(tmp_path / "pkg" / "one.py", "f")
        message = str(caught.value)
        assert "one.py:1: the module .two is not found" in message
        assert "--root" in message

    def test_a_name_that_is_not_there(self, tmp_path: Path) -> None:
        packages.write(tmp_path, {"one.py": "def f(x): return x\n"})
        with pytest.raises(InputError, match=r"there is no g\b[\s\S]*: f"):
            joined(tmp_path / "one.py", "g")

    def test_a_module_that_is_handed_on(self, tmp_path: Path) -> None:
        files = {"one.py": "A = 1\n", "two.py": "import one\n\ndef f(x): return vars(one)\n"}
        packages.write(tmp_path, files)
        with pytest.raises(InputError, match="used as a module"):
            joined(tmp_path / "two.py", "f")


class TestImportsInBlocks:
    def test_an_optional_part_that_is_not_there(self, tmp_path: Path) -> None:
        text = (
            "try:\n    from ._compiled import fast\nexcept ImportError:\n    fast = None\n"
            "def f(x): return x if fast is None else fast(x)\n"
        )
        packages.write(tmp_path, {"pkg/__init__.py": "", "pkg/one.py": text})
        program, entry = joined(tmp_path / "pkg" / "one.py", "f")
        assert packages.executed(program.source, entry)(3) == 3

    def test_a_part_of_a_library_that_is_imported_in_a_block(self, tmp_path: Path) -> None:
        text = (
            "import xml\ntry:\n    import xml.dom\n    KNOWN = True\n"
            "except ImportError:\n    KNOWN = False\n"
            "def f(x): return (xml.dom is not None) + KNOWN + x\n"
        )
        below = "import xml.sax\ndef g(x): return x + (xml.sax is not None)\n"
        top = "from one import f\nfrom two import g\ndef h(x): return f(g(x))\n"
        packages.write(tmp_path, {"one.py": text, "two.py": below, "top.py": top})
        program, entry = joined(tmp_path / "top.py", "h")
        assert packages.executed(program.source, entry)(1) == 4

    def test_two_blocks_that_import_other_things_by_one_name(self, tmp_path: Path) -> None:
        block = "try:\n    from math import {0} as turn\nexcept ImportError:\n    turn = None\n"
        files = {
            "one.py": block.format("floor") + "def f(x): return turn(x)\n",
            "two.py": block.format("ceil")
            + "from one import f\ndef g(x): return turn(x) * 10 + f(x)\n",
        }
        packages.write(tmp_path, files)
        program, entry = joined(tmp_path / "two.py", "g")
        assert packages.executed(program.source, entry)(1.5) == 21

    def test_modules_that_star_each_other(self, tmp_path: Path) -> None:
        files = {
            "pkg/__init__.py": "from .a import *\nfrom .b import *\n",
            "pkg/a.py": "from pkg import *\ndef f(x): return g(x) + absent_name\n",
            "pkg/b.py": "from pkg import *\ndef g(x): return x\n",
        }
        packages.write(tmp_path, files)
        program, _ = joined(tmp_path / "pkg" / "a.py", "f")
        assert "def g" in program.source

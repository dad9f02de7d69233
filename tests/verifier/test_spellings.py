"""A kernel is a kernel in every spelling: all checks say of it what they say of the plain one."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import indent
from types import ModuleType

from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from warpwright.program.difference.difference import difference
from warpwright.program.edit.config_edit import add_autotune, set_configs
from warpwright.program.view import read_program
from warpwright.types.config import Config
from warpwright.types.edit import EditKind
from warpwright.types.program import ProgramView
from warpwright.types.stage import ProgramKind, Rule, StageId

BODY = """\
rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
outer = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
for k in range(0, K, BLOCK_K):
    inner = k + tl.arange(0, BLOCK_K)
    x_mask = (rows[:, None] < M) & (inner[None, :] < K)
    x = tl.load(x_ptr + rows[:, None] * K + inner[None, :], mask=x_mask, other=0.0)
    w = tl.load(w_ptr + inner[:, None] * N + outer[None, :], mask=inner[:, None] < K, other=0.0)
    total += tl.dot(x, w)
place = y_ptr + rows[:, None] * N + outer[None, :]
tl.store(place, total, mask=(rows[:, None] < M) & (outer[None, :] < N))
"""

DROPPED = (", mask=x_mask, other=0.0)", ")")
NO_DOT = ("total += tl.dot(x, w)", "total += 0.0")
STORED_TWICE = (
    "tl.store(place, total, mask=(rows[:, None] < M) & (outer[None, :] < N))",
    "full = (rows[:, None] < M) & (outer[None, :] < N)\n"
    "tl.store(place, total, mask=full)\n"
    "again = tl.load(place, mask=full, other=0.0)\n"
    "tl.store(place, again * 2.0, mask=full)",
)

HOST = """\
def project(x, w):
    M, K = x.shape
    N = w.shape[1]
    y = torch.empty((M, N), device=x.device, dtype=x.dtype)
    grid = lambda meta: ({cdiv}(M, meta["BLOCK_M"]), {cdiv}(N, meta["BLOCK_N"]))
    {launched}[grid](x, w, y, M, N, K{sizes})
    return y


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inner, outer))

    def forward(self, x):
        return project(x, self.weight)
"""

SIGNATURE = (
    "def project_kernel(x_ptr, w_ptr, y_ptr, M, N, K, BLOCK_M: {tl}.constexpr, "
    "BLOCK_N: {tl}.constexpr, BLOCK_K: {tl}.constexpr, FULL: {tl}.constexpr = False):"
)
CONFIGS = (
    "configs=[{config}({{'BLOCK_M': 64, 'BLOCK_N': 64, 'BLOCK_K': 32}}, num_warps=4, num_stages=2),"
    " {config}({{'BLOCK_M': 32, 'BLOCK_N': 64, 'BLOCK_K': 32}}, num_warps=4, num_stages=3)], "
    "key=['M', 'N', 'K']"
)
SIZES = ", BLOCK_M=64, BLOCK_N=64, BLOCK_K=32, num_warps=4, num_stages=2"
HEURISTIC = "{'FULL': lambda args: args['K'] % args['BLOCK_K'] == 0}"

# What the program imports, and how it then writes `triton.jit`, `.autotune`, `.heuristics`,
# `.Config` and `.cdiv`.
IMPORTS = {
    "import triton": "triton.{}",
    "import triton as t": "t.{}",
    "from triton import jit, autotune, heuristics, Config, cdiv": "{}",
    "from triton import jit as kernel, autotune as at, heuristics as h, Config as C, cdiv as up": (
        "renamed"
    ),
}
RENAMED = {"jit": "kernel", "autotune": "at", "heuristics": "h", "Config": "C", "cdiv": "up"}
LANGUAGES = {
    "import triton.language as tl": "tl",
    "import triton.language as L": "L",
    "from triton import language as lang": "lang",
}


@dataclass(frozen=True)
class Spelling:
    """One way to write the program; `form` is how the wrappers stand around the function."""

    imported: str = "import triton"
    language: str = "import triton.language as tl"
    form: str = "decorators"  # "calls", "rebound", "mixed"
    aliased: bool = False  # `k = triton.jit`, and `tuned = triton.autotune(...)`
    called: bool = False  # `triton.jit()`
    tuned: bool = True
    heuristic: bool = False
    local_load: bool = False  # `ld = tl.load` in the module

    def name(self, of: str) -> str:
        pattern = IMPORTS[self.imported]
        return RENAMED[of] if pattern == "renamed" else pattern.format(of)

    def program(self, *changes: tuple[str, str]) -> str:
        """The program, its kernel's body changed first."""
        body = BODY
        for old, new in changes:
            assert body.count(old) == 1
            body = body.replace(old, new)
        tl = LANGUAGES[self.language]
        body = body.replace("tl.", f"{tl}.")
        lines = [self.imported, self.language, "import torch", "import torch.nn as nn", ""]
        if self.local_load:
            body = body.replace(f"{tl}.load", "ld")
            lines.append(f"ld = {tl}.load")
        jit = self.name("jit")
        if self.aliased:
            lines.append(f"k = {jit}")
            jit = "k"
        wrappers = self._wrappers(lines)
        definition = SIGNATURE.format(tl=tl) + "\n" + indent(body, "    ")
        launched = self._define(lines, definition, jit, wrappers)
        sizes = "" if self.tuned else SIZES
        lines.append(HOST.format(cdiv=self.name("cdiv"), launched=launched, sizes=sizes))
        return "\n".join(lines)

    def _wrappers(self, lines: list[str]) -> list[str]:
        """Tuner and heuristics, outermost first."""
        found = []
        if self.tuned:
            tuner = f"{self.name('autotune')}({CONFIGS.format(config=self.name('Config'))})"
            if self.aliased:
                lines.append(f"tuned = {tuner}")
                tuner = "tuned"
            found.append(tuner)
        if self.heuristic:
            found.append(f"{self.name('heuristics')}({HEURISTIC})")
        return found

    def _define(self, lines: list[str], definition: str, jit: str, wrappers: list[str]) -> str:
        """Appends the kernel; returns the name that host code launches it by."""
        applied = f"{jit}()" if self.called else jit
        if self.form == "decorators":
            lines += [*(f"@{one}" for one in (*wrappers, applied)), definition]
            return "project_kernel"
        if self.form == "mixed":
            lines += [f"@{applied}", definition]
            made = "project_kernel"
        else:
            lines.append(definition)
            made = f"{applied}(project_kernel)"
        for wrapper in reversed(wrappers):
            made = f"{wrapper}({made})"
        name = "project_kernel" if self.form == "rebound" else "launcher"
        lines.append(f"{name} = {made}")
        return name


def spellings(*, tuned: bool = True, heuristic: bool = False) -> st.SearchStrategy[Spelling]:
    return st.builds(
        Spelling,
        imported=st.sampled_from(sorted(IMPORTS)),
        language=st.sampled_from(sorted(LANGUAGES)),
        form=st.sampled_from(["decorators", "calls", "rebound", "mixed"]),
        aliased=st.booleans(),
        called=st.booleans(),
        tuned=st.just(tuned),
        heuristic=st.just(heuristic),
        local_load=st.booleans(),
    )


def pairs() -> st.SearchStrategy[tuple[Spelling, Spelling]]:
    """Two spellings of one program."""
    kinds = [{"tuned": tuned, "heuristic": h} for tuned in (True, False) for h in (True, False)]
    return st.one_of(*(st.tuples(spellings(**kind), spellings(**kind)) for kind in kinds))


MANY = settings(max_examples=examples(60), deadline=None)


@given(pair=pairs())
@MANY
def test_an_unchanged_program_passes_in_every_spelling(
    lab: ModuleType, pair: tuple[Spelling, Spelling]
) -> None:
    parent, child = (spelling.program() for spelling in pair)
    assert lab.refusals(parent, child) == []
    assert lab.refusals(parent, parent) == []


@given(pair=pairs())
@MANY
def test_a_dropped_mask_is_refused_in_every_spelling(
    lab: ModuleType, pair: tuple[Spelling, Spelling]
) -> None:
    reasons = lab.refusals(pair[0].program(), pair[1].program(DROPPED))
    assert any("mask dropped" in reason for reason in reasons)


@given(pair=pairs())
@MANY
def test_a_removed_dot_is_refused_in_every_spelling(
    lab: ModuleType, pair: tuple[Spelling, Spelling]
) -> None:
    reasons = lab.refusals(pair[0].program(), pair[1].program(NO_DOT))
    assert any("tl.dot removed" in reason for reason in reasons)


@given(pair=pairs())
@MANY
def test_a_store_that_is_loaded_again_is_refused_in_every_spelling(
    lab: ModuleType, pair: tuple[Spelling, Spelling]
) -> None:
    rule = Rule("stores.no_store_then_load")
    stage = lab.stage_of(StageId.MEMORY, rule, kind=ProgramKind.FUSION)
    reasons = lab.refusals(pair[0].program(), pair[1].program(STORED_TWICE), stage)
    assert any(rule.id in reason for reason in reasons)


def facts(view: ProgramView) -> object:
    """What reading tells of the kernels and their launches, lines left out."""
    return [
        (
            kernel.name,
            kernel.parameters,
            None if kernel.autotune is None else (kernel.autotune.configs, kernel.autotune.key),
            [(op.name, op.arguments, dict(op.keywords)) for op in kernel.operations],
            [loop.bounds for loop in kernel.loops],
            kernel.heuristics,
            kernel.is_helper,
        )
        for kernel in view.kernels
    ], [(site.kernel, site.grid, site.arguments, dict(site.keywords)) for site in view.launches]


@given(pair=pairs())
@MANY
def test_every_spelling_reads_as_the_same_program(pair: tuple[Spelling, Spelling]) -> None:
    parent, child = (spelling.program() for spelling in pair)
    one, other = read_program(parent), read_program(child)
    assert facts(one) == facts(other)
    assert not other.undefined
    cosmetic = {EditKind.IMPORT_ADDED, EditKind.IMPORT_REMOVED, EditKind.COSMETIC}
    edits = [e for e in difference(parent, child) if e.kind not in cosmetic]
    # Names for things of Triton at module level are host code that is new.
    assert all(e.kind is EditKind.HOST_CODE and e.subject == "<module>" for e in edits), edits


@given(spelling=spellings(tuned=True))
@MANY
def test_configs_can_be_edited_in_every_spelling(spelling: Spelling) -> None:
    source = spelling.program()
    configs = [Config((("BLOCK_M", 16), ("BLOCK_N", 64), ("BLOCK_K", 32)), num_warps=2)]
    changed = read_program(set_configs(source, "project_kernel", configs))
    kernel = changed.kernel("project_kernel")
    assert kernel is not None and kernel.autotune is not None
    assert kernel.autotune.configs == tuple(configs)
    assert not changed.undefined


@given(spelling=spellings(tuned=False))
@MANY
def test_a_tuner_can_be_added_in_every_spelling(spelling: Spelling) -> None:
    configs = [Config((("BLOCK_M", 16), ("BLOCK_N", 64), ("BLOCK_K", 32)), num_warps=2)]
    changed = read_program(add_autotune(spelling.program(), "project_kernel", configs, ["K"]))
    kernel = changed.kernel("project_kernel")
    assert kernel is not None and kernel.autotune is not None
    assert kernel.autotune.configs == tuple(configs)
    assert not changed.undefined
    assert [dict(site.keywords) for site in changed.launches] == [{}]

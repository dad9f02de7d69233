"""How often one verdict parses text, and how long its reading takes.

    python benchmarks/parses.py [--depth N] [--profile FILE]

A small matrix product and replies to it go through `check`, without a GPU and without
interpreting. Counted are the calls of `ast.parse` and of libcst's parsers in this process, by
call site, `--depth` callers each; what children parse is not. Two parts: the whole check, whose
children's results (compiled, traced) come from the result cache; and the checks on the text
alone, as where Triton is missing.

Times are this process's processor time, so that other work on the machine and children do not
count, on texts that were not read before (all that was kept of earlier texts is forgotten), with
everything imported and every child's result in the cache; the fastest of several. `--profile`
writes where that time goes, for `python -m pstats`.
"""

from __future__ import annotations

import argparse
import ast
import cProfile
import gc
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import _lru_cache_wrapper
from pathlib import Path
from typing import Any

import libcst as cst

PROBLEM = """import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, a, b):
        return torch.matmul(a, b)


def get_inputs():
    return [torch.rand(256, 320), torch.rand(320, 192)]


def get_init_inputs():
    return []
"""
PROGRAM = """import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.autotune(
    configs=[
        triton.Config({"BM": 64, "BN": 64, "BK": 32}, num_warps=4, num_stages=2),
        triton.Config({"BM": 128, "BN": 64, "BK": 32}, num_warps=8, num_stages=3),
    ],
    key=["M", "N", "K"],
)
@triton.jit
def product_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, stride_am, stride_ak, stride_bk, stride_bn, stride_cm, stride_cn,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    cols = tl.program_id(1) * BN + tl.arange(0, BN)
    steps = tl.arange(0, BK)
    a = a_ptr + rows[:, None] * stride_am + steps[None, :] * stride_ak
    b = b_ptr + steps[:, None] * stride_bk + cols[None, :] * stride_bn
    total = tl.zeros((BM, BN), dtype=tl.float32)
    for k in range(0, tl.cdiv(K, BK)):
        left = tl.load(a, mask=(rows[:, None] < M) & (steps[None, :] < K - k * BK), other=0.0)
        right = tl.load(b, mask=(steps[:, None] < K - k * BK) & (cols[None, :] < N), other=0.0)
        total += tl.dot(left, right)
        a += BK * stride_ak
        b += BK * stride_bk
    inside = (rows[:, None] < M) & (cols[None, :] < N)
    tl.store(c_ptr + rows[:, None] * stride_cm + cols[None, :] * stride_cn, total, mask=inside)


def product(a, b):
    M, K = a.shape
    N = b.shape[1]
    c = torch.empty((M, N), device=a.device, dtype=a.dtype)
    grid = lambda meta: (triton.cdiv(M, meta["BM"]), triton.cdiv(N, meta["BN"]))
    product_kernel[grid](
        a, b, c, M, N, K,
        a.stride(0), a.stride(1), b.stride(0), b.stride(1), c.stride(0), c.stride(1),
    )
    return c


class ModelNew(nn.Module):
    def forward(self, a, b):
        return product(a, b)
"""
_LAST = '        triton.Config({"BM": 128, "BN": 64, "BK": 32}, num_warps=8, num_stages=3),\n'
_ADDED = "".join(
    f'        triton.Config({{"BM": {m}, "BN": {n}, "BK": {k}}}, num_warps={w}, num_stages={s}),\n'
    for m, n, k, w, s in ((64, 64, 64, 4, 3), (128, 128, 32, 8, 3), (32, 64, 64, 4, 4))
)


def _changed(*changes: tuple[str, str]) -> str:
    text = PROGRAM
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


REPLIES = {
    "more configs": _changed((_LAST, _LAST + _ADDED)),
    "a rewritten kernel": _changed(
        ("steps[None, :] < K - k * BK)", "(k * BK + steps)[None, :] < K)"),
        ("inside = (rows[:, None] < M) & (cols[None, :] < N)",
         "inside = (cols[None, :] < N) & (rows[:, None] < M)"),
        ("    return c\n", "    return c.contiguous()\n"),
    ),
    "a mask too few": _changed((" & (steps[None, :] < K - k * BK)", "")),
}  # fmt: skip
PARSERS = ((ast, "parse"), (cst, "parse_module"), (cst, "parse_expression"),
           (cst, "parse_statement"))  # fmt: skip
PASSED_ON = ("syntax.py", "parsing.py", "python_text.py", "tree.py")
"""Modules that only parse what they are given: who called them is the call site."""
TRIALS = 5


@contextmanager
def counting(depth: int = 1) -> Iterator[Counter[str]]:
    """Counts, by call site, what is parsed meanwhile."""
    found: Counter[str] = Counter()
    before = [getattr(module, name) for module, name in PARSERS]

    def counted(parser: Callable[..., Any], label: str) -> Callable[..., Any]:
        def parse(*given: Any, **named: Any) -> Any:
            found[f"{label} {call_site(depth)}"] += 1
            return parser(*given, **named)

        return parse

    for (module, name), parser in zip(PARSERS, before, strict=True):
        setattr(module, name, counted(parser, f"{module.__name__}.{name}"))
    try:
        yield found
    finally:
        for (module, name), parser in zip(PARSERS, before, strict=True):
            setattr(module, name, parser)


def call_site(depth: int) -> str:
    """The innermost callers in the package, as `file:line function`."""
    frame, sites = sys._getframe(2), []
    while frame is not None and len(sites) < depth:
        path = Path(frame.f_code.co_filename)
        if "warpwright" in path.parts and path.name not in PASSED_ON:
            folder = "/".join(path.parts[path.parts.index("warpwright") + 1 :])
            sites.append(f"{folder}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back  # type: ignore[assignment]
    return " < ".join(sites)


def forget() -> None:
    """Empties what the package keeps of texts that it has read in this process."""
    for found in gc.get_objects():
        if isinstance(found, _lru_cache_wrapper):
            module = getattr(found, "__module__", "") or ""
            if module.startswith("warpwright.") and found.cache_parameters()["maxsize"] is not None:
                found.cache_clear()


def whole(reply: str) -> Any:
    """The check with what children find; interprets nothing."""
    from warpwright.formats.reply import parse_reply
    from warpwright.pipeline.check_reply import check_reply
    from warpwright.store.cache import ResultCache
    from warpwright.store.run_context import RunContext

    return check_reply(request(), parse_reply(reply), RunContext(ResultCache()), accuracy=False)


def text_alone(reply: str) -> Any:
    """The checks that need no child."""
    from warpwright.store.run_context import RunContext
    from warpwright.types.candidate import Candidate
    from warpwright.verifier.verify import VerifyContext, bare_study, verify

    asked = request()
    context = VerifyContext(bare_study(asked), RunContext(), missing="Triton is not asked")
    return verify(Candidate(asked.program, reply), asked, context).gate


def request() -> Any:
    from warpwright import api
    from warpwright.formats.request_text import parse_request

    global _request
    if _request is None:
        _request = parse_request(api.request(PROGRAM, gpu="RTX 4090", problem=PROBLEM))
    return _request


_request: Any = None
PARTS: dict[str, Callable[[str], Any]] = {"text alone": text_alone, "whole check": whole}


def parsed(part: str, reply: str, depth: int = 1) -> Counter[str]:
    """What one verdict parses where nothing was read before; children's results are kept."""
    request()
    PARTS[part](reply)
    forget()
    with counting(depth) as found:
        PARTS[part](reply)
    return found


def seconds(part: str, reply: str) -> float:
    """Processor seconds of the fastest of several verdicts on texts that were not read before."""
    taken = []
    for _ in range(TRIALS):
        forget()
        begun = time.process_time()
        PARTS[part](reply)
        taken.append(time.process_time() - begun)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--depth", type=int, default=1, help="callers shown of each call site")
    parser.add_argument("--profile", type=Path, help="of the whole checks, texts unread")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="parses-") as folder:
        os.environ["WARPWRIGHT_CACHE_DIR"] = folder
        for name, reply in REPLIES.items():
            for part in PARTS:
                found = parsed(part, reply, options.depth)
                print(f"{name}, {part}: {found.total()} parsed, {seconds(part, reply):.3f} s")
                for site, count in found.most_common():
                    print(f"  {count:4d}  {site}")
        if options.profile:
            profiler = cProfile.Profile()
            for reply in REPLIES.values():
                forget()
                profiler.runcall(whole, reply)
            profiler.dump_stats(options.profile)


if __name__ == "__main__":
    main()

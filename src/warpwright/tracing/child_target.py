"""Inside a child: import foreign code as on a machine with the target card, which is not there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from warpwright.sandbox.child_blame import ToolError, is_of_a_tool
from warpwright.sandbox.child_program import load_module
from warpwright.tracing.child_device import CudaOnCpu
from warpwright.tracing.child_trace_cuda import cuda_answers
from warpwright.tracing.child_trace_driver import use_stand_in_driver
from warpwright.tracing.child_trace_torch import StandIns, hardware, stand_in_cuda


def load_on_target(source: str, name: str, job_dir: Path, facts: Mapping[str, Any]) -> ModuleType:
    """Execute `source` as the module `name`; `facts` as `trace.device_facts` gives them.

    Triton's driver and `torch.cuda` go on answering for the target when it returns: a kernel
    that is compiled may ask them too. Raises what the source raises, or ToolError where it
    may be these answers, not the source, that are to blame.
    """
    card = hardware(facts)
    use_stand_in_driver(card)
    contextlib.ExitStack().enter_context(cuda_answers(card, lambda _: None))
    try:
        # without memory, as it is traced; a module-level table may be as large as a card
        with stand_in_cuda(StandIns("meta", job_dir), card):
            return load_module(source, name, job_dir)
    except MemoryError:
        raise
    except Exception:
        return _load_with_memory(source, name, job_dir, card)


def _load_with_memory(source: str, name: str, job_dir: Path, card: Any) -> ModuleType:
    try:
        with stand_in_cuda(CudaOnCpu(), card):
            return load_module(source, name, job_dir)
    except MemoryError:
        raise
    except Exception as error:
        if is_of_a_tool(error, job_dir):
            raise ToolError(f"{type(error).__name__}: {error}") from error
        raise


@contextmanager
def problem_on_target(facts: Mapping[str, Any]) -> Iterator[None]:
    """Queries of the card are answered while a problem's file is loaded and its model runs."""
    card = hardware(facts)
    use_stand_in_driver(card)
    with cuda_answers(card, lambda _: None):
        yield

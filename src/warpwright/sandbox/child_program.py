"""Inside a child: load foreign source files as modules.

The source is written to a file in the job directory, because Triton reads a kernel's source
through `inspect`.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from warpwright.sandbox import child_guard


def load_module(source: str, name: str, job_dir: Path) -> ModuleType:
    """Execute `source` as the module `name` under the guard; whatever it raises propagates."""
    path = job_dir / f"{name}.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {path.name}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with child_guard.foreign_code():
        spec.loader.exec_module(module)
    return module

"""What names stand for: imports and plain aliases, resolved to dotted paths."""

from __future__ import annotations

import ast

from warpwright.types.program import ImportedModule

_ASSUMED = {"triton": "triton", "tl": "triton.language", "torch": "torch"}
"""Read as usual where a program forgets the import (which is told as an undefined name)."""

_SAME = {
    "triton.runtime.jit.jit": "triton.jit",
    "triton.runtime.jit": "triton.jit",
    "triton.runtime.autotune": "triton.autotune",
    "triton.runtime.autotuner.autotune": "triton.autotune",
    "triton.runtime.autotuner.heuristics": "triton.heuristics",
    "triton.runtime.heuristics": "triton.heuristics",
    "triton.runtime.Config": "triton.Config",
    "triton.runtime.autotuner.Config": "triton.Config",
}


def read_imports(tree: ast.Module) -> tuple[ImportedModule, ...]:
    """Every import of the program, nested ones included, in order of lines."""
    found: list[ImportedModule] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [ImportedModule(a.name, None, a.asname, node.lineno) for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found += [ImportedModule(module, a.name, a.asname, node.lineno) for a in node.names]
    return tuple(sorted(found, key=lambda item: item.line))


class Aliases:
    """Local names → dotted paths: imports, and assignments such as `conv = F.conv2d`.

    Scopes are not told apart: a name that is an import anywhere is read as that import. That
    is what a reader of one short file wants; a local variable of the same name is never
    called or dotted in practice.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._paths: dict[str, str] = {}
        for item in read_imports(tree):
            self._paths.setdefault(item.bound_name, _bound_path(item))
        self._add_assigned(tree)

    def without(self, root: str) -> Aliases:
        """These, less every name for something of `root`: for a tree that spells them plainly."""
        kept = Aliases(ast.Module([], []))
        kept._paths = {n: path for n, path in self._paths.items() if path.split(".")[0] != root}
        return kept

    def _add_assigned(self, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if not isinstance(node, ast.Assign) or len(node.targets) != 1:
                continue
            target = node.targets[0]
            if isinstance(target, ast.Name) and target.id not in self._paths:
                path = self.path(node.value)
                if path is not None and "." in path:
                    self._paths[target.id] = path

    def path(self, node: ast.AST) -> str | None:
        """`tl.math.exp` → "triton.language.math.exp"; None if the root is no import.

        `getattr(module, "name")` with a literal name is read as `module.name`.
        """
        parts: list[str] = []
        current: ast.AST = node
        while not isinstance(current, ast.Name):
            if isinstance(current, ast.Attribute):
                parts.append(current.attr)
                current = current.value
                continue
            literal = literal_getattr(current)
            if literal is None:
                return None
            current, name = literal
            parts.append(name)
        root = self._paths.get(current.id) or _ASSUMED.get(current.id)
        if root is None:
            return None
        path = ".".join([root, *reversed(parts)])
        return _SAME.get(path, path)

    def triton_name(self, node: ast.AST) -> str | None:
        """`tl.load` → "load", `tl.math.exp` → "math.exp"; None if not `triton.language`."""
        path = self.path(node)
        prefix = "triton.language."
        return path[len(prefix) :] if path is not None and path.startswith(prefix) else None


def _bound_path(item: ImportedModule) -> str:
    if item.name is not None:
        return f"{item.module}.{item.name}"
    # `import a.b` binds only `a`; `import a.b as c` binds the whole path.
    return item.module if item.alias else item.module.split(".")[0]


def literal_getattr(node: ast.AST) -> tuple[ast.expr, str] | None:
    """`getattr(x, "name")` → (x, "name"); None for anything else."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "getattr"
        and len(node.args) >= 2
        and isinstance(node.args[1], ast.Constant)
        and isinstance(node.args[1].value, str)
    ):
        return node.args[0], node.args[1].value
    return None

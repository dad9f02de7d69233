"""Which host functions the model's `forward` reaches, and which only `__init__` calls."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from warpwright.program.parsed import HostFunction, ParsedProgram
from warpwright.program.torch_calls import CONTAINER_MODULES, VIEW_MODULES

MODEL_CLASS = "ModelNew"


@dataclass(frozen=True, slots=True)
class Reach:
    """Facts of the whole program that reading single calls needs.

    `modules` maps (class, attribute) to the class of the module that `__init__` puts there;
    `own_modules` are the program's own classes that derive from something.
    """

    functions: frozenset[str]
    classes: frozenset[str]
    own_modules: frozenset[str]
    bases: dict[str, str]
    modules: dict[tuple[str, str], str]
    reachable: frozenset[str]
    init_only: frozenset[str]


def read_reach(program: ParsedProgram) -> Reach:
    """Reads the call graph by names: a function that is mentioned counts as called."""
    classes = [n for n in ast.walk(program.tree) if isinstance(n, ast.ClassDef)]
    bases = {node.name: _base(node, program) for node in classes}
    names = frozenset(function.name for function in program.host_functions)
    own = frozenset(name for name, base in bases.items() if base)
    modules = _modules(program, own)
    mentions = {f.name: _mentions(f, program, modules, bases) for f in program.host_functions}
    roots = _roots(program, bases)
    reachable = _closure(roots, mentions) if roots else names
    starts = {name for name in names if name.split(".")[-1] == "__init__"}
    from_init = _closure(starts, mentions)
    # What module level, forward or anything that is not creation mentions runs later too.
    outside = {name for name in names if name not in from_init}
    later = _closure(outside | roots, mentions) - starts
    return Reach(
        functions=names,
        classes=frozenset(bases),
        own_modules=own,
        bases=bases,
        modules=modules,
        reachable=reachable,
        init_only=frozenset(from_init - later),
    )


def _base(node: ast.ClassDef, program: ParsedProgram) -> str:
    if not node.bases:
        return ""
    first = node.bases[0]
    path = program.aliases.path(first)
    return path or (first.id if isinstance(first, ast.Name) else ast.unparse(first))


def _roots(program: ParsedProgram, bases: dict[str, str]) -> set[str]:
    """`forward` and `__call__` of the model; of every module where no `ModelNew` is."""
    names = {function.name for function in program.host_functions}
    models = [MODEL_CLASS] if MODEL_CLASS in bases else list(bases)
    found: set[str] = set()
    for model in models:
        current: str | None = model
        seen: set[str] = set()
        while current in bases and current not in seen:
            seen.add(current)
            found |= {f"{current}.{name}" for name in ("forward", "__call__")} & names
            current = bases[current]
    return found


def _mentions(
    function: HostFunction,
    program: ParsedProgram,
    modules: dict[tuple[str, str], str],
    bases: dict[str, str],
) -> set[str]:
    """Functions that this one mentions: by name, as `self.method`, or as a submodule's call."""
    names = {other.name for other in program.host_functions}
    short = {other.node.name: other.name for other in program.host_functions if "." in other.name}
    plain = {name for name in names if "." not in name}
    nested = {other.node.name: other.name for other in program.host_functions if other.outer}
    found: set[str] = set()
    for node in ast.walk(function.node):
        if isinstance(node, ast.Name):
            if node.id in plain:
                found.add(node.id)
            if node.id in nested:
                found.add(nested[node.id])
            if node.id in bases:
                found |= {f"{node.id}.{m}" for m in ("forward", "backward")} & names
                if function.node.name != "__init__":
                    found |= {f"{node.id}.__init__"} & names
        elif isinstance(node, ast.Attribute):
            class_name = function.class_name or ""
            if f"{class_name}.{node.attr}" in names:
                found.add(f"{class_name}.{node.attr}")
            elif node.attr in short and not isinstance(node.value, ast.Name):
                found.add(short[node.attr])
            inner = modules.get((class_name, node.attr))
            if inner in bases:
                found |= {f"{inner}.forward"} & names
    if function.node.name == "__init__":
        # Making a submodule does not run its forward.
        found = {name for name in found if not name.endswith(".forward")}
    return found - {function.name}


def _closure(starts: set[str], mentions: dict[str, set[str]]) -> frozenset[str]:
    found: set[str] = set()
    stack = [name for name in starts if name in mentions]
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack.extend(mentions.get(name, ()))
    return frozenset(found)


def _modules(program: ParsedProgram, own: frozenset[str]) -> dict[tuple[str, str], str]:
    """`self.x = nn.Conv2d(...)` → torch.nn.Conv2d, by class and attribute."""
    maker = _ModuleReader(program, own)
    found: dict[tuple[str, str], str] = {}
    for function in program.host_functions:
        for node in ast.walk(function.node):
            if isinstance(node, ast.Assign):
                targets = node.targets
            elif isinstance(node, ast.AnnAssign):
                targets = [node.target]
            else:
                continue
            module = None if node.value is None else maker.module_class(node.value, function)
            for target in targets:
                if module is not None and isinstance(target, ast.Attribute) and _is_self(target):
                    found[(function.class_name or "", target.attr)] = module
    return found


class _ModuleReader:
    """Tells the class of the module that an expression makes."""

    def __init__(self, program: ParsedProgram, own: frozenset[str]) -> None:
        self._program = program
        self._own = own
        self._open: set[str] = set()

    def module_class(self, node: ast.expr, function: HostFunction) -> str | None:
        if isinstance(node, ast.IfExp):
            first = self.module_class(node.body, function)
            second = self.module_class(node.orelse, function)
            computing = [m for m in (first, second) if m and not m.endswith("Identity")]
            return next(iter(computing), first or second)
        if not isinstance(node, ast.Call):
            return None
        target = node.func
        if isinstance(target, ast.Attribute):
            if target.attr in ("to", "cuda", "eval", "half"):
                return self.module_class(target.value, function)
            if target.attr in self._own:  # a class inside a class
                return target.attr
            if _is_self(target):
                return self._made_by(f"{function.class_name}.{target.attr}")
        if isinstance(target, ast.Name):
            if target.id in self._own:
                return target.id
            made = self._made_by(target.id)
            if made is not None:
                return made
            default = _default_of(function, target.id)
            target = target if default is None else default
        path = self._program.aliases.path(target) or ""
        is_class = path.startswith("torch.nn.") and path.split(".")[-1][:1].isupper()
        is_parameter = path.startswith(("torch.nn.Parameter", "torch.nn.parameter"))
        if path.split(".")[-1] in CONTAINER_MODULES and is_class:
            return self._only_own(node, function) or path
        return path if is_class and not is_parameter else None

    def _only_own(self, container: ast.Call, function: HostFunction) -> str | None:
        """The own class that a `Sequential` or `ModuleList` holds, if it holds nothing else.

        Where the modules come in a variable, all that the function makes counts.
        """
        values = [*container.args, *(keyword.value for keyword in container.keywords)]
        names = any(isinstance(n, ast.Name) for v in values for n in (v, getattr(v, "value", v)))
        roots: list[ast.AST] = [function.node] if names or not values else [*values]
        made: list[str] = []
        for node in (node for root in roots for node in ast.walk(root)):
            if not isinstance(node, ast.Call) or node is container:
                continue
            path = self._program.aliases.path(node.func) or ""
            last = path.split(".")[-1]
            if isinstance(node.func, ast.Name) and node.func.id in self._own:
                made.append(node.func.id)
            elif isinstance(node.func, ast.Attribute) and node.func.attr in self._own:
                made.append(node.func.attr)
            elif path.startswith("torch.nn.") and last[:1].isupper():
                harmless = CONTAINER_MODULES | VIEW_MODULES | {"Parameter"}
                if last not in harmless:
                    return None
        return made[0] if made else None

    def _made_by(self, name: str) -> str | None:
        """The module that one of the program's own functions returns."""
        function = next((f for f in self._program.host_functions if f.name == name), None)
        if function is None or name in self._open:
            return None
        self._open.add(name)
        returns = [n.value for n in ast.walk(function.node) if isinstance(n, ast.Return)]
        found = [self.module_class(value, function) for value in returns if value is not None]
        self._open.discard(name)
        return next((module for module in found if module is not None), None)


def _default_of(function: HostFunction, name: str) -> ast.expr | None:
    """The default of a parameter, as in `norm_layer=nn.LayerNorm`."""
    arguments = function.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = dict(zip(reversed(positional), reversed(arguments.defaults), strict=False))
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None:
            defaults[argument] = default
    return next((value for argument, value in defaults.items() if argument.arg == name), None)


def _is_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"

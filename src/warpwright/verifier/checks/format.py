"""The strict output format: what stands in the file, and in which order."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from warpwright.program.dotted_names import dotted, parse
from warpwright.program.edit.strict_order import has_strict_order
from warpwright.types.program import ProgramView, TopLevel
from warpwright.types.request import OutputRules
from warpwright.types.verdict import CheckResult, Status, Violation

ORDER = "format.order"
_ORDER = {"imports": 0, "constants": 1, "kernels": 2, "wrappers": 3, "model": 4}
_WORDS = {
    "imports": "imports",
    "constants": "constants",
    "kernels": "@triton.jit kernels",
    "wrappers": "wrapper functions",
    "model": "the model",
}
_TEST_FUNCTIONS = frozenset({"get_inputs", "get_init_inputs"})


@dataclass(frozen=True, slots=True)
class _Finding:
    """A violation and its place, by which the same one is recognised in the parent."""

    place: tuple[str, str]
    violation: Violation


def check_format(
    parent: ProgramView, child: ProgramView, rules: OutputRules | None = None
) -> CheckResult:
    """Does the candidate keep imports → kernels → wrappers → model, and nothing else?

    What the parent already breaks in the same place (the same thing, the same rule) is told
    as a note and not blamed on the candidate. Module-level constants may stand anywhere before
    the model: literals, arithmetic on them, dtypes and lists of `triton.Config`. Anything else
    that runs when the module is loaded is a violation. Sections out of order are told: that
    changes nothing of what runs.
    """
    rules = rules or OutputRules()
    inherited = {finding.place for finding in _findings(parent, rules)}
    violations = []
    notes = []
    for finding in _findings(child, rules):
        if finding.place in inherited:
            notes.append(f"inherited from the parent: {finding.violation}")
        elif finding.violation.rule == ORDER:
            notes.append(f"told, not refused: {finding.violation}")
        else:
            violations.append(finding.violation)
    status = Status.FAIL if violations else Status.PASS
    return CheckResult("format", status, tuple(violations), tuple(notes))


def _findings(view: ProgramView, rules: OutputRules) -> list[_Finding]:
    tree = parse(view.source)
    if tree is None:
        violation = Violation("format.syntax", None, "Python source", "source that does not parse")
        return [_Finding(("format.syntax", ""), violation)]
    return [
        *_order(view),
        *_foreign_statements(view, tree),
        *_test_code(tree),
        *_kernels(view),
        *_model(tree, rules.model_class),
    ]


def _order(view: ProgramView) -> list[_Finding]:
    """Each section after the ones that come before it. Constants may stand anywhere early, and what
    a kernel needs while the module is imported (a hook of its decorator) before it."""
    if has_strict_order(view.source):
        return []
    found = []
    highest: TopLevel | None = None
    for item in view.top_level:
        rank = _ORDER.get(item.section)
        is_class = item.section == "wrappers" and item.name in view.classes
        if rank is None or item.section == "constants" or is_class:
            continue  # a class may serve the model and stand beside it
        if highest is not None and rank < _ORDER[highest.section]:
            place = (ORDER, f"{item.section} {item.name}")
            expected = f"{_WORDS[item.section]} before {_WORDS[highest.section]}"
            what = f"{item.name or item.section} after {highest.name or highest.section}"
            found.append(_Finding(place, Violation(ORDER, item.line, expected, what)))
        else:
            highest = item
    return found


def _foreign_statements(view: ProgramView, tree: ast.Module) -> list[_Finding]:
    """Statements that belong to no section: they run when the module is loaded."""
    constants = {node.lineno for node in tree.body if _is_constant(node)}
    lines = view.source.splitlines()
    found = []
    for item in view.top_level:
        if item.section not in ("other", "constants") or item.line in constants:
            continue
        text = lines[item.line - 1].strip() if 0 < item.line <= len(lines) else ""
        if _is_main_guard(text) or item.name in _TEST_FUNCTIONS:
            continue  # told by its own rule
        expected = "imports, constants, kernels, wrappers and the model only"
        rule = "format.module_code"
        violation = Violation(rule, item.line, expected, f"`{text[:80]}` at module level")
        found.append(_Finding((rule, item.name or text), violation))
    return found


_CONSTANT_NODES = (
    ast.Constant, ast.Name, ast.Attribute, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.UnaryOp,
    ast.BinOp, ast.Compare, ast.BoolOp, ast.IfExp, ast.operator, ast.unaryop, ast.boolop,
    ast.cmpop, ast.expr_context, ast.keyword, ast.ListComp, ast.DictComp, ast.comprehension,
    ast.Subscript, ast.JoinedStr, ast.FormattedValue,
)  # fmt: skip
_CONSTANT_CALLS = frozenset(
    {"Config", "constexpr", "range", "float", "int", "tuple", "list", "dict"}
)


def _is_constant(node: ast.stmt) -> bool:
    """A plain assignment of a name to a value that runs nothing of the program's own."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)  # a text between the sections
    if not isinstance(node, (ast.Assign, ast.AnnAssign)):
        return False
    targets: list[ast.expr] = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
    value = node.value
    if value is None or not all(isinstance(target, ast.Name) for target in targets):
        return False
    for inner in ast.walk(value):
        if isinstance(inner, ast.Call):
            name = (dotted(inner.func) or "").split(".")[-1]
            if name not in _CONSTANT_CALLS:
                return False
        elif not isinstance(inner, _CONSTANT_NODES):
            return False
    return True


def _is_main_guard(text: str) -> bool:
    return text.startswith("if ") and "__name__" in text


def _test_code(tree: ast.Module) -> list[_Finding]:
    """`get_inputs`, `get_init_inputs`, `if __name__`: the caller has its own."""
    found = []
    for node in tree.body:
        name = None
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            name = node.name if node.name in _TEST_FUNCTIONS else None
            name = node.name if node.name.startswith("test_") else name
        elif isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            name = "if __name__"
        if name is not None:
            violation = Violation("format.test_code", node.lineno, "no testing code", name)
            found.append(_Finding(("format.test_code", name), violation))
    return found


def _kernels(view: ProgramView) -> list[_Finding]:
    if view.kernels:
        return []
    violation = Violation("format.kernels", None, "at least one @triton.jit kernel", "none")
    return [_Finding(("format.kernels", ""), violation)]


def _model(tree: ast.Module, name: str) -> list[_Finding]:
    """Exactly one `ModelNew(nn.Module)` that has a `forward`."""
    models = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name]
    rule, expected = "format.model", f"one class {name}(nn.Module) with forward"
    if len(models) != 1:
        line = models[-1].lineno if models else None
        found = "no such class" if not models else f"{len(models)} of them"
        return [_Finding((rule, "count"), Violation(rule, line, expected, found))]
    model = models[0]
    findings = []
    for decorator in model.decorator_list:
        found = f"@{ast.unparse(decorator)}"
        violation = Violation(rule, decorator.lineno, f"class {name} without decorators", found)
        findings.append(_Finding((rule, found), violation))
    bases = [dotted(base) or ast.unparse(base) for base in model.bases]
    if [base.split(".")[-1] for base in bases] != ["Module"]:
        found = f"{name}({', '.join(bases)})"
        findings.append(_Finding((rule, "base"), Violation(rule, model.lineno, expected, found)))
    methods = {n.name for n in model.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))}
    if "forward" not in methods:
        violation = Violation(rule, model.lineno, expected, f"{name} without forward")
        findings.append(_Finding((rule, "forward"), violation))
    return findings

"""TTIR as text becomes a tree of operations.

Reads what Triton prints without debug information. It is a reader for counting, no verifier: a
line that it does not understand becomes an operation without operands, and whoever counts finds
an operation there that it does not know. No text makes it fail.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from warpwright.types.kernel_ir import IrFunction, IrOperation, IrRegion, TensorType

_FUNCTION = re.compile(r"\s*tt\.func\s+(?:public\s+|private\s+)?@(?P<name>[\w.$]+)\((?P<args>.*)")
_ARGUMENT = re.compile(r"(%[\w$.]+)\s*:\s*(!?[\w.]+(?:<[^%]*?>)?)(?=\s*(?:,\s*%|\)|\{|$))")
_BLOCK = re.compile(r"\^(?P<label>bb\d+)(?:\((?P<args>.*)\))?:")
_RESULTS = re.compile(r"(?P<name>%[\w$.]+)(?::(?P<count>\d+))?\s*=\s*")
_NAME = re.compile(r'"?(?P<name>[a-z_]\w*(?:\.\w+)+)"?')
_VALUE = re.compile(r"%[\w$.]+(?:#\d+)?")
_TARGET = re.compile(r"\^(bb\d+)")
_TYPE = re.compile(
    r"tensor<(?P<shape>(?:\d+x)+)(?P<inner>!tt\.ptr<(?P<to>[\w.]+)[^>]*>|[a-zA-Z]\w*)"
    r"|!tt\.ptr<(?!tensor)(?P<scalar_to>[\w.]+)"
    r"|(?<![\w.!%#])(?P<scalar>index|[fiu]\d+|bf16|tf32|f8\w+)(?![\w.])"
)
MAX_RESULTS = 1024
MAX_DIGITS = 9
ENTRY = "bb0"


def read_function(text: str, name: str | None = None) -> IrFunction | None:
    """The kernel of a module: the function `name`, or the first public one; None without any."""
    first: IrFunction | None = None
    lines = text.splitlines()
    for index, line in enumerate(lines):
        match = _FUNCTION.match(line)
        if match is None:
            continue
        if name is not None and match["name"] != name:
            continue
        if first is None and " private " not in line:
            first = _function(match, lines[index + 1 :])
    return first


def _function(match: re.Match[str], lines: list[str]) -> IrFunction:
    reader = _Reader()
    for line in lines:
        if not reader.take(line.strip()):
            break
    return IrFunction(
        match["name"],
        tuple((value, kind) for value, kind in _ARGUMENT.findall(match["args"])),
        reader.blocks(),
    )


@dataclass(slots=True)
class _Open:
    """An operation whose regions are still being read; None stands for the function itself."""

    operation: IrOperation | None
    regions: list[IrRegion] = field(default_factory=list)
    arguments: tuple[str, ...] = ()
    operations: list[IrOperation] = field(default_factory=list)
    labels: list[tuple[str, tuple[IrOperation, ...]]] = field(default_factory=list)
    label: str = ENTRY

    def close_region(self) -> None:
        self.regions.append(IrRegion(self.arguments, tuple(self.operations)))
        self.arguments, self.operations = (), []


class _Reader:
    """Takes the lines of one function's body, one at a time."""

    def __init__(self) -> None:
        self._open = [_Open(None)]

    def take(self, line: str) -> bool:
        """Read one line; False when the function's closing brace was reached."""
        top = self._open[-1]
        if not line or line.startswith("//"):
            return True
        if line.startswith("^"):
            self._block(top, line)
        elif line.startswith("}"):
            return self._close(line)
        else:
            operation = read_operation(line)
            if line.endswith("{"):
                self._open.append(_Open(operation, arguments=_region_arguments(operation)))
            else:
                top.operations.append(operation)
        return True

    def _block(self, top: _Open, line: str) -> None:
        match = _BLOCK.match(line)
        if match is None:
            return
        if top.operation is not None:
            top.arguments = tuple(_VALUE.findall(match["args"] or ""))
            return
        top.labels.append((top.label, tuple(top.operations)))
        top.label, top.operations = match["label"], []

    def _close(self, line: str) -> bool:
        top = self._open[-1]
        if top.operation is None:
            return False
        top.close_region()
        if line.endswith("{"):  # } else {, } do {
            return True
        self._open.pop()
        operation = top.operation
        # "tt.reduce" and the like print their signature after the region
        kinds = read_types(line) if line.startswith("})") else operation.types
        self._open[-1].operations.append(
            IrOperation(
                operation.name,
                operation.results,
                operation.operands,
                kinds,
                f"{operation.text} {line}",
                tuple(top.regions),
            )
        )
        return True

    def blocks(self) -> tuple[tuple[str, tuple[IrOperation, ...]], ...]:
        root = self._open[0]
        return (*root.labels, (root.label, tuple(root.operations)))


def read_operation(line: str) -> IrOperation:
    """One operation from its line; `regions` come later."""
    rest = line
    results: tuple[str, ...] = ()
    match = _RESULTS.match(line)
    if match is not None:
        rest, results = line[match.end() :], _results(match)
    name = _NAME.match(rest)
    if name is None:
        return IrOperation("", results, (), (), line)
    body = rest[name.end() :]
    head, _, signature = body.rpartition(" : ")
    if not head and not signature.startswith(" "):
        head = body
    return IrOperation(
        name["name"],
        results,
        tuple(_VALUE.findall(head or body)),
        read_types(signature if head else ""),
        line,
        targets=tuple(_TARGET.findall(body)),
    )


def _results(match: re.Match[str]) -> tuple[str, ...]:
    count = match["count"]
    if count is None:
        return (match["name"],)
    if len(count) > MAX_DIGITS:
        return ()
    return tuple(f"{match['name']}#{index}" for index in range(min(int(count), MAX_RESULTS)))


def _region_arguments(operation: IrOperation) -> tuple[str, ...]:
    """A loop's arguments are written before its region: the counter, then what it carries."""
    carried = re.search(r"iter_args\((.*?)\)", operation.text)
    names = [] if carried is None else re.findall(r"(%[\w$.]+)\s*=", carried[1])
    if operation.name == "scf.for":
        return (*operation.operands[:1], *names)
    if operation.name == "scf.while":
        return tuple(re.findall(r"(%[\w$.]+)\s*=\s*%", operation.text))
    return ()


def read_types(text: str) -> tuple[TensorType, ...]:
    """Every tensor, pointer and scalar type in a signature, in order."""
    found = []
    for match in _TYPE.finditer(text):
        if match["shape"] is not None:
            sizes = [size for size in match["shape"].split("x") if size]
            shape = tuple(int(size) if len(size) <= MAX_DIGITS else 0 for size in sizes)
            found.append(TensorType(shape, match["to"] or match["inner"], match["to"] is not None))
        elif match["scalar_to"] is not None:
            found.append(TensorType((), match["scalar_to"], True))
        else:
            found.append(TensorType((), match["scalar"]))
    return tuple(found)

"""The profile section: Nsight Compute metrics as JSON ⇄ `Profile`.

Kernel name → metric → value, or a list of such mappings, one for each profiled launch. A value
that the profiler did not give (`NaN`, `N/A`, null) is None, never 0.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from warpwright.data.metrics import RetiredMetric, retired_metric, validate_metric_name
from warpwright.errors import InputError, Place
from warpwright.formats.documents import document_text
from warpwright.types.request import KernelProfile, MetricValue, Profile

SECTION = "[NCU PROFILING METRICS]"
NO_METRICS = "No metrics available."
NEAR = 0.85  # of two names' letters in common: a slip of the pen

_NO_VALUE = frozenset({"", "n/a", "na", "nan", "null", "none", "-", "inf", "-inf"})
_NONE_TAKEN = re.compile(
    r"\bno\b[^.\n]{0,40}\b(?:metrics?|profil\w*)\b|\bnot (?:available|profiled)\b"
    r"|\bunavailable\b|\bskipped\b|\bprofil\w*[^.\n]{0,40}\bfailed\b"
    r"|\bcould not be (?:profiled|collected|taken)\b|^\s*(?:none|n/a|null)\b",
    re.IGNORECASE,
)
_MAX_KERNELS = 1000
_MAX_METRICS = 1000  # names, over all kernels: more than Nsight Compute collects in one run


class _Pairs(dict[str, object]):
    """A JSON object that remembers the keys it was given twice."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        counts = Counter(key for key, _ in pairs)
        self.repeated = [key for key, count in counts.items() if count > 1]


class _Reader:
    """Where things stand in the metrics text, for messages in the document's lines."""

    def __init__(self, text: str, first_line: int, document: str | None) -> None:
        self.text = text
        self.first_line = first_line
        self.document = document
        self.metric_names: set[str] = set()  # those already found right

    def line_at(self, position: int) -> int:
        return self.first_line + self.text.count("\n", 0, max(position, 0))

    def place(self, *keys: str) -> Place:
        """The place of a key path: each key searched after the one before it."""
        position = 0
        for key in keys:
            found = self.text.find(json.dumps(key, ensure_ascii=False), position)
            position = found if found >= 0 else position
        return Place(self.document, SECTION, self.line_at(position))


def _not_json(reader: _Reader, position: int, what: str) -> InputError:
    line = reader.text[reader.text.rfind("\n", 0, position) + 1 :].split("\n", 1)[0].strip()
    return InputError(
        f"the metrics are not JSON: {what}",
        place=Place(reader.document, SECTION, reader.line_at(position)),
        expected='{"kernel": {"metric": number, ...}, ...}, or a sentence that there are none',
        got=repr(line[:100]) if line else "the end of the section",
    )


def _decode(reader: _Reader) -> tuple[object, str]:
    """The JSON value at the start of the text, and what follows it."""
    start = len(reader.text) - len(reader.text.lstrip())
    decoder = json.JSONDecoder(object_pairs_hook=_Pairs, parse_int=float)
    try:
        value, end = decoder.raw_decode(reader.text, start)
    except json.JSONDecodeError as error:
        raise _not_json(reader, error.pos, error.msg) from error
    except RecursionError as error:
        raise _not_json(reader, start, "nested too deeply") from error
    rest = reader.text[end:].strip()
    if rest[:1] in set('{}[],:"'):
        raise _not_json(reader, reader.text.index(rest, end), "more text after its end")
    return value, rest


def _metric_value(value: object) -> MetricValue:
    """A number, or None where the profiler gave none. Raises ValueError for anything else."""
    if value is None:
        return None
    if isinstance(value, str):
        text = value.strip().lower()
        if text in _NO_VALUE:
            return None
        value = float(text.replace(",", "").removesuffix("%").strip())
    if isinstance(value, bool) or not isinstance(value, float):
        raise ValueError
    return value if math.isfinite(value) else None


def _check_name(kernel: str, name: str, reader: _Reader) -> None:
    if len(reader.metric_names) >= _MAX_METRICS:
        raise InputError(
            "the profile has too many metrics",
            place=reader.place(kernel, name),
            expected=f"at most {_MAX_METRICS} names",
        )
    try:
        validate_metric_name(name)
    except InputError:
        validate_metric_name(name, place=reader.place(kernel, name))
    reader.metric_names.add(name)


def _launch(kernel: str, value: object, reader: _Reader) -> Mapping[str, MetricValue]:
    if not isinstance(value, _Pairs):
        raise InputError(
            f"the profile of {kernel!r} is no mapping of metrics",
            place=reader.place(kernel),
            expected='{"metric": number, ...} or a list of these, one for each launch',
            got=repr(value)[:80],
        )
    if value.repeated:
        raise InputError(
            f"the metric {value.repeated[0]!r} is given twice for one launch of {kernel!r}",
            place=reader.place(kernel, value.repeated[0]),
            expected="each metric once; several launches as a list",
        )
    metrics: dict[str, MetricValue] = {}
    for name, raw in value.items():
        if name not in reader.metric_names:
            _check_name(kernel, name, reader)
        try:
            metrics[name] = _metric_value(raw)
        except ValueError as error:
            raise InputError(
                f"the metric {name} of {kernel!r} is no number",
                place=reader.place(kernel, name),
                expected="a number, or null where the profiler gave none",
                got=json.dumps(raw, default=str)[:80],
            ) from error
    return metrics


def _kernel_lines(names: Iterable[str], reader: _Reader) -> Iterator[int | None]:
    """The line of each kernel's name, in one pass; None once one is not found as written."""
    position, line, lost = 0, reader.first_line, False
    for name in names:
        found = -1 if lost else reader.text.find(json.dumps(name, ensure_ascii=False), position)
        if found < 0:
            lost = True
            yield None
            continue
        line += reader.text.count("\n", position, found)
        position = found
        yield line


def _kernel_profile(kernel: str, value: object, line: int | None, reader: _Reader) -> KernelProfile:
    if not kernel.strip():
        raise InputError("a kernel in the profile has no name", place=reader.place(kernel))
    launches = value if isinstance(value, list) else [value]
    return KernelProfile(
        kernel, tuple(_launch(kernel, launch, reader) for launch in launches), line=line
    )


def parse_profile(
    text: str, *, document: str | None = None, first_line: int = 1
) -> tuple[Profile, str]:
    """The profile, and the prose after the JSON (or instead of it, where none was taken).

    `first_line` is the document's line on which the text begins. Raises `InputError` for text
    that is neither JSON nor says that there are no metrics, for unknown metrics, and for values
    that are no numbers.
    """
    reader = _Reader(text, first_line, document)
    if text.lstrip()[:1] not in ("{", "["):
        if _NONE_TAKEN.search(text[:2000]):
            return Profile(), text.strip()
        raise _not_json(reader, len(text) - len(text.lstrip()), "no JSON object")
    value, rest = _decode(reader)
    if not isinstance(value, _Pairs):
        raise _not_json(reader, 0, "a list where kernels by name were expected")
    if value.repeated:
        raise InputError(
            f"the kernel {value.repeated[0]!r} is given twice",
            place=reader.place(value.repeated[0]),
            expected="each kernel once, with a list of its launches",
        )
    if len(value) > _MAX_KERNELS:
        raise InputError("the profile has too many kernels", place=reader.place())
    kernels = tuple(
        _kernel_profile(name, each, line, reader)
        for (name, each), line in zip(value.items(), _kernel_lines(value, reader), strict=True)
    )
    return Profile(kernels), rest


def parse_metrics(text: str, *, document: str | None = None) -> Profile:
    """The profile in a file of its own: JSON, nothing after it. Errors as `parse_profile`."""
    profile, rest = parse_profile(document_text(text, document), document=document)
    if rest and profile.kernels:
        reader = _Reader(text, 1, document)
        raise _not_json(reader, max(text.rfind(rest), 0), "more text after its end")
    return profile


def _written(value: MetricValue) -> float | int | None:
    if value is None or not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() and abs(value) < 1e15 else value


def render_profile(profile: Profile) -> str:
    """The profile as JSON, or the sentence that there is none."""
    if not profile.kernels:
        return NO_METRICS
    mapping = {}
    for kernel in profile.kernels:
        launches = [{k: _written(v) for k, v in launch.items()} for launch in kernel.launches]
        mapping[kernel.kernel] = launches[0] if len(launches) == 1 else launches
    return json.dumps(mapping, indent=2, ensure_ascii=False)


def retired_metrics(names: Iterable[str]) -> tuple[RetiredMetric, ...]:
    """Those of the names that no supported GPU has, with their successors, each once."""
    found = (retired_metric(name) for name in names)
    return tuple(dict.fromkeys(retired for retired in found if retired is not None))


def is_kernel_of(profiled: str, kernel: str) -> bool:
    """Whether a profiled name is this kernel; Triton may append `_0d1d2c` to it."""
    suffix = profiled.removeprefix(kernel)
    return (
        profiled.startswith(kernel)
        and re.fullmatch(r"(?:_(?:\d{1,3}[cde]*)+)?", suffix) is not None
    )


def foreign_kernels(profile: Profile, kernel_names: Iterable[str]) -> tuple[KernelProfile, ...]:
    """Profiled kernels that the program lacks: mostly those of libraries in the same run."""
    names = tuple(kernel_names)
    return tuple(
        kernel
        for kernel in profile.kernels
        if not any(is_kernel_of(kernel.kernel, name) for name in names)
    )


def unknown_kernels(profile: Profile, kernel_names: Iterable[str]) -> tuple[KernelProfile, ...]:
    """Profiled kernels that the program lacks and that speak against the profile.

    All of them where none of the program's is profiled; beside one of the program's only a name
    that is nearly one of its own (`ampere_sgemm_128x64_nn` is a library's, `add_kernl` is not).
    """
    names = tuple(kernel_names)
    foreign = foreign_kernels(profile, names)
    if len(foreign) == len(profile.kernels):
        return foreign
    return tuple(k for k in foreign if difflib.get_close_matches(k.kernel[:200], names, 1, NEAR))


def check_profile_kernels(
    profile: Profile, kernel_names: Iterable[str], *, document: str | None = None
) -> None:
    """Raises `InputError` for the first of `unknown_kernels`; `document` holds the profile."""
    names = tuple(kernel_names)
    for kernel in unknown_kernels(profile, names)[:1]:
        near = difflib.get_close_matches(kernel.kernel[:200], names, n=1)
        raise InputError(
            f"the profile is of a kernel that the program lacks: {kernel.kernel[:200]!r}",
            place=Place(document, SECTION, kernel.line),
            expected="one of the program's kernels: " + (", ".join(names) or "it has none"),
            got=repr(kernel.kernel[:200]),
            hint=f"did you mean {near[0]}?" if near else "is this the profile of this program?",
        )

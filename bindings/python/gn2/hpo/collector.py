# SPDX-License-Identifier: Apache-2.0
"""What Katib's file metrics collector (v0.19) makes of a file, and what is wrong with a
file that it would read otherwise than it was meant."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..errors import FormatError
from .document import Problem

FORMATS = ("TEXT", "JSON")
MOST = 64 << 20  #: bytes of a file that is checked
LINE = 1 << 14  #: characters of a line that is checked
UNAVAILABLE = "unavailable"  #: the value of an objective that never appeared
NO_TIME = "0001-01-01T00:00:00Z"
#: Katib's own pattern; Go's classes are of ASCII
PATTERN = r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)"
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)([.,]\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII
)


class Sample(NamedTuple):
    """A value as it is stored."""

    time: str
    name: str
    value: str


def is_time(text: str) -> bool:
    """Does Go's RFC3339Nano take it?"""
    match = _TIME.fullmatch(text)
    try:
        return bool(match and datetime.datetime.fromisoformat(match[1]))
    except ValueError:
        return False


def collect(
    text: str, metrics: Sequence[str], form: str = "TEXT", patterns: Sequence[str] = ()
) -> list[Sample]:
    """What is stored of a file.

    Args:
        metrics: names, the objective first.
        patterns: ``metricsFormat``; Katib's own where there is none.

    Raises:
        FormatError: a line of the JSON form is no object: nothing is stored.
    """
    lines = text.split("\n")
    if form == "JSON":
        found = [s for line in lines if line for s in _of_object(line, metrics)]
    else:
        compiled = [re.compile(p, re.ASCII) for p in patterns or (PATTERN,)]
        found = [s for line in lines for s in _of_line(line, metrics, compiled)]
    if not any(sample.name == metrics[0] for sample in found):
        return [Sample(NO_TIME, metrics[0], UNAVAILABLE)]
    return found


def _of_line(
    line: str, metrics: Sequence[str], patterns: Sequence[re.Pattern[str]]
) -> Iterator[Sample]:
    if not any(name in line for name in metrics):
        return
    first, space, _ = line.partition(" ")
    time = first if space and is_time(first) else NO_TIME
    for pattern in patterns:
        for match in pattern.finditer(line):
            name, value = match[1].strip(), match[2].strip()
            if name in metrics:
                yield Sample(time, name, value)


def _of_object(line: str, metrics: Sequence[str]) -> Iterator[Sample]:
    try:
        row = json.loads(line)
    except ValueError as problem:
        raise FormatError(f"a line is no JSON object ({problem}): {line!r}") from None
    if not isinstance(row, dict):
        raise FormatError(f"a line is no JSON object: {line!r}")
    time = _json_time(row.get("timestamp"))
    for name in metrics:
        if isinstance(row.get(name), str):
            yield Sample(time, name, row[name])


def _json_time(given: Any) -> str:
    if isinstance(given, str):
        return given if is_time(given) else NO_TIME
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        return NO_TIME
    # digits after the point are taken for a number of nanoseconds
    whole, _, rest = f"{given!r}".partition(".")
    moment = datetime.datetime.fromtimestamp(int(whole), datetime.timezone.utc)
    nanoseconds = f".{int(rest):09d}" if rest.strip("0") else ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + nanoseconds.rstrip("0") + "Z"


# ---- the contract ----

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


def problems(
    path: str, text: str, metrics: Sequence[str], form: str = "TEXT"
) -> list[Problem]:
    """What of a metrics file Katib would read otherwise than meant, with lines.

    Args:
        metrics: the objective first, then other figures of the Experiment.
    """
    if form == "JSON" and text.lstrip()[:1] not in ("{", ""):
        return [Problem(f"{path}:1", "is not of the JSON form", "format: TEXT")]
    parts = _json_parts if form == "JSON" else _text_parts
    found: list[Problem] = []
    last_step = -1
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if len(line) > LINE:  # Katib's pattern takes the square of a word's length
            what = f"a line of {len(line)} characters, more than {LINE}"
            return [Problem(f"{path}:{number}", what, "is it a metrics file?")]
    if lines[-1]:
        found.append(
            Problem(
                f"{path}:{len(lines)}",
                "the last line has no end: half a number would be read",
                "write each line at once",
            )
        )
    for number, line in enumerate(lines, 1):
        where = f"{path}:{number}"
        if not line:
            continue
        row, wrong = parts(line)
        found += [Problem(where, what, remedy) for what, remedy in wrong]
        if row.get("step", "").isdecimal():
            step = int(row["step"])
            if step <= last_step:
                what = f"step {step} comes after step {last_step}"
                found.append(Problem(where, what, "each step once, in order"))
            last_step = max(step, last_step)
    return [*found, *_missing(path, text, metrics, form)]


def _missing(
    path: str, text: str, metrics: Sequence[str], form: str
) -> Iterator[Problem]:
    try:
        stored = collect(text, metrics, form)
    except FormatError as problem:
        yield Problem(path, f"Katib stores nothing: {problem}")
        return
    for name in metrics:
        values = [s.value for s in stored if s.name == name]
        if not values or values == [UNAVAILABLE]:
            yield Problem(
                path, f"{name} never appears", "the trial would be unavailable"
            )


Parts = tuple["dict[str, str]", "list[tuple[str, str]]"]


def _text_parts(line: str) -> Parts:
    time, _, rest = line.partition(" ")
    wrong = [] if is_time(time) else [_bad_time(time)]
    words = rest.split(" ") if is_time(time) else line.split(" ")
    row: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals and not is_time(time) and word is words[0]:
            continue  # the time that is none
        if not equals:
            wrong.append((f"{word!r} is no name=value", "no spaces around ="))
            continue
        wrong.extend(_pair(name, value, row))
        row[name] = value
    return row, wrong


def _json_parts(line: str) -> Parts:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return {}, [("no JSON object: the whole file is lost", "one object a line")]
    time = found.pop("timestamp", None)
    wrong = [] if isinstance(time, str) and is_time(time) else [_bad_time(str(time))]
    row: dict[str, str] = {}
    for name, value in found.items():
        if not isinstance(value, str):
            what = f"{name}: {value!r} is no string and is passed over"
            wrong.append((what, f'"{name}": "{value}"'))
            continue
        if not _NAME.fullmatch(name):
            wrong.append((f"{name!r} is no name", "letters, digits, _ and - only"))
        if not _is_finite(value):
            wrong.append((f"{name}: {value!r} is stored", "a finite decimal number"))
        row[name] = value
    return row, wrong


def _is_finite(value: str) -> bool:
    return bool(_NUMBER.fullmatch(value)) and math.isfinite(float(value))


def _bad_time(given: str) -> tuple[str, str]:
    return f"{given!r} is no time", "2026-11-23T07:00:00.123456Z and a space"


def _pair(name: str, value: str, row: dict[str, str]) -> Iterator[tuple[str, str]]:
    """What is wrong with a name and its value."""
    if not _NAME.fullmatch(name):
        tail = re.findall(r"[\w|-]+", name, re.ASCII)
        read = f"; {tail[-1]} is read" if tail else ""
        yield f"{name!r} is no name{read}", "letters, digits, _ and - only"
    if name in row:
        yield f"{name} is there twice", "one value a line"
    if not _NUMBER.fullmatch(value):
        match = re.match(PATTERN, f"x={value}", re.ASCII)
        read = match[2] if match else ""
        yield f"{name}={value}: {read!r} is read", "a finite decimal number"
    elif not _is_finite(value):
        yield f"{name}={value} is beyond a double", "a finite decimal number"

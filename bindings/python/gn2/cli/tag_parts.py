# SPDX-License-Identifier: Apache-2.0
"""Parts of a tagging, for array jobs: each is a range of the jets of all inputs.

Part I of N of the jets of all inputs, one input after another, is a file I-of-N.part in
the folder OUT.parts. It is written under another name and renamed: there is a whole one
or none. It is a ZIP archive, which has a checksum of each member:

    part.json       what it is of: version, models, options, inputs, range, digest
    00000.NAME.npy  output NAME of the jets of its first batch, and so on

The digest is of the values that were tagged. The joining command reads them again, so
it knows a changed input by its content, wherever it lies and whatever its time says.
What else a score file holds is copied from the inputs when parts are joined, by the
writer that one run has: the file is that of one run.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy

from .. import Config, Dataset, Ragged, __version__, features
from .._lines import replacing
from .._progress import Late
from .common import Failure

FORM = 1  #: of the files
INDEX = "JOB_COMPLETION_INDEX"  #: the number that an Indexed Job gives its pods
#: options that change nothing of what is found
FREE = ("tagger.threads", "data.batch_size", "data.prefetch", "data.read_threads")
META = "part.json"
_SHOWN = 20  # of the parts that are missing
MOST = 99_999  #: parts, of five digits in the names of their files
_NAME = re.compile(r"([0-9]{5})-of-([0-9]{5})\.part")

#: jets, and constituents by type
Inputs = tuple[Any, dict[str, Ragged]]


class Range(NamedTuple):
    """Jets of an input."""

    file: int
    first: int
    end: int


class Part(NamedTuple):
    """A part of how many; its range, and its file."""

    number: int
    parts: int
    ranges: list[Range]
    path: pathlib.Path

    def __str__(self) -> str:
        return f"part {self.number} of {self.parts}"

    @property
    def jets(self) -> int:
        return sum(end - first for _, first, end in self.ranges)


class Run(NamedTuple):
    """The tagging that the parts are of."""

    inputs: list[str]
    out: str
    configs: list[Config]  #: a model each: how its inputs are read
    facts: dict[str, str]  #: what makes it this one, and not another
    counts: list[int]  #: jets of each input

    def part(self, number: int, parts: int) -> Part:
        """A part of so many, of nearly equal ranges."""
        total = sum(self.counts)
        first, end = (total * k // parts for k in (number, number + 1))
        ranges, start = [], 0
        for file, count in enumerate(self.counts):
            low, high = max(first, start), min(end, start + count)
            if low < high:
                ranges.append(Range(file, low - start, high - start))
            start += count
        path = folder_of(self.out) / f"{number:05d}-of-{parts:05d}.part"
        return Part(number, parts, ranges, path)


def folder_of(out: str) -> pathlib.Path:
    """Where the parts of an output are."""
    return pathlib.Path(f"{out.rstrip('/')}.parts")


def numbers(word: str) -> tuple[int, int]:
    """I and N of "I/N", or of "N" in a pod of an Indexed Job.

    Raises:
        ValueError: it is no such thing.
    """
    number, slash, parts = word.rpartition("/")
    if not slash:
        number = os.environ.get(INDEX, "")
        if not number:
            raise ValueError(
                f"'{word}': I/N is wanted, as 0/{word}; N alone goes with {INDEX}, "
                "which is not set"
            )
        if not number.isdecimal():
            raise ValueError(f"{INDEX} = '{number}' is no whole number")
    if not (number.isdecimal() and parts.isdecimal() and int(parts)):
        raise ValueError(f"'{word}': I/N is wanted, two whole numbers, as 0/7")
    if int(parts) > MOST:
        raise ValueError(f"{parts} parts: {MOST} at most")
    if int(number) >= int(parts):
        raise ValueError(f"{number}/{parts}: parts are numbered 0 to {int(parts) - 1}")
    return int(number), int(parts)


def describe(
    models: Sequence[str],
    inputs: list[str],
    configs: list[Config],
    out: str,
    *,
    quiet: bool = True,
) -> Run:
    """The tagging of inputs by models, as its parts and who joins them know it."""
    facts = {"version of gn2": __version__}
    for path in models:
        with open(path, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        facts[f"model {len(facts)} (sha256)"] = digest
    for key, value in configs[0].items():
        if key not in FREE:
            words = value if isinstance(value, list) else [value]
            facts[key] = ",".join(map(str, words))
    counts = []
    with Late("file", "opening", quiet) as bar:
        for number, path in enumerate(inputs):
            bar.show(number, len(inputs))
            with Dataset(path, configs[0]) as data:
                counts.append(data.info.jet_count)
            name = os.path.basename(path)
            facts[f"input {number}"] = f"{name}, {counts[-1]} jets"
        bar.show(len(inputs), len(inputs))
    return Run(inputs, out, configs, facts, counts)


# ---- reading inputs ----


def _cut(inputs: Inputs, low: int, high: int) -> Inputs:
    jets, rows = inputs
    found = {}
    for name, (values, offsets) in rows.items():
        own = values[offsets[low] : offsets[high]]
        found[name] = Ragged(own, offsets[low : high + 1] - offsets[low])
    return jets[low:high], found


def _read(path: str, config: Config, span: Range) -> Iterator[Inputs]:
    """The jets of a range, as a model wants them, batch by batch."""
    options = config.copy()
    options["data.max_jets"] = span.end
    with Dataset(path, options) as data:
        size = data.info.batch_size
        start = span.first // size * size
        for inputs in data._unlabelled(span.first // size):
            low = max(0, span.first - start)
            yield inputs if low == 0 else _cut(inputs, low, len(inputs[0]))
            start += len(inputs[0])


class _Digest:
    """Of the values of jets, whatever the batches they come in."""

    def __init__(self) -> None:
        self._parts: dict[str, Any] = {}

    def _add(self, name: str, values: Any) -> None:
        one = self._parts.setdefault(name, hashlib.sha256())
        one.update(np.ascontiguousarray(values).data.cast("B") if values.size else b"")

    def add(self, model: int, inputs: Inputs) -> None:
        self._add(f"{model}.jets", inputs[0])
        for name, (values, offsets) in inputs[1].items():
            self._add(f"{model}.{name}", values)
            self._add(f"{model}.{name}.counts", np.diff(offsets))

    def text(self) -> str:
        names = sorted(self._parts)
        words = "".join(f"{n} {self._parts[n].hexdigest()}\n" for n in names)
        return hashlib.sha256(words.encode()).hexdigest()


def _batches(run: Run, part: Part, digest: _Digest) -> Iterator[tuple[int, Any]]:
    """(input, what each model takes) of the batches of a part."""
    for span in part.ranges:
        path = run.inputs[span.file]
        for batch in zip(*(_read(path, config, span) for config in run.configs)):
            for model, inputs in enumerate(batch):
                digest.add(model, inputs)
            yield span.file, batch


def _digest(run: Run, part: Part) -> str:
    """Of what the inputs hold now."""
    digest = _Digest()
    for _ in _batches(run, part, digest):
        pass
    return digest.text()


def _stamps(run: Run, part: Part) -> list[list[int]]:
    found = (os.stat(run.inputs[span.file]) for span in part.ranges)
    return [[status.st_size, status.st_mtime_ns] for status in found]


# ---- files ----


def write(
    run: Run, part: Part, tag: Callable[[Any], Mapping[str, Any]], bar: Any
) -> None:
    """Tags the jets of a part; the file is there whole, or not at all.

    Args:
        tag: finds the outputs of a batch, by full name.
        bar: counts jets.
    """
    part.path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(part.path, "wb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            _fill(archive, run, part, tag, bar)
        file.flush()
        os.fsync(file.fileno())


# numpy does not say their types
_write_array: Any = npy.write_array
_read_array: Any = npy.read_array


def _member(batch: int, output: str) -> str:
    """Name in the archive of an output of a batch."""
    return f"{batch:05d}.{output}.npy"


def _fill(archive: zipfile.ZipFile, run: Run, part: Part, tag: Any, bar: Any) -> None:
    batches: list[dict[str, Any]] = []
    digest, stamps = _Digest(), _stamps(run, part)
    for file, batch in _batches(run, part, digest):
        count = len(batch[0][0])
        found = tag(batch)
        for name, values in found.items():
            info = zipfile.ZipInfo(_member(len(batches), name))
            with archive.open(info, "w", force_zip64=True) as out:
                _write_array(out, np.asarray(values))
        batches.append({"input": file, "jets": count, "outputs": list(found)})
        bar.add(count)
    meta = {
        "gn2_part": FORM,
        "facts": run.facts,
        "part": part.number,
        "parts": part.parts,
        "ranges": part.ranges,
        "digest": digest.text(),
        "stamps": stamps,
        "machine": _machine(),
        "batches": batches,
    }
    archive.writestr(zipfile.ZipInfo(META), json.dumps(meta))


def _machine() -> str:
    """What the last bits of a result depend on."""
    found = features()
    return f"isa={found['isa']} gemm={found['gemm']}"


def _meta(part: Part) -> dict[str, Any]:
    if not part.path.is_file():  # opening a FIFO waits for who writes it
        raise Failure(f"'{part.path}' is no regular file: remove it")
    try:
        with zipfile.ZipFile(part.path) as archive:
            found = json.loads(archive.read(META))
        if found["gn2_part"] == FORM:
            return dict(found)
        problem = f"form {found['gn2_part']}, this gn2 knows {FORM}"
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as trouble:
        problem = str(trouble)
    raise Failure(
        f"'{part.path}' is no part of a tagging ({problem}): remove it and run "
        f"--part {part.number}/{part.parts} again"
    )


def _difference(run: Run, part: Part, meta: Mapping[str, Any]) -> str:
    """What a part is of, where it is not of this tagging; empty: it is."""
    theirs, ours = meta["facts"], run.facts
    for key in dict.fromkeys((*ours, *theirs)):
        if theirs.get(key) != ours.get(key):
            return f"{key} is {theirs.get(key, 'none')}, here {ours.get(key, 'none')}"
    place = meta["part"], meta["parts"], [Range(*span) for span in meta["ranges"]]
    if place != (part.number, part.parts, part.ranges):
        return (
            f"it is part {meta['part']} of {meta['parts']} with the jets "
            f"{meta['ranges']} (input, first, end), {part} has "
            f"{[list(span) for span in part.ranges]}"
        )
    return ""


def _remedy(part: Part) -> str:
    return f"--part {part.number}/{part.parts} --force makes it anew"


def _fitting(run: Run, part: Part) -> dict[str, Any]:
    """What a part says of itself, which is of this tagging."""
    meta = _meta(part)
    different = _difference(run, part, meta)
    if different:
        raise Failure(
            f"'{part.path}' is of another tagging: {different}; {_remedy(part)}"
        )
    return meta


def is_there(run: Run, part: Part) -> bool:
    """Is there a file of this part?

    Raises:
        Failure: of another model, other options or inputs.
    """
    if not part.path.exists():
        return False
    meta = _fitting(run, part)
    if meta["stamps"] != _stamps(run, part):
        _check_digest(run, part, meta)
    return True


def _check_digest(run: Run, part: Part, meta: Mapping[str, Any]) -> None:
    if meta["digest"] != _digest(run, part):
        names = ", ".join(f"'{run.inputs[span.file]}'" for span in part.ranges)
        raise Failure(
            f"'{part.path}': the jets it has tagged are not those that {names} "
            f"has now, the file was changed since; {_remedy(part)}"
        )


# ---- joining ----


def _count(folder: pathlib.Path) -> int:
    """Of how many parts the tagging is, by their names."""
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    found = [match for match in map(_NAME.fullmatch, names) if match]
    counts = sorted({int(match[2]) for match in found})
    if not counts:
        raise Failure(f"'{folder}' has no parts to join: gn2 tag … --part I/N")
    if len(counts) > 1:
        raise Failure(
            f"'{folder}' has parts of {' and of '.join(map(str, counts))}: remove "
            "those that are not wanted"
        )
    return counts[0]


def load(run: Run) -> list[tuple[Part, dict[str, Any]]]:
    """All parts of a tagging, checked, with what they say of themselves.

    Raises:
        Failure: one is missing, of another tagging, or its input was changed.
    """
    count = _count(folder_of(run.out))
    parts = [run.part(number, count) for number in range(count)]
    missing = [part for part in parts if not part.path.exists()]
    if missing:
        names = ", ".join(str(part.number) for part in missing[:_SHOWN])
        names += ", …" if len(missing) > _SHOWN else ""
        raise Failure(
            f"'{folder_of(run.out)}': {len(missing)} of {count} parts are missing: "
            f"{names}; run --part {missing[0].number}/{count} and so on"
        )
    found = [(part, _fitting(run, part)) for part in parts]
    for part, meta in found:
        _check_whole(part)
        _check_digest(run, part, meta)
    return found


def _check_whole(part: Part) -> None:
    with zipfile.ZipFile(part.path) as archive:
        damaged = archive.testzip()
    if damaged:
        raise Failure(
            f"'{part.path}' is damaged: {damaged} has another checksum; {_remedy(part)}"
        )


def machines(found: Sequence[tuple[Part, Mapping[str, Any]]]) -> list[str]:
    """Kinds of machines that tagged."""
    return sorted({meta["machine"] for _, meta in found})


def outputs(
    found: Sequence[tuple[Part, Mapping[str, Any]]], file: int
) -> Iterator[tuple[dict[str, Any], int]]:
    """The outputs of the jets of an input by name, and their number, in its order."""
    for part, meta in found:
        if not any(span.file == file for span in part.ranges):
            continue
        with zipfile.ZipFile(part.path) as archive:
            for number, batch in enumerate(meta["batches"]):
                if batch["input"] == file:
                    yield _outputs(archive, number, batch), batch["jets"]


def _outputs(
    archive: zipfile.ZipFile, number: int, batch: Mapping[str, Any]
) -> dict[str, Any]:
    found = {}
    for name in batch["outputs"]:
        with archive.open(_member(number, name)) as file:
            found[name] = _read_array(file)
    return found

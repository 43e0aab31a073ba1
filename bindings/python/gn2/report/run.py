# SPDX-License-Identifier: Apache-2.0
"""What the directory of a ``gn2 fit`` holds, for its pictures and its report."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from .._record import RUN, run_of
from ..config import Config
from ..errors import Error, InvalidArgument, Unsupported
from ..metrics.chosen import Selection
from ..metrics.files import MAX_JETS, from_model, from_scores
from ..metrics.sample import Tagged
from ..plots import history
from ..plots.pictures import Content

MODELS = ("best.gn2", "model.gn2")


def read(
    run: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    compare: Sequence[str] = (),
    max_jets: int = MAX_JETS,
    threads: int = 0,
    discriminants: Mapping[str, Any] | None = None,
    selection: str | None = None,
) -> Content:
    """Curves of a run, and the jets tagged with its best model: of ``data`` those that
    ``data.selection`` of the run chooses.

    Args:
        run: the directory.
        data: labelled jets; None: the validation jets of the run, of several files
            the first that is there.
        compare: further taggers, ``[NAME=]FILE``: models or score files of ``data``.
        max_jets: jets that are tagged.
        threads: 0: all.
        discriminants: options ``discriminant.*`` in place of the taggers'.
        selection: in place of the run's; empty: all jets.
    """
    folder = os.fspath(run)
    if not os.path.isdir(folder):
        raise InvalidArgument(f"no directory '{folder}'")
    name = os.path.basename(os.path.abspath(folder))
    facts = run_of(folder) if os.path.exists(os.path.join(folder, RUN)) else {}
    csv = os.path.join(folder, "metrics.csv")
    curves = history.read(csv) if os.path.exists(csv) else None
    files = [str(path) for path in facts.get("val") or ()] if data is None else []
    data = next((path for path in files if os.path.exists(path)), data)
    models = [m for m in MODELS if os.path.exists(os.path.join(folder, m))]
    words = [f"{name}={os.path.join(folder, m)}" for m in models[:1]]
    samples: list[Tagged] = []
    if data is not None:
        how: dict[str, Any] = {"max_jets": max_jets, "threads": threads}
        how["discriminants"] = discriminants
        how["selection"] = _selection(folder, selection)
        samples = _taggers([*words, *compare], data, how, selection is None)
        samples = [_of_several(sample, len(files)) for sample in samples]
    return Content(samples, curves, _text(folder, "config.txt"), f"GN2: {name}")


def _selection(folder: str, given: str | None) -> dict[str, Any]:
    """Options of which jets are looked at: the run's, or what is given instead."""
    path = os.path.join(folder, "config.txt")
    with Config(path if os.path.exists(path) else None) as config:
        found = {key: config[key] for key in ("data.selection", "data.unwritten")}
    return found if given is None else {**found, "data.selection": given}


def _text(folder: str, name: str) -> str:
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _of_several(sample: Tagged, files: int) -> Tagged:
    """With a word of the files that are not looked at."""
    if files < 2:
        return sample
    jets = f"{sample.facts['jets']}, one of the run's {files} files of validation"
    return dataclasses.replace(sample, facts={**sample.facts, "jets": jets})


def _taggers(words: list[str], data: Any, how: Any, of_run: bool) -> list[Tagged]:
    try:
        return [tagger(w, data, **how) for w in words]
    except Unsupported as problem:  # without h5py the curves remain
        print(f"gn2: no jets in the report ({problem})", file=sys.stderr)
        return []
    except Error as problem:
        if not of_run or "data.selection" not in str(problem):
            raise
        say = "it is that of the run; data.selection= (empty) draws all jets"
        raise type(problem)(f"{problem}; {say}") from None


def tagger(
    word: str,
    data: Any,
    *,
    max_jets: int | None,
    threads: int = 0,
    discriminants: Mapping[str, Any] | None = None,
    selection: Selection = "",
) -> Tagged:
    """Tagged jets of ``[NAME=]FILE``, a model (.gn2) or a score file."""
    label, mark, path = word.partition("=")
    if not mark or os.path.exists(word):
        path, label = word, os.path.splitext(os.path.basename(word))[0]
    how: dict[str, Any] = {
        "name": label,
        "max_jets": max_jets,
        "discriminants": discriminants,
        "selection": selection,
    }
    if not path.endswith(".gn2"):
        return from_scores(path, data, **how)
    if data is None:
        raise InvalidArgument(f"'{path}' needs jets to tag: give --data")
    return from_model(path, data, threads=threads, **how)

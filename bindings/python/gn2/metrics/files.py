# SPDX-License-Identifier: Apache-2.0
"""Tagged jets of files: of a score file and the file that was tagged, or of a model and
a file. Needs h5py."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..config import Config, replace_shares
from ..errors import FormatError, InvalidArgument, NotFound, ShapeError, Unsupported
from ..model import Model
from ..scores import USUAL, Names, Scores, discriminant_options, short_name
from ..tagger import Tagger
from ..tasks import ORIGIN_TASK, VERTEX_TASK, Task
from . import found as of_tasks
from .chosen import Chosen, Selection, choose, open_file
from .found import Found
from .sample import Tagged, Tracks

# Columns by the names the files use, first come first served.
_PT = ("pt_btagJes", "pt")
_TRUTH_ID = "HadronConeExclTruthLabelID"
_ID_OF = {"b": 5, "c": 4, "u": 0, "tau": 15}  # ftag's flavours by that label
_JETS_A_CALL = 5000
_FORMS = {"sp": "SP", "mup": "μP"}

#: jets that are tagged for pictures of a file, its first
MAX_JETS = 50_000


def _column(names: Sequence[str], *tables: Any) -> Any:
    for table in tables:
        for name in names:
            if table is not None and name in table.dtype.names:
                return table[name]
    return None


def _class_names(*files: Any) -> list[str]:
    """The attribute flavour_label of /jets."""
    for file in files:
        value = file["jets"].attrs.get("flavour_label") if file else None
        if value is not None:
            texts = np.atleast_1d(value)
            return [t.decode() if isinstance(t, bytes) else str(t) for t in texts]
    return []


def _flavours(classes: Sequence[str], labels: Sequence[str], *tables: Any) -> Any:
    """Index of each jet's class among those of the tagger."""
    index = _column(["flavour_label"], *tables)
    if index is None:
        truth = _column([_TRUTH_ID], *tables)
        if truth is None:
            raise NotFound(f"no truth: neither 'flavour_label' nor '{_TRUTH_ID}'")
        ids = [_ID_OF.get(short_name(name), -999) for name in classes]
        match = np.asarray(truth)[:, None] == np.array(ids)
        return np.where(match.any(1), match.argmax(1), -1)
    index = np.asarray(index, np.int64)
    places = [list(classes).index(n) if n in classes else -1 for n in labels or classes]
    known = (index >= 0) & (index < len(places))
    return np.where(known, np.array([*places, -1])[np.where(known, index, -1)], -1)


def _score_columns(
    names: Sequence[str], labels: Sequence[str], path: Any
) -> tuple[str, dict[str, str]]:
    """Prefix of the scores and columns by short class name."""
    first = short_name(labels[0]) if labels else "b"
    ends = [f"_p{first}", "_pb"]
    there = (n[: -len(end)] for end in ends for n in names if n.endswith(end))
    prefix = next(iter(sorted(there, key=len)), None)
    if prefix is None:
        raise FormatError(f"'{path}': /jets has no field ending in '{ends[0]}'")
    start = prefix + "_p"
    known = {short_name(name) for name in labels}
    found = {n[len(start) :]: n for n in names if n.startswith(start)}
    # a value of that name may begin so too: NAME_pt
    kept = {k: n for k, n in found.items() if k in known or not known}
    return prefix, kept or found


def from_scores(
    scores: str | os.PathLike[str],
    data: str | os.PathLike[str] | None = None,
    *,
    name: str | None = None,
    max_jets: int | None = None,
    discriminants: Mapping[str, Any] | None = None,
    selection: Selection = "",
) -> Tagged:
    """Tagged jets from a score file (ours, or salt's) and the file that was tagged.

    Args:
        scores: /jets with ``NAME_pb`` …, and /tracks with ``NAME_pPileup`` … and
            ``VertexIndex`` where they were written.
        data: the jets with their truth, in the same order; None: the score file
            holds the truth too.
        name: in legends; None: that of the scores.
        discriminants: options ``discriminant.*``, else the library's.
        selection: as ``data.selection``: which jets of the data, whose rows the scores
            must then have, all of them.

    Jets without a score, whose row of it is NaN or 0 throughout, are left out; their
    number is in the facts of the sample.
    """
    of = data if data is not None else scores
    chosen = choose(of, selection, max_jets)
    with open_file(scores) as s, open_file(of) as d:
        _check_rows(s, d, chosen, scores)
        mine, jets = chosen.read(s, "jets"), chosen.read(d, "jets")
        if mine is None or jets is None:
            raise FormatError(f"'{scores}' or its data: no dataset 'jets'")
        if len(mine) != len(jets):
            raise ShapeError(f"{len(mine)} jets scored, the data have {len(jets)}")
        labels = _class_names(d, s)
        prefix, columns = _score_columns(mine.dtype.names, labels, scores)
        short = {short_name(n): n for n in labels}
        classes = tuple(short.get(k, k + "jets" if k in USUAL else k) for k in columns)
        p = np.stack([mine[c].astype(np.float32) for c in columns.values()], 1)
        tracks = chosen.read(d, "tracks")
        found = _found(chosen.read(s, "tracks"), prefix)
        sample = Tagged(
            name or prefix,
            Scores(
                np.nan_to_num(p), Names(prefix, classes, _rules_of({}, discriminants))
            ),
            _flavours(classes, labels, jets, mine),
            _pt(jets, mine),
            _n_tracks(tracks, jets, mine),
            _tracks(tracks, found),
            facts={**_facts(jets=of, scores=scores), **chosen.facts},
        )
    return _with_score(sample, p, scores)


def _check_rows(scores: Any, data: Any, chosen: Chosen, path: Any) -> None:
    """Scores of some of the jets only: nobody knows of which."""
    if chosen.rows is None or "jets" not in scores:
        return
    mine, jets = len(scores["jets"]), len(data["jets"])
    if mine != jets:
        raise ShapeError(
            f"'{path}': {mine} jets scored, the data have {jets}: with data.selection "
            "there must be a score of each of them, as `gn2 tag` writes"
        )


def _rules_of(options: Mapping[str, Any], given: Mapping[str, Any] | None) -> Any:
    """Keys ``discriminant.*``: the library's, a model's, and those asked for."""
    with Config(dict(options)) as config:
        replace_shares(config, given or ())
        for key, value in (given or {}).items():
            if not key.startswith("discriminant."):
                raise InvalidArgument(f"{key} is no option of a discriminant")
            if isinstance(value, str):
                config.set_text(key, value)
            else:
                config[key] = value
        return discriminant_options(config)


def _with_score(sample: Tagged, p: Any, path: Any) -> Tagged:
    """The jets that have one: a row that was never written is 0, or NaN, throughout."""
    lost = (np.isnan(p) | (p == 0)).all(1)
    bad = ~np.isfinite(p).all(1) & ~lost
    if bad.any():
        raise InvalidArgument(
            f"'{path}': {bad.sum()} jets with some probabilities NaN or infinite, the "
            f"first of them jet {int(bad.argmax())}"
        )
    if lost.all() and len(lost):
        raise InvalidArgument(f"'{path}': no jet has a score")
    if not lost.any():
        return sample
    kept = sample.select(~lost)
    kept.facts = {**sample.facts, "without score": f"{lost.sum():,}"}
    return kept


def from_model(
    model: Model | str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    name: str | None = None,
    max_jets: int | None = None,
    threads: int = 0,
    discriminants: Mapping[str, Any] | None = None,
    selection: Selection = "",
) -> Tagged:
    """Tags the jets of an HDF5 file with a model, all tasks it has.

    Args:
        discriminants: options ``discriminant.*`` in place of the model's.
        selection: as ``data.selection``: which jets of the data.
    """
    path = None if isinstance(model, Model) else model
    model = model if isinstance(model, Model) else Model.load(model)
    jets_of = str(model.config["data.dataset.jets"] or "jets")
    chosen = choose(data, selection, max_jets, jets_of)
    with open_file(data) as d:
        tables = _tables(d, model, chosen)
        labels = _class_names(d)
    jets = tables["jets"]
    tasks = of_tasks.wanted(model, tables)
    with Tagger(model, threads=threads) as tagger:
        parts = _tag(tagger, tables, tasks.values())
    found = {n: of_tasks.found(t, parts, tables[t.object]) for n, t in tasks.items()}
    tracks = next((tables[n] for n in model.constituents if n in tables), None)
    return Tagged(
        name or model.metadata("model.name"),
        _joined(model, parts, len(jets), discriminants),
        _own_flavours(model, labels, jets),
        _pt(jets),
        _n_tracks(tracks, jets),
        _own_tracks(found),
        _weights(model),
        {**_facts(jets=data, model=path, weights=model), **chosen.facts},
        {n: of for n, of in found.items() if n not in (ORIGIN_TASK, VERTEX_TASK)},
    )


def _tables(file: Any, model: Model, chosen: Chosen) -> dict[str, Any]:
    """Rows of jets and of the constituent types that the file has."""
    config = model.config
    places = {n: str(config[f"data.dataset.{n}"] or n) for n in model.inputs}
    read = {name: chosen.read(file, place) for name, place in places.items()}
    if read["jets"] is None:
        raise FormatError(f"no dataset '{places['jets']}'")
    return {name: rows for name, rows in read.items() if rows is not None}


def _own_flavours(model: Model, labels: Sequence[str], jets: Any) -> Any:
    """The true classes; of a model that classifies no jets, all are other ones."""
    if model.flavour is None:
        return np.full(len(jets), -1)
    label = model.flavour.label
    if label not in ("flavour_label", _TRUTH_ID, "") and label in jets.dtype.names:
        index = jets[label].astype(np.int64)
        return np.where(index < len(model.classes), index, -1)
    return _flavours(model.classes, labels, jets)


def _own_tracks(found: Mapping[str, Found]) -> Tracks | None:
    """Origins and vertices of GN2's own tasks, of the same constituents."""
    origin, vertex = found.get(ORIGIN_TASK), found.get(VERTEX_TASK)
    first = origin or vertex
    if first is None or first.counts is None:
        return None
    if vertex is not None and vertex.task.object != first.task.object:
        vertex = None
    return Tracks(
        first.counts,
        origin.task.classes if origin else (),
        origin.truth if origin else None,
        origin.found if origin else None,
        vertex.truth if vertex else None,
        vertex.found.astype(np.int64) if vertex else None,
    )


def _weights(model: Model) -> tuple[float, ...]:
    return model.flavour.class_weights if model.flavour else ()


def described(model: Model) -> str:
    """Which network it is, in words: "μP, width 256"."""
    form = str(model.config["model.parametrization"])
    return f"{_FORMS.get(form, form)}, width {model.metadata('model.embed_dim')}"


def _facts(**of: Any) -> dict[str, str]:
    """What a sample is made of, as text; file names without folders."""
    out = {}
    for key, value in of.items():
        if isinstance(value, Model):
            out["weights"] = f"{value.size:,}"
            out["network"] = described(value)
            out["architecture"] = (
                f"{out['network']}, {value.metadata('model.num_layers')} layers, "
                f"{value.metadata('model.num_heads')} heads"
            )
        elif value is not None:
            out[key] = os.path.basename(os.fspath(value))
    return out


def _tag(
    tagger: Tagger, tables: Mapping[str, Any], tasks: Iterable[Task]
) -> list[Scores]:
    """All jets, some at a time."""
    asked = [name for task in tasks for name in of_tasks.outputs(task)]
    count, several = len(tables["jets"]), len(tagger.model.constituents) > 1
    parts = []
    for first in range(0, count, _JETS_A_CALL):
        rows = {n: t[first : first + _JETS_A_CALL] for n, t in tables.items()}
        jets = rows.pop("jets")
        given: Any = rows if several else (list(rows.values()) or [None])[0]
        parts.append(tagger.tag(jets, given, outputs=asked))
    if not parts:
        raise ShapeError("no jets to tag")
    return parts


def _joined(model: Model, parts: Sequence[Scores], count: int, given: Any) -> Scores:
    title = model.metadata("model.name")
    if model.flavour is None:
        return Scores(None, Names(title, (), {}), count)
    p = np.concatenate([part.probabilities for part in parts])
    rules = _rules_of(discriminant_options(model.config), given)
    return Scores(p, Names(title, model.classes, rules))


def _pt(*tables: Any) -> Any:
    pt = _column(_PT, *tables)
    return None if pt is None else np.asarray(pt, np.float64)


def _n_tracks(tracks: Any, *tables: Any) -> Any:
    if tracks is not None and "valid" in tracks.dtype.names:
        return tracks["valid"].sum(1).astype(np.int64)
    return _column(["n_tracks"], *tables)


def _found(tracks: Any, prefix: str) -> tuple[Any, Any, tuple[str, ...]]:
    """Origin probabilities (T, slots, origins), vertices, names, as far as written."""
    if tracks is None:
        return None, None, ()
    start, fields = prefix + "_p", tracks.dtype.names
    columns = [n for n in fields if n.startswith(start)]
    p = np.stack([tracks[n] for n in columns], -1) if columns else None
    vertex = _column(["VertexIndex", f"{prefix}_VertexIndex"], tracks)
    return p, vertex, tuple(n[len(start) :] for n in columns)


def _tracks(data: Any, found: tuple[Any, Any, tuple[str, ...]]) -> Tracks | None:
    """Valid slots of the data beside what was found for the first jets of them."""
    origin_p, vertex_found, origins = found
    sizes = [len(x) for x in (origin_p, vertex_found) if x is not None]
    if data is None or not sizes or "valid" not in data.dtype.names:
        return None
    data = data[: sizes[0]]
    valid = data["valid"] != 0

    def flat(values: Any, kind: Any) -> Any:
        return None if values is None else np.asarray(values[valid], kind)

    return Tracks(
        valid.sum(1).astype(np.int64),
        origins,
        flat(_column(["ftagTruthOriginLabel"], data), np.int64),
        flat(origin_p, np.float32),
        flat(_column(["ftagTruthVertexIndex"], data), np.int64),
        flat(vertex_found, np.int64),
    )

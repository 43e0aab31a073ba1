# SPDX-License-Identifier: Apache-2.0
"""Tables of a tagger's figures, in HTML."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from .. import metrics
from ..metrics import clusters
from ..metrics.sample import HEAVY, Tagged, Tracks
from ..plots.flavours import ordered
from ..plots.taggers import having


def _pm(ratio: metrics.Ratio, digits: int) -> str:
    value, error = float(ratio.value), float(ratio.error)
    if value != value:
        return "–"
    if value == float("inf"):
        return "none passes"
    return f"{value:.{digits}f} ± {error:.{digits}f}"


Row = tuple[str, Callable[[Tagged], str]]


def _auc(name: str, other: str) -> Callable[[Tagged], str]:
    """Of a discriminant, or a class, against a class."""

    def text(sample: Tagged) -> str:
        if not having([sample], name) or other not in sample.present():
            return "–"
        d, signal = sample.discriminant(name), sample.of(sample.signal_of(name))
        return _pm(metrics.auc(d[signal], d[sample.of(other)]), 4)

    return text


def _count(sample: Tagged) -> str:
    """Jets with a score, by class; those that have none, or no class, by themselves."""
    each = [f"{sample.of(f).sum():,} {f}" for f in sample.present()]
    other = int((sample.flavour < 0).sum())
    each += [f"{other:,} of no class"] if other else []
    lost = sample.facts.get("without score")
    more = f"; {lost} without a score left out" if lost else ""
    return f"{len(sample.flavour):,} ({', '.join(each)}){more}"


def _jet_accuracy(sample: Tagged) -> str:
    if not sample.scores.has_probabilities:
        return "–"
    found = sample.probabilities.argmax(1)
    counts = metrics.confusion(sample.flavour, found, len(sample.classes))
    return _pm(metrics.accuracy(counts), 4)


def _entropy(sample: Tagged) -> str:
    if not sample.scores.has_probabilities:
        return "–"
    weights = sample.class_weights
    fits = len(weights) == len(sample.classes)
    text = _pm(
        metrics.cross_entropy(
            sample.probabilities, sample.flavour, weights if fits else ()
        ),
        4,
    )
    return f"{text}{' (weighted)' if fits else ''}"


def _origin(what: str) -> Callable[[Tagged], str]:
    def text(sample: Tagged) -> str:
        t = sample.tracks
        if t is None or t.origin is None or t.origin_p is None:
            return "–"
        if what == "auc":
            return _heavy(t)
        found = t.origin_p.argmax(1)
        if what == "balanced":
            counts = metrics.confusion(t.origin, found, len(t.origins))
            return f"{metrics.balanced_accuracy(counts):.4f}"
        return _pm(clusters.accuracy(t.origin, found, t.counts), 4)

    return text


def _heavy(t: Tracks) -> str:
    """AUC of tracks of heavy flavour against primary ones."""
    places = [i for i, n in enumerate(t.origins) if n in HEAVY]
    if t.origin_p is None or not places or "Primary" not in t.origins:
        return "–"
    p = t.origin_p[:, places].sum(1)
    score = p / (p + t.origin_p[:, t.origins.index("Primary")] + 1e-30)
    jet = np.repeat(np.arange(len(t.counts)), t.counts)
    heavy, primary = t.is_origin(*HEAVY), t.is_origin("Primary")
    both = jet[heavy], jet[primary]
    return _pm(clusters.auc(score[heavy], score[primary], both), 4)


def _pairs(what: str) -> Callable[[Tagged], str]:
    def text(sample: Tagged) -> str:
        pairs = sample.pairs()
        return "–" if pairs is None else _pm(metrics.vertexing(pairs)[what], 4)

    return text


def _fact(name: str) -> Callable[[Tagged], str]:
    return lambda sample: sample.facts.get(name, "–")


OF_JETS: tuple[Row, ...] = (
    ("Jets", _count),
    ("Data", _fact("jets")),
    ("Selection", lambda s: s.chosen or "–"),
    ("Model or scores", lambda s: s.facts.get("model", s.facts.get("scores", "–"))),
    ("Architecture", _fact("architecture")),
    ("Weights", _fact("weights")),
    ("Cross-entropy", _entropy),
    ("Accuracy of flavour", _jet_accuracy),
)
OF_TRACKS: tuple[Row, ...] = (
    ("Accuracy of track origin", _origin("accuracy")),
    ("Mean accuracy of origins", _origin("balanced")),
    ("AUC heavy flavour–primary tracks", _origin("auc")),
    ("Pair efficiency", _pairs("efficiency")),
    ("Pair purity", _pairs("purity")),
)


def _of_discriminant(sample: Tagged) -> list[Row]:
    """Areas of the first discriminant; those of all are beside their pictures."""
    rows: list[Row] = []
    for name, signal in list(sample.discriminants().items())[:1]:
        others = [c for c in ordered(sample.classes) if c != signal]
        rows += [(f"AUC {signal}–{other}", _auc(name, other)) for other in others]
    return rows


def _of_tasks(samples: Sequence[Tagged]) -> list[Row]:
    found = {name: of.task for s in samples for name, of in s.tasks.items()}
    rows: list[Row] = []
    for name, task in found.items():
        if task.classifies:
            rows.append((f"Accuracy of {task.noun}", _task_accuracy(name)))
        for k, target in enumerate(task.targets):
            rows.append((f"Response of {target}, median", _response(name, k, "bias")))
            rows.append((f"Resolution of {target}", _response(name, k, "width")))
    return rows


def _task_accuracy(name: str) -> Callable[[Tagged], str]:
    def text(sample: Tagged) -> str:
        of = sample.tasks.get(name)
        if of is None or not of.task.classifies:
            return "–"
        found = of.found.argmax(1)
        counts = np.ones(len(found), int) if of.counts is None else of.counts
        return _pm(clusters.accuracy(of.truth, found, counts), 4)

    return text


def _response(name: str, target: int, what: str) -> Callable[[Tagged], str]:
    def text(sample: Tagged) -> str:
        of = sample.tasks.get(name)
        if of is None or target >= len(of.task.targets):
            return "–"
        ratio = metrics.response(of.found[:, target], of.truth[:, target])
        where = np.zeros(len(ratio))
        whole = clusters.resolution(ratio, where, [-1, 1], of.counts)
        if what == "width":
            return _pm(metrics.Ratio(whole.width[0], whole.width_error[0]), 4)
        return _pm(metrics.Ratio(1 + whole.bias[0], whole.bias_error[0]), 4)

    return text


def _cells(tag: str, values: Iterable[str]) -> str:
    cells = "".join(f"<{tag}>{html.escape(str(v))}</{tag}>" for v in values)
    return f"<tr>{cells}</tr>\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table; the first column is names."""
    body = "".join(_cells("td", row) for row in rows)
    return f"<table>\n{_cells('th', head)}{body}</table>\n"


def summary(samples: Sequence[Tagged]) -> str:
    """Figures of all taggers side by side."""
    first = samples[0]
    of_first = _of_discriminant(first)
    table_rows = (*OF_JETS, *of_first, *OF_TRACKS, *_of_tasks(samples))
    rows = [(name, *(text(s) for s in samples)) for name, text in table_rows]
    shown = [row for row in rows if set(row[1:]) != {"–"}]
    return table(["", *(s.name for s in samples)], shown)


def working_points(samples: Sequence[Tagged], signal: str = "b") -> str:
    """Cuts and rejections at the working points, areas under the ROC curves; a block a
    tagger.

    Args:
        signal: a discriminant, or a class.
    """
    return "".join(_block(sample, signal) for sample in having(samples, signal))


def _block(sample: Tagged, name: str) -> str:
    d, signal = sample.discriminant(name), sample.signal_of(name)
    found = metrics.rejections(d, sample.flavour, sample.index(signal))
    names = [sample.classes[k] for k in found]
    rows = []
    for i, point in enumerate(metrics.WORKING_POINTS):
        cut = metrics.cut_at(d[sample.of(signal)], point)
        each = [metrics.Ratio(r.rejection[i], r.error[i]) for r in found.values()]
        cells = [_pm(ratio, _digits(ratio)) for ratio in each]
        rows.append((f"{100 * point:.0f} %", f"{cut:.4f}", *cells))
    rows.append(("AUC", "", *(_auc(name, other)(sample) for other in names)))
    head = [f"{signal} efficiency", "cut on D", *(f"{n} rejection" for n in names)]
    return f"<h3>{html.escape(sample.title)}</h3>\n{table(head, rows)}"


def _digits(ratio: metrics.Ratio) -> int:
    return 0 if ratio.error > 5 else 1 if ratio.error > 0.5 else 2

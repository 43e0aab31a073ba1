# SPDX-License-Identifier: Apache-2.0
"""Tables of a tagger's figures, in HTML."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from .. import metrics
from ..metrics.sample import HEAVY, Tagged


def _pm(ratio: metrics.Ratio, digits: int) -> str:
    value, error = float(ratio.value), float(ratio.error)
    if value != value:
        return "–"
    if value == float("inf"):
        return "none passes"
    return f"{value:.{digits}f} ± {error:.{digits}f}"


Row = tuple[str, Callable[[Tagged], str]]


def _auc(signal: str, other: str) -> Callable[[Tagged], str]:
    def text(sample: Tagged) -> str:
        if not {signal, other} <= set(sample.present()):
            return "–"
        d = sample.discriminant(signal)
        return _pm(metrics.auc(d[sample.of(signal)], d[sample.of(other)]), 4)

    return text


def _count(sample: Tagged) -> str:
    each = ", ".join(f"{sample.of(f).sum():,} {f}" for f in sample.present())
    return f"{len(sample.flavour):,} ({each})"


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
            p = t.origin_p[:, [i for i, n in enumerate(t.origins) if n in HEAVY]].sum(1)
            heavy, primary = t.is_origin(*HEAVY), t.is_origin("Primary")
            main = t.origin_p[:, t.origins.index("Primary")]
            score = p / (p + main + 1e-30)
            return _pm(metrics.auc(score[heavy], score[primary]), 4)
        counts = metrics.confusion(t.origin, t.origin_p.argmax(1), len(t.origins))
        if what == "balanced":
            return f"{metrics.balanced_accuracy(counts):.4f}"
        return _pm(metrics.accuracy(counts), 4)

    return text


def _pairs(what: str) -> Callable[[Tagged], str]:
    def text(sample: Tagged) -> str:
        pairs = sample.pairs()
        return "–" if pairs is None else _pm(metrics.vertexing(pairs)[what], 4)

    return text


def _fact(name: str) -> Callable[[Tagged], str]:
    return lambda sample: sample.facts.get(name, "–")


SUMMARY: tuple[Row, ...] = (
    ("Jets", _count),
    ("Data", _fact("jets")),
    ("Model or scores", lambda s: s.facts.get("model", s.facts.get("scores", "–"))),
    ("Architecture", _fact("architecture")),
    ("Weights", _fact("weights")),
    ("Cross-entropy", _entropy),
    ("Accuracy of flavour", _jet_accuracy),
    ("AUC b–light", _auc("b", "light")),
    ("AUC b–c", _auc("b", "c")),
    ("AUC b–tau", _auc("b", "tau")),
    ("AUC c–light", _auc("c", "light")),
    ("Accuracy of track origin", _origin("accuracy")),
    ("Mean accuracy of origins", _origin("balanced")),
    ("AUC heavy flavour–primary tracks", _origin("auc")),
    ("Pair efficiency", _pairs("efficiency")),
    ("Pair purity", _pairs("purity")),
)


def _of_signals(sample: Tagged) -> list[Row]:
    """Areas of signals that SUMMARY does not name."""
    own = [s for s in sample.signals() if s not in ("b", "c", "tau")]
    pairs = [(s, other) for s in own for other in sample.classes if other != s]
    return [(f"AUC {s}–{other}", _auc(s, other)) for s, other in pairs]


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
        counts = metrics.confusion(of.truth, found, len(of.task.classes))
        return _pm(metrics.accuracy(counts), 4)

    return text


def _response(name: str, target: int, what: str) -> Callable[[Tagged], str]:
    def text(sample: Tagged) -> str:
        of = sample.tasks.get(name)
        if of is None or target >= len(of.task.targets):
            return "–"
        ratio = metrics.response(of.found[:, target], of.truth[:, target])
        whole = metrics.resolution(ratio, np.zeros(len(ratio)), [-1, 1])
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
    table_rows = (*SUMMARY, *_of_signals(samples[0]), *_of_tasks(samples))
    rows = [(name, *(text(s) for s in samples)) for name, text in table_rows]
    shown = [row for row in rows if set(row[1:]) != {"–"}]
    return table(["", *(s.name for s in samples)], shown)


def working_points(samples: Sequence[Tagged], signal: str = "b") -> str:
    """Cuts and rejections at the working points, a block a tagger."""
    blocks = []
    for sample in samples:
        d = sample.discriminant(signal)
        found = metrics.rejections(d, sample.flavour, sample.index(signal))
        names = [sample.classes[k] for k in found]
        rows = []
        for i, point in enumerate(metrics.WORKING_POINTS):
            cut = metrics.cut_at(d[sample.of(signal)], point)
            each = [metrics.Ratio(r.rejection[i], r.error[i]) for r in found.values()]
            cells = [_pm(ratio, _digits(ratio)) for ratio in each]
            rows.append((f"{100 * point:.0f} %", f"{cut:.4f}", *cells))
        head = [
            f"{signal}-jet efficiency",
            "cut on D",
            *(f"{n} rejection" for n in names),
        ]
        blocks.append(f"<h3>{html.escape(sample.name)}</h3>\n{table(head, rows)}")
    return "".join(blocks)


def _digits(ratio: metrics.Ratio) -> int:
    return 0 if ratio.error > 5 else 1 if ratio.error > 0.5 else 2

# SPDX-License-Identifier: Apache-2.0
"""One HTML file with all pictures and tables of a tagger; nothing is fetched from
elsewhere, and nothing in it tells where it was made."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from . import metrics, plots_bins, plots_classes, plots_roc, plots_training
from .errors import Error, InvalidArgument
from .metrics_sample import HEAVY, Tagged
from .plots_taggers import Samples, several

# More dots an inch than screens show, for print.
_DPI = 140

_CSS = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem;
       margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem;
     border-bottom: 1px solid #ccc; }
nav a { margin-right: 1em; } figure { margin: 1.2rem 0; }
img { max-width: 100%; height: auto; } figcaption { color: #555; font-size: .9rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
pre { background: #f5f5f5; padding: 1rem; overflow: auto; font-size: .8rem; }
.none { color: #777; font-style: italic; }
"""


class Content(NamedTuple):
    """What a report is of."""

    samples: list[Tagged]  #: the first is looked at
    curves: plots_training.Curves | None = None
    config: str = ""  #: text of the options
    title: str = "GN2"


class Picture(NamedTuple):
    """A picture of the report; its name is the file's and the command's."""

    name: str
    section: str
    caption: str
    draw: Callable[[Content], Any]


def _curves(content: Content) -> Any:
    if content.curves is None:
        raise InvalidArgument("no metrics of a training were given")
    return plots_training.training(content.curves)


def _first(draw: Callable[..., Any]) -> Callable[[Content], Any]:
    return lambda content: draw(_jets(content)[0])


def _all(draw: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
    return lambda content: draw(_jets(content), *args, **kwargs)


def _jets(content: Content) -> list[Tagged]:
    if not content.samples:
        raise InvalidArgument("no tagged jets were given")
    return content.samples


PICTURES = (
    Picture(
        "training",
        "Training",
        "Loss in all and by task (times the task's weight), learning rate, norm of the "
        "gradient before clipping; validation after each epoch as open points.",
        _curves,
    ),
    Picture(
        "roc_b",
        "ROC curves",
        "b-tagging: rejection of light, tau and c-jets against the b-jet efficiency. "
        "Bands are binomial; ratios are to the last tagger.",
        _all(plots_roc.roc),
    ),
    Picture(
        "roc_c",
        "ROC curves",
        "c-tagging: rejection of light, tau and b-jets against the c-jet efficiency.",
        _all(plots_roc.roc, signal="c", lowest=0.2),
    ),
    Picture(
        "discriminant_b",
        "Discriminants",
        "D_b by flavour, each normalised to one; dotted: cuts of the first tagger at "
        "65, 70, 77 and 85 % b-jet efficiency. The outer bins hold the tails.",
        _all(plots_roc.discriminant),
    ),
    Picture(
        "discriminant_c",
        "Discriminants",
        "D_c by flavour, as above.",
        _all(plots_roc.discriminant, signal="c"),
    ),
    Picture(
        "efficiency_pt",
        "Efficiency",
        "Efficiencies in bins of the jet's transverse momentum, with one cut for all.",
        _all(plots_bins.efficiency, "pt"),
    ),
    Picture(
        "efficiency_n_tracks",
        "Efficiency",
        "Efficiencies in bins of the number of tracks, with one cut for all.",
        _all(plots_bins.efficiency, "n_tracks"),
    ),
    Picture(
        "confusion",
        "Flavours",
        "True flavour against the most probable one; rows sum to 1. First tagger.",
        _first(plots_classes.confusion),
    ),
    Picture(
        "calibration",
        "Flavours",
        "Share of jets of a class against its predicted probability, jets weighted by "
        "the class weights of the training where they are known. First tagger.",
        _first(plots_classes.calibration),
    ),
    Picture(
        "origin_roc",
        "Track origins",
        "Each origin against all others by its probability. First tagger.",
        _first(plots_classes.origin_roc),
    ),
    Picture(
        "origin_confusion",
        "Track origins",
        "True origin against the most probable one; rows sum to 1. First tagger.",
        _first(plots_classes.origin_confusion),
    ),
    Picture(
        "vertexing",
        "Vertices",
        "Pairs of tracks: efficiency = found true pairs / true pairs, purity = found "
        "true pairs / found pairs. Binomial errors, as if pairs were independent.",
        _all(plots_bins.vertexing),
    ),
)


# ---- tables ----


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
    found = sample.probabilities.argmax(1)
    counts = metrics.confusion(sample.flavour, found, len(sample.classes))
    return _pm(metrics.accuracy(counts), 4)


def _entropy(sample: Tagged) -> str:
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


def _cells(tag: str, values: Iterable[str]) -> str:
    cells = "".join(f"<{tag}>{html.escape(str(v))}</{tag}>" for v in values)
    return f"<tr>{cells}</tr>\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table; the first column is names."""
    body = "".join(_cells("td", row) for row in rows)
    return f"<table>\n{_cells('th', head)}{body}</table>\n"


def summary(samples: Sequence[Tagged]) -> str:
    """Figures of all taggers side by side."""
    rows = [(name, *(text(s) for s in samples)) for name, text in SUMMARY]
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


# ---- the page ----


def encoded(figure: Any) -> str:
    """A figure as the address of an <img>, the picture in it."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=_DPI, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def _figure(picture: Picture, content: Content) -> str:
    caption = html.escape(picture.caption)
    try:
        source = encoded(picture.draw(content))
    except Error as problem:
        reason = html.escape(str(problem))
        return f'<p class="none">{picture.name}: not drawn: {reason}</p>\n'
    return (
        f'<figure id="{picture.name}"><img alt="{caption}" src="{source}">'
        f"<figcaption>{caption}</figcaption></figure>\n"
    )


def _sections(content: Content) -> Iterable[tuple[str, str]]:
    if content.samples:
        yield "Summary", summary(content.samples)
        yield "Working points", working_points(content.samples)
    for name in dict.fromkeys(p.section for p in PICTURES):
        shown = [p for p in PICTURES if p.section == name]
        yield name, "".join(_figure(p, content) for p in shown)
    if content.config:
        yield "Options", f"<pre>{html.escape(content.config)}</pre>\n"
    yield "Definitions", _DEFINITIONS


_DEFINITIONS = """<p>D<sub>s</sub> = log(p<sub>s</sub> / Σ f<sub>k</sub> p<sub>k</sub>)
over the other classes, with the fractions f stored in the model, or the library's where
only scores are known; light jets get what is left of 1. The cut of
efficiency e is the value with index floor((1 − e)·n) of the n sorted values of the
signal jets, and a jet passes with D ≥ cut. Rejection = 1 / efficiency. Errors are
binomial, those of areas under ROC curves (AUC) Hanley and McNeil's.</p>
"""


def page(content: Content) -> str:
    """The HTML text."""
    sections = list(_sections(content))
    links = "".join(f'<a href="#s{i}">{n}</a> ' for i, (n, _) in enumerate(sections))
    body = "".join(
        f'<section id="s{i}"><h2>{name}</h2>\n{text}</section>\n'
        for i, (name, text) in enumerate(sections)
    )
    title = html.escape(content.title)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f"<title>{title}</title><style>{_CSS}</style></head>\n"
        f"<body><h1>{title}</h1>\n<nav>{links}</nav>\n{body}</body></html>\n"
    )


def write(content: Content, path: str | os.PathLike[str]) -> str:
    """Writes the page, whole or not at all."""
    path = os.fspath(path)
    temporary = f"{path}.tmp{os.getpid()}"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(page(content))
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)
    return path


def report(
    source: Samples | str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    *,
    curves: Any = None,
    config: str = "",
    title: str = "GN2",
    **of_run: Any,
) -> str:
    """Writes one self-contained HTML file with all pictures and tables.

    Args:
        source: a tagger or several (:func:`from_scores`, …), or the directory of a
            ``gn2 fit``.
        path: the file; None: report.html (of the directory).
        curves: of the training: a metrics.csv, :class:`gn2.History`, or ``Live``.
        config: text of the options, shown at the end.
        of_run: for a directory: as :func:`gn2.report_run.read`.

    Returns:
        the path.
    """
    if isinstance(source, (str, os.PathLike)):
        from . import report_run

        path = os.path.join(source, "report.html") if path is None else path
        return write(report_run.read(source, **of_run), path)
    found = plots_training.read(curves) if curves is not None else None
    content = Content(several(source), found, config, title)
    return write(content, "report.html" if path is None else path)

# SPDX-License-Identifier: Apache-2.0
"""One HTML file with all pictures and tables of a tagger; nothing is fetched from
elsewhere, and nothing in it tells where it was made."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Iterable
from typing import Any

from .._lines import replacing
from ..errors import Error
from ..metrics.clusters import REPLICAS
from ..plots.pictures import Content, Picture, pictures, section
from .tables import summary, working_points

# More dots an inch than screens show, for print.
_DPI = 140

_CSS = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 76rem;
       margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem;
     border-bottom: 1px solid #ccc; }
nav a { margin-right: 1em; white-space: nowrap; } figure { margin: 0; }
.pictures { display: grid; gap: 1.5rem; margin: 1.2rem 0; align-items: start;
            grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); }
img { max-width: 100%; height: auto; } figcaption { color: #555; font-size: .9rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
pre { background: #f5f5f5; padding: 1rem; overflow: auto; font-size: .8rem; }
.none { color: #777; font-style: italic; }
"""


def encoded(figure: Any) -> str:
    """A figure as the address of an <img>, the picture in it."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=_DPI, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def _figure(picture: Picture, content: Content) -> str:
    caption = html.escape(picture.caption)
    try:
        figure = content.drawn.get(picture.name) or picture.draw(content)
        source = encoded(figure)
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
    tables = _tables(content)
    drawn = pictures(content)
    for name in dict.fromkeys(p.section for p in drawn):
        shown = "".join(_figure(p, content) for p in drawn if p.section == name)
        yield name, f'{tables.get(name, "")}<div class="pictures">{shown}</div>\n'
    if content.config:
        yield "Options", f"<pre>{html.escape(content.config)}</pre>\n"
    yield "Definitions", _DEFINITIONS


def _tables(content: Content) -> dict[str, str]:
    """Working points of the discriminants whose signal there is, by section."""
    if not content.samples:
        return {}
    first = content.samples[0]
    return {
        section(name): working_points(content.samples, name)
        for name, signal in first.discriminants().items()
        if first.of(signal).any()
    }


_DEFINITIONS = """<p>D<sub>s</sub> = log(p<sub>s</sub> / Σ f<sub>k</sub> p<sub>k</sub>)
over the other classes, with the fractions f that were asked for, else those stored in
the model, or the library's where only scores are known; light jets, or the class that
the model says, get what is left of 1. The cut of
efficiency e is the value with index floor((1 − e)·n) of the n sorted values of the
signal jets, and a jet passes with D ≥ cut. Rejection = 1 / efficiency. Errors are
binomial, those of areas under ROC curves (AUC) Hanley and McNeil's. Tracks, other
constituents and pairs of one jet are not independent: their errors are those of jets,
by bootstrap ({replicas} replicas), of areas by the sum over jets that it comes to.</p>
""".format(
    replicas=REPLICAS
)


def assembled(title: str, sections: list[tuple[str, str]]) -> str:
    """The HTML text of (name, HTML) sections."""
    links = "".join(f'<a href="#s{i}">{n}</a> ' for i, (n, _) in enumerate(sections))
    body = "".join(
        f'<section id="s{i}"><h2>{name}</h2>\n{text}</section>\n'
        for i, (name, text) in enumerate(sections)
    )
    title = html.escape(title)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f"<title>{title}</title><style>{_CSS}</style></head>\n"
        f"<body><h1>{title}</h1>\n<nav>{links}</nav>\n{body}</body></html>\n"
    )


def save(text: str, path: str | os.PathLike[str]) -> str:
    """Writes a page, whole or not at all."""
    with replacing(path) as file:
        file.write(text)
    return os.fspath(path)


def page(content: Content) -> str:
    """The HTML text of a tagger's page."""
    return assembled(content.title, list(_sections(content)))


def write(content: Content, path: str | os.PathLike[str]) -> str:
    """Writes the page of a tagger."""
    return save(page(content), path)

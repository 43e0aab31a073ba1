# SPDX-License-Identifier: Apache-2.0
"""Reports: pictures and tables of taggers, or of a training, in one HTML file.

``tables`` has the figures, ``page`` the HTML, ``run`` what a directory of ``gn2 fit``
holds. The pictures are those of :mod:`gn2.plots`.
"""

from __future__ import annotations

import os
from typing import Any

from ..plots import history
from ..plots.pictures import Content
from ..plots.taggers import Samples, several
from .page import write
from .run import read, tagger
from .tables import summary, working_points

__all__ = [
    "read",
    "report",
    "summary",
    "tagger",
    "working_points",
    "write",
]


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
        of_run: for a directory: as :func:`gn2.report.read`.

    Returns:
        the path.
    """
    if isinstance(source, (str, os.PathLike)):
        path = os.path.join(source, "report.html") if path is None else path
        return write(read(source, **of_run), path)
    found = history.read(curves) if curves is not None else None
    content = Content(several(source), found, config, title)
    return write(content, "report.html" if path is None else path)

# SPDX-License-Identifier: Apache-2.0
"""Figure of ``gn2 study ranks``. Needs matplotlib."""

from __future__ import annotations

from typing import Any

from ..plots import style
from ..plots.style import BLACK, SEVERAL
from .pictures import log2_ticks
from .ranks import GOAL, Study, efficiency

import numpy as np


@style.styled
def efficiencies(study: Study) -> Any:
    """Efficiency over the number of ranks, a curve a batch; a row of panels a width, a
    column a network."""
    rows, columns = len(study.costs), len(study.networks)
    figure = style.new(1 + 3.6 * columns, 0.6 + 3.8 * rows, study.title)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    x = np.log2(study.ranks)
    for line, (width, cost) in zip(grid, study.costs.items()):
        for axes, (name, network) in zip(line, study.networks.items()):
            for look, batch in zip(SEVERAL, study.batches):
                y = [efficiency(cost, r, batch, network) for r in study.ranks]
                axes.plot(
                    x, y, color=look.color, ls=look.line, marker=look.marker,
                    label=f"batch {batch}",
                )  # fmt: skip
            axes.axhline(GOAL, color=BLACK, lw=0.6)
            axes.set_xlabel(f"ranks (width {width}, {name})")
            log2_ticks(axes.xaxis, study.ranks)
            axes.set_ylim(0, 1.05)
        line[0].set_ylabel("efficiency")
    style.legend_above(grid[0][0], 2)
    return figure

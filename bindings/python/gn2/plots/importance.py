# SPDX-License-Identifier: Apache-2.0
"""Permutation importance as bars."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..metrics.importance import Importance, Importances
from .style import SEVERAL, legend_above, new, styled


@styled
def importance(found: Importances, figure: str = "loss", name: str = "") -> Any:
    """Change of a figure when an input is dealt anew, the largest on top.

    Args:
        found: of :func:`gn2.metrics.importance.importance`.
        figure: any key of ``found.nominal``.
        name: of the tagger, in the title.
    """

    def size(one: Importance) -> float:
        return abs(float(one.change(found.nominal, figure).value))

    rows = sorted(found.inputs, key=size)
    changes = [one.change(found.nominal, figure) for one in rows]
    objects = list(dict.fromkeys(one.object for one in found.inputs))
    canvas = new(6.4, 1.1 + 0.24 * len(rows), name or None)
    axes = canvas.subplots()
    for index, object in enumerate(objects):
        at = [i for i, one in enumerate(rows) if one.object == object]
        errors = np.nan_to_num([changes[i].error for i in at])
        axes.barh(
            at,
            [changes[i].value for i in at],
            xerr=errors if errors.any() else None,
            height=0.7,
            color=SEVERAL[index % len(SEVERAL)].color,
            hatch=("", "///", "...", "xx")[index % 4],
            edgecolor="white",
            linewidth=0,
            label=f"{object} inputs",
        )
    axes.set_yticks(range(len(rows)), [one.input for one in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.tick_params(axis="y", which="both", length=0)
    axes.tick_params(axis="y", which="minor", left=False, right=False)
    axes.axvline(0, color="#444444", linewidth=0.8)
    axes.set_xlabel(f"change of {figure}, {found.nominal[figure]:.4g} as it is")
    legend_above(axes, len(objects))
    return canvas

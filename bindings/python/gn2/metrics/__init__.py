# SPDX-License-Identifier: Apache-2.0
"""Figures of merit of a tagger, from arrays.

``figures`` computes them and knows no files; ``clusters`` those of tracks and their
pairs, with errors of jets; ``sample`` has tagged jets with their
truth, what :mod:`gn2.plots` and :mod:`gn2.report` show, ``files`` reads them.
"""

from __future__ import annotations

from .clusters import ratio_binned, vertexing
from .figures import (
    WORKING_POINTS,
    Binned,
    Calibration,
    Floats,
    PairCounts,
    Ratio,
    Resolution,
    Roc,
    accuracy,
    auc,
    balanced_accuracy,
    binned,
    calibration,
    confusion,
    cross_entropy,
    cut_at,
    pair_counts,
    passing,
    pull,
    rejection,
    rejections,
    resolution,
    response,
    roc,
    roc_points,
    share,
)

__all__ = [
    "Binned",
    "Calibration",
    "Floats",
    "PairCounts",
    "Ratio",
    "Resolution",
    "Roc",
    "WORKING_POINTS",
    "accuracy",
    "auc",
    "balanced_accuracy",
    "binned",
    "calibration",
    "confusion",
    "cross_entropy",
    "cut_at",
    "pair_counts",
    "passing",
    "pull",
    "ratio_binned",
    "rejection",
    "rejections",
    "resolution",
    "response",
    "roc",
    "roc_points",
    "share",
    "vertexing",
]

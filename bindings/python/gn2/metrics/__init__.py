# SPDX-License-Identifier: Apache-2.0
"""Figures of merit of a tagger, from arrays.

``figures`` computes them and knows no files; ``sample`` reads tagged jets with their
truth, what :mod:`gn2.plots` and :mod:`gn2.report` show.
"""

from __future__ import annotations

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
    ratio_binned,
    rejection,
    rejections,
    resolution,
    response,
    roc,
    roc_points,
    share,
    vertexing,
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

# SPDX-License-Identifier: Apache-2.0
"""What inexact arithmetic does to probabilities and rejections."""
import numpy as np

EFFICIENCIES = (0.65, 0.70, 0.77, 0.85)
B, C, LIGHT = 0, 1, 2  # labels, and columns of the probabilities


def discriminant(p):
    """The default D_b of probabilities (jets, 4)."""
    b, c, u, tau = p.astype("f8").T
    return np.log(b / (0.2 * c + 0.79 * u + 0.01 * tau))


def rejections(p, labels, efficiency):
    """Light and c rejection at a b efficiency."""
    d = discriminant(p)
    cut = np.quantile(d[labels == B], 1 - efficiency)
    return [1 / max(1e-9, float((d[labels == k] > cut).mean())) for k in (LIGHT, C)]


def spread(p, reference):
    """Median, 99 % and largest of the largest |dp| of a jet."""
    d = np.abs(p - reference).max(1)
    return np.median(d), np.quantile(d, 0.99), d.max()


def distances(p, reference):
    """The same in words."""
    median, most, largest = spread(p, reference)
    return (
        f"{len(p)} jets, largest |dp| of a jet: median {median:.1e}, "
        f"99 % {most:.1e}, largest {largest:.1e}"
    )


def moves(p, reference, labels):
    """A line an efficiency: rejections of the reference and of p."""
    for efficiency in EFFICIENCIES:
        before, after = (rejections(x, labels, efficiency) for x in (reference, p))
        yield (
            f"rejection at {efficiency:.2f}: light {before[0]:.2f} -> {after[0]:.2f}, "
            f"c {before[1]:.3f} -> {after[1]:.3f}"
        )

# SPDX-License-Identifier: Apache-2.0
"""What does a learning rate tuned on a narrow network cost on a wide one?

The best rate of a scan on each proxy width is used on the target width as it stands
(zero-shot). Regret is the loss there less the least of a scan on the target itself,
beside the noise between random starts. Also: do settings keep their order from proxy to
target (rank correlation), and what a run costs on either in core-seconds and memory.

    gn2 study transfer jets_train.h5 -v jets_val.h5 -o studies
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from . import fits, lr
from .bench import Bench, name_of
from .plan import rate_list
from .store import COSTS
from .task import Task

DEFAULTS: dict[str, Any] = {**lr.DEFAULTS, "widths": [32, 64, 256]}
SMALL: dict[str, Any] = {**lr.SMALL, "widths": [16, 32, 64]}
ARGUMENTS = (rate_list("rates", lr.RATES),)


def tasks(bench: Bench) -> Iterator[Task]:
    yield from lr.tasks(bench)


class Transfer(NamedTuple):
    """From a proxy to the target."""

    form: str
    proxy: int
    target: int
    rate: float  #: best of the proxy
    loss: float  #: of the target with it
    best_rate: float  #: best of the target
    best_loss: float
    regret: float
    noise: float  #: standard error of the regret, from the scatter between starts
    rank_correlation: float


def noise(losses: fits.Floats) -> float:
    """Standard error of a difference of two rates' means, from the scatter between
    starts at the rates near the best; NaN with one start."""
    good = losses[np.isfinite(losses).all(1)]
    if len(good) == 0 or good.shape[1] < 2:
        return float("nan")
    near = np.argsort(good.mean(1))[: 2 * fits.REACH + 1]
    scatter = np.sqrt(good[near].var(1, ddof=1).mean())
    return float(scatter * np.sqrt(2 / good.shape[1]))


def transfers(bench: Bench) -> list[Transfer]:
    """Every proxy of both forms; none where a scan has no finite run."""
    *proxies, target = sorted(bench.plan.widths)
    rates, out = bench.plan.rates, []
    for form in bench.forms:
        wide = bench.losses(target, form)
        for proxy in proxies:
            narrow = bench.losses(proxy, form)
            a, b = narrow.mean(1), wide.mean(1)  # NaN where a start diverged
            if not (np.isfinite(a).any() and np.isfinite(b).any()):
                continue
            chosen, best = int(np.nanargmin(a)), int(np.nanargmin(b))
            figures = (rates[chosen], b[chosen], rates[best], b[best])
            regret = float(b[chosen] - b[best])
            rank = fits.rank_correlation(a, b)
            out.append(
                Transfer(form, proxy, target, *figures, regret, noise(wide), rank)
            )
    return out


def conclude(bench: Bench) -> str:
    found = transfers(bench)
    bench.table(Transfer._fields, found)
    losses = {
        (form, width): bench.losses(width, form)
        for form in bench.forms
        for width in bench.plan.widths
    }
    bench.draw("pictures_runs.transfer", bench.plan.rates, losses, found, bench.title())
    lines = [f"Transfer: {bench.title()}", ""]
    lines += [_words(item) for item in found]
    return "\n".join([*lines, "", *_costs(bench)])


def _words(t: Transfer) -> str:
    name = f"{name_of(t.form)} {t.proxy} → {t.target}: rate {t.rate:.2e}"
    if t.loss != t.loss:
        return f"{name} diverges there; the best, {t.best_rate:.2e}, {t.best_loss:.4f}"
    share = 100 * t.regret / t.best_loss
    if t.regret == 0:
        alone = ", of one start" if t.noise != t.noise else ""
        verdict = f"no regret: it is the best of the scan there{alone}"
    else:
        verdict = f"regret {t.regret:.4f} ({share:.1f} %), {_beside_noise(t, share)}"
    rank = t.rank_correlation
    order = f"{rank:.2f}" if rank == rank else "not known"
    return (
        f"{name} gives {t.loss:.4f}, best {t.best_loss:.4f} at {t.best_rate:.2e}; "
        f"{verdict}; rank correlation {order}"
    )


def _beside_noise(t: Transfer, share: float) -> str:
    if t.noise != t.noise:
        return "its noise not known from one start"
    inside = t.regret <= 2 * t.noise or share <= 1
    verdict = "within noise or 1 %" if inside else "more than noise and 1 %"
    return f"standard error {t.noise:.4f}: {verdict}"


def _costs(bench: Bench) -> Iterator[str]:
    """Mean over the runs of a width; both forms cost the same."""
    target = max(bench.plan.widths)
    costs = {}
    for width in sorted(bench.plan.widths):
        runs = bench.runs(t for t in tasks(bench) if t["model.embed_dim"] == str(width))
        costs[width] = [
            float(np.mean([run[name] for run in runs])) if runs else np.nan
            for name in COSTS
        ]
    for width, (seconds, trainer, peak) in costs.items():
        ratio = costs[target][0] / seconds
        yield (
            f"a run at width {width}: {seconds:.1f} core-seconds, trainer "
            f"{trainer:.0f} MB, process {peak:.0f} MB; one at {target} costs "
            f"{ratio:.1f} of it"
        )

# SPDX-License-Identifier: Apache-2.0
"""The table of search algorithms: what each engine calls them and what it can do.

Optuna's are of version 4.4 or newer; Katib's of 0.19; OptimizationJob is Trainer's of
August 2026. An empty name: this engine does not do it well, ``why`` says what is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

ENGINES = ("optuna", "katib", "optimizationjob")


@dataclass(frozen=True)
class Algorithm:
    """A way to choose parameters, or (``prunes``) to end trials early."""

    name: str
    optuna: str  #: class in optuna.samplers or optuna.pruners
    katib: str  #: algorithmName
    optimizationjob: str  #: searchAlgorithm
    why: str = ""  #: why an engine is left out, or what is taken care of
    prunes: bool = False
    needs: tuple[str, ...] = ()  #: modules that Optuna imports for it
    min_reals: int = 0  #: parameters that are no choices, at least
    choices: bool = True  #: are choices allowed?
    grid: bool = False  #: every cell once: parameters with an end
    log_in_katib: bool = True  #: does Katib's service honour a log scale?
    only_log_in_katib: bool = False  #: is every real taken on a log scale?
    power_of_two: bool = False  #: is the number of trials raised to 2^m?

    def named(self, engine: str) -> str:
        """Its name in an engine, empty if it has none there."""
        return str(getattr(self, engine))


ALGORITHMS = {
    row.name: row
    for row in (
        Algorithm("random", "RandomSampler", "random", "random"),
        Algorithm(
            "grid",
            "RandomSampler",  # never asked: every cell is enqueued once
            "grid",
            "grid",
            "Optuna's GridSampler repeats and drops cells with several workers",
            grid=True,
        ),
        Algorithm(
            "tpe",
            "TPESampler",
            "multivariate-tpe",
            "",
            "Katib's `tpe` suggests the same trial again within a batch",
        ),
        Algorithm(
            "gp",
            "GPSampler",
            "bayesianoptimization",
            "",
            "Katib's takes every real on a log scale and needs min > 0",
            needs=("torch", "scipy"),
            only_log_in_katib=True,
        ),
        Algorithm(
            "cmaes",
            "CmaEsSampler",
            "cmaes",
            "",
            "Katib's ignores logUniform: the logarithm is rendered as parameter",
            needs=("cmaes",),
            min_reals=2,
            choices=False,
            log_in_katib=False,
        ),
        Algorithm(
            "sobol",
            "QMCSampler",
            "sobol",
            "",
            "Katib's ignores logUniform and is not scrambled",
            needs=("scipy",),
            choices=False,
            log_in_katib=False,
            power_of_two=True,
        ),
        Algorithm(
            "median",
            "MedianPruner",
            "medianstop",
            "",
            "Katib's median is a mean of means: the penalty of a trial that diverged "
            "must be bounded",
            prunes=True,
        ),
        Algorithm(
            "asha",
            "SuccessiveHalvingPruner",
            "",
            "",
            "Katib's hyperband ignores log scales, starts again from scratch and ends "
            "at one failure",
            prunes=True,
        ),
    )
}

#: algorithms that are asked for and not done, with the reason
REFUSED = {
    "pbt": "weights of the better trial are not copied, and a OneCycle schedule cannot "
    "be joined half-way; under μP wider is better, so search narrow: model.embed_dim",
    "enas": "it searches architectures; GN2's is fixed, its width transfers by μP",
    "darts": "it searches architectures; GN2's is fixed, its width transfers by μP",
    "hyperband": "Katib's starts again from scratch and ends at one failure; use "
    "pruning: asha (Optuna) or median",
}

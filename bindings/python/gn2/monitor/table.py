# SPDX-License-Identifier: Apache-2.0
"""The metrics of ``gn2 monitor``. ``run`` is a run directory, ``search`` a folder of a
search, each as it was given on the command line and what is below it."""

from __future__ import annotations

from typing import NamedTuple


class Metric(NamedTuple):
    """A gauge."""

    name: str
    labels: tuple[str, ...]
    text: str  #: what it is, for Prometheus and for doc/farm.md


_RUN, _SEARCH = ("run",), ("search",)

#: by their names
METRICS = {
    metric.name: metric
    for metric in (
        Metric("gn2_run_state", ("run", "state"), "1: running, stopped, failed, done"),
        Metric("gn2_run_step", _RUN, "Steps that are done"),
        Metric("gn2_run_epoch", _RUN, "Epoch of the last step, from 0"),
        Metric("gn2_run_seconds", _RUN, "Time of the training"),
        Metric(
            "gn2_run_updated_seconds",
            _RUN,
            "Unix time of the last step; from there to now the training is silent",
        ),
        Metric("gn2_run_loss", ("run", "task"), "Loss of the last step; task all: sum"),
        Metric(
            "gn2_run_validation_loss",
            ("run", "task"),
            "Loss of the last validation; task all: sum",
        ),
        Metric("gn2_run_best_loss", _RUN, "Least loss of a validation"),
        Metric("gn2_run_learning_rate", _RUN, "Learning rate of the last step"),
        Metric("gn2_run_gradient_norm", _RUN, "Gradient's norm before clipping"),
        Metric("gn2_run_jets_per_second", _RUN, "Jets a second, of the last 100 steps"),
        Metric("gn2_search_trials", ("search", "state"), "Trials by state"),
        Metric("gn2_search_wanted", _SEARCH, "Trials that the space asks for"),
        Metric("gn2_search_best", ("search", "metric"), "Best value of the objective"),
        Metric("gn2_search_wall_seconds", _SEARCH, "Time of all trials together"),
        Metric("gn2_search_core_seconds", _SEARCH, "Processor time of all trials"),
        Metric(
            "gn2_search_joules",
            ("search", "part"),
            "Energy of all trials that know theirs; part package or dram",
        ),
        Metric(
            "gn2_monitor_unreadable",
            ("path",),
            "1: a run or search could not be read now; the log says why",
        ),
    )
}

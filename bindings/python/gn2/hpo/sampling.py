# SPDX-License-Identifier: Apache-2.0
"""What Optuna is asked: parameters of a trial, and whether to end it early.

Samplers and pruners are Optuna's. A sampler is made anew for every trial and seeded by
the seed of the search and the number of the trial, so what it says depends on nothing
but the trials before; a worker may be killed anywhere in between.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import Error
from . import engines
from .document import SpaceError
from .parameter import Parameter, Value
from .space import Space

OLDEST = (4, 4)


def optuna() -> Any:
    """The module; raises Error where it is missing or too old."""
    try:
        import optuna as found
    except ImportError as problem:
        raise Error(
            f"the local engine needs Optuna ({problem}); pip install 'gn2[hpo]'"
        ) from None
    if tuple(int(word) for word in found.__version__.split(".")[:2]) < OLDEST:
        raise Error(
            f"Optuna {found.__version__} is too old: 4.4 or newer is needed; "
            "pip install -U optuna"
        )
    found.logging.set_verbosity(found.logging.ERROR)
    return found


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Optuna does not say that what we use is experimental, which some of it is since
    2021: nobody who starts a search can do anything about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna().exceptions.ExperimentalWarning)
        yield


def check(space: Space) -> None:
    """Refuses, before a trial exists, what the sampler would fail at afterwards."""
    wrong = [p for p in engines.problems(space, "optuna") if not p.warning]
    if wrong:
        raise SpaceError(wrong)
    name = space.algorithm.name
    for module in space.algorithm.needs:
        try:
            importlib.import_module(module)
        except ImportError as problem:
            raise Error(
                f"{name} needs {module} ({problem}); pip install {module}, or "
                "choose another algorithm"
            ) from None
    if len(space.objectives) > 1 and name == "cmaes":
        raise Error("algorithm cmaes has one objective; tpe and random take two")


def count(space: Space, asked: int | None) -> tuple[int, str]:
    """How many trials there will be; why not as many as asked for, or as cells."""
    wanted, total = asked or space.trials, engines.trials(space, asked)
    if space.algorithm.grid and not wanted == total == space.cells():
        return total, f"{total} trials: the grid has {space.cells()} cells"
    if total != wanted:
        why = f"{space.algorithm.name} is balanced at powers of two only"
        return total, f"{total} trials instead of {wanted}: {why}"
    return total, ""


def distribution(parameter: Parameter) -> Any:
    """Optuna's form of a parameter."""
    of = optuna().distributions
    if parameter.kind == "choice":
        return of.CategoricalDistribution(list(parameter.values))
    if parameter.kind == "integer":
        low, high = int(parameter.low), int(parameter.high)
        step = int(parameter.step or 1)
        return of.IntDistribution(low, high, log=parameter.log, step=step)
    return of.FloatDistribution(
        parameter.low, parameter.high, log=parameter.log, step=parameter.step
    )


def _seed(space: Space, *numbers: int) -> int:
    sequence = np.random.SeedSequence([space.algorithm_seed, *numbers])
    return int(sequence.generate_state(1)[0])


def _tpe(found: Any, seed: int, _space: Space, _number: int) -> Any:
    return found.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)


def _sobol(found: Any, _seed: int, space: Space, number: int) -> Any:
    """Trial n is point n of one sequence; Optuna's own counts the times it is asked."""

    class Points(found.samplers.QMCSampler):  # type: ignore[misc]
        def infer_relative_search_space(self, *_: Any) -> dict[str, Any]:
            return {p.name: distribution(p) for p in space.parameters}

        def _find_sample_id(self, *_: Any) -> int:
            return number

    seed = space.algorithm_seed  # all workers, all trials: one sequence
    return Points(qmc_type="sobol", scramble=True, seed=seed)


#: those that take more than a seed
_MADE: dict[str, Callable[[Any, int, Space, int], Any]] = {"tpe": _tpe, "sobol": _sobol}


def sampler(space: Space, number: int) -> Any:
    """The sampler of one trial."""
    found = optuna()
    seed = _seed(space, number)
    make = _MADE.get(space.algorithm.name)
    with without_warnings():
        if make is not None:
            return make(found, seed, space, number)
        return getattr(found.samplers, space.algorithm.optuna)(seed=seed)


def ask(study: Any, trial_id: int, space: Space) -> tuple[Any, dict[str, Value]]:
    """The trial with all its parameters: those in the store, and the missing ones as
    they would have been drawn by whoever was killed before it stored them."""
    number = study._storage.get_trial(trial_id).number
    study.sampler = sampler(space, number)
    trial = optuna().trial.Trial(study, trial_id)
    assert trial.relative_params is not None  # drawn now, all at once
    values: dict[str, Value] = {}
    for i, parameter in enumerate(space.parameters):
        # drawn one by one: each has its own seed, whichever are stored already
        study.sampler = optuna().samplers.RandomSampler(seed=_seed(space, number, i))
        given = trial._suggest(parameter.name, distribution(parameter))
        if parameter.kind == "choice":
            values[parameter.name] = str(given)
        else:
            values[parameter.name] = parameter.checked(float(given))
    return trial, values


def steps_to_judge(space: Space) -> Callable[[int], bool]:
    """At which steps a trial may be ended."""
    pruning = space.pruning
    if pruning is None or len(space.objectives) > 1:
        return lambda step: False
    if pruning.name == "asha":
        shares = [share for share in pruning.rungs if share >= pruning.begin]
        every = max(1, space.validate_steps)
        rungs = {math.ceil(s * space.steps / every - 1e-9) * every for s in shares}
        return lambda step: step in rungs and step < space.steps
    begin = pruning.begin * space.steps
    return lambda step: begin <= step < space.steps


def is_behind(study: Any, number: int, step: int, space: Space) -> bool:
    """Is a trial worse than it should be at this step of the common schedule?"""
    assert space.pruning is not None
    trials = study.get_trials(deepcopy=False)
    others = [t for t in trials if t.number != number]
    states = optuna().trial.TrialState
    if sum(t.state == states.COMPLETE for t in others) < space.pruning.startup:
        return False
    return _RULES[space.pruning.name](study, trials[number], step, others)


def _median(study: Any, trial: Any, step: int, _others: Sequence[Any]) -> bool:
    seen = copy.copy(trial)
    came = trial.intermediate_values.items()
    seen.intermediate_values = {s: value for s, value in came if s <= step}
    pruner = optuna().pruners.MedianPruner(n_startup_trials=0, n_warmup_steps=0)
    return bool(pruner.prune(study, seen))


def _asha(study: Any, trial: Any, step: int, others: Sequence[Any]) -> bool:
    """Successive halving, asynchronously: of all that came as far, the better half goes
    on. Optuna's pruner notes a rung in the store before it decides, so a kill in
    between would make another decision; this one depends on the values only."""
    own = trial.intermediate_values[step]
    values = [t.intermediate_values.get(step, math.nan) for t in others]
    worse = -1.0 if study.direction.name == "MAXIMIZE" else 1.0
    came = sorted(worse * v for v in [own, *values] if not math.isnan(v))
    if math.isnan(own):
        return True
    return bool(worse * own > came[max(0, len(came) // 2 - 1)])


_RULES: dict[str, Callable[[Any, Any, int, Sequence[Any]], bool]] = {
    "median": _median,
    "asha": _asha,
}

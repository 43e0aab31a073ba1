# SPDX-License-Identifier: Apache-2.0
"""What trial is asked for: values from words and the environment, checked before data
are opened."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping

from .. import Config
from ..hpo import identity, reader
from ..hpo.parameter import LOG2
from ..hpo.space import Space
from . import common, resume
from .common import Failure

VARIABLE = "KUBEFLOW_TRAINER_OPT_"


class Refused(Failure):
    """Trying again would give the same."""


def _of_words(words: list[str]) -> Iterator[tuple[str, str, str]]:
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise Refused(f"'{word}' is no NAME=VALUE")
        yield name, value, "as a word"


def _of_environment(
    space: Space, environment: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    names = [p.name for p in space.parameters]
    names += [LOG2 + p.name for p in space.parameters if p.log]
    known = {name.upper(): name for name in names}
    for variable, value in environment.items():
        if variable.startswith(VARIABLE):
            word = variable[len(VARIABLE) :]
            yield known.get(word, word), value, f"as {variable}"


def given(
    space: Space, words: list[str], environment: Mapping[str, str]
) -> dict[str, str]:
    """Values of parameters as text.

    Raises:
        Refused: one is given twice, or a word is no NAME=VALUE.
    """
    found: dict[str, str] = {}
    source: dict[str, str] = {}
    each = (*_of_words(words), *_of_environment(space, environment))
    for name, value, where in each:
        if name in found:
            raise Refused(f"{name} is given twice, {source[name]} and {where}")
        found[name], source[name] = value, where
    return found


def _check(space: Space, settings: Mapping[str, str], config: Config) -> None:
    """Refuses options for all that can be known without data."""
    resume.check_used(settings, None)
    common.check_objects(settings, config)
    if config["schedule.name"] == "constant":
        raise Refused(
            "schedule.name = constant has no end, so budget.steps would not hold; "
            "onecycle with equal schedule.initial, .max and .end has the same rate"
        )
    if config["train.early_stopping"]:
        raise Refused(
            "train.early_stopping would end trials at other steps than budget.steps: "
            "leave it out, `pruning` ends trials"
        )
    for objective in space.objectives:
        if objective.metric.startswith("val_") and not space.val:
            raise Refused(
                f"the objective {objective.metric} needs validation data: data.val"
            )


class Asked:
    """A trial that is asked for.

    Raises:
        Error, Refused: it can never be done.
    """

    def __init__(
        self, args: argparse.Namespace, environment: Mapping[str, str] = os.environ
    ) -> None:
        self.args = args
        try:
            self.space = reader.load(args.space)
        except OSError as problem:
            raise Refused(str(problem)) from None
        values = self.space.values(given(self.space, args.parameters, environment))
        self.parameters = {
            p.name: p.text(values[p.name]) for p in self.space.parameters
        }
        self.settings = self.space.settings(values)
        self.config = self._checked()
        name = args.name or os.environ.get("KATIB_TRIAL_NAME")
        self.name: str = name or os.path.basename(os.path.abspath(args.out))
        if os.path.basename(self.name) != self.name or self.name in ("", ".", ".."):
            raise Refused(f"--name {self.name}: the name of a folder, without /")

    def _checked(self) -> Config:
        config = identity.config_of(self.settings)
        try:
            _check(self.space, self.settings, config)
        except Refused:
            raise
        except Failure as problem:
            raise Refused(str(problem)) from None
        return config

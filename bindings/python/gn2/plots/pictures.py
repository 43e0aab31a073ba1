# SPDX-License-Identifier: Apache-2.0
"""All pictures of a tagger in one table: what `gn2 plot` draws and a report shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import InvalidArgument
from ..metrics.sample import Tagged
from ..tasks import GAUSSIAN, Task
from . import bins, classes, discriminants, history, regression
from .style import FLAVOURS


class Content(NamedTuple):
    """What pictures and a report are of."""

    samples: list[Tagged]  #: the first is looked at
    curves: history.Curves | None = None
    config: str = ""  #: text of the options
    title: str = "GN2"


class Picture(NamedTuple):
    """A picture of the report; its name is the file's and the command's."""

    name: str
    section: str
    caption: str
    draw: Callable[[Content], Any]


def _curves(content: Content) -> Any:
    if content.curves is None:
        raise InvalidArgument("no metrics of a training were given")
    return history.training(content.curves)


def _first(draw: Callable[..., Any]) -> Callable[[Content], Any]:
    return lambda content: draw(_jets(content)[0])


def _all(draw: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
    return lambda content: draw(_jets(content), *args, **kwargs)


def _jets(content: Content) -> list[Tagged]:
    if not content.samples:
        raise InvalidArgument("no tagged jets were given")
    return content.samples


PICTURES = (
    Picture(
        "training",
        "Training",
        "Loss in all and by task (times the task's weight), learning rate, norm of the "
        "gradient before clipping; validation after each epoch as open points.",
        _curves,
    ),
    Picture(
        "roc_b",
        "ROC curves",
        "b-tagging: rejection of light, tau and c-jets against the b-jet efficiency. "
        "Bands are binomial; ratios are to the last tagger.",
        _all(discriminants.roc),
    ),
    Picture(
        "roc_c",
        "ROC curves",
        "c-tagging: rejection of light, tau and b-jets against the c-jet efficiency.",
        _all(discriminants.roc, signal="c", lowest=0.2),
    ),
    Picture(
        "discriminant_b",
        "Discriminants",
        "D_b by flavour, each normalised to one; dotted: cuts of the first tagger at "
        "65, 70, 77 and 85 % b-jet efficiency. The outer bins hold the tails.",
        _all(discriminants.discriminant),
    ),
    Picture(
        "discriminant_c",
        "Discriminants",
        "D_c by flavour, as above.",
        _all(discriminants.discriminant, signal="c"),
    ),
    Picture(
        "efficiency_pt",
        "Efficiency",
        "Efficiencies in bins of the jet's transverse momentum, with one cut for all.",
        _all(bins.efficiency, "pt"),
    ),
    Picture(
        "efficiency_n_tracks",
        "Efficiency",
        "Efficiencies in bins of the number of tracks, with one cut for all.",
        _all(bins.efficiency, "n_tracks"),
    ),
    Picture(
        "confusion",
        "Flavours",
        "True flavour against the most probable one; rows sum to 1. First tagger.",
        _first(classes.confusion),
    ),
    Picture(
        "calibration",
        "Flavours",
        "Share of jets of a class against its predicted probability, jets weighted by "
        "the class weights of the training where they are known. First tagger.",
        _first(classes.calibration),
    ),
    Picture(
        "origin_roc",
        "Track origins",
        "Each origin against all others by its probability. First tagger.",
        _first(classes.origin_roc),
    ),
    Picture(
        "origin_confusion",
        "Track origins",
        "True origin against the most probable one; rows sum to 1. First tagger.",
        _first(classes.origin_confusion),
    ),
    Picture(
        "vertexing",
        "Vertices",
        "Pairs of tracks: efficiency = found true pairs / true pairs, purity = found "
        "true pairs / found pairs. Binomial errors, as if pairs were independent.",
        _all(bins.vertexing),
    ),
)


# ---- by class and by task ----


def pictures(content: Content) -> tuple[Picture, ...]:
    """Those of every tagger, and one set a task and a signal class of its own."""
    first = content.samples[0] if content.samples else None
    if first is None:
        return PICTURES
    more = [p for s in first.signals() if s not in FLAVOURS for p in _of_signal(s)]
    more += [p for of in first.tasks.values() for p in _of_task(of.task)]
    return (*(p for p in PICTURES if _fits(p, first)), *more)


def _fits(picture: Picture, sample: Tagged) -> bool:
    """Is it of classes that the tagger has?"""
    signal = {"roc_c": "c", "discriminant_c": "c", "training": ""}.get(
        picture.name, "b"
    )
    of_jets = picture.section in ("ROC curves", "Discriminants", "Efficiency")
    if picture.section == "Flavours":
        return bool(sample.classes)
    return not of_jets or signal in sample.classes


def _of_signal(signal: str) -> tuple[Picture, ...]:
    return (
        Picture(
            f"roc_{signal}",
            "ROC curves",
            f"{signal}-tagging: rejection of the other classes against the efficiency. "
            "Bands are binomial; ratios are to the last tagger.",
            _all(discriminants.roc, signal=signal, lowest=0.2),
        ),
        Picture(
            f"discriminant_{signal}",
            "Discriminants",
            f"D_{signal} by class, each normalised to one.",
            _all(discriminants.discriminant, signal=signal),
        ),
        Picture(
            f"efficiency_pt_{signal}",
            "Efficiency",
            f"Efficiencies of {signal}-tagging in bins of the jet's transverse "
            "momentum, with one cut for all.",
            _all(bins.efficiency, "pt", signal=signal),
        ),
    )


def _of_task(task: Task) -> tuple[Picture, ...]:
    what, name = f"Task {task.noun}", task.name
    if task.classifies:
        return (
            Picture(
                f"{name}_roc",
                what,
                f"Each class of {task.object} against all others by its probability. "
                "First tagger.",
                _first(lambda sample: classes.class_roc(sample, name)),
            ),
            Picture(
                f"{name}_confusion",
                what,
                "True class against the most probable one; rows sum to 1. "
                "First tagger.",
                _first(lambda sample: classes.confusion(sample, name)),
            ),
        )
    return _of_regression(task, what) if task.regresses else ()


def _of_regression(task: Task, what: str) -> tuple[Picture, ...]:
    name = task.name
    made = [
        Picture(
            f"{name}_response",
            what,
            "Predicted over true value; the outer bins hold the tails.",
            _all(regression.response, name),
        )
    ]
    made += [
        Picture(
            f"{name}_{target}_{against}",
            what,
            f"{target}: median of predicted / true minus 1, and half of the central "
            f"68 % of it, in bins of {words}.",
            _all(regression.resolution, name, against, target=target),
        )
        for target in task.targets
        for against, words in (("target", "the true value"), ("pt", "the jet's pT"))
    ]
    if task.kind == GAUSSIAN:
        made.append(
            Picture(
                f"{name}_pull",
                what,
                "(Predicted − true) / predicted spread; dotted: normal distribution.",
                _all(regression.pull, name),
            )
        )
    return tuple(made)

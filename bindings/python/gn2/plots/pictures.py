# SPDX-License-Identifier: Apache-2.0
"""All pictures of a tagger in one table: what `gn2 plot` draws and a report shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ..errors import InvalidArgument
from ..metrics.clusters import REPLICAS
from ..metrics.sample import Tagged
from ..tasks import GAUSSIAN, Task
from . import bins, classes, discriminants, history, regression


class Content(NamedTuple):
    """What pictures and a report are of."""

    samples: list[Tagged]  #: the first is looked at
    curves: history.Curves | None = None
    config: str = ""  #: text of the options
    title: str = "GN2"
    drawn: Mapping[str, Any] = {}  #: figures that are made already, by picture


class Picture(NamedTuple):
    """A picture of the report; its name is the file's and the command's."""

    name: str
    section: str
    caption: str
    draw: Callable[[Content], Any]


def _curves(content: Content) -> Any:
    if content.curves is None:
        raise InvalidArgument("no metrics of a training were given")
    title = content.samples[0].title if content.samples else content.title
    return history.training(content.curves, title=title)


def _first(draw: Callable[..., Any]) -> Callable[[Content], Any]:
    return lambda content: draw(_jets(content)[0])


def _all(draw: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
    return lambda content: draw(_jets(content), *args, **kwargs)


def _jets(content: Content) -> list[Tagged]:
    if not content.samples:
        raise InvalidArgument("no tagged jets were given")
    return content.samples


TRAINING = Picture(
    "training",
    "Training",
    "Loss in all and by task (times the task's weight), learning rate, norm of the "
    "gradient before clipping; validation after each epoch as open points: losses, "
    "accuracies, areas under ROC curves and rejections of every discriminant.",
    _curves,
)


class _Kind(NamedTuple):
    """A picture there is of every discriminant."""

    name: str
    caption: str  #: {d} the discriminant, {s} its signal
    draw: Callable[[list[Tagged], str, str], Any]  #: taggers, discriminant, signal


#: lowest efficiency of ROC curves, where it is not 0.2
_LOWEST = {"b": 0.5}
_OF_DISCRIMINANTS = (
    _Kind(
        "roc",
        "{d}: rejection of the other classes against the efficiency of {s}. Bands are "
        "binomial; ratios are to the last tagger.",
        lambda taggers, name, signal: discriminants.roc(
            taggers, signal=name, lowest=_LOWEST.get(signal, 0.2)
        ),
    ),
    _Kind(
        "discriminant",
        "{d} by class, each normalised to one; dotted: cuts of the first tagger at 65, "
        "70, 77 and 85 % efficiency of {s}. The outer bins hold the tails.",
        lambda taggers, name, _: discriminants.discriminant(taggers, signal=name),
    ),
    _Kind(
        "efficiency_pt",
        "{d}: efficiencies in bins of the jet's transverse momentum, with one cut for "
        "all. Binomial errors.",
        lambda taggers, name, _: bins.efficiency(taggers, "pt", signal=name),
    ),
    _Kind(
        "efficiency_n_tracks",
        "{d}: efficiencies in bins of the number of tracks, with one cut for all. "
        "Binomial errors.",
        lambda taggers, name, _: bins.efficiency(taggers, "n_tracks", signal=name),
    ),
)
OF_JETS = (
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
)
OF_TRACKS = (
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
        "true pairs / found pairs. The pairs of a jet are not independent: errors are "
        f"by bootstrap over the jets, {REPLICAS} replicas.",
        _all(bins.vertexing),
    ),
)
#: those that do not depend on the tagger
PICTURES = (TRAINING, *OF_JETS, *OF_TRACKS)


# ---- by discriminant and by task ----


def ending(name: str) -> str:
    """What names of pictures of a discriminant end in: "b" of "D_b"."""
    return name[2:] if name.startswith("D_") else name


def _of_discriminant(name: str, signal: str) -> Iterator[Picture]:
    for kind in _OF_DISCRIMINANTS:
        # efficiencies of D_b have the plain name
        plain = name == "D_b" and kind.name.startswith("efficiency")
        yield Picture(
            kind.name if plain else f"{kind.name}_{ending(name)}",
            section(name),
            kind.caption.format(d=name, s=signal),
            _drawing(kind, name, signal),
        )


def _drawing(kind: _Kind, name: str, signal: str) -> Callable[[Content], Any]:
    return lambda content: kind.draw(_jets(content), name, signal)


def section(name: str) -> str:
    """Where a report shows a discriminant."""
    return f"Discriminant {name}"


def pictures(content: Content) -> tuple[Picture, ...]:
    """All there are of the taggers: of each discriminant and task of the first."""
    if not content.samples:
        return PICTURES
    first = content.samples[0]
    made = [TRAINING]
    for name, signal in first.discriminants().items():
        made += _of_discriminant(name, signal)
    made += [*(OF_JETS if first.classes else ()), *OF_TRACKS]
    for of in first.tasks.values():
        made += _of_task(of.task)
    return tuple(made)


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

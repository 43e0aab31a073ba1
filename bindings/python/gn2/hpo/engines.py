# SPDX-License-Identifier: Apache-2.0
"""Whether an engine can do the search of a space file, and what it would do otherwise
than asked. The rules follow from the table of algorithms."""

from __future__ import annotations

from collections.abc import Iterator

from .algorithms import ALGORITHMS, ENGINES
from .document import Path, Problem
from .parameter import MOST_CELLS, Parameter
from .space import Space

#: most trials of an OptimizationJob, most choices of its grid
MOST_TRIALS = 100

#: folders of a pod that no volume may hide, and names of volumes that are ours
OWN_FOLDERS = ("/gn2", "/katib", "/tmp", "/dev/shm", "/var/lib/gn2")
OWN_VOLUMES = ("gn2-space", "gn2-tmp", "gn2-shm")

Finding = tuple[Path, str, str, bool]  #: place, what, remedy, is it a warning?


def problems(space: Space, engine: str, cluster: bool | None = None) -> list[Problem]:
    """What stands against a search by an engine.

    Args:
        engine: one of ``ENGINES``.
        cluster: does it run on Kubernetes? None: all but Optuna do.
    """
    assert engine in ENGINES
    rules = list(_RULES)
    if engine != "optuna" if cluster is None else cluster:
        rules.append(_cluster)
    found = [finding for rule in rules for finding in rule(space, engine)]
    return [
        Problem(space.document.place(path), f"{engine}: {what}", remedy, warning)
        for path, what, remedy, warning in found
    ]


def trials(space: Space, asked: int | None = None) -> int:
    """How many trials there are, of any engine: as many as asked for, else as the
    space says; a grid has no more than its cells, a Sobol sequence 2^m."""
    wanted = asked or space.trials
    if space.algorithm.grid:
        return min(wanted, space.cells() or wanted)
    return power_of_two(wanted) if space.algorithm.power_of_two else wanted


def power_of_two(count: int) -> int:
    """The least power of two that is not below a count."""
    return 1 << (count - 1).bit_length()


def _at(parameter: Parameter) -> Path:
    return ("parameters", parameter.name)


def _algorithm(space: Space, engine: str) -> Iterator[Finding]:
    row, path = space.algorithm, ("algorithm",)
    if not row.named(engine):
        yield path, f"does not do {row.name}", _others(engine), False
    pruning = space.pruning
    if pruning and not ALGORITHMS[pruning.name].named(engine):
        what = f"does not do {pruning.name}"
        yield ("pruning",), what, "leave `pruning` out, or use Optuna", False


def _others(engine: str) -> str:
    names = [
        row.name for row in ALGORITHMS.values() if row.named(engine) and not row.prunes
    ]
    return f"algorithm: {{name: …}} of {', '.join(names)}"


def _kinds(space: Space, _engine: str) -> Iterator[Finding]:
    row = space.algorithm
    reals = [p for p in space.parameters if p.kind != "choice"]
    if len(reals) < row.min_reals:
        yield (
            ("parameters",),
            f"{row.name} needs {row.min_reals} reals or integers at least",
            "algorithm: {name: tpe}",
            False,
        )
    for parameter in space.parameters:
        if parameter.kind == "choice" and not row.choices:
            what = f"{row.name} takes no choices"
            yield _at(parameter), what, "algorithm: {name: tpe}", False


def _grid(space: Space, engine: str) -> Iterator[Finding]:
    if not space.algorithm.grid:
        return
    for parameter in space.parameters:
        count = parameter.count()
        if count is not None and count > MOST_CELLS:
            what = f"it has {count} values, a grid takes {MOST_CELLS}"
            yield _at(parameter), what, "a longer `step`, or type: choice", False
        elif count is None:
            what = "a grid needs parameters with an end"
            yield _at(parameter), what, "give `step`, or type: choice", False
        elif engine == "optimizationjob" and parameter.kind != "choice":
            yield _at(parameter), "its grid takes choices only", "type: choice", False
    cells = space.cells()
    if cells is not None and min(cells, space.trials) > MOST_CELLS:
        what = f"the grid has {cells} cells, {MOST_CELLS} can be run"
        yield ("trials",), what, f"trials: {MOST_CELLS}, or longer steps", False
    elif cells is not None and cells != space.trials:
        what = f"the grid has {cells} cells, trials is {space.trials}"
        few = space.trials < cells
        remedy = "raise it, to see all" if few else "each is run once"
        yield ("trials",), what, remedy, True


def _scales(space: Space, engine: str) -> Iterator[Finding]:
    if engine != "katib":
        return
    row = space.algorithm
    for parameter in space.parameters:
        if parameter.kind == "choice":
            continue
        if row.only_log_in_katib and parameter.kind == "real" and not parameter.log:
            what = f"{row.katib} takes every real on a log scale; this one is linear"
            yield _at(parameter), what, "scale: log, or algorithm: {name: tpe}", False
        if row.only_log_in_katib and parameter.low <= 0:
            yield _at(parameter), f"{row.katib} needs min > 0", "min > 0", False
        if not row.log_in_katib and parameter.log and parameter.kind == "integer":
            what = f"{row.katib} ignores log scales, and integers have no log2 twin"
            yield _at(parameter), what, "type: choice and algorithm: {name: tpe}", False


def _counts(space: Space, engine: str) -> Iterator[Finding]:
    row = space.algorithm
    if row.power_of_two and power_of_two(space.trials) != space.trials:
        raised = power_of_two(space.trials)
        what = f"{row.name} is even at powers of two only: {raised} trials are run"
        yield ("trials",), what, f"trials: {raised}", True
    if engine == "optimizationjob" and space.trials > MOST_TRIALS:
        yield ("trials",), f"takes {MOST_TRIALS} trials at most", "fewer trials", False
    if engine != "optuna" and len(space.objectives) > 1:
        yield ("objective",), "takes one objective", "use Optuna", False


def _cluster(space: Space, _engine: str) -> Iterator[Finding]:
    cluster = space.kubernetes
    if not cluster.image:
        yield ("kubernetes",), "no `image`", "image: registry/gn2:1.0", False
    counts = [("parallel", cluster.parallel), ("failures", cluster.failures)]
    for word, count in counts:
        if count > space.trials:
            what = f"{word} = {count} is above trials = {space.trials}"
            yield ("kubernetes", word), what, f"{word}: {space.trials}", False
    mounts = [str(row["mount"]) for row in cluster.volumes]
    for word, folder in (("data", cluster.data), ("output", cluster.output)):
        if not any(_is_in(folder, mount) for mount in mounts):
            what = f"{word} = {folder} is on no volume: pods would not find it"
            yield ("kubernetes", "volumes"), what, f"a volume at {folder}", False
    for mount in mounts:
        if any(_is_in(own, mount) for own in OWN_FOLDERS):
            what = f"{mount} hides what the pods need"
            yield ("kubernetes", "volumes"), what, "mount it elsewhere", False
    yield from _same(mounts, "mount")
    names = [str(row["name"]) for row in cluster.volumes]
    yield from _same(names, "name")
    for name in names:
        if name in OWN_VOLUMES:
            what = f"name {name} is a volume of ours"
            yield ("kubernetes", "volumes"), what, "another name", False


def _same(words: list[str], key: str) -> Iterator[Finding]:
    for word in sorted({word for word in words if words.count(word) > 1}):
        what = f"two volumes have {key} {word}"
        yield ("kubernetes", "volumes"), what, f"another {key}", False


def _is_in(folder: str, mount: str) -> bool:
    return f"{folder.rstrip('/')}/".startswith(f"{mount.rstrip('/')}/")


def _rungs(space: Space, _engine: str) -> Iterator[Finding]:
    pruning, every = space.pruning, space.validate_steps
    if pruning is None:
        return
    if len(space.objectives) > 1:
        what = "with two objectives no trial is ended early"
        yield ("pruning",), what, "leave one of them out", False
    shares = pruning.rungs if pruning.name == "asha" else (pruning.begin,)
    for share in shares:
        last = (space.steps - 1) // every * every if every else 0
        if not last >= share * space.steps:
            what = (
                f"no validation between {share:g} of {space.steps} steps and the end "
                f"(budget.validate_steps = {every}): no trial could be ended"
            )
            remedy = f"validate_steps: {max(1, space.steps // 10)}"
            yield ("pruning",), what, remedy, False


_RULES = (_algorithm, _kinds, _grid, _scales, _counts, _rungs)

# SPDX-License-Identifier: Apache-2.0
"""Objects of Kubernetes for a search: one table of engines, one of kinds of trials.

pod.py              a pod that runs the command ``gn2``
kinds.py            what a trial is: Job, MPIJob, TrainJob
katib.py            Experiment
optimizationjob.py  OptimizationJob
job.py              Job whose pods run ``gn2 hpo run`` on one store
"""

from __future__ import annotations

import re
from typing import Any

from ...errors import InvalidArgument
from .. import engines
from ..document import SpaceError
from ..space import Space
from . import job, katib, optimizationjob
from .pod import Object, space_map

#: engine -> (what makes its objects, engine of the table of algorithms)
ENGINES = {
    "katib": (katib.objects, "katib"),
    "optimizationjob": (optimizationjob.objects, "optimizationjob"),
    "job": (job.objects, "optuna"),
}


def objects(space: Space, engine: str, kind: str = "") -> list[Object]:
    """Objects of a search, in the order in which they are applied.

    Args:
        engine: one of ``ENGINES``.
        kind: what a trial is: one of ``kinds.KINDS`` that the engine takes; empty for
            the first.

    Raises:
        SpaceError: the engine cannot do this search; every reason with its line.
        InvalidArgument: no such engine, or it does not take this kind.
    """
    if engine not in ENGINES:
        raise InvalidArgument(f"engine {engine!r} is none of {', '.join(ENGINES)}")
    make, row = ENGINES[engine]
    found = [p for p in engines.problems(space, row, cluster=True) if not p.warning]
    if found:
        raise SpaceError(found)
    return [space_map(space), *make(space, kind)]


def _may_be_other(value: str) -> bool:
    """Would a reader of YAML take it for no string? For 1e-07 PyYAML's would not, the
    cluster's does."""
    return bool(
        re.fullmatch(r"[-+.\d].*|y|n|yes|no|on|off|true|false|null|~", value, re.I)
    )


def text(found: list[Object]) -> str:
    """Objects as YAML documents."""
    import yaml

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]
        """Blocks for texts of several lines, no aliases."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def word(dumper: Any, value: str) -> Any:
        style = "|" if "\n" in value else "'" if _may_be_other(value) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, word)
    documents = (
        yaml.dump(item, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=88)
        for item in found
    )
    return "---\n".join(documents)

# SPDX-License-Identifier: Apache-2.0
"""Space files made of a space: as trials get it, with another seed, for the target."""

from __future__ import annotations

import copy
import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from .space import SEEDS, SETTLED, Space

THREADS = "train.threads"  # changes no bit of a training


def write(
    space: Space,
    folder: pathlib.Path,
    seed: int | None = None,
    options: Mapping[str, str] | None = None,
    threads: int = 0,
) -> str:
    """Writes a space file with full paths; the name tells what is in it, the time when
    it was last asked for.

    Args:
        seed: another one.
        options: that are other ones, or more; `schedule.steps` becomes the budget's.
        threads: of a training, where the space does not say; 0: as the library does.

    Returns:
        Its path.
    """
    import yaml

    value: dict[str, Any] = copy.deepcopy(space.document.value)
    value["name"] = space.name
    value["data"] = {
        "train": [os.path.abspath(path) for path in space.train],
        "val": [os.path.abspath(path) for path in space.val],
    }
    if seed is not None:
        value["seed"] = seed
    more = dict(options or {})
    if threads and THREADS not in space.options:
        more.setdefault(THREADS, str(threads))
    for key, given in more.items():
        place = SETTLED.get(key, "seed" if key in SEEDS else "")
        if place.startswith("budget."):
            value.setdefault("budget", {})[place.partition(".")[2]] = given
        elif place:
            value[place] = given
        else:
            value["options"] = {**(value.get("options") or {}), key: given}
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    name = f"space-{hashlib.sha256(text.encode()).hexdigest()[:8]}.yaml"
    path = folder.absolute() / name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{name}.{os.getpid()}")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    else:
        os.utime(path)  # the newest is what is at work now
    return str(path)

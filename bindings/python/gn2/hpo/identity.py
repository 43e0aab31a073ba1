# SPDX-License-Identifier: Apache-2.0
"""What a trial is: digests of its data and of all that its result depends on."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Mapping

from ..config import FREE as _FREE
from ..config import Config
from ..study import task

#: bytes of a file that are read; of a larger one, blocks spread evenly
WHOLE = 256 << 20
_BLOCK = 1 << 20
#: options that change no bit of a result: schedule.steps ends a trial
FREE = (*_FREE, "train.checkpoint", "train.epochs", "train.validate_steps")


def data_digest(path: str) -> str:
    """The content of a file, in 16 digits; of one beyond WHOLE bytes its size and 256
    blocks of it, ``sampled`` before."""
    facts = os.stat(path)
    if facts.st_size <= WHOLE:
        return task.digest(path)
    return _sampled(os.path.abspath(path), facts.st_size, facts.st_mtime_ns)


@functools.lru_cache(maxsize=None)
def _sampled(path: str, size: int, _mtime: int) -> str:
    found = hashlib.sha256(str(size).encode())
    count = WHOLE // _BLOCK
    with open(path, "rb") as file:
        for i in range(count):
            file.seek(i * (size - _BLOCK) // (count - 1))
            found.update(file.read(_BLOCK))
    return f"sampled-{found.hexdigest()[:16]}"


def data_digests(paths: Iterable[str]) -> dict[str, str]:
    """Digests by file."""
    return {path: data_digest(path) for path in paths}


def config_of(settings: Mapping[str, str]) -> Config:
    """The options of a trial over the library's defaults.

    Raises:
        Error: the library does not take one.
    """
    config = Config()
    for key, value in settings.items():
        config.set_text(key, value)
    return config


def config_digest(config: Config, data: Iterable[str]) -> str:
    """Options, seeds and digests of data: equal ones are one training.

    Options that have their defaults do not count, so that a library with new ones knows
    the trials of an older one.
    """
    usual = dict(task.canonical(dict(Config())))
    words = [
        f"{key}={value}"
        for key, value in task.canonical(dict(config))
        if key not in FREE and usual.get(key) != value
    ]
    return hashlib.sha256("\n".join([*words, *data]).encode()).hexdigest()[:16]

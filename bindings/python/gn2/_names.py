# SPDX-License-Identifier: Apache-2.0
"""Column names to inputs. The aliases are the library's; here it is only asked."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from . import _ffi
from ._ffi import lib, names
from ._handle import make
from .config import Config
from .errors import InvalidArgument, NotFound
from .model import Model
from .tasks import FLAVOUR_TASK


class _Resolver:
    """Binds names on a tagger of the smallest model with these inputs."""

    def __init__(self, inputs: Sequence[str]) -> None:
        tiny = {
            "inputs.jets": list(inputs),
            "model.embed_dim": 8,
            "model.init_hidden": [8],
            "model.num_layers": 0,
            "model.num_heads": 1,
            "model.out_dim": 8,
            "model.tasks": [FLAVOUR_TASK],
        }
        self.model = Model(Config(tiny))
        with self.model._guard as handle:
            self.tagger = make(_ffi.Tagger, lib.gn2_tagger_create, handle, None)

    def binds(self, columns: Sequence[str]) -> bool:
        try:
            self.bind(columns)
        except NotFound:
            return False
        return True

    def bind(self, columns: Sequence[str]) -> None:
        lib.gn2_tagger_bind(
            self.tagger, b"jets", names(columns, "column"), len(columns)
        )

    def close(self) -> None:
        lib.gn2_tagger_free(self.tagger)
        self.model.close()


def _column_of(
    resolver: _Resolver, inputs: Sequence[str], wanted: str, columns: Sequence[str]
) -> str:
    """The alias of ``wanted``: with all other inputs there, it alone completes."""
    others = [name for name in inputs if name != wanted]
    foreign = [name for name in columns if name not in inputs]
    return next(name for name in foreign if resolver.binds([*others, name]))


@functools.lru_cache(maxsize=256)
def resolve(
    inputs: tuple[str, ...], columns: tuple[str, ...], what: str
) -> tuple[str, ...]:
    """The column that holds each input, by name or known alias.

    Raises:
        NotFound: an input is missing; the message lists what is expected and given.
        InvalidArgument: two inputs, or two names of one, would read one column.
    """
    if all(name in columns for name in inputs):
        return inputs
    resolver: Any = _Resolver(inputs)
    try:
        if not resolver.binds(columns):
            _fail(resolver, inputs, columns, what)
        return tuple(
            name if name in columns else _column_of(resolver, inputs, name, columns)
            for name in inputs
        )
    except InvalidArgument as problem:
        raise InvalidArgument(f"{what}: {problem}") from None
    finally:
        resolver.close()


def _fail(
    resolver: _Resolver, inputs: Sequence[str], columns: Sequence[str], what: str
) -> None:
    def missing(name: str) -> bool:
        others = [other for other in inputs if other != name]
        return not resolver.binds(tuple(dict.fromkeys([*others, *columns])))

    lost = [name for name in inputs if name not in columns and missing(name)]
    raise NotFound(
        f"{what}: missing {', '.join(lost)}; expected {', '.join(inputs)}; "
        f"given {', '.join(columns)}"
    )

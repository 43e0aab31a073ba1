# SPDX-License-Identifier: Apache-2.0
"""Log lines of the library go to ``logging.getLogger("gn2")``."""

from __future__ import annotations

import atexit
import logging
from typing import Any

from . import _ffi
from ._ffi import lib

_LEVELS = {
    _ffi.CONSTANTS["GN2_LOG_WARNING"]: logging.WARNING,
    _ffi.CONSTANTS["GN2_LOG_INFO"]: logging.INFO,
}
_logger = logging.getLogger("gn2")


@_ffi.LogFn  # type: ignore[untyped-decorator]
def _write(_user: Any, severity: int, line: bytes) -> None:
    level = _LEVELS.get(severity, logging.INFO)
    _logger.log(level, "%s", line.decode("utf-8", "replace"))


def connect() -> None:
    """Called once, when the package is imported."""
    lib.gn2_set_log(_write, None)
    # a reading thread may outlive the interpreter
    atexit.register(lib.gn2_set_log, _ffi.LogFn(), None)

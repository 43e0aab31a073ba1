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


def _write(_user: Any, severity: int, line: bytes) -> None:
    level = _LEVELS.get(severity, logging.INFO)
    _logger.log(level, "%s", line.decode("utf-8", "replace"))


_callback = _ffi.LogFn(_write)


def connect() -> None:
    """Called once, when the package is imported."""
    lib.gn2_set_log(_callback, None)
    # a reading thread may outlive the interpreter
    atexit.register(lib.gn2_set_log, _ffi.LogFn(0), None)

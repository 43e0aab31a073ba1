# SPDX-License-Identifier: Apache-2.0
"""Finds and loads libgn2. Knows nothing of its functions but the version."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from collections.abc import Iterator
from pathlib import Path

from .errors import LibraryError

ABI_VERSION = 0  # GN2_ABI_VERSION of include/gn2/base.h, compared by a test
SONAME = f"libgn2.so.{ABI_VERSION}"


def candidates() -> Iterator[tuple[str, str]]:
    """(where it comes from, path) in the order in which they are tried."""
    named = os.environ.get("GN2_LIBRARY")
    if named:
        # whoever names a library wants that one and no other
        yield "$GN2_LIBRARY", named
        return
    here = Path(__file__).resolve().parent
    for name in ("libgn2.so", SONAME):
        yield "beside the package", str(here / name)
    # bindings/python/gn2 in a source tree: the usual build directory
    yield "build tree", str(here.parents[2] / "build" / "lib" / "abi" / SONAME)
    yield "loader path", SONAME
    found = ctypes.util.find_library("gn2")
    if found:
        yield "find_library", found


def _try(path: str) -> ctypes.CDLL:
    if os.sep in path and not os.path.exists(path):
        raise OSError("no such file")
    library = ctypes.CDLL(path)
    try:
        version = library.gn2_abi_version
    except AttributeError:
        raise OSError("has no gn2_abi_version: not libgn2") from None
    version.restype, version.argtypes = ctypes.c_int32, ()
    if version() != ABI_VERSION:
        raise OSError(f"ABI version {version()}, this package needs {ABI_VERSION}")
    return library


def load() -> tuple[ctypes.CDLL, str]:
    """The library and the path it was loaded from.

    Raises:
        LibraryError: with every candidate and why it was not taken.
    """
    failures = []
    for origin, path in candidates():
        try:
            return _try(path), path
        except OSError as problem:
            failures.append(f"  {path} ({origin}): {problem}")
    raise LibraryError(
        "libgn2 cannot be loaded; set GN2_LIBRARY to its path. Tried:\n"
        + "\n".join(failures)
    )

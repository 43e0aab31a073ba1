# SPDX-License-Identifier: Apache-2.0
"""Ownership of one C object: freed once, used by one thread at a time."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from ._ffi import HANDLES, lib, text
from .errors import BusyError, InvalidArgument, StateError

Self = TypeVar("Self", bound="Owner")


class Guard:
    """``with owner._guard as handle``: the handle, or an exception when the object is
    closed or in use: by another thread, or by a call that this one is a callback of."""

    __slots__ = ("lock", "handle", "kind")

    def __init__(self, handle: Any, lock: Any, kind: str) -> None:
        self.handle, self.lock, self.kind = handle, lock, kind

    def __enter__(self) -> Any:
        if not self.lock.acquire(False):
            raise BusyError(
                f"this {self.kind} is in use, by another thread or by the call that "
                f"this one lies in; give each a {self.kind} of its own"
            )
        if self.handle is None:
            self.lock.release()
            raise StateError(f"this {self.kind} is closed")
        return self.handle

    def __exit__(self, *_: object) -> None:
        self.lock.release()


class Owner:
    """Base of the classes that own a C object.

    A context manager; :meth:`close` may be called any number of times. What cannot be
    pickled says in ``HAND_OVER`` how another process gets its like.
    """

    HAND_OVER = "make one where it is used"

    def __init__(self, handle: Any, free: Callable[[Any], None]) -> None:
        self._guard = Guard(handle, self._make_lock(), type(self).__name__)
        self._finalizer = weakref.finalize(self, free, handle)
        # at exit another thread may still be in a call; the process ends anyway
        self._finalizer.atexit = False

    @staticmethod
    def _make_lock() -> Any:
        return threading.Lock()

    def close(self) -> None:
        """Frees the C object. Later calls raise :class:`gn2.StateError`."""
        if self.closed:
            return
        with self._guard:
            self._guard.handle = None
            self._finalizer()

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._guard.handle is None

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        # a copied handle would be freed twice
        name = type(self).__name__
        raise TypeError(f"a gn2.{name} cannot be copied or pickled: {self.HAND_OVER}")


_FREE = {kind: f"{name}_free" for name, kind in HANDLES.items()}


def make(kind: type[Any], create: Callable[..., Any], *arguments: Any) -> Any:
    """Calls ``create(*arguments, byref(handle))`` and returns the handle."""
    handle = kind()
    try:
        create(*arguments, ctypes.byref(handle))
    except BaseException:
        # a signal that came during the call is handled behind it: the object is there
        getattr(lib, _FREE[kind])(handle)
        raise
    return handle


def path_bytes(path: Any, what: str = "path") -> bytes:
    """A file name for the library; str, bytes or os.PathLike."""
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise InvalidArgument(f"{what} holds a zero byte")
    return encoded


__all__ = ["Owner", "Guard", "make", "path_bytes", "text"]

# SPDX-License-Identifier: Apache-2.0
"""Exceptions: one class a status of the library, each also a builtin exception.

``except gn2.Error`` catches all of them; ``except ValueError`` those that say so.
"""

from __future__ import annotations


class Error(Exception):
    """A call of the library failed.

    Attributes:
        status: number of the status, e.g. -6; 0 when the binding refused the call.
        name: its name, e.g. "GN2_ERR_SHAPE".
    """

    status = 0
    name = "GN2_ERR_UNKNOWN"

    def __init__(self, message: str = "", status: int | None = None) -> None:
        super().__init__(message)
        if status is not None:
            self.status = status

    def __str__(self) -> str:
        # KeyError would show the message in quotes
        return str(self.args[0]) if self.args else ""


class InvalidArgument(Error, ValueError):
    """An argument is None, of the wrong type, or out of range."""

    status, name = -1, "GN2_ERR_INVALID_ARG"


class CopyRefused(InvalidArgument, TypeError):
    """``strict=True`` and the array cannot be used without copying it."""


class OutOfMemory(Error, MemoryError):
    """An allocation failed."""

    status, name = -2, "GN2_ERR_NO_MEMORY"


class FileError(Error, OSError):
    """A file cannot be read or written."""

    status, name = -3, "GN2_ERR_IO"


class FormatError(Error, ValueError):
    """A file is corrupt or is not of the expected kind."""

    status, name = -4, "GN2_ERR_FORMAT"


class VersionError(Error):
    """A file needs a newer library."""

    status, name = -5, "GN2_ERR_VERSION"


class ShapeError(Error, ValueError):
    """A shape does not fit."""

    status, name = -6, "GN2_ERR_SHAPE"


class NotFound(Error, KeyError):
    """No such key, name, field or file. Also a KeyError, hence a LookupError."""

    status, name = -7, "GN2_ERR_NOT_FOUND"


class StateError(Error, RuntimeError):
    """The call is not allowed now, e.g. the object is closed."""

    status, name = -8, "GN2_ERR_STATE"


class NumericError(Error, ArithmeticError):
    """NaN or Inf in an input, a loss or the weights; the message says where.

    Attributes:
        of_network: nothing that was given is wrong: of finite values the network made
            an output, a loss, a gradient or a weight that is not finite. A training
            that fails so has diverged.
    """

    status, name = -9, "GN2_ERR_NUMERIC"
    of_network = False


class AbiError(Error):
    """The library does not know the size of a struct: wrong library version."""

    status, name = -10, "GN2_ERR_ABI"


class BusyError(Error, RuntimeError):
    """The object is in use by another thread, or shared and so immutable."""

    status, name = -11, "GN2_ERR_BUSY"


class Cancelled(Error):
    """Stopped on request; the state is good to go on from."""

    status, name = -12, "GN2_ERR_CANCELLED"


class Unsupported(Error, NotImplementedError):
    """The library was built without this feature."""

    status, name = -13, "GN2_ERR_UNSUPPORTED"


class InternalError(Error):
    """A defect of the library; please report it."""

    status, name = -14, "GN2_ERR_INTERNAL"


class LibraryError(Error, ImportError):  # type: ignore[misc]
    """libgn2 was not found, or is not the version this package was made for."""


class RemoteError(Error, ConnectionError):
    """A server cannot be reached, or did not answer in time or as it should."""

    name = "GN2_ERR_REMOTE"


BY_STATUS: dict[int, type[Error]] = {
    kind.status: kind for kind in Error.__subclasses__() if kind.status
}


def error(status: int, message: str, of_network: bool = False) -> Error:
    """The exception for a status of the library."""
    problem = BY_STATUS.get(status, Error)(message, status)
    if isinstance(problem, NumericError):
        problem.of_network = of_network
    return problem

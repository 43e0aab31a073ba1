# SPDX-License-Identifier: Apache-2.0
"""Ranks that train together, as in ``include/gn2/group.h`` and ``gn2_mpi.h``."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from . import _ffi, _gloo
from ._ffi import lib
from ._gloo import told
from ._handle import Owner, make
from .errors import Error, InvalidArgument, Unsupported, error

_WORLD = -1  # GN2_MPI_WORLD
_NAME = "libgn2_mpi.so"
_HOST = 256  # bytes of a host's name

#: what launchers of MPI tell a process of the number of ranks
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")


def launched() -> int:
    """Ranks that a launcher of MPI says it has started; 1 without one."""
    sizes = [os.environ.get(name, "") for name in _SIZES]
    return max([int(size) for size in sizes if size.isdecimal()], default=1)


def alone(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for a process that is none of several, whoever starts it."""
    several = {*_SIZES, *_gloo.SIZES}
    return {name: value for name, value in environment.items() if name not in several}


def _candidates() -> Iterator[str]:
    named = os.environ.get("GN2_MPI_LIBRARY")
    if named:
        yield named
        return
    folder = os.path.dirname(os.path.abspath(_ffi.PATH))
    yield os.path.join(folder, _NAME)
    # a build tree: lib/abi and plugins/mpi lie beside each other
    yield os.path.join(folder, "..", "..", "plugins", "mpi", _NAME)
    yield f"{_NAME}.0"


def _load() -> Any:
    problems = []
    for path in _candidates():
        try:
            # MPI opens components that look for its symbols
            return ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
        except OSError as problem:
            problems.append(f"  {path}: {problem}")
    raise Unsupported(
        "libgn2_mpi cannot be loaded: build it with the MPI that starts the program "
        "(meson option mpi), or set GN2_MPI_LIBRARY to its path. Tried:\n"
        + "\n".join(problems)
    )


class Group(Owner):
    """Ranks that train together: ``Trainer(model, config, group=group)``.

    Every rank makes the same calls with the same data. The number of ranks is 1, or
    divides ``train.shards`` so that each has a power of two of them; weights and
    figures are those of one process, to the bit.
    """

    _link: _gloo.Link | None = None

    @classmethod
    def mpi(cls, comm: Any = None, *, timeout: float = 600.0) -> Group:
        """The ranks of an MPI communicator.

        Args:
            comm: of mpi4py, of the MPI that libgn2_mpi was built with; ``None``: all
                ranks that were started, and MPI is initialised if it is not yet.
            timeout: seconds after which a peer that says nothing ends the job;
                ``group.timeout`` of a trainer's options, where set, is in its place
                from its joining on.

        Raises:
            Unsupported: libgn2_mpi is not there.
            StateError: MPI was initialised without threads, or is finalised.
        """
        plugin = _load()
        plugin.gn2_mpi_group.argtypes = (
            ctypes.c_int32,
            ctypes.POINTER(_ffi.Group),
        )
        plugin.gn2_mpi_last_error.restype = ctypes.c_char_p
        plugin.gn2_mpi_set_timeout.argtypes = (ctypes.c_double,)
        plugin.gn2_mpi_set_timeout.restype = None
        plugin.gn2_mpi_set_timeout(timeout)
        handle = _ffi.Group()
        number = _WORLD if comm is None else comm.py2f()
        status = plugin.gn2_mpi_group(number, ctypes.byref(handle))
        if status < 0:
            raise error(status, plugin.gn2_mpi_last_error().decode())
        group = cls(handle, lib.gn2_group_free)
        atexit.register(group.close)  # MPI wants to be finalised
        return group

    @classmethod
    def torch(cls, *, timeout: float = 600.0) -> Group:
        """The processes that ``torch.distributed`` joins by gloo, without MPI.

        Where the program has not called ``torch.distributed.init_process_group()``
        itself, who they are is read from the environment, the first that is set: the
        rank from ``RANK``, ``PET_NODE_RANK`` or ``JOB_COMPLETION_INDEX``, their number
        from ``WORLD_SIZE`` or ``PET_NNODES``, the host of rank 0 from ``MASTER_ADDR``
        or ``PET_MASTER_ADDR`` and its port from ``MASTER_PORT`` or ``PET_MASTER_PORT``
        (29500). So torchrun, Kubeflow's runtime of torch and an indexed Job, told the
        number and the address, will do. Needs PyPI's ``torch``.

        Args:
            timeout: seconds in which all have to meet, and after which a peer that says
                nothing ends the group; as for :meth:`mpi`.

        Raises:
            InvalidArgument: a variable is missing or is no number that will do.
            RemoteError: the others did not come, or cannot be reached.
            Unsupported: torch is not there.
        """
        if not timeout > 0:
            raise InvalidArgument(f"timeout = {timeout}: seconds above 0")
        link = _gloo.meet(timeout)

        group = cls._over(link.transport, link.close)
        group._link = link
        atexit.register(group.close)  # torch wants its threads to end
        return group

    @classmethod
    def _over(
        cls, transport: _ffi.Transport, close: Callable[[], None] | None = None
    ) -> Group:
        """A group of a transport, whose callbacks live as long as it."""

        def free(handle: Any, _kept: Any = transport) -> None:
            lib.gn2_group_free(handle)
            if close is not None:
                close()

        handle = make(_ffi.Group, lib.gn2_group_create, ctypes.byref(transport))
        return cls(handle, free)

    @property
    def rank(self) -> int:
        """Number of this rank, from 0."""
        with self._guard as handle:
            return int(lib.gn2_group_rank(handle))

    @property
    def size(self) -> int:
        """Number of ranks."""
        with self._guard as handle:
            return int(lib.gn2_group_size(handle))

    def broadcast(self, data: bytes, root: int = 0) -> bytes:
        """Bytes of one rank, as many on each, to all of them."""
        buffer = ctypes.create_string_buffer(data, len(data))
        with self._guard as handle, self._explained():
            lib.gn2_group_broadcast(handle, buffer, len(data), root)
        return buffer.raw

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """A failure within it tells what the transport knows of it."""
        try:
            yield
        except Error as problem:
            if self._link is None:
                raise
            raise self._link.explain(problem) from None

    def texts(self, mine: str, most: int) -> list[str]:
        """What every rank says, by rank; a call of every rank.

        Args:
            mine: of this rank; what does not fit is cut off.
            most: bytes of each, the same on all.
        """
        data = mine.encode()[:most].ljust(most, b"\0")
        found = [self.broadcast(data, rank) for rank in range(self.size)]
        return [text.rstrip(b"\0").decode(errors="replace") for text in found]

    def hosts(self) -> list[str]:
        """Names of the hosts that the ranks are on, by rank; a call of every rank."""
        return self.texts(socket.gethostname(), _HOST)

    def __repr__(self) -> str:
        if self.closed:
            return "gn2.Group(closed)"
        return f"gn2.Group(rank {self.rank} of {self.size})"


def explained(group: Group | None) -> contextlib.AbstractContextManager[None]:
    """Within it a failure tells what the transport of a group, if any, knows of it."""
    return contextlib.nullcontext() if group is None else group._explained()


__all__ = ["Group", "alone", "explained", "launched", "told"]

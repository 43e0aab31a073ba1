# SPDX-License-Identifier: Apache-2.0
"""A transport over ``torch.distributed`` (gloo), which is imported here only, and only
when it is asked for.

Each exchange is some messages a way: eight bytes that say how many there are to come,
for gloo takes a message that is too short for a good one, and the caller's bytes in
parts. All are under way at once, gloo's own thread moves them, and what has come can be
taken in meanwhile.
"""

from __future__ import annotations

import ctypes
import datetime
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from . import _ffi
from .errors import Error, FileError, FormatError, InvalidArgument, RemoteError
from .errors import Unsupported, error

#: of torch.distributed, and of those who start its processes without torchrun
PORT = 29500


# ---- who is started ----


class Place(NamedTuple):
    """What the environment says of a process and the others."""

    rank: int
    size: int
    address: str
    port: int


#: the first that is set counts: of torchrun and Kubeflow's older operators; of its
#: runtime of torch, meant for torchrun to read; of an indexed Job
_RANKS = ("RANK", "PET_NODE_RANK", "JOB_COMPLETION_INDEX")
SIZES = ("WORLD_SIZE", "PET_NNODES")
_ADDRESSES = ("MASTER_ADDR", "PET_MASTER_ADDR")
_PORTS = ("MASTER_PORT", "PET_MASTER_PORT")


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str]:
    """(name, value) of the first variable that is set and not empty."""
    return next(((n, environment[n]) for n in names if environment.get(n)), ("", ""))


def _number(environment: Mapping[str, str], names: tuple[str, ...], what: str) -> int:
    name, value = _first(environment, names)
    if not name:
        raise InvalidArgument(
            f"{what} is not in the environment: set {' or '.join(names)}"
        )
    if not (value.isascii() and value.isdecimal()):
        raise InvalidArgument(f"{name} = {value!r}: {what} is a whole number")
    return int(value)


def told(environment: Mapping[str, str]) -> tuple[str, int]:
    """Variable and number of the processes that the environment tells of; ("", 1)
    where it tells of none."""
    name, value = _first(environment, SIZES)
    return (name, int(value)) if value.isascii() and value.isdecimal() else ("", 1)


def place_of(environment: Mapping[str, str]) -> Place:
    """The place of this process.

    Raises:
        InvalidArgument: a variable is missing, or its value will not do; named.
    """
    size = _number(environment, SIZES, "the number of ranks")
    rank = _number(environment, _RANKS, "the rank of this process")
    if not 1 <= size or rank >= size:
        raise InvalidArgument(
            f"rank {rank} of {size}: {_first(environment, _RANKS)[0]} counts from 0 to "
            f"{_first(environment, SIZES)[0]} − 1"
        )
    address = _first(environment, _ADDRESSES)[1]
    if size > 1 and not address:
        raise InvalidArgument(
            "where rank 0 is reached is not in the environment: set "
            f"{' or '.join(_ADDRESSES)} to its host name"
        )
    given = _first(environment, _PORTS)[0]
    port = _number(environment, _PORTS, "the port of rank 0") if given else PORT
    if not 1 <= port <= 65535:
        raise InvalidArgument(f"{given} = {port}: a port is a number from 1 to 65535")
    return Place(rank, size, address, port)


# ---- torch ----


def load() -> Any:
    """``torch`` with gloo.

    Raises:
        Unsupported: with what to do.
    """
    try:
        import torch
        import torch.distributed as distributed
    except (ImportError, OSError) as problem:
        raise Unsupported(
            f"torch cannot be imported ({problem}): a group of torch.distributed needs "
            "it: pip install torch, or use MPI (mpirun -n N gn2 fit …)"
        ) from None
    if not distributed.is_available():
        raise Unsupported(
            f"torch {torch.__version__} was built without torch.distributed: pip "
            "install torch brings one that has it"
        )
    return torch


def _url(place: Place) -> str:
    host = f"[{place.address}]" if ":" in place.address else place.address
    return f"tcp://{host}:{place.port}"


def _line(problem: BaseException) -> str:
    """What torch says, without its traces."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]


_Part = tuple[int, int]  # address, bytes
#: parts of a message at most, bytes of one at least
_PARTS, _LEAST = 4, 1 << 20


def _cut(whole: _Part) -> Iterator[_Part]:
    """The parts of a message; both ends know its size."""
    address, size = whole
    step = max(_LEAST, -(-size // _PARTS))
    for at in range(0, size, step):
        yield address + at, min(step, size - at)


class Link:
    """What carries the bytes of one rank; ``transport`` is its gn2_transport.

    Nothing may be raised through C: what an exchange failed of is in ``why``, and in
    ``raised`` what was no failure of it, as Ctrl-C.
    """

    def __init__(self, torch: Any, group: Any, place: Place, timeout: float) -> None:
        self.torch, self.group, self.place = torch, group, place
        self.timeout = timeout
        self._said, self._told = ctypes.c_uint64(), ctypes.c_uint64()
        self.why = ""
        self.raised: BaseException | None = None
        self.transport = _ffi.Transport(
            rank=place.rank,
            size=place.size,
            exchange=_ffi.ExchangeFn(self._exchange),
            abort=_ffi.AbortFn(self._abort),
            set_timeout=_ffi.TimeoutFn(self._set_timeout),
            exchange_parts=_ffi.ExchangePartsFn(self._exchange_parts),
        )

    # ---- exchange ----

    def _exchange(
        self, user: Any, peer: int, out: Any, out_size: int, into: Any, in_size: int
    ) -> int:
        sizes = (out, out_size, into, in_size)
        return self._exchange_parts(user, peer, *sizes, lambda *_: None, None)

    def _exchange_parts(
        self, _user: Any, peer: int, out: Any, out_size: int, into: Any, in_size: int,
        arrived: Any, context: Any,
    ) -> int:  # fmt: skip

        def came(size: int) -> None:
            arrived(context, size)

        try:
            return self._both(peer, (out, out_size), (into, in_size), came)
        except TimeoutError as problem:
            self.why = f"rank {peer} {problem}"
        except Exception as problem:  # noqa: BLE001
            # told by the wait, or where the next message is begun
            told = _line(problem)
            self.why = f"rank {peer} has gone: its own output says why ({told})"
        except BaseException as problem:  # noqa: BLE001
            self.raised, self.why = problem, type(problem).__name__
        return FileError.status

    def _both(
        self, peer: int, out: _Part, into: _Part, came: Callable[[int], None]
    ) -> int:
        """Sends and receives, all at once; GN2_OK or what is wrong with the sizes."""
        start = time.monotonic()
        distributed = self.torch.distributed
        self._told.value, self._said.value = out[1], into[1]
        receiving = self._begin(distributed.irecv, peer, self._said, into)
        sending = self._begin(distributed.isend, peer, self._told, out)
        done = 0
        for work, size in receiving:
            self._wait(work, start)
            if self._said.value != into[1]:
                self.why = (
                    f"rank {peer} sends {self._said.value} bytes, not {into[1]}: do "
                    "all ranks make the same calls?"
                )
                return FormatError.status
            done += size
            if done:
                came(done)
        for work, _ in sending:
            self._wait(work, start)
        return 0

    def _begin(
        self, move: Any, peer: int, length: Any, whole: _Part
    ) -> list[tuple[Any, int]]:
        """Messages under way with their bytes: the length, which counts none, the
        parts; no messages where there are no bytes."""
        if not whole[1]:
            return []
        first = self._tensor(ctypes.addressof(length), ctypes.sizeof(length))
        works = [(move(first, peer, group=self.group), 0)]
        for part in _cut(whole):
            works.append((move(self._tensor(*part), peer, group=self.group), part[1]))
        return works

    def _tensor(self, address: int, size: int) -> Any:
        """The memory itself."""
        memory = (ctypes.c_char * size).from_address(address)
        return self.torch.frombuffer(memory, dtype=self.torch.uint8)

    def _wait(self, work: Any, start: float) -> None:
        left = max(self.timeout - (time.monotonic() - start), 0.001)
        try:
            work.wait(datetime.timedelta(seconds=left))
        except Exception:  # noqa: BLE001
            if time.monotonic() - start < self.timeout:
                raise
            raise TimeoutError(
                f"said nothing for {self.timeout:g} s (group.timeout)"
            ) from None

    # ---- the rest of a transport ----

    def _abort(self, _user: Any, why: bytes) -> None:
        """The others see their connections closed. Their output may be all there is of
        a rank that is silent otherwise."""
        print(f"gn2: {why.decode()}: {self.why}", file=sys.__stderr__, flush=True)
        self.close()

    def close(self) -> None:
        """Leaves the others; any number of times."""
        group, self.group = self.group, None
        try:
            if group is not None:
                self.torch.distributed.destroy_process_group(group)
        except Exception as problem:  # noqa: BLE001
            print(f"gn2: torch.distributed: {_line(problem)}", file=sys.__stderr__)

    def _set_timeout(self, _user: Any, seconds: float) -> None:
        self.timeout = seconds

    def explain(self, problem: Error) -> BaseException:
        """What to raise in place of a failure of the library."""
        raised, self.raised = self.raised, None
        if raised is not None:
            return raised
        if not self.why or "exchange with rank" not in str(problem):
            return problem
        return error(problem.status, f"{problem}: {self.why}")


def meet(timeout: float) -> Link:
    """The link of this process, when all have come.

    Raises:
        InvalidArgument: the environment does not say who this is.
        RemoteError: the others did not come, or cannot be reached.
        Unsupported: there is no torch.
    """
    torch = load()
    distributed = torch.distributed
    limit = datetime.timedelta(seconds=timeout)
    if distributed.is_initialized():
        # the program's own; its messages and ours do not mix
        place = Place(distributed.get_rank(), distributed.get_world_size(), "", 0)
        group = distributed.new_group(backend="gloo", timeout=limit)
        return Link(torch, group, place, timeout)
    place = place_of(os.environ)
    if place.size == 1:
        return Link(torch, None, place, timeout)
    try:
        distributed.init_process_group(
            "gloo",
            init_method=_url(place),
            rank=place.rank,
            world_size=place.size,
            timeout=limit,
        )
    except Exception as problem:  # noqa: BLE001
        raise RemoteError(
            f"rank {place.rank} of {place.size} does not meet the others at "
            f"{place.address}:{place.port} within {timeout:g} s ({_line(problem)}): "
            "start them all, each with a rank of its own and with the same address, "
            "that of rank 0, which all can reach"
        ) from None
    return Link(torch, distributed.group.WORLD, place, timeout)

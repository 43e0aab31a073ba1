# SPDX-License-Identifier: Apache-2.0
"""Connections of HTTP, as uvicorn has them, and an end to patience.

Who connects and sends no request, or sends on after an error, is disconnected; the call
of who leaves is not answered. (Who does not read is the listening socket's matter.)
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# keys of a request's scope
CALL = "gn2.call"  #: the future of its answer
CYCLE = "gn2.cycle"  #: what uvicorn knows of it
LINGER = 2.0  #: seconds to read on after an early answer, lest a reset overtakes it


class Connection(H11Protocol):  # type: ignore[misc]
    """A connection; uvicorn makes it."""

    def __init__(self, *args: Any, **words: Any) -> None:
        super().__init__(*args, **words)
        self._timer: asyncio.TimerHandle | None = None
        self.quiet_since = 0.0  #: time of the loop when the last request ended

    @property
    def quiet(self) -> bool:
        """Is nothing asked that is not answered?"""
        begun = self.conn.their_state is not h11.IDLE or self.conn.trailing_data[0]
        answered = self.cycle is None or self.cycle.response_complete
        return answered and not begun

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._set(None)
        if self.cycle is not None and not self.cycle.response_complete:
            call = self.cycle.scope.get(CALL)
            if call is not None:
                call.cancel()

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:  # a request has come
            self.cycle.scope[CYCLE] = self.cycle
            self._set(None)
        if self.cycle is not None and self.transport.is_closing():
            # what followed was no HTTP, and is answered: the request is not any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def on_response_complete(self) -> None:
        early = self.conn.their_state not in (h11.DONE, h11.IDLE)
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if early:
            self._set(LINGER)
        elif self.cycle.response_complete:
            self._wait()

    def _wait(self) -> None:
        """For the next request."""
        self.quiet_since = self.loop.time()
        self._set(self.timeout_keep_alive)

    def _set(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if seconds is not None:
            self._timer = self.loop.call_later(seconds, self.transport.abort)

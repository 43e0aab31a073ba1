# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and SIGTERM while the library works: it is asked to stop at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any


class Signals:
    """Within it, SIGINT and SIGTERM call ``stop``; whoever handles them is told by
    :meth:`deliver`, when the state is safe.

    Python runs its handlers in the main thread, between two of its instructions: never
    while that thread is in the library. So a thread listens to the wakeup file
    descriptor, to which a signal is written the moment it comes. Only where a Python
    handler is set, and in the main thread, the only one Python gives signals to.
    """

    def __init__(self, stop: Callable[[], Any]) -> None:
        self.stop = stop
        self._once = [True]  # taken by whoever asks first; pop() is one instruction
        self.caught: int | None = None
        self._old: dict[int, Any] = {}
        self._pipe: tuple[int, int] | None = None
        self._before = -1
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if callable(signal.getsignal(number)):
                    self._old[number] = signal.signal(number, self._note)
        if self._old:
            self._listen()
        return self

    def _note(self, number: int, _frame: Any) -> None:
        self.caught = number
        self._ask()

    def _ask(self) -> None:
        """Once: what is asked when the work is over would stop the next."""
        try:
            self._once.pop()
        except IndexError:
            return
        self.stop()

    def _listen(self) -> None:
        self._pipe = reading, writing = os.pipe()
        os.set_blocking(writing, False)
        self._before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self._thread = threading.Thread(
            target=self._watch, args=(reading,), daemon=True
        )
        self._thread.start()

    def _watch(self, reading: int) -> None:
        while numbers := os.read(reading, 64):
            if any(number in self._old for number in numbers):
                self._ask()
            if self._before >= 0:  # an event loop's, which wants to know too
                try:
                    os.write(self._before, numbers)
                except OSError:
                    pass

    def __exit__(self, *_: object) -> None:
        if self._pipe is not None:
            signal.set_wakeup_fd(self._before)
            os.close(self._pipe[1])
            if self._thread is not None:
                self._thread.join()
            os.close(self._pipe[0])
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def deliver(self) -> None:
        """Calls the handler of the signal that came, if one did."""
        if self.caught is not None:
            self._old[self.caught](self.caught, None)

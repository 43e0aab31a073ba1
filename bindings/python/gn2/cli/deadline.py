# SPDX-License-Identifier: Apache-2.0
"""An end in time after SIGINT or SIGTERM, whatever the process is at.

Python runs its handlers between two of its own instructions, and the library hears of a
signal between two batches. While files are read or a step takes long neither comes, so
a thread of its own waits for the signal, too.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

#: seconds for what is written last
_LAST = 1.0


class Deadline:
    """Within it, the process ends some seconds after a signal.

    Args:
        seconds: for it to end by itself.
        last: what is to be written before it is ended; gets the signal's number.
    """

    def __init__(self, seconds: float, last: Callable[[int], None]) -> None:
        self.seconds = seconds
        self.last = last
        self._over = threading.Event()
        self._before = -1
        self._pipe: tuple[int, int] | None = None

    def __enter__(self) -> Deadline:
        if threading.current_thread() is threading.main_thread():
            self._pipe = reading, writing = os.pipe()
            os.set_blocking(writing, False)
            self._before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
            threading.Thread(target=self._watch, args=(reading,), daemon=True).start()
        return self

    def _watch(self, reading: int) -> None:
        ends = (signal.SIGINT, signal.SIGTERM)
        while numbers := os.read(reading, 64):
            for number in filter(ends.__contains__, numbers):
                if not self._over.wait(self.seconds):
                    self._end(number)
        os.close(reading)

    def _end(self, number: int) -> None:
        """Ends the process, also where the last word hangs as the rest does."""
        threading.Timer(_LAST, os._exit, (128 + number,)).start()
        try:
            self.last(number)
        finally:
            os._exit(128 + number)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._pipe is not None:
            signal.set_wakeup_fd(self._before)
            os.close(self._pipe[1])

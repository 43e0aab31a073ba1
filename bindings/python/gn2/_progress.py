# SPDX-License-Identifier: Apache-2.0
"""Progress: tqdm's bar in a terminal or notebook, else lines, as fit for a log file."""

from __future__ import annotations

import sys
import time
from typing import Any


def _shows_bars() -> bool:
    """A bar redraws itself, which a file would keep every time."""
    return "ipykernel" in sys.modules or sys.stderr.isatty()


def _tqdm() -> Any:
    if not _shows_bars():
        return None
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm


class Bar:
    """A callback of ``Trainer.fit``."""

    def __init__(self) -> None:
        self._tqdm = _tqdm()
        self._bar: Any = None
        self._val = ""

    def __call__(self, progress: Any) -> None:
        if progress.validation is not None:
            self._val = f"{progress.validation.loss:.4f}"
        if self._tqdm is None:
            self._line(progress)
        else:
            self._update(progress)

    def _line(self, progress: Any) -> None:
        if progress.event in ("epoch", "validation"):
            loss = f"loss {progress.stats.loss:.4f}"
            val = f", validation {self._val}" if self._val else ""
            done = f"epoch {progress.epoch + 1}/{progress.epochs}"
            if progress.event == "validation":
                done += f", step {progress.step}"
            print(f"{done}: {loss}{val}", file=sys.stderr, flush=True)

    def _update(self, progress: Any) -> None:
        if self._bar is None:
            self._bar = self._tqdm(
                total=progress.steps,
                initial=progress.step - (progress.event == "step"),
                unit="step",
                dynamic_ncols=True,
            )
        bar, stats = self._bar, progress.stats
        bar.set_description(f"epoch {progress.epoch + 1}/{progress.epochs}", False)
        figures = {"loss": f"{stats.loss:.4f}", "lr": f"{stats.learning_rate:.1e}"}
        if self._val:
            figures["val"] = self._val
        bar.set_postfix(figures, refresh=False)
        bar.update(progress.step - bar.n)

    def close(self) -> None:
        """Leaves the bar as it stands."""
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()


#: seconds of work that nobody wants to see a bar for
SOON = 1.0


class Count:
    """A bar over so many things, in a terminal or notebook; elsewhere nothing."""

    def __init__(self, total: int, unit: str, title: str, quiet: bool = False) -> None:
        tqdm = None if quiet else _tqdm()
        self.done = 0
        self._bar: Any = None
        if tqdm is not None:
            self._bar = tqdm(total=total, unit=unit, desc=title, dynamic_ncols=True)

    def add(self, count: int) -> None:
        """Notes that so many are done."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)

    def say(self, text: str) -> None:
        """A line on standard output, which a bar makes room for."""
        if self._bar is not None:
            self._bar.write(text)
        else:
            print(text, flush=True)

    def __enter__(self) -> Count:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


class Late:
    """A :class:`Count` that shows only what takes more than a moment."""

    def __init__(self, unit: str, title: str, quiet: bool = False) -> None:
        self._words = unit, title, quiet
        self._start = time.monotonic()
        self._count: Count | None = None

    def show(self, done: int, total: int) -> None:
        """Notes that so many of so many are done; total 0: it has not begun."""
        if self._count is None:
            if total == 0:
                self._start = time.monotonic()
            if done >= total or time.monotonic() - self._start < SOON:
                return
            self._count = Count(total, *self._words)
        self._count.add(done - self._count.done)

    def __enter__(self) -> Late:
        return self

    def __exit__(self, *problem: object) -> None:
        if self._count is not None:
            self._count.__exit__(*problem)

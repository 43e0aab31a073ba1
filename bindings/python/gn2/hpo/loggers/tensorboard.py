# SPDX-License-Identifier: Apache-2.0
"""Event files of TensorBoard, which Katib's TensorFlowEvent collector reads as well."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ...errors import InvalidArgument
from ..books import Trial


class TensorBoard:
    """Writes into a folder.

    Args:
        place: the folder; empty: ``tensorboard`` in that of the trial.
    """

    def __init__(self, place: str, folder: str) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise InvalidArgument(
                "event files need tensorboardX: pip install tensorboardX"
            ) from None
        self._make = SummaryWriter
        self._writer: Any = None
        self.path = place or os.path.join(folder, "tensorboard")

    def begin(self, trial: Trial, steps: int) -> None:
        self._writer = self._make(self.path, flush_secs=5)
        words = "\n".join(f"    {n} = {v}" for n, v in trial.parameters.items())
        self._writer.add_text("parameters", words, 0)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def end(self, trial: Trial) -> None:
        self._writer.close()

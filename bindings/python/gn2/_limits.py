# SPDX-License-Identifier: Apache-2.0
"""Limits of ``gn2 serve`` on what a client asks: of the service and of the command."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """What a client may ask."""

    body: int = 64 << 20  #: bytes of a request
    jets: int = 100_000  #: of a call
    tracks: int = 1_000_000  #: constituents of a call, of each type
    jet_tracks: int = 1000  #: constituents of a jet, of each type
    queue: int = 256  #: calls that wait or run
    held: int = 1 << 30  #: bytes of all requests that are there
    seconds: float = 30.0  #: a call may wait, and its body may take to come

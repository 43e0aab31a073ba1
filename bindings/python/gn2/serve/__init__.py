# SPDX-License-Identifier: Apache-2.0
"""Taggers as a service: Open Inference Protocol v2 over HTTP and gRPC, ``gn2 serve``.

    protocol     tensors of the protocol, errors, what a call may be: no transport
    signatures   what a model is asked and answers: one jet as Athena does, or many
    models       models and their taggers; files that are replaced
    calls        the queue and its threads; small calls that go together
    service      calls checked against models and limits, tagged, answered
    web, rpc     the transports: starlette and uvicorn, grpcio
    connection, listen, run    HTTP's connections; ports, signals, leaving
    watch        /metrics

Needs ``pip install 'gn2[serve]'``; this module and the first five need NumPy alone.
"""

from __future__ import annotations

from .._limits import Limits
from .calls import Gather
from .protocol import Problem
from .service import Service

__all__ = ["Gather", "Limits", "Problem", "Service"]

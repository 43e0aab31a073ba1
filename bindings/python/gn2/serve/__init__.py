# SPDX-License-Identifier: Apache-2.0
"""Taggers as a service: Open Inference Protocol v2 over HTTP and gRPC, ``gn2 serve``.

    protocol     tensors of the protocol, errors, what a call may be: no transport
    signatures   what a model is asked and answers: one jet as Athena does, or many
    service      models, taggers and threads behind it; limits; models taken up anew
    web, rpc     the transports: starlette and uvicorn, grpcio
    watch        /metrics

Needs ``pip install 'gn2[serve]'``; this module and the first three need NumPy alone.
"""

from __future__ import annotations

from .protocol import Problem
from .service import Limits, Service

__all__ = ["Limits", "Problem", "Service"]

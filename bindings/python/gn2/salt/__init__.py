# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of salt as models.

    from gn2 import salt

    model = salt.load("epoch=020.ckpt")
"""

from __future__ import annotations

from .importer import load

__all__ = ["load"]

# SPDX-License-Identifier: Apache-2.0
"""ONNX files, written for Athena and read from salt; the package ``onnx`` is needed.

    from gn2 import onnx

    onnx.export(model, "network.onnx")
    model = onnx.load("network.onnx")
    onnx.check("network.onnx")             # will Athena load it?

Inside this package ``import onnx`` is the package of that name, as everywhere.
"""

from __future__ import annotations

from .athena import Violation, check, violations
from .exporter import export
from .importer import load

__all__ = ["Violation", "check", "export", "load", "violations"]

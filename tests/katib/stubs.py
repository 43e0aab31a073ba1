# SPDX-License-Identifier: Apache-2.0
"""Katib's protobufs, from PyPI's kubeflow-katib (installed with --no-deps), without the
client around them, which needs the whole Kubernetes client."""

import importlib
import importlib.util
import pathlib
import sys
import types


def load():
    """(messages, services).

    Raises:
        ImportError: kubeflow-katib, grpcio or protobuf is missing.
    """
    spec = importlib.util.find_spec("kubeflow")
    places = list(spec.submodule_search_locations) if spec else []
    found = [
        pathlib.Path(p, "katib") for p in places if pathlib.Path(p, "katib").is_dir()
    ]
    if not found:
        raise ImportError("kubeflow-katib is not installed")
    name = "kubeflow.katib"
    if name not in sys.modules:
        package = types.ModuleType(name)
        package.__path__ = [str(found[0])]
        sys.modules[name] = package
    return tuple(
        importlib.import_module(f"{name}.{module}")
        for module in ("katib_api_pb2", "katib_api_pb2_grpc")
    )

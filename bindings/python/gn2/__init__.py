# SPDX-License-Identifier: Apache-2.0
"""GN2, the jet flavour tagger, trained and run on CPUs.

>>> import gn2
>>> scores = gn2.Tagger("gn2.gn2").tag(jets, tracks)
>>> scores["b"], scores.discriminant("b", f_c=0.2, f_tau=0.01)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import _log, errors
from ._arrays import Ragged
from ._ffi import PATH as library_path
from ._ffi import lib as _functions
from .config import Config
from .dataset import Batch, Dataset
from .ensemble import Ensemble
from .errors import (
    AbiError,
    BusyError,
    Cancelled,
    CopyRefused,
    Error,
    FileError,
    FormatError,
    InternalError,
    InvalidArgument,
    LibraryError,
    NotFound,
    NumericError,
    OutOfMemory,
    RemoteError,
    ShapeError,
    StateError,
    Unsupported,
    VersionError,
)
from .group import Group
from .model import Model, Param
from .score_writer import ScoreWriter
from .scores import EventScores, Scores, discriminant
from .tagger import Tagger
from .trainer import Trainer
from .training_stats import History, Metrics, Probe, Progress, StepStats

if TYPE_CHECKING:
    from .remote import Remote

_log.connect()

__version__: str = _functions.gn2_version().decode()


def features() -> dict[str, str]:
    """What this build and machine offer: isa, onednn, zlib, hdf5, filters."""
    words = _functions.gn2_features().decode().split()
    return dict(word.split("=", 1) for word in words if "=" in word)


load = Model.load

_SHORT_NAMES = {
    "onnx_export": "onnx.exporter",
    "onnx_import": "onnx.importer",
    "salt_import": "salt.importer",
}


def __getattr__(name: str) -> Any:
    """Modules under their short names, and a client that few need: loaded when they are
    asked for."""
    if name == "Remote":
        return import_module(".remote", __name__).Remote
    if name not in _SHORT_NAMES:
        raise AttributeError(f"module 'gn2' has no attribute '{name}'")
    return import_module(f".{_SHORT_NAMES[name]}", __name__)


__all__ = [
    "AbiError",
    "Batch",
    "BusyError",
    "Cancelled",
    "Config",
    "CopyRefused",
    "Dataset",
    "Ensemble",
    "Error",
    "EventScores",
    "FileError",
    "FormatError",
    "Group",
    "History",
    "InternalError",
    "InvalidArgument",
    "LibraryError",
    "Metrics",
    "Model",
    "NotFound",
    "NumericError",
    "OutOfMemory",
    "Param",
    "Probe",
    "Progress",
    "Ragged",
    "Remote",
    "RemoteError",
    "ScoreWriter",
    "Scores",
    "ShapeError",
    "StateError",
    "StepStats",
    "Tagger",
    "Trainer",
    "Unsupported",
    "VersionError",
    "discriminant",
    "errors",
    "features",
    "library_path",
    "load",
]

# SPDX-License-Identifier: Apache-2.0
"""What ``gn2 serve`` and :class:`gn2.Remote` both know: words of the Open Inference
Protocol, what is ours in it, and what the one tells the other of a model.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from .tagger import Tagger

#: types of tensors; bytes are little-endian
DTYPES = {"FP32": "<f4", "INT64": "<i8", "INT32": "<i4", "INT8": "<i1"}
LENGTH = "Inference-Header-Content-Length"  #: of the JSON, where bytes follow it
SERVICE = "inference.GRPCInferenceService"
BATCH = "_batch"  #: follows a model's name where only whole batches are meant
FACTS, SERVED = "gn2", "gn2_served"  #: properties of a model's metadata

_WORDS = {np.dtype(kind): word for word, kind in DTYPES.items()}


def datatype(array: Any) -> str:
    """The protocol's word for the type of an array."""
    return _WORDS[array.dtype]


def offsets_names(types: Collection[str]) -> dict[str, str]:
    """The name of a batch's offsets, by constituent type."""
    return {name: f"{name}_offsets" if len(types) > 1 else "offsets" for name in types}


def facts_of(tagger: Tagger) -> dict[str, Any]:
    """What a client has to know of a tagger, as JSON takes it."""
    known = tagger._names.aliases
    outputs = {}
    for full, one in tagger._listed.items():
        if full not in known and one.rows != "pair":
            outputs[full] = [tagger._short_name(full), one.object, one.rows]
    model = tagger.model
    return {
        "inputs": {name: list(columns) for name, columns in model.inputs.items()},
        "outputs": outputs,
        "usual": [task.output() for task in model.tasks.values()],
        "flavour": tagger._flavour,
        "names": tagger._names.facts(),
    }

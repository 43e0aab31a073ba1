# SPDX-License-Identifier: Apache-2.0
"""ONNX files that salt or :mod:`gn2.onnx.exporter` wrote, as a model.

torch's exporter transposes weights of matrix products and renames them
("onnx::MatMul_1812"); their names are found by following each product to the bias
added to it. Needs the package ``onnx``; not for graphs others have rewritten.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import Config
from ..errors import Error, FileError, FormatError, NotFound
from ..model import Model
from ..salt.heads import dig
from ..salt.importer import class_list, make, model_from
from .exporter import require_onnx

State = dict[str, NDArray[Any]]


def load(path: str | os.PathLike[str], *, name: str | None = None) -> Model:
    """Reads an ONNX file with the metadata ``gnn_config``.

    Args:
        path: file written by salt's ``to_onnx`` or by ``gn2 export onnx``.
        name: name of the model; None: that of the file.

    Returns:
        The model, with the tasks that were exported. Files of ours give back every
        weight to the bit, and the config.

    Raises:
        FileError, FormatError: no such file; no ONNX; weights that cannot be told.
        NotFound: no ``gnn_config``, or a tensor is missing.
        ShapeError: a tensor does not fit the config.
    """
    onnx = require_onnx()
    proto = read(onnx, path)
    try:
        return _model(onnx, proto, os.fspath(path), name)
    except Error:
        raise
    except Exception as error:  # of a damage that nothing here looks for
        kind = type(error).__name__
        raise FormatError(f"{os.fspath(path)}: damaged: {kind}: {error}") from error


def _model(onnx: Any, proto: Any, path: Any, name: str | None) -> Model:
    description = gnn_config(proto)
    settings = description.get("config.yaml")
    if not isinstance(settings, Mapping):
        raise NotFound(f"{path}: gnn_config holds no config.yaml")
    state = Weights(onnx, proto.graph).state()
    if "model.embed_dim" in settings:
        return _own(state, dict(settings), name)
    settings = {**settings, "name": name or _name(settings, description)}
    tasks = dig(settings, "model.model.tasks.init_args") or {}
    tasks["modules"], state = _present(tasks.get("modules"), state)
    metadata = description.get("metadata.yaml")
    named = metadata.get("object_classes") if isinstance(metadata, Mapping) else None
    return model_from(state, settings, classes=class_list(named))


def read(onnx: Any, path: str | os.PathLike[str]) -> Any:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise FileError(f"{os.fspath(path)}: {error.strerror}") from error
    try:
        return onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's own kind differs between its versions
        raise FormatError(f"{os.fspath(path)}: not an ONNX file: {error}") from error


def gnn_config(proto: Any) -> dict[str, Any]:
    """The metadata Athena and salt keep in a file.

    Raises:
        NotFound: there is none.
        FormatError: it is not a JSON object.
    """
    text = next((p.value for p in proto.metadata_props if p.key == "gnn_config"), None)
    if text is None:
        raise NotFound("ONNX file: no gnn_config among its metadata")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"gnn_config: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise FormatError("gnn_config: not a JSON object")
    return content


def _name(settings: Mapping[str, Any], description: Mapping[str, Any]) -> str:
    return str(settings.get("name") or description.get("model_name") or "GN2")


def _own(state: State, settings: dict[str, Any], name: str | None) -> Model:
    all_tasks = settings.get("model.tasks")
    settings["model.tasks"], state = _present(all_tasks, state)
    known = Config()
    # options of tasks that are not there are refused, but those that all models have
    gone = {f"task.{t}." for t in all_tasks or () if t not in settings["model.tasks"]}
    plain = set(known.keys())
    settings = {
        key: value
        for key, value in settings.items()
        if key in plain or not key.startswith(tuple(gone))
    }
    with known:
        try:
            known.update(settings)
        except (TypeError, OverflowError) as error:
            raise FormatError(f"gnn_config: config.yaml: {error}") from error
        if name is not None:
            known["model.name"] = name
        weights = {k[6:]: v for k, v in state.items() if k.startswith("model.")}
        return make(known, weights)


def _present(tasks: Any, state: State) -> tuple[list[Any], State]:
    """The tasks whose heads were exported, and the tensors numbered accordingly."""
    tasks = tasks if isinstance(tasks, list) else []
    heads = [f"model.tasks.{k}." for k in range(len(tasks))]
    kept = [k for k, head in enumerate(heads) if any(n.startswith(head) for n in state)]
    numbers = {heads[old]: f"model.tasks.{new}." for new, old in enumerate(kept)}
    renamed = {}
    for name, values in state.items():
        head = next((head for head in numbers if name.startswith(head)), "")
        renamed[numbers.get(head, "") + name[len(head) :]] = values
    return [tasks[k] for k in kept], renamed


#: inputs and outputs of the nodes that are looked at: least, most
SHAPES = {"Identity": (1, 1), "MatMul": (2, 2), "Gemm": (2, 3)}
#: onnx.TensorProto's types of numbers, and what holds them when they are not raw
NUMBERS = {
    "FLOAT": "float_data",
    "DOUBLE": "double_data",
    "FLOAT16": "int32_data",
    "BFLOAT16": "int32_data",
    "INT64": "int64_data",
    "INT32": "int32_data",
    "INT16": "int32_data",
    "INT8": "int32_data",
    "UINT8": "int32_data",
    "BOOL": "int32_data",
}


def _check_node(node: Any, place: int) -> None:
    least, most = SHAPES[node.op_type]
    inputs = sum(1 for name in node.input if name)
    if least <= inputs <= most and len(node.output) == 1:
        return
    wanted = f"{least}" if least == most else f"{least} or {most}"
    raise FormatError(
        f"node {place} ({node.name!r}), {node.op_type}: {inputs} inputs and "
        f"{len(node.output)} outputs, {wanted} and 1 wanted"
    )


class Weights:
    """The named tensors of a graph, transposed back to what they were in torch."""

    def __init__(self, onnx: Any, graph: Any) -> None:
        self._onnx = onnx
        self._external = onnx.TensorProto.EXTERNAL
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._same: dict[str, str] = {}
        self._users: dict[str, list[Any]] = {}
        for place, node in enumerate(graph.node):
            if node.op_type in SHAPES:
                _check_node(node, place)
            # identical tensors are merged by the exporter; an Identity keeps the name
            if node.op_type == "Identity":
                self._same[node.output[0]] = node.input[0]
            for source in node.input:
                self._users.setdefault(source, []).append(node)
        self._nodes = list(graph.node)

    def state(self) -> State:
        """All tensors, by salt's names."""
        names = [*self._tensors, *self._same]
        found = {
            name: self._array(name)
            for name in names
            if name.startswith(("model.", "norm.")) and self._is_tensor(name)
        }
        for node in self._nodes:
            if node.op_type in ("MatMul", "Gemm"):
                self._product(node, found)
        return found

    def _origin(self, name: str) -> str:
        seen = set()
        while name in self._same and name not in seen:
            seen.add(name)
            name = self._same[name]
        return name

    def _is_tensor(self, name: str) -> bool:
        return self._origin(name) in self._tensors

    def _array(self, name: str) -> NDArray[Any]:
        tensor = self._tensors[self._origin(name)]
        if tensor.data_location == self._external:
            raise FormatError(
                f"tensor {name!r} lies in another file, which is not read"
            )
        self._check_size(name, tensor)
        try:
            return np.array(self._onnx.numpy_helper.to_array(tensor))
        except Exception as error:  # of onnx, numpy or protobuf
            raise FormatError(f"tensor {name!r}: {error}") from error

    def _check_size(self, name: str, tensor: Any) -> None:
        """As many numbers as its shape says, of a type that weights have."""
        kinds = self._onnx.TensorProto.DataType
        number = tensor.data_type
        kind = kinds.Name(number) if number in kinds.values() else str(number)
        if kind not in NUMBERS:
            raise FormatError(f"tensor {name!r}: type {kind} is none of numbers")
        shape = list(tensor.dims)
        count = math.prod(shape)
        held = len(getattr(tensor, NUMBERS[kind]))
        if tensor.HasField("raw_data"):
            size = self._onnx.helper.tensor_dtype_to_np_dtype(number).itemsize
            size = 2 if kind == "BFLOAT16" else size  # numpy has none of it
            held, rest = divmod(len(tensor.raw_data), size)
            held = -1 if rest else held
        if min(shape, default=0) < 0 or len(shape) > 8 or held != count:
            stored = "part of one" if held < 0 else f"{held:,}"
            raise FormatError(
                f"tensor {name!r}: {stored} numbers of type {kind} for shape {shape}"
            )

    def _product(self, node: Any, found: State) -> None:
        """Notes the weight of x W under the name its bias has."""
        weight = node.input[1]
        if not self._is_tensor(weight):
            return
        values = self._array(weight)
        bias = self._bias(node)
        if bias is None or values.ndim != 2:
            return
        name = bias[: -len("bias")] + "weight"  # also in_proj_bias → in_proj_weight
        flags = {a.name: a.i for a in node.attribute}
        kept = node.op_type == "Gemm" and flags.get("transB", 0)
        values = values if kept else np.ascontiguousarray(values.T)
        if name in found and not np.array_equal(found[name], values):
            raise FormatError(f"two different weights go with the bias {bias!r}")
        found[name] = values

    def _bias(self, node: Any) -> str | None:
        """Name of what is added to a product, if it is a bias of the model."""
        if node.op_type == "Gemm":
            added = list(node.input[2:3])
        else:
            users = self._users.get(node.output[0], [])
            added = [n for u in users if u.op_type == "Add" for n in u.input]
        names = [n for n in added if n.startswith("model.") and n.endswith("bias")]
        return names[0] if len(names) == 1 and self._is_tensor(names[0]) else None

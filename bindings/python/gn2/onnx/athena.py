# SPDX-License-Identifier: Apache-2.0
"""What Athena asks of an ONNX tagger, as a checker.

Source: FlavorTagInference of Athena (SaltModel, GNN, the loaders of constituents), as
of 2026. It knows the rules that make a job throw at configuration or at run time, not
those about physics.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..errors import FormatError, NotFound
from .exporter import require_onnx
from .importer import gnn_config, read

FLOAT, INT8, INT32 = 1, 3, 6  # onnx.TensorProto's numbers
VERSIONS = ("v0", "v1", "v2")
SEQUENCES = ("tracks", "flows", "hits", "electrons")
SELECTIONS = (
    "ip3d|dipsTightUpgrade|dipsLooseUpgrade|all|dipsLoose202102|"
    "loose202102NoIpCuts|r22default|r22loose"
)
SORTS = "absSd0sort|sd0sort|ptsort|absD0DescendingSort"
SEQUENCE = re.compile(f"({'|'.join(SEQUENCES)})_({SELECTIONS})(_({SORTS}))?")
JET_VARIABLES = re.compile("pt|log_pt|eta|abs_eta|energy|mass|phi")
TRACK_VARIABLES = re.compile(
    r"numberOf\w+|d0\w*|z0\w*|deta|dphi|dr|log_dr|qOverP|\w+Uncertainty|"
    r"IP3D_signed_\w+|lifetimeSigned\w+|leptonID|ptfrac|log_ptfrac|pt|eta|phi"
)
KINDS = ((FLOAT, 0), (FLOAT, 1), (INT8, 1), (INT32, 1))


class Violation(NamedTuple):
    """A rule a file breaks."""

    rule: str  #: name of the rule, a key of :data:`RULES`
    message: str  #: what is wrong, with names

    def __str__(self) -> str:
        return f"{self.rule}: {self.message}"


class File(NamedTuple):
    """A file under examination."""

    config: dict[str, Any]
    graph: Any

    @property
    def version(self) -> str:
        """v0 is what has no version but the block ``outputs``."""
        fallback = "v0" if "outputs" in self.config else ""
        return str(self.config.get("onnx_model_version", fallback))

    def blocks(self, key: str) -> list[dict[str, Any]]:
        """Entries of ``inputs`` or ``input_sequences`` that are objects."""
        found = self.config.get(key)
        return (
            [b for b in found if isinstance(b, dict)] if isinstance(found, list) else []
        )


def violations(source: Any) -> list[Violation]:
    """All rules a file breaks; none: Athena can load and run it.

    Args:
        source: path of an ONNX file, or a loaded ``onnx.ModelProto``.
    """
    onnx = require_onnx()
    proto = read(onnx, source) if isinstance(source, (str, os.PathLike)) else source
    try:
        file = File(gnn_config(proto), proto.graph)
    except (NotFound, FormatError) as error:
        return [Violation("gnn_config", str(error))]
    return [Violation(rule, m) for rule, check in RULES.items() for m in check(file)]


def check(source: Any) -> None:
    """Raises FormatError with all broken rules, if there is any."""
    broken = violations(source)
    if broken:
        raise FormatError("Athena refuses the file: " + "; ".join(map(str, broken)))


# ---- rules: each yields what is wrong ----


def _version(file: File) -> Iterator[str]:
    if file.version not in VERSIONS:
        yield f"onnx_model_version is {file.version!r}, none of {', '.join(VERSIONS)}"


def _inputs(file: File) -> Iterator[str]:
    for key in ("inputs", "input_sequences"):
        if not isinstance(file.config.get(key), list):
            yield f"gnn_config has no list {key!r}"
    count = len(file.blocks("inputs"))
    if count != 1:
        yield f"{count} entries in 'inputs', exactly one wanted"


def _variables(file: File) -> Iterator[str]:
    for key in ("inputs", "input_sequences"):
        for block in file.blocks(key):
            yield from _block(key, block)


def _block(key: str, block: dict[str, Any]) -> Iterator[str]:
    if not isinstance(block.get("name"), str):
        yield f"an entry of {key!r} has no name"
    variables = block.get("variables")
    if not isinstance(variables, list) or not variables:
        yield f"{block.get('name')!r} has no variables"
        return
    for variable in variables:
        if not isinstance(variable, dict) or not isinstance(variable.get("name"), str):
            yield f"a variable of {block.get('name')!r} has no name"
            continue
        for word in ("offset", "scale"):
            if type(variable.get(word)) not in (int, float):
                yield f"variable {variable['name']!r}: {word} is no number"


def _listed(block: dict[str, Any]) -> list[Any]:
    variables = block.get("variables")
    return variables if isinstance(variables, list) else []


def _sequence_names(file: File) -> Iterator[str]:
    for block in file.blocks("input_sequences"):
        name = str(block.get("name"))
        if not SEQUENCE.fullmatch(name):
            yield f"{name!r} is no <type>_<selection>_<sort> Athena knows"


def _variable_names(file: File) -> Iterator[str]:
    known = {"inputs": JET_VARIABLES, "input_sequences": TRACK_VARIABLES}
    for key, pattern in known.items():
        for block in file.blocks(key):
            for variable in _listed(block):
                name = variable.get("name") if isinstance(variable, dict) else None
                if isinstance(name, str) and not pattern.fullmatch(name):
                    yield f"variable {name!r} of {block.get('name')!r} is unknown"


def _expected_inputs(file: File) -> dict[str, dict[str, Any]]:
    """Tensor names Athena feeds, with the entry of the config each belongs to."""
    plain = file.version == "v2"
    jets = file.blocks("inputs")
    expected = {"jets" if plain else "jet_features": jets[0]} if jets else {}
    for block in file.blocks("input_sequences"):
        kind = str(block.get("name")).split("_")[0]
        expected[kind if plain else f"{kind[:-1]}_features"] = block
    return expected


def _input_tensors(file: File) -> Iterator[str]:
    expected = _expected_inputs(file)
    fixed = {tensor.name for tensor in file.graph.initializer}
    actual = {i.name: i for i in file.graph.input if i.name not in fixed}
    for name in sorted(set(expected) | set(actual)):
        if name not in actual or name not in expected:
            side = "is missing" if name not in actual else "is not fed by Athena"
            yield f"input tensor {name!r} {side}"
            continue
        yield from _input_tensor(actual[name], expected[name], name.startswith("jet"))


def _input_tensor(value: Any, block: dict[str, Any], is_jet: bool) -> Iterator[str]:
    kind = value.type.tensor_type
    sizes = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
    wanted = [1 if is_jet else None, len(_listed(block))]
    if kind.elem_type != FLOAT:
        yield f"input tensor {value.name!r} is not float32"
    fits = len(sizes) == 2 and sizes[1] in (None, wanted[1])
    if not fits or (sizes[0] is not None and sizes[0] != wanted[0]):
        yield f"input tensor {value.name!r} has shape {sizes}, {wanted} wanted"


def _output_names(file: File) -> Iterator[str]:
    prefixes = set()
    for output in file.graph.output:
        prefix, _, rest = output.name.partition("_")
        if not prefix or not rest:
            yield f"output {output.name!r} is no <model>_<output>"
        prefixes.add(prefix)
    if len(prefixes) != 1:
        yield f"outputs of different models: {', '.join(sorted(prefixes)) or 'none'}"


def _output_types(file: File) -> Iterator[str]:
    for output in file.graph.output:
        kind = output.type.tensor_type
        if not kind.HasField("shape"):
            yield f"output {output.name!r} declares no shape"
        elif (kind.elem_type, len(kind.shape.dim)) not in KINDS:
            yield (
                f"output {output.name!r} has type {kind.elem_type} and rank "
                f"{len(kind.shape.dim)}: float of rank 0 or 1, int8 or int32 of rank 1"
            )


RULES: dict[str, Callable[[File], Iterator[str]]] = {
    "version": _version,
    "inputs": _inputs,
    "variables": _variables,
    "sequence_names": _sequence_names,
    "variable_names": _variable_names,
    "input_tensors": _input_tensors,
    "output_names": _output_names,
    "output_types": _output_types,
}

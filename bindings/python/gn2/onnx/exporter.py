# SPDX-License-Identifier: Apache-2.0
"""A model as the ONNX file Athena loads: inputs, outputs and metadata as salt's export.

One jet a call, every track counts. Weights keep salt's names and shapes, so that
:mod:`gn2.onnx.importer` reads them back to the bit. Needs the package ``onnx``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .._ffi import lib
from .._lines import replacing
from ..errors import InvalidArgument, LibraryError
from ..model import Model
from ..scores import short_name
from ..tasks import GAUSSIAN, STANDARD, Task
from .graph import IR_VERSION, OPSET, Graph, build, input_name

SEQUENCE = "{name}_{selection}_sd0sort"
#: Names of sequences in Athena, by constituent type; others are ``<name>_var``.
SEQUENCES = {
    "tracks": SEQUENCE,
    "flows": SEQUENCE,
    "electrons": "electrons_r22default",
}
Combination = tuple[str, Sequence[tuple[float, str]]]


class Options(NamedTuple):
    """What :func:`export` was asked for, checked."""

    name: str
    tasks: tuple[str, ...]
    selection: str
    rename: dict[str, str]
    combine: list[Combination]
    squarings: int


def export(
    model: Model,
    path: str | os.PathLike[str],
    *,
    tasks: Iterable[str] | None = None,
    name: str | None = None,
    selection: str = "r22default",
    rename: Mapping[str, str] | None = None,
    combine: Iterable[Combination] = (),
    max_tracks: int = 256,
) -> list[str]:
    """Writes a model as ONNX.

    Outputs begin with the model's name and ``_``, then:

    - ``p<class>`` of the jet classes, scalars; ``<task>_p<class>`` of a further
      classification of jets;
    - of a classification of constituents the most probable class, of a vertexing the
      vertex, int8 each: the task's name in CamelCase (``FlowType`` of flow_type),
      ``TrackOrigin`` and ``VertexIndex`` of GN2's own;
    - of a regression the name of the target, in its units; of a gaussian_regression
      also ``<target>_stddev``.

    With ``input.non_finite = default`` the graph replaces NaN and Inf by
    ``input.defaults``, as the tagger does; with ``error``, where the tagger refuses
    the jet, the file gives scores that mean nothing.

    Args:
        model: the model, or the path of a ``.gn2`` file.
        path: file to write; written whole or not at all.
        tasks: tasks to give outputs to; None: all of the model. The jet classes
            are always there, if the model has any.
        name: prefix of the outputs; None: the model's. ``_`` and ``-`` are removed,
            since Athena takes what stands before the first ``_`` for the name.
        selection: track selection in Athena, part of the sequence's name.
        rename: other names of probabilities, e.g. ``{"pu": "plight"}``.
        combine: further jet outputs ``(name, [(factor, output), …])``, sums of
            factor × probability (under its new name).
        max_tracks: jets with up to so many tracks get exact vertex indices (the
            graph squares the reachability ⌈log2⌉ times); int8 ends at 127 anyway.

    Returns:
        The names of the outputs, in order.

    Raises:
        InvalidArgument: a task the model lacks, a name that means nothing.
        Unsupported: a tensor that the graph has no node for.
        LibraryError: the package ``onnx`` is missing.
    """
    onnx = require_onnx()
    if not isinstance(model, Model):
        model = Model.load(model)
    options = _options(model, tasks, name, selection, rename, combine, max_tracks)
    graph = build(model, options.tasks, options.squarings)
    outputs = _outputs(graph, model, options)
    proto = onnx.helper.make_model(
        graph.finish(options.name),
        producer_name="libgn2",
        producer_version=_version(),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        doc_string=options.name,
    )
    config = json.dumps(gnn_config(model, options, outputs))
    onnx.helper.set_model_props(proto, {"gnn_config": config})
    onnx.checker.check_model(proto, full_check=True)
    with replacing(path, "wb") as file:
        file.write(proto.SerializeToString())
    return outputs


def describe(model: Model, ends: Any) -> tuple[list[str], dict[str, Any]]:
    """What :func:`export` would write of a model, without the package ``onnx``.

    Args:
        ends: is told of each output in order, by ``probability``, ``value`` and
            ``per_track`` as of :class:`gn2.onnx.graph.Graph`.

    Returns:
        names of the outputs, and the metadata entry ``gnn_config``.
    """
    options = _options(model, None, None, "r22default", None, (), 256)
    outputs = _outputs(ends, model, options)
    return outputs, gnn_config(model, options, outputs)


def require_onnx() -> Any:
    """The package ``onnx``, or an error that says how to get it."""
    try:
        import onnx
        import onnx.checker
        import onnx.helper
    except ImportError as error:
        raise LibraryError("ONNX files need the package onnx: pip install onnx") from (
            error
        )
    return onnx


# ---- options ----


def _options(
    model: Model,
    tasks: Iterable[str] | None,
    name: str | None,
    selection: str,
    rename: Mapping[str, str] | None,
    combine: Iterable[Combination],
    max_tracks: int,
) -> Options:
    if not 1 <= max_tracks <= 1 << 20:
        raise InvalidArgument(f"max_tracks = {max_tracks}, must be 1 to 1048576")
    return Options(
        clean_name(model.metadata("model.name") if name is None else name),
        _tasks(model, tasks),
        selection,
        dict(rename or {}),
        [(label, list(terms)) for label, terms in combine],
        max(1, (max_tracks - 1).bit_length()),
    )


def clean_name(name: str) -> str:
    """A model name as Athena can have it: ``GN2_v01-x`` → ``GN2v01x``."""
    cleaned = name.replace("_", "").replace("-", "")
    if not re.fullmatch(r"\w+", cleaned):
        raise InvalidArgument(f"model name {name!r}: letters and digits wanted")
    return cleaned


def _tasks(model: Model, tasks: Iterable[str] | None) -> tuple[str, ...]:
    present = model.tasks
    wanted = present if tasks is None else [tasks] if isinstance(tasks, str) else tasks
    wanted = list(wanted)
    for task in wanted:
        if task not in present:
            raise InvalidArgument(f"task {task!r}: the model has {', '.join(present)}")
    chosen = [t for t in present.values() if t.flavour or t.name in wanted]
    if not chosen:
        raise InvalidArgument(f"no task to export; there are {', '.join(present)}")
    return tuple(task.name for task in sorted(chosen, key=_place))


def _place(task: Task) -> tuple[int, int]:
    """Jet classes first, then GN2's own tasks, as salt; others as in the model."""
    order = list(STANDARD)
    own = order.index(task.name) if task.name in order else len(order)
    return (0 if task.flavour else max(1, own)), task.number


# ---- outputs ----


def _outputs(graph: Graph, model: Model, options: Options) -> list[str]:
    """Declares the outputs, in salt's order; returns their names."""
    tasks = [model.tasks[name] for name in options.tasks]
    _check_inputs(model)
    names = _flavours(graph, model, options) if tasks[0].flavour else []
    if not names and (options.rename or options.combine):
        raise InvalidArgument("rename, combine: the model does not classify jets")
    for task in tasks:
        if not task.flavour:
            names += _of_task(graph, task, options.name)
    if len(set(names)) < len(names):
        raise InvalidArgument(f"two outputs of one name: {', '.join(names)}")
    return names


def _check_inputs(model: Model) -> None:
    names = ["jet_features", *map(input_name, model.constituents)]
    if len(set(names)) < len(names):
        raise InvalidArgument(f"two inputs of one name: {', '.join(names)}")


def _flavours(graph: Graph, model: Model, options: Options) -> list[str]:
    """Probabilities of the jet classes, and what is combined of them."""
    classes = ["p" + short_name(name) for name in model.classes]
    unknown = sorted(set(options.rename) - set(classes))
    if unknown:
        raise InvalidArgument(f"rename: {unknown[0]!r} is none of {', '.join(classes)}")
    classes = [options.rename.get(name, name) for name in classes]
    names = [
        graph.probability(options.tasks[0], i, f"{options.name}_{c}")
        for i, c in enumerate(classes)
    ]
    sources = dict(zip(classes, names))
    for label, terms in options.combine:
        names.append(_combined(graph, f"{options.name}_{label}", terms, sources))
    return names


def _of_task(graph: Graph, task: Task, name: str) -> list[str]:
    if task.regresses:
        return _regressed(graph, task, name)
    if task.on_jets:
        return [
            graph.probability(task.name, i, f"{name}_{task.name}_p{short_name(c)}")
            for i, c in enumerate(task.classes)
        ]
    return [graph.per_track(task.name, f"{name}_{athena_name(task)}")]


def _regressed(graph: Graph, task: Task, name: str) -> list[str]:
    results = {task.name: ""}
    if task.kind == GAUSSIAN:
        results[f"{task.name}_stddev"] = "_stddev"
    return [
        graph.value(task.name, result, i, f"{name}_{target}{suffix}")
        for i, target in enumerate(task.targets)
        for result, suffix in results.items()
    ]


def athena_name(task: Task) -> str:
    """Of an output with one number a constituent: TrackOrigin, FlowType."""
    if task.standard:
        return task.standard.athena
    return "".join(word[:1].upper() + word[1:] for word in task.name.split("_"))


def _combined(
    graph: Graph, name: str, terms: Sequence[tuple[float, str]], sources: dict[str, str]
) -> str:
    for _, term in terms:
        if term not in sources:
            raise InvalidArgument(f"{name}: {term!r} is none of {', '.join(sources)}")
    if not terms:
        raise InvalidArgument(f"{name}: nothing to combine")
    return graph.combined(name, [(float(f), sources[term]) for f, term in terms])


# ---- metadata ----


def gnn_config(model: Model, options: Options, outputs: list[str]) -> dict[str, Any]:
    """The JSON of the metadata entry ``gnn_config``, as salt and Athena have it."""
    config = dict(model.config.items())
    jets = [re.sub(r"_btagJes$", "", name) for name in model.inputs["jets"]]
    return {
        "ckpt_path": "",
        "layers": [],
        "nodes": [],
        "config.yaml": config,
        "metadata.yaml": {
            k: v for k, v in config.items() if k.startswith("provenance")
        },
        "salt_export_hash": None,
        "libgn2_version": _version(),
        "forced_export": False,
        "onnx_model_version": "v1",
        "output_names": outputs,
        "model_name": options.name,
        "inputs": [{"name": "jet_var", "variables": _variables(jets)}],
        "input_sequences": [
            {
                "name": _sequence(name, options.selection),
                "variables": _variables(model.inputs[name]),
            }
            for name in model.constituents
        ],
        "combine_outputs": [
            [name, [list(term) for term in terms]] for name, terms in options.combine
        ],
        "rename_outputs": options.rename,
    }


def _variables(names: Iterable[str]) -> list[dict[str, Any]]:
    # placeholders: Athena wants them and does not apply them, the graph normalises
    return [{"name": name, "offset": 0.0, "scale": 1.0} for name in names]


def _sequence(name: str, selection: str) -> str:
    return SEQUENCES.get(name, "{name}_var").format(name=name, selection=selection)


def _version() -> str:
    return str(lib.gn2_version().decode())

# SPDX-License-Identifier: Apache-2.0
"""Models with other tasks than GN2's, and jets for them. For the tests."""

import numpy as np
from conftest import SMALL

import gn2

FLOWS = ["d0", "deta", "dphi"]
TWO_TYPES = {
    "model.constituents": ["tracks", "flows"],
    "inputs.tracks": ["d0", "z0SinTheta", "dphi", "deta", "qOverP"],
    "inputs.flows": FLOWS,
}
FLOW_TYPE = {
    "task.flow_type.kind": "classification",
    "task.flow_type.object": "flows",
    "task.flow_type.label": "flow_type_label",
    "task.flow_type.classes": ["charged", "photon", "neutral"],
}
#: boosted jets: no b class, its own discriminants
GN2X = {
    "model.name": "GN2X",
    "model.classes": ["hbb", "hcc", "top", "qcd"],
    "model.tasks": ["jets_classification", "track_origin", "track_vertexing"],
    "discriminant.D_hbb.signal": "hbb",
    "discriminant.D_hbb.fractions": ["hcc:0.02", "top:0.25", "qcd:0.73"],
    **TWO_TYPES,
}
#: what GN2 has, and more of the same kinds
MORE = {
    "model.name": "GN3",
    "model.tasks": [
        "flow_type",
        "jets_classification",
        "jet_charge",
        "track_type",
        "flow_vertexing",
    ],
    "task.jet_charge.kind": "classification",
    "task.jet_charge.classes": ["minus", "zero", "plus"],
    "task.jet_charge.hidden": [8],
    "task.track_type.kind": "classification",
    "task.track_type.object": "tracks",
    "task.track_type.classes": ["hadron", "electron", "muon", "none"],
    "task.track_type.weight": 0.25,
    "task.flow_vertexing.kind": "vertexing",
    "task.flow_vertexing.object": "flows",
    "task.flow_vertexing.pair_weights": "none",
    **FLOW_TYPE,
    **TWO_TYPES,
}
#: names GN2's own tasks do not have
RENAMED = {
    "model.tasks": ["quark", "origin_of_flow"],
    "task.quark.kind": "classification",
    "task.origin_of_flow.kind": "classification",
    "task.origin_of_flow.object": "flows",
    "task.origin_of_flow.classes": ["here", "there"],
    **TWO_TYPES,
}
#: constituents alone: no task of the jets
BARE = {"model.tasks": ["flow_type"], **FLOW_TYPE, **TWO_TYPES}
#: values of jets and constituents, divided by an input or centred, beside classes
GN3 = {
    "model.name": "GN3",
    "model.tasks": ["jets_classification", "jet_pt", "track_type", "flow_type"]
    + ["flow_energy"],
    "task.jet_pt.kind": "regression",
    "task.jet_pt.targets": ["pt_truth"],
    "task.jet_pt.target_denominators": ["pt_btagJes"],
    "task.jet_pt.loss": "l1",
    "task.flow_energy.kind": "regression",
    "task.flow_energy.object": "flows",
    "task.flow_energy.targets": ["e_truth", "share"],
    "task.flow_energy.target_mean": [2.0, 0.5],
    "task.flow_energy.target_std": [3.0, 0.1],
    "task.track_type.kind": "classification",
    "task.track_type.object": "tracks",
    "task.track_type.classes": ["hadron", "electron", "muon", "none"],
    **FLOW_TYPE,
    **TWO_TYPES,
}
#: no classes anywhere
VALUES = {
    "model.name": "REG",
    "model.tasks": ["mass"],
    "task.mass.kind": "regression",
    "task.mass.targets": ["mass", "width"],
    "task.mass.target_mean": [1.0, -2.0],
    "task.mass.target_std": [0.5, 4.0],
    **TWO_TYPES,
}
#: values with their spread
SPREAD = {
    "model.name": "GAUSS",
    "model.tasks": ["jets_classification", "ratio", "centred"],
    "task.ratio.kind": "gaussian_regression",
    "task.ratio.targets": ["pt_truth"],
    "task.ratio.target_denominators": ["pt_btagJes"],
    "task.centred.kind": "gaussian_regression",
    "task.centred.object": "tracks",
    "task.centred.targets": ["d0_truth", "z0_truth"],
    "task.centred.target_mean": [0.5, 1.0],
    "task.centred.target_std": [2.0, 0.5],
    **TWO_TYPES,
}
MODELS = {"GN2X": GN2X, "more tasks": MORE, "renamed": RENAMED, "no jets": BARE}
MODELS |= {"regressions": GN3, "values alone": VALUES, "spread": SPREAD}


def random_model(options, seed=5):
    """Weights of order one, biases too, so that outputs differ from jet to jet; one
    pair in ten joined, so that there are vertices."""
    shifts = {}
    for _ in range(2):
        rng = np.random.default_rng(seed)
        model = gn2.Model({**SMALL, **options})
        for name, param in model.params.items():
            spread = 1.5 / np.sqrt(param.shape[-1]) if len(param.shape) > 1 else 0.3
            model[name] = rng.normal(size=param.shape) * spread + ("norm" in name)
        for name, shift in shifts.items():
            model[name] = model[name] - shift
        if not shifts:
            shifts = _shifts(model)
    return model


def _shifts(model):
    vertexing = [t for t in model.tasks.values() if t.kind == "vertexing"]
    jets, parts = jets_of(model, [12] * 20)
    found = {}
    with gn2.Tagger(model) as tagger:
        for task in vertexing:
            name = task.output("_logits")
            pairs = tagger.tag(jets, ragged(parts), outputs=[name])[name]
            own = [n for n in model.params if n.startswith(task.prefix)]
            found[[n for n in own if n.endswith("bias")][-1]] = np.quantile(pairs, 0.95)
    return found


def jets_of(model, counts, seed=3):
    """(B, F) jets and a jet each {type: rows}; the types have different numbers."""
    rng = np.random.default_rng(seed)
    jets = rng.normal(size=(len(counts), len(model.inputs["jets"])))
    parts = [
        {
            name: rng.normal(size=(n + 2 * k * (n > 1), len(model.inputs[name])))
            for k, name in enumerate(model.constituents)
        }
        for n in counts
    ]
    parts = [{k: v.astype(np.float32) for k, v in of.items()} for of in parts]
    return jets.astype(np.float32), parts


def ragged(parts):
    """{type: (rows, offsets)} of a jet each {type: rows}."""
    return {
        name: (
            np.concatenate([of[name] for of in parts]),
            np.cumsum([0] + [len(of[name]) for of in parts]),
        )
        for name in parts[0]
    }

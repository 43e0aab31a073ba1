# SPDX-License-Identifier: Apache-2.0
"""Exported files do in ONNX Runtime what the library does, for any number of tracks."""

import json

import numpy as np
import onnx_reference as reference
import pytest

import gn2
from gn2.onnx import athena, exporter, importer
from gn2.onnx import graph as onnx_graph

onnx = pytest.importorskip("onnx", reason="needs the package onnx")
pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")

SMALL = {"model.embed_dim": 32, "model.num_layers": 2, "model.num_heads": 4}
LEGACY = {
    "model.encoder": "legacy",
    "model.final_norm_pos": "pre",
    "model.num_registers": 0,
}
KINDS = {
    "current": {},
    "legacy": LEGACY,
    "legacy with dropout": {**LEGACY, "model.dropout_ffn": 0.1},
    "no registers": {"model.num_registers": 0},
    "muP, read-out x 1/4": {
        "model.num_registers": 3,
        "model.final_norm_pos": "none",
        "model.parametrization": "mup",
        "model.base_width": 8,
    },
    "muP, heads of size 4 added": {
        "model.final_norm_pos": "pre",
        "model.parametrization": "mup",
        "model.base_width": 8,
        "model.base_heads": 2,
    },
    "muP absolute, dropout, one-layer init": {
        "model.final_norm_pos": "pre",
        "model.parametrization": "mup_absolute",
        "model.dropout_heads": 0.1,
        "model.dropout_init": 0.1,
        "model.init_hidden": [],
    },
    "no layers": {"model.num_layers": 0},
    "tasks in another order": {
        "model.tasks": ["track_vertexing", "jets_classification", "track_origin"]
    },
}
# float32 sums of ~100 terms, a few roundings of 6e-8 each, on probabilities
ROUNDING = 1e-6


def random_model(options):
    """Weights of order one; one pair in twenty joined, so that there are vertices."""
    jets, tracks = jets_of([30])
    with gn2.Tagger(_random_model(options)) as tagger:
        parts = {name: ragged(tracks) for name in tagger.model.constituents}
        parts["flows"] = (tracks[0][:, :3].copy(), np.array([0, 30]))
        parts = {name: parts[name] for name in tagger.model.constituents}
        pairs = tagger.tag(jets, parts, outputs=["pairs"]).outputs["pairs"]
    model = _random_model(options)
    last = [n for n in model.params if n.endswith("bias") and len(model[n]) == 1][-1]
    model[last] = model[last] - np.quantile(pairs, 0.95)
    return model


def _random_model(options, seed=5):
    rng = np.random.default_rng(seed)
    model = gn2.Model({**SMALL, **options})
    for name, param in model.params.items():
        spread = 1.5 / np.sqrt(param.shape[-1]) if len(param.shape) > 1 else 0.3
        model[name] = rng.normal(size=param.shape) * spread + ("norm" in name)
    return model


def jets_of(counts, seed=3):
    rng = np.random.default_rng(seed)
    jets = rng.normal(size=(len(counts), 2)).astype(np.float32)
    return jets, [rng.normal(size=(n, 19)).astype(np.float32) for n in counts]


def ragged(tracks):
    ends = np.cumsum([0] + [len(rows) for rows in tracks])
    return np.concatenate(tracks), ends


@pytest.fixture(params=KINDS)
def kind(request):
    return random_model(KINDS[request.param])


def test_scores_for_any_number_of_tracks(kind, tmp_path):
    jets, tracks = jets_of([0, 1, 2, 40, 200, *range(3, 61, 4)])
    names = exporter.export(kind, tmp_path / "x.onnx")
    athena.check(tmp_path / "x.onnx")
    found = reference.run(reference.session(tmp_path / "x.onnx"), jets, tracks)
    with gn2.Tagger(kind) as tagger:
        ours = tagger.tag(jets, ragged(tracks), outputs=["origin", "vertex"])
    p = np.stack([found[name] for name in names[:4]], 1)
    assert p.std(axis=0).max() > 1e-3  # jets differ, so agreement means something
    assert np.abs(p - ours.probabilities).max() < ROUNDING
    top = np.sort(ours.outputs["origin"], axis=1)
    clear = top[:, -1] - top[:, -2] > ROUNDING
    assert (found["GN2_TrackOrigin"] == ours.outputs["origin"].argmax(1))[clear].all()
    labels = ours.outputs["vertex"].astype(np.int8)
    assert len(set(labels)) > 5
    assert (found["GN2_VertexIndex"] == labels).all()
    assert {
        k: v.dtype for k, v in found.items() if k.endswith(("Origin", "Index"))
    } == {
        "GN2_TrackOrigin": np.int8,
        "GN2_VertexIndex": np.int8,
    }


def test_double_reference_agrees(kind):
    """The library does what the formulas say (and, above, what ONNX Runtime does)."""
    c = kind.config
    w, w0, heads = (c[f"model.{k}"] for k in ("embed_dim", "base_width", "num_heads"))
    form = c["model.parametrization"]
    d0 = w0 / (c["model.base_heads"] or heads)
    scales = {"mup": np.sqrt(d0) * heads / w, "mup_absolute": heads / w}
    readout = w0 / w if form == "mup" else 1.0
    expected = reference.Reference(kind, scales.get(form), readout)
    jets, tracks = jets_of([0, 1, 7, 25])
    with gn2.Tagger(kind) as tagger:
        ours = tagger.tag(jets, ragged(tracks), outputs=["origin", "pairs"])
    p, origin = zip(*(expected(jet, rows) for jet, rows in zip(jets, tracks)))
    assert np.abs(ours.probabilities - p).max() < ROUNDING
    assert np.abs(ours.outputs["origin"] - np.concatenate(origin)).max() < ROUNDING
    pairs = [expected.pairs(jet, rows) for jet, rows in zip(jets, tracks)]
    largest = np.abs(np.concatenate(pairs)).max()
    error = np.abs(ours.outputs["pairs"] - np.concatenate(pairs)).max()
    assert error < 1e-5 * largest


def test_round_trip_keeps_every_bit(kind, tmp_path):
    kind.save(tmp_path / "a.gn2")
    exporter.export(kind, tmp_path / "a.onnx")
    back = importer.load(tmp_path / "a.onnx")
    assert back.params.keys() == kind.params.keys()
    for name in kind.params:
        assert back[name].tobytes() == kind[name].tobytes(), name
    assert dict(back.config.items()) == dict(kind.config.items())


def test_graph_is_what_athena_reads(tmp_path):
    model = random_model({"model.name": "GN2_v0-x"})
    names = exporter.export(model, tmp_path / "x.onnx")
    proto = onnx.load(tmp_path / "x.onnx")
    assert names == [
        *(f"GN2v0x_p{c}" for c in ("b", "c", "u", "tau")),
        "GN2v0x_TrackOrigin",
        "GN2v0x_VertexIndex",
    ]
    assert [o.name for o in proto.graph.output] == names
    for output in proto.graph.output[:4]:
        assert output.type.tensor_type.HasField("shape")
        assert len(output.type.tensor_type.shape.dim) == 0
    assert (proto.opset_import[0].version, proto.ir_version) == (20, 9)
    assert proto.doc_string == proto.graph.name == "GN2v0x"
    assert not {"Loop", "If", "Scan"} & {node.op_type for node in proto.graph.node}


def test_metadata_is_salts(tmp_path):
    model = random_model({"norm.jets.mean": [1e5, 0.1], "norm.jets.std": [3e4, 2.0]})
    exporter.export(model, tmp_path / "x.onnx", selection="r22loose")
    (entry,) = onnx.load(tmp_path / "x.onnx").metadata_props
    config = json.loads(entry.value)
    assert entry.key == "gnn_config"
    assert config["onnx_model_version"] == "v1"
    assert (config["layers"], config["nodes"]) == ([], [])
    assert config["model_name"] == "GN2"
    assert config["inputs"] == [
        {
            "name": "jet_var",
            "variables": [
                {"name": n, "offset": 0.0, "scale": 1.0} for n in ("pt", "eta")
            ],
        }
    ]
    (tracks,) = config["input_sequences"]
    assert tracks["name"] == "tracks_r22loose_sd0sort"
    assert [v["name"] for v in tracks["variables"]] == list(model.inputs["tracks"])


def test_combined_and_renamed_outputs(tmp_path):
    model = random_model({})
    names = exporter.export(
        model,
        tmp_path / "x.onnx",
        tasks=["jets_classification"],
        rename={"pu": "plight"},
        combine=[("mix", [(0.5, "plight"), (2.0, "ptau")])],
    )
    assert names == ["GN2_pb", "GN2_pc", "GN2_plight", "GN2_ptau", "GN2_mix"]
    jets, tracks = jets_of([4, 0])
    found = reference.run(reference.session(tmp_path / "x.onnx"), jets, tracks)
    mix = 0.5 * found["GN2_plight"] + 2 * found["GN2_ptau"]
    assert np.allclose(found["GN2_mix"], mix, rtol=1e-6, atol=0)
    athena.check(tmp_path / "x.onnx")


def test_two_constituent_types(tmp_path):
    flows = ["d0", "deta", "dphi"]
    model = random_model(
        {"model.constituents": ["tracks", "flows"], "inputs.flows": flows}
    )
    exporter.export(model, tmp_path / "x.onnx")
    athena.check(tmp_path / "x.onnx")
    session = reference.session(tmp_path / "x.onnx")
    rng = np.random.default_rng(1)
    with gn2.Tagger(model) as tagger:
        for n, m in ((0, 0), (3, 0), (0, 4), (5, 7)):
            jet = rng.normal(size=(1, 2)).astype(np.float32)
            parts = {"tracks": (n, 19), "flows": (m, 3)}
            parts = {k: rng.normal(size=s).astype(np.float32) for k, s in parts.items()}
            feed = {f"{k[:-1]}_features": v for k, v in parts.items()}
            p = session.run(None, {"jet_features": jet, **feed})
            ends = {k: (v, np.array([0, len(v)])) for k, v in parts.items()}
            ours = tagger.tag(jet, ends, outputs=["vertex"])
            assert np.abs(np.array(p[:4]) - ours.probabilities[0]).max() < ROUNDING
            assert (p[5] == ours.outputs["vertex"]).all()


@pytest.mark.parametrize("n", [0, 1, 2, 3, 64, 256])
def test_reachability_of_chains_and_clusters(n, tmp_path):
    """The longest chain there is, in a random order, and random sparse graphs."""
    rng = np.random.default_rng(n)
    graph = exporter.build(random_model({}), ("jets_classification",), 1)
    graph.nodes, graph.constants, graph.inputs = [], {}, []
    edges = onnx.helper.make_tensor_value_info("edges", 9, ["n", "n"])
    graph.inputs = [edges]
    number = graph.rows("edges", "n")
    reach = onnx_graph._reachable(graph, "edges", number, 8)
    graph.output(reach, 1, ["n", "n"])
    proto = onnx.helper.make_model(
        graph.finish("x"),
        opset_imports=[onnx.helper.make_opsetid("", 20)],
        ir_version=9,
    )
    onnx.save(proto, tmp_path / "x.onnx")
    session = reference.session(tmp_path / "x.onnx")
    order = rng.permutation(n)
    chain = np.zeros((n, n), bool)
    chain[order[:-1], order[1:]] = chain[order[1:], order[:-1]] = True
    sparse = rng.random((n, n)) < 0.7 / max(n, 1)
    for joined in (chain, sparse | sparse.T):
        (reached,) = session.run(None, {"edges": joined})
        label = reference.components(joined)
        assert ((reached > 0) == (label[:, None] == label[None, :])).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ["track_type"]}, "task 'track_type'"),
        ({"name": "_-"}, "model name"),
        ({"rename": {"pq": "px"}}, "'pq' is none of pb"),
        ({"rename": {"pc": "pb"}}, "two outputs of one name"),
        ({"combine": [("m", [(1.0, "pq")])]}, "'pq' is none of pb"),
        ({"combine": [("m", [])]}, "nothing to combine"),
        ({"max_tracks": 0}, "max_tracks = 0"),
    ],
)
def test_errors_name_what_is_wrong(options, message, tmp_path):
    with pytest.raises(gn2.InvalidArgument, match=message):
        exporter.export(random_model({}), tmp_path / "x.onnx", **options)
    assert not list(tmp_path.iterdir())

# SPDX-License-Identifier: Apache-2.0
"""Weights of exported files go back to their names; damaged files are refused."""

import json

import numpy as np
import pytest

import gn2
from gn2 import salt
from gn2.onnx import exporter, importer

onnx = pytest.importorskip("onnx", reason="needs the package onnx")
pytest.importorskip("onnx.utils")
SMALL = {
    "model.embed_dim": 8,
    "model.num_layers": 1,
    "model.num_heads": 2,
    "model.init_hidden": [8],
}


@pytest.fixture
def proto(tmp_path):
    exporter.export(gn2.Model(SMALL), tmp_path / "x.onnx")
    return onnx.load(tmp_path / "x.onnx")


def load(proto, tmp_path):
    onnx.save(proto, tmp_path / "y.onnx")
    return importer.load(tmp_path / "y.onnx")


def test_salts_export_has_the_checkpoints_weights(shared):
    """Bit by bit, though the exporter transposed and renamed a third of them."""
    theirs = salt.load(shared / "salt_model/gn2_w64.ckpt")
    ours = importer.load(shared / "salt_model/gn2_w64.onnx")
    assert ours.size == 293582
    for name in theirs.params:
        assert np.array_equal(ours[name], theirs[name]), name
    assert dict(ours.config.items()) == dict(theirs.config.items())


def test_salts_wide_export(shared):
    model = importer.load(shared / "onnx/gn2_w256.onnx", name="wide")
    assert (model.size, model.config["model.embed_dim"]) == (2339150, 256)
    assert model.config["model.name"] == "wide"


def test_names_come_from_the_graph_not_from_the_order(shared, tmp_path):
    """Initialisers shuffled and renamed: the same model."""
    proto = onnx.load(shared / "salt_model/gn2_w64.onnx")
    expected = importer.load(shared / "salt_model/gn2_w64.onnx")
    rng = np.random.default_rng(0)
    tensors = list(proto.graph.initializer)
    anonymous = {t.name: f"w{rng.integers(1 << 40)}" for t in tensors if "::" in t.name}
    assert len(anonymous) == 24
    for tensor in tensors:
        tensor.name = anonymous.get(tensor.name, tensor.name)
    for node in proto.graph.node:
        node.input[:] = [anonymous.get(name, name) for name in node.input]
        node.name = ""
    shuffled = [tensors[i] for i in rng.permutation(len(tensors))]
    shuffled = [onnx.TensorProto.FromString(t.SerializeToString()) for t in shuffled]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(shuffled)
    model = load(proto, tmp_path)
    for name in expected.params:
        assert np.array_equal(model[name], expected[name]), name


@pytest.mark.parametrize("task", ["jets_classification", "track_vertexing"])
def test_tasks_that_were_not_exported_are_left_out(task, tmp_path):
    """As salt's default: the jet classes alone. Other heads are numbered anew."""
    model = gn2.Model(SMALL)
    exporter.export(model, tmp_path / "x.onnx", tasks=[task])
    back = importer.load(tmp_path / "x.onnx")
    tasks = list(dict.fromkeys(["jets_classification", task]))
    assert back.config["model.tasks"] == tasks
    number = model.config["model.tasks"].index(task)
    for name in back.params:
        of = name.replace(f"tasks.{tasks.index(task)}.", f"tasks.{number}.")
        assert np.array_equal(back[name], model[of]), name


def test_salts_default_export_has_no_heads_of_tracks(shared, tmp_path):
    path, outputs = shared / "salt_model/gn2_w64.onnx", ["pb", "pc", "pu", "ptau"]
    onnx.utils.extract_model(
        str(path),
        str(tmp_path / "x.onnx"),
        ["jet_features", "track_features"],
        [f"GN2_{name}" for name in outputs],
    )
    proto = onnx.load(tmp_path / "x.onnx")
    assert not any("tasks.1" in t.name for t in proto.graph.initializer)
    del proto.metadata_props[:]
    proto.metadata_props.extend(onnx.load(path).metadata_props)
    model, whole = load(proto, tmp_path), importer.load(path)
    assert model.config["model.tasks"] == ["jets_classification"]
    assert all(np.array_equal(model[name], whole[name]) for name in model.params)


def test_merged_tensors_keep_their_names(proto, tmp_path):
    """torch's exporter stores equal tensors once and names copies by Identity."""
    kept, merged = "model.tasks.0.net.net.0.bias", "model.tasks.1.net.net.0.bias"
    tensors = {t.name: t for t in proto.graph.initializer}
    assert tensors[kept].raw_data == tensors[merged].raw_data
    proto.graph.initializer.remove(tensors[merged])
    copy = onnx.helper.make_node("Identity", [kept], [merged])
    proto.graph.node.insert(0, copy)
    model = load(proto, tmp_path)
    assert np.array_equal(model[merged[6:]], model[kept[6:]])


def test_missing_and_left_over_tensors_are_named(proto, tmp_path):
    tensors = {t.name: t for t in proto.graph.initializer}
    tensors["model.encoder.registers"].name = "model.encoder.gamma"
    with pytest.raises(gn2.NotFound, match="'model.encoder.registers' is missing"):
        load(proto, tmp_path)


def test_a_tensor_too_many_is_named(proto, tmp_path):
    extra = onnx.numpy_helper.from_array(np.ones(3, np.float32), "model.encoder.gamma")
    proto.graph.initializer.append(extra)
    with pytest.raises(gn2.FormatError, match="'model.encoder.gamma'"):
        load(proto, tmp_path)


def test_wrong_shape_is_named(proto, tmp_path):
    tensors = {t.name: t for t in proto.graph.initializer}
    name = "model.pool_net.gate_nn.bias"
    tensors[name].CopyFrom(onnx.numpy_helper.from_array(np.ones(2, "f4"), name))
    with pytest.raises(gn2.ShapeError, match=r"gate_nn.bias': file has \(2,\)"):
        load(proto, tmp_path)


def test_tensors_in_other_files_are_not_read(proto, tmp_path):
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/hostname"
    (tmp_path / "y.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(gn2.FormatError, match="lies in another file"):
        importer.load(tmp_path / "y.onnx")


def test_settings_of_another_type_are_refused(proto, tmp_path):
    config = json.loads(proto.metadata_props[0].value)
    config["config.yaml"]["model.embed_dim"] = None
    proto.metadata_props[0].value = json.dumps(config)
    with pytest.raises(gn2.FormatError, match="config.yaml"):
        load(proto, tmp_path)


def test_metadata_is_needed(proto, tmp_path):
    config = json.loads(proto.metadata_props[0].value)
    del config["config.yaml"]
    proto.metadata_props[0].value = json.dumps(config)
    with pytest.raises(gn2.NotFound, match="config.yaml"):
        load(proto, tmp_path)
    del proto.metadata_props[:]
    with pytest.raises(gn2.NotFound, match="gnn_config"):
        load(proto, tmp_path)


def test_files_that_are_no_onnx(tmp_path):
    with pytest.raises(gn2.FileError, match="absent.onnx"):
        importer.load(tmp_path / "absent.onnx")
    (tmp_path / "junk.onnx").write_bytes(b"\xff" * 64)
    with pytest.raises(gn2.FormatError, match="junk.onnx: not an ONNX file"):
        importer.load(tmp_path / "junk.onnx")


def test_damaged_files_end_in_an_exception(proto, tmp_path):
    """Flipped and cut bytes: never a crash, and never another kind of exception."""
    good = proto.SerializeToString()
    rng = np.random.default_rng(7)
    refused = 0
    for _ in range(150):
        bad = bytearray(good[: rng.integers(1, len(good))])
        for at in rng.integers(0, len(bad), 3):
            bad[at] ^= 1 << rng.integers(8)
        (tmp_path / "bad.onnx").write_bytes(bad)
        try:
            importer.load(tmp_path / "bad.onnx")
        except gn2.Error:
            refused += 1
    assert refused > 100


def _node(graph, kind):
    return next(node for node in graph.node if node.op_type == kind)


def _tensor(graph):
    name = "model.pool_net.gate_nn.weight"
    return next(t for t in graph.initializer if t.name == name)


def _cut(kind, first):
    return lambda graph: _node(graph, kind).input.__delitem__(slice(first, None))


def _copy(**more):
    return lambda graph: graph.node.add(op_type="Identity", **more)


def _bytes(size):
    return lambda g: setattr(_tensor(g), "raw_data", _tensor(g).raw_data[:size])


def _type(number):
    return lambda graph: setattr(_tensor(graph), "data_type", number)


DAMAGES = {
    "an input alone": (_cut("Gemm", 1), "Gemm: 1 inputs"),
    "a product of nothing": (_cut("Gemm", 0), "Gemm: 0 inputs"),
    "an empty name": (
        lambda g: _node(g, "MatMul").input.__setitem__(1, ""),
        "1 inputs",
    ),
    "two results": (lambda g: _node(g, "MatMul").output.append("y"), "2 outputs"),
    "a copy to nowhere": (_copy(input=["x"]), "0 outputs"),
    "a copy of two": (_copy(input=["x", "y"], output=["z"]), "Identity: 2 inputs"),
    "half a number": (_bytes(-2), "gate_nn.weight.*part of one"),
    "a number less": (_bytes(-4), r"gate_nn.weight.*for shape"),
    "no numbers": (lambda g: _tensor(g).ClearField("raw_data"), "weight': 0 numbers"),
    "another type": (_type(11), "DOUBLE for shape"),
    "words": (_type(8), "type STRING"),
    "an unknown type": (_type(77), "type 77"),
    "a negative size": (lambda g: _tensor(g).dims.__setitem__(0, -1), "for shape"),
    "a huge size": (lambda g: _tensor(g).dims.__setitem__(0, 1 << 40), "for shape"),
    "many axes": (lambda g: _tensor(g).dims.extend([1] * 99), "for shape"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_parts_are_named(proto, tmp_path, damage):
    edit, words = DAMAGES[damage]
    edit(proto.graph)
    (tmp_path / "y.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(gn2.FormatError, match=words):
        importer.load(tmp_path / "y.onnx")


@pytest.mark.parametrize(
    "key", ["model.embed_dim", "model.init_hidden", "task.track_origin.hidden"]
)
def test_a_small_file_is_no_large_model(proto, tmp_path, key):
    """Refused before its weights, terabytes of them, are made."""
    config = json.loads(proto.metadata_props[0].value)
    large = 65536 if key == "model.embed_dim" else [65536] * 8
    config["config.yaml"].update({key: large, "model.num_layers": 200})
    proto.metadata_props[0].value = json.dumps(config)
    with pytest.raises(gn2.FormatError, match="weights, the file has"):
        load(proto, tmp_path)


def test_nested_metadata_is_refused(proto, tmp_path):
    proto.metadata_props[0].value = '{"a":' * 100000
    with pytest.raises(gn2.FormatError, match="not JSON"):
        load(proto, tmp_path)


def test_the_command_goes_round(tmp_path, capsys):
    """`gn2 export onnx` and `gn2 import onnx` give the same bytes again."""
    from gn2.cli import main

    start, middle, end = (str(tmp_path / n) for n in ("a.gn2", "a.onnx", "b.gn2"))
    gn2.Model(SMALL).save(start)
    extra = ["--rename", "pu:plight", "--combine", "cu,pc,0.5*plight"]
    assert main(["export", "onnx", start, "-o", middle, *extra]) == 0
    assert capsys.readouterr().err == ""  # Athena takes it
    outputs = [output.name for output in onnx.load(middle).graph.output]
    assert outputs[2:5] == ["GN2_plight", "GN2_ptau", "GN2_cu"]
    assert main(["import", "onnx", middle, "-o", end]) == 0
    assert open(start, "rb").read() == open(end, "rb").read()
    assert main(["export", "onnx", start, "-o", middle, "-f", "--rename", "pu"]) == 1
    assert "--rename pu: OLD:NEW wanted" in capsys.readouterr().err
    assert main(["export", "onnx", start, "-o", middle, "-f", "--selection", "x"]) == 0
    assert "tracks_x_sd0sort" in capsys.readouterr().err

# SPDX-License-Identifier: Apache-2.0
"""Each rule of Athena, broken once, is named; sound files break none."""

import copy
import json

import pytest

import gn2
from gn2.onnx import athena, exporter

onnx = pytest.importorskip("onnx", reason="needs the package onnx")
SMALL = {"model.embed_dim": 8, "model.num_layers": 1, "model.num_heads": 2}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "x.onnx"
    exporter.export(gn2.Model({**SMALL, "model.init_hidden": [8]}), path)
    return onnx.load(path)


@pytest.fixture
def proto(sound):
    copied = onnx.ModelProto()
    copied.CopyFrom(sound)
    return copied


def edit(proto, change):
    """Applies ``change`` to the gnn_config of a file."""
    config = json.loads(proto.metadata_props[0].value)
    change(config)
    proto.metadata_props[0].value = json.dumps(config)


def test_our_export_breaks_none(proto, tmp_path):
    assert athena.violations(proto) == []
    onnx.save(proto, tmp_path / "x.onnx")
    athena.check(tmp_path / "x.onnx")


@pytest.mark.parametrize("name", ["salt_model/gn2_w64.onnx", "onnx/gn2_w256.onnx"])
def test_salts_exports_break_none(shared, name):
    assert athena.violations(shared / name) == []


CONFIG = {
    "no version": (lambda c: c.pop("onnx_model_version"), "version", "''"),
    "version 9": (lambda c: c.update(onnx_model_version="v9"), "version", "'v9'"),
    "two jets": (
        lambda c: c["inputs"].append(copy.deepcopy(c["inputs"][0])),
        "inputs",
        "2 e",
    ),
    "no jets": (lambda c: c.update(inputs=[]), "inputs", "0 entries"),
    "no sequences": (lambda c: c.pop("input_sequences"), "inputs", "'input_sequences'"),
    "nameless": (lambda c: c["inputs"][0].pop("name"), "variables", "has no name"),
    "no variables": (lambda c: c["inputs"][0].pop("variables"), "variables", "jet_var"),
    "nameless variable": (
        lambda c: c["inputs"][0]["variables"][0].pop("name"),
        "variables",
        "a variable of 'jet_var'",
    ),
    "no offset": (
        lambda c: c["inputs"][0]["variables"][0].pop("offset"),
        "variables",
        "'pt': offset",
    ),
    "scale is text": (
        lambda c: c["input_sequences"][0]["variables"][2].update(scale="1"),
        "variables",
        "'dphi': scale",
    ),
    "selection": (
        lambda c: c["input_sequences"][0].update(name="tracks_mine_sd0sort"),
        "sequence_names",
        "tracks_mine_sd0sort",
    ),
    "sort": (
        lambda c: c["input_sequences"][0].update(name="tracks_r22default_upwards"),
        "sequence_names",
        "tracks_r22default_upwards",
    ),
    "jet suffix": (
        lambda c: c["inputs"][0]["variables"][0].update(name="pt_btagJes"),
        "variable_names",
        "'pt_btagJes'",
    ),
    "track variable": (
        lambda c: c["input_sequences"][0]["variables"][0].update(name="colour"),
        "variable_names",
        "'colour'",
    ),
    "one variable less": (
        lambda c: c["input_sequences"][0]["variables"].pop(),
        "input_tensors",
        "18",
    ),
    "names of v2": (
        lambda c: c.update(onnx_model_version="v2"),
        "input_tensors",
        "'jets' is missing",
    ),
}


@pytest.mark.parametrize("name", CONFIG)
def test_broken_metadata_is_named(proto, name):
    change, rule, words = CONFIG[name]
    edit(proto, change)
    broken = athena.violations(proto)
    assert rule in {v.rule for v in broken}
    assert any(words in v.message for v in broken if v.rule == rule), broken
    with pytest.raises(gn2.FormatError, match=rule):
        athena.check(proto)


def output_shape(proto, index):
    return proto.graph.output[index].type.tensor_type


def rename_output(proto):
    proto.graph.output[1].name = "GN3_pc"


GRAPH = {
    "another model's output": (rename_output, "output_names", "GN2, GN3"),
    "no prefix": (
        lambda p: setattr(p.graph.output[0], "name", "pb"),
        "output_names",
        "'pb'",
    ),
    "rank 1 of size 1 is a vector": (
        lambda p: output_shape(p, 0).ClearField("shape"),
        "output_types",
        "declares no shape",
    ),
    "int64": (
        lambda p: setattr(output_shape(p, 4), "elem_type", 7),
        "output_types",
        "'GN2_TrackOrigin' has type 7",
    ),
    "int8 of rank 0": (
        lambda p: output_shape(p, 4).shape.ClearField("dim"),
        "output_types",
        "rank 0",
    ),
    "float of rank 2": (
        lambda p: [output_shape(p, 0).shape.dim.add() for _ in range(2)],
        "output_types",
        "rank 2",
    ),
    "input name": (
        lambda p: setattr(p.graph.input[1], "name", "tracks_features"),
        "input_tensors",
        "'track_features' is missing",
    ),
    "input in double": (
        lambda p: setattr(p.graph.input[0].type.tensor_type, "elem_type", 11),
        "input_tensors",
        "not float32",
    ),
    "fixed number of tracks": (
        lambda p: setattr(
            p.graph.input[1].type.tensor_type.shape.dim[0], "dim_value", 40
        ),
        "input_tensors",
        "[40, 19]",
    ),
}


@pytest.mark.parametrize("name", GRAPH)
def test_broken_graph_is_named(proto, name):
    change, rule, words = GRAPH[name]
    change(proto)
    broken = athena.violations(proto)
    assert {v.rule for v in broken} == {rule}
    assert any(words in v.message for v in broken), broken


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_without_readable_metadata_there_is_nothing_to_load(proto, text):
    if text is None:
        del proto.metadata_props[:]
    else:
        proto.metadata_props[0].value = text
    assert [v.rule for v in athena.violations(proto)] == ["gnn_config"]


def test_every_rule_is_broken_somewhere_above():
    assert {rule for _, rule, _ in (*CONFIG.values(), *GRAPH.values())} == set(
        athena.RULES
    )

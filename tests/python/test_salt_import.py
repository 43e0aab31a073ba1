# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of salt come in whole, and nothing in them is executed."""

import io
import os
import pickle
import sys
import types
import zipfile

import numpy as np
import onnx_reference as reference
import pytest

import gn2
from gn2 import salt
from gn2.salt import checkpoint

h5py = pytest.importorskip("h5py", reason="needs the package h5py")
KINDS = {
    "f4": "FloatStorage",
    "f8": "DoubleStorage",
    "f2": "HalfStorage",
    "?": "BoolStorage",
}


class Stored:
    """A record in the zip, pickled as torch pickles a storage."""

    def __init__(self, kind, key, count):
        self.pid = ("storage", kind, key, "cpu", count)


class Rebuilt:
    """An array, pickled as a call of torch's function."""

    def __init__(self, stored, array, offset=0):
        strides = tuple(s // array.itemsize for s in array.strides)
        self.call = (stored, offset, array.shape, strides, False, {})

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.call


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return getattr(value, "pid", None)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes checkpoints as torch.save does, without torch."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def _rebuild_tensor_v2(*_):
        raise AssertionError("the checkpoint was executed")

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    for name in set(KINDS.values()):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    def writer(state, order="little", name="x.ckpt", compression=0, **rest):
        path, records, tensors = tmp_path / name, {}, {}
        for key, array in state.items():
            kind = getattr(torch, KINDS[array.dtype.str[1:]])
            stored = Stored(kind, str(len(records)), array.size)
            records[stored.pid[2]] = array.astype(
                array.dtype.newbyteorder("<" if order == "little" else ">")
            ).tobytes()
            tensors[key] = Rebuilt(stored, array)
        data = io.BytesIO()
        Pickler(data, protocol=2).dump({"state_dict": tensors, **rest})
        with zipfile.ZipFile(path, "w", compression) as file:
            file.writestr("x/data.pkl", data.getvalue())
            file.writestr("x/byteorder", order)
            for key, values in records.items():
                file.writestr(f"x/data/{key}", values)
        return path

    return writer


def settings(classes=("bjets", "cjets", "ujets", "taujets"), **encoder):
    """A config of salt for the models of these tests."""
    inputs = gn2.Config()
    task = {"label": "flavour_label", "name": "x"}
    classification = "salt.models.ClassificationTask"
    modules = [
        (classification, {**task, "input_name": "jets", "class_names": list(classes)}),
        (classification, {**task, "input_name": "tracks", "weight": 0.5}),
        ("salt.models.VertexingTask", {**task, "input_name": "tracks", "weight": 1.5}),
    ]
    network = {
        "init_nets": [{"input_name": "tracks", "dense_config": {}}],
        "tasks": {
            "class_path": "torch.nn.ModuleList",
            "init_args": {
                "modules": [{"class_path": p, "init_args": a} for p, a in modules]
            },
        },
        "encoder": {"class_path": "salt.models.Transformer", "init_args": encoder},
    }
    return {
        "name": "GN2",
        "model": {
            "model": {"class_path": "salt.models.SaltModel", "init_args": network}
        },
        "data": {
            "variables": {name: inputs[f"inputs.{name}"] for name in ("jets", "tracks")}
        },
    }


def state_of(model, wrap=""):
    """The state_dict salt would have for a model of ours."""
    state = {f"model.{wrap}{name}": model[name] for name in model.params}
    for name, values in model.inputs.items():
        state[f"norm.{name}_means"] = np.linspace(-1, 1, len(values), dtype="f4")
        state[f"norm.{name}_stds"] = np.linspace(1, 2, len(values), dtype="f4")
    return state


SMALL = {
    "model.embed_dim": 16,
    "model.num_layers": 2,
    "model.num_heads": 4,
    "model.init_hidden": [12],
    "model.out_dim": 24,
}
HEADS = {"attn_kwargs": {"num_heads": 4}}


def same_weights(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a.params)


# ---- the checkpoint of shared/salt_model ----


@pytest.fixture(scope="module")
def trained(shared):
    return salt.load(shared / "salt_model/gn2_w64.ckpt")


def test_settings_of_the_run_come_along(trained):
    c = trained.config
    assert trained.size == 293582
    assert trained.classes == ("bjets", "cjets", "ujets", "taujets")
    assert trained.inputs["tracks"][5] == "lifetimeSignedD0Significance"
    assert np.allclose(c["task.jets_classification.class_weights"], [1, 1, 1, 7.57])
    assert c["task.track_origin.class_weights"][6] == pytest.approx(71.53, abs=1e-5)
    weights = [c[f"task.{task}.weight"] for task in c["model.tasks"]]
    assert weights == [1.0, 0.5, 1.5]
    assert (c["schedule.max"], c["schedule.pct_start"]) == (1e-3, 0.1)
    assert c["norm.jets.mean"][0] == 106749.3515625


def test_the_checkpoint_alone_is_enough(trained, shared, tmp_path):
    """Its hyper_parameters hold the config, all but the name."""
    copy = tmp_path / "alone.ckpt"
    copy.write_bytes((shared / "salt_model/gn2_w64.ckpt").read_bytes())
    alone = salt.load(copy, name="alone")
    assert same_weights(trained, alone)
    ours, theirs = dict(alone.config.items()), dict(trained.config.items())
    assert ours.pop("model.name") == "alone"
    theirs.pop("model.name")
    assert ours == theirs


# ---- other shapes and names ----


def test_names_of_torch_compile(write):
    model = gn2.Model(SMALL)
    path = write(state_of(model, wrap="_orig_mod."))
    assert same_weights(model, salt.load(path, settings(**HEADS)))


def test_big_endian_and_double(write):
    model = gn2.Model(SMALL)
    state = {name: values.astype("f8") for name, values in state_of(model).items()}
    path = write(state, order="big")
    assert same_weights(model, salt.load(path, settings(**HEADS)))


def test_views_of_one_storage(tmp_path, write):
    """Offsets and strides are honoured, and may not leave the storage."""
    flat = np.arange(12, dtype="f4")
    archive = checkpoint.Archive(write({"a": flat}))
    storage = checkpoint.Storage(archive, "FloatStorage", "0", 12)
    view = checkpoint.Tensor(storage, 1, (2, 3), (1, 4))
    assert np.array_equal(view.array(), flat[1:].copy()[[[0, 4, 8], [1, 5, 9]]])
    for offset, shape, strides in (
        (2, (2, 3), (1, 5)),
        (0, (13,), (1,)),
        (5, (3,), (-1,)),
    ):
        with pytest.raises(gn2.FormatError, match="leaves its storage"):
            checkpoint.Tensor(storage, offset, shape, strides).array()


def test_dropout_shifts_indices(write):
    options = {"model.dropout_heads": 0.1, "model.dropout_init": 0.1}
    model = gn2.Model({**SMALL, **options})
    assert "tasks.0.net.net.10.weight" in model.params
    back = salt.load(write(state_of(model)), settings(**HEADS))
    assert same_weights(model, back)
    assert back.config["model.dropout_heads"] == 0.1


def test_legacy_encoder_against_salts_vectors(shared, write):
    """Weights and outputs of the TransformerEncoder of tag GN2V01."""
    with h5py.File(shared / "golden/legacy_w32.h5") as file:
        state = {}
        file["params"].visititems(
            lambda name, node: (
                state.update({f"model.{name}": node[()].astype("f4")})
                if isinstance(node, h5py.Dataset)
                else None
            )
        )
        state |= {f"norm.{k}": v[()].astype("f4") for k, v in file["norm"].items()}
        jets, tracks, ends = (
            file[f"inputs/{k}"][()] for k in ("jets", "tracks", "offsets")
        )
        expected = {k: v[()] for k, v in file["outputs"].items()}
    config = settings(mha_config={"num_heads": 8}, dense_config={"activation": "ReLU"})
    model = salt.load(write(state), config)
    assert model.config["model.encoder"] == "legacy"
    with gn2.Tagger(model) as tagger:
        scores = tagger.tag(
            jets.astype("f4"), (tracks.astype("f4"), ends), outputs=["origin", "vertex"]
        )
    # golden/README: 2e-5 of the largest value, in float32
    assert np.abs(scores.probabilities - expected["jet_probs"]).max() < 2e-5
    assert np.abs(scores.outputs["origin"] - expected["origin_probs"]).max() < 2e-5
    assert np.array_equal(scores.outputs["vertex"], expected["vertex_index"])


@pytest.mark.parametrize("attention", [False, True])
def test_mup_of_salt_is_folded_into_the_weights(write, attention):
    """The function salt computes: read-out of x / m, attention scaled by 1/d."""
    model = gn2.Model({**SMALL, "model.final_norm_pos": "post"})
    config = settings(mup=True, attn_kwargs={"num_heads": 4, "mup": attention})
    config["model"]["mup_config"] = {"embed_dim": {"parameter_base": 48}}
    back = salt.load(write(state_of(model)), config)
    plain = salt.load(write(state_of(model), name="plain.ckpt"), settings(**HEADS))
    expected = reference.Reference(plain, 0.25 if attention else 0.5, 48 / 16)
    rng = np.random.default_rng(2)
    jet, tracks = rng.normal(size=2).astype("f4"), rng.normal(size=(9, 19)).astype("f4")
    with gn2.Tagger(back) as tagger:
        p = tagger.tag(jet[None], (tracks, np.array([0, 9]))).probabilities[0]
    assert np.abs(p - expected(jet, tracks)[0]).max() < 1e-6
    assert not np.array_equal(
        back["encoder.out_proj.weight"], model["encoder.out_proj.weight"]
    )


# ---- nothing is executed ----


class Payload:
    def __reduce__(self):
        return os.system, ("touch executed",)


class Getter:
    def __reduce__(self):
        return getattr, ("text", "upper")


def test_code_in_a_checkpoint_is_not_run(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = gn2.Model(SMALL)
    path = write(state_of(model), callbacks=[Payload(), Getter()], loops={Payload(): 1})
    back = salt.load(path, settings(**HEADS))
    assert same_weights(model, back)
    assert not (tmp_path / "executed").exists()
    with zipfile.ZipFile(path) as file:  # torch or Python would have run it
        assert b"posix\nsystem" in file.read("x/data.pkl")


def test_code_in_place_of_a_tensor_is_an_error(write):
    path = write({}, hyper_parameters=None)
    with zipfile.ZipFile(path, "w") as file:
        content = {"state_dict": {"model.x": Payload()}}
        file.writestr("x/data.pkl", pickle.dumps(content))
    with pytest.raises(gn2.FormatError, match="'model.x' is no tensor"):
        salt.load(path, settings(**HEADS))


def test_find_class_returns_nothing_real(write):
    unpickler = checkpoint.Unpickler(checkpoint.Archive(write({})), b"")
    for module, name in (("os", "system"), ("builtins", "eval"), ("torch", "load")):
        found = unpickler.find_class(module, name)
        assert issubclass(found, checkpoint.StandIn)


@pytest.mark.parametrize(
    "code",
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n}X\x04\x00\x00\x00nameK\x01sb.",
        b"ctorch\nFloatStorage\n(tR.",
        b"ctorch._utils\n_rebuild_tensor_v2\n(tR.",
        b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x02K\x03K\x04tR.",
        b"(K\x01tQ.",
        b"]q\x00h\x01.",
        b"r\xff\xff\xff\x7f.",
        b"\x82\x01.",
        b"K\x01.",
        b"",
    ],
)
def test_crafted_pickles_are_refused(code, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.ckpt", "w") as file:
        file.writestr("x/data.pkl", code)
    with pytest.raises(gn2.FormatError):
        salt.load(tmp_path / "x.ckpt", settings(**HEADS))


# ---- errors ----


def test_damaged_checkpoints_end_in_an_exception(write, tmp_path):
    good = write(state_of(gn2.Model(SMALL))).read_bytes()
    rng = np.random.default_rng(11)
    refused = 0
    for _ in range(200):
        bad = bytearray(good[: rng.integers(len(good) // 2, len(good) + 1)])
        if rng.random() < 0.5:
            bad = bytearray(good)
        for at in rng.integers(0, len(bad), 20):
            bad[at] ^= 1 << rng.integers(8)
        (tmp_path / "bad.ckpt").write_bytes(bad)
        try:
            salt.load(tmp_path / "bad.ckpt", settings(**HEADS))
        except gn2.Error:
            refused += 1
    assert refused > 100


def test_files_that_are_no_checkpoints(tmp_path, write):
    with pytest.raises(gn2.FileError, match="absent.ckpt"):
        salt.load(tmp_path / "absent.ckpt")
    (tmp_path / "junk.ckpt").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(gn2.FormatError, match="not a zip"):
        salt.load(tmp_path / "junk.ckpt")
    with zipfile.ZipFile(tmp_path / "other.ckpt", "w") as file:
        file.writestr("a.txt", "")
    with pytest.raises(gn2.FormatError, match="no data.pkl"):
        salt.load(tmp_path / "other.ckpt")
    state = state_of(gn2.Model(SMALL))
    packed = write(state, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(gn2.FormatError, match="compressed"):
        salt.load(packed, settings(**HEADS))
    with pytest.raises(gn2.NotFound, match="no config.yaml"):
        salt.load(write(state))


def drop(name):
    return lambda state, config: state.pop(name)


def put(name, values):
    return lambda state, config: state.update({name: np.asarray(values, "f4")})


def encoder(**changes):
    def change(_, config):
        config["model"]["model"]["init_args"]["encoder"]["init_args"].update(changes)

    return change


def class_path(index, name):
    def change(_, config):
        tasks = config["model"]["model"]["init_args"]["tasks"]["init_args"]
        tasks["modules"][index]["class_path"] = name

    return change


def no_classes(_, config):
    tasks = config["model"]["model"]["init_args"]["tasks"]["init_args"]["modules"]
    tasks[0]["init_args"]["class_names"] = None


WRONG = {
    "missing tensor": (
        drop("model.encoder.layers.1.attn.fn.out_proj.bias"),
        gn2.NotFound,
        "'model.encoder.layers.1.attn.fn.out_proj.bias' is missing",
    ),
    "missing norm": (drop("norm.tracks_stds"), gn2.NotFound, "'norm.tracks_stds'"),
    "missing head": (
        lambda s, c: [s.pop(n) for n in list(s) if "tasks.2" in n],
        gn2.NotFound,
        "tasks.2.net.net",
    ),
    "left over": (
        put("model.encoder.layers.0.attn.ls.gamma", [1.0]),
        gn2.FormatError,
        "'model.encoder.layers.0.attn.ls.gamma': a GN2 has none",
    ),
    "wrong shape": (
        put("model.pool_net.gate_nn.weight", np.ones((1, 23))),
        gn2.ShapeError,
        r"file has \(1, 23\), a model of this config needs \(1, 24\)",
    ),
    "NaN": (
        put("model.pool_net.gate_nn.bias", [np.nan]),
        gn2.NumericError,
        "gate_nn.bias",
    ),
    "RMSNorm": (encoder(norm="RMSNorm"), gn2.FormatError, "encoder.norm = 'RMSNorm'"),
    "gated": (encoder(dense_kwargs={"gated": True}), gn2.FormatError, "gated = True"),
    "heads": (encoder(attn_kwargs={}), gn2.NotFound, "num_heads"),
    "masks": (
        class_path(2, "salt.models.MaskTask"),
        gn2.FormatError,
        "task 2 is a MaskTask: those of a model here are ClassificationTask, Vert",
    ),
    "a second of one name": (
        class_path(2, "salt.models.ClassificationTask"),
        gn2.FormatError,
        "task 2 needs a name of its own",
    ),
    "no mapping": (
        lambda s, c: c["model"]["model"]["init_args"].update(init_nets=["tracks"]),
        gn2.FormatError,
        "config: not as salt writes it",
    ),
    "classes": (no_classes, gn2.NotFound, "names of 4 jet classes"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_name_what_is_wrong(name, write):
    change, kind, words = WRONG[name]
    state, config = state_of(gn2.Model(SMALL)), settings(**HEADS)
    change(state, config)
    with pytest.raises(kind, match=words):
        salt.load(write(state), config)


def test_classes_may_be_given(write):
    state, config = state_of(gn2.Model(SMALL)), settings(**HEADS)
    no_classes(state, config)
    names = ["bjets", "cjets", "ujets", "sjets"]
    assert salt.load(write(state), config, classes=names).classes == tuple(names)

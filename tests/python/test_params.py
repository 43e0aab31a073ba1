# SPDX-License-Identifier: Apache-2.0
"""The table of `gn2 params`: against the formulas and against the reference's."""

import csv
import math

import pytest

import gn2
from gn2.cli import main
from gn2.config import keys

SMALL = [
    "model.embed_dim=24",
    "model.num_heads=3",
    "model.num_layers=1",
    "model.out_dim=10",
    "model.init_hidden=12",
    "model.final_norm_pos=pre",
    "model.base_width=8",
]
NUMBERS = [
    f"{optimiser}_{what}" for optimiser in ("adamw", "sgd") for what in ("lr", "wd")
]
FFN_OUT = "encoder.layers.0.dense.fn.out_proj.weight"
# products and roots of exact numbers: a few roundings
SHARE = 1e-14


@pytest.fixture
def table(capsys):
    def read(*words):
        assert main(["params", "--csv", *words]) == 0
        rows = csv.DictReader(capsys.readouterr().out.splitlines())
        return {row["tensor"]: row for row in rows}

    return read


def numbers(row):
    keys = ("init_std", "forward_mult", *(f"{name}_mult" for name in NUMBERS))
    return [float(row[key]) for key in keys]


@pytest.mark.parametrize("encoder", ["current", "legacy"])
def test_random_biases_of_mup_are_as_large_at_every_width(table, encoder):
    """As mup's rescaling of torch.nn.Linear: times the root of what its inputs grow."""
    options = ["model.parametrization=mup", f"model.encoder={encoder}"]
    options += [*SMALL, "model.init=torch"]
    base = table(*options, "model.embed_dim=12")
    wide = table(*options, "model.embed_dim=48")
    starts = {name: float(row["init_std"]) for name, row in base.items()}
    biases = [name for name in base if name.endswith("bias") and starts[name]]
    known = "mha.linear_q.bias" if encoder == "legacy" else "dense.fn.in_proj.bias"
    assert f"encoder.layers.0.{known}" in biases
    for name in biases:
        assert float(wide[name]["init_std"]) == pytest.approx(starts[name], rel=SHARE)


def test_mup_of_three_times_the_base(table):
    """Start, forward, lr and decay of adamw, lr and decay of sgd, with m = 3."""
    rows = table("model.parametrization=mup", *SMALL)
    expected = {
        "init_nets.0.net.net.0.weight": ("finite", 1 / math.sqrt(21), 1, 1, 1, 1, 1),
        "init_nets.0.net.net.2.weight": ("input", 1 / math.sqrt(12), 1, 1, 1, 3, 1 / 3),
        "init_nets.0.net.net.2.bias": ("bias", 0, 1, 1, 1, 3, 1 / 3),
        "encoder.registers": ("input", 1e-4, 1, 1, 1, 3, 1 / 3),
        FFN_OUT: ("hidden", 1 / math.sqrt(48), 1, 1 / 3, 3, 1, 1),
        "encoder.out_proj.weight": ("output", 1 / math.sqrt(8), 1 / 3, 1, 1, 3, 1 / 3),
        "encoder.out_proj.bias": ("finite", 0, 1, 1, 1, 1, 1),
    }
    for name, (role, *want) in expected.items():
        assert rows[name]["role"] == role, name
        assert numbers(rows[name]) == pytest.approx(want, rel=SHARE), name
    row = rows["encoder.layers.0.attn.fn.in_proj_weight"]
    assert (row["shape"], row["fan_in"], row["fan_out"]) == ("72x24", "24", "72")


def test_standard_form_has_no_multipliers(table):
    for name, row in table(*SMALL).items():
        assert numbers(row)[1:] == [1] * 5, name


def test_a_file_shows_its_own_optimiser(table, tmp_path, capsys):
    words = dict(word.split("=") for word in SMALL)
    config = gn2.Config()
    for key, value in {**words, "model.parametrization": "mup"}.items():
        config.set_text(key, value)
    config["optim.name"] = "sgd"
    path = str(tmp_path / "a.gn2")
    gn2.Model(config).save(path)
    rows, new = table(path), table("model.parametrization=mup", *SMALL)
    assert rows.keys() == new.keys()
    for name, row in rows.items():
        assert not any(key.startswith("adamw") for key in row)
        assert row.items() <= new[name].items()
    assert main(["params", path]) == 0
    assert "sgd lr ×" in capsys.readouterr().out
    assert main(["params", path, *SMALL]) == 1
    assert "not both" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, scales",
    [
        # d_h = 8: 1/√8; d_h0 = 8/3; d_h0 = 8/2: (1/2)(4/8)
        ([], "attention × 0.353553, read-out × 1"),
        (["model.parametrization=mup"], "attention × 0.204124, read-out × 0.333333"),
        (
            ["model.parametrization=mup", "model.base_heads=2"],
            "attention × 0.25, read-out × 0.333333",
        ),
        (["model.parametrization=mup_absolute"], "attention × 0.125, read-out × 1"),
    ],
)
def test_the_last_line_has_the_scales(words, scales, capsys):
    assert main(["params", *SMALL, *words]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[-1].endswith(scales)
    last = keys()["optim.name"].choices[-1]
    assert shown[0].split("  ")[-1] == f"{last} decay ×"
    assert shown[-1].startswith(f"{len(shown) - 2} tensors, ")


def golden(shared, name):
    h5py = pytest.importorskip("h5py", reason="reading the golden files needs h5py")
    path = shared / "golden" / name
    if not path.is_file():
        pytest.skip(f"no {path.name} among the shared data")
    return h5py.File(path, "r")


def golden_words(attrs, form, width=None):
    """Options of the network of a golden file."""
    keys = ("num_layers", "num_heads", "out_dim", "init_hidden", "num_registers")
    words = [f"model.{key}={int(attrs[key])}" for key in keys]
    words += [f"model.embed_dim={width or int(attrs['embed_dim'])}"]
    words += [f"model.parametrization={form}", "model.final_norm_pos=pre"]
    for prefix, object_ in (("jet", "jets"), ("track", "tracks")):
        names = ",".join(f"v{i}" for i in range(int(attrs[f"n_{prefix}_vars"])))
        words.append(f"inputs.{object_}={names}")
    hidden = ",".join(str(int(h)) for h in attrs["head_hidden"])
    for task in ("jets_classification", "track_origin", "track_vertexing"):
        words.append(f"task.{task}.hidden={hidden}")
    words.append(f"model.classes={','.join('abcd'[:int(attrs['n_classes'])])}")
    return words


def compare(rows, group, columns):
    names = [name.decode() for name in group["name"][:]]
    assert names and set(names) == set(rows)
    for theirs, ours in columns.items():
        for name, want in zip(names, group[theirs][:]):
            got = ours(rows[name]) if callable(ours) else float(rows[name][ours])
            assert got == pytest.approx(want, rel=SHARE), (theirs, name)


def test_mup_is_the_reference(table, shared):
    with golden(shared, "mup_w64.h5") as file:
        base = int(file.attrs["base_width"])
        words = golden_words(file.attrs, "mup")
        rows = table(*words, f"model.base_width={base}")
        columns = {f"{name}_mult": f"{name}_mult" for name in NUMBERS}
        columns |= {"init_std": "init_std", "forward_mult": "forward_mult"}
        compare(rows, file["table"], columns)
        shapes = {tuple(filter(None, shape)) for shape in file["table/shape"][:]}
        assert shapes == {
            tuple(map(int, row["shape"].split("x"))) for row in rows.values()
        }


def fan_in(row):
    """As the reference counts: 1 of a vector, the library has its linear map's."""
    return int(row["fan_in"]) if "x" in row["shape"] else 1


@pytest.mark.parametrize("width", [64, 256])
def test_mup_absolute_is_the_reference(table, shared, width):
    with golden(shared, "mup_absolute.h5") as file:
        rows = table(*golden_words(file.attrs, "mup_absolute", width))
        columns = {
            "d_in": fan_in,
            "d_out": "fan_out",
            "init_var": lambda row: float(row["init_std"]) ** 2,
            "sgd_lr_mult": "sgd_lr_mult",
            "adam_lr_mult": "adamw_lr_mult",
        }
        compare(rows, file[f"w{width}"], columns)

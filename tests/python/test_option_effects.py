# SPDX-License-Identifier: Apache-2.0
"""Every option of the library's table, given to `gn2 fit`, does something or is
refused.

The list is made of the table itself: a new key needs a row of VALUES (what to set it
to, and beside what it shows) or it fails here. "Something" is a change of weights, of
what a tagger says of good and bad jets, of metrics or of what is written, beyond the
record of the options. What other commands take they list as TAKEN.
"""

import fnmatch
import importlib

import numpy as np
import pytest
from conftest import ROOT

import gn2
from gn2.cli import common, main
from gn2.config import keys

DATA = ROOT / "examples" / "data"
TRAIN, VAL = str(DATA / "jets_train.h5"), str(DATA / "jets_val.h5")
SMALL = {
    "model.embed_dim": "8",
    "model.init_hidden": "8",
    "model.num_layers": "1",
    "model.num_heads": "2",
    "model.out_dim": "8",
    "task.jets_classification.hidden": "8",
    "task.track_origin.hidden": "8",
    "task.track_vertexing.hidden": "8",
    "data.batch_size": "25",
    "data.max_jets": "100",
    "data.class_weights": "no",
    "schedule.max": "1e-2",
    "train.epochs": "1",
    "train.threads": "1",
}
ONE = {"model.tasks": "jets_classification"}
MUP = {"model.parametrization": "mup", "model.base_width": "4"}
FEW = {"data.batch_size": "25", "data.max_jets": "50"}
#: among the first 50 jets no tau is: nothing is known of D_tau
ALL_CLASSES = {"data.max_jets": "200"}
REGRESSION = {
    "model.tasks": "jets_classification,r",
    "task.r.kind": "regression",
    "task.r.targets": "eta_btagJes",
    "task.r.hidden": "8",
}
WEIGHTS = {"data.class_weights": "yes", **ONE}
TURNED = "cjets,bjets,ujets,taujets"

#: key: (value, options beside which it shows). A wildcard row gets a name.
VALUES = {
    # products with a side of 16 or less stay f32: all of the small network's
    "train.precision": (
        "bf16",
        {"model.embed_dim": "32", "model.init_hidden": "32", "model.out_dim": "32"},
    ),
    "model.classes": (TURNED, {}),
    "model.constituents": ("", ONE),
    "inputs.*": ("d0,deta", {"_name": "tracks"}),
    "inputs.jets": ("eta_btagJes", {}),
    "inputs.tracks": ("d0", {}),
    "model.init_hidden": ("4", {}),
    "model.num_layers": ("0", {}),
    "model.num_registers": ("2", {}),
    "model.encoder": (
        "legacy",
        {"model.final_norm_pos": "pre", "model.num_registers": "0"},
    ),
    "model.final_norm_pos": ("none", {}),
    "model.norm_eps": ("0.1", {}),
    "model.parametrization": ("mup", {"model.base_width": "4"}),
    "model.base_width": ("2", {"model.parametrization": "mup"}),
    "model.base_heads": ("1", MUP),
    "model.zero_readout": ("yes", {**MUP, "model.final_norm_pos": "pre"}),
    "model.zero_query": ("yes", MUP),
    "model.dropout_init": ("0.5", {}),
    "model.dropout_ffn": ("0.5", {}),
    "model.dropout_heads": ("0.5", {}),
    "model.tasks": ("jets_classification", {}),
    "task.*.kind": ("gaussian_regression", {**REGRESSION, "_name": "r"}),
    "task.*.object": ("tracks", {**REGRESSION, "_name": "r"}),
    "task.*.hidden": ("4", {**REGRESSION, "_name": "r"}),
    "task.*.weight": ("9", {**REGRESSION, "_name": "r"}),
    "task.*.label": ("no_such", {"_name": "jets_classification"}),
    "task.*.sample_weight": ("pt_btagJes", {"_name": "jets_classification"}),
    "task.*.classes": ("a,b,c,d,e,f,g,h,i", {"_name": "track_origin"}),
    "task.*.class_weights": ("1,9,1,1", {"_name": "jets_classification"}),
    "task.*.targets": ("pt_btagJes", {**REGRESSION, "_name": "r"}),
    "task.*.loss": ("l1", {**REGRESSION, "_name": "r"}),
    "task.*.target_mean": ("5", {**REGRESSION, "_name": "r"}),
    "task.*.target_std": ("5", {**REGRESSION, "_name": "r"}),
    "task.*.target_denominators": ("pt_btagJes", {**REGRESSION, "_name": "r"}),
    "task.*.pair_weights": ("none", {"_name": "track_vertexing"}),
    "task.*.origin_task": ("", {"_name": "track_vertexing"}),
    "task.jets_classification.kind": ("vertexing", {}),
    "task.jets_classification.label": ("no_such", {}),
    "task.track_origin.kind": ("vertexing", {}),
    "task.track_origin.classes": ("a,b,c,d,e,f,g,h,i", {}),
    "task.track_origin.object": ("jets", {}),
    "task.track_origin.label": ("ftagTruthVertexIndex", {}),
    "task.track_vertexing.kind": ("regression", {}),
    "task.track_vertexing.object": ("jets", {}),
    "task.track_vertexing.label": ("ftagTruthOriginLabel", {}),
    "norm.*.mean": ("7,8", {"_name": "jets"}),
    "norm.*.std": ("7,8", {"_name": "jets"}),
    "input.defaults.*": ("5e5,2", {"_name": "jets", "input.non_finite": "default"}),
    "input.unit_check": ("error", {}),
    "discriminant.*.signal": ("cjets", {"_name": "D_b"}),
    "discriminant.*.fractions": ("cjets:0.5", {"_name": "D_b"}),
    "train.epochs": ("2", {}),
    "train.early_stopping": (
        "1",
        {
            "train.epochs": "3",
            "schedule.max": "0",
            "schedule.name": "constant",
            "_val": VAL,
        },
    ),
    "train.validate_steps": ("3", {"_val": VAL}),
    "train.shards": ("0", {}),  # 2 for 25 jets a batch
    "train.chunk_tokens": ("16", {}),
    "train.seed": ("7", {"model.dropout_ffn": "0.5"}),
    "optim.decay_scaling": ("none", {**MUP, "optim.weight_decay": "0.5"}),
    "optim.clip_norm": ("1e-3", {"optim.name": "sgd"}),
    "schedule.steps": ("3", {}),
    "schedule.initial": ("1e-4", {"schedule.pct_start": "0.5"}),
    "schedule.pct_start": ("0.5", {}),
    "schedule.decay_share": ("0.7", {"schedule.name": "wsd"}),
    "schedule.beta1_max": ("0.9", {"schedule.pct_start": "0.5"}),
    "data.batch_size": ("40", {}),
    "data.block_size": ("10", {}),
    "data.blocks_mixed": ("1", {"data.block_size": "10"}),
    "data.max_jets": ("75", {}),
    "data.selection": ("eta_btagJes > 0", {}),
    "data.norm_dict": (str(DATA / "norm_dict.yaml"), {}),
    "data.class_dict": (str(DATA / "class_dict.yaml"), WEIGHTS),
    "data.class_weights": ("yes", ONE),
    "data.dataset.*": ("jets", {"_name": "tracks"}),
    "data.norm_jets": ("50", {}),
    "train.checkpoint": ("c.gn2", {}),
    "compute.isa": ("reference", {}),
    "scores.jet_fields": ("eventNumber", {}),
    "scores.track_fields": ("*", {}),
    "scores.outputs": ("jets.embedding", {}),
    "scores.models": ("one,two", {}),
    "provenance.*": ("mine", {"_name": "data"}),
}
#: what is no result of a run, by its very meaning: how that is seen is below
SEEN_ELSEWHERE = {
    "model.name": "a score file",
    "train.threads": "memory",
    "train.checkpoint_steps": "a file between epochs",
    "train.probe_updates": "a probe",
    "data.prefetch": "memory",
    "data.read_threads": "memory",
    "group.timeout": "a rank that is waited for: tests/train/test_ranks_faults.c",
    "data.unwritten": "a file that nobody has filled: test_file_content.py",
    "compute.gemm": "the same products by other means: tests/kernels",
}


@pytest.fixture(autouse=True)
def with_files():
    if gn2.features()["hdf5"] == "none":
        pytest.skip("built without HDF5")


def value_of(row):
    """Something that is not the default."""
    if row.choices:
        return next(c for c in row.choices if c != row.default)
    if row.type == "int":
        return str(int(row.default) + 1)
    if row.type == "float":
        return str((float(row.default) or 0.5) / 2)
    return None


def case(key):
    row = keys()[key]
    value, beside = VALUES.get(key, (value_of(row), {}))
    assert value is not None, f"{key}: a new key needs a row of VALUES here"
    beside = dict(beside)
    given = key.replace("*", beside.pop("_name", "*"))
    assert "*" not in given, f"{key}: a new key needs a row of VALUES with a _name"
    return given, value, beside


JETS = np.array([[1e5, 0.3], [4e4, -1.2], [np.nan, 0.1], [60, 1.0]], "f4")


def told(model):
    """What a tagger says of good jets, of one with NaN, and of one in GeV."""
    tracks = {
        name: (np.full((8, len(columns)), 0.1, "f4"), np.arange(0, 10, 2))
        for name, columns in list(model.inputs.items())[1:]
    }
    found = []
    with gn2.Tagger(model) as tagger:
        names = [n for n in tagger.score_names if n.startswith("jets.")]
        for i in range(len(JETS)):
            part = {
                n: (v[2 * i : 2 * i + 2], np.array([0, 2]))
                for n, (v, _) in tracks.items()
            }
            columns = len(model.inputs["jets"])
            jets = JETS[i : i + 1, :columns]
            try:
                got = tagger.tag(jets, part or None, outputs=names)
                found.append({n: np.asarray(got[n]).tobytes() for n in names})
            except gn2.Error as problem:
                found.append(str(problem))
    return found


def fit(out, options, capsys):
    """(status, message) of a run, and what there is to see of it."""
    options = {**SMALL, **options}
    val = ["-v", options.pop("_val")] if "_val" in options else []
    words = [f"{key}={value}" for key, value in options.items()]
    words += ["-q", "--no-report", "-o", str(out), *val]
    status = main(["fit", TRAIN, *words])
    said = capsys.readouterr().err
    if status:
        return status, said, None
    model = gn2.Model.load(out / "model.gn2")
    rows = (out / "metrics.csv").read_text().splitlines()
    seconds = rows[0].split(",").index("seconds")
    rows = [[w for i, w in enumerate(r.split(",")) if i != seconds] for r in rows]
    state = {n: model[n].tobytes() for n in model.params}
    return status, said, (state, rows, told(model))


_plain = {}


@pytest.mark.parametrize("key", [k for k in keys() if k not in SEEN_ELSEWHERE])
def test_fit_uses_an_option_or_refuses_it(key, tmp_path, capsys):
    given, value, beside = case(key)
    usual = tuple(sorted(beside.items()))
    if usual not in _plain:
        _plain[usual] = fit(tmp_path / "plain", beside, capsys)
        assert _plain[usual][0] == 0, _plain[usual][1]
    status, said, seen = fit(tmp_path / "run", {**beside, given: value}, capsys)
    if status:
        part = given.split(".")[1]
        assert given in said or part in said or value in said, said
    else:
        assert seen != _plain[usual][2], f"{given}={value} changes nothing"


@pytest.mark.parametrize(
    "word",
    [
        "inputs.muons=d0",
        "norm.muons.mean=1",
        "norm.muons.std=1",
        "input.defaults.muons=1",
        "data.dataset.muons=tracks",
        "task.other.weight=2",
        "discriminant.D_x.fractions=cjets:0.5",
    ],
)
def test_names_that_a_model_does_not_have_are_refused(word, tmp_path, capsys):
    key, _, value = word.partition("=")
    status, said, _ = fit(tmp_path / "run", {key: value}, capsys)
    assert status == 1 and key.split(".")[1] in said


# ---- other commands ----


@pytest.mark.parametrize("command", ["tag", "evaluate", "importance", "plot"])
def test_other_commands_refuse_what_they_do_not_take(command, tmp_path, capsys):
    taken = getattr(importlib.import_module(f"gn2.cli.{command}"), "TAKEN", None)
    if taken is None:
        pytest.skip(f"gn2 {command} has no list of the options it takes")
    path = tmp_path / "m.gn2"
    gn2.Model(small()).save(path)
    words = [command, str(path), *([] if command == "tag" else ["-d"]), VAL]
    for key in keys():
        given, value, _ = case(key) if key not in SEEN_ELSEWHERE else (key, "1", 0)
        if any(fnmatch.fnmatchcase(given, pattern) for pattern in taken):
            continue
        assert main([*words, f"{given}={value}"]) == 1, given
        assert given in capsys.readouterr().err
    for pattern in taken:
        assert fnmatch.filter(keys(), pattern), f"{pattern}: no such option"


def outcome(capsys, words):
    """What a command says: status, and all it printed."""
    try:
        return main(words), *capsys.readouterr()
    except SystemExit as end:
        return end.code, *capsys.readouterr()


def check_effect(capsys, words, given, value, plain):
    """The option changes what a command says, or is refused with the reason."""
    found = outcome(capsys, [*words, f"{given}={value}"])
    part = given.split(".")[1]
    if found[0]:
        assert given in found[2] or part in found[2] or value in found[2], found
    else:
        assert found[1:] != plain[1:], f"{given}={value} changes nothing"


def is_taken(key, taken):
    return any(fnmatch.fnmatchcase(key, pattern) for pattern in taken)


def cases():
    """(key as it is given, value, options beside) of every row of the table."""
    for key in keys():
        if key in SEEN_ELSEWHERE:
            yield key, value_of(keys()[key]) or "mine", {}
        else:
            yield case(key)


#: where what fit shows is not seen in the table of tensors
SHAPES = {"model.classes": "bjets,cjets", "task.r.targets": "pt,eta"}


def test_params_shows_an_option_or_refuses_it(capsys):
    from gn2.cli.params import TAKEN

    shapes = {k: v for k, v in SMALL.items() if is_taken(k, TAKEN)}
    plain = {}
    for given, value, beside in cases():
        words = {**shapes, **{k: v for k, v in beside.items() if is_taken(k, TAKEN)}}
        words = ["params", *(f"{k}={v}" for k, v in words.items() if k != given)]
        usual = tuple(words)
        if not is_taken(given, TAKEN):
            status, _, said = outcome(capsys, [*words, f"{given}={value}"])
            assert status == 1 and f"{given} has no effect" in said, said
            continue
        if usual not in plain:
            plain[usual] = outcome(capsys, words)
        value = SHAPES.get(given, value)
        check_effect(capsys, words, given, value, plain[usual])


@pytest.mark.parametrize("name", ["coordcheck", "lr", "schedule", "transfer", "width"])
def test_studies_hand_an_option_on_or_refuse_it(name, tmp_path, capsys):
    """What their trainings do with it is tested above."""
    from gn2.cli import parser, resume
    from gn2.study import bench, store

    study = importlib.import_module(f"gn2.study.{name}")
    words = ["study", name, TRAIN, "-v", VAL, "--small", "--no-runs"]
    words += ["--rate=0.01"] if name == "width" else []  # else of runs
    args = parser().parse_args(words)
    with store.Store(str(tmp_path)) as kept:
        for given, value, _ in cases():
            args.settings = [(given, value)]
            try:
                tasks = list(study.tasks(bench.Bench(args, study, kept)))
            except gn2.InvalidArgument as problem:
                assert given in str(problem)
                continue
            resume.check_used([given], None)  # a training does
            found = {dict(t.options).get(given, value) for t in tasks}
            # at its base width μP is SP, and called so
            assert found == {value} or given == "model.parametrization"
            assert any(given in dict(t.options) for t in tasks)


def test_commands_without_options_say_so(capsys):
    for given, value, _ in cases():
        words = ["export", "onnx", "m", "-o", "x", f"{given}={value}"]
        status, _, said = outcome(capsys, words)
        assert status == 2 and f"no options like {given}=" in said


@pytest.fixture
def odd(tmp_path):
    """Jets of which one is in GeV and one has NaN."""
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "odd.h5"
    with h5py.File(VAL, locking=False) as old, h5py.File(path, "w") as new:
        for name, data in old.items():
            rows = data[:50]
            if name == "jets":
                rows["pt_btagJes"][:2] = 60, np.nan
            new[name] = rows
            for key, text in data.attrs.items():
                new[name].attrs[key] = text
    return str(path)


def test_importance_takes_an_option_or_refuses_it(tmp_path, odd, capsys):
    from gn2.cli.importance import TAKEN

    plain = {}
    for given, value, beside in cases():
        if not is_taken(given, TAKEN) or given in SEEN_ELSEWHERE:
            continue  # refused: tested above
        own = {k: v for k, v in beside.items() if k.startswith(("model.", "task."))}
        own["inputs.tracks"] = "d0"
        run = {k: v for k, v in beside.items() if k not in own and k != given}
        path = tmp_path / f"{len(plain)}.gn2"
        usual = tuple(sorted(beside.items())), given.startswith("input.")
        words = ["-d", odd if usual[1] else VAL, "-n", "0", "-r", "1", "-j", "1"]
        words += ["--json", *(f"{k}={v}" for k, v in run.items())]
        few = {**FEW, **(ALL_CLASSES if given.startswith("discriminant.") else {})}
        words += [f"{k}={v}" for k, v in few.items() if k != given]
        if usual not in plain:
            gn2.Model(small(own)).save(path)
            plain[usual] = path
        words = ["importance", str(plain[usual]), *words]
        before = outcome(capsys, words)
        check_effect(capsys, words, given, value, before)
        if given.startswith("discriminant."):  # of every one of them there are figures
            assert outcome(capsys, [*words, f"{given}={value}"])[0] == before[0] == 0


# ---- what is not seen in a result ----


def dataset(**options):
    return gn2.Dataset(VAL, {"data.batch_size": 20, "data.max_jets": 60, **options})


def test_prefetch_reads_ahead():
    sizes = []
    for ahead in (0, 5):
        data = dataset(**{"data.prefetch": ahead})
        list(data)
        sizes.append(data.info.memory)
    assert sizes[1] > sizes[0]


def test_readers_have_memory_of_their_own():
    sizes = [dataset(**{"data.read_threads": n}).info.memory for n in (0, 1, 2)]
    assert sizes[0] == sizes[1] < sizes[2]


def small(more=()):
    """SMALL of a model alone."""
    words = {k: v for k, v in SMALL.items() if k.startswith(("model.", "task."))}
    words.update(more)
    with gn2.Config() as config:
        common.apply(config, list(words.items()))
        return {k: config[k] for k in words}


def test_threads_have_memory_of_their_own():
    model = gn2.Model(small())
    one, four = (gn2.Trainer(model, {"train.threads": n}) for n in (1, 4))
    assert four.memory > one.memory


def test_checkpoints_are_written_between_epochs(tmp_path):
    path, seen = tmp_path / "c.gn2", []
    for every in (0, 2):
        options = {"train.checkpoint": str(path), "train.checkpoint_steps": every}
        trainer = gn2.Trainer(gn2.Model(small()), options)
        there = []
        trainer.fit(
            dataset(),
            progress=False,
            callback=lambda p: there.append(path.exists()) or p.step == 3,
        )
        seen.append(there)
    assert seen == [[False] * 3, [False, False, True]]  # behind the callback


def test_updates_are_kept_for_a_probe():
    for word, known in (("no", False), ("yes", True)):
        options = {"train.probe_updates": word, "schedule.steps": 5}
        trainer = gn2.Trainer(gn2.Model(small()), options)
        batch = next(dataset().batches())
        trainer.step(*batch)
        found = trainer.probe(batch.jets, batch.tracks)
        tensor = next(p for p in found if p.kind == "tensor")
        assert np.isfinite(tensor.update_rms) == known


def test_the_name_of_a_model_is_in_its_scores(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "m.gn2"
    gn2.Model({**small(), "model.name": "Mine"}).save(path)
    out = str(tmp_path / "s.h5")
    assert main(["tag", str(path), VAL, "-o", out, "data.max_jets=50"]) == 0
    with h5py.File(out) as file:
        assert "Mine_pb" in file["jets"].dtype.names

# SPDX-License-Identifier: Apache-2.0
"""Golden vectors of salt's task modules: make_heads.py OUT.h5

Run by hand with a Python that has salt-ml and torch (data/README.md tells which were
used; the file says so itself). Every case is one module of salt.models.task on inputs
of its own, in double: what it was given, and the outputs, loss and gradients it gave.
Where a module's `run_inference` cannot be right for what a case asks (README.md), the
case has both its own answer, `salt_…`, and that of the module of one target.
"""
import importlib.metadata
import sys
import warnings

import h5py
import numpy as np

warnings.filterwarnings("ignore", category=FutureWarning)
import torch  # noqa: E402
from salt.models.task import (  # noqa: E402
    ClassificationTask,
    GaussianRegressionTask,
    RegressionTask,
)

WIDTH = 8  # of G and z
HIDDEN = 8
INPUTS = {"jets": ["a", "b"], "tracks": ["c", "d", "e"]}
COUNTS = [3, 0, 1, 5, 2, 4]  # tracks of the jets
SLOTS = 6
TWO = {"targets": 2, "mean": [0.3, -0.2], "std": [0.25, 2.0]}
RATIO = {"targets": 2, "denominators": [1, 0]}
ONE = {"targets": 1, "mean": [0.3], "std": [0.25]}
# CASES: name -> what the module is and what it is given; absent: off
CASES = {
    "mse": {**TWO},
    "mse_nan": {**TWO, "nan": 1},
    "mse_nan_weights": {**TWO, "nan": 1, "weights": 1},
    "mse_unscaled": {"targets": 2},
    "l1_ratio_nan": {**RATIO, "loss": "L1Loss", "nan": 1},
    "huber_ratio_weights": {**RATIO, "loss": "HuberLoss", "weights": 1},
    "mse_ratio_of_zero": {**RATIO, "zero": 1},
    "mse_tracks": {**TWO, "object": "tracks"},
    "mse_tracks_nan": {**TWO, "object": "tracks", "nan": 1},
    "l1_tracks_ratio": {"targets": 2, "denominators": [1, 2], "object": "tracks"}
    | {"loss": "L1Loss"},
    "gaussian_one": {**ONE, "gaussian": 1},
    "gaussian": {**TWO, "gaussian": 1},
    "gaussian_nan": {**TWO, "gaussian": 1, "nan": 1},
    "gaussian_nan_weights": {**TWO, "gaussian": 1, "nan": 1, "weights": 1},
    "gaussian_ratio": {**RATIO, "gaussian": 1, "nan": 1},
    "gaussian_least_variance": {**TWO, "gaussian": 1, "narrow": 1},
    "gaussian_tracks_nan": {**TWO, "gaussian": 1, "object": "tracks", "nan": 1},
    "classes": {"classes": 3},
    "classes_weights": {"classes": 3, "class_weights": [1, 2, 4], "weights": 1}
    | {"nan": 1},
    "classes_tracks_weights": {"classes": 4, "object": "tracks", "weights": 1}
    | {"class_weights": [1, 2, 4, 0.5], "nan": 1},
}


def rounded(x):
    """Doubles that are exact in single precision."""
    return np.float64(np.float32(x))


class Inputs:
    """What a case is given: numbers that are exact in single precision."""

    def __init__(self, case, seed):
        self.rng = np.random.default_rng(seed)
        self.case = case
        self.over_jets = case.get("object", "jets") == "jets"
        jets = len(COUNTS)
        self.shape = (jets,) if self.over_jets else (jets, SLOTS)
        self.valid = np.arange(SLOTS) < np.array(COUNTS)[:, None]
        self.pooled = self.normal(jets, WIDTH)
        self.z = self.normal(jets, SLOTS, WIDTH)
        self.fields = {
            name: rounded(self.normal(jets, *([SLOTS] * (kind == "tracks"))) + 3)
            for kind, names in INPUTS.items()
            for name in names
        }
        self.weight = None
        if case.get("weights"):
            self.weight = self.rng.integers(0, 9, self.shape) / 4

    def normal(self, *shape):
        """Normal numbers of a shape, rounded."""
        return rounded(self.rng.standard_normal(shape))

    def targets(self):
        """(…, targets), every fifth missing where the case says so."""
        out = rounded(self.normal(*self.shape, self.case["targets"]) + 1)
        if self.case.get("nan"):
            out.reshape(-1)[::5] = np.nan
        return out

    def zero_denominator(self):
        """Denominator of target 0 of jet 2 is 0: salt divides by it."""
        denominator = INPUTS["jets"][self.case["denominators"][0]]
        self.fields[denominator][2] = 0

    def classes(self):
        """(…) class, some ignored."""
        out = self.rng.integers(0, self.case["classes"], self.shape)
        if self.case.get("nan"):
            out.reshape(-1)[::5] = -1
        return out


def make_task(case, inputs):
    """The module, its weights drawn anew."""
    task_type = RegressionTask
    over = case.get("object", "jets")
    targets = [f"t{i}" for i in range(case.get("targets", 0))]
    outputs = case.get("classes", len(targets))
    arguments = {"targets": targets}
    if "mean" in case:
        arguments["norm_params"] = {"mean": case["mean"], "std": case["std"]}
    if "denominators" in case:
        names = [INPUTS[over][i] for i in case["denominators"]]
        arguments["target_denominators"] = names
    if case.get("gaussian"):
        task_type, outputs = GaussianRegressionTask, 2 * outputs
        loss = torch.nn.GaussianNLLLoss(reduction="none")
    elif "classes" in case:
        task_type = ClassificationTask
        names = [f"class{i}" for i in range(outputs)]
        arguments = {"label": "label", "class_names": names}
        weight = case.get("class_weights")
        loss = torch.nn.CrossEntropyLoss(
            weight=None if weight is None else torch.tensor(weight, dtype=torch.double),
            reduction="none" if case.get("weights") else "mean",
        )
    else:
        loss = getattr(torch.nn, case.get("loss", "MSELoss"))(reduction="none")
    task = task_type(
        name="task",
        input_name=over,
        dense_config={
            "input_size": WIDTH,
            "output_size": outputs,
            "hidden_layers": [HIDDEN],
            "context_size": WIDTH if over == "tracks" else 0,
        },
        loss=loss,
        weight=0.75,
        sample_weight="weight" if case.get("weights") else None,
        **arguments,
    )
    with torch.no_grad():
        for p in task.parameters():
            p.copy_(torch.tensor(inputs.normal(*p.shape) / 4))
        if case.get("narrow"):  # raw variances below the bound, some of them
            bias = task.net.net[-1].bias
            bias[2:] = torch.tensor(rounded(bias[2:].numpy() - np.array([15, 14])))
    return task


def labels_of(case, inputs):
    """The labels as salt's datasets hand them over."""
    over = case.get("object", "jets")
    labels = {k: torch.tensor(inputs.fields[k]) for k in INPUTS[over]}
    if inputs.weight is not None:
        labels["weight"] = torch.tensor(inputs.weight)
    if "classes" in case:
        labels["label"] = torch.tensor(inputs.classes())
    else:
        targets = inputs.targets()
        for i in range(case["targets"]):
            labels[f"t{i}"] = torch.tensor(targets[..., i].copy())
    return {over: labels}


def run(task, inputs, labels):
    """Outputs and loss, the graph kept; leaves: pooled, z."""
    pooled = torch.tensor(inputs.pooled, requires_grad=True)
    z = torch.tensor(inputs.z, requires_grad=True)
    if inputs.over_jets:
        return (*task(pooled, labels), pooled, z)
    masks = {"tracks": torch.tensor(~inputs.valid)}
    return (*task(z, labels, masks, pooled), pooled, z)


def values_of(task, preds, labels):
    """salt's values in the targets' units: (…, targets), a list of one or two.

    `run_inference` rounds to single precision first; here it is given doubles that
    stay doubles, so that its formula is compared and not its rounding.
    """
    preds = preds.detach().clone()
    preds.float = preds.clone
    values = task.run_inference(preds, labels)
    return [v.numpy() for v in (values if isinstance(values, tuple) else [values])]


def alone(case, inputs, labels, preds, target):
    """What the module of `target` alone makes of its logits."""
    one = {"targets": 1}
    for key in ("mean", "std", "denominators"):
        if key in case:
            one[key] = [case[key][target]]
    if case.get("gaussian"):
        one["gaussian"] = 1
    columns = [target, target + case["targets"]] if case.get("gaussian") else [target]
    flat = preds.detach().reshape(-1, preds.shape[-1])[:, columns]
    return values_of(make_task(one, Inputs(one, 0)), flat, labels)


def packed(inputs, x):
    """Rows of jets, or of the valid tracks."""
    return x if inputs.over_jets else x[inputs.valid]


def write_outputs(group, case, inputs, labels, task, preds):
    """outputs/logits and, of regressions, what run_inference makes of them."""
    logits = packed(inputs, preds.detach().numpy())
    group["outputs/logits"] = logits
    if "classes" in case or (not inputs.over_jets and "denominators" in case):
        return
    if not inputs.over_jets or case.get("gaussian"):
        each = [alone(case, inputs, labels, preds, t) for t in range(case["targets"])]
        names = ("values",) if "denominators" in case else ("values", "stddev")
        for name, values in zip(names, zip(*each)):
            rows = np.concatenate(values, axis=-1).reshape(*inputs.shape, -1)
            group[f"outputs/{name}"] = packed(inputs, rows)
        own = values_of(task, preds, labels)
        for name, values in zip(("salt_values", "salt_stddev"), own):
            group[f"outputs/{name}"] = packed(inputs, values)
        return
    group["outputs/values"] = values_of(task, preds, labels)[0]


def exact(x):
    """What single precision holds, in half the space."""
    x = np.asarray(x)
    assert np.array_equal(np.float32(x), x, equal_nan=True)
    return np.float32(x)


def write_inputs(group, case, inputs, labels):
    """inputs/…, labels/…: tracks packed."""
    group["inputs/pooled"] = exact(inputs.pooled)
    if not inputs.over_jets:
        group["inputs/offsets"] = np.concatenate([[0], np.cumsum(COUNTS)])
        group["inputs/z"] = exact(inputs.z[inputs.valid])
    over = case.get("object", "jets")
    x = np.stack([inputs.fields[n] for n in INPUTS[over]], axis=-1)
    group["inputs/raw"] = exact(packed(inputs, x))
    own = labels[over]
    if "classes" in case:
        group["labels/index"] = packed(inputs, own["label"].numpy())
    else:
        stacked = [own[f"t{i}"].numpy() for i in range(case["targets"])]
        group["labels/targets"] = exact(packed(inputs, np.stack(stacked, axis=-1)))
    if inputs.weight is not None:
        group["labels/weight"] = exact(packed(inputs, inputs.weight))


def write_attributes(group, case, inputs, task, loss_of_salt):
    """What the module was made of, and how many entries its mean goes over."""
    attrs = group.attrs
    attrs["task"] = np.bytes_(type(task).__name__)
    attrs["loss"] = np.bytes_(type(task.loss).__name__)
    attrs["object"] = np.bytes_(case.get("object", "jets"))
    attrs["task_weight"] = task.weight
    attrs["targets"] = case.get("targets", case.get("classes"))
    for key in ("mean", "std", "denominators", "class_weights"):
        if key in case:
            attrs[key] = np.array(case[key], dtype=float)
    attrs["entries"] = int(np.prod(inputs.shape)) * case.get("targets", 1)
    if loss_of_salt is not None:
        attrs["salt_loss"] = loss_of_salt


def write_gradients(group, inputs, task, pooled, z):
    """grads/…"""
    for name, p in task.net.named_parameters():
        group[f"grads/net.{name}"] = p.grad.numpy()
    group["grads/pooled"] = pooled.grad.numpy()
    if not inputs.over_jets:
        group["grads/z"] = z.grad.numpy()[inputs.valid]


def write_case(group, case, seed):
    """One group of the file."""
    inputs = Inputs(case, seed)
    labels = labels_of(case, inputs)
    task = make_task(case, inputs)
    write_inputs(group, case, inputs, labels)
    for name, p in task.net.named_parameters():
        group[f"params/net.{name}"] = exact(p.detach().numpy())
    own_loss = None
    if case.get("zero"):  # once with the 0, then without that target
        inputs.zero_denominator()
        group["inputs/raw"][:, case["denominators"][0]] = inputs.fields["b"]
        labels["jets"]["b"] = torch.tensor(inputs.fields["b"])
        own_loss = run(task, inputs, labels)[1].item()
        labels["jets"]["t0"][2] = torch.nan
    preds, loss, pooled, z = run(task, inputs, labels)
    loss.backward()
    group["loss"] = loss.item()
    write_outputs(group, case, inputs, labels, task, preds)
    write_gradients(group, inputs, task, pooled, z)
    write_attributes(group, case, inputs, task, own_loss)


def main(path):
    """All cases to a file."""
    torch.set_default_dtype(torch.float64)
    with h5py.File(path, "w", libver="latest") as file:
        versions = [
            f"{name} {importlib.metadata.version(name)}"
            for name in ("salt-ml", "torch", "numpy")
        ]
        file.attrs["kind"] = np.bytes_("heads")
        file.attrs["case"] = np.bytes_("heads")
        file.attrs["format_version"] = 1
        file.attrs["reference"] = np.bytes_(", ".join(versions))
        for seed, (name, case) in enumerate(CASES.items()):
            write_case(file.create_group(name), case, seed + 1)


main(sys.argv[1])

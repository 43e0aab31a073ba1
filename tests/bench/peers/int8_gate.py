#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Would int8 keep the physics? Decides before anybody writes a kernel.

Simulates products in int8 exactly: both factors rounded to integers, products and sums
of integers (below 2^24, where float32 holds every one), scaled back in float32. Weights
have a scale an output channel, activations one a token; init net, norms, attention
scores, softmax, pooling and heads stay float32. Prints the largest |dp| of a jet
against float32 and how light and c rejection move, with the standard error of the move:
a bootstrap of the jets, which both sides see. The gate: no rejection from 65 to 85 % b
efficiency moves by more than 1 %.

usage: int8_gate.py MODEL.gn2 JETS.h5 … [--only "VARIANT;VARIANT"]
       int8_gate.py MODEL.gn2 JETS.h5 … --train JETS.h5 --steps 200

A light rejection of 300 leaves 50 of 50,000 jets, so a move of 1 % cannot be seen in
them: --light adds the light jets of further files, and --margin 1 leaves alone, for the
sake of time, jets whose D_b is lower than the lowest cut by more than 1.

With --steps the trunk is fine-tuned first, by straight-through rounding, until the int8
network gives the probabilities and track vectors of the float32 one. There are no
labels in it, so the float32 network stays what is compared with, and the heads stay as
they are. Smoothing and static scales are of 2,000 jets of --train, or of JETS.h5
without it. Needs PyTorch and the package gn2 needs, and h5py.
"""
import argparse
import sys
from pathlib import Path

import h5py
import numpy as np
import torch
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[2] / "bindings/python")]
import gn2
from gn2_torch import GN2, LAYERS
from peer_jets import JETS, TRACKS

EFFICIENCIES = (0.65, 0.70, 0.77, 0.80, 0.85)
TOKENS = 8192  # of a batch of jets of one length
EXACT = 2**24  # float32 holds every integer up to here

ATTENTION = [
    f"encoder.layers.{i}.attn.fn.{w}"
    for i in range(LAYERS)
    for w in ("in_proj_weight", "out_proj.weight")
]
DENSE = [
    f"encoder.layers.{i}.dense.fn.{w}.weight"
    for i in range(LAYERS)
    for w in ("in_proj", "out_proj")
]
TRUNK = ATTENTION + DENSE + ["encoder.out_proj.weight"]
# variant → products in int8, options of Int8
VARIANTS = {
    "trunk, symmetric": (TRUNK, {}),
    "trunk, asymmetric": (TRUNK, {"asymmetric": True}),
    "trunk, asymmetric, smoothed": (TRUNK, {"asymmetric": True, "smooth": 0.5}),
    "trunk, symmetric, blocks of 64": (TRUNK, {"block": 64}),
    "trunk, symmetric, blocks of 32": (TRUNK, {"block": 32}),
    "trunk, static per tensor": (TRUNK, {"static": True}),
    "feed-forward, asymmetric": (DENSE, {"asymmetric": True}),
    "attention, asymmetric": (ATTENTION, {"asymmetric": True}),
    "weights alone": (TRUNK, {"weights_only": True}),
    "activations alone": (TRUNK, {"activations_only": True}),
    "trunk in bf16": (TRUNK, {"bf16": True}),  # what is shipped, by the same measure
}


# ---- integers ----


def straight(x):
    """Rounded to nearest even; the gradient passes as if it were not."""
    return x + (x.round() - x).detach()


def scale_of(x, levels):
    """Of the largest magnitude along the last axis."""
    return x.detach().abs().amax(-1, keepdim=True).clamp_min(1e-20) / levels


class Int8(GN2):
    """GN2 with the named products in int8."""

    def __init__(self, weights, names=(), **options):
        super().__init__(weights, aux=False)
        self.names, self.options = set(names), options
        self.smooth, self.static = {}, {}

    def product(self, x, weight, bias):
        if weight not in self.names:
            return super().product(x, weight, bias)
        w, option = self.at(weight), self.options
        if weight in self.smooth:
            x, w = x / self.smooth[weight], w * self.smooth[weight]
        if option.get("bf16"):
            return F.linear(x.bfloat16().float(), w.bfloat16().float(), self.at(bias))
        size = option.get("block", w.shape[1])
        parts = zip(x.split(size, -1), w.split(size, -1))
        return sum(self.integer(a, b, weight) for a, b in parts) + self.at(bias)

    def integer(self, x, w, name):
        """x w^T by integers."""
        q, sx, largest = self.activations(x, name)
        if self.options.get("activations_only"):
            return F.linear(q, w) * sx
        sw = scale_of(w, 127)
        v = straight(w / sw)
        if self.options.get("weights_only"):
            return F.linear(x, v * sw)
        assert largest * 127 * w.shape[1] <= EXACT
        return F.linear(q, v) * (sx * sw.squeeze(-1))

    def activations(self, x, name):
        """x as integers, their scale, the largest magnitude they can have."""
        if name in self.static:
            s = self.static[name] / 127
            return straight((x / s).clamp(-127, 127)), s, 127
        if not self.options.get("asymmetric"):
            s = scale_of(x, 127)
            return straight(x / s), s, 127
        low = x.detach().amin(-1, keepdim=True).clamp_max(0)
        high = x.detach().amax(-1, keepdim=True).clamp_min(0)
        s = (high - low).clamp_min(1e-20) / 255
        zero = (-low / s).round()
        return straight(x / s).clamp(-zero, 255 - zero), s, 255

    def tokens(self, jets, tracks):
        """Track vectors of jets of one length, before pooling."""
        return self.encode(self.start(jets, tracks), torch.zeros(1))

    def scores(self, z):
        gate = torch.softmax(self.linear(z, "pool_net.gate_nn").squeeze(-1), -1)
        x = self.linear((gate[:, None] @ z).squeeze(1), "tasks.0.net.net.0")
        return self.tail(x, "tasks.0.net.net", (2, 4, 6))  # logits

    def forward(self, jets, tracks):
        return torch.softmax(self.scores(self.tokens(jets, tracks)), -1)


class Watch(Int8):
    """Notes the largest magnitude of every input channel of the named products."""

    def __init__(self, weights, names):
        super().__init__(weights, names)
        self.seen = {}

    def product(self, x, weight, bias):
        if weight in self.names:
            most = x.abs().flatten(0, -2).amax(0)
            self.seen[weight] = torch.maximum(most, self.seen.get(weight, most))
        return GN2.product(self, x, weight, bias)


def build(weights, variant, batches):
    names, options = VARIANTS[variant]
    module = Int8(weights, names, **options)
    if "smooth" not in options and "static" not in options:
        return module
    watch = Watch(weights, names)
    with torch.no_grad():
        for batch in batches:
            watch(*batch[:2])
    for name, most in watch.seen.items():
        if "static" in options:
            module.static[name] = most.max()
        else:
            a, w = options["smooth"], module.at(name).abs().amax(0)
            module.smooth[name] = (most.clamp_min(1e-5) ** a) / (w ** (1 - a))
    return module


# ---- jets ----


def read_weights(path):
    model = gn2.Model.load(path)
    weights = {name: np.array(model[name]) for name in model.params}
    for kind in ("jets", "tracks"):
        for figure in ("mean", "std"):
            value = np.array(model.config[f"norm.{kind}.{figure}"], "f4")
            weights[f"norm.{kind}_{figure}s"] = value
    return weights


def read_jets(path, count=None):
    """Features (B, 2), tracks (B, T, 19), valid first, lengths (B), labels (B)."""
    with h5py.File(path) as file:
        jets, rows = file["jets"][:count], file["tracks"][:count]
    values = np.stack([rows[k] for k in TRACKS], -1).astype("f4")
    valid = rows["valid"].astype(bool)
    order = np.argsort(~valid, axis=1, kind="stable")
    values = np.take_along_axis(values, order[..., None], 1)
    features = np.stack([jets[k] for k in JETS], 1).astype("f4")
    return features, values, valid.sum(1), jets["flavour_label"]


def join(parts):
    return [np.concatenate(x) for x in zip(*parts)]


def light(data):
    return [x[data[3] == 2] for x in data]


def same_length(data, index):
    """Batches (features, tracks, index) of jets of as many tracks: no padding."""
    features, tracks, lengths, _ = data
    for n in np.unique(lengths[index]):
        rows = index[lengths[index] == n]
        for part in np.array_split(rows, -(-len(rows) * (n + 1) // TOKENS)):
            x = torch.from_numpy(tracks[part, :n])
            yield torch.from_numpy(features[part]), x, part


def probabilities(module, data, index):
    p = np.empty((len(data[0]), 4))
    with torch.inference_mode():
        for features, tracks, rows in same_length(data, index):
            p[rows] = module(features, tracks).double().numpy()
    return p[index]


# ---- figures ----


def discriminant(p):
    b, c, u, tau = p.T
    return np.log(b / (0.2 * c + 0.79 * u + 0.01 * tau))


def near(p, labels, margin):
    """Jets whose D_b is above the lowest cut or less than `margin` below."""
    d = discriminant(p)
    cut = np.quantile(d[labels == 0], 1 - EFFICIENCIES[-1])
    return np.flatnonzero(d > cut - margin)


class Rejections:
    """Light and c rejections, (2, efficiencies), for weighted jets."""

    def __init__(self, p, labels):
        self.order = np.argsort(-discriminant(p))
        self.is_flavour = [labels[self.order] == k for k in (0, 2, 1)]

    def __call__(self, weights):
        b, *others = [
            np.cumsum(weights[self.order] * flavour) for flavour in self.is_flavour
        ]
        cut = np.searchsorted(b, np.array(EFFICIENCIES) * b[-1])
        return np.array([x[-1] / np.maximum(x[cut], 1) for x in others])


def moves(reference, p, labels, samples):
    """Rejections before, their move, and its standard error (bootstrap of jets)."""
    before, after = Rejections(reference, labels), Rejections(p, labels)
    one = np.ones(len(labels))
    rng, drawn = np.random.default_rng(1), []
    for _ in range(samples):
        weights = rng.poisson(1, len(labels))
        drawn.append(after(weights) / before(weights) - 1)
    return before(one), after(one) / before(one) - 1, np.std(drawn, axis=0)


def report(variant, reference, p, labels, index, samples):
    d = np.abs(p - reference).max(1)[index]
    base, move, error = moves(reference, p, labels, samples)
    print(
        f"{variant}: {len(d)} jets, |dp| median {np.median(d):.1e}, 99 % "
        f"{np.quantile(d, 0.99):.1e}, largest {d.max():.1e}"
    )
    for k, flavour in enumerate(("light", "c")):
        cells = "  ".join(
            f"{e:.2f}: {r:.4g} {100 * m:+.2f} ± {100 * s:.2f} %"
            for e, r, m, s in zip(EFFICIENCIES, base[k], move[k], error[k])
        )
        print(f"  {flavour:5s} {cells}")
    worst = np.unravel_index(np.abs(move).argmax(), move.shape)
    gate = "passed" if abs(move[worst]) <= 0.01 else "FAILED"
    print(
        f"  gate {gate}: largest move {100 * move[worst]:+.2f} ± "
        f"{100 * error[worst]:.2f} %, largest error {100 * error.max():.2f} %, "
        f"largest move in errors {(np.abs(move) / np.maximum(error, 1e-6)).max():.1f}",
        flush=True,
    )


# ---- fine-tuning ----


def finetune(module, teacher, data, args):
    """Moves the trunk until its int8 gives what the teacher gives."""
    for name in module.names:
        module.at(name).requires_grad_(True)
        bias = name.removesuffix("weight") + "bias"
        module.at(bias).requires_grad_(True)
    params = [x for x in module.buffers() if x.requires_grad]
    optimiser = torch.optim.AdamW(params, lr=args.rate, weight_decay=0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, args.steps)
    rng = np.random.default_rng(1)
    for step in range(args.steps):
        index, total = rng.choice(len(data[0]), args.batch, replace=False), 0.0
        for features, tracks, rows in same_length(data, index):
            with torch.no_grad():
                target = teacher.tokens(features, tracks)
                wanted = torch.log_softmax(teacher.scores(target), -1)
            z = module.tokens(features, tracks)
            got = torch.log_softmax(module.scores(z), -1)
            loss = F.kl_div(got, wanted, log_target=True, reduction="sum")
            loss = loss + args.tokens * (z - target).square().mean((1, 2)).sum()
            (loss / args.batch).backward()
            total += loss.item() / args.batch
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        if step % 25 == 0 or step == args.steps - 1:
            print(f"  step {step}: loss {total:.3e}", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("jets", nargs="+")
    parser.add_argument("--only", default=None, help="variants, by ;")
    parser.add_argument("--count", type=int, default=None, help="jets of each file")
    parser.add_argument("--light", nargs="*", default=[], help="light jets of these")
    parser.add_argument("--margin", type=float, help="only jets near or above the cut")
    parser.add_argument("--train", help="jets to calibrate and fine-tune on")
    parser.add_argument("--train-count", type=int, default=100000)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--tokens", type=float, default=0.1, help="their weight")
    parser.add_argument("--bootstrap", type=int, default=300)
    args = parser.parse_args()
    weights = read_weights(args.model)
    data = join([read_jets(f, args.count) for f in args.jets])
    tune = read_jets(args.train, args.train_count) if args.train else data
    calibration = list(same_length(tune, np.arange(2000)))
    for file in args.light:
        data = join([data, light(read_jets(file))])
    teacher, labels = Int8(weights), data[3]
    index = np.arange(len(labels))
    reference = probabilities(teacher, data, index)
    if args.margin is not None:
        index = near(reference, labels, args.margin)
    for variant in args.only.split(";") if args.only else VARIANTS:
        module = build(weights, variant, calibration)
        if args.steps:
            finetune(module, teacher, tune, args)
        p = reference.copy()
        p[index] = probabilities(module, data, index)
        report(variant, reference, p, labels, index, args.bootstrap)


if __name__ == "__main__":
    main()

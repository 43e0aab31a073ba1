# SPDX-License-Identifier: Apache-2.0
"""Training step of GN2 in PyTorch as fast as we can make it: bucketed batches, products
over the tokens of all buckets at once, split pair head, compiled, fused AdamW.

usage: train_torch.py WEIGHTS.npz DATA THREADS BATCH BUCKETS f32|bf16

Lines on stdin: "losses" takes a step on the first batch and answers with the three
losses before it, "N" takes N steps and answers with the seconds of each.
"""
import sys

import numpy as np
import torch
from torch.nn import functional as F

import buckets
import turns
from gn2_torch import DENSE, GN2, HEADS, LAYERS


def pairs_first(parts):
    """(B, 128), (B, T, 128), (B, T, 128) → (B T T, 128)."""
    g, a, b = parts
    return (g[:, None, None] + a[:, :, None] + b[:, None]).flatten(0, 2)


class Bucketed(GN2):
    """forward(list of buckets) → the three losses."""

    def __init__(self, weights):
        super().__init__(weights, aux=True)
        for name, value in list(self.named_buffers()):
            if value.is_floating_point() and not name.startswith("norm"):
                delattr(self, name)
                self.register_parameter(name, torch.nn.Parameter(value))

    def tokens(self, batch):
        """Tokens and register of every jet, bucket by bucket: (N, E)."""
        jets = [self.norm(b["jets"], "jets") for b in batch]
        tracks = [self.norm(b["tracks"], "tracks") for b in batch]
        rows = [
            torch.cat([j[:, None].expand(-1, t.shape[1], -1), t], -1).flatten(0, 1)
            for j, t in zip(jets, tracks)
        ]
        x = self.linear(torch.cat(rows), "init_nets.0.net.net.0")
        x = self.tail(x, "init_nets.0.net.net", (2,)).split([len(r) for r in rows])
        register = self.at("encoder.registers")[None]
        return torch.cat(
            [
                torch.cat(
                    [y.view(*t.shape[:2], -1), register.expand(len(t), -1, -1)], 1
                ).flatten(0, 1)
                for y, t in zip(x, tracks)
            ]
        )

    def by_bucket(self, x, batch):
        """(N, F) → a list of (B, T + 1, F)."""
        shapes = [b["mask"].shape for b in batch]
        parts = x.split([rows * length for rows, length in shapes])
        return [y.view(*shape, -1) for y, shape in zip(parts, shapes)]

    def core(self, qkv, mask):
        rows, length, _ = qkv.shape
        q, k, v = qkv.view(rows, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        s = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + mask[:, None, None]
        return (torch.softmax(s, -1) @ v).transpose(1, 2).flatten(2).flatten(0, 1)

    def attention(self, x, name, batch):
        qkv = self.product(x, name + ".in_proj_weight", name + ".in_proj_bias")
        parts = zip(self.by_bucket(qkv, batch), batch)
        out = torch.cat([self.core(part, b["mask"]) for part, b in parts])
        return self.linear(out, name + ".out_proj")

    def trunk(self, batch):
        x, shape = self.tokens(batch), (self.width,)
        for i in range(LAYERS):
            layer = f"encoder.layers.{i}."
            y = F.layer_norm(x, shape)
            x = x + self.attention(y, layer + "attn.fn", batch)
            y = F.relu(self.linear(F.layer_norm(x, shape), layer + "dense.fn.in_proj"))
            x = x + self.linear(y, layer + "dense.fn.out_proj")
        return F.layer_norm(self.linear(x, "encoder.out_proj"), (self.out,))

    def pool(self, z, batch):
        gates = self.by_bucket(self.linear(z, "pool_net.gate_nn"), batch)
        parts = zip(gates, self.by_bucket(z, batch), batch)
        return torch.cat(
            [
                (torch.softmax(g[..., 0] + b["mask"], -1)[:, None] @ y)[:, 0]
                for g, y, b in parts
            ]
        )

    def logits(self, batch):
        """Of jets, tracks and ordered pairs, all buckets one after the other."""
        z = self.trunk(batch)
        g = self.pool(z, batch)
        sizes = [len(b["jets"]) for b in batch]
        tracks = lambda x: [y[:, :-1] for y in self.by_bucket(x, batch)]
        a, b = self.first(1, (g, z))
        x = torch.cat(
            [(c[:, None] + d).flatten(0, 1) for c, d in zip(a.split(sizes), tracks(b))]
        )
        a, b, c = self.first(2, (g, z, z))
        y = torch.cat([*map(pairs_first, zip(a.split(sizes), tracks(b), tracks(c)))])
        g = self.linear(g, "tasks.0.net.net.0")
        return [
            self.tail(v, f"tasks.{i}.net.net", DENSE[1:])
            for i, v in enumerate((g, x, y))
        ]

    def forward(self, batch):
        jets, tracks, pairs = (x.float() for x in self.logits(batch))
        every = lambda name: torch.cat([b[name].flatten() for b in batch])
        cross = lambda x, y: F.cross_entropy(x, every(y), reduction="none")
        near = F.binary_cross_entropy_with_logits(
            pairs[:, 0], every("same"), reduction="none"
        )
        return torch.stack(
            [
                (cross(jets, "flavour") * every("jet_weight")).sum(),
                (cross(tracks, "origin") * every("track_weight")).sum(),
                (near * every("pair_weight")).sum(),
            ]
        )


def tensors(batch):
    out = [{k: torch.from_numpy(v) for k, v in b.items()} for b in batch]
    for b in out:
        mask = torch.where(b.pop("valid"), 0.0, -1e9)
        b["mask"] = F.pad(mask, (0, 1))  # the register is always there
    return out


class Steps:
    def __init__(self, weights, data, batch, count, precision):
        self.bf16 = precision == "bf16"
        self.module = Bucketed(weights)
        width = self.module.width
        self.held = [tensors(b) for b in buckets.batches(data, width, batch, count)]
        self.losses = torch.compile(self.module, dynamic=False)
        self.optimiser = torch.optim.AdamW(
            self.module.parameters(), lr=1e-4, weight_decay=1e-5, fused=True
        )

    def step(self, i):
        batch = self.held[i % len(self.held)]
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            losses = self.losses(batch)
        self.optimiser.zero_grad(set_to_none=True)
        losses.sum().backward()
        self.optimiser.step()
        return losses

    def warm(self):
        """Compiles; no weight moves."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            self.losses(self.held[0]).sum().backward()


def main():
    weights, data, threads, batch, count, precision = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.set_float32_matmul_precision("highest")
    steps = Steps(dict(np.load(weights)), data, int(batch), int(count), precision)
    steps.warm()
    turns.serve(steps.step)


if __name__ == "__main__":
    main()

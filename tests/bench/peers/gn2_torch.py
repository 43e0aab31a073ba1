# SPDX-License-Identifier: Apache-2.0
"""GN2 as a plain PyTorch module over padded batches: a graph without loops, the pair
head's first layer split, attention written out. The strongest batched export we know
how to make; salt's own exporter knows only one jet a call."""
import torch
from torch.nn import functional as F

LAYERS, HEADS = 4, 8
DENSE = (0, 2, 4, 6)  # linear layers of a head, as salt numbers them


class GN2(torch.nn.Module):
    """forward(jets (B, 2), tracks (B, T, 19), pad (B, T)) → p, or p, origin, pairs."""

    def __init__(self, weights, aux):
        super().__init__()
        self.aux = aux
        self.out, self.width = weights["encoder.out_proj.weight"].shape
        for name, array in weights.items():
            value = torch.tensor(array, dtype=torch.float32)
            self.register_buffer(name.replace(".", "_"), value)

    def at(self, name):
        return getattr(self, name.replace(".", "_"))

    def product(self, x, weight, bias):
        """x W^T + b, the tensors by name; int8_gate.py puts its own in here."""
        return F.linear(x, self.at(weight), self.at(bias))

    def linear(self, x, name):
        return self.product(x, name + ".weight", name + ".bias")

    def tail(self, x, name, places):
        """The layers after the first; x is the first one's result without ReLU."""
        for place in places:
            x = self.linear(F.relu(x), f"{name}.{place}")
        return x

    def norm(self, x, kind):
        return (x - self.at(f"norm.{kind}_means")) / self.at(f"norm.{kind}_stds")

    def attend(self, y, name, mask):
        qkv = self.product(y, name + ".in_proj_weight", name + ".in_proj_bias")
        (b, t, _), w = y.shape, self.width
        q, k, v = (
            x.reshape(b, t, HEADS, w // HEADS).transpose(1, 2) for x in qkv.split(w, -1)
        )
        s = q @ k.transpose(-1, -2) * (w // HEADS) ** -0.5 + mask
        out = (torch.softmax(s, -1) @ v).transpose(1, 2).reshape(b, t, w)
        return self.linear(out, name + ".out_proj")

    def start(self, jets, tracks):
        """Tokens and register, (B, T + 1, E)."""
        jets, tracks = self.norm(jets, "jets"), self.norm(tracks, "tracks")
        x = torch.cat([jets[:, None].expand(-1, tracks.shape[1], -1), tracks], -1)
        x = self.linear(x, "init_nets.0.net.net.0")
        x = self.tail(x, "init_nets.0.net.net", (2,))
        registers = self.at("encoder.registers")[None].expand(x.shape[0], -1, -1)
        return torch.cat([x, registers], 1)

    def encode(self, x, mask):
        for i in range(LAYERS):
            layer, shape = f"encoder.layers.{i}.", (self.width,)
            x = x + self.attend(F.layer_norm(x, shape), layer + "attn.fn", mask)
            y = F.relu(self.linear(F.layer_norm(x, shape), layer + "dense.fn.in_proj"))
            x = x + self.linear(y, layer + "dense.fn.out_proj")
        z = self.linear(x, "encoder.out_proj")
        return F.layer_norm(z, (self.out,))

    def first(self, task, parts):
        """First layer of a head, split over what it reads."""
        name = f"tasks.{task}.net.net.0"
        weights = self.at(name + ".weight").split(self.out, 1)
        out = [F.linear(x, w) for x, w in zip(parts, weights)]
        out[0] = out[0] + self.at(name + ".bias")
        return out

    def forward(self, jets, tracks, pad):
        mask = pad.float().masked_fill(pad, float("-inf"))
        mask = torch.cat([mask, torch.zeros_like(jets[:, :1])], 1)  # the register
        z = self.encode(self.start(jets, tracks), mask[:, None, None])
        gate = self.linear(z, "pool_net.gate_nn").squeeze(-1) + mask
        g = (torch.softmax(gate, -1)[:, None] @ z).squeeze(1)
        x = self.linear(g, "tasks.0.net.net.0")
        p = torch.softmax(self.tail(x, "tasks.0.net.net", DENSE[1:]), -1)
        if not self.aux:
            return p
        z = z[:, :-1]
        a, b = self.first(1, (g, z))
        origin = self.tail(a[:, None] + b, "tasks.1.net.net", DENSE[1:])
        a, b, c = self.first(2, (g, z, z))
        pairs = self.tail(
            a[:, None, None] + b[:, :, None] + c[:, None], "tasks.2.net.net", DENSE[1:]
        )
        return p, origin.argmax(-1), pairs.squeeze(-1)


class OneJet(GN2):
    """forward(jets (1, 2), tracks (n, 19)): one jet without batch, padding or mask."""

    def start(self, jets, tracks):
        jets, tracks = self.norm(jets, "jets"), self.norm(tracks, "tracks")
        x = torch.cat([jets.expand(tracks.shape[0], -1), tracks], -1)
        x = self.linear(x, "init_nets.0.net.net.0")
        x = self.tail(x, "init_nets.0.net.net", (2,))
        return torch.cat([x, self.at("encoder.registers")], 0)

    def attend(self, y, name, mask):
        qkv = self.product(y, name + ".in_proj_weight", name + ".in_proj_bias")
        t, w = y.shape
        q, k, v = (
            x.reshape(t, HEADS, w // HEADS).transpose(0, 1) for x in qkv.split(w, -1)
        )
        s = torch.softmax(q @ k.transpose(-1, -2) * (w // HEADS) ** -0.5, -1)
        return self.linear((s @ v).transpose(0, 1).reshape(t, w), name + ".out_proj")

    def forward(self, jets, tracks):
        z = self.encode(self.start(jets, tracks), None)
        gate = self.linear(z, "pool_net.gate_nn").transpose(0, 1)
        g = torch.softmax(gate, -1) @ z
        x = self.linear(g, "tasks.0.net.net.0")
        p = torch.softmax(self.tail(x, "tasks.0.net.net", DENSE[1:]), -1)
        if not self.aux:
            return p
        z = z[:-1]
        a, b = self.first(1, (g, z))
        origin = self.tail(a + b, "tasks.1.net.net", DENSE[1:])
        a, b, c = self.first(2, (g, z, z))
        pairs = self.tail((a + b)[:, None] + c, "tasks.2.net.net", DENSE[1:])
        return p, origin.argmax(-1), pairs.squeeze(-1)


def export(weights, aux, path):
    module = GN2(weights, aux).eval()
    example = (torch.zeros(7, 2), torch.zeros(7, 5, 19), torch.zeros(7, 5).bool())
    axes = {
        "jets": {0: "B"},
        "p": {0: "B"},
        "tracks": {0: "B", 1: "T"},
        "pad": {0: "B", 1: "T"},
        "origin": {0: "B", 1: "T"},
        "pairs": {0: "B", 1: "T", 2: "T"},
    }
    write(module, example, ["jets", "tracks", "pad"], axes, path)


def export_one(weights, aux, path):
    module = OneJet(weights, aux).eval()
    axes = {"tracks": {0: "T"}, "origin": {0: "T"}, "pairs": {0: "T", 1: "T"}}
    example = (torch.zeros(1, 2), torch.zeros(5, 19))
    write(module, example, ["jets", "tracks"], axes, path)


def write(module, example, inputs, axes, path):
    outputs = ["p", "origin", "pairs"] if module.aux else ["p"]
    with torch.no_grad():
        torch.onnx.export(
            module,
            example,
            path,
            opset_version=17,
            dynamo=False,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={k: axes[k] for k in [*inputs, *outputs] if k in axes},
        )

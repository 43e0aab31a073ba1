# SPDX-License-Identifier: Apache-2.0
"""The forward pass of GN2 in double, and runs of ONNX files one jet at a time.

For the tests of conversions: written from the formulas, independent of the library.
"""

import numpy as np


def norm(x, weights, name, eps):
    centred = x - x.mean(-1, keepdims=True)
    y = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    if name + ".weight" in weights:
        y = y * weights[name + ".weight"] + weights[name + ".bias"]
    return y


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class Reference:
    """GN2 of one constituent type, in the precision of ``dtype``."""

    def __init__(self, model, attention_scale=None, readout=1.0):
        c = self.config = model.config
        self.w = {k: v.astype(np.float64) for k, v in model.state_dict().items()}
        self.width, self.heads = c["model.embed_dim"], c["model.num_heads"]
        self.scale = attention_scale or (self.width / self.heads) ** -0.5
        self.readout, self.eps = readout, c["model.norm_eps"]
        self.legacy = c["model.encoder"] == "legacy"
        self.tasks = c["model.tasks"]
        self.object = c["model.constituents"][0]

    def linear(self, x, name):
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]

    def dense(self, x, prefix):
        keys = [k for k in self.w if k.startswith(prefix) and k.endswith(".weight")]
        keys.sort(key=lambda k: int(k.split(".")[-2]) if k[-8].isdigit() else 0)
        for i, key in enumerate(keys):
            x = self.linear(np.maximum(x, 0) if i else x, key[: -len(".weight")])
        return x

    def normalised(self, x, name):
        mean, std = (self.config[f"norm.{name}.{k}"] for k in ("mean", "std"))
        # the library holds both as float
        mean, std = (np.float32(v or d).astype(float) for v, d in ((mean, 0), (std, 1)))
        return (x.astype(np.float64) - mean) / std

    def qkv(self, y, at):
        if self.legacy:
            return [self.linear(y, f"{at}mha.linear_{c}") for c in "qkv"]
        weights = self.w[at + "attn.fn.in_proj_weight"]
        return np.split(y @ weights.T + self.w[at + "attn.fn.in_proj_bias"], 3, -1)

    def layer(self, x, at):
        q, k, v = (
            part.reshape(len(x), self.heads, -1).swapaxes(0, 1)
            for part in self.qkv(norm(x, self.w, at + "norm1", self.eps), at)
        )
        p = softmax(self.scale * (q @ k.swapaxes(1, 2)))
        mixed = (p @ v).swapaxes(0, 1).reshape(len(x), -1)
        out = "mha.linear_out" if self.legacy else "attn.fn.out_proj"
        x = x + self.linear(mixed, at + out)
        y = norm(x, self.w, at + "norm2", self.eps)
        return x + self.dense(y, at + ("dense.net." if self.legacy else "dense.fn."))

    def tokens(self, jet, tracks):
        jets = np.repeat(self.normalised(jet, "jets")[None], len(tracks), 0)
        x = np.concatenate([jets, self.normalised(tracks, self.object)], 1)
        x = self.dense(x, "init_nets.0.net.net.")
        if "encoder.registers" in self.w:
            x = np.concatenate([x, self.w["encoder.registers"]])
        if len(x) == 0:
            return np.zeros((0, self.config["model.out_dim"]))
        for i in range(self.config["model.num_layers"]):
            x = self.layer(x, f"encoder.layers.{i}.")
        where = self.config["model.final_norm_pos"]
        if where == "pre":
            x = norm(x, self.w, "encoder.final_norm", self.eps)
        name = "encoder.final_linear" if self.legacy else "encoder.out_proj"
        z = self.linear(x * self.readout, name)
        return norm(z, {}, "", self.eps) if where == "post" else z

    def encode(self, jet, tracks):
        """Pooled vector (o) and tokens of the tracks (n, o)."""
        z = self.tokens(jet, tracks)
        pooled = np.zeros(z.shape[1])
        if len(z):
            pooled = softmax(self.linear(z, "pool_net.gate_nn")[:, 0]) @ z
        return pooled, z[: len(tracks)]

    def head(self, x, task):
        return self.dense(x, f"tasks.{self.tasks.index(task)}.net.net.")

    def __call__(self, jet, tracks):
        """Probabilities of the classes (C) and of origins (n, 8)."""
        pooled, z = self.encode(jet, tracks)
        context = np.repeat(pooled[None], len(z), 0)
        origins = self.head(np.concatenate([context, z], 1), "track_origin")
        return softmax(self.head(pooled, "jets_classification")), softmax(origins)

    def pairs(self, jet, tracks):
        """Logits of all ordered pairs i ≠ j, i outer."""
        pooled, z = self.encode(jet, tracks)
        i, j = np.nonzero(~np.eye(len(z), dtype=bool))
        x = np.concatenate([np.repeat(pooled[None], len(i), 0), z[i], z[j]], 1)
        return self.head(x, "track_vertexing")[:, 0]


def components(joined):
    """Smallest track reachable from each, by walking the graph."""
    n = len(joined)
    label = np.full(n, -1)
    for start in range(n):
        todo = [start] if label[start] < 0 else []
        while todo:
            i = todo.pop()
            if label[i] < 0:
                label[i] = start
                todo += [j for j in range(n) if joined[i, j] and label[j] < 0]
    return label


def session(path, extra=()):
    """An ONNX file as Athena runs it, with further tensors among its outputs."""
    import onnx
    import onnxruntime

    proto = onnx.load(path)
    for name, width in extra:
        info = onnx.helper.make_tensor_value_info(name, 1, ["rows", width])
        proto.graph.output.append(info)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    )
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run(session, jets, tracks):
    """One call a jet; outputs by name: jets stacked, tracks concatenated."""
    names = [output.name for output in session.get_outputs()]
    found = [
        session.run(names, {"jet_features": jet[None], "track_features": rows})
        for jet, rows in zip(jets, tracks)
    ]
    columns = {name: [f[k] for f in found] for k, name in enumerate(names)}
    return {
        k: np.concatenate(v) if v[0].ndim else np.array(v) for k, v in columns.items()
    }

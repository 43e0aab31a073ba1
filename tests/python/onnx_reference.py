# SPDX-License-Identifier: Apache-2.0
"""The forward pass of GN2 in double, and runs of ONNX files one jet at a time.

For the tests of conversions: written from the formulas, independent of the library,
for any tasks and constituent types.
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
    """A model in double. Constituents: {type: rows}, or the rows of the only type."""

    def __init__(self, model, attention_scale=None, readout=1.0):
        c = self.config = model.config
        self.w = {k: v.astype(np.float64) for k, v in model.state_dict().items()}
        self.width, self.heads = c["model.embed_dim"], c["model.num_heads"]
        self.scale = attention_scale or (self.width / self.heads) ** -0.5
        self.readout, self.eps = readout, c["model.norm_eps"]
        self.legacy = c["model.encoder"] == "legacy"
        self.tasks = list(model.tasks)
        self.task = model.tasks
        self.inputs = model.inputs
        self.types = c["model.constituents"]

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

    def parts(self, rows):
        return rows if isinstance(rows, dict) else {self.types[0]: rows}

    def init(self, jet, rows, number):
        """(n, w) tokens of a constituent type."""
        jets = np.repeat(self.normalised(jet, "jets")[None], len(rows), 0)
        x = np.concatenate([jets, self.normalised(rows, self.types[number])], 1)
        return self.dense(x, f"init_nets.{number}.net.net.")

    def tokens(self, jet, rows):
        parts = self.parts(rows)
        x = [self.init(jet, parts[name], k) for k, name in enumerate(self.types)]
        x += [self.w[k] for k in ("encoder.registers",) if k in self.w]
        x = np.concatenate(x)
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

    def encode(self, jet, rows):
        """Pooled vector (o) and tokens of every type (n, o)."""
        z, parts = self.tokens(jet, rows), self.parts(rows)
        pooled = np.zeros(z.shape[1])
        if len(z):
            pooled = softmax(self.linear(z, "pool_net.gate_nn")[:, 0]) @ z
        ends = np.cumsum([len(parts[name]) for name in self.types])
        return pooled, dict(zip(self.types, np.split(z, ends)))

    def head(self, x, task):
        return self.dense(x, f"tasks.{self.tasks.index(task)}.net.net.")

    def logits(self, encoded, name):
        """What the head of a task gives: one row, (n, …), or (n (n − 1)) of pairs."""
        (pooled, z), task = encoded, self.task[name]
        if task.on_jets:
            return self.head(pooled, name)
        z = z[task.object]
        if task.kind == "vertexing":
            i, j = np.nonzero(~np.eye(len(z), dtype=bool))
            context = np.repeat(pooled[None], len(i), 0)
            return self.head(np.concatenate([context, z[i], z[j]], 1), name)[:, 0]
        context = np.repeat(pooled[None], len(z), 0)
        return self.head(np.concatenate([context, z], 1), name)

    def units(self, jet, rows, task):
        """What the targets of a task were divided by: (targets) or (n, targets)."""
        x = jet if task.on_jets else self.parts(rows)[task.object]
        columns = [self.inputs[task.object].index(name) for name in task.denominators]
        return x[..., columns].astype(np.float64) if columns else 1.0

    def regressed(self, logits, units, task):
        """Values, and their spread where the task has one."""
        count = len(task.targets)
        mean, std = (
            np.array(list(v) or [d] * count)
            for v, d in ((task.mean, 0.0), (task.std, 1.0))
        )
        found = {"": (logits[..., :count] * std + mean) * units}
        if task.kind == "gaussian_regression":
            variance = np.maximum(np.logaddexp(0, logits[..., count:]), 1e-6)
            found["_stddev"] = np.sqrt(variance) * std * np.abs(units)
        return found

    def outputs(self, jet, rows):
        """What every task finds, by the tagger's names of the outputs."""
        encoded, found = self.encode(jet, rows), {}
        for name, task in self.task.items():
            logits = self.logits(encoded, name)
            if "_logits" in task.suffixes:
                found[task.output("_logits")] = logits
            if task.kind == "classification":
                found[task.output()] = softmax(logits)
            elif task.kind == "vertexing":
                found[task.output()] = vertices(logits, len(encoded[1][task.object]))
            else:
                units = self.units(jet, rows, task)
                values = self.regressed(logits, units, task)
                # one value a row has no axis of its own
                found |= {task.output(s): _flat(v) for s, v in values.items()}
        return found

    def __call__(self, jet, tracks):
        """Probabilities of the classes (C) and of origins (n, 8)."""
        found = self.outputs(jet, tracks)
        return found["jets.probabilities"], found[f"{self.types[0]}.origin"]

    def pairs(self, jet, tracks):
        """Logits of all ordered pairs i ≠ j, i outer."""
        return self.logits(self.encode(jet, tracks), "track_vertexing")


def _flat(values):
    return values[..., 0] if values.shape[-1] == 1 else values


def vertices(logits, n):
    """Smallest member of the vertex of each of n constituents, from ordered pairs."""
    x = np.full((n, n), np.inf)
    x[~np.eye(n, dtype=bool)] = logits
    return components((x + x.T) / 2 >= 0)


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
    """One call a jet; outputs by name: jets stacked, constituents concatenated.

    ``tracks``: a jet each {type: rows}, or the rows of tracks.
    """
    names = [output.name for output in session.get_outputs()]
    found = []
    for jet, rows in zip(jets, tracks):
        parts = rows if isinstance(rows, dict) else {"tracks": rows}
        feed = {f"{name[:-1]}_features": part for name, part in parts.items()}
        found.append(session.run(names, {"jet_features": jet[None], **feed}))
    columns = {name: [f[k] for f in found] for k, name in enumerate(names)}
    return {
        k: np.concatenate(v) if v[0].ndim else np.array(v) for k, v in columns.items()
    }

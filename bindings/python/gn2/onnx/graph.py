# SPDX-License-Identifier: Apache-2.0
"""The forward pass of a model as ONNX nodes; what is around them is in exporter.

Rows are tokens of one jet, no batch axis: T tokens, n tracks, w embed_dim, o out_dim,
H heads, d head_dim, h hidden. No Loop, no If: all shapes follow from the inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import Model

#: As salt exports; ONNX Runtime reads it from 1.17 on.
OPSET, IR_VERSION = 20, 9
#: Gate of a token that must not count: exp of it is 0, and no Inf or NaN can come.
CLOSED = -1e30


class Graph:
    """Nodes, initialisers, inputs and outputs under construction."""

    def __init__(self, model: Model) -> None:
        import onnx

        self.onnx = onnx
        self.config: Any = model.config
        self.weights = model.state_dict()
        self.mult = {name: p.forward_mult for name, p in model.params.items()}
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.results: dict[str, str] = {}
        self.mask = self.present = ""

    # ---- nodes ----

    def add(self, op: str, inputs: list[str], name: str, **attributes: Any) -> str:
        node = self.onnx.helper.make_node(op, inputs, [name], name, **attributes)
        self.nodes.append(node)
        return name

    def constant(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        self.constants.setdefault(name, np.asarray(values, dtype))
        return name

    def ints(self, *values: int) -> str:
        return self.constant("i64." + "x".join(map(str, values)), values, np.int64)

    def weight(self, name: str) -> str:
        return self.constant("model." + name, self.weights[name])

    def linear(self, x: str, name: str, out: str, alpha: float = 1.0) -> str:
        """(rows, in) → (rows, out); ``alpha`` multiplies x."""
        return self.gemm(x, name + ".weight", name + ".bias", out, alpha)

    def gemm(self, x: str, weight: str, bias: str, out: str, alpha: float = 1.0) -> str:
        inputs = [x, self.weight(weight), self.weight(bias)]
        return self.add("Gemm", inputs, out, transB=1, alpha=float(alpha))

    def dense(self, x: str, prefix: str, out: str, skip: int = 0) -> str:
        """The linear layers of a Dense with ReLU between, from the ``skip``-th on."""
        layers = self.dense_layers(prefix)[skip:]
        for k, name in enumerate(layers):
            x = self.linear(x, name, f"{out}.{k + skip}")
            if k < len(layers) - 1:
                x = self.add("Relu", [x], f"{out}.{k + skip}.relu")
        return x

    def dense_layers(self, prefix: str) -> list[str]:
        found = [n[: -len(".weight")] for n in self.weights if n.startswith(prefix)]
        return [name for name in found if f"{name}.weight" in self.weights]

    def layer_norm(self, x: str, name: str, out: str, width: int) -> str:
        if f"{name}.weight" in self.weights:
            affine = [self.weight(f"{name}.weight"), self.weight(f"{name}.bias")]
        else:
            affine = [self.constant(f"ones.{width}", np.ones(width))]
        eps = float(self.config["model.norm_eps"])
        return self.add(
            "LayerNormalization", [x, *affine], out, axis=-1, epsilon=eps, stash_type=1
        )

    def rows(self, x: str, name: str) -> str:
        """Number of rows of x, as a tensor of one element."""
        return self.add("Shape", [x], name, start=0, end=1)

    # ---- ends ----

    def input(self, name: str, shape: list[Any]) -> str:
        kind = self.onnx.TensorProto.FLOAT
        info = self.onnx.helper.make_tensor_value_info(name, kind, shape)
        self.inputs.append(info)
        return name

    def output(self, name: str, kind: int, shape: list[Any]) -> str:
        info = self.onnx.helper.make_tensor_value_info(name, kind, shape)
        self.outputs.append(info)
        return name

    def probability(self, index: int, name: str) -> str:
        where = self.constant(f"class.{index}", index, np.int64)
        self.add("Gather", [self.results["jets"], where], name, axis=0)
        return self.output(name, self.onnx.TensorProto.FLOAT, [])

    def combined(self, name: str, terms: list[tuple[float, str]]) -> str:
        parts = []
        for k, (factor, source) in enumerate(terms):
            scale = self.constant(f"{name}.factor.{k}", factor)
            parts.append(self.add("Mul", [source, scale], f"{name}.{k}"))
        self.add("Sum", parts, name)
        return self.output(name, self.onnx.TensorProto.FLOAT, [])

    def per_track(self, task: str, name: str) -> str:
        kind = self.onnx.TensorProto.INT8
        self.add("Cast", [self.results[task]], name, to=kind)
        return self.output(name, kind, ["n_" + str(self.config[f"task.{task}.object"])])

    def finish(self, title: str) -> Any:
        tensors = [
            self.onnx.numpy_helper.from_array(values, name)
            for name, values in self.constants.items()
        ]
        return self.onnx.helper.make_graph(
            self.nodes, title, self.inputs, self.outputs, tensors
        )


def build(model: Model, tasks: tuple[str, ...], squarings: int) -> Graph:
    """The whole network up to what the outputs are made of."""
    g = Graph(model)
    tokens, objects = _tokens(g, model)
    x = _encoder(g, tokens)
    pooled = _pool(g, x)
    slots = _slots(g, x, objects)
    heads: dict[str, Callable[[str], None]] = {
        "jets_classification": lambda at: _jets(g, pooled, at),
        "track_origin": lambda at: _origin(g, pooled, slots, at),
        "track_vertexing": lambda at: _vertex(g, pooled, slots, at, squarings),
    }
    order = g.config["model.tasks"]
    for task in tasks:
        heads[task](f"tasks.{order.index(task)}.net.net.")
    return g


# ---- tokens ----


def _normalised(g: Graph, name: str, tensor: str, count: int) -> str:
    mean = list(g.config[f"norm.{name}.mean"]) or [0.0] * count
    std = list(g.config[f"norm.{name}.std"]) or [1.0] * count
    centred = g.add(
        "Sub", [tensor, g.constant(f"norm.{name}_means", mean)], f"{name}.centred"
    )
    return g.add("Div", [centred, g.constant(f"norm.{name}_stds", std)], f"{name}.norm")


def _tokens(g: Graph, model: Model) -> tuple[str, dict[str, str]]:
    """(T, w): init nets of all constituent types, then the registers."""
    count = len(model.inputs["jets"])
    jets = _normalised(g, "jets", g.input("jet_features", [1, count]), count)
    parts, objects = [], {}
    for k, name in enumerate(model.constituents):
        width = len(model.inputs[name])
        tensor = g.input(f"{name[:-1]}_features", [f"n_{name}", width])
        rows = _normalised(g, name, tensor, width)
        number = objects[name] = g.rows(tensor, f"{name}.count")
        shape = g.add("Concat", [number, g.ints(count)], f"{name}.jets.shape", axis=0)
        spread = g.add("Expand", [jets, shape], f"{name}.jets")
        both = g.add("Concat", [spread, rows], f"{name}.inputs", axis=1)
        parts.append(g.dense(both, f"init_nets.{k}.net.net.", f"{name}.init"))
    parts.append(_last_token(g, list(objects.values())))
    return g.add("Concat", parts, "tokens", axis=0), objects


def _last_token(g: Graph, numbers: list[str]) -> str:
    """The registers; without any, a token that never counts.

    ONNX Runtime divides by the number of rows in places: a jet without tracks and
    registers would end the process.
    """
    if "encoder.registers" in g.weights:
        return g.weight("encoder.registers")
    total = numbers[0]
    for k, number in enumerate(numbers[1:]):
        total = g.add("Add", [total, number], f"total.{k}")
    # (T) added to scores of keys and to gates
    opened = g.add("Expand", [g.constant("f32.0", 0.0), total], "mask.opened")
    closed = g.constant("mask.closed", [CLOSED])
    g.mask = g.add("Concat", [opened, closed], "mask", axis=0)
    present = g.add("Greater", [total, g.ints(0)], "present.bool")
    g.present = g.add("Cast", [present], "present", to=g.onnx.TensorProto.FLOAT)
    width = int(g.config["model.embed_dim"])
    return g.constant("token.empty", np.zeros((1, width)))


def _slots(g: Graph, x: str, objects: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Encoded tokens of every constituent type, and their number."""
    slots, begin = {}, g.ints(0)
    for name, number in objects.items():
        end = g.add("Add", [begin, number], f"{name}.end")
        z = g.add("Slice", [x, begin, end, g.ints(0)], f"{name}.encoded")
        slots[name], begin = (z, number), end
    return slots


# ---- encoder ----


def _encoder(g: Graph, x: str) -> str:
    c = g.config
    w, out = int(c["model.embed_dim"]), int(c["model.out_dim"])
    for i in range(int(c["model.num_layers"])):
        x = _layer(g, x, f"encoder.layers.{i}.", w)
    norm, legacy = c["model.final_norm_pos"], c["model.encoder"] == "legacy"
    if norm == "pre":
        x = g.layer_norm(x, "encoder.final_norm", "encoder.normed", w)
    name = "encoder.final_linear" if legacy else "encoder.out_proj"
    # the read-out multiplier of muP, kept out of the weights: they stay what they were
    x = g.linear(x, name, "encoder.read", g.mult[f"{name}.weight"])
    return g.layer_norm(x, "", "encoded", out) if norm == "post" else x


def _layer(g: Graph, x: str, at: str, w: int) -> str:
    legacy = g.config["model.encoder"] == "legacy"
    y = g.layer_norm(x, at + "norm1", at + "norm1", w)
    y = _attention(g, y, at)
    y = g.linear(y, at + ("mha.linear_out" if legacy else "attn.fn.out_proj"), at + "a")
    x = g.add("Add", [x, y], at + "mid")
    y = g.layer_norm(x, at + "norm2", at + "norm2", w)
    y = g.dense(y, at + ("dense.net." if legacy else "dense.fn."), at + "ffn")
    return g.add("Add", [x, y], at + "out")


def _qkv(g: Graph, y: str, at: str) -> list[str]:
    """q, k, v: (T, w) each."""
    if g.config["model.encoder"] == "legacy":
        return [g.linear(y, f"{at}mha.linear_{c}", f"{at}{c}") for c in "qkv"]
    weights = at + "attn.fn.in_proj_weight", at + "attn.fn.in_proj_bias"
    packed = g.gemm(y, *weights, at + "qkv")
    outputs = [f"{at}{c}" for c in "qkv"]
    node = g.onnx.helper.make_node(
        "Split", [packed], outputs, at + "split", axis=1, num_outputs=3
    )
    g.nodes.append(node)
    return outputs


def _attention(g: Graph, y: str, at: str) -> str:
    """softmax(s q kᵀ) v of every head, side by side: (T, w)."""
    heads = int(g.config["model.num_heads"])
    w = int(g.config["model.embed_dim"])
    order = {"q": [1, 0, 2], "k": [1, 2, 0], "v": [1, 0, 2]}  # (H, T, d), k (H, d, T)
    split = {}
    for name, part in zip("qkv", _qkv(g, y, at)):
        cut = g.add("Reshape", [part, g.ints(0, heads, w // heads)], f"{at}{name}.cut")
        split[name] = g.add("Transpose", [cut], f"{at}{name}.heads", perm=order[name])
    scale = g.constant("attention.scale", attention_scale(g.config))
    scores = g.add("MatMul", [split["q"], split["k"]], at + "products")
    scores = g.add("Mul", [scores, scale], at + "scores")
    if g.mask:
        scores = g.add("Add", [scores, g.mask], at + "masked")
    p = g.add("Softmax", [scores], at + "p", axis=-1)
    mixed = g.add("MatMul", [p, split["v"]], at + "mixed")
    back = g.add("Transpose", [mixed], at + "back", perm=[1, 0, 2])
    return g.add("Reshape", [back, g.ints(0, w)], at + "attended")


def attention_scale(config: Any) -> float:
    """Factor of q·k, as the library has it: 1/√d; muP: ∝ 1/d, the same at its base."""
    w, heads = int(config["model.embed_dim"]), int(config["model.num_heads"])
    d = w / heads
    base = int(config["model.base_width"]) / (int(config["model.base_heads"]) or heads)
    scales = {"mup": 1 / math.sqrt(base) * (base / d), "mup_absolute": 1 / d}
    return scales.get(str(config["model.parametrization"]), 1 / math.sqrt(d))


def _pool(g: Graph, x: str) -> str:
    """(1, o): mean of the tokens weighted by softmax of their gates."""
    gates = g.linear(x, "pool_net.gate_nn", "pool.gates")
    row = g.add("Transpose", [gates], "pool.row", perm=[1, 0])
    if g.mask:
        row = g.add("Add", [row, g.mask], "pool.masked")
    alpha = g.add("Softmax", [row], "pool.alpha", axis=-1)
    pooled = g.add("MatMul", [alpha, x], "pooled")
    return g.add("Mul", [pooled, g.present], "pooled.present") if g.mask else pooled


# ---- heads ----


def _jets(g: Graph, pooled: str, at: str) -> None:
    logits = g.dense(pooled, at, "jets.logits")
    p = g.add("Softmax", [logits], "jets.softmax", axis=-1)
    g.results["jets"] = g.add("Reshape", [p, g.ints(-1)], "jets.probabilities")


def _origin(g: Graph, pooled: str, slots: dict[str, tuple[str, str]], at: str) -> None:
    z, number = slots[str(g.config["task.track_origin.object"])]
    width = int(g.config["model.out_dim"])
    shape = g.add("Concat", [number, g.ints(width)], "origin.shape", axis=0)
    context = g.add("Expand", [pooled, shape], "origin.context")
    both = g.add("Concat", [context, z], "origin.inputs", axis=1)
    logits = g.dense(both, at, "origin.logits")
    logits = g.add("Identity", [logits], "track_origin.logits")
    g.results["track_origin"] = g.add(
        "ArgMax", [logits], "origin.class", axis=1, keepdims=0
    )


def _vertex(
    g: Graph,
    pooled: str,
    slots: dict[str, tuple[str, str]],
    at: str,
    squarings: int,
) -> None:
    z, number = slots[str(g.config["task.track_vertexing.object"])]
    first = _pair_layer(g, pooled, z, at)
    logits = g.dense(first, at, "pairs", skip=1)
    square = g.add("Concat", [number, number], "pairs.square", axis=0)
    x = g.add("Reshape", [logits, square], "pairs.logits", allowzero=1)
    swapped = g.add("Transpose", [x], "pairs.swapped", perm=[1, 0])
    both = g.add("Add", [x, swapped], "pairs.both")
    zero = g.constant("f32.0", 0.0)
    edges = g.add("GreaterOrEqual", [both, zero], "pairs.edges")
    reach = _reachable(g, edges, number, squarings)
    # a column of zeros, so that the axis is never empty; the first maximum is wanted
    rows = g.add("Concat", [number, g.ints(1)], "vertex.rows", axis=0)
    column = g.add("Expand", [g.constant("f32.0x", [[0.0]]), rows], "vertex.column")
    padded = g.add("Concat", [reach, column], "vertex.padded", axis=1)
    g.results["track_vertexing"] = g.add(
        "ArgMax", [padded], "vertex.label", axis=1, keepdims=0
    )


def _pair_layer(g: Graph, pooled: str, z: str, at: str) -> str:
    """(n², h): W [G, z_i, z_j] = W_G G + W_i z_i + W_j z_j, three small products."""
    name = g.dense_layers(at)[0]
    width = int(g.config["model.out_dim"])
    hidden = len(g.weights[f"{name}.bias"])
    parts = ["pairs.w_context", "pairs.w_row", "pairs.w_column"]
    node = g.onnx.helper.make_node(
        "Split", [g.weight(f"{name}.weight")], parts, "pairs.w", axis=1, num_outputs=3
    )
    g.nodes.append(node)
    bias = g.weight(f"{name}.bias")
    context = g.add("Gemm", [pooled, parts[0], bias], "pairs.context", transB=1)
    i = g.add("Gemm", [z, parts[1]], "pairs.row", transB=1)
    j = g.add("Gemm", [z, parts[2]], "pairs.column", transB=1)
    i = g.add("Add", [i, context], "pairs.row_context")
    i = g.add("Unsqueeze", [i, g.ints(1)], "pairs.i")
    j = g.add("Unsqueeze", [j, g.ints(0)], "pairs.j")
    assert g.weights[f"{name}.weight"].shape == (hidden, 3 * width)
    total = g.add("Add", [i, j], "pairs.sum")
    active = g.add("Relu", [total], "pairs.relu")
    return g.add("Reshape", [active, g.ints(-1, hidden)], "pairs.rows")


def _reachable(g: Graph, edges: str, number: str, squarings: int) -> str:
    """(n, n) of 0 and 1: tracks joined by a chain of at most 2^squarings edges."""
    scalar = g.add("Squeeze", [number, g.ints(0)], "vertex.n")
    zero, one = g.constant("i64.zero", 0, np.int64), g.constant("i64.one", 1, np.int64)
    index = g.add("Range", [zero, scalar, one], "vertex.index")
    i = g.add("Unsqueeze", [index, g.ints(1)], "vertex.i")
    j = g.add("Unsqueeze", [index, g.ints(0)], "vertex.j")
    itself = g.add("Equal", [i, j], "vertex.itself")
    joined = g.add("Or", [edges, itself], "vertex.joined")
    kind = g.onnx.TensorProto.FLOAT
    reach = g.add("Cast", [joined], "vertex.reach.0", to=kind)
    most = g.constant("f32.1", 1.0)
    for k in range(1, squarings + 1):
        paths = g.add("MatMul", [reach, reach], f"vertex.paths.{k}")
        reach = g.add("Min", [paths, most], f"vertex.reach.{k}")
    return reach

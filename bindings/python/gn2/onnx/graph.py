# SPDX-License-Identifier: Apache-2.0
"""The forward pass of a model as ONNX nodes; what is around them is in exporter.

Rows are tokens of one jet, no batch axis: T tokens, n tracks, w embed_dim, o out_dim,
H heads, d head_dim, h hidden. No Loop, no If: all shapes follow from the inputs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument, Unsupported
from ..model import Model
from ..tasks import CLASSIFICATION, GAUSSIAN, REGRESSION, VERTEXING, Task

#: As salt exports; ONNX Runtime reads it from 1.17 on.
OPSET, IR_VERSION = 20, 9
#: Gate of a token that must not count: exp of it is 0, and no Inf or NaN can come.
CLOSED = -1e30
#: Of a gaussian regression, in scaled units: eps of torch.nn.GaussianNLLLoss.
LEAST_VARIANCE = 1e-6


class Graph:
    """Nodes, initialisers, inputs and outputs under construction."""

    def __init__(self, model: Model) -> None:
        import onnx

        self.onnx = onnx
        self.config: Any = model.config
        self.weights = model.state_dict()
        # the model's own, not what the parametrisation's formulas say today
        self.attention = float(model.metadata("scale.attention"))
        self.readout = float(model.metadata("scale.readout"))
        self.used: set[str] = set()  # names of weights
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.tasks = model.tasks
        self.columns = model.inputs
        self.features: dict[str, str] = {}  # tensors of the inputs in raw units
        self.results: dict[str, str] = {}  # tensors outputs are made of, by task
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
        self.used.add(name)
        return self.constant("model." + name, self.weights[name])

    def check_used(self, tasks: tuple[str, ...]) -> None:
        """Fails if a tensor of the trunk or of these tasks has no place here."""
        heads = tuple(task.prefix for task in self.tasks.values())
        wanted = tuple(self.tasks[name].prefix for name in tasks)
        for name in self.weights:
            other = name.startswith(heads) and not name.startswith(wanted)
            if name not in self.used and not other:
                raise Unsupported(f"tensor {name!r} has no part in an ONNX file")

    def linear(self, x: str, name: str, out: str, alpha: float = 1.0) -> str:
        """(rows, in) → (rows, out); ``alpha`` multiplies x."""
        return self.gemm(x, name + ".weight", name + ".bias", out, alpha)

    def gemm(self, x: str, weight: str, bias: str, out: str, alpha: float = 1.0) -> str:
        inputs = [x, self.weight(weight), self.weight(bias)]
        return self.add("Gemm", inputs, out, transB=1, alpha=float(alpha))

    def dense(self, x: str, prefix: str, out: str, skip: int = 0) -> str:
        """The linear layers of a Dense with ReLU between, from the ``skip``-th on."""
        return self.chain(x, self.dense_layers(prefix)[skip:], out, skip)

    def chain(self, x: str, layers: list[str], out: str, first: int = 0) -> str:
        """Linear layers with ReLU between; ``first``: number of the first node."""
        for k, name in enumerate(layers):
            x = self.linear(x, name, f"{out}.{k + first}")
            if k < len(layers) - 1:
                x = self.add("Relu", [x], f"{out}.{k + first}.relu")
        return x

    def dense_layers(self, prefix: str) -> list[str]:
        """Those with a number; what has another name is no link of the chain."""
        found = [n[: -len(".weight")] for n in self.weights if n.endswith(".weight")]
        return [n for n in found if n.startswith(prefix) and n[len(prefix) :].isdigit()]

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

    def probability(self, task: str, index: int, name: str) -> str:
        where = self.constant(f"class.{index}", index, np.int64)
        self.add("Gather", [self.results[task], where], name, axis=0)
        return self.output(name, self.onnx.TensorProto.FLOAT, [])

    def value(self, task: str, result: str, index: int, name: str) -> str:
        """A column of the (rows, targets) of a regression; of jets a scalar."""
        where = self.constant(f"class.{index}", index, np.int64)
        on_jets = self.tasks[task].on_jets
        column = f"{name}.row" if on_jets else name
        self.add("Gather", [self.results[result], where], column, axis=1)
        if on_jets:
            self.add("Squeeze", [column, self.ints(0)], name)
        rows = [] if on_jets else [f"n_{self.tasks[task].object}"]
        return self.output(name, self.onnx.TensorProto.FLOAT, rows)

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
        return self.output(name, kind, [f"n_{self.tasks[task].object}"])

    def finish(self, title: str) -> Any:
        tensors = [
            self.onnx.numpy_helper.from_array(values, name)
            for name, values in self.constants.items()
        ]
        return self.onnx.helper.make_graph(
            self.nodes, title, self.inputs, self.outputs, tensors
        )


class Encoded(NamedTuple):
    """What heads read."""

    pooled: str  # (1, o)
    slots: dict[str, tuple[str, str]]  # (n, o) and n of every constituent type


def build(model: Model, tasks: tuple[str, ...], squarings: int) -> Graph:
    """The whole network up to what the outputs are made of."""
    g = Graph(model)
    tokens, objects = _tokens(g, model)
    x = _encoder(g, tokens)
    encoded = Encoded(_pool(g, x), _slots(g, x, objects))
    for name in tasks:
        task = model.tasks[name]
        if task.kind == VERTEXING:
            _vertex(g, encoded, task, squarings)
        elif task.kind in (REGRESSION, GAUSSIAN):
            _regression(g, encoded, task)
        elif task.kind == CLASSIFICATION:
            _classes(g, encoded, task)
        else:
            raise Unsupported(f"task {name!r}: ONNX files have no {task.kind}")
    g.check_used(tasks)
    return g


# ---- tokens ----


def input_name(constituents: str) -> str:
    """The tensor of a constituent type: track_features for tracks."""
    return f"{constituents[:-1]}_features"


def _features(g: Graph, name: str, tensor: str, rows: Any) -> str:
    """(rows, F) in raw units; what is not finite replaced if the model says so."""
    x = g.input(tensor, [rows, len(g.columns[name])])
    if g.config["input.non_finite"] != "default":
        return x
    # IsNaN and IsInf changed after opset 18; no comparison with NaN is true
    largest = g.constant("f32.largest", np.finfo(np.float32).max)
    size = g.add("Abs", [x], f"{name}.abs")
    finite = g.add("LessOrEqual", [size, largest], f"{name}.finite")
    values = list(g.config[f"input.defaults.{name}"]) or [0.0]
    default = g.constant(f"input.{name}_defaults", values)
    return g.add("Where", [finite, x, default], f"{name}.replaced")


def _normalised(g: Graph, name: str, tensor: str, rows: Any) -> str:
    x = g.features[name] = _features(g, name, tensor, rows)
    mean = list(g.config[f"norm.{name}.mean"]) or [0.0] * len(g.columns[name])
    std = list(g.config[f"norm.{name}.std"]) or [1.0] * len(g.columns[name])
    means = g.constant(f"norm.{name}_means", mean)
    centred = g.add("Sub", [x, means], f"{name}.centred")
    return g.add("Div", [centred, g.constant(f"norm.{name}_stds", std)], f"{name}.norm")


def _tokens(g: Graph, model: Model) -> tuple[str, dict[str, str]]:
    """(T, w): init nets of all constituent types, then the registers."""
    count = len(model.inputs["jets"])
    jets = _normalised(g, "jets", "jet_features", 1)
    parts, objects = [], {}
    for k, name in enumerate(model.constituents):
        rows = _normalised(g, name, input_name(name), f"n_{name}")
        number = objects[name] = g.rows(g.features[name], f"{name}.count")
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
    x = g.linear(x, name, "encoder.read", g.readout)
    return g.layer_norm(x, "", "encoded", out) if norm == "post" else x


def _layer(g: Graph, x: str, at: str, w: int) -> str:
    legacy = g.config["model.encoder"] == "legacy"
    y = g.layer_norm(x, at + "norm1", at + "norm1", w)
    y = _attention(g, y, at)
    y = g.linear(y, at + ("mha.linear_out" if legacy else "attn.fn.out_proj"), at + "a")
    x = g.add("Add", [x, y], at + "mid")
    y = g.layer_norm(x, at + "norm2", at + "norm2", w)
    maps = [f"{at}dense.fn.in_proj", f"{at}dense.fn.out_proj"]
    y = g.chain(y, g.dense_layers(f"{at}dense.net.") if legacy else maps, f"{at}ffn")
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
    scale = g.constant("attention.scale", g.attention)
    scores = g.add("MatMul", [split["q"], split["k"]], at + "products")
    scores = g.add("Mul", [scores, scale], at + "scores")
    if g.mask:
        scores = g.add("Add", [scores, g.mask], at + "masked")
    p = g.add("Softmax", [scores], at + "p", axis=-1)
    mixed = g.add("MatMul", [p, split["v"]], at + "mixed")
    back = g.add("Transpose", [mixed], at + "back", perm=[1, 0, 2])
    return g.add("Reshape", [back, g.ints(0, w)], at + "attended")


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

# Nodes of GN2's own tasks keep the names they had before tasks had any: files stay the
# same to the byte.
_NODES = {"probabilities": "jets", "origin": "origin", "vertex": "pairs"}


def _nodes(task: Task) -> str:
    """What the names of a head's nodes begin with; no other node's do."""
    return _NODES.get(task.output().partition(".")[2], f"task.{task.name}")


def _rows_of(g: Graph, encoded: Encoded, task: Task) -> str:
    """What the head of a task over jets or constituents reads: (rows, …)."""
    if task.on_jets:
        return encoded.pooled
    (z, number), at = encoded.slots[task.object], _nodes(task)
    width = int(g.config["model.out_dim"])
    shape = g.add("Concat", [number, g.ints(width)], f"{at}.shape", axis=0)
    context = g.add("Expand", [encoded.pooled, shape], f"{at}.context")
    return g.add("Concat", [context, z], f"{at}.inputs", axis=1)


def _classes(g: Graph, encoded: Encoded, task: Task) -> None:
    at = _nodes(task)
    logits = g.dense(_rows_of(g, encoded, task), task.prefix, f"{at}.logits")
    if task.on_jets:
        p = g.add("Softmax", [logits], f"{at}.softmax", axis=-1)
        flat = g.add("Reshape", [p, g.ints(-1)], f"{at}.probabilities")
        g.results[task.name] = flat
        return
    # tests look at it by this name
    name = f"{task.name if at == 'origin' else at}.logits"
    logits = g.add("Identity", [logits], name)
    g.results[task.name] = g.add("ArgMax", [logits], f"{at}.class", axis=1, keepdims=0)


# ---- regression ----


def _regression(g: Graph, encoded: Encoded, task: Task) -> None:
    """Values in units of the targets; gaussian: their spread too, √softplus."""
    at = _nodes(task)
    rows = _rows_of(g, encoded, task)
    logits = g.dense(rows, task.prefix, f"{at}.scores")
    spread = ""
    if task.kind == GAUSSIAN:
        count = len(task.targets)
        halves = [f"{at}.mean", f"{at}.raw"]
        node = g.onnx.helper.make_node(
            "Split", [logits, g.ints(count, count)], halves, f"{at}.split", axis=1
        )
        g.nodes.append(node)
        logits, raw = halves
        soft = g.add("Softplus", [raw], f"{at}.softplus")
        least = g.constant("f32.variance", LEAST_VARIANCE)
        variance = g.add("Max", [soft, least], f"{at}.variance")
        spread = g.add("Sqrt", [variance], f"{at}.spread")
    unit = _denominators(g, task)
    std = g.constant(f"{at}.target_std", [row[2] for row in task.scaling()])
    mean = g.constant(f"{at}.target_mean", [row[1] for row in task.scaling()])
    scaled = g.add("Mul", [logits, std], f"{at}.scaled")
    value = g.add("Add", [scaled, mean], f"{at}.ratio" if unit else f"{at}.value")
    g.results[task.name] = g.add("Mul", [value, unit], f"{at}.value") if unit else value
    if spread:
        wide = g.add("Mul", [spread, std], f"{at}.wide")
        if unit:
            size = g.add("Abs", [unit], f"{at}.size")
            wide = g.add("Mul", [wide, size], f"{at}.stddev")
        g.results[f"{task.name}_stddev"] = wide


def _denominators(g: Graph, task: Task) -> str:
    """(rows, targets) the targets were divided by, as the network reads it, or ""."""
    if not task.denominators:
        return ""
    columns = list(g.columns[task.object])
    for name in task.denominators:
        if name not in columns:
            raise InvalidArgument(
                f"task {task.name!r}: {name!r}, which its targets were divided by, is "
                f"no input of {task.object}: an ONNX file would not know it"
            )
    where = [columns.index(name) for name in task.denominators]
    index = g.constant(f"{_nodes(task)}.denominators", where, np.int64)
    tensor = g.features[task.object]
    return g.add("Gather", [tensor, index], f"{_nodes(task)}.unit", axis=1)


# ---- vertices ----


def _vertex(g: Graph, encoded: Encoded, task: Task, squarings: int) -> None:
    z, number = encoded.slots[task.object]
    pairs = _nodes(task)
    at = "vertex" if pairs == "pairs" else f"{pairs}.vertex"
    first = _pair_layer(g, encoded.pooled, z, task)
    logits = g.dense(first, task.prefix, pairs, skip=1)
    square = g.add("Concat", [number, number], f"{pairs}.square", axis=0)
    x = g.add("Reshape", [logits, square], f"{pairs}.logits", allowzero=1)
    swapped = g.add("Transpose", [x], f"{pairs}.swapped", perm=[1, 0])
    both = g.add("Add", [x, swapped], f"{pairs}.both")
    zero = g.constant("f32.0", 0.0)
    edges = g.add("GreaterOrEqual", [both, zero], f"{pairs}.edges")
    reach = _reachable(g, edges, number, squarings, at)
    # a column of zeros, so that the axis is never empty; the first maximum is wanted
    rows = g.add("Concat", [number, g.ints(1)], f"{at}.rows", axis=0)
    column = g.add("Expand", [g.constant("f32.0x", [[0.0]]), rows], f"{at}.column")
    padded = g.add("Concat", [reach, column], f"{at}.padded", axis=1)
    label = g.add("ArgMax", [padded], f"{at}.label", axis=1, keepdims=0)
    g.results[task.name] = label


def _pair_layer(g: Graph, pooled: str, z: str, task: Task) -> str:
    """(n², h): W [G, z_i, z_j] = W_G G + W_i z_i + W_j z_j, three small products."""
    name, at = g.dense_layers(task.prefix)[0], _nodes(task)
    width = int(g.config["model.out_dim"])
    hidden = len(g.weights[f"{name}.bias"])
    parts = [f"{at}.w_context", f"{at}.w_row", f"{at}.w_column"]
    node = g.onnx.helper.make_node(
        "Split", [g.weight(f"{name}.weight")], parts, f"{at}.w", axis=1, num_outputs=3
    )
    g.nodes.append(node)
    bias = g.weight(f"{name}.bias")
    context = g.add("Gemm", [pooled, parts[0], bias], f"{at}.context", transB=1)
    i = g.add("Gemm", [z, parts[1]], f"{at}.row", transB=1)
    j = g.add("Gemm", [z, parts[2]], f"{at}.column", transB=1)
    i = g.add("Add", [i, context], f"{at}.row_context")
    i = g.add("Unsqueeze", [i, g.ints(1)], f"{at}.i")
    j = g.add("Unsqueeze", [j, g.ints(0)], f"{at}.j")
    assert g.weights[f"{name}.weight"].shape == (hidden, 3 * width)
    total = g.add("Add", [i, j], f"{at}.sum")
    active = g.add("Relu", [total], f"{at}.relu")
    return g.add("Reshape", [active, g.ints(-1, hidden)], f"{at}.rows")


def _reachable(
    g: Graph, edges: str, number: str, squarings: int, at: str = "vertex"
) -> str:
    """(n, n) of 0 and 1: tracks joined by a chain of at most 2^squarings edges."""
    scalar = g.add("Squeeze", [number, g.ints(0)], f"{at}.n")
    zero, one = g.constant("i64.zero", 0, np.int64), g.constant("i64.one", 1, np.int64)
    index = g.add("Range", [zero, scalar, one], f"{at}.index")
    i = g.add("Unsqueeze", [index, g.ints(1)], f"{at}.i")
    j = g.add("Unsqueeze", [index, g.ints(0)], f"{at}.j")
    itself = g.add("Equal", [i, j], f"{at}.itself")
    joined = g.add("Or", [edges, itself], f"{at}.joined")
    kind = g.onnx.TensorProto.FLOAT
    reach = g.add("Cast", [joined], f"{at}.reach.0", to=kind)
    most = g.constant("f32.1", 1.0)
    for k in range(1, squarings + 1):
        paths = g.add("MatMul", [reach, reach], f"{at}.paths.{k}")
        reach = g.add("Min", [paths, most], f"{at}.reach.{k}")
    return reach

# SPDX-License-Identifier: Apache-2.0
"""The same weights on both sides: from an ONNX file that salt wrote, or random ones of
libgn2, as a dictionary by salt's names and as a .gn2 file."""
import numpy as np

import gn2

NORMS = {
    "jets": ("norm.jets_means", "norm.jets_stds"),
    "tracks": ("norm.tracks_means", "norm.tracks_stds"),
}


def _name(node):
    """salt's tensor name of a matrix product: torch names the node by its module."""
    path = node.name.removeprefix("/model/").rsplit("/", 1)[0]
    name = path.replace("/", ".").replace("net.net.net.", "net.net.")
    return name + (".in_proj_weight" if name.endswith("attn.fn") else ".weight")


def read_onnx(path):
    """name → array, salt's names without "model."; the exporter has transposed and
    renamed the weights of plain products."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    arrays = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    found = {
        name.removeprefix("model."): array
        for name, array in arrays.items()
        if not name.startswith("onnx::")
    }
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1].startswith("onnx::MatMul"):
            if node.input[1] in arrays:
                found[_name(node)] = arrays[node.input[1]].T
    return found


def _config(width, norms):
    config = {"model.embed_dim": width}
    for kind, (means, stds) in NORMS.items():
        config[f"norm.{kind}.mean"] = [float(x) for x in norms[means]]
        config[f"norm.{kind}.std"] = [float(x) for x in norms[stds]]
    return config


def make_model(weights, config=None):
    """A gn2.Model with these weights, every tensor set; config: further options."""
    width = weights["encoder.registers"].shape[1]
    model = gn2.Model(_config(width, weights) | (config or {}))
    for param in model.params.values():
        array = np.ascontiguousarray(weights[param.name], np.float32)
        assert array.size == param.count, param.name
        model[param.name] = array.reshape(param.shape)
    return model


def random_weights(width, norms):
    """The random start of libgn2 at a width, with the normalisation of `norms`."""
    model = gn2.Model(_config(width, norms))
    weights = {name: np.array(model[name]) for name in model.params}
    return weights | {name: norms[name] for pair in NORMS.values() for name in pair}

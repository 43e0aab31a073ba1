# SPDX-License-Identifier: Apache-2.0
"""The files that the sides load, all of the same weights: salt's own graph (what Athena
runs), our graph of one jet without mask and of padded batches (the best ONNX Runtime
could run), both also in int8, the weights as arrays, and the model of libgn2."""
import os

import numpy as np

import buckets
import gn2_weights

SALT = {64: "salt_model/gn2_w64.onnx", 256: "onnx/gn2_w256.onnx"}
FLAVOUR = ["GN2_pb", "GN2_pc", "GN2_pu", "GN2_ptau"]
TASKS = ("flavour", "all")


class Graphs:
    """Files of one width in a folder; each is made when first asked for."""

    def __init__(self, shared, width, folder):
        self.salt = str(shared / SALT[width])
        self.width, self.folder = width, folder
        self.weights = gn2_weights.read_onnx(self.salt)
        flavours, origins = buckets.class_weights(shared / "data")
        model = gn2_weights.make_model(
            self.weights,
            {
                "task.jets_classification.class_weights": flavours,
                "task.track_origin.class_weights": origins,
            },
        )
        model.save(self.path("model.gn2"))
        np.savez(self.path("weights.npz"), **self.weights)

    def path(self, name):
        return f"{self.folder}/w{self.width}_{name}"

    def of(self, kind, tasks, int8=False):
        """Path of a graph; kind: salt, one or batch."""
        path = self.path(f"{kind}_{tasks}{'_int8' if int8 else ''}.onnx")
        if os.path.exists(path):
            return path
        if int8:
            quantise(self.of(kind, tasks), path)
        elif kind == "salt":
            cut(self.salt, tasks, path)
        else:
            export(kind, self.weights, tasks, path)
        return path


def export(kind, weights, tasks, path):
    import gn2_torch

    write = {"one": gn2_torch.export_one, "batch": gn2_torch.export}[kind]
    write(weights, tasks == "all", path)


def cut(salt, tasks, path):
    """salt's graph, for flavour without the heads nobody asked for."""
    import onnx

    if tasks == "all":
        os.symlink(salt, path)
    else:
        names = ["jet_features", "track_features"]
        onnx.utils.extract_model(salt, path, names, FLAVOUR)


def quantise(source, path):
    """Products in int8, scales of activations found in each call."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = path + ".prepared"
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    quantize_dynamic(prepared, path, weight_type=QuantType.QInt8, per_channel=True)

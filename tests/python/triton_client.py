# SPDX-License-Identifier: Apache-2.0
"""Jets through tritonclient, in a process of its own.

triton_client.py JETS.npz HTTP_URL GRPC_URL MODEL OUT.npz
"""

import sys

import numpy as np
import tritonclient.grpc
import tritonclient.http

source, *urls, model, out = sys.argv[1:]
data = np.load(source)
found = {}
for name, module, url in zip(
    ("http", "grpc"), (tritonclient.http, tritonclient.grpc), urls
):
    client = module.InferenceServerClient(url)
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(model, "1")

    def given(tensors):
        for key, values in tensors:
            kind = {"f": "FP32", "i": "INT64"}[values.dtype.kind]
            one = module.InferInput(key, list(values.shape), kind)
            one.set_data_from_numpy(values)
            yield one

    rows = np.split(data["tracks"], data["offsets"][1:-1])
    single = [
        client.infer(
            model,
            list(given([("jet_features", jet[None]), ("track_features", tracks)])),
        )
        for jet, tracks in zip(data["jets"], rows)
    ]
    for key in ("GN2_pb", "GN2_pc", "GN2_pu", "GN2_ptau"):
        found[f"{name}.{key}"] = np.concatenate([r.as_numpy(key) for r in single])
    for key in ("GN2_TrackOrigin", "GN2_VertexIndex"):
        found[f"{name}.{key}"] = np.concatenate([r.as_numpy(key) for r in single])
    names = [module.InferRequestedOutput(n) for n in ("probabilities", "D_b")]
    many = client.infer(model, list(given(data.items())), outputs=names)
    for key in ("probabilities", "D_b"):
        found[f"{name}.{key}"] = many.as_numpy(key)
np.savez(out, **found)

# SPDX-License-Identifier: Apache-2.0
"""Jets through a client that others wrote, in a process of its own.

triton_client.py WAY JETS.npz HTTP_URL GRPC_URL MODEL OUT.npz

WAY: http (binary), json and grpc of tritonclient; athena: the calls of Athena's client
in their order; openapi: open-inference-openapi. Each jet is a call; http, json and grpc
also send all of them as a batch.
"""

import sys
import urllib.request

import numpy as np

WAY, SOURCE, HTTP_URL, GRPC_URL, MODEL, OUT = sys.argv[1:]
NAMES = [f"GN2_{c}" for c in ("pb", "pc", "pu", "ptau", "TrackOrigin", "VertexIndex")]
DATA = np.load(SOURCE)


def jets():
    """(jet_features, track_features) of each."""
    ends = DATA["offsets"]
    for b, jet in enumerate(DATA["jets"]):
        yield jet[None], DATA["tracks"][ends[b] : ends[b + 1]]


def kind(values):
    return {"f": "FP32", "i": "INT64"}[values.dtype.kind]


def triton():
    """tritonclient over HTTP or gRPC."""
    if WAY == "grpc":
        import tritonclient.grpc as module

        client, words = module.InferenceServerClient(GRPC_URL), {}
    else:
        import tritonclient.http as module

        client = module.InferenceServerClient(HTTP_URL)
        words = {"binary_data": WAY == "http"}
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(MODEL) and client.is_model_ready(MODEL, "1")

    def ask(tensors, names, **more):
        given = []
        for name, values in tensors:
            one = module.InferInput(name, list(values.shape), kind(values))
            one.set_data_from_numpy(values, **words)
            given.append(one)
        wanted = [module.InferRequestedOutput(name, **words) for name in names]
        return client.infer(MODEL, given, outputs=wanted, **more)

    for jet, tracks in jets():
        one = [("jet_features", jet), ("track_features", tracks)]
        answer = ask(one, NAMES, request_id="7")
        yield {name: answer.as_numpy(name) for name in NAMES}
    many = ask(DATA.items(), ["probabilities", "D_b"])
    yield {f"batch.{n}": many.as_numpy(n) for n in ("probabilities", "D_b")}


def athena():
    """As SaltModelTriton: no version, no outputs named, raw contents, tensors by name;
    before it what AthenaTriton's scripts ask."""
    import tritonclient.grpc as module

    for word in ("live", "ready"):
        url = f"http://{HTTP_URL}/v2/health/{word}"
        assert urllib.request.urlopen(url).status == 200
    client = module.InferenceServerClient(GRPC_URL)
    assert client.is_model_ready(MODEL, "1")
    described = client.get_model_metadata(MODEL)
    assert [t.name for t in described.inputs] == ["jet_features", "track_features"]
    assert [t.name for t in described.outputs] == NAMES
    assert [t.datatype for t in described.outputs] == 4 * ["FP32"] + 2 * ["INT8"]
    for jet, tracks in jets():
        given = []
        for name, values in (("jet_features", jet), ("track_features", tracks)):
            one = module.InferInput(name, list(values.shape), "FP32")
            one.set_data_from_numpy(values)
            given.append(one)
        answer = client.infer(MODEL, given, model_version="", client_timeout=60.0)
        message = answer.get_response()
        raw = dict(zip((o.name for o in message.outputs), message.raw_output_contents))
        assert all(len(raw[name]) == 4 for name in NAMES[:4])
        scalars = {name: np.frombuffer(raw[name], "<f4") for name in NAMES[:4]}
        assert all(len(raw[name]) == len(tracks) for name in NAMES[4:])
        yield scalars | {name: np.frombuffer(raw[name], "i1") for name in NAMES[4:]}


def openapi():
    """open-inference-openapi: JSON."""
    from open_inference.openapi.client import OpenInferenceClient
    from open_inference.openapi.types import InferenceRequest, RequestInput

    client = OpenInferenceClient(base_url=f"http://{HTTP_URL}")
    client.check_server_liveness()
    client.check_server_readiness()
    client.check_model_readiness(MODEL)
    found = client.read_model_metadata(MODEL)
    assert [t.name for t in found.outputs] == NAMES
    for jet, tracks in jets():
        given = [
            RequestInput(
                name=name,
                shape=list(values.shape),
                datatype="FP32",
                data=values.reshape(-1).tolist(),
            )
            for name, values in (("jet_features", jet), ("track_features", tracks))
        ]
        request = InferenceRequest(id="7", inputs=given)
        answer = client.model_infer(MODEL, request=request)
        yield {o.name: np.array(o.data.__root__, "f4") for o in answer.outputs}


def main():
    ways = {"athena": athena, "openapi": openapi}
    found = {}
    for one in ways.get(WAY, triton)():
        for name, values in one.items():
            found.setdefault(name, []).append(values)
    np.savez(OUT, **{name: np.concatenate(v) for name, v in found.items()})


main()

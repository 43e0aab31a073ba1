# SPDX-License-Identifier: Apache-2.0
"""Asks a server for a jet's scores, as Athena's client does: one jet, no outputs named.

query.py [HOST:PORT] [MODEL]        pip install 'tritonclient[http]'

A server that is starting is waited for, 30 s at most.
"""

import sys
import time

import numpy as np
import tritonclient.http as triton

url, model = (sys.argv[1:] + ["127.0.0.1:8000", "GN2"][len(sys.argv) - 1 :])[:2]
client = triton.InferenceServerClient(url)

for left in range(150, -1, -1):
    try:
        if client.is_server_ready():
            break
    except OSError:
        if not left:
            raise
    time.sleep(0.2)

inputs = []
for tensor in client.get_model_metadata(model)["inputs"]:
    rows, columns = tensor["shape"]
    values = np.zeros((3 if rows == -1 else rows, columns), np.float32)  # 3 tracks
    if tensor["name"] == "jet_features":
        values[0, 0] = 1e5  # pt in MeV: what the model's first input is
    one = triton.InferInput(tensor["name"], list(values.shape), tensor["datatype"])
    one.set_data_from_numpy(values)
    inputs.append(one)
answer = client.infer(model, inputs)
for output in answer.get_response()["outputs"]:
    print(output["name"], answer.as_numpy(output["name"]))

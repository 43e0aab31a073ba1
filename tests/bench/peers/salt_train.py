# SPDX-License-Identifier: Apache-2.0
"""salt's GN2 as a training peer: waits for lines on stdin, takes steps, answers.

usage: salt_train.py DATA WIDTH THREADS BATCH [stock|packed]

Every line "N" makes N training steps (forward, three losses, backward, AdamW) on
batches held in memory and answers with the seconds of each step.  `stock` is the
fastest setting salt offers on a CPU (attention torch-flash, matmul precision
highest); `packed` also takes the padding out of everything but the attention core,
through salt's own flash-varlen path with a CPU attention put in its place: the
strongest PyTorch we know how to make, not part of salt.
"""
import copy
import sys
import time
import warnings

import torch
import yaml

from peer_jets import JETS, TRACKS

warnings.filterwarnings("ignore")
LABELS = {
    "jets": ["flavour_label"],
    "tracks": ["ftagTruthOriginLabel", "ftagTruthVertexIndex"],
}
VARIABLES = {"jets": JETS, "tracks": TRACKS}


def attend_packed(qkv, starts, longest, _dropout, softmax_scale):
    """Attention of packed rows (N, 3, H, D) by padding this step alone."""
    lengths = starts[1:] - starts[:-1]
    valid = torch.arange(longest) < lengths[:, None]
    padded = qkv.new_zeros(len(lengths), longest, *qkv.shape[1:])
    padded[valid] = qkv
    q, k, v = padded.permute(2, 0, 3, 1, 4)
    out = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, attn_mask=valid[:, None, None], scale=softmax_scale
    )
    return out.transpose(1, 2)[valid]


def attention_kind(variant):
    if variant == "stock":
        return "torch-flash"
    import salt.models.attention as attention

    attention.check_flash_attn = lambda: ""
    attention._flash_attn_func = attend_packed
    return "flash-varlen"


def head(inputs, outputs):
    return {
        "input_size": inputs,
        "output_size": outputs,
        "hidden_layers": [128, 64, 32],
        "activation": "ReLU",
    }


def tasks(models, weights):
    cross = lambda w: torch.nn.CrossEntropyLoss(weight=torch.tensor(w))
    return torch.nn.ModuleList(
        [
            models.ClassificationTask(
                name="jets_classification",
                input_name="jets",
                label="flavour_label",
                class_names=["bjets", "cjets", "ujets", "taujets"],
                loss=cross(weights["jets"]["flavour_label"]),
                dense_config=head(128, 4),
            ),
            models.ClassificationTask(
                name="track_origin",
                input_name="tracks",
                label="ftagTruthOriginLabel",
                weight=0.5,
                loss=cross(weights["tracks"]["ftagTruthOriginLabel"]),
                dense_config=head(128, 8) | {"context_size": 128},
            ),
            models.VertexingTask(
                name="track_vertexing",
                input_name="tracks",
                label="ftagTruthVertexIndex",
                weight=1.5,
                loss=torch.nn.BCEWithLogitsLoss(reduction="none"),
                dense_config=head(256, 1) | {"context_size": 128},
            ),
        ]
    )


def build(data, width, variant):
    from salt import models
    from salt.modelwrapper import ModelWrapper

    torch.manual_seed(42)
    with open(f"{data}/class_dict.yaml") as file:
        weights = yaml.safe_load(file)
    model = models.SaltModel(
        init_nets=[
            {
                "input_name": "tracks",
                "variables": VARIABLES,
                "global_object": "jets",
                "dense_config": {
                    "output_size": width,
                    "hidden_layers": [256],
                    "activation": "ReLU",
                },
            }
        ],
        encoder=models.Transformer(
            num_layers=4,
            embed_dim=width,
            out_dim=128,
            attn_type=attention_kind(variant),
            norm="LayerNorm",
            do_final_norm=True,
            dense_kwargs={"activation": "ReLU", "gated": False},
            attn_kwargs={"num_heads": 8},
        ),
        pool_net=models.GlobalAttentionPooling(input_size=128),
        tasks=tasks(models, weights),
    )
    schedule = {
        "initial": 1e-7,
        "max": 1e-3,
        "end": 1e-5,
        "pct_start": 0.01,
        "weight_decay": 1e-5,
    }
    norm = {
        "norm_dict": f"{data}/norm_dict.yaml",
        "variables": VARIABLES,
        "global_object": "jets",
        "input_map": None,
    }
    return ModelWrapper(model, schedule, "jets", norm_config=norm, name="GN2")


def batches(data, size, count):
    from salt.data.datasets import SaltDataset

    dataset = SaltDataset(
        filename=f"{data}/jets_train.h5",
        norm_dict=f"{data}/norm_dict.yaml",
        variables=VARIABLES,
        stage="fit",
        num=-1,
        labels=LABELS,
        global_object="jets",
    )
    return [copy.deepcopy(dataset[k * size : (k + 1) * size]) for k in range(count)]


def main():
    data, width, threads, size, variant = (
        sys.argv[1],
        *map(int, sys.argv[2:5]),
        sys.argv[5],
    )
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("highest")
    wrapper = build(data, width, variant).train()
    optimiser = torch.optim.AdamW(wrapper.parameters(), lr=1e-4, weight_decay=1e-5)
    held, done = batches(data, size, 8), 0

    def step():
        nonlocal done
        inputs, masks, labels = held[done % len(held)]
        done += 1
        inputs, masks = dict(inputs), dict(masks)  # salt changes them in place
        start = time.perf_counter()
        loss = sum(wrapper(inputs, masks, labels)[1].values())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return time.perf_counter() - start

    print("ready", flush=True)
    for line in sys.stdin:
        print(*[f"{step():.6f}" for _ in range(int(line))], flush=True)


if __name__ == "__main__":
    main()

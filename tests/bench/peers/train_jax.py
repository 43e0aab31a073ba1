# SPDX-License-Identifier: Apache-2.0
"""Training step of GN2 in JAX: bucketed batches, one jitted step.

usage: train_jax.py WEIGHTS.npz DATA THREADS BATCH BUCKETS

Answers lines on stdin as train_torch.py does.
"""
import functools
import sys

import jax_flags

jax_flags.set_threads(int(sys.argv[3]))

import jax
import jax.numpy as jnp
import numpy as np
import optax

import buckets
import jax_gn2
import turns


def cross(logits, labels):
    chosen = jax.nn.one_hot(labels, logits.shape[1]) * logits
    return jax.nn.logsumexp(logits, -1) - chosen.sum(-1)


def losses(p, norm, batch):
    jets, tracks, pairs = jax_gn2.logits(p, norm, batch, aux=True)
    every = lambda name: jnp.concatenate([b[name].reshape(-1) for b in batch])
    near = optax.sigmoid_binary_cross_entropy(pairs[:, 0], every("same"))
    return jnp.stack(
        [
            (cross(jets, every("flavour")) * every("jet_weight")).sum(),
            (cross(tracks, every("origin")) * every("track_weight")).sum(),
            (near * every("pair_weight")).sum(),
        ]
    )


def make_step(norm, optimiser):
    def total(p, batch):
        each = losses(p, norm, batch)
        return each.sum(), each

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(p, state, batch):
        (_, each), gradient = jax.value_and_grad(total, has_aux=True)(p, batch)
        updates, state = optimiser.update(gradient, state, p)
        return optax.apply_updates(p, updates), state, each

    return step


class Steps:
    def __init__(self, weights, data, batch, count):
        self.p, norm = jax_gn2.parameters(weights)
        width = self.p["encoder.registers"].shape[1]
        held = buckets.batches(data, width, batch, count)
        self.held = [jax.tree.map(jnp.asarray, b) for b in held]
        optimiser = optax.adamw(1e-4, weight_decay=1e-5)
        self.state = optimiser.init(self.p)
        step = make_step(norm, optimiser)
        self.compiled = step.lower(self.p, self.state, self.held[0]).compile()

    def step(self, i):
        batch = self.held[i % len(self.held)]
        self.p, self.state, each = self.compiled(self.p, self.state, batch)
        return each.block_until_ready()


def main():
    weights, data, _, batch, count = sys.argv[1:]
    steps = Steps(dict(np.load(weights)), data, int(batch), int(count))
    turns.serve(steps.step)


if __name__ == "__main__":
    main()

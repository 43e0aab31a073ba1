# SPDX-License-Identifier: Apache-2.0
"""GN2 in JAX over buckets of fixed shape; a padded batch of tagging is one bucket.
Parameters: name → array by salt's names, as gn2_weights gives them."""
import jax
import jax.numpy as jnp

LAYERS, HEADS = 4, 8


def parameters(weights):
    """Weights that are trained, and the normalisation."""
    arrays = {k: jnp.asarray(v, jnp.float32) for k, v in weights.items()}
    norm = {k: arrays.pop(k) for k in list(arrays) if k.startswith("norm.")}
    arrays.pop("encoder.register_mask", None)
    return arrays, norm


def linear(p, x, name):
    return x @ p[name + ".weight"].T + p[name + ".bias"]


def tail(p, x, name, places=(2, 4, 6)):
    for place in places:
        x = linear(p, jax.nn.relu(x), f"{name}.{place}")
    return x


def layer_norm(x):
    mean = x.mean(-1, keepdims=True)
    spread = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(spread + 1e-5)  # torch.nn.LayerNorm's default


def mask_of(bucket):
    """0 for tokens that are there, the register among them: (B, T + 1)."""
    mask = jnp.where(bucket["valid"], 0.0, -1e9)
    return jnp.pad(mask, ((0, 0), (0, 1)))


class Rows:
    """Where the tokens of each bucket are among all of them."""

    def __init__(self, batch):
        self.shapes = [b["tracks"].shape[:2] for b in batch]

    def split(self, x, extra):
        """(N, F) → a list of (B, T + extra, F)."""
        out, at = [], 0
        for rows, length in self.shapes:
            end = at + rows * (length + extra)
            out.append(x[at:end].reshape(rows, length + extra, -1))
            at = end
        return out

    def by_jet(self, x):
        """(all jets, F) → a list of (B, F)."""
        out, at = [], 0
        for rows, _ in self.shapes:
            out.append(x[at : at + rows])
            at += rows
        return out


def flat(parts):
    return jnp.concatenate([x.reshape(-1, x.shape[-1]) for x in parts])


def inputs(norm, bucket):
    jets = (bucket["jets"] - norm["norm.jets_means"]) / norm["norm.jets_stds"]
    tracks = (bucket["tracks"] - norm["norm.tracks_means"]) / norm["norm.tracks_stds"]
    jets = jnp.broadcast_to(jets[:, None], (*tracks.shape[:2], jets.shape[1]))
    return jnp.concatenate([jets, tracks], -1)


def attend(qkv, mask):
    rows, length, _ = qkv.shape
    q, k, v = jnp.moveaxis(qkv.reshape(rows, length, 3, HEADS, -1), 2, 0)
    s = jnp.einsum("bihd,bjhd->bhij", q, k) * q.shape[-1] ** -0.5
    s = jax.nn.softmax(s + mask[:, None, None], -1)
    return jnp.einsum("bhij,bjhd->bihd", s, v).reshape(rows, length, -1)


def trunk(p, norm, batch, rows):
    masks = [mask_of(b) for b in batch]
    x = linear(p, flat([inputs(norm, b) for b in batch]), "init_nets.0.net.net.0")
    x = rows.split(tail(p, x, "init_nets.0.net.net", (2,)), 0)
    register = p["encoder.registers"][None]
    register = [jnp.broadcast_to(register, (len(y), *register.shape[1:])) for y in x]
    x = flat([jnp.concatenate(pair, 1) for pair in zip(x, register)])
    for i in range(LAYERS):
        name = f"encoder.layers.{i}."
        qkv = layer_norm(x) @ p[name + "attn.fn.in_proj_weight"].T
        qkv = rows.split(qkv + p[name + "attn.fn.in_proj_bias"], 1)
        y = flat([attend(part, mask) for part, mask in zip(qkv, masks)])
        x = x + linear(p, y, name + "attn.fn.out_proj")
        y = jax.nn.relu(linear(p, layer_norm(x), name + "dense.fn.in_proj"))
        x = x + linear(p, y, name + "dense.fn.out_proj")
    return layer_norm(linear(p, x, "encoder.out_proj")), masks


def pool(p, z, masks, rows):
    gates = rows.split(linear(p, z, "pool_net.gate_nn"), 1)
    out = []
    for gate, y, mask in zip(gates, rows.split(z, 1), masks):
        share = jax.nn.softmax(gate[..., 0] + mask, -1)
        out.append(jnp.einsum("bt,btf->bf", share, y))
    return jnp.concatenate(out)


def first(p, task, parts):
    """First layer of a head, split over what it reads."""
    name = f"tasks.{task}.net.net.0"
    weights = jnp.split(p[name + ".weight"], len(parts), 1)
    out = [x @ w.T for x, w in zip(parts, weights)]
    out[0] = out[0] + p[name + ".bias"]
    return out


def heads(p, z, g, rows):
    """Logits of tracks and ordered pairs, all buckets one after the other."""
    tracks = lambda x: [y[:, :-1] for y in rows.split(x, 1)]
    a, b = first(p, 1, (g, z))
    origin = flat([c[:, None] + d for c, d in zip(rows.by_jet(a), tracks(b))])
    a, b, c = first(p, 2, (g, z, z))
    pairs = flat(
        [
            u[:, None, None] + v[:, :, None] + w[:, None]
            for u, v, w in zip(rows.by_jet(a), tracks(b), tracks(c))
        ]
    )
    return [tail(p, x, f"tasks.{k}.net.net") for k, x in ((1, origin), (2, pairs))]


def logits(p, norm, batch, aux):
    """Of jets and, with aux, of tracks and pairs."""
    rows = Rows(batch)
    z, masks = trunk(p, norm, batch, rows)
    g = pool(p, z, masks, rows)
    jets = tail(p, linear(p, g, "tasks.0.net.net.0"), "tasks.0.net.net")
    return [jets, *heads(p, z, g, rows)] if aux else [jets]


def tag(p, norm, bucket, aux):
    """Probabilities (B, 4); with aux also origins (B, T) and pairs (B, T, T)."""
    jets, *others = logits(p, norm, [bucket], aux)
    out = [jax.nn.softmax(jets, -1)]
    if aux:
        size, length = bucket["tracks"].shape[:2]
        origin, pairs = others
        out.append(origin.argmax(-1).reshape(size, length))
        out.append(pairs.reshape(size, length, length))
    return out

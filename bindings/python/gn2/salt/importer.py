# SPDX-License-Identifier: Apache-2.0
"""A checkpoint of salt (Lightning ``.ckpt``) as a model.

Nothing of the checkpoint is executed and torch is not needed: see
:mod:`gn2.salt.checkpoint`. What a config of salt says is translated here; names and
shapes of tensors decide the rest. Used by :mod:`gn2.onnx.importer` as well.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import Config
from ..errors import Error, FileError, FormatError, LibraryError, NotFound, ShapeError
from ..model import Model
from .checkpoint import Tensor, check_reach, read_checkpoint
from .heads import State, Task, dig, hidden_sizes, linear_layers, options_of, tasks_of

#: Buffers and bookkeeping that are no weights.
NOT_WEIGHTS = re.compile(r".*(register_mask|loss\.(pos_)?weight|num_batches_tracked)$")
#: What the network of a config must be, where it says anything: path, allowed values.
REQUIRED: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("encoder.norm", ("LayerNorm",)),
    ("encoder.norm_type", ("pre",)),
    ("encoder.ls_init", (None,)),
    ("encoder.num_dense", (1,)),
    ("encoder.drop_registers", (False,)),
    ("encoder.edge_embed_dim", (0,)),
    ("encoder.dense_kwargs.activation", ("ReLU",)),
    ("encoder.dense_kwargs.gated", (False,)),
    ("encoder.dense_config.activation", ("ReLU",)),
    ("encoder.attn_kwargs.do_qk_norm", (False,)),
    ("encoder.attn_kwargs.do_v_norm", (False,)),
    ("edge_init_nets", (None, [])),
    ("featurewise_nets", (None, [])),
    ("mask_decoder", (None,)),
    ("merge_dict", (None, {})),
)
#: Training options carried over: (path in the config, key).
TRAINING = (
    ("lrs_config.initial", "schedule.initial"),
    ("lrs_config.max", "schedule.max"),
    ("lrs_config.end", "schedule.end"),
    ("lrs_config.pct_start", "schedule.pct_start"),
    ("lrs_config.weight_decay", "optim.weight_decay"),
)


def load(
    ckpt: str | os.PathLike[str],
    config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    classes: Iterable[str] | None = None,
) -> Model:
    """Reads a checkpoint of salt, of the current or the legacy encoder.

    Args:
        ckpt: the ``.ckpt`` file.
        config: salt's ``config.yaml``, or its content; None: the one beside the
            checkpoint or in the folder above, else what the checkpoint itself holds.
        name: name of the model; None: the config's.
        classes: names of the jet classes, where neither config nor ``metadata.yaml``
            has them.

    Returns:
        The model with weights, normalisation, names, task and class weights.

    Raises:
        FileError, FormatError: no such file; not a checkpoint, or a damaged one.
        NotFound: a tensor or a setting is missing, named.
        ShapeError: a tensor does not fit.
    """
    path = pathlib.Path(ckpt)
    content = read_checkpoint(path)
    settings = _settings(path, config, content)
    if name is not None:
        settings["name"] = name
    if classes is None:
        classes = _classes_of_run(path)
    return model_from(_state(content), settings, classes=classes)


# ---- where things are ----


def _state(content: Mapping[str, Any]) -> State:
    """Tensors under their names, without what torch.compile puts in between."""
    tensors = content.get("state_dict")
    if not isinstance(tensors, Mapping):
        raise FormatError("checkpoint: no state_dict in it")
    found = {str(k).replace("_orig_mod.", ""): v for k, v in tensors.items()}
    for name, tensor in found.items():
        if not isinstance(tensor, Tensor):
            raise FormatError(f"checkpoint: {name!r} is no tensor")
    return {name: tensor.array() for name, tensor in found.items()}


def _settings(path: pathlib.Path, config: Any, content: Mapping[str, Any]) -> Any:
    if isinstance(config, Mapping):
        return dict(config)
    found = pathlib.Path(config) if config is not None else _beside(path, "config.yaml")
    inner = content.get("hyper_parameters")
    if found is not None and (config is not None or _has_yaml()):
        return dict(read_yaml(found))
    if isinstance(inner, Mapping) and "model" in inner:
        return {"model": dict(inner), "name": inner.get("name")}
    raise NotFound(f"{path}: no config.yaml beside it and no hyper_parameters in it")


def _beside(path: pathlib.Path, name: str) -> pathlib.Path | None:
    for folder in (path.parent, path.parent.parent):
        if (folder / name).is_file():
            return folder / name
    return None


def _has_yaml() -> bool:
    try:
        import yaml  # noqa: F401
    except ImportError:
        return False
    return True


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A YAML file as plain values; tags that would make objects are refused."""
    if not _has_yaml():
        raise LibraryError(f"{path}: needs the package PyYAML: pip install pyyaml")
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(file)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from error
    except Exception as error:  # of YAML, dates, encodings, nesting
        raise FormatError(f"{path}: {error}") from error
    check_reach(content, str(path))
    if not isinstance(content, dict):
        raise FormatError(f"{path}: not a mapping of settings")
    return content


def _classes_of_run(path: pathlib.Path) -> list[str] | None:
    found = _beside(path, "metadata.yaml")
    if found is None or not _has_yaml():
        return None
    named = read_yaml(found).get("object_classes")
    return class_list(named)


def class_list(named: Any) -> list[str] | None:
    """salt's ``object_classes`` {0: "bjets", …} as a list."""
    if not isinstance(named, Mapping):
        return None
    try:
        return [str(named[key]) for key in sorted(named, key=int)]
    except (TypeError, ValueError) as error:
        raise FormatError(f"object_classes: not numbered classes: {error}") from error


# ---- salt's config ----


def model_from(
    state: State, settings: Mapping[str, Any], *, classes: Iterable[str] | None = None
) -> Model:
    """A model from tensors under salt's names and salt's config.

    Args:
        state: tensors, names as in a checkpoint (``model.…``, ``norm.…``).
        settings: content of salt's ``config.yaml``.
        classes: names of the jet classes if the config has none.
    """
    try:
        options, weights = _translated(state, settings, classes)
        config = Config(options)
    except Error:
        raise
    except Exception as error:  # a value of another kind, anywhere
        kind = type(error).__name__
        raise FormatError(f"config: not as salt writes it ({kind}: {error})") from error
    return make(config, weights)


def make(config: Any, weights: State) -> Model:
    """A model with these weights; a config of a larger one is refused before its
    memory is taken."""
    there = sum(values.size for values in weights.values())
    width, layers = int(config["model.embed_dim"]), int(config["model.num_layers"])
    chains = {"model.init_hidden": [*config["model.init_hidden"], width]}
    for name in config["model.tasks"]:
        chains[f"task.{name}.hidden"] = list(config[f"task.{name}.hidden"])
    needed = {key: _least(sizes) for key, sizes in chains.items()}
    needed["model.num_layers"] = layers * width * width
    needed["model.ffn_hidden"] = layers * width * int(config["model.ffn_hidden"])
    needed["model.out_dim"] = width * int(config["model.out_dim"])
    needed["model.num_registers"] = width * int(config["model.num_registers"])
    for key, count in needed.items():
        if count > there:
            raise FormatError(
                f"{key} = {config[key]}: at least {count:,} weights, the file has "
                f"{there:,}"
            )
    return fill(Model(config), weights)


def _least(sizes: list[Any]) -> int:
    """Weights of layers between these sizes."""
    return sum(int(a) * int(b) for a, b in zip(sizes, sizes[1:]))


def _translated(
    state: State, settings: Mapping[str, Any], classes: Iterable[str] | None
) -> tuple[dict[str, Any], State]:
    """Our options, and the weights that go with them."""
    outer = settings.get("model") or {}
    network = outer.get("model") or outer
    for path, allowed in REQUIRED:
        value = dig(network, path, allowed[0])
        if value not in allowed:
            raise FormatError(f"model.{path} = {value!r}: a GN2 has {allowed[0]!r}")
    weights = {k[6:]: v for k, v in state.items() if k.startswith("model.")}
    jets = str(_first(network, outer, settings, "global_object") or "jets")
    modules = dig(network, "tasks.modules") or dig(network, "tasks") or []
    tasks = tasks_of(modules, jets)
    options: dict[str, Any] = {"model.name": str(settings.get("name") or "GN2")}
    options |= _input_options(network, outer, settings, jets, state)
    options |= _encoder_options(network, weights)
    options |= options_of(tasks, weights, state, classes)
    options |= _dropout_options(network, tasks, weights)
    for path, key in TRAINING:
        if isinstance(dig(outer, path), (int, float)):
            options[key] = float(dig(outer, path))
    fold_mup(weights, outer, options)
    return options, weights


def _first(network: Any, outer: Any, settings: Any, key: str) -> Any:
    """A setting that has moved between versions of salt."""
    nets = dig(network, "init_nets") or [{}]
    places = (nets[0], outer, outer.get("norm_config"), settings.get("data"))
    for place in places:
        if isinstance(place, Mapping) and place.get(key) is not None:
            return place[key]
    return None


def _input_options(
    network: Any, outer: Any, settings: Any, jets: str, state: State
) -> dict[str, Any]:
    nets = dig(network, "init_nets")
    variables = _first(network, outer, settings, "variables")
    if not nets or not isinstance(variables, Mapping):
        raise NotFound("config: no init_nets or no variables in it")
    if "global" in variables or "parameters" in variables:
        raise FormatError("config: variables of 'global' and 'parameters' are no GN2's")
    names = [net["input_name"] for net in nets]
    options: dict[str, Any] = {"model.constituents": names}
    for salts, ours in zip([jets, *names], ["jets", *names]):
        if not isinstance(variables.get(salts), (list, tuple)):
            raise NotFound(f"config: no variables of {salts!r}")
        options[f"inputs.{ours}"] = list(variables[salts])
        for kind in ("mean", "std"):
            values = state.get(f"norm.{salts}_{kind}s")
            if values is None:
                raise NotFound(f"tensor 'norm.{salts}_{kind}s' is missing")
            options[f"norm.{ours}.{kind}"] = values.astype(np.float64).tolist()
    return options


def _need(weights: Mapping[str, Any], name: str) -> Any:
    if name not in weights:
        raise NotFound(f"tensor 'model.{name}' is missing")
    return weights[name]


def _encoder_options(network: Any, weights: State) -> dict[str, Any]:
    legacy = "encoder.final_linear.weight" in weights
    readout = "encoder.final_linear" if legacy else "encoder.out_proj"
    out_dim, width = _need(weights, f"{readout}.weight").shape
    layers = [
        int(m[1]) for n in weights if (m := re.match(r"encoder\.layers\.(\d+)", n))
    ]
    ffn = [
        n for n in weights if re.search(r"dense\.(fn\.in_proj|net\.[01])\.weight", n)
    ]
    heads = dig(network, "encoder.attn_kwargs.num_heads") or dig(
        network, "encoder.mha_config.num_heads"
    )
    if heads is None:
        raise NotFound("config: no num_heads of the encoder in it")
    norm = "pre" if legacy else "post"
    if not legacy and dig(network, "encoder.do_final_norm", True) is False:
        norm = "none"
    return {
        "model.encoder": "legacy" if legacy else "current",
        "model.final_norm_pos": norm,
        "model.embed_dim": width,
        "model.out_dim": out_dim,
        "model.num_layers": max(layers, default=-1) + 1,
        "model.num_heads": int(heads),
        "model.ffn_hidden": len(weights[ffn[0]]) if ffn else 0,
        "model.num_registers": len(weights.get("encoder.registers", ())),
        "model.init_hidden": hidden_sizes(weights, "init_nets.0.net.net."),
    }


def _dropout_options(network: Any, tasks: list[Task], weights: State) -> dict[str, Any]:
    """Dropouts shift the indices of linear layers: 0, 2, 4 become 1, 4, 7."""
    nets = dig(network, "init_nets") or [{}]
    heads = tasks[0].args if tasks else {}
    first = f"tasks.{tasks[0].place if tasks else 0}.net.net."
    places = {
        "model.dropout_init": ("init_nets.0.net.net.", dig(nets[0], "dense_config")),
        "model.dropout_heads": (first, heads.get("dense_config")),
    }
    options = {}
    for key, (prefix, dense) in places.items():
        if min(linear_layers(weights, prefix)) == 1:
            options[key] = float(dig(dense, "dropout") or 0.1)  # 0.1: salt's configs
    kinds = ("encoder.dense_kwargs.dropout", "encoder.dense_config.dropout")
    p = next((dig(network, kind) for kind in kinds if dig(network, kind)), 0.0)
    if "encoder.layers.0.dense.net.1.weight" in weights:
        p = p or 0.1
    options["model.dropout_ffn"] = float(p)
    return options


def fold_mup(weights: State, outer: Any, options: dict[str, Any]) -> None:
    """Makes a muP model of salt one in the standard parametrisation, same function.

    MuReadout divides the input of the read-out by m = w / w0; m goes into its weight.
    Attention scaled by 1/d instead of 1/√d: the factor goes into the queries.
    """
    network = outer.get("model") or outer
    width, heads = options["model.embed_dim"], options["model.num_heads"]
    if outer.get("mup_config") and dig(network, "encoder.mup"):
        base = dig(outer, "mup_config.embed_dim.parameter_base")
        if not base:
            raise NotFound("config: no mup_config.embed_dim.parameter_base in it")
        name = "encoder.out_proj.weight"
        weights[name] = scaled(weights[name], base / width)
    if dig(network, "encoder.attn_kwargs.mup"):
        for name in [n for n in weights if re.search(r"\.in_proj_(weight|bias)$", n)]:
            weights[name] = weights[name].copy()
            weights[name][:width] = scaled(
                weights[name][:width], (heads / width) ** 0.5
            )


def scaled(values: NDArray[Any], factor: float) -> NDArray[np.float32]:
    """values × factor, rounded once."""
    return (values.astype(np.float64) * factor).astype(np.float32)


def fill(model: Model, weights: State) -> Model:
    """Puts tensors into a model: all of them, each of its shape, nothing left over."""
    for name, param in model.params.items():
        values = _need(weights, name)
        if tuple(values.shape) != param.shape:
            raise ShapeError(
                f"tensor 'model.{name}': file has {tuple(values.shape)}, "
                f"a model of this config needs {param.shape}"
            )
        model[name] = values
    known = set(model.params)
    rest = [n for n in weights if n not in known and not NOT_WEIGHTS.match(n)]
    if rest:
        raise FormatError(f"tensor 'model.{rest[0]}': a GN2 has none of that name")
    return model

# SPDX-License-Identifier: Apache-2.0
"""The C interface as tables: structs and prototypes. A test compares them with the
headers, so this file says what the headers say and nothing else.

Arrays are passed as addresses (c_void_p): NumPy checks them, not ctypes.
"""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_double, c_float
from ctypes import c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any

from . import _lib
from ._constants import CONSTANTS
from .errors import Unsupported, error

# ---- handles: one type each, so that ctypes refuses the wrong one ----


class Config(c_void_p):
    """gn2_config *"""


class Model(c_void_p):
    """gn2_model *"""


class Tagger(c_void_p):
    """gn2_tagger *"""


class Dataset(c_void_p):
    """gn2_dataset *"""


class ScoreWriter(c_void_p):
    """gn2_score_writer *"""


class Trainer(c_void_p):
    """gn2_trainer *"""


# ---- structs ----


class Sized(Structure):
    """A struct whose first field is its own size."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(ctypes.sizeof(type(self)), **fields)


class ConfigInfo(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("type", c_int32),
        ("key", c_char_p),
        ("default_text", c_char_p),
        ("doc", c_char_p),
        ("min", c_double),
        ("max", c_double),
        ("choices", c_char_p),
        ("reserved", c_uint64 * 4),
    )


class ParamInfo(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("role", c_int32),
        ("name", c_char_p),
        ("shape", c_int64 * 2),
        ("count", c_int64),
        ("fan_in", c_int64),
        ("fan_out", c_int64),
        ("init_std", c_double),
        ("lr_mult", c_double),
        ("wd_mult", c_double),
        ("forward_mult", c_double),
        ("rank", c_int32),
        ("flags", c_uint32),
        ("reserved", c_uint64 * 3),
    )


class TaskInfo(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("name", c_char_p),
        ("kind", c_char_p),
        ("object", c_char_p),
        ("columns", c_int64),
        ("label_type", c_int32),
        ("label_columns", c_int32),
        ("reserved", c_uint64 * 4),
    )


class Sequence(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("data", c_void_p),
        ("row_stride", c_int64),
        ("offsets", c_void_p),
        ("valid", c_void_p),
        ("slots", c_int64),
        ("reserved", c_uint64 * 4),
    )


class Jets(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("sequence_count", c_uint32),
        ("count", c_int64),
        ("features", c_void_p),
        ("row_stride", c_int64),
        ("sequences", POINTER(Sequence)),
        ("sequence_stride", c_int64),
        ("reserved", c_uint64 * 4),
    )


class Output(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("id", c_int32),
        ("data", c_void_p),
        ("capacity", c_int64),
        ("row_stride", c_int64),
        ("type", c_int32),
        ("flags", c_uint32),
        ("reserved", c_uint64 * 3),
    )


class OutputInfo(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("id", c_int32),
        ("rows", c_int32),
        ("type", c_int32),
        ("sequence", c_int32),
        ("name", c_char_p),
        ("object", c_char_p),
        ("columns", c_int64),
        ("reserved", c_uint64 * 4),
    )


class Label(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("name", c_char_p),
        ("data", c_void_p),
        ("type", c_int32),
        ("columns", c_int32),
        ("reserved", c_uint64 * 3),
    )


class Labels(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("label_count", c_uint32),
        ("unused", c_uint32),
        ("labels", POINTER(Label)),
        ("label_stride", c_int64),
        ("reserved", c_uint64 * 4),
    )


class DatasetInfo(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("has_labels", c_uint32),
        ("jet_count", c_int64),
        ("batch_count", c_int64),
        ("batch_size", c_int64),
        ("max_slots", c_int64),
        ("memory", c_int64),
        ("reserved", c_uint64 * 4),
    )


class Score(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("output", c_char_p),
        ("data", c_void_p),
        ("rows", c_int64),
        ("columns", c_int32),
        ("type", c_int32),
        ("reserved", c_uint64 * 4),
    )


class StepStats(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("step", c_int64),
        ("jets", c_int64),
        ("tokens", c_int64),
        ("loss", c_double),
        ("task_losses", c_void_p),
        ("task_count", c_int32),
        ("unused", c_uint32),
        ("learning_rate", c_double),
        ("beta1", c_double),
        ("gradient_norm", c_double),
        ("reserved", c_uint64 * 4),
    )


WORKING_POINTS = 4  # GN2_WORKING_POINTS


class Metric(Structure):
    _fields_ = (("name", c_char_p), ("value", c_double))


class Metrics(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("jets", c_int64),
        ("loss", c_double),
        ("task_losses", c_void_p),
        ("task_count", c_int32),
        ("unused", c_uint32),
        ("metric_count", c_int64),
        ("metrics", POINTER(Metric)),
        ("auc_b_light", c_double),
        ("auc_b_c", c_double),
        ("cut", c_double * WORKING_POINTS),
        ("rejection", c_double * 3 * WORKING_POINTS),
        ("reserved", c_uint64 * 4),
    )


class Progress(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("event", c_int32),
        ("epoch", c_int64),
        ("epochs", c_int64),
        ("step", c_int64),
        ("steps", c_int64),
        ("seconds", c_double),
        ("stats", POINTER(StepStats)),
        ("validation", POINTER(Metrics)),
        ("reserved", c_uint64 * 4),
    )


class ProbeStats(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("kind", c_int32),
        ("name", c_char_p),
        ("count", c_int64),
        ("mean_abs", c_double),
        ("rms", c_double),
        ("max_abs", c_double),
        ("change_mean_abs", c_double),
        ("change_rms", c_double),
        ("dead_share", c_double),
        ("gradient_rms", c_double),
        ("update_rms", c_double),
        ("reserved", c_uint64 * 4),
    )


STRUCTS = {
    "gn2_config_info": ConfigInfo,
    "gn2_param_info": ParamInfo,
    "gn2_sequence": Sequence,
    "gn2_jets": Jets,
    "gn2_output": Output,
    "gn2_output_info": OutputInfo,
    "gn2_label": Label,
    "gn2_labels": Labels,
    "gn2_metric": Metric,
    "gn2_task_info": TaskInfo,
    "gn2_dataset_info": DatasetInfo,
    "gn2_score": Score,
    "gn2_step_stats": StepStats,
    "gn2_metrics": Metrics,
    "gn2_progress": Progress,
    "gn2_probe_stats": ProbeStats,
}
HANDLES = {
    "gn2_config": Config,
    "gn2_model": Model,
    "gn2_tagger": Tagger,
    "gn2_dataset": Dataset,
    "gn2_score_writer": ScoreWriter,
    "gn2_trainer": Trainer,
}

# ---- callbacks ----

LogFn = CFUNCTYPE(None, c_void_p, c_int32, c_char_p)
TaskFn = CFUNCTYPE(None, c_void_p, c_int64)
ParallelFn = CFUNCTYPE(None, c_void_p, c_int64, TaskFn, c_void_p)
ProgressFn = CFUNCTYPE(c_int32, c_void_p, POINTER(Progress))
ProbeFn = CFUNCTYPE(None, c_void_p, POINTER(ProbeStats))
CALLBACKS = {
    "gn2_log_fn": LogFn,
    "gn2_parallel_fn": ParallelFn,
    "gn2_progress_fn": ProgressFn,
    "gn2_probe_fn": ProbeFn,
}

# ---- prototypes: (name, result, arguments); STATUS raises when negative ----


class STATUS:
    """Result of a function that can fail."""


_names = POINTER(c_char_p)
PROTOTYPES: tuple[tuple[str, Any, tuple[Any, ...]], ...] = (
    # base.h
    ("gn2_version", c_char_p, ()),
    ("gn2_abi_version", c_int32, ()),
    ("gn2_features", c_char_p, ()),
    ("gn2_last_error", c_char_p, ()),
    ("gn2_status_name", c_char_p, (c_int32,)),
    ("gn2_set_log", None, (LogFn, c_void_p)),
    ("gn2_get_log", None, (POINTER(LogFn), POINTER(c_void_p))),
    # config.h
    ("gn2_config_create", STATUS, (POINTER(Config),)),
    ("gn2_config_copy", STATUS, (Config, POINTER(Config))),
    ("gn2_config_free", None, (Config,)),
    ("gn2_config_set_i64", STATUS, (Config, c_char_p, c_int64)),
    ("gn2_config_set_f64", STATUS, (Config, c_char_p, c_double)),
    ("gn2_config_set_str", STATUS, (Config, c_char_p, c_char_p)),
    ("gn2_config_set_list", STATUS, (Config, c_char_p, _names, c_size_t)),
    ("gn2_config_set_f64_list", STATUS, (Config, c_char_p, c_void_p, c_size_t)),
    ("gn2_config_set_text", STATUS, (Config, c_char_p, c_char_p)),
    ("gn2_config_get_i64", STATUS, (Config, c_char_p, POINTER(c_int64))),
    ("gn2_config_get_f64", STATUS, (Config, c_char_p, c_void_p)),
    ("gn2_config_get_str", STATUS, (Config, c_char_p, POINTER(c_char_p))),
    ("gn2_config_get_count", STATUS, (Config, c_char_p, POINTER(c_size_t))),
    ("gn2_config_get_item", STATUS, (Config, c_char_p, c_size_t, POINTER(c_char_p))),
    ("gn2_config_get_f64_list", STATUS, (Config, c_char_p, c_void_p, c_size_t)),
    ("gn2_config_key_name", c_char_p, (Config, c_size_t)),
    ("gn2_config_count", c_size_t, ()),
    ("gn2_config_describe", STATUS, (c_size_t, POINTER(ConfigInfo))),
    ("gn2_config_load", STATUS, (Config, c_char_p)),
    ("gn2_config_load_buffer", STATUS, (Config, c_char_p, c_size_t)),
    ("gn2_config_save", STATUS, (Config, c_char_p)),
    (
        "gn2_config_save_buffer",
        STATUS,
        (Config, c_char_p, c_size_t, POINTER(c_size_t)),
    ),
    # model.h
    ("gn2_model_create", STATUS, (Config, POINTER(Model))),
    ("gn2_model_ref", Model, (Model,)),
    ("gn2_model_free", None, (Model,)),
    ("gn2_model_load", STATUS, (c_char_p, POINTER(Model))),
    ("gn2_model_load_buffer", STATUS, (c_void_p, c_size_t, POINTER(Model))),
    ("gn2_model_save", STATUS, (Model, c_char_p)),
    ("gn2_model_save_buffer", STATUS, (Model, c_void_p, c_size_t, POINTER(c_size_t))),
    ("gn2_model_inspect", STATUS, (c_char_p, POINTER(Config))),
    ("gn2_model_param_count", c_size_t, (Model,)),
    ("gn2_model_param_info", STATUS, (Model, c_size_t, POINTER(ParamInfo))),
    ("gn2_model_param_get", STATUS, (Model, c_char_p, c_void_p, c_size_t)),
    ("gn2_model_param_set", STATUS, (Model, c_char_p, c_void_p, c_size_t)),
    ("gn2_model_task_count", c_size_t, (Model,)),
    ("gn2_model_task_info", STATUS, (Model, c_size_t, POINTER(TaskInfo))),
    ("gn2_model_class_count", c_size_t, (Model,)),
    ("gn2_model_class_name", c_char_p, (Model, c_size_t)),
    ("gn2_model_class_find", STATUS, (Model, c_char_p, POINTER(c_size_t))),
    ("gn2_model_input_count", c_size_t, (Model, c_char_p)),
    ("gn2_model_input_name", c_char_p, (Model, c_char_p, c_size_t)),
    ("gn2_model_metadata_get", STATUS, (Model, c_char_p, POINTER(c_char_p))),
    ("gn2_model_config", STATUS, (Model, POINTER(Config))),
    # tagger.h
    ("gn2_tagger_create", STATUS, (Model, Config, POINTER(Tagger))),
    ("gn2_tagger_free", None, (Tagger,)),
    ("gn2_tagger_set_parallel", STATUS, (Tagger, ParallelFn, c_void_p, c_int32)),
    (
        "gn2_tagger_workspace_size",
        STATUS,
        (Tagger, c_int64, c_int64, POINTER(c_size_t)),
    ),
    ("gn2_tagger_memory", c_size_t, (Tagger,)),
    ("gn2_tagger_bind", STATUS, (Tagger, c_char_p, _names, c_size_t)),
    ("gn2_tagger_output_count", c_size_t, (Tagger,)),
    ("gn2_tagger_output_info", STATUS, (Tagger, c_size_t, POINTER(OutputInfo))),
    ("gn2_tagger_output", STATUS, (Tagger, c_char_p, POINTER(c_int32))),
    ("gn2_tagger_output_columns", c_int64, (Tagger, c_int32)),
    ("gn2_tagger_run", STATUS, (Tagger, POINTER(Jets), POINTER(Output), c_size_t)),
    ("gn2_tagger_cancel", None, (Tagger,)),
    ("gn2_tagger_flavour", STATUS, (Tagger, POINTER(Jets), c_void_p, c_void_p)),
    (
        "gn2_discriminant_get",
        STATUS,
        (
            Config,
            c_char_p,
            c_void_p,
            c_int64,
            POINTER(c_int64),
            POINTER(c_int64),
            POINTER(c_int32),
        ),
    ),
    (
        "gn2_discriminant",
        STATUS,
        (c_void_p, c_int64, c_int64, c_int64, c_void_p, c_int32, c_void_p),
    ),
    # dataset.h
    ("gn2_dataset_open", STATUS, (_names, c_size_t, Config, POINTER(Dataset))),
    (
        "gn2_dataset_from_arrays",
        STATUS,
        (POINTER(Jets), POINTER(Labels), Config, POINTER(Dataset)),
    ),
    ("gn2_dataset_free", None, (Dataset,)),
    ("gn2_dataset_info_get", STATUS, (Dataset, POINTER(DatasetInfo))),
    ("gn2_dataset_setup", STATUS, (Dataset, Config)),
    ("gn2_dataset_next", STATUS, (Dataset, POINTER(Jets), POINTER(Labels))),
    ("gn2_labels_find", POINTER(Label), (POINTER(Labels), c_char_p)),
    ("gn2_dataset_reset", STATUS, (Dataset, c_int64, c_int64)),
    (
        "gn2_score_writer_create",
        STATUS,
        (c_char_p, c_char_p, Model, Config, POINTER(ScoreWriter)),
    ),
    (
        "gn2_score_writer_add",
        STATUS,
        (ScoreWriter, c_int64, POINTER(Score), c_size_t),
    ),
    ("gn2_score_writer_close", STATUS, (ScoreWriter,)),
    ("gn2_score_writer_free", None, (ScoreWriter,)),
    # trainer.h
    ("gn2_trainer_create", STATUS, (Model, Config, POINTER(Trainer))),
    ("gn2_trainer_free", None, (Trainer,)),
    (
        "gn2_trainer_step",
        STATUS,
        (Trainer, POINTER(Jets), POINTER(Labels), POINTER(StepStats)),
    ),
    ("gn2_trainer_fit", STATUS, (Trainer, Dataset, Dataset, ProgressFn, c_void_p)),
    ("gn2_trainer_evaluate", STATUS, (Trainer, Dataset, POINTER(Metrics))),
    ("gn2_trainer_checkpoint_save", STATUS, (Trainer, c_char_p)),
    ("gn2_trainer_checkpoint_load", STATUS, (Trainer, c_char_p)),
    ("gn2_trainer_snapshot", STATUS, (Trainer, POINTER(Model))),
    ("gn2_trainer_request_stop", None, (Trainer,)),
    ("gn2_trainer_memory", c_size_t, (Trainer,)),
    (
        "gn2_metrics_find",
        STATUS,
        (POINTER(Metrics), c_char_p, c_void_p),
    ),
    ("gn2_trainer_probe", STATUS, (Trainer, POINTER(Jets), ProbeFn, c_void_p)),
)

ROLES = ("finite", "input", "hidden", "output", "bias")  # GN2_ROLE_*, by number


def _missing(name: str) -> Any:
    def refuse(*_: Any) -> Any:
        raise Unsupported(f"{name}: libgn2 at {PATH} does not have this function")

    return refuse


def _raise(status: int, _function: Any, _arguments: Any) -> int:
    if status < 0:
        raise error(status, last_error())
    return status


def _bind(name: str, result: Any, arguments: tuple[Any, ...]) -> Any:
    function = getattr(_library, name, None)
    if function is None:
        return _missing(name)
    function.argtypes = arguments
    function.restype = c_int32 if result is STATUS else result
    if result is STATUS:
        function.errcheck = _raise
    return function


_library, PATH = _lib.load()


class Functions:
    """The functions of the library as attributes, typed and checked."""

    def __init__(self) -> None:
        for row in PROTOTYPES:
            setattr(self, row[0], _bind(*row))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no prototype of {name}")


lib = Functions()


def last_error() -> str:
    """Message of the last failed call on this thread."""
    return str(lib.gn2_last_error().decode("utf-8", "replace"))


def text(value: object, what: str) -> bytes:
    """A name or text for the library."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a string, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError(f"{what} holds a zero byte")
    return value.encode("utf-8")


def names(values: Any, what: str) -> Any:
    """An array of strings for the library."""
    encoded = [text(value, what) for value in values]
    return (c_char_p * max(1, len(encoded)))(*encoded)


__all__ = ["CONSTANTS", "lib", "text", "names", "c_float"]

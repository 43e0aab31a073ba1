# SPDX-License-Identifier: Apache-2.0
"""The C interface as tables: structs and prototypes. A test compares them with the
headers, so this file says what the headers say and nothing else.

Arrays are passed as addresses (c_void_p): NumPy checks them, not ctypes.
"""

from __future__ import annotations

from ctypes import CFUNCTYPE, POINTER, c_char_p, c_double, c_float
from ctypes import c_int32, c_int64, c_size_t, c_void_p
from typing import Any

from . import _lib
from ._constants import CONSTANTS
from ._structs import (
    AbortFn,
    ArrivedFn,
    CloseFn,
    Config,
    ConfigInfo,
    Dataset,
    DatasetInfo,
    ExchangeFn,
    ExchangePartsFn,
    Group,
    HANDLES,
    Jets,
    Label,
    Labels,
    Metric,
    Metrics,
    Model,
    Opening,
    Output,
    OutputInfo,
    ParamInfo,
    ProbeStats,
    Progress,
    STRUCTS,
    Score,
    ScoreWriter,
    Sequence,
    StepStats,
    Tagger,
    TaskInfo,
    TimeoutFn,
    Trainer,
    Transport,
    WORKING_POINTS,
)
from .errors import InvalidArgument, Unsupported, error

# ---- callbacks ----

LogFn = CFUNCTYPE(None, c_void_p, c_int32, c_char_p)
TaskFn = CFUNCTYPE(None, c_void_p, c_int64)
ParallelFn = CFUNCTYPE(None, c_void_p, c_int64, TaskFn, c_void_p)
ProgressFn = CFUNCTYPE(c_int32, c_void_p, POINTER(Progress))
OpeningFn = CFUNCTYPE(c_int32, c_void_p, POINTER(Opening))
ProbeFn = CFUNCTYPE(None, c_void_p, POINTER(ProbeStats))
CALLBACKS = {
    "gn2_log_fn": LogFn,
    "gn2_parallel_fn": ParallelFn,
    "gn2_progress_fn": ProgressFn,
    "gn2_opening_fn": OpeningFn,
    "gn2_probe_fn": ProbeFn,
    "gn2_exchange_fn": ExchangeFn,
    "gn2_abort_fn": AbortFn,
    "gn2_close_fn": CloseFn,
    "gn2_timeout_fn": TimeoutFn,
    "gn2_arrived_fn": ArrivedFn,
    "gn2_exchange_parts_fn": ExchangePartsFn,
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
    ("gn2_last_error_of_network", c_int32, ()),
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
    ("gn2_tagger_precision", c_char_p, (Tagger,)),
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
        "gn2_dataset_open_watched",
        STATUS,
        (_names, c_size_t, Config, OpeningFn, c_void_p, POINTER(Dataset)),
    ),
    (
        "gn2_dataset_from_arrays",
        STATUS,
        (POINTER(Jets), POINTER(Labels), Config, POINTER(Dataset)),
    ),
    ("gn2_dataset_free", None, (Dataset,)),
    ("gn2_dataset_info_get", STATUS, (Dataset, POINTER(DatasetInfo))),
    ("gn2_dataset_rows", STATUS, (Dataset, POINTER(c_int64), c_int64)),
    ("gn2_dataset_setup", STATUS, (Dataset, Config)),
    ("gn2_dataset_request_stop", None, (Dataset,)),
    ("gn2_dataset_next", STATUS, (Dataset, POINTER(Jets), POINTER(Labels))),
    ("gn2_labels_find", POINTER(Label), (POINTER(Labels), c_char_p)),
    ("gn2_dataset_reset", STATUS, (Dataset, c_int64, c_int64)),
    (
        "gn2_score_writer_create",
        STATUS,
        (c_char_p, c_char_p, Model, Config, POINTER(ScoreWriter)),
    ),
    (
        "gn2_score_writer_add_outputs",
        STATUS,
        (ScoreWriter, c_int64, POINTER(Score), c_size_t),
    ),
    (
        "gn2_score_writer_add",
        STATUS,
        (ScoreWriter, c_int64, c_void_p, c_void_p, c_void_p, c_void_p),
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
    ("gn2_trainer_precision", c_char_p, (Trainer,)),
    (
        "gn2_metrics_find",
        STATUS,
        (POINTER(Metrics), c_char_p, c_void_p),
    ),
    ("gn2_trainer_probe", STATUS, (Trainer, POINTER(Jets), ProbeFn, c_void_p)),
    # group.h
    ("gn2_group_create", STATUS, (POINTER(Transport), POINTER(Group))),
    ("gn2_group_free", None, (Group,)),
    ("gn2_group_rank", c_int32, (Group,)),
    ("gn2_group_size", c_int32, (Group,)),
    ("gn2_group_broadcast", STATUS, (Group, c_void_p, c_size_t, c_int32)),
    ("gn2_trainer_join", STATUS, (Trainer, Group)),
)

ROLES = ("finite", "input", "hidden", "output", "bias")  # GN2_ROLE_*, by number


def _missing(name: str) -> Any:
    def refuse(*_: Any) -> Any:
        raise Unsupported(f"{name}: libgn2 at {PATH} does not have this function")

    return refuse


def _raise(status: int, _function: Any, _arguments: Any) -> int:
    if status < 0:
        raise error(status, last_error(), bool(lib.gn2_last_error_of_network()))
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
        raise InvalidArgument(f"{what} holds a zero byte")
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError:  # of a file name in another encoding
        raise InvalidArgument(f"{what} {value!r} is no text in UTF-8") from None


def names(values: Any, what: str) -> Any:
    """An array of strings for the library."""
    encoded = [text(value, what) for value in values]
    return (c_char_p * max(1, len(encoded)))(*encoded)


__all__ = [
    "AbortFn",
    "ArrivedFn",
    "CALLBACKS",
    "CONSTANTS",
    "CloseFn",
    "Config",
    "ConfigInfo",
    "Dataset",
    "DatasetInfo",
    "ExchangeFn",
    "ExchangePartsFn",
    "Group",
    "HANDLES",
    "Jets",
    "Label",
    "Labels",
    "LogFn",
    "Metric",
    "Metrics",
    "Model",
    "Opening",
    "OpeningFn",
    "Output",
    "OutputInfo",
    "PROTOTYPES",
    "ParallelFn",
    "ParamInfo",
    "ProbeFn",
    "ProbeStats",
    "Progress",
    "ProgressFn",
    "ROLES",
    "STATUS",
    "STRUCTS",
    "Score",
    "ScoreWriter",
    "Sequence",
    "StepStats",
    "Tagger",
    "TaskFn",
    "TaskInfo",
    "TimeoutFn",
    "Trainer",
    "Transport",
    "WORKING_POINTS",
    "c_float",
    "lib",
    "names",
    "text",
]

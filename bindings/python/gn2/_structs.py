# SPDX-License-Identifier: Apache-2.0
"""Handles and structs of the C interface. A test compares them with the headers."""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_double, c_int32, c_int64
from ctypes import c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any

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


class Group(c_void_p):
    """gn2_group *"""


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
        ("flavour", c_void_p),
        ("origin", c_void_p),
        ("vertex", c_void_p),
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
        ("unwritten", c_int64),
        ("reserved", c_uint64 * 3),
    )


class Opening(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("files", c_int64),
        ("file_count", c_int64),
        ("jets", c_int64),
        ("jet_count", c_int64),
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


ExchangeFn = CFUNCTYPE(
    c_int32, c_void_p, c_int32, c_void_p, c_size_t, c_void_p, c_size_t
)
AbortFn = CFUNCTYPE(None, c_void_p, c_char_p)
CloseFn = CFUNCTYPE(None, c_void_p)
TimeoutFn = CFUNCTYPE(None, c_void_p, c_double)
ArrivedFn = CFUNCTYPE(None, c_void_p, c_size_t)
ExchangePartsFn = CFUNCTYPE(
    c_int32,
    *(c_void_p, c_int32, c_void_p, c_size_t, c_void_p, c_size_t),
    *(ArrivedFn, c_void_p),
)


class Transport(Sized):
    _fields_ = (
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("rank", c_int32),
        ("size", c_int32),
        ("user", c_void_p),
        ("exchange", ExchangeFn),
        ("abort", AbortFn),
        ("close", CloseFn),
        ("set_timeout", TimeoutFn),
        ("exchange_parts", ExchangePartsFn),
        ("reserved", c_uint64 * 2),
    )


STRUCTS = {
    "gn2_transport": Transport,
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
    "gn2_opening": Opening,
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
    "gn2_group": Group,
}

# SPDX-License-Identifier: Apache-2.0
"""Constants of the headers; a test compares them."""

NORMALISED_MAX = 1e12  #: GN2_NORMALISED_MAX
CONSTANTS = {
    "GN2_TYPE_I64": 1,
    "GN2_TYPE_F64": 2,
    "GN2_TYPE_STR": 3,
    "GN2_TYPE_STR_LIST": 4,
    "GN2_TYPE_F64_LIST": 5,
    "GN2_DATA_F32": 1,
    "GN2_DATA_I32": 2,
    "GN2_OUTPUT_SCORE": 1,
    "GN2_ROWS_JETS": 1,
    "GN2_ROWS_CONSTITUENTS": 2,
    "GN2_ROWS_PAIRS": 3,
    "GN2_FORM_LOG": 0,
    "GN2_FORM_RATIO": 1,
    "GN2_EVENT_STEP": 1,
    "GN2_EVENT_EPOCH": 2,
    "GN2_EVENT_EARLY_STOP": 3,
    "GN2_EVENT_VALIDATION": 4,
    "GN2_PROBE_MODULE": 1,
    "GN2_PROBE_TENSOR": 2,
    "GN2_LOG_WARNING": 1,
    "GN2_LOG_INFO": 2,
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The small container the parser tests start from, and the whole way of reading. */
#ifndef GN2_TESTS_FUZZ_SAMPLE_H
#define GN2_TESTS_FUZZ_SAMPLE_H

#include <stddef.h>

#include "io/container.h"

/* Two keys, one of them vital, and four tensors: f32 (3, 5), empty f64 (0, 4),
 * i64 scalar, u8 (7). Freed by gn2_free(). */
gn2_status sample_container(unsigned char **out_data, size_t *out_size);

/* Opens the bytes, looks at all of it, reads every tensor. */
gn2_status read_everything(const void *data, size_t size);

#endif

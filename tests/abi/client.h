/* SPDX-License-Identifier: Apache-2.0 */
/* What a client found out; see client.c. */
#ifndef GN2_TESTS_ABI_CLIENT_H
#define GN2_TESTS_ABI_CLIENT_H

#include <stdint.h>

enum { JETS = 3, TRACKS = 7, CLASSES = 4 };

typedef struct findings {
    float probabilities[JETS * CLASSES], again[JETS * CLASSES], d_b[JETS], d_c[JETS];
    int64_t shape[2], count, fan_in;
    double forward_mult, key_min, key_max;
    int64_t jets, batches, first_count;
    int32_t flavour[JETS];
    float pt;
    const char *failed; /* first thing that went wrong, or NULL */
} findings;

findings client_small(void); /* structs without their reserved tail */
findings client_now(void);
findings client_large(void); /* structs with words the library does not know */

/* Unknown words that are not zero; the status of a call with them. */
int32_t client_large_dirty(void);

#endif

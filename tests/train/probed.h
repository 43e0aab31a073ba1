/* SPDX-License-Identifier: Apache-2.0 */
/* What a probe told, kept. */
#ifndef GN2_TESTS_PROBED_H
#define GN2_TESTS_PROBED_H

#include "toy.h"

#define PROBED_MOST 96

typedef struct probed {
    int count;
    gn2_probe_stats row[PROBED_MOST]; /* name: not to be used */
    char name[PROBED_MOST][128];
} probed;

/* The callback of a probe, user: a probed. */
void probed_collect(void *user, const gn2_probe_stats *stats);
/* New, of a probe that must succeed. */
probed *probed_of(gn2_trainer *trainer, const toy *data);
const gn2_probe_stats *probed_find(const probed *p, const char *name);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "probed.h"

#include "util/alloc.h"

void probed_collect(void *user, const gn2_probe_stats *stats)
{
    static const uint64_t zero[4];
    probed *p = user;
    assert_true(p->count < PROBED_MOST);
    assert_int_equal(stats->struct_size, sizeof *stats);
    assert_memory_equal(stats->reserved, zero, sizeof zero);
    strncpy(p->name[p->count], stats->name, 127);
    p->row[p->count] = *stats;
    p->row[p->count++].name = NULL;
}

probed *probed_of(gn2_trainer *trainer, const toy *data)
{
    probed *p = gn2_alloc(1, sizeof *p);
    assert_non_null(p);
    assert_ok(gn2_train_probe(trainer, &data->jets, probed_collect, p));
    return p;
}

const gn2_probe_stats *probed_find(const probed *p, const char *name)
{
    for (int i = 0; i < p->count; i++)
        if (strcmp(p->name[i], name) == 0) return &p->row[i];
    fail_msg("no '%s'", name);
    return NULL;
}

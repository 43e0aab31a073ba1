/* SPDX-License-Identifier: Apache-2.0 */
/* The table is what a network declares: counted first, then written. */
#include "net/params.h"

#include <math.h>
#include <string.h>

#include "net/net.h"
#include "net/parametrization.h"
#include "util/alloc.h"
#include "util/error.h"
#include "util/rng.h"

gn2_status gn2_params_create(const gn2_hparams *h, gn2_params **out_params)
{
    const gn2_declaration none = {.torch_init = h->torch_init,
                                  .biased = h->torch_init,
                                  .scale = gn2_parametrization_scale,
                                  .user = h};
    gn2_declaration counted = none, d = none;
    gn2_net_f32 *net = NULL;
    GN2_TRY(gn2_net_new_f32(h, &net));
    gn2_net_declare_f32(net, &counted);
    gn2_params *p = gn2_alloc(1, sizeof *p + counted.count * sizeof *p->tensor);
    if (p) {
        d.tensor = p->tensor = (void *)(p + 1);
        d.capacity = p->count = counted.count;
        p->total = counted.total;
        gn2_net_declare_f32(net, &d);
        *out_params = p;
    }
    gn2_net_free_f32(net);
    return p ? GN2_OK : gn2_fail_memory();
}

const gn2_tensor *gn2_params_find(const gn2_params *params, const char *name)
{
    for (size_t i = 0; i < params->count; i++)
        if (strcmp(params->tensor[i].name, name) == 0) return &params->tensor[i];
    return NULL;
}

static uint64_t name_key(const char *name)
{
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a */
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 0x100000001B3u;
    return hash;
}

static void start_tensor(const gn2_tensor *t, uint64_t seed, float *weights)
{
    const uint64_t key = gn2_rng_key(seed, name_key(t->name));
    const double bound = sqrt(3.0) * t->init_std;
    for (int64_t i = 0; i < t->count; i++) {
        double value = t->init_value;
        if (t->start == GN2_START_NORMAL)
            value = t->init_std * gn2_rng_normal(key, (uint64_t)i);
        if (t->start == GN2_START_UNIFORM)
            value = bound * (2 * gn2_rng_uniform(key, (uint64_t)i) - 1);
        weights[t->offset + i] = i < t->zeros ? 0 : (float)value;
    }
}

void gn2_params_start(const gn2_params *params, uint64_t seed, float *weights)
{
    for (size_t i = 0; i < params->count; i++)
        start_tensor(&params->tensor[i], seed, weights);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "common/need.h"
#include "common/testnet.h"
#include "util/alloc.h"
#include "util/rng.h"

testmodel *testmodel_create(const char *lines)
{
    testmodel *m = need_memory(1, sizeof *m);
    need_ok(gn2_config_new(&m->config), "config");
    need_ok(gn2_config_from_text(m->config, "test", lines, strlen(lines)), "config");
    need_ok(gn2_hparams_read(m->config, &m->h), "architecture");
    need_ok(gn2_params_create(&m->h, &m->params), "parameters");
    const size_t total = (size_t)m->params->total;
    float *start = need_memory(total, sizeof *start);
    m->weights = need_memory(total, sizeof *m->weights);
    gn2_params_start(m->params, m->h.seed, start);
    for (size_t i = 0; i < total; i++) m->weights[i] = (double)start[i];
    gn2_free(start);
    return m;
}

void testmodel_free(testmodel *model)
{
    if (!model) return;
    gn2_free(model->params);
    gn2_config_delete(model->config);
    gn2_free(model->weights);
    gn2_free(model);
}

void testmodel_scatter(testmodel *model, uint64_t key, double scale)
{
    for (size_t k = 0; k < model->params->count; k++) {
        const gn2_tensor *t = &model->params->tensor[k];
        const uint64_t stream = gn2_rng_key(key, k);
        const double std = scale / sqrt((double)t->fan_in);
        for (int64_t i = 0; i < t->count; i++)
            model->weights[t->offset + i] =
                (double)(float)(std * gn2_rng_normal(stream, (uint64_t)i));
    }
}

double test_max_diff(const double *a, const double *b, int64_t count)
{
    double most = 0;
    for (int64_t i = 0; i < count; i++) {
        const double diff = fabs(a[i] - b[i]);
        if (!(diff <= most)) most = diff;
        if (isnan(most)) return most;
    }
    return most;
}

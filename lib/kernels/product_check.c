/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/product_check.h"

#include <string.h>

#include "util/alloc.h"
#include "util/error.h"
#include "util/rng.h"

float *gn2_random_floats(size_t count, uint64_t key)
{
    float *data = gn2_alloc(count, sizeof *data);
    for (size_t i = 0; data && i < count; i++)
        data[i] = (float)(2.0 * gn2_rng_uniform(key, i) - 1.0);
    return data;
}

/* The product with a lane of its own. */
typedef struct subject {
    const gn2_product_f32 *p;
    gn2_lane_view_f32 lane;
} subject;

static void close_lane(const subject *s)
{
    if (s->lane.state) s->p->ops->lane_close(s->lane.state);
    gn2_free(s->lane.scratch);
}

static gn2_status open_lane(const gn2_product_f32 *p, subject *out)
{
    size_t bytes = 0;
    *out = (subject){.p = p};
    out->lane.scratch = gn2_alloc(p->ops->scratch ? p->ops->scratch(p) : 0, 1);
    if (!out->lane.scratch) return gn2_fail_memory();
    return p->ops->lane_open ? p->ops->lane_open(p, &out->lane.state, &bytes) : GN2_OK;
}

/* `rows` rows from row `first` on, at once; have they the bits of `alone`? */
static int piece_agrees(const subject *s, const gn2_mul_args_f32 *alone, float *c,
                        int64_t first, int64_t rows)
{
    gn2_mul_args_f32 x = *alone;
    x.m = rows;
    x.a += first * s->p->k;
    x.c = c;
    s->p->ops->run(s->p, s->lane, &x);
    return memcmp(c, alone->c + first * s->p->n,
                  (size_t)(rows * s->p->n) * sizeof *c) == 0;
}

/* Each row alone, then pieces of 2, 4, 8 … rows: a row's place in a piece may matter
 * too, since kernels take rows a few at a time and the last ones otherwise. */
static int all_agree(const subject *s, const gn2_mul_args_f32 *all, float *c)
{
    gn2_mul_args_f32 alone = *all;
    alone.m = 1;
    for (int64_t r = 0; r < all->m; r++) {
        alone.a = all->a + r * s->p->k;
        alone.c = all->c + r * s->p->n;
        s->p->ops->run(s->p, s->lane, &alone);
    }
    for (int64_t rows = 2; rows <= all->m; rows *= 2)
        if (!piece_agrees(s, all, c, rows < all->m ? rows : 0, rows)) return 0;
    return 1;
}

gn2_status gn2_product_rows_agree(gn2_product_f32 *p, int *out_agree)
{
    int64_t m = 1;
    while (m <= p->max_rows / 2) m *= 2;
    subject s = {.p = p};
    float *a = gn2_random_floats((size_t)(m * p->k), 1);
    float *b = gn2_random_floats((size_t)(p->k * p->n), 2);
    float *c = gn2_random_floats((size_t)(2 * m * p->n), 3);
    gn2_status status = a && b && c ? open_lane(p, &s) : gn2_fail_memory();
    if (status == GN2_OK) {
        p->ops->pack(p, b, p->n, 0);
        const gn2_mul_args_f32 all = {.c = c, .ldc = p->n, .a = a, .lda = p->k, .m = m};
        *out_agree = all_agree(&s, &all, c + m * p->n);
    }
    close_lane(&s);
    gn2_free(a);
    gn2_free(b);
    gn2_free(c);
    return status;
}

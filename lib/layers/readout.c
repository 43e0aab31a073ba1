/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read-out: z = LN(W x), z = W·mult·LN(x), or z = W·mult·x.
 * The multiplier is the parametrisation's; behind a norm it would cancel, so there
 * the projection counts as a hidden tensor and mult is 1.
 * Cached: the norm's statistics; y = mult·LN(x) or mult·x.
 */
#include "layers/readout.h"

#include <string.h>

#ifndef GN2_REAL_DOUBLE
void gn2_readout_read(const gn2_config *c, gn2_readout_shape *out)
{
    const char *key = "model.final_norm_pos";
    *out = (gn2_readout_shape){
        .in = gn2_config_i64(c, "model.embed_dim"),
        .out = gn2_config_i64(c, "model.out_dim"),
        .norm = gn2_config_says(c, key, "post")  ? GN2_FINAL_POST
                : gn2_config_says(c, key, "pre") ? GN2_FINAL_PRE
                                                 : GN2_FINAL_NONE,
        .norm_eps = gn2_config_f64(c, "model.norm_eps"),
        .mult = 1,
        .affine = gn2_config_says(c, "model.encoder", "legacy"),
    };
}
#endif

void R(gn2_readout_declare)(gn2_declaration *d, R(gn2_readout) *r)
{
    const gn2_readout_shape *shape = &r->shape;
    const gn2_growth growth =
        shape->norm == GN2_FINAL_POST ? GN2_GROWS_BOTH : GN2_GROWS_IN;
    const int64_t o = shape->out, w = shape->in;
    const char *stem = shape->affine ? "final_linear." : "out_proj.";
    const int affine = shape->norm == GN2_FINAL_PRE && shape->affine;
    r->norm = gn2_norm_declare(d, affine ? "final_norm." : NULL,
                               shape->norm == GN2_FINAL_POST ? o : w, shape->norm_eps);
    r->out = (R(gn2_linear)){.in = w, .out = o, .ld = w};
    gn2_tensor *t = gn2_declare_weight(d, stem, o, w, growth);
    r->out.weight = t->offset;
    if (shape->zero_start) {
        t->start = GN2_START_CONSTANT;
        t->init_std = 0;
    }
    /* o does not grow */
    r->out.bias = gn2_declare_bias(d, stem, o, w, GN2_GROWS_IN)->offset;
}

void R(gn2_readout_carve)(gn2_carver *c, const gn2_readout_shape *shape,
                          R(gn2_readout_space) *s)
{
    R(gn2_norm_carve)(c, &s->norm);
    s->y = R(gn2_carve)(c, c->tokens, shape->in);
    s->z0 = s->z = R(gn2_carve)(c, c->tokens, shape->out);
    if (shape->norm == GN2_FINAL_POST && c->keep)
        s->z = R(gn2_carve)(c, c->tokens, shape->out);
    if (c->training) s->d_z0 = R(gn2_carve)(c, c->tokens, shape->out);
}

void R(gn2_readout_show)(R(gn2_show) *show, const R(gn2_readout) *r,
                         const R(gn2_readout_space) *s, int64_t rows)
{
    const int64_t o = r->shape.out;
    R(gn2_show_add)(show, (R(gn2_shown)){"readout", -1, s->z0, NULL, rows, o, -1});
    R(gn2_show_add)(show, (R(gn2_shown)){"tokens", -1, s->z, NULL, rows, o, -1});
}

/* Whether the projection reads x as it is. */
static int reads_x(const gn2_readout_shape *shape)
{
    return shape->norm != GN2_FINAL_PRE && shape->mult == 1;
}

/* What the projection reads: mult·LN(x), mult·x, or x. */
static const real *make_input(const R(gn2_context) *ctx, const R(gn2_readout) *r,
                              const R(gn2_readout_space) *s, const real *x,
                              int64_t rows)
{
    const int64_t count = rows * r->shape.in;
    if (reads_x(&r->shape)) return x;
    if (r->shape.norm == GN2_FINAL_PRE)
        R(gn2_norm_fwd)(ctx, &r->norm, &s->norm, s->y, x, rows);
    else
        memcpy(s->y, x, (size_t)count * sizeof(real));
    if (r->shape.mult != 1) ctx->kernels->scale(s->y, (real)r->shape.mult, count);
    return s->y;
}

void R(gn2_readout_fwd)(const R(gn2_context) *ctx, const R(gn2_readout) *r,
                        const R(gn2_readout_space) *s, const real *x, int64_t rows)
{
    const real *y = make_input(ctx, r, s, x, rows);
    R(gn2_linear_fwd)(ctx, &r->out, s->z0, y, NULL, 0, rows);
    if (r->shape.norm == GN2_FINAL_POST)
        R(gn2_norm_fwd)(ctx, &r->norm, &s->norm, s->z, s->z0, rows);
}

void R(gn2_readout_bwd)(const R(gn2_context) *ctx, const R(gn2_readout) *r,
                        const R(gn2_readout_space) *s, real *d_x, real *d_y,
                        const real *d_z, const real *x, int64_t rows)
{
    const gn2_readout_shape *shape = &r->shape;
    const size_t size = sizeof(real);
    const real *d_z0 = d_z;
    if (shape->norm == GN2_FINAL_POST) {
        memset(s->d_z0, 0, (size_t)(rows * shape->out) * size);
        R(gn2_norm_bwd)(ctx, &r->norm, &s->norm, s->d_z0, d_z, s->z0, rows);
        d_z0 = s->d_z0;
    }
    real *d_in = shape->norm == GN2_FINAL_PRE ? d_y : d_x;
    R(gn2_linear_bwd_weight)(ctx, &r->out, d_z0, reads_x(shape) ? x : s->y, rows);
    R(gn2_linear_bwd_input)(ctx, &r->out, d_in, d_z0, NULL, rows);
    if (shape->mult != 1)
        ctx->kernels->scale(d_in, (real)shape->mult, rows * shape->in);
    if (shape->norm != GN2_FINAL_PRE) return;
    memset(d_x, 0, (size_t)(rows * shape->in) * size);
    R(gn2_norm_bwd)(ctx, &r->norm, &s->norm, d_x, d_y, x, rows);
}

#ifndef GN2_REAL_DOUBLE
int64_t gn2_readout_cost(const gn2_readout_shape *shape)
{
    return shape->in * shape->out;
}
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the caller's rows to tokens: gather by column, normalise, init net, scatter
 * beside the registers; and the way back.
 * Token order inside a jet: constituents type by type, then the registers.
 */
#include <math.h>
#include <string.h>

#include "net/net.h"

int64_t R(gn2_pass_rows)(const R(gn2_pass) *pass, int sequence)
{
    return pass->space->row_offset[sequence][pass->chunk.jets];
}

int64_t R(gn2_pass_row)(const R(gn2_pass) *pass, int sequence, int64_t r)
{
    const R(gn2_rows) *rows = &pass->batch->sequence[sequence];
    return R(gn2_rows_at)(rows, rows->offset[pass->chunk.first] + r);
}

gn2_tokens R(gn2_pass_constituents)(const R(gn2_pass) *pass, int sequence)
{
    return (gn2_tokens){
        .offset = pass->space->row_offset[sequence],
        .jets = pass->chunk.jets,
        .rows = R(gn2_pass_rows)(pass, sequence),
        .first = pass->batch->sequence[sequence].offset[pass->chunk.first],
        .step_key = pass->step_key,
        .dropping = pass->dropping,
    };
}

/* Row offsets of every sequence, token and pair offsets of the chunk. */
static void index_jets(R(gn2_pass) *pass)
{
    const gn2_hparams *h = pass->net->h;
    R(gn2_space) *s = pass->space;
    const int paired = h->pairs < 0 ? 0 : h->task[h->pairs].sequence;
    s->token_offset[0] = s->pair_offset[0] = 0;
    for (int k = 0; k < h->sequence_count; k++) s->row_offset[k][0] = 0;
    for (int64_t b = 0; b < pass->chunk.jets; b++) {
        int64_t token = s->token_offset[b];
        for (int k = 0; k < h->sequence_count; k++) {
            const int64_t *offset = pass->batch->sequence[k].offset + pass->chunk.first;
            const int64_t n = offset[b + 1] - offset[b], row = s->row_offset[k][b];
            for (int64_t i = 0; i < n; i++) s->row_token[k][row + i] = token + i;
            s->row_offset[k][b + 1] = row + n;
            token += n;
        }
        const int64_t n = s->row_offset[paired][b + 1] - s->row_offset[paired][b];
        s->pair_offset[b + 1] = s->pair_offset[b] + n * (n - 1);
        s->token_offset[b + 1] = token + h->num_registers;
    }
}

/* Of an object without inputs there need not be any rows in memory. */
static void copy_columns(real *to, const real *from, const int32_t *column, int64_t n)
{
    if (n == 0) return;
    if (!column) {
        memcpy(to, from, (size_t)n * sizeof(real));
        return;
    }
    for (int64_t i = 0; i < n; i++) to[i] = from[column[i]];
}

/* Raw rows of a sequence, the jet's variables first (salt's order). */
static void gather(R(gn2_pass) *pass, int k)
{
    const gn2_hparams *h = pass->net->h;
    const R(gn2_rows) *jet = &pass->batch->jet, *own = &pass->batch->sequence[k];
    const int64_t first = h->jet_inputs, cols = h->init[k].size[0];
    real *x = pass->space->x_in[k];
    for (int64_t b = 0; b < pass->chunk.jets; b++) {
        const real *features =
            first ? jet->data + (pass->chunk.first + b) * jet->ld : NULL;
        const int64_t end = pass->space->row_offset[k][b + 1];
        for (int64_t r = pass->space->row_offset[k][b]; r < end; r++) {
            const real *row =
                cols > first ? own->data + R(gn2_pass_row)(pass, k, r) * own->ld : NULL;
            copy_columns(x + r * cols, features, jet->column, first);
            copy_columns(x + r * cols + first, row, own->column, cols - first);
        }
    }
}

static void replace_non_finite(R(gn2_pass) *pass, int k, int64_t rows)
{
    const int64_t cols = pass->net->h->init[k].size[0];
    real *x = pass->space->x_in[k];
    if (pass->ctx.kernels->all_finite(x, rows * cols)) return;
    for (int64_t i = 0; i < rows * cols; i++)
        if (!isfinite(x[i])) x[i] = pass->net->fallback[k][i % cols];
}

/* Step 0: of the inputs. */
static gn2_dropout init_dropout(const R(gn2_pass) *pass, int k)
{
    const gn2_tokens n = R(gn2_pass_constituents)(pass, k);
    return gn2_dropout_of(&n, pass->net->h->dropout_init,
                          GN2_PLACE_INIT + 16 * (uint64_t)k);
}

/* Init net of one constituent type; its rows go to their tokens. */
static void embed(R(gn2_pass) *pass, int k)
{
    const gn2_hparams *h = pass->net->h;
    R(gn2_space) *s = pass->space;
    const int64_t rows = R(gn2_pass_rows)(pass, k), cols = h->init[k].size[0];
    gather(pass, k);
    if (h->replace_non_finite) replace_non_finite(pass, k, rows);
    pass->ctx.kernels->normalise(s->x_in[k], pass->net->mean[k], pass->net->std[k],
                                 rows, cols, cols);
    const gn2_dropout drop = init_dropout(pass, k);
    R(gn2_dropout_rows)(&pass->ctx, &drop, 0, s->x_in[k], rows, cols);
    R(gn2_mlp_fwd)
    (&pass->ctx, &pass->net->init[k], 0, s->init[k].act, s->x_in[k], &drop, rows);
    const real *h0 = s->init[k].act[h->init[k].depth - 1];
    const size_t bytes = (size_t)h->embed_dim * sizeof(real);
    for (int64_t r = 0; r < rows; r++)
        memcpy(s->layer[0].x + s->row_token[k][r] * h->embed_dim, h0 + r * h->embed_dim,
               bytes);
}

void R(gn2_inputs_fwd)(R(gn2_pass) *pass)
{
    const gn2_hparams *h = pass->net->h;
    R(gn2_space) *s = pass->space;
    index_jets(pass);
    for (int k = 0; k < h->sequence_count; k++) embed(pass, k);
    const int64_t size = h->num_registers * h->embed_dim;
    for (int64_t b = 0; b < pass->chunk.jets && size; b++)
        memcpy(s->layer[0].x + s->token_offset[b + 1] * h->embed_dim - size,
               pass->ctx.weights + pass->net->registers, (size_t)size * sizeof(real));
}

void R(gn2_inputs_bwd)(R(gn2_pass) *pass)
{
    const gn2_hparams *h = pass->net->h;
    R(gn2_space) *s = pass->space;
    const int64_t w = h->embed_dim, size = h->num_registers * w;
    for (int64_t b = 0; b < pass->chunk.jets && size; b++)
        pass->ctx.kernels->add(pass->ctx.grads + pass->net->registers,
                               s->grads.d_x + s->token_offset[b + 1] * w - size, size);
    for (int k = 0; k < h->sequence_count; k++) {
        const int64_t rows = R(gn2_pass_rows)(pass, k);
        const gn2_dropout drop = init_dropout(pass, k);
        real *d_h0 = s->init[k].d_act[h->init[k].depth - 1];
        for (int64_t r = 0; r < rows; r++)
            memcpy(d_h0 + r * w, s->grads.d_x + s->row_token[k][r] * w,
                   (size_t)w * sizeof(real));
        R(gn2_mlp_bwd)
        (&pass->ctx, &pass->net->init[k], 0, s->init[k].d_act, NULL, s->init[k].act,
         s->x_in[k], &drop, rows);
    }
}

/* An init net of one linear map has no ReLU. */
void R(gn2_inputs_show)(const R(gn2_pass) *pass, R(gn2_show) *show)
{
    const gn2_hparams *h = pass->net->h;
    const R(gn2_space) *s = pass->space;
    for (int k = 0; k < h->sequence_count; k++) {
        const int64_t rows = R(gn2_pass_rows)(pass, k), cols = h->init[k].size[1];
        real *x = s->init[k].act[0];
        R(gn2_linear_fwd)
        (&pass->ctx, &pass->net->init[k].layer[0], x, s->x_in[k], NULL, 0, rows);
        const int64_t unit = h->init[k].depth > 1 ? 0 : -1;
        R(gn2_show_add)(show,
                        (R(gn2_shown)){"init_pre", -1, x, NULL, rows, cols, unit});
    }
    for (int k = 0; k < h->sequence_count; k++) {
        const real *x = s->init[k].act[h->init[k].depth - 1];
        const int64_t rows = R(gn2_pass_rows)(pass, k), cols = h->embed_dim;
        R(gn2_show_add)(show, (R(gn2_shown)){"init", -1, x, NULL, rows, cols, -1});
    }
}

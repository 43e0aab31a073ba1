/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must not change a score: the order of the tracks, their splitting over two
 * constituent types, pads and holes, the other jets of a call, the cut into chunks.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/need.h"
#include "common/testnet.h"
#include "kernels/product_onednn.h"
#include "util/alloc.h"
#include "util/rng.h"

/* Another order of the same sums: rounding of a few hundred terms at most, 2e-5 of
 * the largest output in float (the tolerance of the golden vectors). */
#define F64_SHARE 1e-12
#define F32_SHARE 2e-5

#define JETS 12
static const int64_t tracks[JETS] = {5, 0, 1, 17, 40, 2, 8, 3, 0, 63, 9, 12};

/* Widths that fill and that do not fill vector registers. */
#define PLAIN "model.embed_dim = 64\nmodel.num_layers = 2\n"
#define ODD                                                                   \
    "model.embed_dim = 42\nmodel.num_heads = 6\nmodel.num_layers = 2\n"       \
    "model.out_dim = 37\nmodel.init_hidden = 51\nmodel.num_registers = 2\n"   \
    "task.jets_classification.hidden = 19\ntask.track_origin.hidden = 23,9\n" \
    "task.track_vertexing.hidden = 21,11\nmodel.final_norm_pos = pre\n"
#define LEGACY                                                             \
    "model.embed_dim = 32\nmodel.num_layers = 2\nmodel.encoder = legacy\n" \
    "model.final_norm_pos = pre\nmodel.num_registers = 0\n"

static const char *const networks[] = {PLAIN, ODD, LEGACY};
#define NETWORKS (sizeof networks / sizeof *networks)

static const struct precision {
    const char *name;
    testrun_fn run;
    gn2_isa cap;
    gn2_backend backend;
    double share;
} precisions[] = {
    {"f64", testrun_f64, GN2_ISA_REFERENCE, GN2_BACKEND_AUTO, F64_SHARE},
    {"f32 reference", testrun_f32, GN2_ISA_REFERENCE, GN2_BACKEND_AUTO, F32_SHARE},
    {"f32 avx2", testrun_f32, GN2_ISA_AVX2, GN2_BACKEND_OWN, F32_SHARE},
    {"f32 best", testrun_f32, GN2_ISA_BEST, GN2_BACKEND_AUTO, F32_SHARE},
    {"f32 own", testrun_f32, GN2_ISA_BEST, GN2_BACKEND_OWN, F32_SHARE},
    {"f32 oneDNN", testrun_f32, GN2_ISA_BEST, GN2_BACKEND_ONEDNN, F32_SHARE},
};

/* One network with one batch in one precision. */
typedef struct setting {
    const char *lines; /* of the model */
    testmodel *model;
    testbatch *batch;
    const struct precision *p;
} setting;

static void for_all(void (*check)(const setting *s))
{
    for (size_t n = 0; n < NETWORKS; n++)
        for (size_t k = 0; k < sizeof precisions / sizeof *precisions; k++) {
            if (precisions[k].backend == GN2_BACKEND_ONEDNN &&
                gn2_onednn_find() != GN2_OK)
                continue; /* built without it */
            setting s = {.lines = networks[n],
                         .model = testmodel_create(networks[n]),
                         .p = &precisions[k]};
            testmodel_scatter(s.model, 3 + n, 1);
            s.batch = testbatch_random(&s.model->h, tracks, JETS, 8);
            check(&s);
            testbatch_free(s.batch);
            testmodel_free(s.model);
        }
}

static testresult *run(const setting *s, const testbatch *batch, int training,
                       int64_t chunk_tokens)
{
    const testoptions options = {.cap = s->p->cap,
                                 .backend = s->p->backend,
                                 .training = training,
                                 .chunk_tokens = chunk_tokens};
    return s->p->run(s->model, batch, &options);
}

static double largest(const double *x, int64_t count)
{
    double most = 0;
    for (int64_t i = 0; i < count; i++) most = fmax(most, fabs(x[i]));
    return most;
}

static void assert_close(const setting *s, const double *a, const double *b,
                         int64_t count)
{
    const double dev = test_max_diff(a, b, count), scale = largest(a, count);
    if (!(dev <= s->p->share * scale))
        printf("%s: %.2e of %.2e\n", s->p->name, dev, s->p->share * scale);
    assert_true(dev <= s->p->share * scale);
}

static void assert_same(const double *a, const double *b, int64_t count)
{
    assert_true(memcmp(a, b, (size_t)count * sizeof *a) == 0);
}

/* ---- order of the tracks ---- */

/* A random order inside each jet, as numbers over the batch. */
static int64_t *shuffle(const testbatch *batch, uint64_t key)
{
    const int64_t *offset = batch->sequence[0].offset;
    int64_t *order = need_memory((size_t)offset[batch->jets], sizeof *order);
    for (int64_t b = 0; b < batch->jets; b++) {
        gn2_rng_permutation(gn2_rng_key(key, (uint64_t)b), order + offset[b],
                            offset[b + 1] - offset[b]);
        for (int64_t i = offset[b]; i < offset[b + 1]; i++) order[i] += offset[b];
    }
    return order;
}

/* Rows (…, cols) of a in the order of b's tracks. */
static double *reorder(const double *a, const int64_t *order, int64_t rows,
                       int64_t cols)
{
    double *out = need_memory((size_t)(rows * cols), sizeof *out);
    for (int64_t r = 0; r < rows; r++)
        memcpy(out + r * cols, a + order[r] * cols, (size_t)cols * sizeof *out);
    return out;
}

/* Pair logits of a in the order of b's tracks. */
static double *reorder_pairs(const double *a, const int64_t *order,
                             const int64_t *offset, int64_t pairs)
{
    double *out = need_memory((size_t)pairs, sizeof *out);
    int64_t first = 0, to = 0;
    for (int64_t b = 0; b < JETS; b++) {
        const int64_t n = offset[b + 1] - offset[b];
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) {
                if (i == j) continue;
                const int64_t k = order[offset[b] + i] - offset[b];
                const int64_t l = order[offset[b] + j] - offset[b];
                out[to++] = a[first + k * (n - 1) + (l < k ? l : l - 1)];
            }
        first += n * (n - 1);
    }
    return out;
}

static void check_order(const setting *s)
{
    const gn2_hparams *h = &s->model->h;
    int64_t *order = shuffle(s->batch, 21);
    testbatch *other = testbatch_permute(h, s->batch, order);
    testresult *a = run(s, s->batch, 0, 128), *b = run(s, other, 0, 128);
    double *origin =
        reorder(a->logits[TASK_ORIGIN], order, a->rows[0], test_origins(h));
    double *pairs = reorder_pairs(a->logits[TASK_VERTEX], order,
                                  s->batch->sequence[0].offset, a->pairs);
    assert_close(s, a->logits[TASK_JETS], b->logits[TASK_JETS], JETS * h->classes);
    assert_close(s, origin, b->logits[TASK_ORIGIN], a->rows[0] * test_origins(h));
    assert_close(s, pairs, b->logits[TASK_VERTEX], a->pairs);
    for (int id = 0; id < TASK_COUNT; id++)
        assert_true(fabs(a->losses[id] - b->losses[id]) <=
                    s->p->share * fabs(a->losses[id]));
    gn2_free(order);
    gn2_free(origin);
    gn2_free(pairs);
    testbatch_free(other);
    testresult_free(a);
    testresult_free(b);
}

static void the_order_of_tracks_moves_with_their_outputs(void **state)
{
    (void)state;
    for_all(check_order);
}

/* ---- two constituent types with equal init nets ---- */

/* The weights of `from` by name; init net 1 gets those of init net 0. */
static void share_weights(testmodel *to, const testmodel *from)
{
    for (size_t k = 0; k < to->params->count; k++) {
        const gn2_tensor *t = &to->params->tensor[k];
        char name[96];
        memcpy(name, t->name, sizeof name);
        if (strncmp(name, "init_nets.1", 11) == 0) name[10] = '0';
        const gn2_tensor *f = gn2_params_find(from->params, name);
        need_true(f != NULL && f->count == t->count, t->name);
        memcpy(to->weights + t->offset, from->weights + f->offset,
               (size_t)t->count * sizeof *to->weights);
    }
}

/* Track i of a jet goes to type i % 2. */
static testbatch *split(const gn2_hparams *h, const testbatch *batch)
{
    int64_t counts[2 * JETS], next[2] = {0, 0};
    const testrows *from = &batch->sequence[0];
    for (int64_t b = 0; b < JETS; b++) {
        const int64_t n = from->offset[b + 1] - from->offset[b];
        counts[b] = n - n / 2;
        counts[JETS + b] = n / 2;
    }
    testbatch *out = testbatch_create(h, counts, JETS);
    memcpy(out->jet, batch->jet,
           (size_t)(JETS * batch->jet_inputs) * sizeof *batch->jet);
    for (int64_t b = 0; b < JETS; b++)
        for (int64_t i = from->offset[b]; i < from->offset[b + 1]; i++) {
            const int s = (i - from->offset[b]) % 2 != 0;
            memcpy(out->sequence[s].data + next[s]++ * from->inputs,
                   from->data + i * from->inputs,
                   (size_t)from->inputs * sizeof *from->data);
        }
    return out;
}

static void check_split(const setting *s)
{
    gn2_text lines = {0};
    gn2_text_add(&lines, "model.constituents = tracks,others\ninputs.others = ");
    const size_t inputs = gn2_config_list_count(s->model->config, "inputs.tracks");
    for (size_t i = 0; i < inputs; i++)
        gn2_text_format(&lines, "%s%s", i ? "," : "",
                        gn2_config_list_item(s->model->config, "inputs.tracks", i));
    gn2_text_add(&lines, "\n");
    gn2_text_add(&lines, s->lines);
    testmodel *two = testmodel_create(lines.data);
    share_weights(two, s->model);
    testbatch *halves = split(&two->h, s->batch);
    const setting other = {lines.data, two, halves, s->p};
    testresult *a = run(s, s->batch, 0, 0), *b = run(&other, halves, 0, 0);
    assert_int_equal(a->tokens, b->tokens);
    assert_close(s, a->logits[TASK_JETS], b->logits[TASK_JETS], JETS * two->h.classes);
    assert_close(s, a->pooled, b->pooled, JETS * two->h.out_dim);
    gn2_free(lines.data);
    testbatch_free(halves);
    testmodel_free(two);
    testresult_free(a);
    testresult_free(b);
}

static void two_types_with_equal_init_nets_score_as_one(void **state)
{
    (void)state;
    for_all(check_split);
}

/* ---- the same bits ---- */

static void assert_same_outputs(const setting *s, const testresult *a,
                                const testresult *b)
{
    const gn2_hparams *h = &s->model->h;
    const int64_t count[] = {a->jets * h->classes, a->rows[0] * test_origins(h),
                             a->pairs};
    assert_same(a->pooled, b->pooled, a->jets * h->out_dim);
    assert_same(a->alpha, b->alpha, a->tokens);
    for (int id = 0; id < TASK_COUNT; id++)
        assert_same(a->logits[id], b->logits[id], count[id]);
}

static void check_pads(const setting *s)
{
    testbatch *padded = testbatch_pad(s->batch, 7, 4);
    for (int training = 0; training < 2; training++) {
        testresult *a = run(s, s->batch, training, 100);
        testresult *b = run(s, padded, training, 100);
        assert_same_outputs(s, a, b);
        assert_same(a->losses, b->losses, TASK_COUNT);
        if (training) assert_same(a->grads, b->grads, s->model->params->total);
        testresult_free(a);
        testresult_free(b);
    }
    testbatch_free(padded);
}

static void pads_and_holes_change_no_bit(void **state)
{
    (void)state;
    for_all(check_pads);
}

static void check_chunks(const setting *s)
{
    static const int64_t sizes[] = {1, 16, 65, 128, 512};
    testresult *a = run(s, s->batch, 0, 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        testresult *b = run(s, s->batch, 0, sizes[i]);
        assert_same_outputs(s, a, b);
        testresult_free(b);
    }
    testresult *b = run(s, s->batch, 1, 50); /* activations kept */
    assert_same_outputs(s, a, b);
    testresult_free(a);
    testresult_free(b);
}

static void the_cut_into_chunks_changes_no_bit(void **state)
{
    (void)state;
    for_all(check_chunks);
}

/* Rows of jet `which[b]` in a, as b's batch holds them. */
static void assert_jets_found(const setting *s, const testresult *a,
                              const testresult *b, const int64_t *which, int64_t count)
{
    const gn2_hparams *h = &s->model->h;
    const int64_t *offset = s->batch->sequence[0].offset;
    int64_t row = 0, pair = 0;
    for (int64_t k = 0; k < count; k++) {
        const int64_t jet = which[k], n = offset[jet + 1] - offset[jet];
        int64_t first_pair = 0;
        for (int64_t i = 0; i < jet; i++) {
            const int64_t m = offset[i + 1] - offset[i];
            first_pair += m * (m - 1);
        }
        assert_same(b->logits[TASK_JETS] + k * h->classes,
                    a->logits[TASK_JETS] + jet * h->classes, h->classes);
        assert_same(b->logits[TASK_ORIGIN] + row * test_origins(h),
                    a->logits[TASK_ORIGIN] + offset[jet] * test_origins(h),
                    n * test_origins(h));
        assert_same(b->logits[TASK_VERTEX] + pair, a->logits[TASK_VERTEX] + first_pair,
                    n * (n - 1));
        row += n;
        pair += n * (n - 1);
    }
}

static void check_company(const setting *s)
{
    int64_t order[JETS];
    testresult *a = run(s, s->batch, 0, 128);
    for (int64_t b = 0; b < JETS; b++) {
        testbatch *alone = testbatch_pick(&s->model->h, s->batch, &b, 1);
        testresult *t = run(s, alone, 0, 128);
        assert_jets_found(s, a, t, &b, 1);
        testbatch_free(alone);
        testresult_free(t);
    }
    for (uint64_t key = 0; key < 3; key++) {
        gn2_rng_permutation(key, order, JETS);
        testbatch *mixed = testbatch_pick(&s->model->h, s->batch, order, JETS);
        testresult *t = run(s, mixed, 0, 70);
        assert_jets_found(s, a, t, order, JETS);
        testbatch_free(mixed);
        testresult_free(t);
    }
    testresult_free(a);
}

static void the_other_jets_change_no_bit(void **state)
{
    (void)state;
    for_all(check_company);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_of_tracks_moves_with_their_outputs),
        cmocka_unit_test(two_types_with_equal_init_nets_score_as_one),
        cmocka_unit_test(pads_and_holes_change_no_bit),
        cmocka_unit_test(the_cut_into_chunks_changes_no_bit),
        cmocka_unit_test(the_other_jets_change_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

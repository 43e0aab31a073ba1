/* SPDX-License-Identifier: Apache-2.0 */
/* Training under every parametrisation: the bits of the standard one at the base
 * width, and steps at any width. */
#include <math.h>
#include <stdio.h>

#include "toy.h"

/* ---- at the base width ---- */

#define AT_BASE "model.parametrization=mup", "model.base_width=32"
#define STEPS "schedule.steps=20", "optim.weight_decay=0.1"

static gn2_trainer *trained(const char *const *options, const toy *data)
{
    gn2_trainer *t = toy_trainer_of(options);
    for (int k = 0; k < 20; k++)
        assert_ok(gn2_train_step(t, &data->jets, &data->labels, NULL));
    return t;
}

static int same_weights(const gn2_trainer *a, const gn2_trainer *b)
{
    const size_t bytes = (size_t)a->params->total * sizeof(float);
    return memcmp(a->engine->weights, b->engine->weights, bytes) == 0;
}

static void check_base(const char *optimiser, const char *norm, const toy *data)
{
    gn2_trainer *sp = trained(OPTIONS(STEPS, optimiser, norm), data);
    gn2_trainer *others[] = {
        trained(OPTIONS(STEPS, optimiser, norm, AT_BASE), data),
        trained(OPTIONS(STEPS, optimiser, norm, AT_BASE, "model.base_heads=4"), data),
        /* what must differ, so that this can fail: heads of half the base's size */
        trained(OPTIONS(STEPS, optimiser, norm, AT_BASE, "model.base_heads=2"), data),
    };
    assert_true(same_weights(sp, others[0]));
    assert_true(same_weights(sp, others[1]));
    assert_false(same_weights(sp, others[2]));
    for (int i = 0; i < 3; i++) gn2_train_delete(others[i]);
    gn2_train_delete(sp);
}

static void the_base_width_trains_to_the_bits_of_the_standard_form(void **state)
{
    static const char *const optimisers[] = {"optim.name=adamw", "optim.name=sgd"};
    static const char *const norms[] = {"model.final_norm_pos=pre",
                                        "model.final_norm_pos=post",
                                        "model.final_norm_pos=none"};
    toy *data = toy_create(12, 3);
    (void)state;
    for (int i = 0; i < 6; i++) check_base(optimisers[i / 3], norms[i % 3], data);
    toy_free(data);
}

/* ---- any width ---- */

/* A parametrisation and how its heads grow: `heads` of them, or of size `size`. */
typedef struct growth {
    const char *form;
    int heads, size;
} growth;

static void check_width(int width, const growth *g, const toy *data)
{
    char embed[64], heads[64], base[64];
    const int count = g->size ? width / g->size : g->heads;
    snprintf(embed, sizeof embed, "model.embed_dim=%d", width);
    snprintf(heads, sizeof heads, "model.num_heads=%d", count);
    snprintf(base, sizeof base, "model.base_heads=%d", g->size ? 64 / g->size : 0);
    gn2_trainer *t = toy_trainer_of(OPTIONS(
        embed, heads, base, g->form, "model.final_norm_pos=pre", "model.num_layers=1",
        "train.shards=1", "schedule.name=constant", "schedule.max=1e-3"));
    gn2_step_stats stats;
    /* the loss is that before the step: the second is of changed weights */
    for (int k = 0; k < 2; k++)
        if (gn2_train_step(t, &data->jets, &data->labels, &stats) ||
            !isfinite(stats.loss) || !isfinite(stats.gradient_norm))
            fail_msg("%s %s %s: %s", g->form, embed, heads, gn2_error_text());
    gn2_train_delete(t);
}

static void every_width_can_be_trained(void **state)
{
    static const int widths[] = {8, 16, 24, 40, 64, 96, 128, 200, 256, 512, 1000, 1024};
    static const growth kinds[] = {
        {"model.parametrization=sp", 8, 0},           /* heads of growing size */
        {"model.parametrization=mup", 8, 0},          /* the same */
        {"model.parametrization=mup", 0, 8},          /* more and more of size 8 */
        {"model.parametrization=mup_absolute", 0, 8}, /* the same */
    };
    toy *data = toy_create(3, 4);
    (void)state;
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
            check_width(widths[w], &kinds[k], data);
    toy_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_base_width_trains_to_the_bits_of_the_standard_form),
        cmocka_unit_test(every_width_can_be_trained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

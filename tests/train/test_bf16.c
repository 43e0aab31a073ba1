/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training and tagging with matrix products in bf16 (train.precision,
 * tagger.precision): as reproducible as in float, and as close to it as rounding
 * allows. It makes the products through the internal interface, so that it runs
 * wherever there are any, not only where they are worth offering.
 */
#include <math.h>
#include <stdio.h>

#include "kernels/processors.h"
#include "net/backend.h"
#include "tag/tagger.h"
#include "toy.h"
#include "util/alloc.h"

/* Half a unit in the last of 8 significant bits: what one rounding may lose. */
#define HALF_ULP 0x1p-9

static int has_bf16(void)
{
    return gn2_isa_detect() >= GN2_ISA_AVX512;
}

/* ---- training ---- */

static void to_bf16(gn2_trainer *t)
{
    gn2_engine_options options;
    assert_ok(gn2_train_engine_options(t, &options));
    options.product.arithmetic = GN2_ARITHMETIC_BF16;
    gn2_engine_free_f32(t->engine);
    t->engine = NULL;
    assert_ok(gn2_train_engine_new(t, &options, &t->engine));
    gn2_engine_set_weights_f32(t->engine, t->model->weights);
}

#define STEPS 30

static void run(gn2_trainer *t, const toy *data, gn2_step_stats *out)
{
    for (int k = 0; k < STEPS; k++)
        assert_ok(gn2_train_step(t, &data->jets, &data->labels, &out[k]));
}

static void threads_do_not_change_a_bit(void **state)
{
    static const char *const threads[] = {"train.threads=1", "train.threads=2",
                                          "train.threads=4"};
    gn2_step_stats stats[STEPS];
    gn2_trainer *t[3];
    (void)state;
    if (!has_bf16()) skip();
    toy *data = toy_create(90, 5);
    for (int i = 0; i < 3; i++) {
        t[i] =
            toy_trainer_of(OPTIONS(threads[i], "model.dropout_init=0.1",
                                   "model.dropout_ffn=0.1", "model.dropout_heads=0.1"));
        to_bf16(t[i]);
        run(t[i], data, stats);
    }
    assert_same_weights(t[0], t[1]);
    assert_same_weights(t[0], t[2]);
    for (int i = 0; i < 3; i++) gn2_train_delete(t[i]);
    toy_free(data);
}

static double relative(double a, double b)
{
    return fabs(a - b) / fabs(b);
}

/*
 * One step: a chain of about 20 products (a layer has four, each head three), each of
 * which loses 2·HALF_ULP relative to the sum of its magnitudes, so 20 · 2⁻⁸ = 8 % is
 * what the loss or the gradient may differ if all roundings conspired. After STEPS
 * steps the two runs have gone ways of their own; both must have learnt as much.
 */
static void the_loss_falls_as_it_does_in_float(void **state)
{
    gn2_step_stats rounded[STEPS], exact[STEPS];
    (void)state;
    if (!has_bf16()) skip();
    toy *data = toy_create(200, 7);
    gn2_trainer *a = toy_trainer_of(NULL), *b = toy_trainer_of(NULL);
    to_bf16(a);
    run(a, data, rounded);
    run(b, data, exact);
    const gn2_step_stats *r = &rounded[0], *e = &exact[0];
    const gn2_step_stats *last_r = &rounded[STEPS - 1], *last_e = &exact[STEPS - 1];
    const double fall = e->loss - last_e->loss;
    printf("first loss %.6f, float %.6f; gradient %.6f, float %.6f; "
           "loss after %d steps %.6f, float %.6f\n",
           r->loss, e->loss, r->gradient_norm, e->gradient_norm, STEPS, last_r->loss,
           last_e->loss);
    assert_true(r->loss != e->loss); /* it is another arithmetic */
    assert_true(relative(r->loss, e->loss) < 20 * 2 * HALF_ULP);
    assert_true(relative(r->gradient_norm, e->gradient_norm) < 20 * 2 * HALF_ULP);
    assert_true(last_r->loss < r->loss);
    assert_true(fall > 0 && fabs(last_r->loss - last_e->loss) < 0.1 * fall);
    gn2_train_delete(a);
    gn2_train_delete(b);
    toy_free(data);
}

/* ---- tagging ---- */

#define CLASSES 4

static float *probabilities(gn2_model *model, const toy *data,
                            gn2_arithmetic arithmetic)
{
    gn2_tagger *t = NULL;
    gn2_config *config = toy_config(NULL);
    float *p = gn2_alloc((size_t)data->jets.count * CLASSES, sizeof *p);
    assert_non_null(p);
    assert_ok(gn2_tag_new(model, config, &t));
    t->product.arithmetic = arithmetic;
    assert_ok(gn2_model_net(model, &t->product, &t->net));
    gn2_output out = {
        .struct_size = sizeof out, .data = p, .capacity = data->jets.count};
    assert_ok(gn2_tag_find_output(&t->outputs, "jets.probabilities", &out.id));
    assert_ok(gn2_tag_run(t, &data->jets, &out, 1));
    gn2_tag_delete(t);
    gn2_config_delete(config);
    return p;
}

static gn2_model *trained(const toy *data)
{
    gn2_step_stats stats[STEPS];
    gn2_trainer *t = toy_trainer_of(NULL);
    gn2_model *model = NULL;
    run(t, data, stats);
    assert_ok(gn2_train_snapshot(t, &model));
    gn2_train_delete(t);
    return model;
}

/*
 * dp = p(1 − p)·d(logit) ≤ d(logit)/4. The logits, of size about 1, come from a chain
 * of about 12 products; independent roundings of HALF_ULP in both factors give a
 * logit an error of about √(2·12)·HALF_ULP ≈ 0.01, thus 0.0024 in p on the average of
 * the worst class; the largest of a few hundred jets may be 5 σ: 0.012.
 */
static void probabilities_stay_close_to_float(void **state)
{
    enum { JETS = 300 };
    (void)state;
    if (!has_bf16()) skip();
    toy *data = toy_create(JETS, 21);
    gn2_model *model = trained(data);
    float *a = probabilities(model, data, GN2_ARITHMETIC_BF16);
    float *b = probabilities(model, data, GN2_ARITHMETIC_F32);
    double sum = 0, most = 0;
    for (int i = 0; i < JETS * CLASSES; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);
        assert_true(d < 1); /* NaN is not */
        sum += d;
        if (d > most) most = d;
    }
    printf("|dp| of %d jets: mean %.2e, largest %.2e\n", JETS, sum / (JETS * CLASSES),
           most);
    const double sigma = sqrt(2.0 * 12) * HALF_ULP / 4;
    assert_true(most > 0);
    assert_true(sum / (JETS * CLASSES) < sigma);
    assert_true(most < 5 * sigma);
    gn2_free(a);
    gn2_free(b);
    gn2_model_unref(model);
    toy_free(data);
}

/* A jet alone gives the bits it gives among others. */
static void a_jet_does_not_see_the_others(void **state)
{
    enum { JETS = 60 };
    (void)state;
    if (!has_bf16()) skip();
    toy *data = toy_create(JETS, 22);
    gn2_model *model = trained(data);
    float *all = probabilities(model, data, GN2_ARITHMETIC_BF16);
    for (int64_t b = 0; b < JETS; b++) {
        toy one;
        toy_batch(data, b, 1, &one);
        float *alone = probabilities(model, &one, GN2_ARITHMETIC_BF16);
        assert_memory_equal(alone, all + b * CLASSES, CLASSES * sizeof *alone);
        gn2_free(alone);
        gn2_free(one.offsets);
    }
    gn2_free(all);
    gn2_model_unref(model);
    toy_free(data);
}

/* ---- what a user may ask for ---- */

static gn2_status ask(const char *option, gn2_product_options *out)
{
    gn2_config *config = toy_config(OPTIONS(option));
    const gn2_status status = gn2_compute_read(config, "train.precision", 256, out);
    gn2_config_delete(config);
    return status;
}

static void bf16_is_offered_where_the_processor_has_it(void **state)
{
    gn2_product_options o;
    (void)state;
    if (gn2_bf16_detect() == GN2_BF16_NONE) {
        assert_status(GN2_ERR_UNSUPPORTED, ask("train.precision=bf16", &o));
        assert_message("train.precision = bf16");
        return;
    }
    assert_ok(ask("train.precision=bf16", &o));
    assert_int_equal(o.arithmetic, GN2_ARITHMETIC_BF16);
}

static void auto_is_what_the_table_says(void **state)
{
    gn2_product_options o;
    gn2_processor here;
    (void)state;
    gn2_processor_detect(&here);
    assert_ok(ask("train.precision=auto", &o));
    assert_string_equal(gn2_compute_arithmetic_name(&o),
                        gn2_processor_pays(&here, 1, 256) ? "bf16" : "f32");
    assert_ok(ask("train.precision=f32", &o));
    assert_int_equal(o.arithmetic, GN2_ARITHMETIC_F32);
}

/* A run goes on with what it began with, whatever auto or the default mean where it
 * does so; what was asked for otherwise is refused. */
static void a_checkpoint_keeps_the_precision(void **state)
{
    static const char path[] = "bf16_checkpoint.gn2";
    gn2_step_stats stats[STEPS];
    (void)state;
    if (gn2_bf16_detect() == GN2_BF16_NONE) skip();
    toy *data = toy_create(60, 9);
    gn2_trainer *first = toy_trainer_of(OPTIONS("train.precision=bf16"));
    assert_string_equal(gn2_train_precision(first), "bf16");
    run(first, data, stats);
    assert_ok(gn2_train_save(first, path));
    gn2_trainer *others[] = {toy_trainer_of(OPTIONS("train.precision=auto")),
                             toy_trainer_of(NULL)};
    run(first, data, stats);
    for (int i = 0; i < 2; i++) {
        assert_ok(gn2_train_load(others[i], path));
        assert_string_equal(gn2_train_precision(others[i]), "bf16");
        run(others[i], data, stats);
        assert_same_weights(first, others[i]);
        gn2_train_delete(others[i]);
    }
    gn2_trainer *plain = toy_trainer_of(NULL);
    assert_ok(gn2_train_save(plain, path));
    assert_status(GN2_ERR_INVALID_ARG, gn2_train_load(first, path));
    assert_message("train.precision = f32, the trainer was made with bf16");
    gn2_train_delete(plain);
    gn2_train_delete(first);
    remove(path);
    toy_free(data);
}

static void fewer_instructions_rule_bf16_out(void **state)
{
    static const char *const others[] = {"compute.isa=avx2", "compute.isa=reference"};
    (void)state;
    for (int i = gn2_isa_detect() < GN2_ISA_AVX2; i < 2; i++) {
        gn2_product_options o;
        gn2_config *config = toy_config(OPTIONS(others[i], "tagger.precision=bf16"));
        assert_status(GN2_ERR_UNSUPPORTED,
                      gn2_compute_read(config, "tagger.precision", 256, &o));
        assert_message("tagger.precision = bf16");
        assert_ok(gn2_config_put_text(config, "tagger.precision", "auto"));
        assert_ok(gn2_compute_read(config, "tagger.precision", 256, &o));
        assert_int_equal(o.arithmetic, GN2_ARITHMETIC_F32);
        gn2_config_delete(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(the_loss_falls_as_it_does_in_float),
        cmocka_unit_test(probabilities_stay_close_to_float),
        cmocka_unit_test(a_jet_does_not_see_the_others),
        cmocka_unit_test(bf16_is_offered_where_the_processor_has_it),
        cmocka_unit_test(auto_is_what_the_table_says),
        cmocka_unit_test(a_checkpoint_keeps_the_precision),
        cmocka_unit_test(fewer_instructions_rule_bf16_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

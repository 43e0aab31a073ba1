/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tagger.weights: weights kept in bf16 are the weights rounded, no more and no
 * less; arithmetic and promises stay those of f32.
 */
#include "scene.h"

#include <math.h>

static gn2_status try_tagger(gn2_model *model, const char *settings[][2], size_t count,
                             gn2_tagger **out)
{
    gn2_config *config = NULL;
    must(gn2_config_create(&config));
    for (size_t i = 0; i < count; i++)
        must(gn2_config_set_text(config, settings[i][0], settings[i][1]));
    const gn2_status status = gn2_tagger_create(model, config, out);
    gn2_config_free(config);
    return status;
}

static gn2_tagger *tagger_of(gn2_model *model, const char *weights, const char *isa)
{
    const char *settings[][2] = {{"tagger.weights", weights}, {"compute.isa", isa}};
    gn2_tagger *tagger = NULL;
    must(try_tagger(model, settings, 2, &tagger));
    return tagger;
}

static int has(const char *isa)
{
    const char *settings[][2] = {{"compute.isa", isa}};
    gn2_model *model = small_model();
    gn2_tagger *tagger = NULL;
    const gn2_status status = try_tagger(model, settings, 1, &tagger);
    gn2_tagger_free(tagger);
    gn2_model_free(model);
    return status == GN2_OK;
}

/* To 8 significant bits, ties to even. */
static float rounded(float x)
{
    int exponent;
    const double part = frexp((double)x, &exponent);
    return (float)ldexp(nearbyint(ldexp(part, 8)), exponent - 8);
}

/* Matrices of linear maps; not the registers, nor the gate, which is a dot product
 * of its own. */
static int is_packed(const gn2_param_info *info)
{
    return info->shape[1] > 0 && !strstr(info->name, "registers") &&
           !strstr(info->name, "gate_nn");
}

static gn2_model *rounded_copy(const gn2_model *from)
{
    gn2_model *model = small_model();
    for (size_t i = 0; i < gn2_model_param_count(from); i++) {
        gn2_param_info info = {.struct_size = sizeof info};
        must(gn2_model_param_info(from, i, &info));
        float *data = malloc((size_t)info.count * sizeof *data);
        must(gn2_model_param_get(from, info.name, data, (size_t)info.count));
        for (int64_t k = 0; k < info.count && is_packed(&info); k++)
            data[k] = rounded(data[k]);
        must(gn2_model_param_set(model, info.name, data, (size_t)info.count));
        free(data);
    }
    return model;
}

static void assert_bf16_is_rounding(const char *isa)
{
    sample *jets = sample_new(200, NULL, 7);
    input *in = input_new(jets, NULL, 200, (layout){0});
    gn2_model *model = small_model(), *copy = rounded_copy(model);
    gn2_tagger *bf16 = tagger_of(model, "bf16", isa),
               *f32 = tagger_of(copy, "f32", isa);
    gn2_tagger *exact = tagger_of(model, "f32", isa);
    result *a = result_of(bf16, in), *b = result_of(f32, in), *c = result_of(exact, in);
    assert_same_jets(in, a, in, b);
    assert_memory_not_equal(a->data[P], c->data[P], 200 * 4 * sizeof(float));
    result_free(a), result_free(b), result_free(c);
    gn2_tagger_free(bf16), gn2_tagger_free(f32), gn2_tagger_free(exact);
    gn2_model_free(model), gn2_model_free(copy);
    input_free(in);
    sample_free(jets);
}

static void test_bf16_gives_the_bits_of_rounded_weights(void **state)
{
    (void)state;
    static const char *const isas[] = {"avx2", "avx512"};
    if (!has("avx2")) skip(); /* no own kernels on this processor */
    for (size_t i = 0; i < 2; i++)
        if (has(isas[i])) assert_bf16_is_rounding(isas[i]);
}

static void test_bf16_does_not_see_the_other_jets(void **state)
{
    (void)state;
    if (!has("avx2")) skip(); /* no own kernels on this processor */
    sample *jets = sample_new(100, NULL, 9);
    input *all = input_new(jets, NULL, 100, (layout){0});
    gn2_model *model = full_model();
    gn2_tagger *tagger = tagger_of(model, "bf16", "best");
    result *together = result_of(tagger, all);
    for (int64_t b = 0; b < 100; b++) {
        input *in = input_new(jets, &b, 1, (layout){0});
        result *alone = result_of(tagger, in);
        assert_same_jet((place){in, alone, 0}, (place){all, together, b});
        result_free(alone);
        input_free(in);
    }
    result_free(together);
    gn2_tagger_free(tagger);
    gn2_model_free(model);
    input_free(all);
    sample_free(jets);
}

static void test_bf16_is_refused_where_it_does_not_exist(void **state)
{
    (void)state;
    const char *reference[][2] = {{"tagger.weights", "bf16"},
                                  {"compute.isa", "reference"}};
    const char *onednn[][2] = {{"tagger.weights", "bf16"}, {"compute.gemm", "onednn"}};
    gn2_model *model = small_model();
    gn2_tagger *tagger = NULL;
    must_refuse(GN2_ERR_UNSUPPORTED, "bf16", try_tagger(model, reference, 2, &tagger));
    assert_null(tagger);
    const char *why = strstr(gn2_features(), "onednn=none") ? "onednn" : "bf16";
    must_refuse(GN2_ERR_UNSUPPORTED, why, try_tagger(model, onednn, 2, &tagger));
    assert_null(tagger);
    gn2_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bf16_gives_the_bits_of_rounded_weights),
        cmocka_unit_test(test_bf16_does_not_see_the_other_jets),
        cmocka_unit_test(test_bf16_is_refused_where_it_does_not_exist),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

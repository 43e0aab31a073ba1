/* SPDX-License-Identifier: Apache-2.0 */
/* Models in files: nothing is lost, and what does not fit is named. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/layout.h"
#include "io/model_file.h"
#include "util/alloc.h"
#include "util/rng.h"

static gn2_config *small_config(void)
{
    static const char *const lines[] = {
        "model.embed_dim = 16\nmodel.num_layers = 2\nmodel.num_heads = 4\n"
        "model.out_dim = 8\nmodel.init_hidden = 12\nmodel.base_width = 4\n"
        "task.jets_classification.hidden = 6\ntask.track_origin.hidden = 6,5\n"
        "task.track_vertexing.hidden = 7\ninputs.tracks = d0,z0,qOverP\n"
        "norm.tracks.mean = 0.1,-1e-30,0.3333333333333333\n"
        "norm.tracks.std = 1,2.5,1e-5\ndiscriminant.D_b.f_c = 0.07\n"
        "provenance.data = jets.h5, first 100 = all\n"};
    gn2_config *c;
    assert_ok(gn2_config_new(&c));
    assert_ok(gn2_config_from_text(c, "lines", lines[0], strlen(lines[0])));
    return c;
}

static gn2_model *new_model(const gn2_config *config)
{
    gn2_model *model = NULL;
    assert_ok(gn2_model_new(config, &model));
    gn2_params_start(model->params, 3, model->weights);
    for (size_t i = 0; i < model->params->count; i++) { /* biases too */
        const gn2_tensor *t = &model->params->tensor[i];
        for (int64_t k = 0; k < t->count; k++)
            model->weights[t->offset + k] +=
                (float)gn2_rng_normal(i, (uint64_t)k) * 1e-3f;
    }
    return model;
}

static gn2_model *small_model(void)
{
    gn2_config *config = small_config();
    gn2_model *model = new_model(config);
    gn2_config_delete(config);
    return model;
}

static char *config_text(const gn2_model *model)
{
    gn2_text text = {0};
    assert_ok(gn2_config_to_text(model->config, NULL, &text));
    return text.data;
}

static void assert_same_tensors(const gn2_model *a, const gn2_model *b)
{
    assert_int_equal(a->params->count, b->params->count);
    assert_int_equal(a->params->total, b->params->total);
    for (size_t i = 0; i < a->params->count; i++) {
        const gn2_tensor *x = &a->params->tensor[i], *y = &b->params->tensor[i];
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->role, y->role);
        assert_memory_equal(&x->init_std, &y->init_std, sizeof(double));
        assert_memory_equal(&x->lr_mult, &y->lr_mult, sizeof(double));
        assert_memory_equal(&x->wd_mult, &y->wd_mult, sizeof(double));
        assert_memory_equal(&x->forward_mult, &y->forward_mult, sizeof(double));
        assert_memory_equal(a->weights + x->offset, b->weights + y->offset,
                            (size_t)x->count * sizeof(float));
    }
    assert_memory_equal(&a->h.block.attention.scale, &b->h.block.attention.scale,
                        sizeof(double));
    assert_memory_equal(&a->h.readout.mult, &b->h.readout.mult, sizeof(double));
}

/* Bytes of a model's file, and the same for a writer in the middle of a forgery. */
static unsigned char *bytes_of(const gn2_model *model, size_t *out_size)
{
    gn2_container_writer *writer;
    unsigned char *data;
    assert_ok(gn2_container_writer_create(&writer));
    assert_ok(gn2_model_file_put(model, model->weights, GN2_KIND_MODEL, writer));
    assert_ok(gn2_container_finish(writer, &data, out_size));
    gn2_container_writer_free(writer);
    return data;
}

static gn2_model *through_a_buffer(const gn2_model *model)
{
    size_t size;
    unsigned char *data = bytes_of(model, &size);
    gn2_model *back = NULL;
    assert_ok(gn2_model_file_load_buffer(data, size, &back));
    gn2_free(data);
    return back;
}

static void a_loaded_model_is_the_same(void **state)
{
    (void)state;
    char path[] = "/tmp/gn2-model-XXXXXX";
    close(mkstemp(path));
    gn2_model *model = small_model(), *back = NULL;
    assert_ok(gn2_model_file_save(model, path));
    assert_ok(gn2_model_file_load(path, &back));
    assert_same_tensors(model, back);
    assert_true(gn2_config_f64(back->config, "discriminant.D_b.f_c") == 0.07);
    assert_string_equal(gn2_config_str(back->config, "provenance.data"),
                        "jets.h5, first 100 = all");
    assert_string_equal(gn2_config_str(back->config, "provenance.library"),
                        GN2_VERSION_STRING);
    for (int i = 0; i < 3; i++) {
        assert_true(model->object[1].mean[i] == back->object[1].mean[i]);
        assert_true(model->object[1].std[i] == back->object[1].std[i]);
    }
    /* saved again it is the same file */
    gn2_model *third = through_a_buffer(back);
    char *a = config_text(back), *b = config_text(third);
    assert_string_equal(a, b);
    gn2_free(a);
    gn2_free(b);
    gn2_model_unref(third);
    gn2_model_unref(back);
    gn2_model_unref(model);
    unlink(path);
}

static void every_form_of_the_network_is_kept(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "model.parametrization = mup\nmodel.final_norm_pos = pre\n",
        "model.parametrization = mup\nmodel.base_heads = 2\n",
        "model.parametrization = mup_absolute\nmodel.final_norm_pos = none\n",
        "model.parametrization = mup\noptim.name = sgd\nmodel.final_norm_pos = pre\n",
        "model.parametrization = mup\noptim.decay_scaling = none\n",
        "model.encoder = legacy\nmodel.final_norm_pos = pre\nmodel.num_registers = 0\n",
        ("model.num_layers = 0\nmodel.init_hidden =\nmodel.tasks = "
         "jets_classification\n"),
        "model.dropout_init = 0.1\nmodel.dropout_heads = 0.1\n",
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        gn2_config *config = small_config();
        assert_ok(gn2_config_from_text(config, "form", forms[i], strlen(forms[i])));
        gn2_model *model = new_model(config);
        gn2_model *back = through_a_buffer(model);
        assert_same_tensors(model, back);
        assert_int_equal(model->h.plain_decay, back->h.plain_decay);
        gn2_model_unref(back);
        gn2_model_unref(model);
        gn2_config_delete(config);
    }
}

/* The file's multipliers win over the formulas. */
static void multipliers_are_not_computed_again(void **state)
{
    (void)state;
    gn2_model *model = small_model();
    gn2_model_set_scales(model, 0.123456789, 0.25);
    model->params->tensor[0].lr_mult = 7;
    model->params->tensor[1].role = GN2_ROLE_OUTPUT;
    gn2_model *back = through_a_buffer(model);
    const char *attention, *readout;
    assert_same_tensors(model, back);
    assert_ok(gn2_model_metadata(back, GN2_SCALE_ATTENTION, &attention));
    assert_ok(gn2_model_metadata(back, GN2_SCALE_READOUT, &readout));
    assert_string_equal(attention, "0.123456789");
    assert_string_equal(readout, "0.25");
    gn2_model_unref(back);
    gn2_model_unref(model);
}

/* ---- files that do not fit ---- */

/* Copies a file key by key and tensor by tensor, with changes on the way. */
typedef struct forgery {
    const char *key, *value;        /* key that gets another value; NULL value: none */
    const char *tensor;             /* tensor that is left out or altered */
    const gn2_tensor_info *instead; /* NULL: left out */
    const void *data;
    const gn2_tensor_info *further; /* added at the end */
} forgery;

static void copy_keys(const gn2_container *c, const forgery *f,
                      gn2_container_writer *writer)
{
    for (size_t i = 0; i < gn2_container_header_count(c); i++) {
        const char *key, *value;
        gn2_container_header_at(c, i, &key, &value);
        if (strncmp(key, "reader.", 7) == 0) continue;
        if (f->key && strcmp(key, f->key) == 0) continue;
        assert_ok(gn2_container_add_header(writer, key, value));
    }
    if (f->value) assert_ok(gn2_container_add_vital(writer, f->key, f->value));
}

static void copy_tensor(const gn2_container *c, size_t index, const forgery *f,
                        gn2_container_writer *writer)
{
    const gn2_tensor_info *info = gn2_container_tensor_info(c, index);
    const int chosen = f->tensor && strcmp(info->name, f->tensor) == 0;
    if (chosen && !f->instead) return;
    uint64_t size;
    assert_true(gn2_tensor_size(info, &size));
    void *data = gn2_alloc(size, 1);
    assert_ok(gn2_container_read(c, index, data, size));
    assert_ok(gn2_container_add_tensor(writer, chosen ? f->instead : info,
                                       chosen ? f->data : data));
    gn2_free(data);
}

static gn2_status load_forgery(const forgery *f, gn2_model **out_model)
{
    gn2_model *model = small_model();
    size_t size;
    unsigned char *data = bytes_of(model, &size);
    gn2_container *c;
    gn2_container_writer *writer;
    assert_ok(gn2_container_open(data, size, "original", &c));
    assert_ok(gn2_container_writer_create(&writer));
    copy_keys(c, f, writer);
    for (size_t i = 0; i < gn2_container_tensor_count(c); i++)
        copy_tensor(c, i, f, writer);
    if (f->further) assert_ok(gn2_container_add_tensor(writer, f->further, "1234"));
    gn2_container_close(c);
    gn2_free(data);
    assert_ok(gn2_container_finish(writer, &data, &size));
    gn2_container_writer_free(writer);
    const gn2_status status = gn2_model_file_load_buffer(data, size, out_model);
    gn2_free(data);
    gn2_model_unref(model);
    return status;
}

static void assert_refused(const forgery *f, gn2_status wanted, const char *word)
{
    gn2_model *model = NULL;
    assert_status(wanted, load_forgery(f, &model));
    assert_null(model);
    assert_message(word);
    assert_message("buffer: ");
}

static void keys_that_do_not_fit_are_named(void **state)
{
    (void)state;
    static const struct {
        forgery forged;
        gn2_status status;
        const char *word;
    } cases[] = {
        {{.key = "kind"}, GN2_ERR_FORMAT, "kind ''"},
        {{.key = "kind", .value = "scores"}, GN2_ERR_FORMAT, "kind 'scores'"},
        {{.key = "model.future", .value = "1"}, GN2_ERR_VERSION, "'model.future'"},
        {{.key = "model.embed_dim", .value = "x"}, GN2_ERR_FORMAT, "model.embed_dim"},
        {{.key = "model.embed_dim", .value = "32"},
         GN2_ERR_SHAPE,
         "file has (16, 12), model needs (32, 12)"},
        {{.key = "model.num_heads", .value = "5"}, GN2_ERR_FORMAT, "model.num_heads"},
        {{.key = "model.num_layers", .value = "3"}, GN2_ERR_FORMAT, "encoder.layers.2"},
        {{.key = "model.num_layers", .value = "1"},
         GN2_ERR_FORMAT,
         "is not of this model"},
        {{.key = "norm.tracks.std", .value = "1,2"}, GN2_ERR_FORMAT, "norm.tracks.std"},
        {{.key = "scale.attention"}, GN2_ERR_FORMAT, "scale.attention"},
        {{.key = "scale.readout", .value = "inf"}, GN2_ERR_FORMAT, "scale.readout"},
        {{.key = "scale.readout", .value = "-1"}, GN2_ERR_FORMAT, "from 0 to 3.4e38"},
        {{.key = "scale.attention", .value = "1e39"},
         GN2_ERR_FORMAT,
         "scale.attention"},
        {{.key = "norm.tracks.std", .value = "1,1e-40,1"}, GN2_ERR_FORMAT, "1.2e-38"},
        {{.key = "param.encoder.out_proj.weight"},
         GN2_ERR_FORMAT,
         "param.encoder.out_proj.weight"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(&cases[i].forged, cases[i].status, cases[i].word);
}

/* Small file, config of a giant: refused by its shapes, before memory is asked for
 * (35 TB would give GN2_ERR_NO_MEMORY). */
static void a_giant_config_allocates_nothing(void **state)
{
    (void)state;
    const forgery f = {.key = "model.embed_dim", .value = "65536"};
    assert_refused(&f, GN2_ERR_SHAPE, "model needs (65536, 12)");
}

static void tensors_that_do_not_fit_are_named(void **state)
{
    (void)state;
    static const char name[] = "pool_net.gate_nn.bias";
    const gn2_tensor_info twins = {name, GN2_DTYPE_F32, 1, {2}};
    const gn2_tensor_info row = {name, GN2_DTYPE_F32, 2, {1, 1}};
    const gn2_tensor_info wide = {name, GN2_DTYPE_F64, 1, {1}};
    const gn2_tensor_info same = {name, GN2_DTYPE_F32, 1, {1}};
    const gn2_tensor_info foreign = {"stranger", GN2_DTYPE_U8, 1, {4}};
    const float numbers[2] = {1, 2}, nan = NAN;
    assert_refused(&(forgery){.tensor = name}, GN2_ERR_FORMAT, "is missing");
    assert_refused(&(forgery){.tensor = name, .instead = &twins, .data = numbers},
                   GN2_ERR_SHAPE, "file has (2), model needs (1)");
    assert_refused(&(forgery){.tensor = name, .instead = &row, .data = numbers},
                   GN2_ERR_SHAPE, "file has (1, 1), model needs (1)");
    assert_refused(&(forgery){.tensor = name, .instead = &wide, .data = numbers},
                   GN2_ERR_FORMAT, "is not float32");
    assert_refused(&(forgery){.tensor = name, .instead = &same, .data = &nan},
                   GN2_ERR_FORMAT, "element 0 is NaN or Inf");
    assert_refused(&(forgery){.further = &foreign}, GN2_ERR_FORMAT, "'stranger'");
}

/* What a later library or a trainer may add is no obstacle. */
static void harmless_additions_are_ignored(void **state)
{
    (void)state;
    const gn2_tensor_info moments = {"trainer.moments", GN2_DTYPE_U8, 1, {4}};
    const forgery f = {.key = "provenance.data", .further = &moments};
    gn2_model *model = NULL, *original = small_model();
    assert_ok(load_forgery(&f, &model));
    assert_same_tensors(model, original);
    gn2_model_unref(model);
    gn2_model_unref(original);
}

static void missing_files_are_named(void **state)
{
    (void)state;
    gn2_model *model = NULL;
    assert_status(GN2_ERR_NOT_FOUND, gn2_model_file_load("/nowhere/x.gn2", &model));
    assert_null(model);
    assert_message("/nowhere/x.gn2");
    assert_status(GN2_ERR_FORMAT, gn2_model_file_load_buffer("abc", 3, &model));
}

/* Bits flipped and ends cut here and there; the container's tests do it everywhere. */
static void damaged_models_do_not_load(void **state)
{
    (void)state;
    gn2_model *model = small_model(), *back = NULL;
    size_t size;
    unsigned char *data = bytes_of(model, &size);
    for (size_t i = 0; i < size; i += 37) {
        data[i] ^= (unsigned char)(1u << i % 8);
        gn2_status status = gn2_model_file_load_buffer(data, size, &back);
        assert_true(status == GN2_ERR_FORMAT || status == GN2_ERR_VERSION);
        data[i] ^= (unsigned char)(1u << i % 8);
        assert_status(GN2_ERR_FORMAT, gn2_model_file_load_buffer(data, i, &back));
        assert_null(back);
    }
    assert_ok(gn2_model_file_load_buffer(data, size, &back));
    gn2_model_unref(back);
    gn2_model_unref(model);
    gn2_free(data);
}

/* A file of each version of the format; made by `test_model_file --make PATH`. */
static const struct {
    const char *path;
    uint32_t weights_crc;
} kept_files[] = {
    {TEST_FILES "/model_v1.gn2", 0x32CFEB7Du},
};

/* Of all tensors one after another, without the gaps of the arena. */
static uint32_t weights_crc(const gn2_model *model)
{
    float *all = gn2_alloc((size_t)model->params->total, sizeof *all);
    size_t used = 0;
    for (size_t i = 0; i < model->params->count; i++) {
        const gn2_tensor *t = &model->params->tensor[i];
        memcpy(all + used, model->weights + t->offset, (size_t)t->count * sizeof *all);
        used += (size_t)t->count;
    }
    const uint32_t crc = gn2_crc32(all, used * sizeof *all);
    gn2_free(all);
    return crc;
}

static void files_of_every_version_load(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kept_files / sizeof kept_files[0]; i++) {
        gn2_model *model = NULL;
        assert_ok(gn2_model_file_load(kept_files[i].path, &model));
        assert_int_equal(model->h.embed_dim, 16);
        assert_string_equal(gn2_model_object_input(model, 1, 2), "qOverP");
        assert_true(model->object[1].std[1] == 2.5f);
        assert_true(gn2_config_f64(model->config, "discriminant.D_b.f_c") == 0.07);
        assert_true(model->h.block.attention.scale == 0.5); /* four heads of size 4 */
        /* keys that are younger than the file */
        assert_int_equal(gn2_config_i64(model->config, "model.base_heads"), 0);
        if (weights_crc(model) != kept_files[i].weights_crc)
            fail_msg("%s: crc 0x%08X", kept_files[i].path, weights_crc(model));
        gn2_model_unref(model);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--make") == 0) {
        gn2_model *model = small_model();
        const gn2_status status = gn2_model_file_save(model, argv[2]);
        gn2_model_unref(model);
        return status != GN2_OK;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loaded_model_is_the_same),
        cmocka_unit_test(every_form_of_the_network_is_kept),
        cmocka_unit_test(multipliers_are_not_computed_again),
        cmocka_unit_test(keys_that_do_not_fit_are_named),
        cmocka_unit_test(a_giant_config_allocates_nothing),
        cmocka_unit_test(tensors_that_do_not_fit_are_named),
        cmocka_unit_test(harmless_additions_are_ignored),
        cmocka_unit_test(missing_files_are_named),
        cmocka_unit_test(damaged_models_do_not_load),
        cmocka_unit_test(files_of_every_version_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

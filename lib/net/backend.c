/* SPDX-License-Identifier: Apache-2.0 */
#include "net/backend.h"

#include <string.h>

#include "kernels/processors.h"
#include "kernels/product_onednn.h"
#include "net/tasks.h"
#include "util/alloc.h"
#include "util/error.h"

/* Rows of a product that inference usually runs at a time, at most. */
#define INFERENCE_ROWS 512

typedef struct word {
    const char *text;
    int value;
} word;

static const word isas[] = {{"best", GN2_ISA_BEST},
                            {"avx512", GN2_ISA_AVX512},
                            {"avx2", GN2_ISA_AVX2},
                            {"reference", GN2_ISA_REFERENCE}};
static const word gemms[] = {{"auto", GN2_BACKEND_AUTO},
                             {"own", GN2_BACKEND_OWN},
                             {"onednn", GN2_BACKEND_ONEDNN}};

static const word storages[] = {{"f32", GN2_STORAGE_F32}, {"bf16", GN2_STORAGE_BF16}};

static int find_word(const word *words, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i].text, text) == 0) return words[i].value;
    return 0; /* the config table admits no other word */
}

/*
 * auto, by what the processor has and not by `compute.isa`: where own kernels exist
 * they multiply, or the reference where that was asked for. Without them oneDNN does if
 * it can be loaded; `compute.isa = reference` still means the reference, whose results
 * are the same on all machines.
 */
static gn2_status automatic(gn2_isa found, const char *isa, gn2_backend *out)
{
    *out = GN2_BACKEND_AUTO;
    if (found != GN2_ISA_REFERENCE || strcmp(isa, "reference") == 0) return GN2_OK;
    const gn2_status status = gn2_onednn_find();
    if (status == GN2_ERR_NO_MEMORY) return gn2_fail_memory();
    if (status == GN2_OK) *out = GN2_BACKEND_ONEDNN;
    return GN2_OK;
}

static gn2_status read_gemm(const char *gemm, gn2_product_options *out)
{
    out->backend = (gn2_backend)find_word(gemms, sizeof gemms / sizeof *gemms, gemm);
    if (out->backend != GN2_BACKEND_ONEDNN) return GN2_OK;
    const gn2_status status = gn2_onednn_load();
    if (status == GN2_OK) return GN2_OK;
    return gn2_fail(status, "compute.gemm = onednn: %s", gn2_error_text());
}

gn2_status gn2_compute_read_on(gn2_isa found, const gn2_config *config,
                               gn2_product_options *out)
{
    const char *isa = gn2_config_str(config, "compute.isa");
    gn2_isa cap = (gn2_isa)find_word(isas, sizeof isas / sizeof *isas, isa);
    if (strcmp(isa, "best") == 0) cap = found;
    if (cap > found)
        return gn2_fail(GN2_ERR_UNSUPPORTED, "compute.isa = %s: this processor has %s",
                        isa, gn2_isa_name(found));
    *out = (gn2_product_options){.cap = cap};
    GN2_TRY(read_gemm(gn2_config_str(config, "compute.gemm"), out));
    if (out->backend != GN2_BACKEND_AUTO) return GN2_OK;
    return automatic(found, isa, &out->backend);
}

gn2_status gn2_compute_read(const gn2_config *config, gn2_product_options *out)
{
    return gn2_compute_read_on(gn2_isa_detect(), config, out);
}

const char *gn2_compute_auto_name(void)
{
    if (gn2_isa_detect() > GN2_ISA_REFERENCE) return "own";
    return gn2_onednn_find() == GN2_OK ? "onednn" : "reference";
}

/* Whether bf16 can be had, by what is asked for already and what the processor has. */
static gn2_status usable_bf16(const gn2_product_options *options, int *out_usable)
{
    gn2_bf16 have = GN2_BF16_NONE;
    if (options->cap == GN2_ISA_AVX512) {
        have = gn2_bf16_detect();
        if (options->backend == GN2_BACKEND_ONEDNN && have)
            GN2_TRY(gn2_onednn_bf16(&have));
    }
    *out_usable = have != GN2_BF16_NONE;
    return GN2_OK;
}

/* auto: by the table of processors, which no timing at run time can change. */
static int is_wanted(const char *text, int training, int64_t width)
{
    gn2_processor here;
    if (strcmp(text, "auto") != 0) return strcmp(text, "bf16") == 0;
    gn2_processor_detect(&here);
    return gn2_processor_pays(&here, training, width);
}

gn2_status gn2_compute_read_arithmetic(const gn2_config *config, const char *key,
                                       const char *text, int64_t width,
                                       gn2_product_options *out)
{
    int usable;
    out->arithmetic = GN2_ARITHMETIC_F32;
    if (!is_wanted(text, strncmp(key, "train.", 6) == 0, width)) return GN2_OK;
    GN2_TRY(usable_bf16(out, &usable));
    if (usable)
        out->arithmetic = GN2_ARITHMETIC_BF16;
    else if (strcmp(text, "bf16") == 0)
        return gn2_fail(
            GN2_ERR_UNSUPPORTED,
            "%s = bf16 needs a processor with AVX-512 BF16; here: processor %s, "
            "compute.isa = %s, compute.gemm = %s (oneDNN %s)",
            key, gn2_bf16_detect() ? "has it" : "without",
            gn2_config_str(config, "compute.isa"),
            gn2_config_str(config, "compute.gemm"), gn2_onednn_version());
    return GN2_OK;
}

const char *gn2_compute_arithmetic_name(const gn2_product_options *options)
{
    return options->arithmetic == GN2_ARITHMETIC_BF16 ? "bf16" : "f32";
}

gn2_status gn2_compute_read_tagger(const gn2_config *config, int64_t width,
                                   gn2_product_options *out)
{
    static const char key[] = "tagger.precision";
    const char *weights = gn2_config_str(config, "tagger.weights");
    GN2_TRY(gn2_compute_read(config, out));
    out->storage =
        (gn2_storage)find_word(storages, sizeof storages / sizeof *storages, weights);
    return gn2_compute_read_arithmetic(config, key, gn2_config_str(config, key), width,
                                       out);
}

gn2_status gn2_compute_read_trainer(const gn2_config *config, int64_t width,
                                    gn2_product_options *out)
{
    static const char key[] = "train.precision";
    GN2_TRY(gn2_compute_read(config, out));
    return gn2_compute_read_arithmetic(config, key, gn2_config_str(config, key), width,
                                       out);
}

static gn2_status set_weights(const gn2_model *model, gn2_net_f32 *net, int task)
{
    double weights[GN2_MAX_CLASSES];
    char key[128];
    gn2_config_key_of(key, "task.%s.class_weights", model->h.task[task].name);
    const size_t count = gn2_config_list_count(model->config, key);
    for (size_t i = 0; i < count && i < GN2_MAX_CLASSES; i++)
        weights[i] = gn2_config_f64_item(model->config, key, i);
    return gn2_net_set_class_weights_f32(net, task, weights, count);
}

gn2_status gn2_model_fill_net(const gn2_model *model, gn2_net_f32 *net)
{
    for (int s = 0; s < model->h.sequence_count; s++)
        gn2_net_set_norm_f32(net, s, &model->norm[0], &model->norm[s + 1]);
    for (int k = 0; k < model->h.task_count; k++)
        if (gn2_task_kind_of_f32(&model->h.task[k])->classifies)
            GN2_TRY(set_weights(model, net, k));
    return GN2_OK;
}

static gn2_status make_net(gn2_model *model, const gn2_product_options *product,
                           gn2_net_f32 **out_net)
{
    gn2_net_options options = {.product = *product,
                               .replace_non_finite = model->h.replace_non_finite};
    options.product.max_rows = INFERENCE_ROWS;
    gn2_net_f32 *net = NULL;
    GN2_TRY(gn2_net_create_f32(&model->h, &options, &net));
    const gn2_status status = gn2_model_fill_net(model, net);
    if (status) {
        gn2_net_free_f32(net);
        return status;
    }
    gn2_net_pack_f32(net, model->weights);
    *out_net = net;
    return GN2_OK;
}

gn2_status gn2_model_net(gn2_model *model, const gn2_product_options *options,
                         const gn2_net_f32 **out_net)
{
    gn2_status status = GN2_OK;
    pthread_mutex_lock(&model->mutex);
    gn2_net_f32 **slot = &model->net[options->cap][options->backend][options->storage]
                                    [options->arithmetic];
    if (!*slot) status = make_net(model, options, slot);
    if (!status) {
        atomic_store(&model->shared, 1);
        *out_net = *slot;
    }
    pthread_mutex_unlock(&model->mutex);
    return status;
}

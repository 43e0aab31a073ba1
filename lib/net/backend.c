/* SPDX-License-Identifier: Apache-2.0 */
#include "net/backend.h"

#include <string.h>

#include "kernels/processors.h"
#include "kernels/product_onednn.h"
#include "util/error.h"

/* Rows of a product that inference usually runs at a time, at most. */
#define INFERENCE_ROWS 512

/*
 * auto, by what the processor has and not by `compute.isa`: where own kernels exist
 * they multiply, or the reference where that was asked for. Without them oneDNN does if
 * it can be loaded; `compute.isa = reference` still means the reference, whose results
 * are the same on all machines.
 */
static gn2_status automatic(gn2_isa found, const gn2_config *config, gn2_backend *out)
{
    *out = GN2_BACKEND_AUTO;
    if (found != GN2_ISA_REFERENCE ||
        gn2_config_says(config, "compute.isa", "reference"))
        return GN2_OK;
    const gn2_status status = gn2_onednn_find();
    if (status == GN2_ERR_NO_MEMORY) return gn2_fail_memory();
    if (status == GN2_OK) *out = GN2_BACKEND_ONEDNN;
    return GN2_OK;
}

static gn2_status read_gemm(gn2_isa found, const gn2_config *config, gn2_backend *out)
{
    if (gn2_config_says(config, "compute.gemm", "auto"))
        return automatic(found, config, out);
    *out = GN2_BACKEND_OWN;
    if (gn2_config_says(config, "compute.gemm", "own")) return GN2_OK;
    *out = GN2_BACKEND_ONEDNN;
    const gn2_status status = gn2_onednn_load();
    if (status == GN2_OK) return GN2_OK;
    return gn2_fail(status, "compute.gemm = onednn: %s", gn2_error_text());
}

gn2_status gn2_compute_read_on(gn2_isa found, const gn2_config *config,
                               gn2_product_options *out)
{
    const char *isa = gn2_config_str(config, "compute.isa");
    int cap = GN2_ISA_REFERENCE;
    while (cap < GN2_ISA_BEST && strcmp(isa, gn2_isa_name((gn2_isa)cap)) != 0) cap++;
    if (strcmp(isa, "best") == 0) cap = (int)found;
    if (cap > (int)found)
        return gn2_fail(GN2_ERR_UNSUPPORTED, "compute.isa = %s: this processor has %s",
                        isa, gn2_isa_name(found));
    *out = (gn2_product_options){.cap = (gn2_isa)cap};
    return read_gemm(found, config, &out->backend);
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

static int is_of_training(const char *key)
{
    return strncmp(key, "train.", 6) == 0;
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
    if (!is_wanted(text, is_of_training(key), width)) return GN2_OK;
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

gn2_status gn2_compute_read(const gn2_config *config, const char *key, int64_t width,
                            gn2_product_options *out)
{
    GN2_TRY(gn2_compute_read_on(gn2_isa_detect(), config, out));
    if (!is_of_training(key) && gn2_config_says(config, "tagger.weights", "bf16"))
        out->storage = GN2_STORAGE_BF16;
    return gn2_compute_read_arithmetic(config, key, gn2_config_str(config, key), width,
                                       out);
}

static gn2_status make_net(const gn2_model *model, const gn2_product_options *product,
                           gn2_net_f32 **out_net)
{
    gn2_net_options options = {.product = *product};
    options.product.max_rows = INFERENCE_ROWS;
    GN2_TRY(gn2_net_create_f32(&model->h, &options, out_net));
    gn2_net_configure_f32(*out_net, model->config);
    gn2_net_pack_f32(*out_net, model->weights);
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

/* SPDX-License-Identifier: Apache-2.0 */
/* Who multiplies matrices: compute.gemm on processors with and without own kernels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "kernels/processors.h"
#include "kernels/product_onednn.h"
#include "net/backend.h"
#include "util/error.h"

static gn2_status choose(gn2_isa found, const char *isa, const char *gemm,
                         gn2_product_options *out)
{
    gn2_config *config = NULL;
    assert_int_equal(gn2_config_new(&config), GN2_OK);
    assert_int_equal(gn2_config_put_text(config, "compute.isa", isa), GN2_OK);
    assert_int_equal(gn2_config_put_text(config, "compute.gemm", gemm), GN2_OK);
    const gn2_status status = gn2_compute_read_on(found, config, out);
    gn2_config_delete(config);
    return status;
}

static void assert_choice(gn2_isa found, const char *isa, gn2_backend wanted)
{
    gn2_product_options o;
    assert_int_equal(choose(found, isa, "auto", &o), GN2_OK);
    assert_int_equal(o.backend, wanted);
}

static void own_kernels_are_taken_where_they_exist(void **state)
{
    (void)state;
    assert_choice(GN2_ISA_AVX512, "best", GN2_BACKEND_AUTO);
    assert_choice(GN2_ISA_AVX2, "best", GN2_BACKEND_AUTO);
    assert_choice(GN2_ISA_AVX512, "avx2", GN2_BACKEND_AUTO);
}

/* Name of the back end of a gradient, which needs no check of its rows. */
static const char *name_of(const gn2_product_options *o)
{
    gn2_product_f32 *p = NULL;
    assert_int_equal(gn2_product_create_tn_f32(64, 64, o, &p), GN2_OK);
    const char *name = p->ops->name;
    gn2_product_free_f32(p);
    return name;
}

static void onednn_is_taken_where_there_are_none(void **state)
{
    (void)state;
    gn2_product_options o;
    assert_int_equal(choose(GN2_ISA_REFERENCE, "best", "auto", &o), GN2_OK);
    assert_string_equal(name_of(&o),
                        gn2_onednn_find() == GN2_OK ? "onednn" : "reference");
    assert_int_equal(choose(GN2_ISA_REFERENCE, "best", "own", &o), GN2_OK);
    assert_string_equal(name_of(&o), "reference");
}

/* Whoever asks for the reference wants the same bits on all machines. */
static void the_reference_is_the_reference_everywhere(void **state)
{
    (void)state;
    for (int found = GN2_ISA_REFERENCE; found <= GN2_ISA_BEST; found++) {
        gn2_product_options o;
        assert_int_equal(choose((gn2_isa)found, "reference", "auto", &o), GN2_OK);
        assert_string_equal(name_of(&o), "reference");
    }
}

static void onednn_asked_for_is_there_or_refused(void **state)
{
    (void)state;
    gn2_product_options o;
    const gn2_status status = choose(gn2_isa_detect(), "best", "onednn", &o);
    if (gn2_onednn_find() == GN2_OK) {
        assert_int_equal(status, GN2_OK);
        assert_string_equal(name_of(&o), "onednn");
        assert_string_not_equal(gn2_onednn_version(), "none");
        return;
    }
    assert_int_equal(status, GN2_ERR_UNSUPPORTED);
    assert_non_null(strstr(gn2_error_text(), "compute.gemm = onednn: "));
    const gn2_product_options bare = {.backend = GN2_BACKEND_ONEDNN};
    gn2_product_f32 *p = NULL;
    assert_int_equal(gn2_product_create_f32(8, 8, &bare, &p), GN2_ERR_UNSUPPORTED);
    assert_null(p);
}

/* Only what was measured, with just what it offered, counts. */
static void bf16_pays_where_that_was_measured(void **state)
{
    static const gn2_processor genoa = {"AuthenticAMD", 25, 17, GN2_BF16_AVX512};
    (void)state;
    assert_true(gn2_processor_pays(&genoa, 0, 64) &&
                gn2_processor_pays(&genoa, 1, 256));
    assert_false(gn2_processor_pays(&genoa, 0, 32) ||
                 gn2_processor_pays(&genoa, 1, 63));
    gn2_processor other[4] = {genoa, genoa, genoa, genoa};
    other[0].model = 97;
    other[1].family = 26;
    other[2].bf16 = GN2_BF16_AMX;
    memcpy(other[3].vendor, "GenuineIntel", 12);
    for (int i = 0; i < 4; i++) {
        assert_null(gn2_processor_find(&other[i]));
        assert_false(gn2_processor_pays(&other[i], 0, 256));
        assert_false(gn2_processor_pays(&other[i], 1, 256));
    }
    const gn2_processor xeon = {"GenuineIntel", 6, 207, GN2_BF16_AVX512};
    assert_non_null(gn2_processor_find(&xeon));
    assert_false(gn2_processor_pays(&xeon, 0, 256));
}

#ifdef __x86_64__
/* As the operating system tells it. */
static void this_processor_is_named(void **state)
{
    gn2_processor here;
    char line[256], vendor[13] = "";
    int family = -1, model = -1;
    (void)state;
    gn2_processor_detect(&here);
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file) skip();
    while (fgets(line, sizeof line, file) && strcmp(line, "\n") != 0) {
        sscanf(line, "vendor_id : %12s", vendor);
        sscanf(line, "cpu family : %d", &family);
        sscanf(line, "model : %d", &model);
    }
    fclose(file);
    assert_string_equal(here.vendor, vendor);
    assert_int_equal(here.family, family);
    assert_int_equal(here.model, model);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_kernels_are_taken_where_they_exist),
        cmocka_unit_test(onednn_is_taken_where_there_are_none),
        cmocka_unit_test(the_reference_is_the_reference_everywhere),
        cmocka_unit_test(onednn_asked_for_is_there_or_refused),
        cmocka_unit_test(bf16_pays_where_that_was_measured),
#ifdef __x86_64__
        cmocka_unit_test(this_processor_is_named),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

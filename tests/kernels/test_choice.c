/* SPDX-License-Identifier: Apache-2.0 */
/* Who multiplies matrices: compute.gemm on processors with and without own kernels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
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
    assert_string_equal(name_of(&o), gn2_onednn_usable() ? "onednn" : "reference");
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
    if (gn2_onednn_usable()) {
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_kernels_are_taken_where_they_exist),
        cmocka_unit_test(onednn_is_taken_where_there_are_none),
        cmocka_unit_test(the_reference_is_the_reference_everywhere),
        cmocka_unit_test(onednn_asked_for_is_there_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* base.h and config.h through the shared library: versions, names, messages, and
 * that no argument may be NULL. What keys mean is tested in unit/. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <gn2/gn2.h>

static void test_header_and_library_agree(void **state)
{
    (void)state;
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", GN2_VERSION_MAJOR, GN2_VERSION_MINOR,
             GN2_VERSION_PATCH);
    assert_string_equal(gn2_version(), text);
    assert_string_equal(gn2_version(), GN2_VERSION_STRING);
    assert_int_equal(gn2_abi_version(), GN2_ABI_VERSION);
}

static void test_features_name_every_part(void **state)
{
    (void)state;
    static const char *const words[] = {"isa=", " onednn=", " zlib=1.",
                                        " hdf5=", " filters="};
    const char *features = gn2_features();
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const char *at = strstr(features, words[i]);
        assert_non_null(at);
        assert_true(at[strlen(words[i])] > ' ');
    }
    assert_null(strchr(features, '\n'));
    assert_ptr_equal(features, gn2_features());
}

static void test_every_status_has_a_name(void **state)
{
    (void)state;
    for (gn2_status s = GN2_ERR_INTERNAL; s < GN2_OK; s++) {
        const char *name = gn2_status_name(s);
        assert_int_equal(strncmp(name, "GN2_ERR_", 8), 0);
        for (gn2_status t = s + 1; t <= GN2_OK; t++)
            assert_string_not_equal(name, gn2_status_name(t));
    }
    assert_string_equal(gn2_status_name(GN2_OK), "GN2_OK");
    assert_string_equal(gn2_status_name(GN2_ERR_INVALID_ARG), "GN2_ERR_INVALID_ARG");
    assert_string_equal(gn2_status_name(GN2_ERR_INTERNAL), "GN2_ERR_INTERNAL");
    const gn2_status unknown[] = {1, GN2_ERR_INTERNAL - 1, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(gn2_status_name(unknown[i]), "GN2_ERR_UNKNOWN");
}

static void *message_of_a_fresh_thread(void *out)
{
    const int was_empty = gn2_last_error()[0] == 0;
    gn2_config_create(NULL);
    *(int *)out = was_empty && strstr(gn2_last_error(), "gn2_config_create") != NULL;
    return NULL;
}

static void test_messages_belong_to_their_thread(void **state)
{
    (void)state;
    gn2_config *config = NULL;
    assert_int_equal(gn2_config_create(&config), GN2_OK);
    assert_int_equal(gn2_config_set_i64(config, "model.embed_dimm", 1),
                     GN2_ERR_NOT_FOUND);
    char before[512];
    snprintf(before, sizeof before, "%s", gn2_last_error());
    assert_non_null(strstr(before, "model.embed_dim"));
    pthread_t thread;
    int fine = 0;
    assert_int_equal(pthread_create(&thread, NULL, message_of_a_fresh_thread, &fine),
                     0);
    pthread_join(thread, NULL);
    assert_true(fine);
    assert_int_equal(gn2_config_set_i64(config, "model.embed_dim", 64), GN2_OK);
    assert_string_equal(gn2_last_error(), before);
    gn2_config_free(config);
}

#define REFUSED(call)                                      \
    do {                                                   \
        assert_int_equal((call), GN2_ERR_INVALID_ARG);     \
        assert_non_null(strstr(gn2_last_error(), "NULL")); \
    } while (0)

static void test_null_is_refused_everywhere(void **state)
{
    (void)state;
    gn2_config *c = NULL;
    assert_int_equal(gn2_config_create(&c), GN2_OK);
    const char *text = NULL, *items[2] = {"a", NULL};
    const char *key = "model.name", *list = "model.classes";
    int64_t i = 0;
    double d = 0;
    size_t n = 0;
    REFUSED(gn2_config_create(NULL));
    REFUSED(gn2_config_set_i64(NULL, key, 1));
    REFUSED(gn2_config_set_i64(c, NULL, 1));
    REFUSED(gn2_config_set_f64(NULL, key, 1));
    REFUSED(gn2_config_set_f64(c, NULL, 1));
    REFUSED(gn2_config_set_str(NULL, key, "x"));
    REFUSED(gn2_config_set_str(c, NULL, "x"));
    REFUSED(gn2_config_set_str(c, key, NULL));
    REFUSED(gn2_config_set_list(NULL, list, items, 1));
    REFUSED(gn2_config_set_list(c, NULL, items, 1));
    REFUSED(gn2_config_set_list(c, list, NULL, 1));
    REFUSED(gn2_config_set_list(c, list, items, 2));
    REFUSED(gn2_config_set_f64_list(NULL, list, &d, 1));
    REFUSED(gn2_config_set_f64_list(c, NULL, &d, 1));
    REFUSED(gn2_config_set_f64_list(c, "norm.jets.mean", NULL, 1));
    REFUSED(gn2_config_set_text(NULL, key, "x"));
    REFUSED(gn2_config_set_text(c, NULL, "x"));
    REFUSED(gn2_config_set_text(c, key, NULL));
    REFUSED(gn2_config_get_i64(NULL, key, &i));
    REFUSED(gn2_config_get_i64(c, NULL, &i));
    REFUSED(gn2_config_get_i64(c, key, NULL));
    REFUSED(gn2_config_get_f64(NULL, key, &d));
    REFUSED(gn2_config_get_f64(c, NULL, &d));
    REFUSED(gn2_config_get_f64(c, key, NULL));
    REFUSED(gn2_config_get_str(NULL, key, &text));
    REFUSED(gn2_config_get_str(c, NULL, &text));
    REFUSED(gn2_config_get_str(c, key, NULL));
    REFUSED(gn2_config_get_count(NULL, list, &n));
    REFUSED(gn2_config_get_count(c, NULL, &n));
    REFUSED(gn2_config_get_count(c, list, NULL));
    REFUSED(gn2_config_get_item(NULL, list, 0, &text));
    REFUSED(gn2_config_get_item(c, NULL, 0, &text));
    REFUSED(gn2_config_get_item(c, list, 0, NULL));
    REFUSED(gn2_config_get_f64_list(NULL, list, &d, 1));
    REFUSED(gn2_config_get_f64_list(c, NULL, &d, 1));
    REFUSED(gn2_config_get_f64_list(c, "norm.jets.mean", NULL, 1));
    REFUSED(gn2_config_describe(0, NULL));
    REFUSED(gn2_config_load(NULL, "x"));
    REFUSED(gn2_config_load(c, NULL));
    REFUSED(gn2_config_save(NULL, "x"));
    REFUSED(gn2_config_save(c, NULL));
    gn2_config_free(NULL);
    gn2_config_free(c);
}

static void test_every_key_is_described_and_takes_its_default(void **state)
{
    (void)state;
    gn2_config *c = NULL;
    assert_int_equal(gn2_config_create(&c), GN2_OK);
    assert_true(gn2_config_count() > 50);
    for (size_t i = 0; i < gn2_config_count(); i++) {
        gn2_config_info info = {.struct_size = sizeof info};
        assert_int_equal(gn2_config_describe(i, &info), GN2_OK);
        assert_int_equal(info.struct_size, sizeof info);
        assert_in_range(info.type, GN2_TYPE_I64, GN2_TYPE_F64_LIST);
        assert_true(info.doc[0] != 0);
        assert_true(info.min <= info.max);
        if (strchr(info.key, '*')) continue;
        assert_int_equal(gn2_config_set_text(c, info.key, info.default_text), GN2_OK);
    }
    gn2_config_info info = {.struct_size = sizeof info};
    assert_int_equal(gn2_config_describe(gn2_config_count(), &info),
                     GN2_ERR_INVALID_ARG);
    info.struct_size = 8;
    assert_int_equal(gn2_config_describe(0, &info), GN2_ERR_ABI);
    gn2_config_free(c);
}

static void refuse_constituents(const char *name)
{
    gn2_config *c = NULL;
    gn2_model *model = NULL;
    gn2_dataset *dataset = NULL;
    const gn2_jets jets = {.struct_size = sizeof jets};
    assert_int_equal(gn2_config_create(&c), GN2_OK);
    assert_int_equal(gn2_config_set_list(c, "model.constituents", &name, 1), GN2_OK);
    assert_int_equal(gn2_model_create(c, &model), GN2_ERR_INVALID_ARG);
    assert_non_null(strstr(gn2_last_error(), "model.constituents"));
    assert_int_equal(gn2_dataset_from_arrays(&jets, NULL, c, &dataset),
                     GN2_ERR_INVALID_ARG);
    assert_null(model);
    assert_null(dataset);
    gn2_config_free(c);
}

/* They become part of keys ("inputs.tracks"), so they must be words. */
static void test_odd_constituent_names_are_refused(void **state)
{
    (void)state;
    char longest[200] = {0};
    memset(longest, 'a', sizeof longest - 1);
    refuse_constituents("train.shards");
    refuse_constituents("two words");
    refuse_constituents("a=b");
    refuse_constituents(longest);
}

static void test_config_survives_a_file(void **state)
{
    (void)state;
    const char *path = "test_base.config";
    gn2_config *out = NULL, *in = NULL;
    assert_int_equal(gn2_config_create(&out), GN2_OK);
    assert_int_equal(gn2_config_create(&in), GN2_OK);
    assert_int_equal(gn2_config_set_i64(out, "model.embed_dim", 72), GN2_OK);
    assert_int_equal(gn2_config_set_f64(out, "schedule.max", 0.1), GN2_OK);
    assert_int_equal(gn2_config_save(out, path), GN2_OK);
    assert_int_equal(gn2_config_load(in, path), GN2_OK);
    remove(path);
    int64_t width = 0;
    double rate = 0;
    assert_int_equal(gn2_config_get_i64(in, "model.embed_dim", &width), GN2_OK);
    assert_int_equal(gn2_config_get_f64(in, "schedule.max", &rate), GN2_OK);
    assert_int_equal(width, 72);
    assert_true(rate == 0.1);
    assert_true(gn2_config_load(in, "no/such/file") < GN2_OK);
    assert_non_null(strstr(gn2_last_error(), "no/such/file"));
    gn2_config_free(in);
    gn2_config_free(out);
}

static void test_lists_are_given_whole_or_not_at_all(void **state)
{
    (void)state;
    gn2_config *c = NULL;
    const double numbers[3] = {0.5, 2, -1};
    double list[3] = {7, 7, 7};
    const char *item = NULL;
    assert_int_equal(gn2_config_create(&c), GN2_OK);
    assert_int_equal(gn2_config_set_f64_list(c, "norm.jets.mean", numbers, 3), GN2_OK);
    assert_true(gn2_config_get_f64_list(c, "norm.jets.mean", list, 2) < GN2_OK);
    assert_non_null(strstr(gn2_last_error(), "3 items, room is for 2"));
    assert_true(list[0] == 7);
    assert_int_equal(gn2_config_get_f64_list(c, "norm.jets.mean", list, 3), GN2_OK);
    assert_memory_equal(list, numbers, sizeof list);
    assert_int_equal(gn2_config_get_item(c, "model.classes", 3, &item), GN2_OK);
    assert_string_equal(item, "taujets");
    assert_true(gn2_config_get_item(c, "model.classes", 4, &item) < GN2_OK);
    assert_non_null(strstr(gn2_last_error(), "item 4 of 4"));
    gn2_config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_and_library_agree),
        cmocka_unit_test(test_features_name_every_part),
        cmocka_unit_test(test_every_status_has_a_name),
        cmocka_unit_test(test_messages_belong_to_their_thread),
        cmocka_unit_test(test_null_is_refused_everywhere),
        cmocka_unit_test(test_every_key_is_described_and_takes_its_default),
        cmocka_unit_test(test_odd_constituent_names_are_refused),
        cmocka_unit_test(test_config_survives_a_file),
        cmocka_unit_test(test_lists_are_given_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

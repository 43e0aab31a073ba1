/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <math.h>
#include <time.h>

#include "config/config.h"
#include "config/table.h"
#include "util/alloc.h"

static int make_config(void **state)
{
    gn2_config *c;
    if (gn2_config_new(&c) != GN2_OK) return 1;
    *state = c;
    return 0;
}

static int free_config(void **state)
{
    gn2_config_delete(*state);
    return 0;
}

static void defaults_are_those_of_the_table(void **state)
{
    gn2_config *c = *state;
    assert_int_equal(gn2_config_i64(c, "model.embed_dim"), 256);
    assert_true(gn2_config_f64(c, "model.norm_eps") == 1e-5);
    assert_string_equal(gn2_config_str(c, "optim.name"), "adamw");
    assert_int_equal(gn2_config_list_count(c, "model.classes"), 4);
    assert_string_equal(gn2_config_list_item(c, "model.classes", 3), "taujets");
    assert_int_equal(gn2_config_list_count(c, "inputs.tracks"), 19);
    assert_int_equal(gn2_config_list_count(c, "inputs.electrons"), 0);
    assert_int_equal(gn2_config_list_count(c, "norm.jets.mean"), 0);
    assert_true(gn2_config_f64_item(c, "task.track_origin.hidden", 1) == 64);
}

static void what_is_as_by_default_is_told(void **state)
{
    gn2_config *c = *state;
    static const char *const keys[][2] = {{"optim.eps", "0.00000001"},
                                          {"model.classes", "a,b"},
                                          {"norm.tracks.mean", "1"}};
    int usual;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        assert_ok(gn2_config_is_default(c, keys[i][0], &usual));
        assert_true(usual);
        assert_ok(gn2_config_put_text(c, keys[i][0], keys[i][1]));
        assert_ok(gn2_config_is_default(c, keys[i][0], &usual));
        assert_int_equal(usual, i == 0); /* written otherwise, the same number */
    }
    assert_status(GN2_ERR_NOT_FOUND, gn2_config_is_default(c, "no.key", &usual));
}

/* Every default lies within its own bounds and is already canonical or reads as
 * the same value. */
static void every_row_accepts_its_default(void **state)
{
    gn2_config *c = *state;
    for (size_t i = 0; i < gn2_config_table_size; i++) {
        const gn2_config_key *row = &gn2_config_table[i];
        char key[128];
        const char *star = strchr(row->key, '*');
        strcpy(key, row->key);
        if (star) { /* one segment stands for the star */
            key[star - row->key] = '\0';
            strcat(key, "things");
            strcat(key, star + 1);
        }
        assert_true(gn2_config_find_row(key));
        assert_ok(gn2_config_put_text(c, key, row->default_text));
        assert_non_null(row->doc);
    }
}

static void values_come_back(void **state)
{
    gn2_config *c = *state;
    const gn2_config_value *value = NULL;
    const char *text = NULL;
    assert_ok(gn2_config_put_i64(c, "model.embed_dim", 64));
    assert_ok(gn2_config_find(c, "model.embed_dim", GN2_TYPE_I64, &value));
    assert_int_equal(value->integer, 64);
    assert_ok(gn2_config_put_f64(c, "optim.eps", 0.1 + 0.2));
    assert_ok(gn2_config_find(c, "optim.eps", GN2_TYPE_F64, &value));
    assert_true(value->numbers[0] == 0.1 + 0.2);
    assert_ok(gn2_config_put_str(c, "train.checkpoint", "a = b # c, d"));
    assert_ok(gn2_config_find(c, "train.checkpoint", GN2_TYPE_STR, &value));
    assert_string_equal(value->text, "a = b # c, d");
    const double numbers[3] = {1.0 / 3, -0.0, 1e38};
    assert_ok(gn2_config_put_f64_list(c, "norm.jets.mean", numbers, 3));
    assert_ok(gn2_config_find(c, "norm.jets.mean", GN2_TYPE_F64_LIST, &value));
    assert_int_equal(value->count, 3);
    assert_memory_equal(value->numbers, numbers, sizeof numbers);
    const char *const names[] = {"d0", "z0"};
    assert_ok(gn2_config_put_list(c, "inputs.tracks", names, 2));
    assert_ok(gn2_config_find(c, "inputs.tracks", GN2_TYPE_LIST, &value));
    assert_int_equal(value->count, 2);
    assert_ok(gn2_config_read_text(c, "inputs.tracks", &text));
    assert_string_equal(text, "d0,z0");
    assert_ok(gn2_config_put_list(c, "inputs.tracks", NULL, 0));
    assert_int_equal(gn2_config_list_count(c, "inputs.tracks"), 0);
}

static void text_is_made_canonical(void **state)
{
    gn2_config *c = *state;
    const char *text = NULL;
    assert_ok(gn2_config_put_text(c, "model.embed_dim", "  +0064 "));
    assert_ok(gn2_config_read_text(c, "model.embed_dim", &text));
    assert_string_equal(text, "64");
    assert_ok(gn2_config_put_text(c, "schedule.max", "0.00005"));
    assert_ok(gn2_config_read_text(c, "schedule.max", &text));
    assert_string_equal(text, "5e-5");
    assert_ok(gn2_config_put_text(c, "model.classes", " bjets , cjets,ujets\t"));
    assert_ok(gn2_config_read_text(c, "model.classes", &text));
    assert_string_equal(text, "bjets,cjets,ujets");
}

/* One wrong value: the status, words of the message, and nothing has changed. */
static const struct {
    const char *key, *text;
    gn2_status status;
    const char *words[2];
} refusals[] = {
    {"model.embed_dim", "0", GN2_ERR_INVALID_ARG, {"model.embed_dim", "least value 1"}},
    {"model.embed_dim", "65537", GN2_ERR_INVALID_ARG, {"65537", "largest value 65536"}},
    {"model.embed_dim", "64.0", GN2_ERR_INVALID_ARG, {"'64.0'", "not an integer"}},
    {"model.embed_dim", "", GN2_ERR_INVALID_ARG, {"model.embed_dim", "not an integer"}},
    {"optim.eps", "abc", GN2_ERR_INVALID_ARG, {"'abc'", "not a finite number"}},
    {"optim.eps", "nan", GN2_ERR_INVALID_ARG, {"'nan'", "not a finite number"}},
    {"optim.clip_norm", "inf", GN2_ERR_INVALID_ARG, {"'inf'", "not a finite number"}},
    {"optim.eps", "0,5", GN2_ERR_INVALID_ARG, {"'0,5'", "not a finite number"}},
    {"optim.name", "adam", GN2_ERR_INVALID_ARG, {"'adam'", "adamw|sgd"}},
    {"optim.name", "adamw|sgd", GN2_ERR_INVALID_ARG, {"adamw|sgd", "not one of"}},
    {"optim.name", "", GN2_ERR_INVALID_ARG, {"''", "adamw|sgd"}},
    {"task.x.pair_weights", "some", GN2_ERR_INVALID_ARG, {"'some'", "not one of"}},
    {"norm.jets.std", "1,0,1", GN2_ERR_INVALID_ARG, {"norm.jets.std", "1.2e-38"}},
    {"model.classes", "a,,b", GN2_ERR_INVALID_ARG, {"item 1", "empty"}},
    {"model.classes", "a,b,", GN2_ERR_INVALID_ARG, {"item 2", "empty"}},
    {"model.name", "a\nb", GN2_ERR_INVALID_ARG, {"model.name", "0x0a"}},
    {"model.embed_dm",
     "64",
     GN2_ERR_NOT_FOUND,
     {"'model.embed_dm'", "'model.embed_dim'"}},
    {"embed_dim", "64", GN2_ERR_NOT_FOUND, {"did you mean", "'model.embed_dim'"}},
    {"norm.tracks.sdt", "1", GN2_ERR_NOT_FOUND, {"did you mean", "'norm.tracks.std'"}},
    {"inputs.*", "a", GN2_ERR_NOT_FOUND, {"unknown key", "inputs.*"}},
    {"inputs.a.b", "a", GN2_ERR_NOT_FOUND, {"unknown key", "inputs.a.b"}},
    {"inputs.", "a", GN2_ERR_NOT_FOUND, {"unknown key", "inputs."}},
    {"", "a", GN2_ERR_NOT_FOUND, {"unknown key", "''"}},
    {"quite something else", "a", GN2_ERR_NOT_FOUND, {"unknown key", "something"}},
};

static char *whole_text(const gn2_config *c)
{
    gn2_text text = {0};
    assert_ok(gn2_config_to_text(c, NULL, &text));
    return text.data;
}

static void wrong_values_are_named_and_change_nothing(void **state)
{
    gn2_config *c = *state;
    char *before = whole_text(c);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const gn2_status status =
            gn2_config_put_text(c, refusals[i].key, refusals[i].text);
        if (status != refusals[i].status)
            fail_msg("%s = %s: status %d", refusals[i].key, refusals[i].text, status);
        assert_message(refusals[i].words[0]);
        assert_message(refusals[i].words[1]);
    }
    char *after = whole_text(c);
    assert_string_equal(before, after);
    gn2_free(before);
    gn2_free(after);
}

static void no_guess_for_a_word_far_from_all_keys(void **state)
{
    /* the second would be inputs.lr_max, an object's, by letters alone */
    static const char *const far[] = {"zzzzzz", "train.lr_max", "train.lr", "optim.lr",
                                      "schedule.model.max"};
    for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
        assert_status(GN2_ERR_NOT_FOUND, gn2_config_put_text(*state, far[i], "1"));
        if (strstr(gn2_error_text(), "did you mean")) fail_msg("%s", gn2_error_text());
    }
}

static void a_guess_for_a_word_near_a_key(void **state)
{
    static const char *const near[][2] = {
        {"modl.embed_dim", "'model.embed_dim'"},
        {"model_embed_dim", "model.embed_dim"},
        {"schedule.maxx", "'schedule.max'"},
        {"num_layers", "'model.num_layers'"},
        {"task.flow.lable", "'task.flow.label'"},
        {"input.flows", "'inputs.flows'"},
        {"discriminant.D_b.fc", "discriminant.D_b.f_c"},
    };
    for (size_t i = 0; i < sizeof near / sizeof *near; i++) {
        assert_status(GN2_ERR_NOT_FOUND, gn2_config_put_text(*state, near[i][0], "1"));
        if (!strstr(gn2_error_text(), near[i][1])) fail_msg("%s", gn2_error_text());
    }
}

static void typed_setters_refuse_other_types(void **state)
{
    gn2_config *c = *state;
    const double number = 1;
    const char *const item = "x", *const comma = "a,b", *const empty = "";
    const gn2_config_value *value;
    assert_status(GN2_ERR_INVALID_ARG, gn2_config_put_i64(c, "optim.eps", 1));
    assert_message("a number, not an integer");
    assert_status(GN2_ERR_INVALID_ARG, gn2_config_put_f64(c, "model.embed_dim", 64));
    assert_status(GN2_ERR_INVALID_ARG, gn2_config_put_str(c, "model.classes", "a"));
    assert_status(GN2_ERR_INVALID_ARG, gn2_config_put_list(c, "model.name", &item, 1));
    assert_status(GN2_ERR_INVALID_ARG,
                  gn2_config_put_f64_list(c, "model.classes", &number, 1));
    assert_status(GN2_ERR_INVALID_ARG, gn2_config_put_f64(c, "optim.eps", NAN));
    assert_status(GN2_ERR_INVALID_ARG,
                  gn2_config_put_f64(c, "optim.clip_norm", INFINITY));
    assert_status(GN2_ERR_INVALID_ARG,
                  gn2_config_put_list(c, "model.classes", &comma, 1));
    assert_message("item 0");
    assert_status(GN2_ERR_INVALID_ARG,
                  gn2_config_put_list(c, "model.classes", &empty, 1));
    assert_status(GN2_ERR_INVALID_ARG, gn2_config_put_str(c, "model.name", " GN2"));
    assert_message("blank");
    assert_status(GN2_ERR_INVALID_ARG,
                  gn2_config_find(c, "optim.eps", GN2_TYPE_I64, &value));
    assert_status(GN2_ERR_INVALID_ARG,
                  gn2_config_find(c, "optim.eps", GN2_TYPE_LIST, &value));
    assert_message("a number, not a list");
    assert_status(GN2_ERR_NOT_FOUND,
                  gn2_config_find(c, "model.embd_dim", GN2_TYPE_I64, &value));
}

static void a_wildcard_holds_one_value_a_name(void **state)
{
    gn2_config *c = *state;
    assert_ok(gn2_config_put_text(c, "norm.tracks.mean", "1,2"));
    assert_ok(gn2_config_put_text(c, "norm.electrons.mean", "3"));
    assert_ok(gn2_config_put_text(c, "norm.tracks.mean", "4"));
    assert_true(gn2_config_f64_item(c, "norm.tracks.mean", 0) == 4);
    assert_true(gn2_config_f64_item(c, "norm.electrons.mean", 0) == 3);
    assert_int_equal(gn2_config_list_count(c, "norm.flows.mean"), 0);
    char key[128];
    assert_string_equal(gn2_config_key_of(key, "norm.%s.mean", "tracks"),
                        "norm.tracks.mean");
    char *text = whole_text(c);
    assert_non_null(strstr(text, "\nnorm.electrons.mean = 3\nnorm.tracks.mean = 4\n"));
    assert_null(strchr(text, '*') == NULL ? NULL : strstr(text, ".*"));
    gn2_free(text);
}

static void text_makes_an_equal_config(void **state)
{
    gn2_config *c = *state, *other;
    assert_ok(gn2_config_put_text(c, "norm.jets.mean", "1e5,0.25"));
    assert_ok(gn2_config_put_text(c, "provenance.data", "a file = odd # name"));
    assert_ok(gn2_config_put_text(c, "data.norm_dict", ""));
    assert_ok(gn2_config_put_text(c, "schedule.max", "0.3"));
    char *text = whole_text(c);
    assert_ok(gn2_config_new(&other));
    assert_ok(gn2_config_from_text(other, "text", text, strlen(text)));
    char *again = whole_text(other);
    assert_string_equal(text, again);
    gn2_free(again);
    gn2_config_delete(other);
    assert_ok(gn2_config_clone(c, &other));
    again = whole_text(other);
    assert_string_equal(text, again);
    gn2_free(again);
    gn2_free(text);
    gn2_config_delete(other);
}

static int is_model_key(const char *key)
{
    return strncmp(key, "model.", 6) == 0;
}

static void keys_can_be_chosen(void **state)
{
    gn2_text text = {0};
    assert_ok(gn2_config_to_text(*state, is_model_key, &text));
    assert_non_null(strstr(text.data, "model.embed_dim = 256\n"));
    assert_null(strstr(text.data, "optim."));
    gn2_free(text.data);
}

static void comments_and_line_ends_are_read(void **state)
{
    gn2_config *c = *state;
    const char *text = "# a comment\r\n\r\n  model.embed_dim=32\r\n"
                       "\tmodel.name = My # GN2 \n#model.embed_dim = 5\n"
                       "model.num_heads = 4";
    assert_ok(gn2_config_from_text(c, "file", text, strlen(text)));
    assert_int_equal(gn2_config_i64(c, "model.embed_dim"), 32);
    assert_string_equal(gn2_config_str(c, "model.name"), "My # GN2");
    assert_int_equal(gn2_config_i64(c, "model.num_heads"), 4);
    assert_ok(gn2_config_from_text(c, "file", "", 0));
}

static void a_bad_line_is_named_and_nothing_is_taken(void **state)
{
    gn2_config *c = *state;
    static const struct {
        const char *text;
        gn2_status status;
        const char *words[2];
    } cases[] = {
        {"model.embed_dim = 32\n\nnonsense\n",
         GN2_ERR_FORMAT,
         {"a.cfg:3:", "nonsense"}},
        {"model.embed_dim = 32\nmodel.num_heads = 0",
         GN2_ERR_INVALID_ARG,
         {"a.cfg:2:", "model.num_heads"}},
        {"model.embed_dim = 32\nmodel.layers = 2",
         GN2_ERR_NOT_FOUND,
         {"a.cfg:2:", "model.layers"}},
    };
    char *before = whole_text(c);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_status(cases[i].status, gn2_config_from_text(c, "a.cfg", cases[i].text,
                                                            strlen(cases[i].text)));
        assert_message(cases[i].words[0]);
        assert_message(cases[i].words[1]);
    }
    assert_status(GN2_ERR_FORMAT, gn2_config_from_text(c, "a.cfg", "\0", 1));
    char *after = whole_text(c);
    assert_string_equal(before, after);
    gn2_free(before);
    gn2_free(after);
}

/* Keys are written from z to a and copied; the time of that. */
static double time_of_keys(gn2_config *c, int keys)
{
    gn2_config *copy;
    gn2_text text = {0};
    for (int i = keys; i > 0; i--)
        gn2_text_format(&text, "provenance.k%06d = %d\n", i, i);
    const clock_t start = clock();
    assert_ok(gn2_config_from_text(c, "lines", text.data, text.length));
    assert_ok(gn2_config_clone(c, &copy));
    const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    assert_int_equal(gn2_config_slot_count(copy), gn2_config_table_size + (size_t)keys);
    assert_string_equal(gn2_config_str(copy, "provenance.k000077"), "77");
    const char *key, *value;
    gn2_config_slot_at(copy, gn2_config_table_size, &key, &value);
    assert_string_equal(key, "provenance.k000001");
    gn2_config_delete(copy);
    gn2_free(text.data);
    return seconds;
}

/* Eight times the keys take about eight times as long; shifting what is there, or
 * looking through it, would take 64 times. */
static void many_named_keys_cost_no_more_each(void **state)
{
    const double few = time_of_keys(*state, 8000), many = time_of_keys(*state, 64000);
    assert_true(many < 24 * few + 0.1);
}

/* What arithmetic in single precision would make 0 or Inf of is no value. */
static void reals_are_what_a_float_holds(void **state)
{
    static const char *const cases[][2] = {
        {"norm.tracks.std", "1,1e-40"},    {"norm.tracks.std", "1e39"},
        {"norm.tracks.mean", "0,1e39"},    {"norm.tracks.mean", "-1e300"},
        {"input.defaults.jets", "1e39"},   {"task.a.weight", "1e39"},
        {"task.a.class_weights", "1e300"}, {"task.a.target_std", "1e-300"},
        {"task.a.target_mean", "1e39"},    {"optim.clip_norm", "1e200"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_status(GN2_ERR_INVALID_ARG,
                      gn2_config_put_text(*state, cases[i][0], cases[i][1]));
        assert_message(cases[i][0]);
        assert_message("value");
    }
    assert_ok(gn2_config_put_text(*state, "norm.tracks.std", "1.2e-38,3.4e38"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_config, free_config)
    const struct CMUnitTest tests[] = {
        TEST(defaults_are_those_of_the_table),
        TEST(what_is_as_by_default_is_told),
        TEST(every_row_accepts_its_default),
        TEST(values_come_back),
        TEST(text_is_made_canonical),
        TEST(wrong_values_are_named_and_change_nothing),
        TEST(no_guess_for_a_word_far_from_all_keys),
        TEST(a_guess_for_a_word_near_a_key),
        TEST(typed_setters_refuse_other_types),
        TEST(a_wildcard_holds_one_value_a_name),
        TEST(text_makes_an_equal_config),
        TEST(keys_can_be_chosen),
        TEST(comments_and_line_ends_are_read),
        TEST(a_bad_line_is_named_and_nothing_is_taken),
        TEST(many_named_keys_cost_no_more_each),
        TEST(reals_are_what_a_float_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

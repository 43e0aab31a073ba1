/* SPDX-License-Identifier: Apache-2.0 */
/* The YAML that dicts use is read; what is not understood is refused by line. */
#include "data_case.h"

#include <math.h>
#include <time.h>

#include "data/yaml.h"
#include "util/alloc.h"
#include "util/str.h"

static gn2_status parse(const char *text, gn2_yaml *yaml)
{
    return gn2_yaml_parse("dict.yaml", text, yaml);
}

static double number_at(const gn2_yaml *yaml, const char *a, const char *b,
                        const char *c)
{
    double value = -1;
    int32_t node = gn2_yaml_find(yaml, 0, a);
    assert_true(node > 0);
    node = gn2_yaml_find(yaml, node, b);
    assert_true(node > 0);
    node = gn2_yaml_find(yaml, node, c);
    assert_true(node > 0);
    MUST(gn2_yaml_number(yaml, node, &value));
    return value;
}

static void all_styles_mean_the_same(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "jets:\n  pt:\n    mean: 1.5\n    std: 2e3\n",
        "---\n# head\njets:\n\n    pt: {mean: 1.5, std: 2e3} # tail\n",
        "jets: {pt: {mean: 1.5,\n  std: 2e3}}\n",
        "\"jets\":\r\n  'pt':\r\n    mean:  1.5\r\n    std: \"2e3\"\r\n",
        "\xEF\xBB\xBF"
        "jets:\r\n  pt: # of Windows\r\n    mean: 1.5\r\n\r\n    std: 2e3",
        "jets:\r  pt:\r    mean: 1.5\r    std: 2e3\r",
        "---\r\njets: {pt: {mean: 1.5,\r\n  std: 2e3}} # tail\r\n",
        "other: 1\njets:\n  eta: {mean: 0, std: 1}\n  pt:   # comment\n"
        "    std: 2e3\n    mean: 1.5",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        gn2_yaml yaml;
        MUST(parse(texts[i], &yaml));
        assert_true(number_at(&yaml, "jets", "pt", "mean") == 1.5);
        assert_true(number_at(&yaml, "jets", "pt", "std") == 2000.0);
        gn2_yaml_clear(&yaml);
    }
}

static void lists_come_in_order(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "jets:\n  label: [1, 2.5, 3]\n",
        "jets:\n  label:\n  - 1\n  - 2.5\n  - 3\nnext: 1\n",
        "jets:\n  label:\n    - 1\n    - 2.5 # two\n    - 3\n",
        "jets: {label: [1,\n   2.5,\n   3,]}\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        gn2_yaml yaml;
        double sum = 0, value;
        MUST(parse(texts[i], &yaml));
        const int32_t label =
            gn2_yaml_find(&yaml, gn2_yaml_find(&yaml, 0, "jets"), "label");
        int32_t k = yaml.node[label].first;
        for (int32_t place = 1; place <= 3; place++, k = yaml.node[k].next) {
            MUST(gn2_yaml_number(&yaml, k, &value));
            sum += value * place;
        }
        assert_true(sum == 15);
        assert_int_equal(k, -1);
        gn2_yaml_clear(&yaml);
    }
}

static void the_rest_of_yaml_is_refused_by_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *line;
    } bad[] = {
        {"jets:\n\tpt: 1\n", "line 2"},
        {"jets:\n  pt: 1\n    eta: 2\n", "line 3"},
        {"jets:\n    pt: 1\n  eta: 2\n", "line 3"},
        {"  jets: 1\ntracks: 2\n", "line 2"},
        {"jets:\n  pt: &anchor 1\n", "line 2"},
        {"jets: !!float 1\n", "line 1"},
        {"jets: |\n  text\n", "line 1"},
        {"jets: {pt: 1\n", "line"},
        {"jets: [1, 2\n\n", "line"},
        {"jets: [1 2}\n", "line 1"},
        {"jets: {pt: 1} 2\n", "line 1"},
        {"a: 1\njets\n", "line 2"},
        {"a: 1\n: 2\n", "line 2"},
        {"a: 1\nb: \"open\n", "line 2"},
        {"a: 1\na: 2\n", "line 2"},
        {"b: 1\r\na: {c: 1,\r\n c: 2, d: 1}\r\nb: 2\r\n", "line 3"},
        {"a: 1\n...\n", "line 2"},
        {"a: [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]\n", "line 1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        gn2_yaml yaml;
        FAILS(parse(bad[i].text, &yaml), GN2_ERR_FORMAT, "dict.yaml", bad[i].line);
        assert_null(yaml.node);
    }
}

static double seconds_of(int32_t keys)
{
    gn2_yaml yaml;
    gn2_text text = {0};
    struct timespec a, b;
    for (int32_t i = 0; i < keys; i++) gn2_text_format(&text, "k%d: {a: [1, 2]}\n", i);
    assert_false(text.failed);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    MUST(parse(text.data, &yaml));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    assert_int_equal(yaml.count, 1 + 4 * keys);
    gn2_yaml_clear(&yaml);
    gn2_free(text.data);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}

/* 16 times the keys: 16 times the time and a little more, not 256 times. */
static void the_cost_grows_with_the_size(void **state)
{
    (void)state;
    double few = seconds_of(4000);
    for (int i = 0; i < 4; i++) few = fmin(few, seconds_of(4000));
    assert_true(seconds_of(64000) < 80 * few);
}

static void numbers_must_be_finite(void **state)
{
    (void)state;
    static const char *const texts[] = {"a: .nan\n", "a: 1e999\n", "a: one\n", "a:\n",
                                        "a: inf\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        gn2_yaml yaml;
        double value;
        MUST(parse(texts[i], &yaml));
        FAILS(gn2_yaml_number(&yaml, gn2_yaml_find(&yaml, 0, "a"), &value),
              GN2_ERR_FORMAT, "dict.yaml", "line 1");
        gn2_yaml_clear(&yaml);
    }
}

/* No cut or changed byte may do worse than be refused. */
static void cut_and_changed_text_does_no_harm(void **state)
{
    (void)state;
    static const char text[] = "# d\njets:\n  pt: {mean: 1.5, std: [2, 'x']}\n"
                               "tracks:\n  d0:\n  - 1\n  - \"q\"\n  e: {}\n";
    char changed[sizeof text];
    for (size_t i = 0; i < sizeof text - 1; i++)
        for (const char *c = "\n\t #{}[],:'\"-\x7F"; *c; c++) {
            gn2_yaml yaml;
            for (size_t k = 0; k < sizeof text; k++) changed[k] = text[k];
            changed[i] = *c;
            if (parse(changed, &yaml) == GN2_OK) gn2_yaml_clear(&yaml);
            changed[i] = 0;
            if (parse(changed, &yaml) == GN2_OK) gn2_yaml_clear(&yaml);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_styles_mean_the_same),
        cmocka_unit_test(lists_come_in_order),
        cmocka_unit_test(the_rest_of_yaml_is_refused_by_line),
        cmocka_unit_test(the_cost_grows_with_the_size),
        cmocka_unit_test(numbers_must_be_finite),
        cmocka_unit_test(cut_and_changed_text_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

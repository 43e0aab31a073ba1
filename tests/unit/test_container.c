/* SPDX-License-Identifier: Apache-2.0 */
/* What the container keeps, and what it refuses. Random damage: tests/fuzz. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "io/container.h"
#include "io/layout.h"
#include "util/alloc.h"
#include "util/rng.h"

/* A container under construction, and what came out. */
typedef struct built {
    gn2_container_writer *writer;
    unsigned char *data;
    size_t size;
} built;

static int make(void **state)
{
    static built b;
    b = (built){0};
    *state = &b;
    return gn2_container_writer_create(&b.writer) != GN2_OK;
}

static int clean(void **state)
{
    built *b = *state;
    gn2_container_writer_free(b->writer);
    gn2_free(b->data);
    return 0;
}

static void finish(built *b)
{
    gn2_free(b->data);
    assert_ok(gn2_container_finish(b->writer, &b->data, &b->size));
}

static void add_u8(built *b, const char *name, const char *text)
{
    const gn2_tensor_info info = {name, GN2_DTYPE_U8, 1, {strlen(text)}};
    assert_ok(gn2_container_add_tensor(b->writer, &info, text));
}

/* Both prefix CRCs after a field was changed. */
static void seal(built *b)
{
    const uint32_t header = gn2_get_u32(b->data + GN2_AT_HEADER_SIZE);
    if (header <= b->size - GN2_PREFIX_SIZE)
        gn2_set_u32(b->data + GN2_AT_HEADER_CRC,
                    gn2_crc32(b->data + GN2_PREFIX_SIZE, header));
    gn2_set_u32(b->data + GN2_AT_PREFIX_CRC, gn2_crc32(b->data, GN2_AT_PREFIX_CRC));
}

static gn2_status open_status(const built *b)
{
    gn2_container *c;
    const gn2_status status = gn2_container_open(b->data, b->size, "x.gn2", &c);
    if (status != GN2_OK) assert_null(c);
    gn2_container_close(c);
    return status;
}

static void tensors_of_all_types_come_back(void **state)
{
    built *b = *state;
    enum { n = 3 * 7 * 11 };
    static unsigned char in[4][8 * n], out[8 * n];
    const gn2_tensor_info infos[4] = {
        {"a.f32", GN2_DTYPE_F32, 3, {3, 7, 11}},
        {"b.f64", GN2_DTYPE_F64, 2, {21, 11}},
        {"c.i64", GN2_DTYPE_I64, 1, {n}},
        {"d.u8", GN2_DTYPE_U8, 8, {1, 3, 1, 7, 1, 11, 1, 1}},
    };
    for (int t = 0; t < 4; t++) {
        for (size_t i = 0; i < 8 * n; i++)
            in[t][i] = (unsigned char)gn2_rng_bits((uint64_t)t, i); /* NaN and all */
        assert_ok(gn2_container_add_tensor(b->writer, &infos[t], in[t]));
    }
    finish(b);
    gn2_container *c;
    assert_ok(gn2_container_open(b->data, b->size, "x.gn2", &c));
    assert_int_equal(gn2_container_tensor_count(c), 4);
    for (size_t t = 0; t < 4; t++) {
        const gn2_tensor_info *info = gn2_container_tensor_info(c, t);
        uint64_t size;
        size_t index;
        assert_string_equal(info->name, infos[t].name);
        assert_int_equal(info->dtype, infos[t].dtype);
        assert_int_equal(info->rank, infos[t].rank);
        assert_memory_equal(info->shape, infos[t].shape, sizeof info->shape);
        assert_ok(gn2_container_find(c, infos[t].name, &index));
        assert_int_equal(index, t);
        assert_true(gn2_tensor_size(info, &size));
        assert_ok(gn2_container_read(c, t, out, size));
        assert_memory_equal(out, in[t], size);
        assert_status(GN2_ERR_SHAPE, gn2_container_read(c, t, out, size - 1));
        assert_message(infos[t].name);
    }
    gn2_container_close(c);
}

static void header_comes_back_in_order(void **state)
{
    built *b = *state;
    assert_ok(gn2_container_add_header(b->writer, "z.key", " two = blanks, kept "));
    assert_ok(gn2_container_add_header(b->writer, "empty", ""));
    assert_ok(gn2_container_add_header(b->writer, "a", "f_\xcf\x84 # UTF-8\ttab"));
    finish(b);
    gn2_container *c;
    const char *key, *value;
    assert_ok(gn2_container_open(b->data, b->size, "x.gn2", &c));
    assert_string_equal(gn2_container_header(c, "z.key"), " two = blanks, kept ");
    assert_string_equal(gn2_container_header(c, "empty"), "");
    assert_string_equal(gn2_container_header(c, "a"), "f_\xcf\x84 # UTF-8\ttab");
    assert_null(gn2_container_header(c, "b"));
    assert_string_equal(gn2_container_header(c, "reader.min_version"), "1");
    assert_int_equal(gn2_container_header_count(c), 5);
    gn2_container_header_at(c, 2, &key, &value);
    assert_string_equal(key, "z.key");
    assert_string_equal(gn2_container_origin(c), "x.gn2");
    gn2_container_close(c);
}

static void an_empty_container_is_one(void **state)
{
    built *b = *state;
    finish(b);
    assert_ok(open_status(b));
}

static void equal_content_gives_equal_bytes(void **state)
{
    built *b = *state;
    add_u8(b, "t", "hello");
    finish(b);
    unsigned char *again;
    size_t size;
    assert_ok(gn2_container_finish(b->writer, &again, &size));
    assert_int_equal(size, b->size);
    assert_memory_equal(again, b->data, size);
    gn2_free(again);
}

static void the_writer_refuses_what_a_reader_would(void **state)
{
    built *b = *state;
    gn2_container_writer *w = b->writer;
    static const char *const keys[] = {
        "", "a b", "a=b", "a,b", "a\n", "\xc3\xa9", "reader.min_version", "reader.x"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_status(GN2_ERR_INVALID_ARG, gn2_container_add_header(w, keys[i], "v"));
    assert_status(GN2_ERR_INVALID_ARG, gn2_container_add_header(w, "k", "a\nb"));
    assert_ok(gn2_container_add_header(w, "key", "v"));
    assert_ok(gn2_container_add_header(w, "ke", "v"));
    assert_status(GN2_ERR_INVALID_ARG, gn2_container_add_header(w, "key", "w"));
    assert_message("'key' is there already");
    const gn2_tensor_info wrong[] = {
        {"", GN2_DTYPE_U8, 1, {1}},
        {"a b", GN2_DTYPE_U8, 1, {1}},
        {"a", 0, 1, {1}},
        {"a", 5, 1, {1}},
        {"a", GN2_DTYPE_U8, -1, {1}},
        {"a", GN2_DTYPE_U8, 9, {1}},
        {"a", GN2_DTYPE_U8, 1, {GN2_CONTAINER_MAX_DIM + 1}},
        {"a", GN2_DTYPE_F64, 2, {GN2_CONTAINER_MAX_DIM, GN2_CONTAINER_MAX_DIM}},
        {"a", GN2_DTYPE_U8, 2, {GN2_CONTAINER_MAX_DIM, 17}},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_status(GN2_ERR_INVALID_ARG, gn2_container_add_tensor(w, &wrong[i], ""));
    add_u8(b, "t", "1");
    const gn2_tensor_info twice = {"t", GN2_DTYPE_U8, 1, {1}};
    assert_status(GN2_ERR_INVALID_ARG, gn2_container_add_tensor(w, &twice, "1"));
    assert_message("'t' is there already");
    finish(b);
    assert_ok(open_status(b));
}

static void foreign_files_are_told_apart(void **state)
{
    built *b = *state;
    gn2_container *c;
    static const char hdf5[] = "\x89HDF\r\n\x1a\n and so on, long enough for a prefix";
    assert_status(GN2_ERR_FORMAT, gn2_container_open(hdf5, sizeof hdf5, "j.h5", &c));
    assert_message("j.h5: not a .gn2 file");
    assert_status(GN2_ERR_FORMAT, gn2_container_open("", 0, "none", &c));
    assert_message("not a .gn2 file");
    finish(b);
    assert_status(GN2_ERR_FORMAT, gn2_container_open(b->data, 20, "cut", &c));
    assert_message("cut off in the prefix");
    assert_status(GN2_ERR_FORMAT, gn2_container_open(b->data, b->size - 1, "cut", &c));
    assert_message("cut off");
}

static void newer_files_ask_for_a_newer_library(void **state)
{
    built *b = *state;
    finish(b);
    gn2_set_u32(b->data + GN2_AT_VERSION, GN2_CONTAINER_VERSION + 1);
    assert_status(GN2_ERR_VERSION, open_status(b));
    assert_message("newer libgn2");
    gn2_set_u32(b->data + GN2_AT_VERSION, GN2_CONTAINER_VERSION);
    char *number = strstr((char *)b->data + GN2_PREFIX_SIZE, "= 1\n");
    assert_non_null(number);
    number[2] = '2';
    seal(b);
    assert_status(GN2_ERR_VERSION, open_status(b));
    assert_message("revision 2");
    number[2] = 'x';
    seal(b);
    assert_status(GN2_ERR_FORMAT, open_status(b));
    number[2] = '1';
    seal(b);
    assert_ok(open_status(b));
}

static int knows_one(const char *key)
{
    return strcmp(key, "one") == 0;
}

static int knows_both(const char *key)
{
    return knows_one(key) || strcmp(key, "two") == 0;
}

static void vital_keys_must_be_known(void **state)
{
    built *b = *state;
    assert_ok(gn2_container_add_vital(b->writer, "one", "1"));
    assert_ok(gn2_container_add_header(b->writer, "other", "x"));
    assert_ok(gn2_container_add_vital(b->writer, "two", "2"));
    finish(b);
    gn2_container *c;
    assert_ok(gn2_container_open(b->data, b->size, "x.gn2", &c));
    assert_string_equal(gn2_container_header(c, "reader.must_know"), "one,two");
    assert_ok(gn2_container_check_vital(c, knows_both));
    assert_status(GN2_ERR_VERSION, gn2_container_check_vital(c, knows_one));
    assert_message("'two'");
    gn2_container_close(c);
}

static void the_other_byte_order_is_refused(void **state)
{
    built *b = *state;
    finish(b);
    gn2_set_u32(b->data + GN2_AT_ENDIAN, 0x04030201u);
    seal(b);
    assert_status(GN2_ERR_FORMAT, open_status(b));
    assert_message("byte order");
}

/* Claims far beyond the file: refused before anything is allocated for them. */
static void huge_claims_are_refused(void **state)
{
    built *b = *state;
    add_u8(b, "t", "abcdefgh");
    finish(b);
    const size_t record = GN2_PREFIX_SIZE + gn2_get_u32(b->data + GN2_AT_HEADER_SIZE);
    gn2_set_u32(b->data + GN2_AT_TENSORS, 60000);
    seal(b);
    assert_status(GN2_ERR_FORMAT, open_status(b));
    assert_message("60000 tensors");
    gn2_set_u32(b->data + GN2_AT_TENSORS, 1);
    gn2_set_u32(b->data + GN2_AT_HEADER_SIZE, UINT32_MAX);
    seal(b);
    assert_status(GN2_ERR_FORMAT, open_status(b));
    assert_message("header of 4294967295 bytes");
    gn2_set_u32(b->data + GN2_AT_HEADER_SIZE, (uint32_t)(record - GN2_PREFIX_SIZE));
    seal(b);
    assert_ok(open_status(b));
    /* a tensor of 2^32 bytes out of a dozen */
    unsigned char *p = b->data + record;
    const size_t head = GN2_RECORD_FIXED + 8 + 2;
    gn2_set_u64(p + GN2_RECORD_FIXED, GN2_CONTAINER_MAX_DIM);
    gn2_set_u64(p + GN2_RECORD_RAW, GN2_CONTAINER_MAX_DIM);
    gn2_set_u32(p + head, gn2_crc32(p, head));
    assert_status(GN2_ERR_FORMAT, open_status(b));
    assert_message("cannot expand");
    gn2_set_u64(p + GN2_RECORD_FIXED, 8);
    gn2_set_u64(p + GN2_RECORD_RAW, 8);
    gn2_set_u64(p + GN2_RECORD_STORED, UINT64_MAX);
    gn2_set_u32(p + head, gn2_crc32(p, head));
    assert_status(GN2_ERR_FORMAT, open_status(b));
    assert_message("cut off");
}

/* Two records of one name, as only a forger would write them. */
static void names_that_come_twice_are_refused(void **state)
{
    built *b = *state;
    add_u8(b, "t", "same");
    add_u8(b, "u", "same");
    finish(b);
    const size_t record = GN2_PREFIX_SIZE + gn2_get_u32(b->data + GN2_AT_HEADER_SIZE);
    unsigned char *second = b->data + record + (b->size - record) / 2;
    const size_t name = GN2_RECORD_FIXED + 8;
    assert_int_equal(second[name], 'u');
    second[name] = 't';
    gn2_set_u32(second + name + 2, gn2_crc32(second, name + 2));
    assert_status(GN2_ERR_FORMAT, open_status(b));
    assert_message("tensor 't' is there twice");
}

/* Stored bytes that inflate to more, to less, or end early: checked under right
 * CRCs, so that the inflation itself is what refuses. */
static void inflation_is_bounded(void **state)
{
    built *b = *state;
    add_u8(b, "t", "abcdefgh");
    finish(b);
    const size_t record = GN2_PREFIX_SIZE + gn2_get_u32(b->data + GN2_AT_HEADER_SIZE);
    unsigned char *p = b->data + record;
    const size_t head = GN2_RECORD_FIXED + 8 + 2;
    for (uint64_t claim = 0; claim <= 16; claim++) {
        unsigned char out[16];
        gn2_container *c;
        gn2_set_u64(p + GN2_RECORD_FIXED, claim);
        gn2_set_u64(p + GN2_RECORD_RAW, claim);
        gn2_set_u32(p + head, gn2_crc32(p, head));
        assert_ok(gn2_container_open(b->data, b->size, "x.gn2", &c));
        const gn2_status status = gn2_container_read(c, 0, out, claim);
        assert_int_equal(status, claim == 8 ? GN2_OK : GN2_ERR_FORMAT);
        if (claim != 8) assert_message("does not inflate to its size");
        gn2_container_close(c);
    }
}

static void damaged_elements_are_found(void **state)
{
    built *b = *state;
    add_u8(b, "t", "abcdefgh");
    finish(b);
    b->data[b->size - 1] ^= 1;
    gn2_container *c;
    unsigned char out[8];
    assert_ok(gn2_container_open(b->data, b->size, "x.gn2", &c));
    assert_status(GN2_ERR_FORMAT, gn2_container_read(c, 0, out, 8));
    assert_message("tensor 't'");
    assert_message("wrong CRC");
    gn2_container_close(c);
}

static void files_are_saved_and_opened(void **state)
{
    built *b = *state;
    char path[] = "/tmp/gn2-container-XXXXXX";
    close(mkstemp(path));
    add_u8(b, "t", "abcdefgh");
    assert_ok(gn2_container_save(b->writer, path));
    gn2_container *c;
    char out[8];
    assert_ok(gn2_container_open_file(path, &c));
    assert_ok(gn2_container_read(c, 0, out, 8));
    assert_memory_equal(out, "abcdefgh", 8);
    size_t index;
    assert_status(GN2_ERR_NOT_FOUND, gn2_container_find(c, "u", &index));
    assert_message("'u'");
    gn2_container_close(c);
    unlink(path);
    assert_status(GN2_ERR_NOT_FOUND, gn2_container_open_file(path, &c));
    assert_null(c);
}

/* Time of so many names of a header and of tensors, written and read. */
static double time_of_names(void **state, int names)
{
    built *b = *state;
    char name[32];
    const clock_t start = clock();
    for (int i = names; i > 0; i--) {
        snprintf(name, sizeof name, "a.%d", i);
        assert_ok(gn2_container_add_header(b->writer, name, "b"));
    }
    for (int i = 0; i < names; i++) {
        snprintf(name, sizeof name, "tensor.with.a.number.%d", i);
        add_u8(b, name, "t");
    }
    assert_status(GN2_ERR_INVALID_ARG,
                  gn2_container_add_header(b->writer, "a.77", "c"));
    finish(b);
    gn2_container *c;
    assert_ok(gn2_container_open(b->data, b->size, "x.gn2", &c));
    assert_int_equal(gn2_container_header_count(c), names + 2);
    assert_string_equal(gn2_container_header(c, "a.77"), "b");
    gn2_container_close(c);
    return (double)(clock() - start) / CLOCKS_PER_SEC;
}

/* Names are found by halving, by the writer and the reader: eight times as many take
 * about eight times as long; looking through all that are there would take 64 times. */
static void many_names_cost_no_more_each(void **state)
{
    const double few = time_of_names(state, 5000);
    clean(state);
    make(state);
    const double many = time_of_names(state, 40000);
    assert_true(many < 24 * few + 0.1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, clean)
    const struct CMUnitTest tests[] = {
        TEST(tensors_of_all_types_come_back),
        TEST(header_comes_back_in_order),
        TEST(an_empty_container_is_one),
        TEST(equal_content_gives_equal_bytes),
        TEST(the_writer_refuses_what_a_reader_would),
        TEST(foreign_files_are_told_apart),
        TEST(newer_files_ask_for_a_newer_library),
        TEST(vital_keys_must_be_known),
        TEST(the_other_byte_order_is_refused),
        TEST(huge_claims_are_refused),
        TEST(names_that_come_twice_are_refused),
        TEST(inflation_is_bounded),
        TEST(damaged_elements_are_found),
        TEST(files_are_saved_and_opened),
        TEST(many_names_cost_no_more_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

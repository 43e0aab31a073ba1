/* SPDX-License-Identifier: Apache-2.0 */
#include "data_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/field.h"
#include "util/alloc.h"

void case_must(gn2_status status, const char *what, const char *file, int line)
{
    if (status == GN2_OK) return;
    print_error("%s:%d: %s: status %d, %s\n", file, line, what, status,
                gn2_error_text());
    fail();
}

void case_fails(gn2_status found, gn2_status wanted, const char *const *words)
{
    const char *text = gn2_error_text();
    assert_int_equal(found, wanted);
    for (; *words; words++) {
        if (strstr(text, *words)) continue;
        print_error("'%s' is not in the message '%s'\n", *words, text);
        fail();
    }
}

static const char *join(const char *folder, const char *name)
{
    static char path[64][1024];
    static int next;
    char *out = path[next++ % 64];
    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

const char *case_sample(const char *name)
{
    return join(getenv("GN2_SAMPLE"), name);
}

const char *case_shared(const char *name)
{
    return join(getenv("GN2_SHARED"), name);
}

int case_has_shared(void)
{
    const char *shared = getenv("GN2_SHARED");
    return shared && access(join(shared, "data/jets_test.h5"), R_OK) == 0;
}

static char folder[64];

const char *case_file(const char *name)
{
    if (!folder[0]) {
        strcpy(folder, "gn2-data-XXXXXX");
        assert_non_null(mkdtemp(folder));
    }
    return join(folder, name);
}

int case_clean(void **state)
{
    char command[160];
    (void)state;
    if (!folder[0]) return 0;
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    assert_int_equal(system(command), 0);
    folder[0] = 0;
    return 0;
}

void case_write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

gn2_config *case_config(const char *const *pairs)
{
    gn2_config *config = NULL;
    MUST(gn2_config_new(&config));
    for (; *pairs; pairs += 2) MUST(gn2_config_put_text(config, pairs[0], pairs[1]));
    return config;
}

gn2_dataset *case_open(const char *path, const gn2_config *config)
{
    gn2_dataset *data = NULL;
    MUST(gn2_dataset_open_impl(&path, 1, config, &data));
    return data;
}

/* ---- files ---- */

case_jets case_jets_make(int64_t rows, int64_t slots)
{
    const size_t n = (size_t)rows, m = (size_t)(rows * slots);
    case_jets j = {.rows = rows, .slots = slots, .real_size = 4, .label_size = 4};
    j.label = "flavour_label";
    j.pt = gn2_alloc(n, sizeof *j.pt);
    j.flavour = gn2_alloc(n, sizeof *j.flavour);
    j.d0 = gn2_alloc(m, sizeof *j.d0);
    j.valid = gn2_alloc(m, 1);
    j.origin = gn2_alloc(m, sizeof *j.origin);
    j.vertex = gn2_alloc(m, sizeof *j.vertex);
    for (int64_t row = 0; row < rows; row++) {
        j.pt[row] = 1000 + (double)row;
        for (int64_t slot = 0; slot < slots; slot++) {
            j.d0[row * slots + slot] = (double)row + (double)slot / 100;
            j.valid[row * slots + slot] = slot < row % (slots + 1);
        }
    }
    return j;
}

void case_jets_free(case_jets *j)
{
    gn2_free(j->pt);
    gn2_free(j->flavour);
    gn2_free(j->d0);
    gn2_free(j->valid);
    gn2_free(j->origin);
    gn2_free(j->vertex);
}

typedef struct column {
    const char *name;
    int32_t kind, size;
    const void *values; /* double, int64_t or uint8_t (bool); NULL: zeros */
} column;

static void put(char *at, const column *c, int64_t i)
{
    if (!c->values) return;
    if (c->kind == GN2_H5_BOOL) {
        *at = ((const char *)c->values)[i];
    } else if (c->kind == GN2_H5_INT) {
        const int64_t value = ((const int64_t *)c->values)[i];
        memcpy(at, &value, (size_t)c->size); /* little-endian machines */
    } else {
        const double real = ((const double *)c->values)[i];
        const float single = (float)real;
        const uint16_t half = gn2_float_to_half(single);
        const void *from = c->size == 8   ? (const void *)&real
                           : c->size == 4 ? (const void *)&single
                                          : (const void *)&half;
        memcpy(at, from, (size_t)c->size);
    }
}

static void write_table(gn2_h5_file *file, const case_jets *j, const char *name,
                        const column *columns, size_t count)
{
    gn2_h5_field fields[16];
    gn2_h5_layout layout = {.rank = strcmp(name, "jets") ? 2 : 1,
                            .slots = j->slots,
                            .chunk_rows = 7,
                            .fields = fields};
    gn2_h5_table *table;
    const int64_t total = layout.rank == 2 ? j->rows * j->slots : j->rows;
    size_t record = 0, offset = 0, used[16] = {0};
    for (size_t i = 0; i < count; i++) {
        if (j->without && strcmp(columns[i].name, j->without) == 0) continue;
        used[layout.field_count] = i;
        fields[layout.field_count++] = (gn2_h5_field){
            .name = columns[i].name, .kind = columns[i].kind, .size = columns[i].size};
        record += (size_t)columns[i].size;
    }
    char *records = gn2_alloc((size_t)total, record);
    for (size_t f = 0; f < layout.field_count; f++) {
        for (int64_t i = 0; i < total; i++)
            put(records + (size_t)i * record + offset, &columns[used[f]], i);
        offset += (size_t)fields[f].size;
    }
    MUST(gn2_h5_table_create(file, name, &layout, &table));
    MUST(gn2_h5_table_append(table, j->rows, records));
    if (layout.rank == 1 && j->flavours)
        MUST(gn2_h5_strings_write(file, table, "flavour_label", j->flavours,
                                  j->flavour_count));
    MUST(gn2_h5_table_close(table));
    gn2_free(records);
}

void case_jets_write(const case_jets *j, const char *path)
{
    const column jets[] = {{"pt_btagJes", GN2_H5_FLOAT, j->real_size, j->pt},
                           {"eta_btagJes", GN2_H5_FLOAT, j->real_size, j->pt},
                           {j->label, GN2_H5_INT, j->label_size, j->flavour},
                           {"eventNumber", GN2_H5_INT, 8, NULL}};
    const column tracks[] = {
        {"a", GN2_H5_FLOAT, 8, NULL},
        {"b", GN2_H5_FLOAT, 8, NULL},
        {"c", GN2_H5_FLOAT, 8, NULL},
        {"e", GN2_H5_FLOAT, 8, NULL},
        {"f", GN2_H5_FLOAT, 8, NULL},
        {"g", GN2_H5_FLOAT, 8, NULL},
        {"h", GN2_H5_FLOAT, 8, NULL},
        {"z0SinTheta", GN2_H5_FLOAT, j->real_size, j->d0},
        {"d0", GN2_H5_FLOAT, j->real_size, j->d0},
        {"ftagTruthOriginLabel", GN2_H5_INT, j->label_size, j->origin},
        {"ftagTruthVertexIndex", GN2_H5_INT, j->label_size, j->vertex},
        {"valid", GN2_H5_BOOL, 1, j->valid}};
    const size_t skip = (size_t)(7 - j->padding_columns);
    gn2_h5_file *file;
    MUST(gn2_h5_file_create(path, &file));
    write_table(file, j, "jets", jets, 4);
    write_table(file, j, "tracks", tracks + skip, 12 - skip);
    if (j->twin) write_table(file, j, j->twin, tracks + skip, 12 - skip);
    MUST(gn2_h5_file_close(file));
}

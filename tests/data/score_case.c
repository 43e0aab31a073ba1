/* SPDX-License-Identifier: Apache-2.0 */
#include "score_case.h"

#include <string.h>

#include "data/field.h"
#include "util/alloc.h"

float probabilities[JETS * 4], d_b[JETS], origin[JETS * SLOTS * ORIGINS];
int32_t vertex[JETS * SLOTS];

case_jets make_input(void)
{
    case_jets j = case_jets_make(JETS, SLOTS);
    for (int i = 0; i < JETS; i++) j.flavour[i] = i % 4;
    for (int i = 0; i < JETS * SLOTS; i++) j.valid[i] = (uint8_t)(i % 3 == 1);
    for (int i = 0; i < JETS * 4; i++) probabilities[i] = (float)i / (JETS * 4);
    for (int i = 0; i < JETS; i++) d_b[i] = (float)(-i);
    for (int i = 0; i < JETS * SLOTS * ORIGINS; i++) origin[i] = (float)i / 4096;
    for (int i = 0; i < JETS * SLOTS; i++) vertex[i] = i % 3 == 1 ? i % 5 : INT32_MIN;
    case_jets_write(&j, case_file("input.h5"));
    return j;
}

gn2_model *model_of(gn2_config *config)
{
    gn2_model *model = NULL;
    MUST(gn2_model_new(config, &model));
    gn2_config_delete(config);
    return model;
}

gn2_score score(const char *output, const void *data, int64_t rows)
{
    return (gn2_score){
        .struct_size = sizeof(gn2_score), .output = output, .data = data, .rows = rows};
}

gn2_status add(gn2_score_writer *w, int64_t count, int64_t rows, const float *p,
               const float *d, const float *o, const int32_t *v)
{
    gn2_score scores[4];
    size_t used = 0;
    if (p) scores[used++] = score("jets.probabilities", p, count);
    if (d) scores[used++] = score("jets.D_b", d, count);
    if (o) scores[used++] = score("tracks.origin", o, rows);
    if (v) scores[used++] = score("tracks.vertex", v, rows);
    return gn2_score_writer_add_impl(w, count, scores, used);
}

table open_table(const char *path, const char *name)
{
    table t = {0};
    MUST(gn2_h5_file_open(path, &t.file));
    MUST(gn2_h5_table_open(t.file, name, &t.table));
    t.info = gn2_h5_table_info(t.table);
    uint8_t wanted[64];
    memset(wanted, 1, sizeof wanted);
    MUST(gn2_h5_table_select(t.table, wanted, -1));
    t.records =
        gn2_alloc((size_t)(t.info->rows * t.info->slots), (size_t)t.info->record);
    MUST(gn2_h5_table_read(t.table, 0, t.info->rows, t.records));
    return t;
}

void close_table(table *t)
{
    gn2_free(t->records);
    MUST(gn2_h5_table_close(t->table));
    MUST(gn2_h5_file_close(t->file));
}

const gn2_h5_field *field_of(const table *t, const char *name)
{
    for (size_t i = 0; i < t->info->field_count; i++)
        if (strcmp(t->info->fields[i].name, name) == 0) return &t->info->fields[i];
    print_error("no field '%s'\n", name);
    fail();
    return NULL;
}

double value(const table *t, const char *name, int64_t slot)
{
    const gn2_h5_field *f = field_of(t, name);
    const char *at = t->records + slot * t->info->record + f->offset;
    const gn2_field_reader *reader = gn2_field_reader_of(f->kind, f->size);
    return f->kind == GN2_H5_FLOAT ? (double)reader->to_float(at)
                                   : (double)reader->to_int(at);
}

void check_fields(const table *t, const char *const *names, int32_t real_size)
{
    size_t i = 0;
    for (; names[i]; i++) {
        assert_true(i < t->info->field_count);
        assert_string_equal(t->info->fields[i].name, names[i]);
        if (t->info->fields[i].kind == GN2_H5_FLOAT)
            assert_int_equal(t->info->fields[i].size, real_size);
    }
    assert_int_equal(t->info->field_count, i);
}

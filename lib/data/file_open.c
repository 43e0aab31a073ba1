/* SPDX-License-Identifier: Apache-2.0 */
/* Finding datasets, fields and labels of a file. */
#include "data/source_file.h"

#include "config/alias.h"
#include "util/alloc.h"
#include "util/error.h"

/* Names of a table's fields beside their numbers. */
typedef struct field_list {
    gn2_data_file *file;
    const gn2_object *object;
    const gn2_h5_info *info;
    const char **names;
    uint8_t *wanted;
} field_list;

/* `who` asks for it: empty, or the option. */
static gn2_status missing(const field_list *list, const char *who, const char *name)
{
    const char *near = gn2_alias_nearest(list->names, list->info->field_count, name);
    return gn2_fail(GN2_ERR_NOT_FOUND, "%s'%s': dataset '%s' has no field '%s'%s%s%s",
                    who, list->file->path, list->object->dataset, name,
                    near ? "; did you mean '" : "", near ? near : "", near ? "'" : "");
}

static size_t index_of(const field_list *list, const char *name)
{
    return gn2_alias_find(list->names, list->info->field_count, name);
}

static gn2_status mark(field_list *list, const char *who, const char *name)
{
    const size_t i = index_of(list, name);
    if (i == list->info->field_count) return missing(list, who, name);
    list->wanted[i] = 1;
    return GN2_OK;
}

/* Called first: what is marked before a field was read by another input. */
static gn2_status mark_inputs(field_list *list)
{
    const gn2_object *object = list->object;
    for (size_t i = 0; i < object->input_count; i++) {
        const char *name = object->inputs[i];
        const size_t k = index_of(list, name);
        if (k < list->info->field_count && list->wanted[k])
            return gn2_fail(GN2_ERR_INVALID_ARG,
                            "'%s': two inputs would read field '%s' of dataset '%s', "
                            "one as '%s'",
                            list->file->path, list->names[k], object->dataset, name);
        GN2_TRY(mark(list, "", name));
    }
    return GN2_OK;
}

/* Is a label there in full, as numbers? Files to be tagged have none; some of the
 * fields of one is what nobody wanted. */
static gn2_status check_label(const field_list *list, const gn2_label_column *label,
                              int *out_there)
{
    const size_t count = list->info->field_count;
    const char *lacks = NULL;
    int32_t found = 0;
    *out_there = 0;
    for (int32_t i = 0; i < label->columns; i++) {
        const size_t at = index_of(list, label->field[i]);
        if (at == count)
            lacks = label->field[i];
        else if (list->info->fields[at].kind == GN2_H5_OTHER)
            return gn2_fail(GN2_ERR_FORMAT,
                            "'%s': dataset '%s': field '%s' is not a number of at "
                            "most 8 bytes",
                            list->file->path, list->object->dataset, label->field[i]);
        else if (list->info->fields[at].lacking)
            return gn2_fail(GN2_ERR_NOT_FOUND,
                            "'%s': dataset '%s': its source '%s' has no field '%s'",
                            list->file->path, list->object->dataset,
                            list->info->fields[at].lacking, label->field[i]);
        found += at < count;
    }
    if (found && lacks) return missing(list, "", lacks);
    *out_there = found > 0;
    return GN2_OK;
}

static void mark_label(field_list *list, const gn2_label_column *label)
{
    int there;
    gn2_trouble_note(&list->file->trouble, check_label(list, label, &there));
    for (int32_t i = 0; there && i < label->columns; i++)
        (void)mark(list, "", label->field[i]);
}

static gn2_status mark_selection(field_list *list, const gn2_selection *selection)
{
    for (size_t i = 0; i < selection->count; i++)
        GN2_TRY(mark(list, "data.selection: ", selection->term[i].field));
    return GN2_OK;
}

static gn2_column column_of(const field_list *list, const char *name)
{
    gn2_column column = {0};
    const size_t i = index_of(list, name);
    if (i == list->info->field_count) return column;
    const gn2_h5_field *field = &list->info->fields[i];
    const gn2_field_reader *reader = gn2_field_reader_of(field->kind, field->size);
    /* offset −1: not read, a label that is in trouble */
    if (reader && field->offset >= 0) column = (gn2_column){*field, *reader};
    return column;
}

static void find_label(const field_list *list, const gn2_label_column *label,
                       gn2_column *out)
{
    for (int32_t i = 0; i < label->columns; i++) {
        out[i] = column_of(list, label->field[i]);
        if (out[i].read.to_float) continue;
        out[0].read.to_float = NULL; /* not whole: not there */
        return;
    }
}

static gn2_status choose(field_list *list, const gn2_schema *schema, int32_t object,
                         gn2_data_table *table)
{
    GN2_TRY(mark_inputs(list));
    if (object > 0) GN2_TRY(mark(list, "", "valid"));
    for (int32_t k = 0; k < schema->label_count; k++)
        if (schema->label[k].object == object) mark_label(list, &schema->label[k]);
    if (object == 0) GN2_TRY(mark_selection(list, &schema->selection));
    const int64_t only = object > 0 ? (int64_t)index_of(list, "valid") : -1;
    GN2_TRY(gn2_h5_table_select(table->table, list->wanted, only));
    for (size_t i = 0; i < table->input_count; i++) {
        table->input[i] = column_of(list, list->object->inputs[i]);
        table->wide |= gn2_field_is_double(&table->input[i].read);
    }
    for (size_t i = 0; object == 0 && i < schema->selection.count; i++)
        list->file->compared[i] = column_of(list, schema->selection.term[i].field);
    if (object > 0) table->valid = column_of(list, "valid");
    for (int32_t k = 0; k < schema->label_count; k++)
        if (schema->label[k].object == object)
            find_label(list, &schema->label[k], list->file->label[k].column);
    return GN2_OK;
}

static gn2_status check_shape(const gn2_data_file *file, const gn2_object *object,
                              int32_t number, const gn2_h5_info *info)
{
    const int32_t rank = number == 0 ? 1 : 2;
    if (info->rank != rank)
        return gn2_fail(GN2_ERR_FORMAT,
                        "'%s': dataset '%s' has %d dimension(s), %d needed", file->path,
                        object->dataset, info->rank, rank);
    if (number > 0 && info->rows != file->jets.rows)
        return gn2_fail(GN2_ERR_FORMAT,
                        "'%s': dataset '%s' has %lld rows, the jets have %lld",
                        file->path, object->dataset, (long long)info->rows,
                        (long long)file->jets.rows);
    return GN2_OK;
}

static gn2_status list_fields(const gn2_h5_info *info, field_list *list)
{
    list->info = info;
    list->names = gn2_alloc(info->field_count, sizeof *list->names);
    list->wanted = gn2_alloc(info->field_count, 1);
    if (!list->names || !list->wanted) return gn2_fail_memory();
    for (size_t i = 0; i < info->field_count; i++)
        list->names[i] = info->fields[i].name;
    return GN2_OK;
}

static gn2_status open_table(gn2_data_file *file, const gn2_schema *schema,
                             int32_t number)
{
    gn2_data_table *table = &file->table[number];
    const gn2_object *object = &schema->object[number];
    GN2_TRY(gn2_h5_table_open(file->file, object->dataset, &table->table));
    table->info = gn2_h5_table_info(table->table);
    if (number == 0) file->jets.rows = file->jets.count = table->info->rows;
    GN2_TRY(check_shape(file, object, number, table->info));
    table->input_count = object->input_count;
    table->input = gn2_alloc(object->input_count, sizeof *table->input);
    if (!table->input) return gn2_fail_memory();
    field_list list = {.file = file, .object = object};
    gn2_status status = list_fields(table->info, &list);
    if (status == GN2_OK) status = choose(&list, schema, number, table);
    gn2_free(list.names);
    gn2_free(list.wanted);
    return status;
}

/* ---- what the values of jet classes stand for ---- */

typedef struct name_reader {
    const gn2_schema *schema;
    const gn2_label_column *label;
    gn2_label_map *map;
    size_t count;
} name_reader;

static void take_name(void *context, size_t index, const char *text)
{
    name_reader *reader = context;
    reader->count = index + 1;
    if (index < GN2_LABEL_MAP_MAX)
        gn2_label_map_add(reader->map, reader->schema, reader->label, (int64_t)index,
                          text);
}

/* The attribute of the label's name lists the classes in the order of the values. */
static gn2_status read_names(gn2_data_file *file, const gn2_schema *schema, int32_t k)
{
    const gn2_label_column *label = &schema->label[k];
    gn2_label_map names = {0};
    name_reader reader = {schema, label, &names, 0};
    const gn2_status status =
        gn2_h5_strings_read(file->table[0].table, label->field[0], take_name, &reader);
    if (status == GN2_ERR_NOT_FOUND) return GN2_OK;
    GN2_TRY(status);
    if (reader.count == 0 || reader.count > GN2_LABEL_MAP_MAX)
        return gn2_fail(GN2_ERR_FORMAT,
                        "'%s': attribute '%s' lists %zu classes, 1 to %d are possible",
                        file->path, label->field[0], reader.count, GN2_LABEL_MAP_MAX);
    file->label[k].map = names;
    file->label[k].named = 1;
    return GN2_OK;
}

static void read_maps(gn2_data_file *file, const gn2_schema *schema)
{
    for (int32_t k = 0; k < schema->label_count; k++) {
        const gn2_label_column *label = &schema->label[k];
        if (label->object || !label->columns || !label->classes_key[0]) continue;
        gn2_label_map_default(schema, label, &file->label[k].map);
        if (file->label[k].column[0].read.to_int)
            gn2_trouble_note(&file->trouble, read_names(file, schema, k));
    }
}

gn2_status gn2_data_file_open(const char *path, const gn2_schema *schema,
                              gn2_data_file *out_file)
{
    gn2_data_file *file = out_file;
    file->path = gn2_strdup(path);
    file->label = gn2_alloc((size_t)schema->label_count, sizeof *file->label);
    if (!file->path || !file->label) return gn2_fail_memory();
    GN2_TRY(gn2_h5_file_open(path, &file->file));
    for (int32_t i = 0; i < schema->object_count; i++)
        GN2_TRY(open_table(file, schema, i));
    read_maps(file, schema);
    return GN2_OK;
}

void gn2_data_file_close(gn2_data_file *file)
{
    for (int32_t i = 0; i <= GN2_MAX_PARTS; i++) {
        gn2_free(file->table[i].input);
        (void)gn2_h5_table_close(file->table[i].table);
    }
    (void)gn2_h5_file_close(file->file);
    gn2_row_set_free(&file->jets);
    gn2_free(file->label);
    gn2_free(file->path);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Which jets of a file data.selection chooses: one pass over its jets, at the opening.
 */
#include "data/source_file.h"

#include <math.h>
#include <string.h>

#include "util/error.h"

/* What is found of a term, or of all of them. */
typedef enum answer { NO, YES, IS_NAN } answer;

static answer ask_real(const gn2_selection_term *term, const gn2_column *column,
                       const char *at)
{
    const double value = gn2_field_real(&column->read, at);
    if (isnan(value)) return IS_NAN;
    return gn2_selection_real(term, value, column->field.stored) ? YES : NO;
}

static answer ask(const gn2_selection_term *term, const gn2_column *column,
                  const char *at)
{
    uint64_t magnitude;
    if (column->field.kind == GN2_H5_FLOAT) return ask_real(term, column, at);
    if (column->field.kind == GN2_H5_UINT && column->field.size == sizeof magnitude) {
        memcpy(&magnitude, at, sizeof magnitude);
        return gn2_selection_whole(term, 0, magnitude) ? YES : NO;
    }
    const int64_t value = column->read.to_int(at);
    magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    return gn2_selection_whole(term, value < 0, magnitude) ? YES : NO;
}

/* NaN in any field is no answer to the whole, whatever the others say. */
static answer ask_all(const gn2_selection *selection, const gn2_column *columns,
                      const char *record)
{
    int any = 0, all = 0;
    for (size_t i = 0; i < selection->count; i++) {
        const gn2_selection_term *term = &selection->term[i];
        const answer found = ask(term, &columns[i], record + columns[i].field.offset);
        if (found == IS_NAN) return IS_NAN;
        if (term->begins) {
            any |= all;
            all = 1;
        }
        all &= found == YES;
    }
    return any | all ? YES : NO;
}

static gn2_status choose(gn2_slabs *slabs, const gn2_choosing *choosing,
                         gn2_row_set *set, int64_t *nan)
{
    const gn2_selection *selection = &choosing->schema->selection;
    for (;;) {
        GN2_TRY(gn2_opening_tell(choosing->watch));
        GN2_TRY(gn2_slabs_next(slabs));
        if (slabs->count == 0) return GN2_OK;
        const char *record = slabs->buffer->data;
        for (int64_t row = slabs->first; row < slabs->next; row++) {
            const answer found = ask_all(selection, slabs->file->compared, record);
            if (found == YES) gn2_row_set_put(set, row);
            *nan += found == IS_NAN;
            record += slabs->table->info->record;
        }
        choosing->watch->seen.jets += slabs->count;
    }
}

gn2_status gn2_data_file_choose(gn2_data_file *file, const gn2_choosing *choosing,
                                int64_t *nan)
{
    gn2_read_buffer *buffer = choosing->buffer;
    gn2_row_set set = {0};
    gn2_slabs slabs = {.file = file, .buffer = buffer, .end = file->jets.rows};
    slabs.table = &file->table[0];
    gn2_status status = gn2_row_set_init(&set, file->jets.rows, buffer->memory);
    if (status == GN2_OK) status = choose(&slabs, choosing, &set, nan);
    if (status == GN2_OK)
        gn2_row_set_count(&set);
    else
        gn2_row_set_free(&set);
    file->jets = set;
    return status;
}

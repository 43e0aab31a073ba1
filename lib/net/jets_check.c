/* SPDX-License-Identifier: Apache-2.0 */
#include "net/jets_check.h"

#include <string.h>

#include "util/error.h"

/* More rows than this cannot be a real call, and sums of them stay far from 2^63. */
#define ROWS_MAX ((int64_t)1 << 40)

static gn2_status check_rows(const char *name, const float *data, int64_t stride,
                             int64_t columns, int64_t rows)
{
    int64_t floats;
    if (stride != 0 && stride < columns)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "%s: row_stride %lld is less than its %lld columns", name,
                        (long long)stride, (long long)columns);
    if (__builtin_mul_overflow(stride ? stride : columns, rows, &floats) ||
        floats > PTRDIFF_MAX / (int64_t)sizeof(float))
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "%s: %lld rows with row_stride %lld exceed any memory", name,
                        (long long)rows, (long long)stride);
    if (rows > 0 && columns > 0 && !data)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s: %s is NULL", name,
                        strcmp(name, "jets") == 0 ? "features" : "data");
    return GN2_OK;
}

static gn2_status check_offsets(const gn2_sequence *s, const char *name, int64_t jets)
{
    if (s->valid || s->slots)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "%s: offsets (ragged) exclude valid and slots (padded)", name);
    if (s->offsets[0] != 0)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s: offsets[0] = %lld, must be 0", name,
                        (long long)s->offsets[0]);
    for (int64_t b = 0; b < jets; b++)
        if (s->offsets[b + 1] < s->offsets[b] || s->offsets[b + 1] > ROWS_MAX)
            return gn2_fail(GN2_ERR_INVALID_ARG, "%s: offsets[%lld] = %lld after %lld",
                            name, (long long)b + 1, (long long)s->offsets[b + 1],
                            (long long)s->offsets[b]);
    return GN2_OK;
}

static gn2_status check_slots(const gn2_sequence *s, const char *name, int64_t jets)
{
    int64_t rows;
    if (s->slots >= 0 && !__builtin_mul_overflow(jets, s->slots, &rows) &&
        rows <= ROWS_MAX && s->slots <= INT32_MAX)
        return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "%s: slots = %lld for %lld jets", name,
                    (long long)s->slots, (long long)jets);
}

gn2_status gn2_jets_check(const gn2_jets *jets, const gn2_jets_form *form)
{
    if (jets->count < 0 || jets->count > ROWS_MAX)
        return gn2_fail(GN2_ERR_INVALID_ARG, "jets: count = %lld",
                        (long long)jets->count);
    GN2_TRY(check_rows(form->name[0], jets->features, jets->row_stride,
                       form->columns[0], jets->count));
    if ((int64_t)jets->sequence_count != form->sequence_count)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "jets: %u constituent types, model.constituents has %d",
                        jets->sequence_count, form->sequence_count);
    if (form->sequence_count && !jets->sequences)
        return gn2_fail(GN2_ERR_INVALID_ARG, "jets: sequences is NULL");
    for (int i = 0; i < form->sequence_count; i++) {
        const gn2_sequence *s = &jets->sequences[i];
        const char *name = form->name[i + 1];
        GN2_TRY((s->offsets ? check_offsets : check_slots)(s, name, jets->count));
        GN2_TRY(check_rows(name, s->data, s->row_stride, form->columns[i + 1],
                           gn2_sequence_rows(jets, i)));
    }
    return GN2_OK;
}

int64_t gn2_sequence_rows(const gn2_jets *jets, int sequence)
{
    const gn2_sequence *s = &jets->sequences[sequence];
    return s->offsets ? s->offsets[jets->count] : jets->count * s->slots;
}

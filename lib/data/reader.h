/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that makes batches ahead of their use, into a ring of fixed length. It
 * lives from one start to the next stop and owns the sampler meanwhile.
 */
#ifndef GN2_DATA_READER_H
#define GN2_DATA_READER_H

#include "data/sampler.h"

typedef struct gn2_reader gn2_reader;

/* `ahead` ≥ 1 batches are kept ready beside the one in use. *out_reader is to be freed
 * whatever comes. */
gn2_status gn2_reader_create(gn2_sampler *sampler, const gn2_rows_shape *shape,
                             int64_t ahead, _Atomic int64_t *memory,
                             gn2_reader **out_reader);
/* Stops and frees; NULL is allowed. */
void gn2_reader_free(gn2_reader *reader);

/* Starts making batches of an epoch from `batch` on. */
gn2_status gn2_reader_start(gn2_reader *reader, int64_t epoch, int64_t batch);
/* Waits for the thread to end; does nothing if it is not running. */
void gn2_reader_stop(gn2_reader *reader);
/* Whether it was started and not stopped; not in a child of the process it was started
 * in, which may start another. */
int gn2_reader_running(gn2_reader *reader);

/* Next batch, borrowed until the next call; gives back the one before. A failure
 * of the thread comes with its message, again at every call until a start. */
gn2_status gn2_reader_take(gn2_reader *reader, const gn2_rows **out_rows);

#endif

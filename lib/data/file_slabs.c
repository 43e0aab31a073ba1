/* SPDX-License-Identifier: Apache-2.0 */
/* Slabs of whole chunks, read one after another. */
#include "data/fork.h"
#include "data/source_file.h"
#include "util/alloc.h"

/* Shares of a slab: the threads wait for the last of them, which matters less the more
 * there are. */
#define SHARES_A_THREAD 4
/* Bytes read at once: small enough to stay in cache between unpacking and
 * decoding, large enough to make the cost of a call vanish. */
#define SLAB_BYTES ((int64_t)4 << 20)
/* Most bytes of a slab that is larger because its chunks are, or for more threads. */
#define SLAB_MOST ((int64_t)64 << 20)

static gn2_status make(gn2_read_buffer *buffer, int32_t threads)
{
    buffer->share_count = threads > 1 ? SHARES_A_THREAD * threads : 1;
    buffer->shares = gn2_alloc((size_t)buffer->share_count, sizeof *buffer->shares);
    if (!buffer->shares) return gn2_fail_memory();
    atomic_fetch_add(buffer->memory,
                     buffer->share_count * (int64_t)sizeof *buffer->shares);
    if (threads < 2) return GN2_OK;
    GN2_TRY(gn2_pool_create(threads, &buffer->pool));
    return gn2_h5_crew_new(buffer->pool, &buffer->crew);
}

gn2_status gn2_read_buffer_make(gn2_read_buffer *buffer, int32_t threads,
                                _Atomic int64_t *memory)
{
    *buffer = (gn2_read_buffer){.memory = memory};
    const gn2_status status = make(buffer, threads);
    if (status != GN2_OK) gn2_read_buffer_free(buffer);
    return status;
}

void gn2_read_buffer_free(gn2_read_buffer *buffer)
{
    int64_t held = (int64_t)buffer->size;
    if (buffer->shares) held += buffer->share_count * (int64_t)sizeof *buffer->shares;
    if (buffer->memory) atomic_fetch_sub(buffer->memory, held);
    gn2_h5_crew_free(buffer->crew);
    gn2_pool_free(buffer->pool);
    gn2_free(buffer->shares);
    gn2_free(buffer->data);
    *buffer = (gn2_read_buffer){.memory = NULL};
}

static gn2_status reserve_buffer(gn2_read_buffer *buffer, const gn2_h5_info *info,
                                 int64_t rows)
{
    size_t size;
    if (!gn2_mul_size((size_t)(info->record * info->slots), (size_t)rows, &size))
        return gn2_fail_memory();
    if (size <= buffer->size) return GN2_OK;
    gn2_free(buffer->data);
    atomic_fetch_sub(buffer->memory, (int64_t)buffer->size);
    buffer->size = 0;
    buffer->data = gn2_alloc(size, 1);
    if (!buffer->data) return gn2_fail_memory();
    buffer->size = size;
    atomic_fetch_add(buffer->memory, (int64_t)size);
    return GN2_OK;
}

static int64_t row_bytes(const gn2_h5_info *info)
{
    return info->record * (info->slots ? info->slots : 1);
}

/* Rows of a read: a whole number of chunks near the wanted size; larger chunks are read
 * in parts. */
static int64_t slab_rows(const gn2_h5_info *info)
{
    const int64_t row = row_bytes(info), chunk = info->chunk_rows;
    const int64_t fit = SLAB_BYTES / row > 0 ? SLAB_BYTES / row : 1;
    if (chunk == 0 || chunk > SLAB_MOST / row) return fit;
    return fit < chunk ? chunk : fit / chunk * chunk;
}

/* Rows of a slab that a crew unpacks: more, that all have something of it. Which jets
 * are read for a selection does not depend on that. */
static int64_t crew_rows(const gn2_slabs *s)
{
    const gn2_h5_info *info = s->table->info;
    const int64_t rows = slab_rows(info);
    const int64_t threads = gn2_pool_workers(s->buffer->pool);
    if (threads == 1 || !info->unpacked || s->file->jets.bits) return rows;
    const int64_t most = SLAB_MOST / (row_bytes(info) * rows);
    const int64_t times = threads < most ? threads : most;
    return rows * (times > 1 ? times : 1);
}

/* Rows of a read from `first` on: up to the end of a chunk. */
static int64_t slab_length(const gn2_slabs *s, int64_t rows)
{
    const int64_t chunk = s->table->info->chunk_rows ? s->table->info->chunk_rows : 1;
    const int64_t left = s->end - s->first;
    if (rows > chunk) rows -= s->first % chunk;
    return rows < left ? rows : left;
}

/* Is there a jet to be read among these rows? */
static int is_wanted(const gn2_data_file *file, int64_t first, int64_t count)
{
    return gn2_row_set_before(&file->jets, first) <
           gn2_row_set_before(&file->jets, first + count);
}

static gn2_status read_slab(gn2_slabs *s, int64_t rows)
{
    s->count = slab_length(s, rows);
    s->next = s->first + s->count;
    const gn2_h5_read read = {s->first, s->count, s->buffer->crew};
    GN2_TRY(reserve_buffer(s->buffer, s->table->info, s->count));
    return gn2_h5_table_read_by(s->table->table, &read, s->buffer->data);
}

gn2_status gn2_slabs_next(gn2_slabs *s)
{
    const int64_t rows = crew_rows(s);
    do {
        s->first = s->next;
        s->count = slab_length(s, rows);
        s->next += s->count;
    } while (s->count && !is_wanted(s->file, s->first, s->count));
    if (s->count == 0) return GN2_OK;
    gn2_fork_pause();
    const gn2_status status = read_slab(s, rows);
    const int64_t alone = slab_rows(s->table->info);
    if (status == GN2_OK || rows == alone) return status;
    /* what is wrong with rows before is to be found first, as by one thread */
    return read_slab(s, alone);
}

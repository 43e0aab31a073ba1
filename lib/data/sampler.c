/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mode `jets`: the jets are cut into blocks, the blocks permuted, and each
 * `blocks_mixed` of them in turn form a group, which is read whole and shuffled.
 * An epoch is the groups one after another; batches may straddle two of them.
 */
#include "data/sampler.h"

#include "util/alloc.h"
#include "util/error.h"
#include "util/rng.h"

/* Streams of random numbers under the key of an epoch. */
enum { STREAM_ORDER = 1, STREAM_GROUP = 2 };

typedef enum sampling {
    JETS,      /* blocks in random order, jets shuffled among a few */
    BATCHES,   /* salt's: contiguous full batches in random order */
    SEQUENTIAL /* file order */
} sampling;

/* Blocks mixed together; `first` is its first jet's position in the epoch. */
typedef struct group {
    int64_t number, first, count;
} group;

struct gn2_sampler {
    gn2_source *source;
    sampling mode;
    int64_t jets, batch_size, batches;
    int64_t block, mixed, blocks, groups;
    uint64_t seed;
    int64_t epoch;  /* that `order` belongs to; −1: none */
    int64_t *order; /* permutation of the blocks, or of the batches */
    group now;
    int64_t loaded_epoch, loaded_group; /* what `pool` holds; −1: nothing */
    gn2_rows pool;
    int64_t *shuffle; /* order of the pool's jets */
    int64_t shuffle_capacity;
};

static int64_t divide_up(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void read_options(gn2_sampler *s, const gn2_config *config)
{
    if (gn2_config_says(config, "data.sampling", "batches")) s->mode = BATCHES;
    if (gn2_config_says(config, "data.sampling", "sequential")) s->mode = SEQUENTIAL;
    s->batch_size = gn2_config_i64(config, "data.batch_size");
    s->block = gn2_config_i64(config, "data.block_size");
    s->mixed = gn2_config_i64(config, "data.blocks_mixed");
    s->seed = (uint64_t)gn2_config_i64(config, "data.seed");
}

/* Behind a number of jets in a message. */
static const char *chosen_by(const gn2_sampler *s)
{
    return s->source->schema->selection.count ? " that data.selection chooses" : "";
}

static gn2_status count_jets(gn2_sampler *s, const gn2_config *config)
{
    const int64_t wanted = gn2_config_i64(config, "data.max_jets");
    if (wanted > s->source->count)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "data.max_jets is %lld, the data has %lld jets%s",
                        (long long)wanted, (long long)s->source->count, chosen_by(s));
    s->jets = wanted < 0 ? s->source->count : wanted;
    s->batches = s->mode == SEQUENTIAL ? divide_up(s->jets, s->batch_size)
                                       : s->jets / s->batch_size;
    s->blocks = divide_up(s->jets, s->block);
    s->groups = divide_up(s->blocks, s->mixed);
    if (s->batches == 0 && s->mode != SEQUENTIAL)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "data.batch_size is %lld, but there are only %lld jets%s",
                        (long long)s->batch_size, (long long)s->jets, chosen_by(s));
    return GN2_OK;
}

static int64_t order_length(const gn2_sampler *s)
{
    return s->mode == JETS ? s->blocks : s->batches;
}

gn2_status gn2_sampler_create(gn2_source *source, const gn2_config *config,
                              gn2_sampler **out_sampler)
{
    gn2_sampler *s = gn2_alloc(1, sizeof *s);
    *out_sampler = s;
    if (!s) return gn2_fail_memory();
    s->source = source;
    read_options(s, config);
    GN2_TRY(count_jets(s, config));
    s->epoch = s->loaded_epoch = s->loaded_group = -1;
    s->order = gn2_alloc((size_t)order_length(s), sizeof *s->order);
    if (!s->order) return gn2_fail_memory();
    atomic_fetch_add(source->memory, order_length(s) * (int64_t)sizeof *s->order);
    return gn2_rows_init(&s->pool, &source->shape, source->memory);
}

void gn2_sampler_free(gn2_sampler *s)
{
    if (!s) return;
    gn2_rows_free(&s->pool);
    gn2_free(s->order);
    gn2_free(s->shuffle);
    gn2_free(s);
}

int64_t gn2_sampler_jet_count(const gn2_sampler *s)
{
    return s->jets;
}

int64_t gn2_sampler_batch_size(const gn2_sampler *s)
{
    return s->batch_size;
}

int64_t gn2_sampler_batch_count(const gn2_sampler *s)
{
    return s->batches;
}

/* ---- groups ---- */

static uint64_t epoch_key(const gn2_sampler *s, int64_t epoch)
{
    return gn2_rng_key(s->seed, (uint64_t)epoch);
}

static int64_t block_length(const gn2_sampler *s, int64_t block)
{
    return least(s->block, s->jets - block * s->block);
}

static group group_at(const gn2_sampler *s, int64_t number, int64_t first)
{
    group g = {number, first, 0};
    const int64_t end = least((number + 1) * s->mixed, s->blocks);
    for (int64_t i = number * s->mixed; i < end; i++)
        g.count += block_length(s, s->order[i]);
    return g;
}

/* Rising order within a group: files are read forwards, and a group of all blocks
 * has the same content in every epoch. */
static void sort_blocks(int64_t *blocks, int64_t count)
{
    for (int64_t i = 1; i < count; i++) {
        const int64_t block = blocks[i];
        int64_t j = i;
        for (; j > 0 && blocks[j - 1] > block; j--) blocks[j] = blocks[j - 1];
        blocks[j] = block;
    }
}

static void start_epoch(gn2_sampler *s, int64_t epoch)
{
    if (s->epoch == epoch) return;
    s->epoch = epoch;
    if (s->mode == SEQUENTIAL) return;
    const uint64_t key = gn2_rng_key(epoch_key(s, epoch), STREAM_ORDER);
    gn2_rng_permutation(key, s->order, order_length(s));
    if (s->mode != JETS) return;
    for (int64_t g = 0; g < s->groups; g++)
        sort_blocks(s->order + g * s->mixed, least(s->mixed, s->blocks - g * s->mixed));
    s->now = group_at(s, 0, 0);
}

/* Makes `now` the group that holds a position of the epoch. */
static void find_group(gn2_sampler *s, int64_t position)
{
    if (position < s->now.first) s->now = group_at(s, 0, 0);
    while (position >= s->now.first + s->now.count)
        s->now = group_at(s, s->now.number + 1, s->now.first + s->now.count);
}

static gn2_status shuffle_pool(gn2_sampler *s)
{
    const int64_t count = gn2_rows_jets(&s->pool);
    if (count > s->shuffle_capacity) {
        gn2_free(s->shuffle);
        s->shuffle = gn2_alloc((size_t)count, sizeof *s->shuffle);
        const int64_t grown = (s->shuffle ? count : 0) - s->shuffle_capacity;
        s->shuffle_capacity += grown;
        atomic_fetch_add(s->source->memory, grown * (int64_t)sizeof *s->shuffle);
        if (!s->shuffle) return gn2_fail_memory();
    }
    const uint64_t key =
        gn2_rng_key(epoch_key(s, s->epoch), STREAM_GROUP + (uint64_t)s->now.number);
    gn2_rng_permutation(key, s->shuffle, count);
    return GN2_OK;
}

static gn2_status read_blocks(gn2_sampler *s)
{
    const int64_t end = least((s->now.number + 1) * s->mixed, s->blocks);
    gn2_rows_clear(&s->pool);
    for (int64_t i = s->now.number * s->mixed; i < end; i++)
        GN2_TRY(s->source->load(s->source, s->order[i] * s->block,
                                block_length(s, s->order[i]),
                                s->source->schema->non_finite, &s->pool));
    return GN2_OK;
}

static gn2_status load_group(gn2_sampler *s)
{
    if (s->loaded_epoch == s->epoch && s->loaded_group == s->now.number) return GN2_OK;
    const int same_jets = s->groups == 1 && s->loaded_group == 0;
    s->loaded_group = -1;
    if (!same_jets) GN2_TRY(read_blocks(s));
    GN2_TRY(shuffle_pool(s));
    s->loaded_epoch = s->epoch;
    s->loaded_group = s->now.number;
    return GN2_OK;
}

/* ---- batches ---- */

static gn2_status mixed_batch(gn2_sampler *s, int64_t batch, gn2_rows *rows)
{
    int64_t position = batch * s->batch_size;
    const int64_t end = position + s->batch_size;
    while (position < end) {
        find_group(s, position);
        GN2_TRY(load_group(s));
        const int64_t at = position - s->now.first;
        const int64_t take = least(s->now.count - at, end - position);
        const gn2_rows_choice choice = {&s->pool, s->shuffle + at, take};
        GN2_TRY(gn2_rows_gather(rows, &choice, s->source->threads));
        position += take;
    }
    return GN2_OK;
}

gn2_status gn2_sampler_batch(gn2_sampler *s, int64_t epoch, int64_t batch,
                             gn2_rows *rows)
{
    start_epoch(s, epoch);
    gn2_rows_clear(rows);
    if (s->mode == JETS) return mixed_batch(s, batch, rows);
    const int64_t place = s->mode == BATCHES ? s->order[batch] : batch;
    const int64_t first = place * s->batch_size;
    return s->source->load(s->source, first, least(s->batch_size, s->jets - first),
                           s->source->schema->non_finite, rows);
}

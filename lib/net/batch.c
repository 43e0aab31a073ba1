/* SPDX-License-Identifier: Apache-2.0 */
/* Measuring a batch and cutting it into chunks at jet boundaries. */
#include "net/net.h"

static int64_t rows_of(const R(gn2_rows) *rows, int64_t b)
{
    return rows->offset[b + 1] - rows->offset[b];
}

int64_t R(gn2_batch_tokens)(const gn2_hparams *h, const R(gn2_batch) *batch, int64_t b)
{
    int64_t tokens = h->num_registers;
    for (int s = 0; s < h->sequence_count; s++)
        tokens += rows_of(&batch->sequence[s], b);
    return tokens;
}

void R(gn2_batch_measure)(const gn2_hparams *h, const R(gn2_batch) *batch,
                          int64_t *out_longest, int64_t *out_tokens)
{
    int64_t longest = 0, tokens = 0;
    for (int64_t b = 0; b < batch->jets; b++) {
        const int64_t n = R(gn2_batch_tokens)(h, batch, b);
        if (n > longest) longest = n;
        tokens += n;
    }
    *out_longest = longest;
    *out_tokens = tokens;
}

/* Ordered pairs of jet b in the task over pairs. */
static int64_t pairs_of(const gn2_hparams *h, const R(gn2_batch) *batch, int64_t b)
{
    if (h->pairs < 0) return 0;
    const int64_t n = rows_of(&batch->sequence[h->task[h->pairs].sequence], b);
    return n * (n - 1);
}

/* Tokens a chunk should get so that all chunks of the range are alike. A jet
 * without tokens counts as one, so that the number of jets is bounded too. */
static int64_t fair_share(const gn2_hparams *h, const R(gn2_batch) *batch,
                          int64_t first, int64_t end, int64_t tokens)
{
    int64_t all = 0;
    for (int64_t b = first; b < end; b++) {
        const int64_t n = R(gn2_batch_tokens)(h, batch, b);
        all += n ? n : 1;
    }
    const int64_t chunks = (all + tokens - 1) / tokens;
    return chunks > 1 ? (all + chunks - 1) / chunks : tokens;
}

int64_t R(gn2_batch_cut)(const gn2_hparams *h, const R(gn2_batch) *batch,
                         const gn2_chunk *start, int64_t end, int64_t tokens,
                         gn2_chunk *out_chunks, int64_t capacity)
{
    const int64_t share = fair_share(h, batch, start->first, end, tokens);
    gn2_chunk now = *start;
    int64_t count = 0, cost = 0;
    now.jets = now.tokens = now.longest = now.pairs = 0;
    for (int64_t b = start->first; b < end; b++) {
        const int64_t n = R(gn2_batch_tokens)(h, batch, b);
        const int64_t weight = n ? n : 1;
        /* closes when full, or when its share is reached */
        if (now.jets && (cost + weight > tokens || cost >= share)) {
            if (count < capacity) out_chunks[count] = now;
            count++;
            now = (gn2_chunk){.first = b,
                              .first_token = now.first_token + now.tokens,
                              .first_pair = now.first_pair + now.pairs};
            cost = 0;
        }
        now.jets++;
        now.tokens += n;
        now.pairs += pairs_of(h, batch, b);
        if (n > now.longest) now.longest = n;
        cost += weight;
    }
    if (now.jets == 0) return count;
    if (count < capacity) out_chunks[count] = now;
    return count + 1;
}

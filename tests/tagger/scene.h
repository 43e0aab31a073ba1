/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the tagger share: random jets, the ways a caller may lay them
 * out, every output of a call, and the comparison of one jet in two calls.
 */
#ifndef GN2_TESTS_SCENE_H
#define GN2_TESTS_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <gn2/gn2.h>

#define must(expr)                                                                     \
    do {                                                                               \
        const gn2_status status_ = (expr);                                             \
        if (status_ != GN2_OK)                                                         \
            fail_msg("%s: %s: %s", #expr, gn2_status_name(status_), gn2_last_error()); \
    } while (0)

#define must_refuse(wanted, word, expr)                              \
    do {                                                             \
        assert_int_equal(wanted, expr);                              \
        if (!strstr(gn2_last_error(), word))                         \
            fail_msg("'%s' is not in '%s'", word, gn2_last_error()); \
    } while (0)

/* Variables of the default configuration. */
#define JET_INPUTS 2
#define TRACK_INPUTS 19

/* Random numbers that are the same everywhere. */
uint64_t draw(uint64_t *state);
/* Uniform in [from, to). */
double draw_between(uint64_t *state, double from, double to);

/* ---- models ---- */

/* Width 32, two layers; D_b and the normalisation of the jets set. */
gn2_config *small_config(void);
gn2_model *model_of(gn2_config *config); /* frees the config */
gn2_model *small_model(void);
/* The default GN2 of width 256. */
gn2_model *full_model(void);
gn2_tagger *tagger_with(gn2_model *model, int64_t threads);
/* Overwrites the bias of the vertex head's output. */
void set_vertex_bias(gn2_model *model, float bias);

/* ---- jets ---- */

/* Jets one after the other; jet b has rows offset[b] … offset[b+1]−1. */
typedef struct sample {
    int64_t count;
    int64_t *offset;
    float *features, *tracks;
} sample;

/* `multiplicity` NULL: about nine tracks a jet, up to 40, some jets without. */
sample *sample_new(int64_t count, const int64_t *multiplicity, uint64_t seed);
void sample_free(sample *jets);

/* How jets lie in the caller's memory. */
typedef struct layout {
    int64_t slots; /* rows a jet when padded; 0 = ragged */
    int holes;     /* valid slots anywhere rather than first */
    int64_t extra; /* columns of rubbish behind each row */
} layout;

/* Jets of a sample, laid out; row and pair tell where things are. */
typedef struct input {
    gn2_jets jets;
    gn2_sequence sequence;
    int64_t count, slots;
    int64_t *offset; /* (count+1) valid constituents before jet b */
    int64_t *row;    /* of a valid constituent, in the data */
    int64_t *pair;   /* (count+1) ordered pairs before jet b */
    float *features, *tracks;
    uint8_t *valid;
} input;

/* Jets `which[0 … count−1]` of a sample; which NULL: the first `count`. Slots that
 * are not valid hold NaN. */
input *input_new(const sample *jets, const int64_t *which, int64_t count, layout lay);
void input_free(input *in);

/* ---- results ---- */

#define OUTPUTS 12
#define GRADIENTS 6 /* listed behind them: D_b, D_c, D_tau by the inputs */
enum {
    P,
    LOGITS,
    D_B,
    D_C,
    D_TAU,
    EMBEDDING,
    ORIGIN,
    ORIGIN_LOGITS,
    TRACK_EMBEDDING,
    ATTENTION,
    VERTEX,
    PAIRS
};
extern const char *const output_names[OUTPUTS];

typedef struct result {
    int64_t columns[OUTPUTS], rows[OUTPUTS];
    void *data[OUTPUTS]; /* float, VERTEX int32_t */
} result;

/* An output by name, with room for so many rows. */
gn2_output output_named(gn2_tagger *tagger, const char *name, void *data, int64_t rows);
/* Rows of output `i` for an input. */
int64_t rows_of(const input *in, int i);
/* All outputs of a call, which must succeed. */
result *result_of(gn2_tagger *tagger, const input *in);
void result_free(result *r);

/* A jet of a call, for comparing. */
typedef struct place {
    const input *in;
    const result *result;
    int64_t jet;
} place;

/* The same bits in every output. */
void assert_same_jet(place a, place b);
/* The same for all jets of two calls with the same jets in the same order. */
void assert_same_jets(const input *in_a, const result *a, const input *in_b,
                      const result *b);

#endif

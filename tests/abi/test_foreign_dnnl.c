/* SPDX-License-Identifier: Apache-2.0 */
/* A program with an oneDNN of its own (fake_dnnl.c, which aborts when called) tags by
 * libgn2's: compute.gemm = onednn, and the scores are those of the own kernels. */
#include <gn2/gn2.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define JETS 40
#define TRACKS 7

void dnnl_version(void); /* of the fake: keeps it linked */

static int check(gn2_status status, const char *what)
{
    if (status == GN2_OK) return 1;
    fprintf(stderr, "%s: %s\n", what, gn2_last_error());
    return 0;
}

static int tag(gn2_model *model, const char *gemm, float p[JETS][4])
{
    static float features[JETS][2], tracks[JETS * TRACKS][19];
    static int64_t offsets[JETS + 1];
    for (int b = 0; b < JETS; b++) {
        features[b][0] = 50e3f + 100.0f * (float)b;
        offsets[b + 1] = offsets[b] + b % (TRACKS + 1);
    }
    for (int i = 0; i < JETS * TRACKS; i++) tracks[i][0] = 0.01f * (float)(i % 19);
    const gn2_sequence sequence = {
        .struct_size = sizeof sequence, .data = tracks[0], .offsets = offsets};
    const gn2_jets jets = {.struct_size = sizeof jets,
                           .count = JETS,
                           .features = features[0],
                           .sequence_count = 1,
                           .sequences = &sequence};
    gn2_config *config = NULL;
    gn2_tagger *tagger = NULL;
    const int fine =
        check(gn2_config_create(&config), "config") &&
        check(gn2_config_set_str(config, "compute.gemm", gemm), "compute.gemm") &&
        check(gn2_tagger_create(model, config, &tagger), "tagger") &&
        check(gn2_tagger_flavour(tagger, &jets, p[0], NULL), "scores");
    gn2_tagger_free(tagger);
    gn2_config_free(config);
    return fine;
}

/* 2e-5: the tolerance of the golden vectors between orders of the same sums. */
static int agree(float a[JETS][4], float b[JETS][4])
{
    for (int i = 0; i < JETS; i++)
        for (int c = 0; c < 4; c++)
            if (!(fabsf(a[i][c] - b[i][c]) <= 2e-5f)) return 0;
    return 1;
}

int main(void)
{
    if (strstr(gn2_features(), "onednn=none")) {
        printf("skipped: no oneDNN module\n");
        return 77;
    }
    static float own[JETS][4], onednn[JETS][4];
    gn2_model *model = NULL;
    void (*volatile fake)(void) = dnnl_version;
    const int fine = fake && check(gn2_model_create(NULL, &model), "model") &&
                     tag(model, "own", own) && tag(model, "onednn", onednn) &&
                     agree(own, onednn);
    gn2_model_free(model);
    printf("p_b of the last jet: own %.6f, oneDNN %.6f\n", (double)own[JETS - 1][0],
           (double)onednn[JETS - 1][0]);
    return !fine;
}

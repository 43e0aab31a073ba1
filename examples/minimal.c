/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tags three jets in memory: minimal [MODEL.gn2]
 * Without a model file a GN2 with random weights is made, so the scores mean nothing.
 */
#include <gn2/gn2.h>
#include <stdio.h>
#include <stdlib.h>

static void check(gn2_status status)
{
    if (status == GN2_OK) return;
    fprintf(stderr, "minimal: %s\n", gn2_last_error());
    exit(1);
}

int main(int argc, char **argv)
{
    /* pt and eta of each jet; the tracks of all jets one after the other */
    static const float features[3][2] = {{50e3f, 0.3f}, {120e3f, -1.7f}, {34e3f, 2.1f}};
    static const int64_t offsets[4] = {0, 2, 2, 3}; /* jet 1 has no tracks */
    static const float tracks[3][19] = {
        /* d0 (mm), z0 sinθ, Δφ, Δη, q/p (1/MeV), significances, errors, hits … */
        {0.12f, 0.30f, 0.05f, -0.02f, 1e-4f, 6.1f, 2.0f, 1e-3f, 4e-4f, 2e-6f, 4, 8, 1,
         1},
        {0.01f, 0.02f, -0.10f, 0.04f, -3e-4f, 0.7f, 0.4f, 2e-3f, 9e-4f, 7e-6f, 3, 8, 1,
         1},
        {-0.02f, 0.05f, 0.21f, 0.11f, 6e-4f, -0.9f, 0.5f, 3e-3f, 1e-3f, 9e-6f, 4, 9, 1,
         1},
    };
    const gn2_sequence sequence = {
        .struct_size = sizeof sequence, .data = tracks[0], .offsets = offsets};
    const gn2_jets jets = {.struct_size = sizeof jets,
                           .count = 3,
                           .features = features[0],
                           .sequence_count = 1,
                           .sequences = &sequence};
    gn2_model *model = NULL;
    gn2_tagger *tagger = NULL;
    float p[3][4], d_b[3];

    check(argc > 1 ? gn2_model_load(argv[1], &model) : gn2_model_create(NULL, &model));
    check(gn2_tagger_create(model, NULL, &tagger));
    check(gn2_tagger_flavour(tagger, &jets, p[0], d_b));
    for (int i = 0; i < 3; i++)
        printf("jet %d: p_b %.4f p_c %.4f p_u %.4f p_tau %.4f D_b %+.3f\n", i,
               (double)p[i][0], (double)p[i][1], (double)p[i][2], (double)p[i][3],
               (double)d_b[i]);
    gn2_tagger_free(tagger);
    gn2_model_free(model);
    return 0;
}

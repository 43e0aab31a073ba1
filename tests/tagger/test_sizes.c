/* SPDX-License-Identifier: Apache-2.0 */
/* Clients built against older and newer headers: their structs are smaller or larger
 * than the library's, and give the same scores. */
#include "scene.h"

#define FUTURE 24 /* bytes a later header may add */

typedef struct scores {
    float p[4 * 50];
    int32_t vertex[50 * 40];
} scores;

/* Copy of a struct in a block of exactly `size` bytes that says so. */
static void *resized(const void *from, size_t from_size, uint32_t size)
{
    char *block = calloc(1, size);
    assert_non_null(block);
    memcpy(block, from, size < from_size ? size : from_size);
    memcpy(block, &size, sizeof size);
    return block;
}

/* Sizes of the four kinds of structs of a client. */
typedef struct client {
    uint32_t jets, sequence, output;
} client;

static const client today = {sizeof(gn2_jets), sizeof(gn2_sequence),
                             sizeof(gn2_output)};
static const client older = {offsetof(gn2_jets, reserved),
                             offsetof(gn2_sequence, reserved),
                             offsetof(gn2_output, reserved)};
static const client newer = {sizeof(gn2_jets) + FUTURE, sizeof(gn2_sequence) + FUTURE,
                             sizeof(gn2_output) + FUTURE};

/* `damage` sets the last byte of the struct it counts to: 1 jets, 2 sequence, 3 second
 * output. */
static gn2_status tag_as(const client *c, gn2_tagger *tagger, const input *in,
                         scores *out, int damage)
{
    gn2_output wanted[2] = {{.data = out->p, .capacity = in->count},
                            {.data = out->vertex, .capacity = rows_of(in, VERTEX)}};
    must(gn2_tagger_output(tagger, "jets.probabilities", &wanted[0].id));
    must(gn2_tagger_output(tagger, "tracks.vertex", &wanted[1].id));
    char *outputs = calloc(2, c->output);
    for (int i = 0; i < 2; i++) {
        char *one = resized(&wanted[i], sizeof wanted[i], c->output);
        memcpy(outputs + (size_t)i * c->output, one, c->output);
        free(one);
    }
    gn2_jets jets = in->jets;
    char *sequence = resized(&in->sequence, sizeof in->sequence, c->sequence);
    jets.sequences = (const gn2_sequence *)(const void *)sequence;
    jets.sequence_stride = c->sequence;
    char *mine = resized(&jets, sizeof jets, c->jets);
    if (damage == 1) mine[c->jets - 1] = 1;
    if (damage == 2) sequence[c->sequence - 1] = 1;
    if (damage == 3) outputs[2 * c->output - 1] = 1;
    const gn2_status status =
        gn2_tagger_run(tagger, (const gn2_jets *)(const void *)mine,
                       (const gn2_output *)(const void *)outputs, 2);
    free(mine);
    free(sequence);
    free(outputs);
    return status;
}

typedef struct fixture {
    gn2_model *model;
    gn2_tagger *tagger;
    sample *jets;
    input *in;
    scores want;
} fixture;

static int setup(void **state)
{
    static fixture f;
    f.model = small_model();
    f.tagger = tagger_with(f.model, 1);
    f.jets = sample_new(50, NULL, 71);
    f.in = input_new(f.jets, NULL, 50, (layout){.slots = 40});
    must(tag_as(&today, f.tagger, f.in, &f.want, 0));
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    input_free(f->in);
    sample_free(f->jets);
    gn2_tagger_free(f->tagger);
    gn2_model_free(f->model);
    return 0;
}

static void test_older_and_newer_clients_get_the_same(void **state)
{
    const fixture *f = *state;
    const client *clients[] = {&older, &newer};
    for (int i = 0; i < 2; i++) {
        scores out;
        memset(&out, 0x5a, sizeof out);
        must(tag_as(clients[i], f->tagger, f->in, &out, 0));
        assert_memory_equal(&out, &f->want, sizeof out);
    }
}

/* What a newer client asks for and this library does not know is refused. */
static void test_unknown_fields_must_be_zero(void **state)
{
    static const char *const names[] = {"gn2_jets", "gn2_sequence", "gn2_output"};
    const fixture *f = *state;
    for (int damage = 1; damage <= 3; damage++) {
        scores out;
        must_refuse(GN2_ERR_ABI, names[damage - 1],
                    tag_as(&newer, f->tagger, f->in, &out, damage));
        must_refuse(GN2_ERR_ABI, names[damage - 1],
                    tag_as(&today, f->tagger, f->in, &out, damage));
    }
}

static void test_structs_filled_for_other_clients(void **state)
{
    const fixture *f = *state;
    const uint32_t sizes[] = {offsetof(gn2_param_info, reserved),
                              sizeof(gn2_param_info) + FUTURE};
    gn2_param_info want = {.struct_size = sizeof want};
    must(gn2_model_param_info(f->model, 3, &want));
    for (int i = 0; i < 2; i++) {
        gn2_param_info *info = resized(&want, 0, sizes[i]);
        must(gn2_model_param_info(f->model, 3, info));
        assert_int_equal(info->struct_size, sizes[i]);
        assert_string_equal(info->name, want.name);
        assert_true(info->forward_mult == want.forward_mult);
        free(info);
    }
    gn2_param_info none = {0};
    must_refuse(GN2_ERR_ABI, "struct_size", gn2_model_param_info(f->model, 3, &none));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_older_and_newer_clients_get_the_same),
        cmocka_unit_test(test_unknown_fields_must_be_zero),
        cmocka_unit_test(test_structs_filled_for_other_clients),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

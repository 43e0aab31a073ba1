/* SPDX-License-Identifier: Apache-2.0 */
/* Tags the jets of an HDF5 file: scores to a file, the first ones and, where labels
 * are there, rejections to the terminal. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"

static const char help[] =
    "usage: tag [OPTION]... MODEL.gn2 JETS.h5 [KEY=VALUE]...\n"
    "\n"
    "Tags every jet of JETS.h5 (datasets /jets and /tracks as ATLAS's dumper and UPP\n"
    "write them) with a model made by `train`. Fields are found by name.\n"
    "\n"
    "  -o, --output FILE   write the scores to FILE (HDF5, /jets): the fields of the\n"
    "                      input, then NAME_pb, NAME_pc, NAME_pu, NAME_ptau, NAME_Db\n"
    "                      and what else the model says of jets\n"
    "  -t, --tracks        also write /tracks: origin probabilities, VertexIndex, "
    "mask\n"
    "  -n, --print N       print the scores of the first N jets (default 5)\n"
    "  -j, --threads N     threads (default 0: the processors there are)\n"
    "  -c, --config FILE   read `key = value` lines\n"
    "      --keys          list the keys and leave\n"
    "  -h, --help          this text\n"
    "      --version       version of the library\n"
    "\n"
    "KEY=VALUE sets an option of the library and wins over --config, e.g.\n"
    "data.max_jets=1000 scores.jet_fields=pt,eta,flavour_label\n"
    "\n"
    "D_b = log(p_b / (f_c p_c + f_tau p_tau + (1 - f_c - f_tau) p_u)), the fractions\n"
    "as stored in the model. A rejection is 1 / (efficiency of that flavour) at the\n"
    "cut on D_b that keeps the share of b-jets given.\n"
    "\n"
    "Exit status: 0 done, 1 failed (message on stderr), 2 wrong command line.\n";

#define MAX_SCORES 64

typedef struct tag_program {
    const char *model_path, *jets_path, *output;
    int64_t print;
    gn2_config *config;
    gn2_model *model;
    gn2_dataset *dataset;
    gn2_tagger *tagger;
    gn2_score_writer *writer;
    int64_t count, capacity; /* jets tagged; room in the arrays below */
    float *d_b;
    int32_t *flavour;
    int labelled, tracks;
    gn2_output_info score[MAX_SCORES]; /* outputs for the score file */
    size_t score_count;
} tag_program;

/* ---- command line ---- */

static const struct option options[] = {
    {"output", required_argument, NULL, 'o'},
    {"tracks", no_argument, NULL, 't'},
    {"print", required_argument, NULL, 'n'},
    {"threads", required_argument, NULL, 'j'},
    {"config", required_argument, NULL, 'c'},
    {"keys", no_argument, NULL, OPT_KEYS},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

/* −1: go on; else the exit status. */
static int read_option(tag_program *t, int option)
{
    gn2_status status = GN2_OK;
    int64_t threads;
    switch (option) {
    case 'o':
        t->output = optarg;
        return -1;
    case 't':
        t->tracks = 1;
        return -1;
    case 'n':
        if (read_number(optarg, 0, &t->print)) return -1;
        return usage_error("--print wants a number", optarg);
    case 'j':
        if (!read_number(optarg, 0, &threads))
            return usage_error("--threads wants a number", optarg);
        status = gn2_config_set_i64(t->config, "tagger.threads", threads);
        break;
    case 'c':
        status = gn2_config_load(t->config, optarg);
        break;
    case '?':
        return usage_error("unknown or incomplete option", NULL);
    default:
        return show_text(option, help);
    }
    return status ? library_error(status) : -1;
}

static int read_operand(tag_program *t, const char *word)
{
    if (is_setting(word)) {
        const gn2_status status = apply_setting(t->config, word);
        return status ? library_error(status) : -1;
    }
    if (!t->model_path)
        t->model_path = word;
    else if (!t->jets_path)
        t->jets_path = word;
    else
        return usage_error("one model and one file of jets, please, not also", word);
    return -1;
}

static int read_command_line(tag_program *t, int argc, char **argv)
{
    int end = -1, option;
    while (end < 0 &&
           (option = getopt_long(argc, argv, "o:tn:j:c:h", options, NULL)) != -1)
        end = read_option(t, option);
    for (int i = optind; end < 0 && i < argc; i++) end = read_operand(t, argv[i]);
    if (end < 0 && !t->jets_path)
        return usage_error("MODEL.gn2 and JETS.h5 wanted", NULL);
    return end;
}

/* ---- tagging ---- */

/* What of the model's outputs a score file has a place for. */
static gn2_status list_scores(tag_program *t)
{
    for (size_t i = 0; i < gn2_tagger_output_count(t->tagger); i++) {
        gn2_output_info info = {.struct_size = sizeof info};
        TRY(gn2_tagger_output_info(t->tagger, i, &info));
        if (!(info.flags & GN2_OUTPUT_SCORE)) continue;
        if (info.rows != GN2_ROWS_JETS && !t->tracks) continue;
        if (t->score_count < MAX_SCORES) t->score[t->score_count++] = info;
    }
    return GN2_OK;
}

static gn2_status open_all(tag_program *t)
{
    TRY(gn2_model_load(t->model_path, &t->model));
    TRY(describe_model(t->model, t->config));
    TRY(gn2_config_set_str(t->config, "data.sampling", "sequential"));
    TRY(gn2_dataset_open(&t->jets_path, 1, t->config, &t->dataset));
    TRY(gn2_tagger_create(t->model, t->config, &t->tagger));
    if (!t->output) return GN2_OK;
    if (t->tracks) TRY(gn2_config_set_str(t->config, "scores.write_tracks", "yes"));
    TRY(list_scores(t));
    return gn2_score_writer_create(t->output, t->jets_path, t->model, t->config,
                                   &t->writer);
}

static gn2_status make_room(tag_program *t)
{
    gn2_dataset_info info = {.struct_size = sizeof info};
    TRY(gn2_dataset_info_get(t->dataset, &info));
    t->capacity = info.jet_count;
    t->labelled = info.has_labels != 0;
    t->d_b = malloc((size_t)t->capacity * sizeof *t->d_b + 1);
    t->flavour = malloc((size_t)t->capacity * sizeof *t->flavour + 1);
    return t->d_b && t->flavour ? GN2_OK : GN2_ERR_NO_MEMORY;
}

/* "bjets" → "b" */
static void print_scores(const tag_program *t, const float *p, int64_t jet)
{
    const size_t classes = gn2_model_class_count(t->model);
    printf("jet %lld:", (long long)jet);
    for (size_t k = 0; k < classes; k++) {
        const char *name = gn2_model_class_name(t->model, k);
        const char *end = strstr(name, "jets");
        printf("  p_%.*s %.4f", end && end > name ? (int)(end - name) : 20, name,
               (double)p[k]);
    }
    printf("  D_b %+.3f", (double)t->d_b[jet]);
    if (t->labelled && t->flavour[jet] >= 0)
        printf("  (%s)", gn2_model_class_name(t->model, (size_t)t->flavour[jet]));
    printf("\n");
}

/* Rows of an output: the dataset gives constituents without gaps. */
static int64_t row_count(const gn2_jets *jets, const gn2_output_info *info)
{
    const size_t stride =
        jets->sequence_stride ? (size_t)jets->sequence_stride : sizeof(gn2_sequence);
    if (info->rows == GN2_ROWS_JETS) return jets->count;
    const char *at = (const char *)jets->sequences + (size_t)info->sequence * stride;
    return ((const gn2_sequence *)(const void *)at)->offsets[jets->count];
}

/* Runs the model into memory of its own, and hands that to the score file. */
static gn2_status write_scores(tag_program *t, const gn2_jets *jets)
{
    gn2_output output[MAX_SCORES];
    gn2_score score[MAX_SCORES];
    gn2_status status = GN2_OK;
    for (size_t i = 0; i < t->score_count; i++) {
        const gn2_output_info *info = &t->score[i];
        const int64_t rows = row_count(jets, info);
        void *data = malloc((size_t)(rows * info->columns) * sizeof(float) + 1);
        if (!data) status = GN2_ERR_NO_MEMORY;
        output[i] = (gn2_output){.struct_size = sizeof *output,
                                 .id = info->id,
                                 .data = data,
                                 .capacity = rows};
        score[i] = (gn2_score){.struct_size = sizeof *score,
                               .output = info->name,
                               .data = data,
                               .rows = rows,
                               .type = info->type};
    }
    if (!status) status = gn2_tagger_run(t->tagger, jets, output, t->score_count);
    if (!status)
        status =
            gn2_score_writer_add_outputs(t->writer, jets->count, score, t->score_count);
    for (size_t i = 0; i < t->score_count; i++) free(output[i].data);
    return status;
}

static gn2_status tag_batch(tag_program *t, const gn2_jets *jets,
                            const gn2_labels *labels, float *p)
{
    const int64_t classes = (int64_t)gn2_model_class_count(t->model);
    const gn2_label *flavour = gn2_labels_find(labels, "jets_classification");
    float *d_b = t->d_b + t->count;
    TRY(gn2_tagger_flavour(t->tagger, jets, p, d_b));
    for (int64_t i = 0; i < jets->count; i++)
        t->flavour[t->count + i] = flavour ? ((const int32_t *)flavour->data)[i] : -1;
    for (int64_t i = 0; i < jets->count && t->count + i < t->print; i++)
        print_scores(t, p + i * classes, t->count + i);
    if (t->writer) TRY(write_scores(t, jets));
    t->count += jets->count;
    return GN2_OK;
}

static gn2_status tag_all(tag_program *t)
{
    gn2_status status = GN2_OK;
    float *p = NULL;
    for (int64_t room = 0;;) {
        gn2_jets jets = {.struct_size = sizeof jets};
        gn2_labels labels = {.struct_size = sizeof labels};
        status = gn2_dataset_next(t->dataset, &jets, &labels);
        if (status || jets.count == 0) break;
        if (jets.count > room) {
            room = jets.count;
            free(p);
            p = malloc((size_t)room * gn2_model_class_count(t->model) * sizeof *p);
        }
        status = p ? tag_batch(t, &jets, &labels, p) : GN2_ERR_NO_MEMORY;
        if (status) break;
    }
    free(p);
    if (!status && t->writer) status = gn2_score_writer_close(t->writer);
    return status;
}

/* ---- rejections ---- */

static int rising(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static int find_class(const gn2_model *model, const char *name)
{
    for (size_t k = 0; k < gn2_model_class_count(model); k++)
        if (strcmp(gn2_model_class_name(model, k), name) == 0) return (int)k;
    return -2; /* no label */
}

/* D_b of the jets of a class, sorted; *out_count of them. */
static float *scores_of(const tag_program *t, int flavour, int64_t *out_count)
{
    float *scores = malloc((size_t)t->count * sizeof *scores + 1);
    *out_count = 0;
    if (!scores) return NULL;
    for (int64_t i = 0; i < t->count; i++)
        if (t->flavour[i] == flavour) scores[(*out_count)++] = t->d_b[i];
    qsort(scores, (size_t)*out_count, sizeof *scores, rising);
    return scores;
}

static void print_rejection(const tag_program *t, const char *name, float cut)
{
    int64_t passing = 0, all = 0;
    const int flavour = find_class(t->model, name);
    for (int64_t i = 0; i < t->count; i++) {
        all += t->flavour[i] == flavour;
        passing += t->flavour[i] == flavour && t->d_b[i] >= cut;
    }
    if (passing)
        printf("  %8.4g", (double)all / (double)passing);
    else
        printf("  %8s", all ? "inf" : "-");
}

static void print_rejections(const tag_program *t)
{
    static const int points[] = {65, 70, 77, 85};
    int64_t count;
    float *b = scores_of(t, find_class(t->model, "bjets"), &count);
    if (b && count) {
        printf("b-efficiency  cut on D_b     light         c       tau  rejection\n");
        for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
            /* the smallest score that still is among the share kept */
            const int64_t kept = (count * points[i] + 99) / 100;
            const float cut = b[count - kept];
            printf("        %d %%  %10.3f", points[i], (double)cut);
            print_rejection(t, "ujets", cut);
            print_rejection(t, "cjets", cut);
            print_rejection(t, "taujets", cut);
            printf("\n");
        }
    }
    free(b);
}

static gn2_status run(tag_program *t)
{
    TRY(open_all(t));
    TRY(make_room(t));
    TRY(tag_all(t));
    if (t->labelled) print_rejections(t);
    if (t->output) printf("scores of %lld jets: %s\n", (long long)t->count, t->output);
    return GN2_OK;
}

static void print_warning(void *user, int32_t severity, const char *line)
{
    (void)user;
    if (severity == GN2_LOG_WARNING) fprintf(stderr, "tag: warning: %s\n", line);
}

static gn2_status start(tag_program *t)
{
    TRY(gn2_config_create(&t->config));
    return gn2_config_set_i64(t->config, "tagger.threads", 0);
}

int main(int argc, char **argv)
{
    tag_program t = {.print = 5};
    program_name = "tag";
    gn2_set_log(print_warning, NULL);
    gn2_status status = start(&t);
    int end = status ? library_error(status) : read_command_line(&t, argc, argv);
    if (end < 0) {
        status = run(&t);
        end = status ? library_error(status) : EXIT_SUCCESS;
    }
    gn2_score_writer_free(t.writer);
    gn2_tagger_free(t.tagger);
    gn2_dataset_free(t.dataset);
    gn2_model_free(t.model);
    gn2_config_free(t.config);
    free(t.d_b);
    free(t.flavour);
    return end;
}

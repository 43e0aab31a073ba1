/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losses and metrics on a dataset, without dropout. Losses are means over batches of
 * the batches' losses, as salt logs them; metrics are over all jets.
 */
#include <math.h>
#include <string.h>

#include "data/dataset.h"
#include "tag/discriminant.h"
#include "tag/vertex.h"
#include "train/metrics.h"
#include "train/trainer.h"
#include "util/alloc.h"

/* Counts, summed over chunks on any thread: whole numbers have no order. */
typedef struct counts {
    atomic_int_fast64_t jets, right;          /* labelled; largest p is right */
    atomic_int_fast64_t tracks, tracks_right; /* with an origin */
    atomic_int_fast64_t pairs, found, both;   /* unordered */
} counts;

/* D_b of the jets of a role, by class. */
typedef enum sample {
    SAMPLE_B,
    SAMPLE_LIGHT,
    SAMPLE_C,
    SAMPLE_TAU,
    SAMPLE_COUNT
} sample;

static const char *const sample_class[SAMPLE_COUNT] = {"bjets", "ujets", "cjets",
                                                       "taujets"};

typedef struct evaluation {
    gn2_trainer *trainer;
    gn2_discriminants discriminants;
    const gn2_discriminant_rule *d; /* D_b, NULL: the model has none */
    int64_t class_of[SAMPLE_COUNT]; /* −1: the model has none */
    counts counts;
    float *d_b; /* of the batch */
    int64_t d_b_capacity;
    gn2_scores scores[SAMPLE_COUNT];
    int64_t score_capacity[SAMPLE_COUNT];
    int64_t jets, batches;
    gn2_losses losses; /* summed over batches */
} evaluation;

static int64_t find_class(const gn2_model *model, const char *name)
{
    for (int64_t i = 0; i < model->h.classes; i++)
        if (strcmp(gn2_config_list_item(model->config, "model.classes", (size_t)i),
                   name) == 0)
            return i;
    return -1;
}

static gn2_status begin(evaluation *e, gn2_trainer *trainer)
{
    *e = (evaluation){.trainer = trainer};
    for (int s = 0; s < SAMPLE_COUNT; s++)
        e->class_of[s] = find_class(trainer->model, sample_class[s]);
    GN2_TRY(gn2_discriminants_read(trainer->model->config, NULL, &e->discriminants));
    e->d = gn2_discriminant_find(&e->discriminants, "D_b");
    if (e->d) e->class_of[SAMPLE_B] = e->d->signal;
    return GN2_OK;
}

static void end(evaluation *e)
{
    gn2_free(e->d_b);
    for (int s = 0; s < SAMPLE_COUNT; s++) gn2_free(e->scores[s].value);
}

/* ---- what a chunk tells, on any thread ---- */

static int64_t largest(const float *x, int64_t count)
{
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

static void visit_jets(evaluation *e, const gn2_pass_f32 *pass)
{
    const gn2_task *task = &pass->net->h->task[GN2_TASK_JETS];
    const int64_t classes = pass->net->h->classes;
    const float *logits = pass->space->head[GN2_TASK_JETS].act[task->net.depth - 1];
    int64_t labelled = 0, right = 0;
    for (int64_t b = 0; b < pass->chunk.jets; b++) {
        float p[GN2_MAX_CLASSES];
        const int64_t jet = pass->chunk.first + b;
        const int32_t flavour = pass->truth->flavour[jet];
        pass->ctx.kernels->softmax(p, logits + b * classes, 1, classes);
        if (e->d)
            e->d_b[jet] = gn2_discriminant_value(p, classes, e->d->signal,
                                                 e->d->fraction, e->d->form);
        labelled += flavour >= 0;
        right += flavour >= 0 && largest(logits + b * classes, classes) == flavour;
    }
    atomic_fetch_add(&e->counts.jets, labelled);
    atomic_fetch_add(&e->counts.right, right);
}

static void visit_origins(evaluation *e, const gn2_pass_f32 *pass)
{
    const gn2_task *task = &pass->net->h->task[GN2_TASK_ORIGIN];
    const int64_t origins = pass->net->h->origins;
    const int64_t rows = gn2_pass_rows_f32(pass, task->sequence);
    const float *logits = pass->space->head[GN2_TASK_ORIGIN].act[task->net.depth - 1];
    int64_t labelled = 0, right = 0;
    for (int64_t r = 0; r < rows; r++) {
        const int32_t origin =
            pass->truth->origin[gn2_pass_row_f32(pass, task->sequence, r)];
        labelled += origin >= 0;
        right += origin >= 0 && largest(logits + r * origins, origins) == origin;
    }
    atomic_fetch_add(&e->counts.tracks, labelled);
    atomic_fetch_add(&e->counts.tracks_right, right);
}

/* Unordered pairs of the jet whose constituents are start … end−1 of the chunk. */
static void count_pairs(evaluation *e, const gn2_pass_f32 *pass, int64_t start,
                        int64_t stop)
{
    const int sequence = pass->net->h->task[GN2_TASK_VERTEX].sequence;
    const int32_t *found = pass->space->label;
    int64_t pairs = 0, same = 0, both = 0;
    for (int64_t i = start; i < stop; i++) {
        const int32_t v = pass->truth->vertex[gn2_pass_row_f32(pass, sequence, i)];
        for (int64_t j = i + 1; j < stop; j++) {
            const int64_t other = gn2_pass_row_f32(pass, sequence, j);
            const int truth = v >= 0 && pass->truth->vertex[other] == v;
            const int guess = found[i] == found[j];
            pairs += truth;
            same += guess;
            both += truth && guess;
        }
    }
    atomic_fetch_add(&e->counts.pairs, pairs);
    atomic_fetch_add(&e->counts.found, same);
    atomic_fetch_add(&e->counts.both, both);
}

static void visit_pairs(evaluation *e, const gn2_pass_f32 *pass)
{
    const gn2_space_f32 *s = pass->space;
    const int sequence = pass->net->h->task[GN2_TASK_VERTEX].sequence;
    const int64_t *offset = s->row_offset[sequence];
    for (int64_t b = 0; b < pass->chunk.jets; b++) {
        gn2_vertex_assign(s->label + offset[b], s->pair_logits + s->pair_offset[b],
                          offset[b + 1] - offset[b]);
        count_pairs(e, pass, offset[b], offset[b + 1]);
    }
}

static void visit(void *user, const gn2_pass_f32 *pass)
{
    evaluation *e = user;
    const gn2_hparams *h = pass->net->h;
    visit_jets(e, pass);
    if (h->task[GN2_TASK_ORIGIN].on && pass->truth->origin) visit_origins(e, pass);
    if (h->task[GN2_TASK_VERTEX].on && pass->truth->vertex) visit_pairs(e, pass);
}

/* ---- batch by batch ---- */

static gn2_status reserve(float **values, int64_t *capacity, int64_t used,
                          int64_t count)
{
    if (count <= *capacity) return GN2_OK;
    const int64_t more = count + count / 2;
    if (!gn2_grow((void **)values, (size_t)used, (size_t)more, sizeof **values))
        return gn2_fail_memory();
    *capacity = more;
    return GN2_OK;
}

static gn2_status keep_scores(evaluation *e, const gn2_truth *truth, int64_t jets)
{
    for (int s = 0; s < SAMPLE_COUNT; s++) {
        gn2_scores *scores = &e->scores[s];
        GN2_TRY(reserve(&scores->value, &e->score_capacity[s], scores->count,
                        scores->count + jets));
        if (!e->d || e->class_of[s] < 0) continue;
        for (int64_t b = 0; b < jets; b++)
            if (truth->flavour[b] == e->class_of[s])
                scores->value[scores->count++] = e->d_b[b];
    }
    return GN2_OK;
}

static gn2_status evaluate_batch(evaluation *e, const gn2_jets *jets,
                                 const gn2_labels *labels)
{
    gn2_trainer *t = e->trainer;
    const gn2_truth truth = {labels->flavour, labels->origin, labels->vertex};
    const gn2_visitor_f32 visitor = {.fn = visit, .user = e};
    gn2_batch_f32 batch;
    if (!truth.flavour)
        return gn2_fail(GN2_ERR_INVALID_ARG, "the dataset has no flavour labels");
    GN2_TRY(gn2_input_read(&t->input, t->model, NULL, jets, &batch));
    GN2_TRY(gn2_truth_check_f32(&t->h, &batch, &truth));
    GN2_TRY(reserve(&e->d_b, &e->d_b_capacity, 0, jets->count));
    GN2_TRY(gn2_core_forward_f32(t->core, &batch, &truth, &visitor));
    GN2_TRY(keep_scores(e, &truth, jets->count));
    for (int id = 0; id < GN2_TASK_COUNT; id++)
        e->losses.value[id] += t->core->losses.value[id];
    e->jets += jets->count;
    e->batches++;
    return GN2_OK;
}

static gn2_status evaluate_all(evaluation *e, gn2_dataset *dataset)
{
    gn2_jets jets;
    gn2_labels labels;
    GN2_TRY(gn2_dataset_reset_impl(dataset, 0, 0));
    for (;;) {
        GN2_TRY(gn2_dataset_next_impl(dataset, &jets, &labels));
        if (jets.count == 0) break;
        GN2_TRY(evaluate_batch(e, &jets, &labels));
    }
    if (e->batches) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "the dataset has no batch to evaluate");
}

/* ---- metrics ---- */

static void fill_losses(const evaluation *e, gn2_metrics *out)
{
    const double batches = (double)e->batches;
    out->loss_jets = e->losses.value[GN2_TASK_JETS] / batches;
    out->loss_origin = e->losses.value[GN2_TASK_ORIGIN] / batches;
    out->loss_vertex = e->losses.value[GN2_TASK_VERTEX] / batches;
    out->loss = out->loss_jets + out->loss_origin + out->loss_vertex;
}

static void fill_scores(evaluation *e, gn2_metrics *out)
{
    static const double points[GN2_WORKING_POINTS] = {0.65, 0.70, 0.77, 0.85};
    const gn2_scores *b = &e->scores[SAMPLE_B];
    for (int s = 0; s < SAMPLE_COUNT; s++) gn2_scores_sort(&e->scores[s]);
    out->auc_b_light = gn2_metric_auc(b, &e->scores[SAMPLE_LIGHT]);
    out->auc_b_c = gn2_metric_auc(b, &e->scores[SAMPLE_C]);
    for (int p = 0; p < GN2_WORKING_POINTS; p++) {
        out->cut[p] = gn2_metric_cut(b, points[p]);
        for (int s = SAMPLE_LIGHT; s < SAMPLE_COUNT; s++)
            out->rejection[p][s - SAMPLE_LIGHT] =
                gn2_metric_rejection(&e->scores[s], out->cut[p]);
    }
}

static void fill(evaluation *e, gn2_metrics *out)
{
    const counts *n = &e->counts;
    *out = (gn2_metrics){.struct_size = (uint32_t)sizeof *out, .jets = e->jets};
    fill_losses(e, out);
    fill_scores(e, out);
    out->accuracy = gn2_metric_ratio(n->right, n->jets);
    out->origin_accuracy = gn2_metric_ratio(n->tracks_right, n->tracks);
    out->pair_efficiency = gn2_metric_ratio(n->both, n->pairs);
    out->pair_purity = gn2_metric_ratio(n->both, n->found);
}

gn2_status gn2_train_evaluate(gn2_trainer *t, gn2_dataset *dataset,
                              gn2_metrics *out_metrics)
{
    evaluation e;
    gn2_status status = begin(&e, t);
    if (status == GN2_OK) status = evaluate_all(&e, dataset);
    if (status == GN2_OK) fill(&e, out_metrics);
    end(&e);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Whole runs: what the callback is told, validation against a tagger's scores. */
#include <math.h>

#include "data/dataset.h"
#include "tag/tagger.h"
#include "toy.h"
#include "util/alloc.h"

typedef struct fixture {
    gn2_config *config;
    gn2_trainer *trainer;
    toy *data, *val;
    gn2_dataset *train_set, *val_set;
} fixture;

static gn2_dataset *dataset_of(const toy *data, const gn2_config *config)
{
    gn2_dataset *dataset = NULL;
    assert_ok(gn2_dataset_arrays_impl(&data->jets, &data->labels, config, &dataset));
    return dataset;
}

static fixture setup(const char *const *options)
{
    fixture f = {.config = toy_config(options)};
    f.data = toy_create(64, 31);
    f.val = toy_create(75, 32);
    f.trainer = toy_trainer(f.config);
    f.train_set = dataset_of(f.data, f.config);
    gn2_config *in_order = NULL;
    assert_ok(gn2_config_clone(f.config, &in_order));
    assert_ok(gn2_config_put_str(in_order, "data.sampling", "sequential"));
    assert_ok(gn2_config_put_i64(in_order, "data.batch_size", 30)); /* 30, 30, 15 */
    f.val_set = dataset_of(f.val, in_order);
    gn2_config_delete(in_order);
    return f;
}

static void teardown(fixture *f)
{
    gn2_dataset_free_impl(f->train_set);
    gn2_dataset_free_impl(f->val_set);
    gn2_train_delete(f->trainer);
    gn2_config_delete(f->config);
    toy_free(f->data);
    toy_free(f->val);
}

#define RUN OPTIONS("train.epochs=3", "data.batch_size=16", "schedule.steps=0")

/* ---- progress ---- */

typedef struct record {
    int64_t steps, epochs;
    double first_loss, last_loss, last_seconds;
} record;

static int32_t take_notes(void *user, const gn2_progress *p)
{
    record *r = user;
    assert_int_equal(p->epochs, 3);
    assert_int_equal(p->steps, 12);
    assert_true(p->seconds >= r->last_seconds);
    r->last_seconds = p->seconds;
    if (p->event == GN2_EVENT_STEP) {
        r->steps++;
        assert_int_equal(p->step, r->steps);
        assert_int_equal(p->epoch, (r->steps - 1) / 4);
        assert_int_equal(p->stats->step, r->steps);
        assert_null(p->validation);
        return 0;
    }
    assert_int_equal(p->event, GN2_EVENT_EPOCH);
    assert_int_equal(p->epoch, r->epochs);
    assert_non_null(p->validation);
    if (r->epochs == 0) r->first_loss = p->validation->task_losses[0];
    r->last_loss = p->validation->task_losses[0];
    r->epochs++;
    return 0;
}

static void progress_is_told_step_by_step(void **state)
{
    fixture f = setup(RUN);
    record r = {0};
    (void)state;
    assert_ok(gn2_train_fit(f.trainer, f.train_set, f.val_set, take_notes, &r));
    assert_int_equal(r.steps, 12);
    assert_int_equal(r.epochs, 3);
    assert_true(r.last_loss < r.first_loss);
    assert_status(GN2_ERR_STATE,
                  gn2_train_fit(f.trainer, f.train_set, f.val_set, take_notes, &r));
    assert_message("3 of 3 epochs");
    assert_int_equal(r.steps, 12); /* nothing is left to do */
    teardown(&f);
}

static void a_schedule_shorter_than_the_epochs_ends_the_run(void **state)
{
    fixture f = setup(OPTIONS("train.epochs=3", "data.batch_size=16",
                              "schedule.steps=6", "schedule.pct_start=0.5"));
    (void)state;
    assert_ok(gn2_train_fit(f.trainer, f.train_set, NULL, NULL, NULL));
    assert_int_equal(gn2_train_steps(f.trainer), 6);
    teardown(&f);
}

static void validation_without_labels_is_refused_at_once(void **state)
{
    fixture f = setup(RUN);
    gn2_dataset *blind = NULL;
    (void)state;
    assert_ok(gn2_dataset_arrays_impl(&f.val->jets, NULL, f.config, &blind));
    assert_status(GN2_ERR_INVALID_ARG,
                  gn2_train_fit(f.trainer, f.train_set, blind, NULL, NULL));
    assert_message("validation");
    assert_int_equal(gn2_train_steps(f.trainer), 0);
    gn2_dataset_free_impl(blind);
    teardown(&f);
}

/* Validation must not move the run: with it and without it, the same weights. */
static void validation_leaves_the_run_alone(void **state)
{
    fixture a = setup(RUN), b = setup(RUN);
    (void)state;
    assert_ok(gn2_train_fit(a.trainer, a.train_set, a.val_set, NULL, NULL));
    assert_ok(gn2_train_fit(b.trainer, b.train_set, NULL, NULL, NULL));
    assert_same_weights(a.trainer, b.trainer);
    teardown(&a);
    teardown(&b);
}

/* ---- metrics against a tagger's outputs, counted one by one ---- */

typedef struct scores {
    float *p, *d_b, *origin;
    int32_t *vertex;
} scores;

static scores tag(const fixture *f)
{
    static const char *const names[] = {"jets.probabilities", "jets.D_b",
                                        "tracks.origin", "tracks.vertex"};
    const toy *v = f->val;
    const int64_t jets = v->jets.count, rows = v->offsets[jets];
    scores s = {gn2_alloc((size_t)jets * 4, sizeof(float)),
                gn2_alloc((size_t)jets, sizeof(float)),
                gn2_alloc((size_t)rows * 8, sizeof(float)),
                gn2_alloc((size_t)rows, sizeof(int32_t))};
    void *to[] = {s.p, s.d_b, s.origin, s.vertex};
    gn2_output out[4];
    gn2_tagger *tagger = NULL;
    gn2_model *model = NULL;
    assert_ok(gn2_train_snapshot(f->trainer, &model));
    assert_ok(gn2_tag_new(model, f->config, &tagger));
    for (int i = 0; i < 4; i++) {
        out[i] = (gn2_output){.struct_size = sizeof out[i],
                              .data = to[i],
                              .capacity = i < 2 ? jets : rows};
        assert_ok(gn2_tag_find_output(&tagger->outputs, names[i], &out[i].id));
    }
    assert_ok(gn2_tag_run(tagger, &v->jets, out, 4));
    gn2_tag_delete(tagger);
    gn2_model_unref(model);
    return s;
}

static int best(const float *x, int n)
{
    int k = 0;
    for (int i = 1; i < n; i++)
        if (x[i] > x[k]) k = i;
    return k;
}

/* Share of (b jet, other jet) pairs in order, ties half. */
static double brute_auc(const toy *v, const float *d, int32_t other)
{
    double won = 0, pairs = 0;
    for (int64_t i = 0; i < v->jets.count; i++)
        for (int64_t j = 0; j < v->jets.count; j++) {
            if (v->flavour[i] != 0 || v->flavour[j] != other) continue;
            pairs++;
            won += d[i] > d[j] ? 1 : d[i] == d[j] ? 0.5 : 0;
        }
    return won / pairs;
}

static double passing(const toy *v, const float *d, int32_t flavour, double cut)
{
    double all = 0, pass = 0;
    for (int64_t i = 0; i < v->jets.count; i++) {
        all += v->flavour[i] == flavour;
        pass += v->flavour[i] == flavour && (double)d[i] >= cut;
    }
    return pass / all;
}

static double accuracy(const toy *v, const scores *s)
{
    double right = 0, all = 0;
    for (int64_t i = 0; i < v->jets.count; i++) {
        all += v->flavour[i] >= 0;
        right += best(s->p + 4 * i, 4) == v->flavour[i];
    }
    return right / all;
}

static double origin_accuracy(const toy *v, const scores *s)
{
    double right = 0, all = 0;
    for (int64_t r = 0; r < v->offsets[v->jets.count]; r++) {
        all += v->origin[r] >= 0;
        right += best(s->origin + 8 * r, 8) == v->origin[r];
    }
    return right / all;
}

static void pair_shares(const toy *v, const scores *s, double *efficiency,
                        double *purity)
{
    double truth = 0, found = 0, both = 0;
    for (int64_t b = 0; b < v->jets.count; b++)
        for (int64_t i = v->offsets[b]; i < v->offsets[b + 1]; i++)
            for (int64_t j = v->offsets[b]; j < i; j++) {
                const int t = v->vertex[i] >= 0 && v->vertex[i] == v->vertex[j];
                const int g = s->vertex[i] == s->vertex[j];
                truth += t;
                found += g;
                both += t && g;
            }
    *efficiency = both / truth;
    *purity = both / found;
}

static void assert_near(double got, double want)
{
    if (!(fabs(got - want) < 1e-12)) fail_msg("%.17g, not %.17g", got, want);
}

static double metric(const gn2_metrics *m, const char *name)
{
    for (int64_t i = 0; i < m->metric_count; i++)
        if (strcmp(m->metrics[i].name, name) == 0) return m->metrics[i].value;
    fail_msg("no metric '%s'", name);
    return 0;
}

static void check_rejections(const fixture *f, const scores *s, const gn2_metrics *m)
{
    static const int32_t columns[] = {2, 1, 3}; /* light, c, tau */
    for (int p = 0; p < GN2_WORKING_POINTS; p++) {
        static const double points[] = {0.65, 0.70, 0.77, 0.85};
        assert_true(passing(f->val, s->d_b, 0, m->cut[p]) >= points[p]);
        for (int k = 0; k < 3; k++) {
            const double share = passing(f->val, s->d_b, columns[k], m->cut[p]);
            if (share > 0)
                assert_near(m->rejection[p][k], 1 / share);
            else
                assert_true(isinf(m->rejection[p][k]));
        }
    }
}

static void metrics_are_those_of_the_taggers_scores(void **state)
{
    fixture f =
        setup(OPTIONS("train.epochs=40", "data.batch_size=16", "schedule.steps=0",
                      "train.threads=2", "model.dropout_heads=0.3"));
    gn2_metrics m;
    double efficiency, purity;
    (void)state;
    f.val->flavour[3] = -1;
    assert_ok(gn2_train_fit(f.trainer, f.train_set, NULL, NULL, NULL));
    assert_ok(gn2_train_evaluate(f.trainer, f.val_set, &m));
    scores s = tag(&f);
    assert_int_equal(m.jets, 75);
    assert_near(metric(&m, "jets_classification.accuracy"), accuracy(f.val, &s));
    assert_near(metric(&m, "track_origin.accuracy"), origin_accuracy(f.val, &s));
    assert_near(m.auc_b_light, brute_auc(f.val, s.d_b, 2));
    assert_near(m.auc_b_c, brute_auc(f.val, s.d_b, 1));
    pair_shares(f.val, &s, &efficiency, &purity);
    assert_near(metric(&m, "track_vertexing.pair_efficiency"), efficiency);
    assert_near(metric(&m, "track_vertexing.pair_purity"), purity);
    assert_near(metric(&m, "D_b.rejection_77_cjets"), m.rejection[2][1]);
    check_rejections(&f, &s, &m);
    gn2_free(s.p);
    gn2_free(s.d_b);
    gn2_free(s.origin);
    gn2_free(s.vertex);
    teardown(&f);
}

/* Mean over batches of the batches' losses, each over its own totals. */
static void losses_are_means_over_batches(void **state)
{
    static const int64_t first[] = {0, 30, 60}, count[] = {30, 30, 15};
    fixture f = setup(
        OPTIONS("schedule.name=constant", "schedule.max=0", "data.batch_size=16"));
    gn2_metrics m;
    double jets = 0, origin = 0, vertex = 0;
    (void)state;
    assert_ok(gn2_train_evaluate(f.trainer, f.val_set, &m));
    for (int i = 0; i < 3; i++) { /* a step at rate 0 tells the loss of a batch */
        toy batch;
        gn2_step_stats stats;
        toy_batch(f.val, first[i], count[i], &batch);
        assert_ok(gn2_train_step(f.trainer, &batch.jets, &batch.labels, &stats));
        gn2_free(batch.offsets);
        jets += stats.task_losses[0] / 3;
        origin += stats.task_losses[1] / 3;
        vertex += stats.task_losses[2] / 3;
    }
    assert_near(m.task_losses[0], jets);
    assert_near(m.task_losses[1], origin);
    assert_near(m.task_losses[2], vertex);
    assert_near(m.loss, jets + origin + vertex);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(progress_is_told_step_by_step),
        cmocka_unit_test(a_schedule_shorter_than_the_epochs_ends_the_run),
        cmocka_unit_test(validation_without_labels_is_refused_at_once),
        cmocka_unit_test(validation_leaves_the_run_alone),
        cmocka_unit_test(metrics_are_those_of_the_taggers_scores),
        cmocka_unit_test(losses_are_means_over_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gn2_dataset_setup(): normalisation, class weights, class names and provenance
 * into a config, from salt's dicts or computed as UPP does. What the config has
 * already is kept, and not looked for.
 */
#include <math.h>
#include <string.h>

#include "data/dataset.h"
#include "data/dataset_object.h"
#include "data/dicts.h"
#include "data/shards.h"
#include "data/stats.h"
#include "util/alloc.h"
#include "util/error.h"
#include "util/rng.h"

/* Jets whose constituents are counted for train.shards. */
#define COUNTED_JETS 10000

/* What will be written; arrays sized by the schema. */
typedef struct findings {
    double *mean[1 + GN2_MAX_PARTS], *std[1 + GN2_MAX_PARTS]; /* NULL: given */
    double *weights[GN2_MAX_LABELS]; /* of its classes; NULL: not wanted, or given */
    int64_t shards;                  /* 0: given */
    char *provenance;
    gn2_text given; /* keys that are kept, comma between */
} findings;

static void clear(findings *f)
{
    for (int32_t o = 0; o <= GN2_MAX_PARTS; o++) {
        gn2_free(f->mean[o]);
        gn2_free(f->std[o]);
    }
    for (int32_t k = 0; k < GN2_MAX_LABELS; k++) gn2_free(f->weights[k]);
    gn2_free(f->provenance);
    gn2_free(f->given.data);
}

/* Has the config a list of `count` numbers already? Then it is noted. */
static gn2_status note_given(const gn2_config *config, const char *key, size_t count,
                             findings *f, int *out_given)
{
    const size_t has = gn2_config_list_count(config, key);
    *out_given = has > 0;
    if (has == 0) return GN2_OK;
    if (has != count)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "%s has %zu values, %zu are needed; empty, it is made of the "
                        "data",
                        key, has, count);
    if (f->given.length) gn2_text_add(&f->given, ",");
    gn2_text_add(&f->given, key);
    return f->given.failed ? gn2_fail_memory() : GN2_OK;
}

/* Room for what a key is to get, unless it has something. */
static gn2_status make_room(const gn2_config *config, const char *key, size_t count,
                            findings *f, double **out)
{
    int given;
    GN2_TRY(note_given(config, key, count, f, &given));
    if (given) return GN2_OK;
    *out = gn2_alloc(count, sizeof **out);
    return *out ? GN2_OK : gn2_fail_memory();
}

static const char *weights_key(const gn2_schema *s, int32_t k, char key[128])
{
    return gn2_config_key_of(key, "task.%s.class_weights",
                             s->h.task[s->label[k].task].name);
}

static gn2_status make_norm(const gn2_object *object, const gn2_config *config,
                            findings *f, int32_t o)
{
    char key[128];
    gn2_config_key_of(key, "norm.%s.mean", object->name);
    GN2_TRY(make_room(config, key, object->input_count, f, &f->mean[o]));
    gn2_config_key_of(key, "norm.%s.std", object->name);
    return make_room(config, key, object->input_count, f, &f->std[o]);
}

/* A config that was set up by data without them may have class weights of its own. */
static gn2_status make_weights(const gn2_dataset *d, const gn2_config *config,
                               findings *f, int32_t k)
{
    const gn2_label_column *label = &d->schema.label[k];
    const int wanted =
        strcmp(gn2_config_str(d->config, "data.class_weights"), "yes") == 0;
    const size_t count = (size_t)label->most + 1;
    char key[128];
    int given;
    if (!label->classes_key[0]) return GN2_OK;
    weights_key(&d->schema, k, key);
    if (wanted && label->columns)
        return make_room(config, key, count, f, &f->weights[k]);
    return note_given(config, key, count, f, &given);
}

static gn2_status make(const gn2_dataset *d, const gn2_config *config, findings *f)
{
    const gn2_schema *s = &d->schema;
    for (int32_t o = 0; o < s->object_count; o++)
        GN2_TRY(make_norm(&s->object[o], config, f, o));
    for (int32_t k = 0; k < s->label_count; k++) GN2_TRY(make_weights(d, config, f, k));
    return GN2_OK;
}

static int wants_norm(const findings *f)
{
    for (int32_t o = 0; o <= GN2_MAX_PARTS; o++)
        if (f->mean[o] || f->std[o]) return 1;
    return 0;
}

static int wants_weights(const findings *f)
{
    for (int32_t k = 0; k < GN2_MAX_LABELS; k++)
        if (f->weights[k]) return 1;
    return 0;
}

/* ---- from the data ---- */

static gn2_status norm_from_stats(const gn2_schema *schema, const gn2_stats *stats,
                                  findings *f)
{
    for (int32_t o = 0; o < schema->object_count; o++) {
        const gn2_object *object = &schema->object[o];
        for (size_t i = 0; i < object->input_count; i++) {
            if (f->mean[o]) f->mean[o][i] = stats->input[o][i].mean;
            if (!f->std[o]) continue;
            f->std[o][i] = gn2_moments_std(&stats->input[o][i]);
            if (f->std[o][i] > 0) continue;
            return gn2_fail(GN2_ERR_NUMERIC,
                            "'%s' of %s does not vary (standard deviation 0 over %.0f "
                            "values): leave it out of inputs.%s",
                            object->inputs[i], object->name, stats->input[o][i].count,
                            object->name);
        }
    }
    return GN2_OK;
}

/* UPP: total / count, divided by the smallest, two decimals. */
static gn2_status weights_from_counts(const int64_t *counts, size_t classes,
                                      const gn2_config *config, const char *names_key,
                                      double *weights)
{
    int64_t most = 0;
    for (size_t i = 0; i < classes; i++) {
        if (counts[i] > most) most = counts[i];
        if (counts[i] > 0) continue;
        return gn2_fail(GN2_ERR_NOT_FOUND,
                        "class '%s' of %s does not occur in the data, so it has no "
                        "weight: leave it out, name data.class_dict, or set "
                        "data.class_weights = no",
                        gn2_config_list_item(config, names_key, i), names_key);
    }
    for (size_t i = 0; i < classes; i++)
        weights[i] = round((double)most / (double)counts[i] * 100) / 100;
    return GN2_OK;
}

static gn2_status require(const gn2_dataset *d, int32_t k)
{
    const gn2_label_column *label = &d->schema.label[k];
    if (d->source->shape.label[k].columns) return GN2_OK;
    return gn2_fail(GN2_ERR_NOT_FOUND,
                    "the data has no label '%s' of %s for class weights: set "
                    "data.class_weights = no to do without",
                    label->field[0], d->schema.object[label->object].name);
}

static gn2_status weights_from_stats(const gn2_dataset *d, const gn2_stats *stats,
                                     findings *f)
{
    const gn2_schema *s = &d->schema;
    for (int32_t k = 0; k < s->label_count; k++) {
        if (!f->weights[k]) continue;
        GN2_TRY(require(d, k));
        GN2_TRY(weights_from_counts(stats->classes[k], (size_t)s->label[k].most + 1,
                                    d->config, s->label[k].classes_key, f->weights[k]));
    }
    return GN2_OK;
}

/* ---- from the dicts ---- */

static gn2_status norm_from_dict(const gn2_dataset *d, const char *path, findings *f)
{
    for (int32_t o = 0; o < d->schema.object_count; o++) {
        if (!f->mean[o] && !f->std[o]) continue;
        GN2_TRY(gn2_norm_dict_read(path, &d->schema.object[o], f->mean[o], f->std[o]));
    }
    return GN2_OK;
}

/* The list of a jet label is in the order of the file's values, ours in that of the
 * classes. */
static gn2_status weights_of_label(const gn2_dataset *d, const char *path, int32_t k,
                                   double *weights)
{
    const gn2_schema *s = &d->schema;
    const gn2_label_column *label = &s->label[k];
    const size_t classes = (size_t)label->most + 1;
    const gn2_label_map *map =
        label->object == 0 ? d->source->labels(d->source, k) : NULL;
    const size_t count = map ? map->count : classes;
    double listed[GN2_LABEL_MAP_MAX];
    GN2_TRY(gn2_class_dict_read(path, s->object[label->object].dataset, label->field[0],
                                listed, count));
    for (size_t i = 0; i < count; i++) {
        const int32_t to = map ? map->class_index[i] : (int32_t)i;
        if (to >= 0) weights[to] = listed[i];
    }
    for (size_t i = 0; i < classes; i++)
        if (!(weights[i] > 0))
            return gn2_fail(GN2_ERR_NOT_FOUND, "'%s': no weight for class '%s'", path,
                            gn2_config_list_item(d->config, label->classes_key, i));
    return GN2_OK;
}

static gn2_status weights_from_dict(const gn2_dataset *d, const char *path, findings *f)
{
    for (int32_t k = 0; k < d->schema.label_count; k++)
        if (f->weights[k]) GN2_TRY(weights_of_label(d, path, k, f->weights[k]));
    return GN2_OK;
}

/* ---- both ---- */

static gn2_status collect(gn2_dataset *d, gn2_stats *stats)
{
    const int64_t jets = gn2_sampler_jet_count(d->sampler);
    const int64_t most = gn2_config_i64(d->config, "data.norm_jets");
    return gn2_stats_collect(d->source, most >= 0 && most < jets ? most : jets,
                             &d->stop, stats);
}

static gn2_status find(gn2_dataset *d, findings *f)
{
    const char *norm = gn2_config_str(d->config, "data.norm_dict");
    const char *classes = gn2_config_str(d->config, "data.class_dict");
    if (norm[0]) GN2_TRY(norm_from_dict(d, norm, f));
    if (classes[0]) GN2_TRY(weights_from_dict(d, classes, f));
    const int of_norm = !norm[0] && wants_norm(f);
    if (!of_norm && (classes[0] || !wants_weights(f))) return GN2_OK;
    gn2_stats stats;
    GN2_TRY(collect(d, &stats));
    gn2_status status = GN2_OK;
    if (of_norm) status = norm_from_stats(&d->schema, &stats, f);
    if (status == GN2_OK && !classes[0]) status = weights_from_stats(d, &stats, f);
    gn2_stats_clear(&stats);
    return status;
}

/* The first jets alone, so that the number does not depend on data.norm_jets, nor on
 * what else is to be found. */
static gn2_status find_shards(gn2_dataset *d, const gn2_config *config, findings *f)
{
    const int64_t all = gn2_sampler_jet_count(d->sampler);
    const int64_t jets = all < COUNTED_JETS ? all : COUNTED_JETS;
    gn2_stats stats;
    if (gn2_config_i64(config, "train.shards") > 0) return GN2_OK;
    GN2_TRY(gn2_stats_collect(d->source, jets, &d->stop, &stats));
    const double mean =
        jets ? (double)stats.constituents / (double)jets : GN2_USUAL_CONSTITUENTS;
    f->shards = gn2_shards_of(gn2_config_i64(d->config, "data.batch_size"), mean);
    gn2_stats_clear(&stats);
    return GN2_OK;
}

static uint64_t hash_text(const gn2_text *text)
{
    uint64_t hash = text->length;
    for (size_t i = 0; i < text->length; i++)
        hash = gn2_mix64(hash + 0x9E3779B97F4A7C15u + (unsigned char)text->data[i]);
    return hash;
}

static gn2_status find_provenance(const gn2_dataset *d, findings *f)
{
    gn2_text description = {0}, line = {0};
    d->source->describe(d->source, &description);
    d->source->title(d->source, &line);
    gn2_text_format(&line, " (%lld jets, %016llx)",
                    (long long)gn2_sampler_jet_count(d->sampler),
                    (unsigned long long)hash_text(&description));
    const int failed = description.failed || line.failed;
    gn2_free(description.data);
    f->provenance = line.data;
    return failed ? gn2_fail_memory() : GN2_OK;
}

/* Classes that were set and are not the dataset's would be overwritten. */
static gn2_status check_classes(const gn2_dataset *d, const gn2_config *config)
{
    const char *ours, *theirs;
    int usual;
    GN2_TRY(gn2_config_is_default(config, "model.classes", &usual));
    GN2_TRY(gn2_config_read_text(d->config, "model.classes", &ours));
    GN2_TRY(gn2_config_read_text(config, "model.classes", &theirs));
    if (usual || strcmp(ours, theirs) == 0) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "model.classes is '%.80s', the dataset was opened with '%.80s': "
                    "open it with the same",
                    theirs, ours);
}

/* The inputs a config names must be those the dataset reads. */
static gn2_status check_inputs(const gn2_dataset *d, const gn2_config *config)
{
    char key[128];
    for (int32_t o = 0; o < d->schema.object_count; o++) {
        const char *ours, *theirs;
        gn2_config_key_of(key, "inputs.%s", d->schema.object[o].name);
        GN2_TRY(gn2_config_read_text(d->config, key, &ours));
        GN2_TRY(gn2_config_read_text(config, key, &theirs));
        if (strcmp(ours, theirs) != 0)
            return gn2_fail(GN2_ERR_INVALID_ARG,
                            "%s differs from that of the config the dataset was opened "
                            "with",
                            key);
    }
    return GN2_OK;
}

static gn2_status put_list(gn2_config *config, const char *key, const double *values,
                           size_t count)
{
    return values ? gn2_config_put_f64_list(config, key, values, count) : GN2_OK;
}

static gn2_status put_norm(const gn2_dataset *d, const findings *f, gn2_config *config)
{
    char key[128];
    for (int32_t o = 0; o < d->schema.object_count; o++) {
        const gn2_object *object = &d->schema.object[o];
        gn2_config_key_of(key, "norm.%s.mean", object->name);
        GN2_TRY(put_list(config, key, f->mean[o], object->input_count));
        gn2_config_key_of(key, "norm.%s.std", object->name);
        GN2_TRY(put_list(config, key, f->std[o], object->input_count));
    }
    return GN2_OK;
}

/* Weights, and the names of the classes they are of. */
static gn2_status put_weights(const gn2_dataset *d, const findings *f,
                              gn2_config *config)
{
    const gn2_schema *s = &d->schema;
    for (int32_t k = 0; k < s->label_count; k++) {
        char key[128];
        if (!f->weights[k]) continue;
        GN2_TRY(gn2_config_put_f64_list(config, weights_key(s, k, key), f->weights[k],
                                        (size_t)s->label[k].most + 1));
    }
    return GN2_OK;
}

static gn2_status put_classes(const gn2_dataset *d, gn2_config *config)
{
    const char *text;
    GN2_TRY(gn2_config_read_text(d->config, "model.classes", &text));
    return gn2_config_put_text(config, "model.classes", text);
}

static gn2_status put(const gn2_dataset *d, const findings *f, gn2_config *config)
{
    char jets[32];
    gn2_format_f64((double)gn2_sampler_jet_count(d->sampler), jets);
    GN2_TRY(put_classes(d, config));
    GN2_TRY(put_norm(d, f, config));
    GN2_TRY(put_weights(d, f, config));
    if (f->shards) GN2_TRY(gn2_config_put_i64(config, "train.shards", f->shards));
    GN2_TRY(gn2_config_put_str(config, "provenance.data", f->provenance));
    if (f->given.length)
        GN2_TRY(gn2_config_put_str(config, "provenance.given", f->given.data));
    return gn2_config_put_str(config, "provenance.jets", jets);
}

/* Tried on a copy first: a failure leaves the caller's config as it was. */
static gn2_status apply(const gn2_dataset *d, const findings *f, gn2_config *config)
{
    gn2_config *trial = NULL;
    GN2_TRY(gn2_config_clone(config, &trial));
    const gn2_status status = put(d, f, trial);
    gn2_config_delete(trial);
    return status == GN2_OK ? put(d, f, config) : status;
}

gn2_status gn2_dataset_setup_impl(gn2_dataset *d, gn2_config *config)
{
    findings f = {0};
    /* the source is the thread's while it runs; next() starts it again */
    if (d->reader) gn2_reader_stop(d->reader);
    gn2_status status;
    GN2_TRY_GOTO(gn2_trouble_raise(&d->source->trouble));
    GN2_TRY_GOTO(check_inputs(d, config));
    GN2_TRY_GOTO(check_classes(d, config));
    GN2_TRY_GOTO(make(d, config, &f));
    GN2_TRY_GOTO(find(d, &f));
    GN2_TRY_GOTO(find_shards(d, config, &f));
    GN2_TRY_GOTO(find_provenance(d, &f));
    status = apply(d, &f, config);
fail:
    atomic_store(&d->stop, 0); /* there is nothing left to stop */
    clear(&f);
    return status;
}

void gn2_dataset_request_stop_impl(gn2_dataset *d)
{
    atomic_store(&d->stop, 1);
}

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

/* Numbers that a key is to get. */
typedef struct list {
    char key[128];
    size_t count;
    double *value; /* NULL: not wanted, or given */
} list;

/* Lists of means and deviations, an object after the other; behind them, of weights. */
enum { NORMS = 2 * (1 + GN2_MAX_PARTS), LISTS = NORMS + GN2_MAX_LABELS };

/* What will be written. */
typedef struct findings {
    list list[LISTS];
    int64_t shards; /* 0: given */
    char *provenance;
    gn2_text given; /* keys that are kept, comma between */
} findings;

static void clear(findings *f)
{
    for (int i = 0; i < LISTS; i++) gn2_free(f->list[i].value);
    gn2_free(f->provenance);
    gn2_free(f->given.data);
}

static double *mean_of(const findings *f, int32_t object)
{
    return f->list[2 * object].value;
}

static double *std_of(const findings *f, int32_t object)
{
    return f->list[2 * object + 1].value;
}

/* Is anything wanted of lists first … end−1? */
static int wants(const findings *f, int first, int end)
{
    for (int i = first; i < end; i++)
        if (f->list[i].value) return 1;
    return 0;
}

/* A key that has numbers keeps them, and is noted; one that has none gets room for what
 * is wanted. */
static gn2_status make_list(const gn2_config *config, int wanted, findings *f, list *l)
{
    const size_t has = gn2_config_list_count(config, l->key);
    if (has == 0 && wanted) {
        l->value = gn2_alloc(l->count, sizeof *l->value);
        return l->value ? GN2_OK : gn2_fail_memory();
    }
    if (has == 0) return GN2_OK;
    if (has != l->count)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "%s has %zu values, %zu are needed; empty, it is made of the "
                        "data",
                        l->key, has, l->count);
    if (f->given.length) gn2_text_add(&f->given, ",");
    gn2_text_add(&f->given, l->key);
    return f->given.failed ? gn2_fail_memory() : GN2_OK;
}

static gn2_status make_norm(const gn2_object *object, const gn2_config *config,
                            findings *f, list *norm)
{
    gn2_config_key_of(norm[0].key, "norm.%s.mean", object->name);
    gn2_config_key_of(norm[1].key, "norm.%s.std", object->name);
    norm[0].count = norm[1].count = object->input_count;
    GN2_TRY(make_list(config, 1, f, &norm[0]));
    return make_list(config, 1, f, &norm[1]);
}

/* A config that was set up by data without them may have class weights of its own. */
static gn2_status make_weights(const gn2_dataset *d, const gn2_config *config,
                               findings *f, int32_t k)
{
    const gn2_label_column *label = &d->schema.label[k];
    list *weights = &f->list[NORMS + k];
    if (!label->classes_key[0]) return GN2_OK;
    gn2_config_key_of(weights->key, "task.%s.class_weights",
                      d->schema.h.task[label->task].name);
    weights->count = (size_t)label->most + 1;
    const int wanted = gn2_config_says(d->config, "data.class_weights", "yes");
    return make_list(config, wanted && label->columns, f, weights);
}

static gn2_status make(const gn2_dataset *d, const gn2_config *config, findings *f)
{
    const gn2_schema *s = &d->schema;
    for (int32_t o = 0; o < s->object_count; o++)
        GN2_TRY(make_norm(&s->object[o], config, f, &f->list[2 * o]));
    for (int32_t k = 0; k < s->label_count; k++) GN2_TRY(make_weights(d, config, f, k));
    return GN2_OK;
}

/* ---- from the data ---- */

static gn2_status norm_from_stats(const gn2_schema *schema, const gn2_stats *stats,
                                  findings *f)
{
    for (int32_t o = 0; o < schema->object_count; o++) {
        const gn2_object *object = &schema->object[o];
        double *mean = mean_of(f, o), *std = std_of(f, o);
        for (size_t i = 0; i < object->input_count; i++) {
            if (mean) mean[i] = stats->input[o][i].mean;
            if (!std) continue;
            std[i] = gn2_moments_std(&stats->input[o][i]);
            if (std[i] > 0) continue;
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
static gn2_status weights_from_counts(const int64_t *counts, const gn2_config *config,
                                      const char *names_key, const list *weights)
{
    int64_t most = 0;
    for (size_t i = 0; i < weights->count; i++) {
        if (counts[i] > most) most = counts[i];
        if (counts[i] > 0) continue;
        return gn2_fail(GN2_ERR_NOT_FOUND,
                        "class '%s' of %s does not occur in the data, so it has no "
                        "weight: leave it out, name data.class_dict, or set "
                        "data.class_weights = no",
                        gn2_config_list_item(config, names_key, i), names_key);
    }
    for (size_t i = 0; i < weights->count; i++)
        weights->value[i] = round((double)most / (double)counts[i] * 100) / 100;
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
        const list *weights = &f->list[NORMS + k];
        if (!weights->value) continue;
        GN2_TRY(require(d, k));
        GN2_TRY(weights_from_counts(stats->classes[k], d->config,
                                    s->label[k].classes_key, weights));
    }
    return GN2_OK;
}

/* ---- from the dicts ---- */

static gn2_status norm_from_dict(const gn2_dataset *d, const char *path, findings *f)
{
    for (int32_t o = 0; o < d->schema.object_count; o++) {
        if (!wants(f, 2 * o, 2 * o + 2)) continue;
        GN2_TRY(gn2_norm_dict_read(path, &d->schema.object[o], mean_of(f, o),
                                   std_of(f, o)));
    }
    return GN2_OK;
}

/* The list of a jet label is in the order of the file's values, ours in that of the
 * classes. */
static gn2_status weights_of_label(const gn2_dataset *d, const char *path, int32_t k,
                                   const list *weights)
{
    const gn2_schema *s = &d->schema;
    const gn2_label_column *label = &s->label[k];
    const gn2_label_map *map = label->object == 0 && d->source->labels
                                   ? d->source->labels(d->source, k)
                                   : NULL;
    const size_t count = map ? map->count : weights->count;
    double listed[GN2_LABEL_MAP_MAX];
    GN2_TRY(gn2_class_dict_read(path, s->object[label->object].dataset, label->field[0],
                                listed, count));
    for (size_t i = 0; i < count; i++) {
        const int32_t to = map ? map->class_index[i] : (int32_t)i;
        if (to >= 0) weights->value[to] = listed[i];
    }
    for (size_t i = 0; i < weights->count; i++)
        if (!(weights->value[i] > 0))
            return gn2_fail(GN2_ERR_NOT_FOUND, "'%s': no weight for class '%s'", path,
                            gn2_config_list_item(d->config, label->classes_key, i));
    return GN2_OK;
}

static gn2_status weights_from_dict(const gn2_dataset *d, const char *path, findings *f)
{
    for (int32_t k = 0; k < d->schema.label_count; k++)
        if (f->list[NORMS + k].value)
            GN2_TRY(weights_of_label(d, path, k, &f->list[NORMS + k]));
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
    const int of_norm = !norm[0] && wants(f, 0, NORMS);
    if (!of_norm && (classes[0] || !wants(f, NORMS, LISTS))) return GN2_OK;
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

static gn2_status put(const gn2_dataset *d, const findings *f, gn2_config *config)
{
    char jets[32];
    const char *classes;
    gn2_format_f64((double)gn2_sampler_jet_count(d->sampler), jets);
    GN2_TRY(gn2_config_read_text(d->config, "model.classes", &classes));
    GN2_TRY(gn2_config_put_text(config, "model.classes", classes));
    for (const list *l = f->list; l < f->list + LISTS; l++)
        if (l->value)
            GN2_TRY(gn2_config_put_f64_list(config, l->key, l->value, l->count));
    if (f->shards) GN2_TRY(gn2_config_put_i64(config, "train.shards", f->shards));
    GN2_TRY(gn2_config_put_str(config, "provenance.data", f->provenance));
    if (f->given.length)
        GN2_TRY(gn2_config_put_str(config, "provenance.given", f->given.data));
    return gn2_config_put_str(config, "provenance.jets", jets);
}

/* On a copy: a failure leaves the caller's config as it was. */
static gn2_status apply(const gn2_dataset *d, const findings *f, gn2_config *config)
{
    gn2_config *copy = NULL;
    GN2_TRY(gn2_config_clone(config, &copy));
    const gn2_status status = put(d, f, copy);
    if (status == GN2_OK) gn2_config_swap(config, copy);
    gn2_config_delete(copy);
    return status;
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

/* SPDX-License-Identifier: Apache-2.0 */
#include "tag/discriminant.h"

#include <float.h>
#include <gn2/tagger.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "util/error.h"
#include "util/str.h"

/* What fractions written as decimals may sum to above 1. */
#define ROUNDING 1e-9
/* Gets the rest where nobody else is named. */
#define LIGHT "ujets"

/* The discriminants every model has whose classes allow it. Each weighs the signals of
 * the others by keys discriminant.D_b.f_c, ... */
static const struct usual {
    const char *name, *signal;
} usual[] = {{"D_b", "bjets"}, {"D_c", "cjets"}, {"D_tau", "taujets"}};
#define USUAL_COUNT (sizeof usual / sizeof usual[0])

static const struct usual *find_usual(const char *name)
{
    for (size_t i = 0; i < USUAL_COUNT; i++)
        if (strcmp(usual[i].name, name) == 0) return &usual[i];
    return NULL;
}

/* What a rule is read from. */
typedef struct source {
    const gn2_config *model, *more;
    int64_t classes;
} source;

static const char *class_name(const source *from, int64_t k)
{
    return gn2_config_list_item(from->model, "model.classes", (size_t)k);
}

static int64_t find_class(const source *from, const char *name)
{
    for (int64_t k = 0; k < from->classes; k++)
        if (!strcmp(class_name(from, k), name)) return k;
    return -1;
}

static gn2_status fail_class(const source *from, const char *key, const char *name)
{
    char list[GN2_NAME_LIST_SIZE] = "";
    for (int64_t k = 0; k < from->classes; k++)
        gn2_name_list_add(list, class_name(from, k));
    return gn2_fail(GN2_ERR_INVALID_ARG, "key '%s': no class '%.64s'; the model has%s",
                    key, name, list);
}

/* The config that has a value for a key of discriminant `name`. */
static const gn2_config *config_with(const source *from, const char *format,
                                     const char *name, char key[128])
{
    const char *text = "";
    gn2_config_key_of(key, format, name);
    if (from->more) (void)gn2_config_read_text(from->more, key, &text);
    return text[0] ? from->more : from->model;
}

/* ---- fractions ---- */

gn2_status gn2_fractions_check(const char *name, const double *fraction,
                               int64_t classes, int64_t signal)
{
    double sum = 0;
    for (int64_t k = 0; k < classes; k++) {
        if (k == signal) continue;
        if (!(fraction[k] >= 0 && isfinite(fraction[k])))
            return gn2_fail(GN2_ERR_INVALID_ARG, "%s: fractions[%lld] = %g", name,
                            (long long)k, fraction[k]);
        sum += fraction[k];
    }
    if (sum <= 1 + ROUNDING) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "%s: fractions sum to %.12g, more than 1",
                    name, sum);
}

/* A rule while it is read. */
typedef struct draft {
    gn2_discriminant_rule *rule;
    double left; /* of 1, fraction after fraction as they are listed */
    uint8_t given[GN2_MAX_CLASSES];
} draft;

static gn2_status read_number(draft *d, const char *key, const char *item, int64_t k)
{
    double *fraction = &d->rule->fraction[k];
    const char *colon = strrchr(item, ':');
    if (!colon || !gn2_parse_f64(colon + 1, fraction) ||
        !(*fraction >= 0 && *fraction <= 1))
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "key '%s': '%.100s' is not class:fraction, 0 to 1, nor, for "
                        "one class, class:rest",
                        key, item);
    d->left -= *fraction;
    return GN2_OK;
}

/* "class:number" or "class:rest". */
static gn2_status read_item(const source *from, draft *d, const char *key,
                            const char *item)
{
    const char *colon = strrchr(item, ':');
    char name[128];
    const int length = colon ? (int)(colon - item) : (int)strlen(item);
    snprintf(name, sizeof name, "%.*s", length, item);
    const int64_t k = find_class(from, name);
    if (k < 0) return fail_class(from, key, name);
    if (k == d->rule->signal || d->given[k])
        return gn2_fail(GN2_ERR_INVALID_ARG, "key '%s': '%s' is %s", key, name,
                        d->given[k] ? "named twice" : "the signal");
    d->given[k] = 1;
    if (!colon || strcmp(colon + 1, "rest") != 0 || d->rule->rest >= 0)
        return read_number(d, key, item, k);
    d->rule->rest = k;
    return GN2_OK;
}

static gn2_status read_list(const source *from, draft *d, const gn2_config *config,
                            const char *key)
{
    const size_t count = gn2_config_list_count(config, key);
    for (size_t i = 0; i < count; i++)
        GN2_TRY(read_item(from, d, key, gn2_config_list_item(config, key, i)));
    return GN2_OK;
}

/* A class the model lacks has no fraction, so that light gets it. */
static void read_usual(const source *from, draft *d)
{
    gn2_discriminant_rule *rule = d->rule;
    const struct usual *own = find_usual(rule->name);
    for (const struct usual *other = usual; own && other < usual + USUAL_COUNT;
         other++) {
        char key[128];
        const int64_t k = find_class(from, other->signal);
        if (other == own || k < 0 || k == rule->signal) continue;
        snprintf(key, sizeof key, "discriminant.%s.f_%s", own->name,
                 other->name + strlen("D_"));
        rule->fraction[k] = gn2_config_f64(from->model, key);
        d->left -= rule->fraction[k];
    }
}

/* A key D_b.f_… that is set, i.e. to no default; empty: none. */
static gn2_status find_single(const source *from, const char *name, char key[128])
{
    const struct usual *own = find_usual(name), *other = usual;
    int unset = 1;
    for (; own && unset && other < usual + USUAL_COUNT; other++) {
        if (other == own) continue;
        snprintf(key, 128, "discriminant.%s.f_%s", name, other->name + strlen("D_"));
        GN2_TRY(gn2_config_is_default(from->model, key, &unset));
    }
    if (unset) key[0] = 0;
    return GN2_OK;
}

static gn2_status check_alone(const source *from, const char *name, const char *list)
{
    char key[128];
    GN2_TRY(find_single(from, name, key));
    if (!key[0]) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "key '%s' has no effect beside '%s'", key,
                    list);
}

/* What is left of 1 would be nobody's: there is no such discriminant. */
static gn2_status drop(const source *from, gn2_discriminant_rule *rule)
{
    char key[128];
    GN2_TRY(find_single(from, rule->name, key));
    memset(rule->fraction, 0, sizeof rule->fraction);
    if (!key[0]) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "key '%s': no class gets what the fractions leave of 1, there is "
                    "no " LIGHT ": set discriminant.%s.fractions",
                    key, rule->name);
}

/* ---- rules ---- */

static gn2_status read_rule(const source *from, gn2_discriminant_rule *rule)
{
    char key[128];
    draft d = {.rule = rule, .left = 1};
    const gn2_config *config =
        config_with(from, "discriminant.%s.fractions", rule->name, key);
    const int is_ratio = gn2_config_says(from->model, "discriminant.form", "ratio");
    rule->form = is_ratio ? GN2_FORM_RATIO : GN2_FORM_LOG;
    rule->rest = -1;
    const int listed = gn2_config_list_count(config, key) > 0;
    if (listed && config == from->model) GN2_TRY(check_alone(from, rule->name, key));
    if (listed)
        GN2_TRY(read_list(from, &d, config, key));
    else
        read_usual(from, &d);
    const int64_t light = find_class(from, LIGHT);
    if (rule->rest < 0 && light >= 0 && light != rule->signal && !d.given[light])
        rule->rest = light;
    if (!listed && light < 0 && d.left > ROUNDING) GN2_TRY(drop(from, rule));
    GN2_TRY(
        gn2_fractions_check(rule->name, rule->fraction, from->classes, rule->signal));
    if (rule->rest >= 0) rule->fraction[rule->rest] = fmax(d.left, 0);
    return GN2_OK;
}

/* Whether there is anything below the fraction line. */
static int compares(const source *from, const gn2_discriminant_rule *rule)
{
    int any = rule->rest >= 0;
    for (int64_t k = 0; k < from->classes; k++) any |= rule->fraction[k] > 0;
    return any;
}

/* Adds the discriminant unless it is a usual one that the classes do not allow. */
static gn2_status add(const source *from, const char *name, gn2_discriminants *out)
{
    char key[128];
    const struct usual *own = find_usual(name);
    gn2_discriminant_rule rule = {0};
    const gn2_config *config = config_with(from, "discriminant.%s.signal", name, key);
    const char *given = gn2_config_str(config, key);
    const char *signal = given[0] || !own ? given : own->signal;
    rule.signal = find_class(from, signal);
    if (rule.signal < 0 && own && !given[0]) return GN2_OK;
    if (!signal[0]) return gn2_fail(GN2_ERR_INVALID_ARG, "key '%s' is not set", key);
    if (rule.signal < 0) return fail_class(from, key, signal);
    if (out->count == GN2_MAX_DISCRIMINANTS)
        return gn2_fail(GN2_ERR_INVALID_ARG, "key '%s': more than %d discriminants",
                        key, GN2_MAX_DISCRIMINANTS);
    snprintf(rule.name, sizeof rule.name, "%s", name);
    GN2_TRY(read_rule(from, &rule));
    if (compares(from, &rule))
        out->rule[out->count++] = rule;
    else if (given[0])
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "%s compares with no class: set discriminant.%s.fractions",
                        name, name);
    return GN2_OK;
}

/* NAME of a key discriminant.NAME.signal or .fractions; 0: another key. */
static int name_in(const char *key, char name[GN2_DISCRIMINANT_NAME_SIZE])
{
    static const char prefix[] = "discriminant.";
    if (strncmp(key, prefix, sizeof prefix - 1) != 0) return 0;
    key += sizeof prefix - 1;
    const char *dot = strchr(key, '.');
    if (!dot || strchr(key, '*')) return 0;
    if (strcmp(dot, ".signal") != 0 && strcmp(dot, ".fractions") != 0) return 0;
    snprintf(name, GN2_DISCRIMINANT_NAME_SIZE, "%.*s", (int)(dot - key), key);
    return 1;
}

static gn2_status check_name(const char *key, const char *name)
{
    if (name[0] == 'D' && name[1] == '_' && name[2] && gn2_config_is_name(name))
        return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "key '%.160s': a discriminant is called D_ and letters, digits "
                    "and _, 64 at most",
                    key);
}

/* Those a config defines beside the usual ones. */
static gn2_status add_defined(const source *from, const gn2_config *config,
                              gn2_discriminants *out)
{
    for (size_t i = 0; i < gn2_config_slot_count(config); i++) {
        const char *key, *text;
        char name[GN2_DISCRIMINANT_NAME_SIZE];
        gn2_config_slot_at(config, i, &key, &text);
        if (!text[0] || !name_in(key, name)) continue;
        GN2_TRY(check_name(key, name));
        if (!find_usual(name) && !gn2_discriminant_find(out, name))
            GN2_TRY(add(from, name, out));
    }
    return GN2_OK;
}

/* jets.D_x_gradient is an output of D_x. */
static gn2_status check_gradients(const gn2_discriminants *all)
{
    for (size_t i = 0; i < all->count; i++) {
        const gn2_discriminant_rule *rule = &all->rule[i];
        const size_t end = strlen(rule->name);
        for (size_t k = 0; k < all->count; k++)
            if (strncmp(all->rule[k].name, rule->name, end) == 0 &&
                strcmp(all->rule[k].name + end, "_gradient") == 0)
                return gn2_fail(GN2_ERR_INVALID_ARG,
                                "discriminant.%s: that is the name of the gradient of "
                                "%s; choose another",
                                all->rule[k].name, rule->name);
    }
    return GN2_OK;
}

gn2_status gn2_discriminants_read(const gn2_config *model, const gn2_config *more,
                                  gn2_discriminants *out)
{
    const source from = {.model = model,
                         .more = more,
                         .classes =
                             (int64_t)gn2_config_list_count(model, "model.classes")};
    out->count = 0;
    if (from.classes > GN2_MAX_CLASSES)
        return gn2_fail(GN2_ERR_INVALID_ARG, "model.classes: %lld, at most %d",
                        (long long)from.classes, GN2_MAX_CLASSES);
    for (size_t i = 0; i < USUAL_COUNT; i++) GN2_TRY(add(&from, usual[i].name, out));
    GN2_TRY(add_defined(&from, model, out));
    if (more) GN2_TRY(add_defined(&from, more, out));
    return check_gradients(out);
}

const gn2_discriminant_rule *gn2_discriminant_find(const gn2_discriminants *all,
                                                   const char *name)
{
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->rule[i].name, name) == 0) return &all->rule[i];
    return NULL;
}

/* Σ f_k p_k over the classes that are not the signal. */
static double weighted_others(const float *p, int64_t classes, int64_t signal,
                              const double *fraction)
{
    double others = 0;
    for (int64_t k = 0; k < classes; k++)
        if (k != signal) others += fraction[k] * (double)p[k];
    return others;
}

float gn2_discriminant_value(const float *p, int64_t classes, int64_t signal,
                             const double *fraction, int32_t form)
{
    const double others = weighted_others(p, classes, signal, fraction);
    if (isnan(others) || isnan(p[signal])) return NAN; /* fmax() would hide it */
    const double top = fmax((double)p[signal], (double)FLT_MIN);
    const double bottom = fmax(others, (double)FLT_MIN);
    const double ratio = top / bottom;
    return (float)(form == GN2_FORM_LOG ? log(ratio) : fmin(ratio, (double)FLT_MAX));
}

/* d log p_s/dz_j = δ_sj − p_j, d log Σ f p/dz_j = f_j p_j/Σ f p − p_j; 0 where the
 * value counts as FLT_MIN. */
void gn2_discriminant_gradient(const float *p, int64_t classes,
                               const gn2_discriminant_rule *rule, float *out)
{
    const double others = weighted_others(p, classes, rule->signal, rule->fraction);
    const int top = p[rule->signal] > FLT_MIN, bottom = others > (double)FLT_MIN;
    double factor = 1;
    if (rule->form != GN2_FORM_LOG)
        factor = (double)gn2_discriminant_value(p, classes, rule->signal,
                                                rule->fraction, rule->form);
    for (int64_t j = 0; j < classes; j++) {
        const double own = j == rule->signal, pj = (double)p[j];
        const double weight = j == rule->signal ? 0 : rule->fraction[j];
        const double up = top ? own - pj : 0;
        const double down = bottom ? weight * pj / others - pj : 0;
        out[j] = (float)(factor * (up - down));
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tag/discriminant.h"

#include <float.h>
#include <gn2/tagger.h>
#include <math.h>
#include <string.h>

typedef struct background {
    const char *class_name, *key;
} background;

typedef struct rule {
    const char *signal;
    background other[2];
} rule;

static const rule rules[] = {
    {"bjets",
     {{"cjets", "discriminant.D_b.f_c"}, {"taujets", "discriminant.D_b.f_tau"}}},
    {"cjets",
     {{"bjets", "discriminant.D_c.f_b"}, {"taujets", "discriminant.D_c.f_tau"}}},
    {"taujets",
     {{"bjets", "discriminant.D_tau.f_b"}, {"cjets", "discriminant.D_tau.f_c"}}},
};

static int64_t find_class(const gn2_model *model, const char *name)
{
    for (int64_t i = 0; i < model->h.classes; i++)
        if (!strcmp(gn2_config_list_item(model->config, "model.classes", (size_t)i),
                    name))
            return i;
    return -1;
}

void gn2_discriminant_of(const gn2_model *model, gn2_discriminant_id id,
                         gn2_discriminant_rule *out)
{
    const char *form = gn2_config_str(model->config, "discriminant.form");
    const int64_t light = find_class(model, "ujets");
    double rest = 1;
    *out = (gn2_discriminant_rule){.signal = find_class(model, rules[id].signal)};
    out->form = strcmp(form, "ratio") == 0 ? GN2_FORM_RATIO : GN2_FORM_LOG;
    for (int i = 0; i < 2; i++) {
        const double f = gn2_config_f64(model->config, rules[id].other[i].key);
        const int64_t k = find_class(model, rules[id].other[i].class_name);
        rest -= f;
        if (k >= 0) out->fraction[k] = f;
    }
    if (light >= 0) out->fraction[light] = rest;
}

float gn2_discriminant_value(const float *p, int64_t classes, int64_t signal,
                             const double *fraction, int32_t form)
{
    double others = 0;
    for (int64_t k = 0; k < classes; k++)
        if (k != signal) others += fraction[k] * (double)p[k];
    if (isnan(others) || isnan(p[signal])) return NAN; /* fmax() would hide it */
    const double top = fmax((double)p[signal], (double)FLT_MIN);
    const double bottom = fmax(others, (double)FLT_MIN);
    const double ratio = top / bottom;
    return (float)(form == GN2_FORM_LOG ? log(ratio) : fmin(ratio, (double)FLT_MAX));
}

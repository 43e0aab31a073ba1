/* SPDX-License-Identifier: Apache-2.0 */
/* Roles and multipliers of the table of parameters against mup's. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checks.h"
#include "common/need.h"

/* Products and roots of exact numbers: a few roundings. */
#define TABLE_SHARE 1e-14

static int32_t role_of(const char *word)
{
    static const struct {
        const char *word;
        int32_t role;
    } roles[] = {
        {"finite", GN2_ROLE_FINITE}, {"input", GN2_ROLE_INPUT},
        {"hidden", GN2_ROLE_HIDDEN}, {"output", GN2_ROLE_OUTPUT},
        {"bias", GN2_ROLE_BIAS},     {"in", GN2_ROLE_INPUT},
        {"hid", GN2_ROLE_HIDDEN},    {"out", GN2_ROLE_OUTPUT},
    };
    size_t k = 0;
    while (k < sizeof roles / sizeof *roles && strcmp(roles[k].word, word)) k++;
    need_true(k < sizeof roles / sizeof *roles, word);
    return roles[k].role;
}

static double get_role(const gn2_tensor *t)
{
    return t->role;
}

static double get_rows(const gn2_tensor *t)
{
    return (double)t->shape[0];
}

/* Of matrices; vectors have none in the files. */
static double get_fan_in(const gn2_tensor *t)
{
    return t->shape[1] ? (double)t->fan_in : (double)NAN;
}

static double get_fan_out(const gn2_tensor *t)
{
    return (double)t->fan_out;
}

static double get_forward(const gn2_tensor *t)
{
    return t->forward_mult;
}

static double get_std(const gn2_tensor *t)
{
    return t->init_std;
}

static double get_var(const gn2_tensor *t)
{
    return t->init_std * t->init_std;
}

static double get_lr(const gn2_tensor *t)
{
    return t->lr_mult;
}

static double get_wd(const gn2_tensor *t)
{
    return t->wd_mult;
}

/* A column: dataset, what it is compared with (NaN: not at all), under which
 * optimiser (NULL: any). */
typedef struct column {
    const char *dataset, *optimiser;
    double (*get)(const gn2_tensor *t);
} column;

static double compare_column(const golden_text *names, const double *wanted,
                             int64_t stride, const testmodel *model, const column *col)
{
    double most = 0;
    for (int64_t i = 0; i < names->count; i++) {
        const gn2_tensor *t = gn2_params_find(model->params, names->item[i]);
        need_true(t != NULL, names->item[i]);
        const double want = wanted[i * stride], have = col->get(t);
        if (isnan(have)) continue;
        const double dev = fabs(have - want) / (want == 0 ? 1 : fabs(want));
        if (!(dev <= TABLE_SHARE))
            printf("  %s %s: file %.17g, library %.17g\n", col->dataset, names->item[i],
                   want, have);
        if (!(dev <= most)) most = dev;
    }
    return most;
}

static void check_roles(golden_report *r, const char *group, const golden_text *names,
                        const testmodel *model)
{
    const column col = {"role", NULL, get_role};
    char path[64];
    double wanted[256];
    snprintf(path, sizeof path, "%s/role", group);
    golden_text roles = golden_read_text(r->file, path);
    need_true(roles.count == names->count && roles.count <= 256, path);
    need_true(names->count == (int64_t)model->params->count, "a row each");
    for (int64_t i = 0; i < roles.count; i++) wanted[i] = role_of(roles.item[i]);
    golden_line(r, "", path, compare_column(names, wanted, 1, model, &col), 0);
    golden_text_free(&roles);
}

static void check_columns(golden_report *r, const char *group, const testmodel *model,
                          const column *columns, const char *optimiser)
{
    char path[64];
    snprintf(path, sizeof path, "%s/name", group);
    golden_text names = golden_read_text(r->file, path);
    check_roles(r, group, &names, model);
    for (const column *col = columns; col->dataset; col++) {
        if (col->optimiser && strcmp(col->optimiser, optimiser)) continue;
        snprintf(path, sizeof path, "%s/%s", group, col->dataset);
        golden_array a = golden_read(r->file, path);
        golden_line(r, "", path,
                    compare_column(&names, a.x, a.count / names.count, model, col),
                    TABLE_SHARE);
        golden_array_free(&a);
    }
    golden_text_free(&names);
}

static const column mup_columns[] = {
    {"shape", NULL, get_rows},          {"fan_in", NULL, get_fan_in},
    {"fan_out", NULL, get_fan_out},     {"forward_mult", NULL, get_forward},
    {"init_std", NULL, get_std},        {"sgd_lr_mult", "sgd", get_lr},
    {"sgd_wd_mult", "sgd", get_wd},     {"adamw_lr_mult", "adamw", get_lr},
    {"adamw_wd_mult", "adamw", get_wd}, {NULL, NULL, NULL},
};

static const column absolute_columns[] = {
    {"d_in", NULL, get_fan_in},        {"d_out", NULL, get_fan_out},
    {"init_var", NULL, get_var},       {"sgd_lr_mult", "sgd", get_lr},
    {"adam_lr_mult", "adamw", get_lr}, {NULL, NULL, NULL},
};

static const char *const optimisers[] = {"adamw", "sgd"};

static void check_constants(golden_report *r, const testmodel *model)
{
    golden_line(r, "", "attn_scale",
                fabs(model->h.block.attention.scale /
                         golden_number(r->file, "/", "attn_scale") -
                     1),
                TABLE_SHARE);
    golden_line(
        r, "", "readout_mult",
        fabs(model->h.readout.mult / golden_number(r->file, "/", "readout_mult") - 1),
        TABLE_SHARE);
}

void golden_check_mup(golden_report *report)
{
    for (int i = 0; i < 2; i++) {
        const golden_form form = {.parametrization = "mup", .optimiser = optimisers[i]};
        testmodel *model = golden_model_create(report->file, &form);
        check_columns(report, "table", model, mup_columns, optimisers[i]);
        if (i == 0) {
            check_constants(report, model);
            golden_weights_read(report->file, "params", model);
            golden_check_network(report, model);
        }
        testmodel_free(model);
    }
    golden_text runs = golden_members(report->file, "runs");
    for (int64_t i = 0; i < runs.count; i++) golden_check_mup_run(report, runs.item[i]);
    golden_text_free(&runs);
}

static void check_absolute_width(golden_report *report, const char *group)
{
    long long width = 0;
    char rest = 0;
    need_true(sscanf(group, "w%lld%c", &width, &rest) == 1 && width > 0, group);
    for (int i = 0; i < 2; i++) {
        const golden_form form = {"mup_absolute", optimisers[i], width};
        testmodel *model = golden_model_create(report->file, &form);
        check_columns(report, group, model, absolute_columns, optimisers[i]);
        testmodel_free(model);
    }
}

/* A table a width, the group called after it. */
void golden_check_mup_absolute(golden_report *report)
{
    golden_text groups = golden_members(report->file, "/");
    need_true(groups.count > 0, "groups");
    for (int64_t i = 0; i < groups.count; i++)
        check_absolute_width(report, groups.item[i]);
    golden_text_free(&groups);
}

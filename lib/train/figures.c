/* SPDX-License-Identifier: Apache-2.0 */
#include "train/figures.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "util/alloc.h"
#include "util/error.h"

void gn2_figures_clear(gn2_figures *figures)
{
    gn2_free(figures->metric);
    gn2_free(figures->name);
    memset(figures, 0, sizeof *figures);
}

/* The names move when there are more of them. */
static gn2_status grow(gn2_figures *f)
{
    const size_t more = 2 * f->capacity + 64;
    if (!gn2_grow(&f->name, f->count, more, sizeof *f->name)) return gn2_fail_memory();
    for (size_t i = 0; i < f->count; i++) f->metric[i].name = f->name[i];
    if (!gn2_grow(&f->metric, f->count, more, sizeof *f->metric))
        return gn2_fail_memory();
    f->capacity = more;
    return GN2_OK;
}

gn2_status gn2_figures_add(gn2_figures *f, const char *owner, const char *what,
                           const char *of, double value)
{
    if (f->count == f->capacity) GN2_TRY(grow(f));
    char *name = f->name[f->count];
    snprintf(name, GN2_FIGURE_NAME_SIZE, "%s.%s%s%s", owner, what, of ? "_" : "",
             of ? of : "");
    f->metric[f->count++] = (gn2_metric){.name = name, .value = value};
    return GN2_OK;
}

double gn2_figures_value(const gn2_figures *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->metric[i].name, name) == 0) return f->metric[i].value;
    return (double)NAN;
}

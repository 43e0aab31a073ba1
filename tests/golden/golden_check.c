/* SPDX-License-Identifier: Apache-2.0 */
/*
 * golden_check FILE…: compares the library with golden vectors, the reference in
 * double and the production path in float, with the tolerances of README.md.
 * Prints every dataset; ends with 1 when one is off.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checks.h"
#include "common/need.h"

void golden_line(golden_report *r, const char *precision, const char *what, double dev,
                 double tolerance)
{
    const int good = dev <= tolerance; /* NaN is not */
    r->compared++;
    r->failed += !good;
    printf("%-16s %-3s %-52s %9.2e  of %9.2e  %s\n", r->name, precision, what, dev,
           tolerance, good ? "ok" : "OFF");
}

static const struct {
    const char *kind;
    void (*check)(golden_report *report);
} kinds[] = {
    {"model", golden_check_model},
    {"mup", golden_check_mup},
    {"mup_absolute", golden_check_mup_absolute},
    {"train", golden_check_train},
    {"onecycle", golden_check_onecycle},
    {"vertex_cc", golden_check_vertex},
    {"heads", golden_check_heads},
};

static int check_file(const char *path)
{
    char kind[64], name[64];
    golden_report report = {.file = golden_open(path), .name = name};
    golden_string(report.file, "/", "kind", kind);
    golden_string(report.file, "/", "case", name);
    need_true(golden_number(report.file, "/", "format_version") == 1, "format 1");
    size_t k = 0;
    while (k < sizeof kinds / sizeof *kinds && strcmp(kinds[k].kind, kind)) k++;
    need_true(k < sizeof kinds / sizeof *kinds, kind);
    kinds[k].check(&report);
    golden_close(report.file);
    need_true(report.compared > 0, "something to compare");
    printf("%s: %d compared, %d off\n", name, report.compared, report.failed);
    return report.failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    need_true(argc > 1, "golden_check FILE…");
    for (int i = 1; i < argc; i++) failed += check_file(argv[i]);
    return failed != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What golden_check prints: dataset, largest deviation, tolerance. */
#ifndef GN2_TESTS_GOLDEN_REPORT_H
#define GN2_TESTS_GOLDEN_REPORT_H

#include "golden_file.h"

typedef struct golden_report {
    golden_id file;
    const char *name; /* of the file */
    int compared, failed;
} golden_report;

/* One line; a deviation above its tolerance, or NaN, is a failure. */
void golden_line(golden_report *r, const char *precision, const char *what, double dev,
                 double tolerance);

#endif

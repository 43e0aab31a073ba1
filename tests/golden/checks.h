/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of golden_check, one a kind of file. */
#ifndef GN2_TESTS_GOLDEN_CHECKS_H
#define GN2_TESTS_GOLDEN_CHECKS_H

#include "golden_model.h"
#include "golden_report.h"

void golden_check_model(golden_report *report);
void golden_check_mup(golden_report *report);
void golden_check_mup_absolute(golden_report *report);
void golden_check_train(golden_report *report);
void golden_check_onecycle(golden_report *report);
void golden_check_vertex(golden_report *report);
void golden_check_heads(golden_report *report);

/* Parts of them: outputs, losses, gradients where the file has some; one of the
 * runs of a mup file. */
void golden_check_network(golden_report *report, const testmodel *model);
void golden_check_mup_run(golden_report *report, const char *name);

/* Tracks whose vertex is not the file's; logits of all ordered pairs, offsets
 * (B+1) of the tracks. */
int64_t golden_vertex_differences(const double *logits, const golden_array *offsets,
                                  const golden_array *wanted);

/* Elements first … end−1 of a tensor have gradient zero: they shift a softmax. */
void golden_flat_direction(const gn2_tensor *t, int64_t *first, int64_t *end);

#endif

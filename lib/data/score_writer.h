/* SPDX-License-Identifier: Apache-2.0 */
/* The object behind gn2_score_writer: a dataset an object of the model. */
#ifndef GN2_DATA_SCORE_WRITER_H
#define GN2_DATA_SCORE_WRITER_H

#include <gn2/dataset.h>
#include <sys/types.h>

#include "data/score_table.h"
#include "tag/outputs.h"
#include "util/use.h"

/* What becomes of an output of the model. */
typedef struct gn2_score_output {
    int asked;              /* named by scores.outputs */
    int with;               /* given at the first rows */
    const gn2_score *given; /* in the call under way, NULL: not */
} gn2_score_output;

struct gn2_score_writer {
    gn2_use use;
    gn2_model *model;
    gn2_config *config;
    gn2_discriminants rules;
    gn2_tag_outputs outputs;
    char *path, *temporary;
    pid_t process; /* that made it, and alone may write and remove the file */
    gn2_h5_file *in, *out;
    gn2_score_table table[1 + GN2_MAX_SEQUENCES]; /* by object; open: it is written */
    gn2_score_output *output;                     /* (outputs) */
    int made, failed;
    int64_t rows;
};

/* Whether the options want an output, if it can be had. */
int gn2_score_wanted(const gn2_score_writer *w, size_t output);
/* Refuses outputs whose rows are those of no dataset. */
gn2_status gn2_score_check_place(const gn2_tag_output *output);
/* Refuses a child of the process that made the writer. */
gn2_status gn2_score_check_process(const gn2_score_writer *w);
/* Makes the datasets when no rows came, as for all outputs. */
gn2_status gn2_score_make_empty(gn2_score_writer *w);

#endif

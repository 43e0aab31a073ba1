/* SPDX-License-Identifier: Apache-2.0 */
/* What train.c and tag.c share: options of the library on the command line, and how
 * a program ends. */
#ifndef GN2_EXAMPLES_COMMON_H
#define GN2_EXAMPLES_COMMON_H

#include <gn2/gn2.h>

/* Exit statuses. */
#define EXIT_FAILED 1    /* a file, the data or the training: see the message */
#define EXIT_USAGE 2     /* the command line */
#define EXIT_STOPPED 130 /* by Ctrl-C, as shells count it */

#define TRY(expr)                        \
    do {                                 \
        const gn2_status try_ = (expr);  \
        if (try_ != GN2_OK) return try_; \
    } while (0)

/* Name of the program for messages; set by main(). */
extern const char *program_name;

/* Long options without a letter. */
enum { OPT_KEYS = 256, OPT_VERSION };

/* Texts that end the program: --help, --keys, --version; returns EXIT_SUCCESS. */
int show_text(int option, const char *help);
/* Says what is wrong with the command line; returns EXIT_USAGE. */
int usage_error(const char *what, const char *value);
/* Says what the library said; returns EXIT_FAILED. */
int library_error(gn2_status status);

/* Is it a `key=value` with a dotted key rather than a file name? */
int is_setting(const char *word);
/* Applies `key=value`. */
gn2_status apply_setting(gn2_config *config, const char *word);
/* Prints the library's keys with type, default and meaning. */
void print_keys(void);
/* A whole number from `least` on; returns 0 if it is none. */
int read_number(const char *text, int64_t least, int64_t *out);

/* Puts what the data must look like for a model into a config: its objects, inputs,
 * classes and labels. */
gn2_status describe_model(const gn2_model *model, gn2_config *config);

#endif

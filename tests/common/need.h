/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For test programs: things that must work before anything can be shown. On
 * failure they print what was asked for and end the program with status 99, which
 * meson reports as an error, not as a failed check.
 */
#ifndef GN2_TESTS_COMMON_NEED_H
#define GN2_TESTS_COMMON_NEED_H

#include <stddef.h>

#include <gn2/base.h>

/* Zeroed memory, freed by gn2_free(). */
void *need_memory(size_t count, size_t size);
/* Status 0, or the library's message and out. */
void need_ok(gn2_status status, const char *what);
/* A condition of the test data. */
void need_true(int condition, const char *what);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What every cmocka test includes, in the order cmocka wants. */
#ifndef GN2_TESTS_UNIT_H
#define GN2_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "util/error.h"

#define assert_ok(expr)                                                           \
    do {                                                                          \
        const gn2_status status_ = (expr);                                        \
        if (status_ != GN2_OK)                                                    \
            fail_msg("%s: status %d: %s", #expr, (int)status_, gn2_error_text()); \
    } while (0)

#define assert_status(wanted, expr) assert_int_equal(wanted, expr)

/* The last message names something. */
#define assert_message(word)                                         \
    do {                                                             \
        if (!strstr(gn2_error_text(), word))                         \
            fail_msg("'%s' is not in '%s'", word, gn2_error_text()); \
    } while (0)

#endif

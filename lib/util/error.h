/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Status and message of a failure. The message is set once, where the failure is
 * found, and forwarded untouched.
 */
#ifndef GN2_UTIL_ERROR_H
#define GN2_UTIL_ERROR_H

#include <gn2/base.h>

/* Longest message, terminating zero included. */
#define GN2_ERROR_SIZE 512

/* Sets the thread's message (printf style) and returns `status`. Cold, like all that
 * follow: code that leads to them stays apart from what runs on every call. */
gn2_status gn2_fail(gn2_status status, const char *format, ...)
    __attribute__((cold, format(printf, 2, 3)));

/* GN2_ERR_NUMERIC where nothing that was given is at fault: what the network makes of
 * finite values, its loss, gradients or weights are not finite. The data, an argument
 * or a file with such a value are gn2_fail()'s. */
gn2_status gn2_fail_network(const char *format, ...)
    __attribute__((cold, format(printf, 1, 2)));

/* GN2_ERR_NO_MEMORY with a message that needs no formatting. */
gn2_status gn2_fail_memory(void) __attribute__((cold));

/* The thread's last message, never NULL. */
const char *gn2_error_text(void);
/* Was it set by gn2_fail_network()? */
int gn2_error_of_network(void);

/* Hands a line to the log callback, if there is one. */
void gn2_log_line(int32_t severity, const char *format, ...)
    __attribute__((cold, format(printf, 2, 3)));
/* Waits for lines under way, unless it is called from one. */
void gn2_log_set(gn2_log_fn fn, void *user);
/* Either may be NULL. */
void gn2_log_get(gn2_log_fn *out_fn, void **out_user);

#ifdef __clang_analyzer__
/* It looks into one file at a time, and would take it that a failure may be GN2_OK. */
#define gn2_fail(status, ...) (gn2_fail(status, __VA_ARGS__), (status))
#define gn2_fail_network(...) (gn2_fail_network(__VA_ARGS__), GN2_ERR_NUMERIC)
#define gn2_fail_memory() (gn2_fail_memory(), GN2_ERR_NO_MEMORY)
#endif

/* Forwards a failure to the caller. */
#define GN2_TRY(expr)                                          \
    do {                                                       \
        const gn2_status gn2_try_status_ = (expr);             \
        if (gn2_try_status_ != GN2_OK) return gn2_try_status_; \
    } while (0)

/* The same inside a function that cleans up behind `fail:`; needs `status`. */
#define GN2_TRY_GOTO(expr)               \
    do {                                 \
        status = (expr);                 \
        if (status != GN2_OK) goto fail; \
    } while (0)

#endif

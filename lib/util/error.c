/* SPDX-License-Identifier: Apache-2.0 */
/* Thread-local error message and the process-wide log callback. */
#include "util/error.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char error_text[GN2_ERROR_SIZE];

static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;
static gn2_log_fn log_fn;
static void *log_user;

/* what the analyzer is told instead */
#undef gn2_fail
#undef gn2_fail_memory

gn2_status gn2_fail(gn2_status status, const char *format, ...)
{
    /* formatted aside: an argument may be the old message itself */
    char text[GN2_ERROR_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(error_text, text, sizeof text);
    return status;
}

gn2_status gn2_fail_memory(void)
{
    static const char text[] = "out of memory";
    memcpy(error_text, text, sizeof text);
    return GN2_ERR_NO_MEMORY;
}

const char *gn2_error_text(void)
{
    return error_text;
}

void gn2_log_set(gn2_log_fn fn, void *user)
{
    pthread_mutex_lock(&log_mutex);
    log_fn = fn;
    log_user = user;
    pthread_mutex_unlock(&log_mutex);
}

void gn2_log_line(int32_t severity, const char *format, ...)
{
    pthread_mutex_lock(&log_mutex);
    const gn2_log_fn fn = log_fn;
    void *user = log_user;
    pthread_mutex_unlock(&log_mutex);
    if (!fn) return;
    char text[GN2_ERROR_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fn(user, severity, text);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Thread-local error message and the process-wide log callback. */
#include "util/error.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static _Thread_local char error_text[GN2_ERROR_SIZE];
static _Thread_local int of_network;

static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;
static gn2_log_fn log_fn;
static void *log_user;
static pthread_cond_t log_idle = PTHREAD_COND_INITIALIZER;
static int lines_under_way;
static pid_t log_process; /* whose lines they are */
static _Thread_local int own_lines;

/* what the analyzer is told instead */
#undef gn2_fail
#undef gn2_fail_network
#undef gn2_fail_memory

__attribute__((format(printf, 2, 0))) static void
set_text(int network, const char *format, va_list args)
{
    /* formatted aside: an argument may be the old message itself */
    char text[GN2_ERROR_SIZE];
    vsnprintf(text, sizeof text, format, args);
    memcpy(error_text, text, sizeof text);
    of_network = network;
}

gn2_status gn2_fail(gn2_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_text(0, format, args);
    va_end(args);
    return status;
}

gn2_status gn2_fail_network(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_text(1, format, args);
    va_end(args);
    return GN2_ERR_NUMERIC;
}

gn2_status gn2_fail_memory(void)
{
    static const char text[] = "out of memory";
    memcpy(error_text, text, sizeof text);
    of_network = 0;
    return GN2_ERR_NO_MEMORY;
}

const char *gn2_error_text(void)
{
    return error_text;
}

int gn2_error_of_network(void)
{
    return of_network;
}

/* A child has none of the lines its parent's threads were writing. */
static void forget_the_parents(void)
{
    const pid_t now = getpid();
    if (log_process != now) lines_under_way = 0;
    log_process = now;
}

void gn2_log_set(gn2_log_fn fn, void *user)
{
    pthread_mutex_lock(&log_mutex);
    forget_the_parents();
    log_fn = fn;
    log_user = user;
    while (lines_under_way > 0 && !own_lines) pthread_cond_wait(&log_idle, &log_mutex);
    pthread_mutex_unlock(&log_mutex);
}

void gn2_log_get(gn2_log_fn *out_fn, void **out_user)
{
    pthread_mutex_lock(&log_mutex);
    if (out_fn) *out_fn = log_fn;
    if (out_user) *out_user = log_user;
    pthread_mutex_unlock(&log_mutex);
}

static gn2_log_fn begin_line(void **out_user)
{
    pthread_mutex_lock(&log_mutex);
    const gn2_log_fn fn = log_fn;
    *out_user = log_user;
    if (fn) {
        forget_the_parents();
        lines_under_way++;
        own_lines++;
    }
    pthread_mutex_unlock(&log_mutex);
    return fn;
}

static void end_line(void)
{
    pthread_mutex_lock(&log_mutex);
    own_lines--;
    if (lines_under_way > 0 && --lines_under_way == 0)
        pthread_cond_broadcast(&log_idle);
    pthread_mutex_unlock(&log_mutex);
}

void gn2_log_line(int32_t severity, const char *format, ...)
{
    void *user;
    const gn2_log_fn fn = begin_line(&user);
    if (!fn) return;
    char text[GN2_ERROR_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fn(user, severity, text);
    end_line();
}

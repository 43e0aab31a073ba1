/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks at the door of the library: NULL arguments and structs whose size differs
 * between the caller's headers and ours. What the arguments mean is not checked
 * here.
 *
 * A public struct starts with `uint32_t struct_size` and ends with reserved zeros.
 * An older or smaller one lacks (part of) the tail, which then counts as zero; a
 * newer one is longer, and is refused with GN2_ERR_ABI if the part we do not know
 * holds anything but zeros.
 */
#ifndef GN2_ABI_GUARD_H
#define GN2_ABI_GUARD_H

#include "util/error.h"
#include "util/use.h"

/* Refuses NULL among arguments, naming function and argument. */
#define GN2_REQUIRE(...)                                              \
    do {                                                              \
        const void *const gn2_given_[] = {__VA_ARGS__};               \
        GN2_TRY(gn2_require(__func__, #__VA_ARGS__, gn2_given_,       \
                            sizeof gn2_given_ / sizeof *gn2_given_)); \
    } while (0)
gn2_status gn2_fail_null(const char *call, const char *names, size_t index);
static inline gn2_status gn2_require(const char *call, const char *names,
                                     const void *const *given, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!given[i]) return gn2_fail_null(call, names, i);
    return GN2_OK;
}

/* The same of where a new object goes, which holds NULL until there is one. */
#define GN2_REQUIRE_OUT(out) \
    do {                     \
        GN2_REQUIRE(out);    \
        *(out) = NULL;       \
    } while (0)

/* Refuses a failed condition: GN2_CHECK(n >= 0, "count = %d: must be ≥ 0", n). */
#define GN2_CHECK(condition, ...)                                            \
    do {                                                                     \
        if (!(condition)) return gn2_fail(GN2_ERR_INVALID_ARG, __VA_ARGS__); \
    } while (0)

/* Gives `size` bytes to the caller's buffer of `capacity`; without one only tells how
 * many there are. */
gn2_status gn2_give_bytes(const void *bytes, size_t size, void *buffer, size_t capacity,
                          size_t *out_size);

/* Runs a call while the object is held; a second one gets GN2_ERR_BUSY. */
#define GN2_TRY_HELD(use, expr)                                  \
    do {                                                         \
        GN2_TRY(gn2_use_take((use), __func__));                  \
        const gn2_status gn2_held_status_ = (expr);              \
        gn2_use_give_back(use);                                  \
        if (gn2_held_status_ != GN2_OK) return gn2_held_status_; \
    } while (0)

/* What the library knows of a public struct. */
typedef struct gn2_guard {
    const char *name; /* of the type, for messages */
    size_t size;      /* ours */
    size_t least;     /* end of the last field of version 1 that is not reserved */
    size_t reserved;  /* where our reserved zeros start */
    size_t flags;     /* of a uint32_t without a meaning yet; 0: there is none */
} gn2_guard;

/* Guard of a struct that the library fills, or that has no flags. `end` is the first
 * field that version 1 had not: `reserved` until one takes the place of reserved
 * words. */
#define GN2_GUARD_OUT(type, end)                                  \
    (&(const gn2_guard){#type, sizeof(type), offsetof(type, end), \
                        offsetof(type, reserved), 0})
#define GN2_GUARD(type) GN2_GUARD_OUT(type, reserved)

/* Guard of a struct that is given to the library: flags other than zero are refused. */
#define GN2_GUARD_IN(type, end)                                   \
    (&(const gn2_guard){#type, sizeof(type), offsetof(type, end), \
                        offsetof(type, reserved), offsetof(type, flags)})

/* Copies a caller's struct into `ours` (guard->size bytes), missing tail zeroed. */
gn2_status gn2_guard_in(const gn2_guard *guard, void *ours, const void *theirs);

/* Element `index` of a caller's array; `stride` in bytes, 0 = the struct_size of
 * its first element. */
gn2_status gn2_guard_in_at(const gn2_guard *guard, void *ours, const void *theirs,
                           int64_t stride, int64_t index);

/* Fills the caller's struct from ours: what it has no room for is dropped, what we do
 * not know is zeroed, its struct_size, which is checked, stays. */
gn2_status gn2_guard_out(const gn2_guard *guard, void *theirs, const void *ours);
/* That check alone, for calls that do some work first. */
gn2_status gn2_guard_out_check(const gn2_guard *guard, const void *theirs);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Copies public structs between the caller's size and ours; see guard.h. */
#include "abi/guard.h"

#include <string.h>

/* No public struct will ever be larger; stops us from reading far when struct_size
 * was never set. */
#define LARGEST_STRUCT 4096u

/* names: "first, second", as they stand in the source */
gn2_status gn2_fail_null(const char *call, const char *names, size_t index)
{
    for (; index > 0; index--) names += strcspn(names, " ") + 1;
    return gn2_fail(GN2_ERR_INVALID_ARG, "%s: %.*s is NULL", call,
                    (int)strcspn(names, ","), names);
}

static uint32_t size_of(const void *theirs)
{
    uint32_t size;
    memcpy(&size, theirs, sizeof size);
    return size;
}

gn2_status gn2_guard_out_check(const gn2_guard *guard, const void *theirs)
{
    const uint32_t size = size_of(theirs);
    if (size >= guard->least && size <= LARGEST_STRUCT) return GN2_OK;
    return gn2_fail(GN2_ERR_ABI,
                    "%s.struct_size = %lu: set it to sizeof(%s), here %zu bytes",
                    guard->name, (unsigned long)size, guard->name, guard->size);
}

/* Offset of the first byte in [from, to) that is not zero, or `to`. */
static size_t first_non_zero(const void *theirs, size_t from, size_t to)
{
    const unsigned char *bytes = theirs;
    while (from < to && bytes[from] == 0) from++;
    return from;
}

/* A flag that is let through today could never be given a meaning. */
static gn2_status check_flags(const gn2_guard *guard, const void *ours)
{
    uint32_t flags;
    if (!guard->flags) return GN2_OK;
    memcpy(&flags, (const char *)ours + guard->flags, sizeof flags);
    if (flags == 0) return GN2_OK;
    return gn2_fail(GN2_ERR_ABI,
                    "%s.flags = 0x%lx: this library knows none, set it to 0",
                    guard->name, (unsigned long)flags);
}

gn2_status gn2_guard_in(const gn2_guard *guard, void *ours, const void *theirs)
{
    GN2_TRY(gn2_guard_out_check(guard, theirs));
    const size_t size = size_of(theirs);
    const size_t set = first_non_zero(theirs, guard->reserved, size);
    if (set < size)
        return gn2_fail(GN2_ERR_ABI,
                        "%s: byte %zu is set, this library knows %zu bytes; zero the "
                        "struct before filling it, or use a newer library",
                        guard->name, set, guard->reserved);
    memset(ours, 0, guard->size);
    memcpy(ours, theirs, size < guard->size ? size : guard->size);
    return check_flags(guard, ours);
}

gn2_status gn2_guard_in_at(const gn2_guard *guard, void *ours, const void *theirs,
                           int64_t stride, int64_t index)
{
    GN2_TRY(gn2_guard_out_check(guard, theirs));
    const int64_t size = size_of(theirs);
    if (stride != 0 && stride < size)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "array of %s: stride = %lld bytes: 0 or at least %lld",
                        guard->name, (long long)stride, (long long)size);
    const size_t step = (size_t)(stride ? stride : size);
    return gn2_guard_in(guard, ours, (const char *)theirs + step * (size_t)index);
}

gn2_status gn2_guard_out(const gn2_guard *guard, void *theirs, const void *ours)
{
    GN2_TRY(gn2_guard_out_check(guard, theirs));
    const uint32_t size = size_of(theirs);
    const size_t common = size < guard->size ? size : guard->size;
    memcpy(theirs, ours, common);
    memset((char *)theirs + common, 0, size - common);
    memcpy(theirs, &size, sizeof size);
    return GN2_OK;
}

gn2_status gn2_give_bytes(const void *bytes, size_t size, void *buffer, size_t capacity,
                          size_t *out_size)
{
    if (buffer && capacity < size)
        return gn2_fail(GN2_ERR_SHAPE, "room for %zu bytes, %zu are needed", capacity,
                        size);
    if (buffer && size) memcpy(buffer, bytes, size);
    *out_size = size;
    return GN2_OK;
}

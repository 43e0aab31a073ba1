/* SPDX-License-Identifier: Apache-2.0 */
/* A fast fingerprint of bytes, to find out whether two processes hold the same. It
 * guards against mistakes, not against anybody. */
#ifndef GN2_UTIL_DIGEST_H
#define GN2_UTIL_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from `start`: 0, or the digest of what lies before. */
uint64_t gn2_digest(uint64_t start, const void *data, size_t size);

#endif

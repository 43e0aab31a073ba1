/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GN2_TESTS_FUZZ_REPAIR_H
#define GN2_TESTS_FUZZ_REPAIR_H

#include <stddef.h>

/* Makes magic, file size and every CRC that can be reached agree with the bytes,
 * as an enemy would; the CRCs of raw elements are left alone. */
void repair_checksums(unsigned char *data, size_t size);

#endif

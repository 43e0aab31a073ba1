/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry for libFuzzer (-Dfuzzers=true, clang): any bytes may be given to the
 * parser. A mutated file nearly always stops at a CRC, so the CRCs are put right
 * first, which lets mutations reach what is behind them.
 */
#include <stdint.h>
#include <string.h>

#include "repair.h"
#include "sample.h"
#include "util/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_everything(data, size);
    unsigned char *copy = gn2_alloc(size, 1);
    if (!copy) return 0;
    if (size > 0) memcpy(copy, data, size);
    repair_checksums(copy, size);
    read_everything(copy, size);
    gn2_free(copy);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which instruction sets processor and operating system offer together. It does
 * not choose kernels: tables.c does.
 */
#include "kernels/kernels.h"
#include "kernels/processors.h"

#ifdef GN2_X86
#include <cpuid.h>
#include <string.h>

/* Intel SDM vol. 1, 13.2 and 14.3: state bits of XCR0, feature bits of CPUID. */
#define XCR0_AVX 0x06u    /* xmm, ymm */
#define XCR0_AVX512 0xE6u /* xmm, ymm, opmask, upper zmm, zmm 16…31 */
#define XCR0_AMX 0x60000u /* tile configuration, tile data */
#define LEAF1_ECX (bit_FMA | bit_OSXSAVE | bit_AVX)
#define LEAF7_EBX_AVX2 bit_AVX2
#define LEAF7_EBX_AVX512 (bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL)
#define LEAF7_EDX_AMX (1u << 22 | 1u << 24) /* AMX-BF16, AMX-TILE */
#define LEAF7_1_EAX_BF16 (1u << 5)          /* AVX512_BF16 */

static unsigned enabled_state(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int has_all(unsigned value, unsigned wanted)
{
    return (value & wanted) == wanted;
}

gn2_isa gn2_isa_detect(void)
{
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return GN2_ISA_REFERENCE;
    if (!has_all(ecx, LEAF1_ECX)) return GN2_ISA_REFERENCE;
    const unsigned state = enabled_state();
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return GN2_ISA_REFERENCE;
    if (!has_all(state, XCR0_AVX) || !has_all(ebx, LEAF7_EBX_AVX2))
        return GN2_ISA_REFERENCE;
    if (!has_all(state, XCR0_AVX512) || !has_all(ebx, LEAF7_EBX_AVX512))
        return GN2_ISA_AVX2;
    return GN2_ISA_AVX512;
}

gn2_bf16 gn2_bf16_detect(void)
{
    unsigned eax, ebx, ecx, edx;
    if (gn2_isa_detect() < GN2_ISA_AVX512) return GN2_BF16_NONE;
    if (!__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) return GN2_BF16_NONE;
    if (!has_all(eax, LEAF7_1_EAX_BF16)) return GN2_BF16_NONE;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return GN2_BF16_NONE;
    if (!has_all(enabled_state(), XCR0_AMX) || !has_all(edx, LEAF7_EDX_AMX))
        return GN2_BF16_AVX512;
    return GN2_BF16_AMX;
}

/* Intel SDM vol. 2A, CPUID leaf 1: the extended family counts from family 15 on, the
 * extended model in families 6 and 15. */
static void read_signature(unsigned signature, gn2_processor *out)
{
    const unsigned family = signature >> 8 & 15, model = signature >> 4 & 15;
    out->family = (int)(family + (family == 15 ? signature >> 20 & 255 : 0));
    out->model = (int)model;
    if (family == 6 || family == 15) out->model |= (int)(signature >> 16 & 15) << 4;
}

void gn2_processor_detect(gn2_processor *out)
{
    unsigned eax, vendor[3], other[3];
    *out = (gn2_processor){.bf16 = gn2_bf16_detect()};
    if (!__get_cpuid(0, &eax, &vendor[0], &vendor[2], &vendor[1])) return;
    memcpy(out->vendor, vendor, sizeof vendor);
    if (__get_cpuid(1, &eax, &other[0], &other[1], &other[2])) read_signature(eax, out);
}

#else

void gn2_processor_detect(gn2_processor *out)
{
    *out = (gn2_processor){.bf16 = GN2_BF16_NONE};
}

gn2_isa gn2_isa_detect(void)
{
    return GN2_ISA_REFERENCE;
}

gn2_bf16 gn2_bf16_detect(void)
{
    return GN2_BF16_NONE;
}

#endif

const char *gn2_isa_name(gn2_isa isa)
{
    static const char *const name[] = {"reference", "avx2", "avx512"};
    const unsigned index = (unsigned)isa;
    return index < sizeof name / sizeof *name ? name[index] : "unknown";
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A module for test_module.c that does to its loading thread what an OpenMP runtime
 * with OMP_PROC_BIND=true does: leaves it one processor. */
#define _GNU_SOURCE /* cpu_set_t */
#include <sched.h>
#include <stdint.h>

static uint32_t table[2] = {7, 0}; /* version, whether the binding worked */

__attribute__((constructor)) static void bind_thread(void)
{
    cpu_set_t all, one;
    CPU_ZERO(&one);
    sched_getaffinity(0, sizeof all, &all);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
    sched_setaffinity(0, sizeof one, &one);
    sched_getaffinity(0, sizeof all, &all);
    table[1] = CPU_COUNT(&all) == 1;
}

__attribute__((visibility("default"))) const void *binding_table(void);

const void *binding_table(void)
{
    return table;
}

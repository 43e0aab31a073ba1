/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that tells who wrote or read past it, and calls that survive a signal. */
#define _DEFAULT_SOURCE
#include "kcheck.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CANARY 0xA5

void kc_block_make(kc_block *block, size_t bytes, size_t shift)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t room = (bytes + shift + page) / page * page; /* ≥ 1 page of canary */
    block->mapped = room + 2 * page;
    block->map = mmap(NULL, block->mapped, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block->map == MAP_FAILED) {
        perror("kcheck: mmap");
        exit(1);
    }
    memset(block->map, CANARY, block->mapped);
    mprotect(block->map, page, PROT_NONE);
    mprotect(block->map + page + room, page, PROT_NONE);
    block->bytes = bytes;
    block->shift = shift;
    block->data = block->map + page + room - shift - bytes;
}

ptrdiff_t kc_block_damage(const kc_block *block)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (unsigned char *p = block->data - 1; p >= block->map + page; p--)
        if (*p != CANARY) return p - block->data;
    for (size_t i = 0; i < block->shift; i++)
        if (block->data[block->bytes + i] != CANARY)
            return (ptrdiff_t)(block->bytes + i);
    return 0;
}

void kc_block_free(kc_block *block)
{
    if (block->map) munmap(block->map, block->mapped);
    block->map = NULL;
}

static sigjmp_buf back;

static void jump_back(int signal_number)
{
    siglongjmp(back, signal_number);
}

int kc_guarded(void (*fn)(void *), void *argument)
{
    static const int caught[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    struct sigaction mine, old[4];
    memset(&mine, 0, sizeof mine);
    mine.sa_handler = jump_back;
    for (int i = 0; i < 4; i++) sigaction(caught[i], &mine, &old[i]);
    const int ended_by = sigsetjmp(back, 1);
    if (ended_by == 0) fn(argument);
    for (int i = 0; i < 4; i++) sigaction(caught[i], &old[i], NULL);
    return ended_by;
}

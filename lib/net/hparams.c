/* SPDX-License-Identifier: Apache-2.0 */
#include "net/hparams.h"

#include <string.h>

int gn2_hparams_task(const gn2_hparams *h, const char *name)
{
    for (int k = 0; k < h->task_count; k++)
        if (strcmp(h->task[k].name, name) == 0) return k;
    return -1;
}

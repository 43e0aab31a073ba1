/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a fork must not cut through: calls of HDF5, and work on a dataset. A fork waits
 * until the reading threads stand still between two reads and no call of HDF5 is under
 * way, so the child finds everything whole and may go on with it.
 */
#ifndef GN2_DATA_FORK_H
#define GN2_DATA_FORK_H

#include <gn2/base.h>

/* Before any of the others: from now on forks wait. */
gn2_status gn2_fork_watch(void);

/* The lock of HDF5, which has one state a process. */
void gn2_fork_lock(void);
void gn2_fork_unlock(void);

/* Around work that a child could not go on with; nests. */
void gn2_fork_enter(void);
void gn2_fork_leave(void);
/* Lets a fork through that waits: inside such work, where all is whole. */
void gn2_fork_pause(void);

#endif

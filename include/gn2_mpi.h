/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file gn2_mpi.h
 * @brief Groups whose ranks are those of an MPI communicator: libgn2_mpi.
 *
 * libgn2 itself knows no MPI. This small library is built with one MPI and works with
 * that one; programs that are started by another have one rank each.
 */
#ifndef GN2_GN2_MPI_H
#define GN2_GN2_MPI_H

#include <gn2/group.h>

#ifdef __cplusplus
extern "C" {
#endif

/** For gn2_mpi_group(): MPI_COMM_WORLD, whatever its number is. */
#define GN2_MPI_WORLD (-1)

/**
 * Makes a group of a communicator; a call of all its ranks. It gets a copy of the
 * communicator, so nothing is mixed up with messages of the program. Where MPI is not
 * initialised yet, this is done (MPI_THREAD_FUNNELED), and gn2_group_free() finalises
 * it, which no process can do twice; else it must be initialised with at least that,
 * and the calling thread be the main one of MPI, also for all calls that use the group.
 *
 * An exchange that takes longer than the timeout, or that MPI says has failed, ends the
 * job by MPI_Abort() after one line to stderr that names the peer.
 * @param[in] comm  Fortran handle, as MPI_Comm_c2f() and mpi4py's py2f() give it, or
 *   ::GN2_MPI_WORLD
 * @param[out] out_group freed by gn2_group_free() before MPI_Finalize(); NULL on
 * failure
 * @return GN2_OK; GN2_ERR_INVALID_ARG; GN2_ERR_STATE (finalised, fewer threads allowed,
 *   another thread); GN2_ERR_IO (MPI failed); GN2_ERR_NO_MEMORY; gn2_mpi_last_error()
 *   says more. @since 0.1
 */
GN2_API gn2_status gn2_mpi_group(int32_t comm, gn2_group **out_group);

/**
 * Seconds that groups made from now on wait for a peer: 600 unless set.
 * @param[in] seconds above 0; others leave it as it is. @since 0.1
 */
GN2_API void gn2_mpi_set_timeout(double seconds);

/** What the last gn2_mpi_group() of the process failed of. @return never NULL.
 * @since 0.1 */
GN2_API const char *gn2_mpi_last_error(void);

#ifdef __cplusplus
}
#endif
#endif

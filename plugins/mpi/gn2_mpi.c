/* SPDX-License-Identifier: Apache-2.0 */
/* A transport over MPI: non-blocking exchanges with a deadline, nothing collective. */
#include <gn2_mpi.h>
#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Bytes of one MPI message, whose count is an int. */
#define PIECE ((size_t)1 << 30)
#define TAG 7

typedef struct gn2_mpi_link {
    MPI_Comm comm;
    double timeout;
    int ours; /* MPI was initialised here */
} gn2_mpi_link;

static double timeout = 600;
static char error[256];

void gn2_mpi_set_timeout(double seconds)
{
    if (seconds > 0) timeout = seconds;
}

const char *gn2_mpi_last_error(void)
{
    return error;
}

static gn2_status fail(gn2_status status, const char *text)
{
    snprintf(error, sizeof error, "%s", text);
    return status;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Waits for what comes in, `in` bytes, and what goes out; others may need the processor
 * meanwhile. MPI takes a message that is too short for a good one. */
static gn2_status wait_both(const gn2_mpi_link *l, int32_t peer, MPI_Request both[2],
                            int in)
{
    const double start = now();
    MPI_Status status[2];
    int came = 0;
    for (;;) {
        int done = 0;
        if (MPI_Testall(2, both, &done, status) != MPI_SUCCESS) return GN2_ERR_IO;
        if (done && in) MPI_Get_count(&status[0], MPI_BYTE, &came);
        if (done) return came == in ? GN2_OK : GN2_ERR_FORMAT;
        const double waited = now() - start;
        if (waited > l->timeout) {
            fprintf(stderr, "gn2_mpi: rank %d said nothing for %g s (group.timeout)\n",
                    (int)peer, l->timeout);
            return GN2_ERR_IO;
        }
        const struct timespec pause = {.tv_nsec = 100000};
        if (waited > 0.01)
            nanosleep(&pause, NULL);
        else
            sched_yield();
    }
}

static int part(size_t size, size_t at)
{
    const size_t left = size > at ? size - at : 0;
    return (int)(left < PIECE ? left : PIECE);
}

/* The checker does not see that wait_both() waits.
 * NOLINTBEGIN(clang-analyzer-optin.mpi.MPI-Checker) */
static gn2_status exchange(void *user, int32_t peer, const void *send, size_t send_size,
                           void *receive, size_t receive_size)
{
    const gn2_mpi_link *l = user;
    const char *from = send;
    char *to = receive;
    for (size_t at = 0; at < send_size || at < receive_size; at += PIECE) {
        MPI_Request both[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
        const int in = part(receive_size, at), out = part(send_size, at);
        if (in && MPI_Irecv(to + at, in, MPI_BYTE, peer, TAG, l->comm, &both[0]) !=
                      MPI_SUCCESS)
            return GN2_ERR_IO;
        if (out && MPI_Isend(from + at, out, MPI_BYTE, peer, TAG, l->comm, &both[1]) !=
                       MPI_SUCCESS)
            return GN2_ERR_IO;
        const gn2_status status = wait_both(l, peer, both, in);
        if (status != GN2_OK) return status;
    }
    return GN2_OK;
}

/* NOLINTEND(clang-analyzer-optin.mpi.MPI-Checker) */

static void end_all(void *user, const char *why)
{
    const gn2_mpi_link *l = user;
    fprintf(stderr, "gn2_mpi: %s\n", why);
    fflush(stderr);
    MPI_Abort(l->comm, 1);
}

static void leave(void *user)
{
    gn2_mpi_link *l = user;
    int finalised = 0;
    MPI_Finalized(&finalised);
    if (!finalised) MPI_Comm_free(&l->comm);
    if (!finalised && l->ours) MPI_Finalize();
    free(l);
}

static void wait_at_most(void *user, double seconds)
{
    gn2_mpi_link *l = user;
    l->timeout = seconds;
}

static gn2_status check_state(void)
{
    int finalised = 0, level = 0, is_main = 0;
    MPI_Finalized(&finalised);
    if (finalised) return fail(GN2_ERR_STATE, "MPI is finalised already");
    MPI_Query_thread(&level);
    if (level < MPI_THREAD_FUNNELED)
        return fail(GN2_ERR_STATE, "MPI was initialised without threads: the program "
                                   "must ask MPI_Init_thread() for "
                                   "MPI_THREAD_FUNNELED or more");
    MPI_Is_thread_main(&is_main);
    if (is_main) return GN2_OK;
    return fail(GN2_ERR_STATE, "not the thread that initialised MPI");
}

static gn2_status copy_comm(int32_t handle, gn2_mpi_link *l)
{
    const MPI_Comm comm =
        handle == GN2_MPI_WORLD ? MPI_COMM_WORLD : MPI_Comm_f2c((MPI_Fint)handle);
    if (comm == MPI_COMM_NULL) return fail(GN2_ERR_INVALID_ARG, "no communicator");
    if (MPI_Comm_dup(comm, &l->comm) != MPI_SUCCESS)
        return fail(GN2_ERR_IO, "MPI_Comm_dup() failed");
    MPI_Comm_set_errhandler(l->comm, MPI_ERRORS_RETURN);
    return GN2_OK;
}

static gn2_status begin(gn2_mpi_link *l)
{
    int initialised = 0, level;
    MPI_Initialized(&initialised);
    if (!initialised) {
        if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS)
            return fail(GN2_ERR_IO, "MPI_Init_thread() failed");
        l->ours = 1;
    }
    return check_state();
}

gn2_status gn2_mpi_group(int32_t comm, gn2_group **out_group)
{
    if (!out_group) return fail(GN2_ERR_INVALID_ARG, "out_group is NULL");
    *out_group = NULL;
    gn2_mpi_link *l = calloc(1, sizeof *l);
    if (!l) return fail(GN2_ERR_NO_MEMORY, "out of memory");
    l->timeout = timeout;
    gn2_status status = begin(l);
    if (status == GN2_OK) status = copy_comm(comm, l);
    if (status != GN2_OK) {
        free(l);
        return status;
    }
    int rank = 0, size = 1;
    MPI_Comm_rank(l->comm, &rank);
    MPI_Comm_size(l->comm, &size);
    const gn2_transport t = {.struct_size = sizeof t,
                             .rank = rank,
                             .size = size,
                             .user = l,
                             .exchange = exchange,
                             .abort = end_all,
                             .close = leave,
                             .set_timeout = wait_at_most};
    status = gn2_group_create(&t, out_group);
    if (status == GN2_OK) return GN2_OK;
    leave(l);
    return fail(status, gn2_last_error());
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A transport over MPI: non-blocking exchanges with a deadline, nothing collective. */
#include <gn2_mpi.h>
#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* A message goes as so many parts at most, of so many bytes at least, all under way at
 * once: what has come is taken in while the rest moves on in the kernel's buffers. Each
 * part is a handshake of its own: of 16, MPICH 4.0 was slower than of one. */
#define PARTS 4
#define LEAST ((size_t)1 << 20)
/* More is cut first, for the count of an MPI message is an int. */
#define MOST (PARTS * ((size_t)1 << 30))
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

/* Waits until requests are done with; others may need the processor meanwhile. */
static gn2_status wait_for(const gn2_mpi_link *l, int32_t peer, int count,
                           MPI_Request *requests, MPI_Status *status)
{
    const double start = now();
    for (;;) {
        int done = 0;
        if (MPI_Testall(count, requests, &done, status) != MPI_SUCCESS)
            return GN2_ERR_IO;
        if (done) return GN2_OK;
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

/* Where part `index` of a message begins; both ends know its size. */
static size_t begin_of(size_t size, int index)
{
    const size_t even = (size / PARTS + 64) / 64 * 64;
    const size_t begin = (size_t)index * (even > LEAST ? even : LEAST);
    return begin < size ? begin : size;
}

static int length_of(size_t size, int index)
{
    return (int)(begin_of(size, index + 1) - begin_of(size, index));
}

/* One exchange, of no more than MOST bytes a way. */
typedef struct job {
    const gn2_mpi_link *link;
    int32_t peer;
    const char *send;
    char *receive;
    size_t send_size, receive_size;
    gn2_arrived_fn arrived; /* NULL: nobody is told */
    void *context;
    size_t before; /* bytes that had come before `receive` */
    MPI_Request in[PARTS], out[PARTS];
} job;

/* The checker does not see that wait_for() waits, for whatever has been begun.
 * NOLINTBEGIN(clang-analyzer-optin.mpi.MPI-Checker) */
static gn2_status begin_part(job *j, int i)
{
    const MPI_Comm comm = j->link->comm;
    const int in = length_of(j->receive_size, i), out = length_of(j->send_size, i);
    int failed = MPI_SUCCESS;
    j->in[i] = j->out[i] = MPI_REQUEST_NULL;
    if (in)
        failed = MPI_Irecv(j->receive + begin_of(j->receive_size, i), in, MPI_BYTE,
                           j->peer, TAG, comm, &j->in[i]);
    if (out && failed == MPI_SUCCESS)
        failed = MPI_Isend(j->send + begin_of(j->send_size, i), out, MPI_BYTE, j->peer,
                           TAG, comm, &j->out[i]);
    return failed == MPI_SUCCESS ? GN2_OK : GN2_ERR_IO;
}

/* MPI takes a message that is too short for a good one. */
static gn2_status take_part(job *j, int i)
{
    const int length = length_of(j->receive_size, i);
    MPI_Status status;
    int came = 0;
    if (length == 0) return GN2_OK;
    const gn2_status waited = wait_for(j->link, j->peer, 1, &j->in[i], &status);
    if (waited != GN2_OK) return waited;
    MPI_Get_count(&status, MPI_BYTE, &came);
    if (came != length) return GN2_ERR_FORMAT;
    if (j->arrived)
        j->arrived(j->context, j->before + begin_of(j->receive_size, i + 1));
    return GN2_OK;
}

/* Messages that follow one another keep their order. */
static gn2_status work(job *j)
{
    MPI_Status ignored[PARTS];
    gn2_status status = GN2_OK;
    for (int i = 0; i < PARTS && status == GN2_OK; i++) status = begin_part(j, i);
    for (int i = 0; i < PARTS && status == GN2_OK; i++) status = take_part(j, i);
    if (status != GN2_OK) return status;
    return wait_for(j->link, j->peer, PARTS, j->out, ignored);
}

static size_t rest(size_t size, size_t at)
{
    const size_t left = size > at ? size - at : 0;
    return left < MOST ? left : MOST;
}

static gn2_status exchange_parts(void *user, int32_t peer, const void *send,
                                 size_t send_size, void *receive, size_t receive_size,
                                 gn2_arrived_fn arrived, void *context)
{
    gn2_status status = GN2_OK;
    for (size_t at = 0; at < send_size || at < receive_size; at += MOST) {
        job j = {.link = user, .peer = peer, .arrived = arrived, .context = context};
        j.before = at;
        j.send_size = rest(send_size, at);
        j.receive_size = rest(receive_size, at);
        if (j.send_size) j.send = (const char *)send + at;
        if (j.receive_size) j.receive = (char *)receive + at;
        status = work(&j);
        if (status != GN2_OK) break;
    }
    return status;
}

static gn2_status exchange(void *user, int32_t peer, const void *send, size_t send_size,
                           void *receive, size_t receive_size)
{
    return exchange_parts(user, peer, send, send_size, receive, receive_size, NULL,
                          NULL);
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
                             .set_timeout = wait_at_most,
                             .exchange_parts = exchange_parts};
    status = gn2_group_create(&t, out_group);
    if (status == GN2_OK) return GN2_OK;
    leave(l);
    return fail(status, gn2_last_error());
}

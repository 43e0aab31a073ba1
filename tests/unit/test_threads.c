/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util/threads.h"

#define PIECES 2000
#define LANES 4

typedef struct job {
    atomic_int done[PIECES];
    atomic_int inside[LANES]; /* pieces now running in a lane */
    atomic_int clashes, strangers;
} job;

static void piece(void *context, int64_t index, int32_t worker)
{
    job *j = context;
    if (worker < 0 || worker >= LANES) {
        atomic_fetch_add(&j->strangers, 1);
        return;
    }
    if (atomic_fetch_add(&j->inside[worker], 1) != 0) atomic_fetch_add(&j->clashes, 1);
    for (volatile int i = 0; i < 200; i++) {}
    atomic_fetch_add(&j->done[index], 1);
    atomic_fetch_sub(&j->inside[worker], 1);
}

static int all_done_once(job *j, int64_t count)
{
    for (int64_t i = 0; i < PIECES; i++)
        if (atomic_load(&j->done[i]) != (i < count)) return 0;
    return atomic_load(&j->clashes) == 0 && atomic_load(&j->strangers) == 0;
}

static int run_is_right(gn2_pool *pool, int64_t count)
{
    static job j;
    memset(&j, 0, sizeof j);
    gn2_pool_run(pool, count, piece, &j);
    return all_done_once(&j, count);
}

static void every_piece_is_done_once_in_its_own_lane(void **state)
{
    (void)state;
    for (int32_t workers = 1; workers <= LANES; workers++) {
        gn2_pool *pool;
        assert_ok(gn2_pool_create(workers, &pool));
        assert_int_equal(gn2_pool_workers(pool), workers);
        for (int64_t count = 0; count < 12; count++)
            assert_true(run_is_right(pool, count));
        for (int round = 0; round < 50; round++)
            assert_true(run_is_right(pool, PIECES));
        gn2_pool_free(pool);
    }
}

static void without_a_pool_the_caller_works(void **state)
{
    (void)state;
    assert_true(run_is_right(NULL, PIECES));
    assert_int_equal(gn2_pool_workers(NULL), 1);
    gn2_pool_free(NULL);
}

static void sizes_out_of_range_are_refused(void **state)
{
    (void)state;
    gn2_pool *pool;
    assert_status(GN2_ERR_INVALID_ARG, gn2_pool_create(0, &pool));
    assert_null(pool);
    assert_status(GN2_ERR_INVALID_ARG, gn2_pool_create(1000000, &pool));
    assert_message("1000000");
}

/* Two lanes meet: possible only if both run at the same time. */
static void meet(void *context, int64_t index, int32_t worker)
{
    (void)index;
    (void)worker;
    pthread_barrier_wait(context);
}

static void pieces_run_at_the_same_time(void **state)
{
    (void)state;
    gn2_pool *pool;
    pthread_barrier_t barrier;
    assert_ok(gn2_pool_create(3, &pool));
    pthread_barrier_init(&barrier, NULL, 3);
    for (int i = 0; i < 100; i++) gn2_pool_run(pool, 3, meet, &barrier);
    pthread_barrier_destroy(&barrier);
    gn2_pool_free(pool);
}

/* Calls go down a tree: none of its lanes may be forgotten, whatever their number. */
static void every_lane_is_called(void **state)
{
    (void)state;
    static const int32_t sizes[] = {2, 3, 4, 6, 7, 8, 31, 32, 33, 64};
    alarm(120); /* a lane that is not called is a failure, not a hanging test */
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        gn2_pool *pool;
        pthread_barrier_t barrier;
        assert_ok(gn2_pool_create(64, &pool));
        pthread_barrier_init(&barrier, NULL, (unsigned)sizes[s]);
        for (int i = 0; i < 20; i++) gn2_pool_run(pool, sizes[s], meet, &barrier);
        pthread_barrier_destroy(&barrier);
        gn2_pool_free(pool);
    }
    alarm(0);
}

static void count_piece(void *context, int64_t index, int32_t worker)
{
    (void)index;
    (void)worker;
    atomic_fetch_add((atomic_int *)context, 1);
}

/* Threads wake into runs that are over, into the next one, and fall asleep between. */
static void no_call_is_lost(void **state)
{
    (void)state;
    gn2_pool *pool;
    pthread_barrier_t barrier;
    alarm(120);
    assert_ok(gn2_pool_create(LANES, &pool));
    pthread_barrier_init(&barrier, NULL, LANES);
    for (int i = 0; i < 3000; i++) {
        atomic_int done = 0;
        gn2_pool_run(pool, 2 + i % 7, count_piece, &done);
        assert_int_equal(atomic_load(&done), 2 + i % 7);
        if (i % 50 == 0) nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
        if (i % 10 == 0) gn2_pool_run(pool, LANES, meet, &barrier);
    }
    pthread_barrier_destroy(&barrier);
    gn2_pool_free(pool);
    alarm(0);
}

/* Processor time of an idle pool: threads that spin would use all of it. */
static void idle_threads_sleep(void **state)
{
    (void)state;
    gn2_pool *pool;
    assert_ok(gn2_pool_create(LANES, &pool));
    assert_true(run_is_right(pool, PIECES));
    const clock_t before = clock();
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    assert_true((double)(clock() - before) / CLOCKS_PER_SEC < 0.05);
    gn2_pool_free(pool);
}

static void child_makes_its_own_threads(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    print_message("ThreadSanitizer knows no threads made after a fork\n");
    skip();
#endif
    gn2_pool *pool;
    assert_ok(gn2_pool_create(LANES, &pool));
    assert_true(run_is_right(pool, PIECES));
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(20); /* a child that hangs is a failure, not a hanging test */
        pthread_barrier_t barrier;
        pthread_barrier_init(&barrier, NULL, LANES);
        int good = run_is_right(pool, PIECES);
        gn2_pool_run(pool, LANES, meet, &barrier);
        good = good && run_is_right(pool, PIECES);
        gn2_pool_free(pool);
        _exit(good ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(run_is_right(pool, PIECES));
    gn2_pool_free(pool);
}

static void pool_unused_in_the_child_can_be_freed(void **state)
{
    (void)state;
    gn2_pool *pool;
    assert_ok(gn2_pool_create(LANES, &pool));
    assert_true(run_is_right(pool, PIECES));
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(20);
        gn2_pool_free(pool);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    gn2_pool_free(pool);
}

typedef struct probe {
    pthread_barrier_t barrier;
    int rounding[LANES];
    int blocked[LANES], open_faults[LANES];
} probe;

static void look(void *context, int64_t index, int32_t worker)
{
    probe *p = context;
    sigset_t set;
    (void)index;
    pthread_barrier_wait(&p->barrier); /* every lane gets one piece */
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    p->rounding[worker] = fegetround();
    p->blocked[worker] = sigismember(&set, SIGINT) && sigismember(&set, SIGALRM);
    p->open_faults[worker] = !sigismember(&set, SIGSEGV);
}

static void workers_take_over_modes_and_leave_signals(void **state)
{
    (void)state;
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_TOWARDZERO};
    gn2_pool *pool;
    static probe p;
    assert_ok(gn2_pool_create(LANES, &pool));
    pthread_barrier_init(&p.barrier, NULL, LANES);
    for (size_t m = 0; m < 3; m++) {
        fesetround(modes[m]);
        gn2_pool_run(pool, LANES, look, &p);
        assert_int_equal(fegetround(), modes[m]);
        fesetround(FE_TONEAREST);
        for (int i = 0; i < LANES; i++) assert_int_equal(p.rounding[i], modes[m]);
    }
    for (int i = 1; i < LANES; i++) {
        assert_true(p.blocked[i]);
        assert_true(p.open_faults[i]);
    }
    assert_false(p.blocked[0]);
    pthread_barrier_destroy(&p.barrier);
    gn2_pool_free(pool);
}

/* ---- foreign schedulers ---- */

typedef struct foreign_call {
    void (*task)(void *context, int64_t index);
    void *context;
    int64_t index;
} foreign_call;

static void *foreign_thread(void *argument)
{
    const foreign_call *call = argument;
    call->task(call->context, call->index);
    return NULL;
}

static void on_new_threads(void *user, int64_t count,
                           void (*task)(void *context, int64_t index), void *context)
{
    pthread_t threads[LANES];
    foreign_call calls[LANES];
    atomic_fetch_add((atomic_int *)user, 1);
    for (int64_t i = 0; i < count; i++) {
        calls[i] = (foreign_call){task, context, i};
        pthread_create(&threads[i], NULL, foreign_thread, &calls[i]);
    }
    for (int64_t i = 0; i < count; i++) pthread_join(threads[i], NULL);
}

static void one_after_another_backwards(void *user, int64_t count,
                                        void (*task)(void *context, int64_t index),
                                        void *context)
{
    atomic_fetch_add((atomic_int *)user, 1);
    for (int64_t i = count - 1; i >= 0; i--) task(context, i);
}

static void nothing_at_all(void *user, int64_t count,
                           void (*task)(void *context, int64_t index), void *context)
{
    (void)count;
    (void)task;
    (void)context;
    atomic_fetch_add((atomic_int *)user, 1);
}

static void foreign_schedulers_do_the_work(void **state)
{
    (void)state;
    static const gn2_pool_foreign schedulers[] = {
        on_new_threads, one_after_another_backwards, nothing_at_all};
    gn2_pool *pool;
    assert_ok(gn2_pool_create(LANES, &pool));
    for (size_t i = 0; i < 3; i++) {
        atomic_int calls = 0;
        gn2_pool_set_foreign(pool, schedulers[i], &calls);
        for (int64_t count = 2; count < 9; count++)
            assert_true(run_is_right(pool, count));
        assert_true(run_is_right(pool, PIECES));
        assert_int_equal(atomic_load(&calls), 8);
    }
    gn2_pool_set_foreign(pool, NULL, NULL);
    assert_true(run_is_right(pool, PIECES));
    gn2_pool_free(pool);
}

/* ---- processors ---- */

static void put(const char *root, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void folder(const char *root, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void cgroup_quota_is_the_least_on_the_way(void **state)
{
    (void)state;
    char root[] = "/tmp/gn2-cgroup-XXXXXX";
    assert_non_null(mkdtemp(root));
    folder(root, "a");
    folder(root, "a/b");
    put(root, "a/cpu.max", "350000 100000\n");
    put(root, "a/b/cpu.max", "max 100000\n");
    assert_int_equal(gn2_cgroup_quota("0::/a/b\n", root), 4);
    assert_int_equal(gn2_cgroup_quota("0::/\n", root), INT32_MAX);
    put(root, "a/b/cpu.max", "20000 100000\n");
    assert_int_equal(gn2_cgroup_quota("0::/a/b\n", root), 1);
    put(root, "cpu.max", "200000 100000\n"); /* container: its path is not mounted */
    assert_int_equal(gn2_cgroup_quota("0::/not/there\n", root), 2);
    folder(root, "cpu");
    folder(root, "cpu/x");
    put(root, "cpu/cpu.cfs_quota_us", "-1\n");
    put(root, "cpu/cpu.cfs_period_us", "100000\n");
    put(root, "cpu/x/cpu.cfs_quota_us", "250000\n");
    put(root, "cpu/x/cpu.cfs_period_us", "50000\n");
    const char *v1 = "5:cpuset:/x\n3:cpu,cpuacct:/x\n1:name=systemd:/x\n";
    assert_int_equal(gn2_cgroup_quota(v1, root), 5);
    assert_int_equal(gn2_cgroup_quota("3:cpuset:/x\n", root), INT32_MAX);
    assert_int_equal(gn2_cgroup_quota("nonsense", root), INT32_MAX);
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
}

static void some_processor_is_available(void **state)
{
    (void)state;
    assert_in_range(gn2_cpu_available(), 1, sysconf(_SC_NPROCESSORS_CONF));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_piece_is_done_once_in_its_own_lane),
        cmocka_unit_test(without_a_pool_the_caller_works),
        cmocka_unit_test(sizes_out_of_range_are_refused),
        cmocka_unit_test(pieces_run_at_the_same_time),
        cmocka_unit_test(every_lane_is_called),
        cmocka_unit_test(no_call_is_lost),
        cmocka_unit_test(idle_threads_sleep),
        cmocka_unit_test(child_makes_its_own_threads),
        cmocka_unit_test(pool_unused_in_the_child_can_be_freed),
        cmocka_unit_test(workers_take_over_modes_and_leave_signals),
        cmocka_unit_test(foreign_schedulers_do_the_work),
        cmocka_unit_test(cgroup_quota_is_the_least_on_the_way),
        cmocka_unit_test(some_processor_is_available),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many processors this process may use: the affinity mask, cut by the quota
 * of the cgroups it is in (both hierarchies, all levels up to the mount point).
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/alloc.h"
#include "util/threads.h"

#define PATH_SIZE 4096

/* Up to size − 1 bytes of a small file of a folder; 0 if it cannot be read. */
static int read_text(const char *folder, const char *name, char *out, size_t size)
{
    char path[PATH_SIZE];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= PATH_SIZE) return 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    size_t length = 0;
    ssize_t got;
    while (length < size - 1 && (got = read(fd, out + length, size - 1 - length)) > 0)
        length += (size_t)got;
    close(fd);
    out[length] = '\0';
    return length > 0;
}

/* Room for as many processors as the kernel knows of: it refuses masks that are too
 * small for it. */
gn2_affinity gn2_affinity_take(void)
{
    for (int limit = 1024; limit <= 1 << 20; limit *= 2) {
        gn2_affinity a = {.size = CPU_ALLOC_SIZE((size_t)limit)};
        a.mask = gn2_alloc(1, a.size);
        if (!a.mask) break;
        if (sched_getaffinity(0, a.size, a.mask) == 0) return a;
        gn2_free(a.mask);
    }
    return (gn2_affinity){0};
}

void gn2_affinity_restore(gn2_affinity *before)
{
    gn2_affinity now = gn2_affinity_take();
    const int same = now.size == before->size && now.mask &&
                     CPU_EQUAL_S(now.size, (cpu_set_t *)now.mask, before->mask);
    if (before->mask && !same) sched_setaffinity(0, before->size, before->mask);
    gn2_free(now.mask);
    gn2_free(before->mask);
    *before = (gn2_affinity){0};
}

/* Processors granted by `quota` of every `period`, rounded up: a share of a
 * processor still needs a thread. */
static int32_t granted(long long quota, long long period)
{
    if (quota <= 0 || period <= 0) return INT32_MAX;
    const long long cpus = quota / period + (quota % period != 0);
    return cpus < INT32_MAX ? (int32_t)cpus : INT32_MAX;
}

/* cgroup v2: "max 100000", whose quota reads as 0, or "150000 100000" */
static int32_t quota_v2(const char *folder)
{
    char text[128], *end;
    if (!read_text(folder, "cpu.max", text, sizeof text)) return INT32_MAX;
    const long long quota = strtoll(text, &end, 10);
    return granted(quota, strtoll(end, NULL, 10));
}

/* cgroup v1: quota −1 is none */
static int32_t quota_v1(const char *folder)
{
    char quota[64], period[64];
    if (!read_text(folder, "cpu.cfs_quota_us", quota, sizeof quota) ||
        !read_text(folder, "cpu.cfs_period_us", period, sizeof period))
        return INT32_MAX;
    return granted(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
}

/* The least grant of mount + group and of its parents. A container may see a
 * group path that is not below its mount: levels that are absent do not count. */
static int32_t least_on_the_way(const char *root, const char *mount, const char *group,
                                int32_t (*quota)(const char *folder))
{
    char path[PATH_SIZE];
    if (snprintf(path, sizeof path, "%s%s%s", root, mount, group) >= PATH_SIZE)
        return INT32_MAX;
    int32_t least = INT32_MAX;
    for (;;) {
        const int32_t here = quota(path);
        if (here < least) least = here;
        char *slash = strrchr(path, '/');
        if (!slash || slash < path + strlen(root) + strlen(mount)) return least;
        *slash = '\0';
    }
}

/* Is `word` one of the comma-separated controllers? */
static int has_controller(const char *list, const char *word)
{
    const size_t length = strlen(word);
    for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (!strncmp(p, word, length) && (p[length] == ',' || p[length] == '\0'))
            return 1;
    return 0;
}

/* One line "number:controllers:path" of /proc/self/cgroup. */
static int32_t line_quota(char *line, const char *root)
{
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group) return INT32_MAX;
    *controllers++ = '\0';
    *group++ = '\0';
    if (*controllers == '\0') return least_on_the_way(root, "", group, quota_v2);
    if (!has_controller(controllers, "cpu")) return INT32_MAX;
    return least_on_the_way(root, "/cpu", group, quota_v1);
}

int32_t gn2_cgroup_quota(const char *membership, const char *root)
{
    char text[PATH_SIZE];
    int32_t least = INT32_MAX;
    if (strlen(membership) >= sizeof text) return least;
    snprintf(text, sizeof text, "%s", membership);
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        const int32_t quota = line_quota(line, root);
        if (quota < least) least = quota;
    }
    return least;
}

int32_t gn2_cpu_available(void)
{
    char membership[PATH_SIZE];
    gn2_affinity a = gn2_affinity_take();
    const int found = a.mask ? CPU_COUNT_S(a.size, (cpu_set_t *)a.mask) : 0;
    const int32_t cpus = found > 0 ? found : 1;
    gn2_free(a.mask);
    if (!read_text("/proc/self", "cgroup", membership, sizeof membership)) return cpus;
    const int32_t quota = gn2_cgroup_quota(membership, "/sys/fs/cgroup");
    return quota < cpus ? quota : cpus;
}

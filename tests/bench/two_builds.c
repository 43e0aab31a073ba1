/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The round of two_builds.py: sides (turns.c) of two builds in one process, each with a
 * libgn2 of its own, do the same piece in turns.
 *
 *   two_builds SHIFT SECONDS PIECES OLD.so NEW.so AGAIN.so JETS.h5 key=value...
 *
 * A line a piece: its name, and the medians of new/old and of again/old.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIDES 3
#define TURNS_MIN 6
#define TURNS_MAX 100000

/* Each side comes first, second and third alike, and as often after each. */
static const int order[TURNS_MIN][SIDES] = {{0, 2, 1}, {1, 0, 2}, {2, 1, 0},
                                            {0, 1, 2}, {2, 0, 1}, {1, 2, 0}};

typedef struct side {
    void (*set_up)(int, char **);
    int (*work)(const char *);
} side;

static void fail(const char *text)
{
    fprintf(stderr, "two_builds: %s\n", text);
    exit(1);
}

static void *symbol(void *library, const char *name)
{
    void *address = dlsym(library, name);
    if (!address) fail(dlerror());
    return address;
}

static side load(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) fail(dlerror());
    side s;
    *(void **)&s.set_up = symbol(library, "turns_set_up");
    *(void **)&s.work = symbol(library, "turns_work");
    return s;
}

/* Of all threads; what a neighbour on the machine does is not in it. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double seconds_of(const side *s, const char *piece)
{
    const double start = now();
    if (!s->work(piece)) fail("pieces are tag, one, read and train");
    return now() - start;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, size_t count)
{
    qsort(x, count, sizeof *x, compare);
    return (x[(count - 1) / 2] + x[count / 2]) / 2;
}

static void compare_sides(const side *sides, const char *piece, double seconds)
{
    static double new_old[TURNS_MAX], again_old[TURNS_MAX];
    size_t turns = 0;
    for (int i = 0; i < SIDES; i++) seconds_of(&sides[i], piece); /* warms up */
    const double start = now();
    while (turns < TURNS_MAX && (turns % TURNS_MIN || now() < start + seconds)) {
        double time[SIDES];
        for (int i = 0; i < SIDES; i++) {
            const int which = order[turns % TURNS_MIN][i];
            time[which] = seconds_of(&sides[which], piece);
        }
        new_old[turns] = time[1] / time[0];
        again_old[turns++] = time[2] / time[0];
    }
    printf("%s %.6f %.6f\n", piece, median(new_old, turns), median(again_old, turns));
}

int main(int argc, char **argv)
{
    side sides[SIDES];
    if (argc < 8) fail("arguments are missing");
    for (int i = 0; i < SIDES; i++) { /* whose memory comes first: by round */
        const int which = order[atoi(argv[1]) % TURNS_MIN][i];
        sides[which] = load(argv[4 + which]);
        sides[which].set_up(argc - 7, argv + 7);
    }
    for (char *piece = strtok(argv[3], ","); piece; piece = strtok(NULL, ","))
        compare_sides(sides, piece, atof(argv[2]));
    return 0;
}

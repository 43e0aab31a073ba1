/* SPDX-License-Identifier: Apache-2.0 */
/* The program: options, the loop over kernels and instruction sets, the verdict. */
#include "kcheck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "util/str.h"

static const kc_kernel *const groups[] = {kc_norm, kc_attention, kc_rows,
                                          kc_loss, kc_optim,     kc_mul};
enum { GROUPS = sizeof groups / sizeof *groups };

static const char usage[] =
    "usage: kcheck [--test KERNEL] [--isa NAME] [--seed N] [--list] [--bench] [-v]\n";

static int read_options(kc_options *options, int argc, char **argv)
{
    *options = (kc_options){.seed = 1};
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        int64_t seed = 0;
        if (strcmp(argv[i], "--list") == 0)
            options->list = 1;
        else if (strcmp(argv[i], "--bench") == 0)
            options->bench = 1;
        else if (strcmp(argv[i], "-v") == 0)
            options->verbose = 1;
        else if (strcmp(argv[i], "--test") == 0 && next)
            options->test = argv[++i];
        else if (strcmp(argv[i], "--isa") == 0 && next)
            options->isa = argv[++i];
        else if (strcmp(argv[i], "--seed") == 0 && next && gn2_parse_i64(next, &seed))
            options->seed = (uint64_t)seed, i++;
        else
            return 0;
    }
    return 1;
}

static int chosen(const char *wanted, const char *name)
{
    return !wanted || strcmp(wanted, name) == 0;
}

static void check_kernel(const kc_kernel *kernel, const kc_options *options,
                         kc_tally *total)
{
    const gn2_isa best = gn2_isa_detect();
    for (int cap = 0; cap <= GN2_ISA_BEST; cap++) {
        const char *isa = gn2_isa_name((gn2_isa)cap);
        if (!chosen(options->isa, isa) || cap > (int)best) continue;
        kc_tally tally = {0, 0, 0};
        kc_check(kernel, cap, options, &tally);
        total->cases += tally.cases;
        total->failed += tally.failed;
        if (options->verbose || tally.failed)
            printf("%-21s %-9s %5lld cases, %lld failed, worst error %.3f of bound\n",
                   kernel->name, isa, (long long)tally.cases, (long long)tally.failed,
                   tally.worst);
    }
}

static void visit(const kc_kernel *kernel, const kc_options *options, kc_tally *total)
{
    if (options->list)
        puts(kernel->name);
    else if (options->bench)
        kc_bench(kernel, options);
    else
        check_kernel(kernel, options, total);
}

/* Sets this processor lacks are named, not passed over. */
static void say_skipped(const kc_options *options)
{
    for (int cap = (int)gn2_isa_detect() + 1; cap <= GN2_ISA_BEST; cap++)
        if (chosen(options->isa, gn2_isa_name((gn2_isa)cap)))
            printf("skipped: %s, which this processor or system lacks\n",
                   gn2_isa_name((gn2_isa)cap));
}

int main(int argc, char **argv)
{
    kc_options options;
    kc_tally total = {0, 0, 0};
    if (!read_options(&options, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    for (int g = 0; g < GROUPS; g++)
        for (const kc_kernel *kernel = groups[g]; kernel->name; kernel++)
            if (chosen(options.test, kernel->name)) visit(kernel, &options, &total);
    if (options.list || options.bench) return 0;
    say_skipped(&options);
    printf("kcheck: %lld cases, %lld failed, seed %llu\n", (long long)total.cases,
           (long long)total.failed, (unsigned long long)options.seed);
    if (total.failed) return 1;
    return total.cases ? 0 : 77;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kcheck: every fast kernel against the reference in double, through the real
 * dispatch table, on awkward shapes, between guard pages; and timed by the same
 * program. A kernel is described once (arrays, shapes, error bound); the call is
 * compiled in both precisions (kcheck_calls.c). Not a test of layers or models.
 */
#ifndef KCHECK_H
#define KCHECK_H

#include <stddef.h>
#include <stdint.h>

/* Unit roundoff of float, and its smallest positive number. */
#define KC_U 0x1p-24
#define KC_TINY 0x1p-149

enum { KC_ARRAYS = 10, KC_DIMS = 4, KC_SCALARS = 8 };

typedef enum kc_role { KC_IN, KC_OUT, KC_INOUT, KC_SCRATCH } kc_role;
typedef enum kc_type { KC_REAL, KC_INT32 } kc_type;
typedef enum kc_kind { KC_NORMAL, KC_LARGE, KC_DENORMAL, KC_SPECIAL, KC_KINDS } kc_kind;

/* One argument array. `value` holds the start, `want` what the double reference
 * left, `bound` the error allowed against it. */
typedef struct kc_array {
    const char *name;
    kc_role role;
    kc_type type;
    int64_t count;
    int absent; /* hand over NULL */
    double *value, *want, *bound;
} kc_array;

typedef struct kc_case {
    kc_kind kind;
    uint64_t key, counter; /* random stream */
    int64_t n[KC_DIMS];
    double s[KC_SCALARS];
    kc_array array[KC_ARRAYS];
    int arrays;
    double want_result, bound_result;
} kc_case;

typedef struct kc_shape {
    int64_t n[KC_DIMS];
} kc_shape;

/* A kernel: `make` adds arrays and scalars for c->n; `bound` fills bound of every
 * written array (and bound_result) from value and want. */
typedef struct kc_kernel {
    const char *name;
    void (*make)(kc_case *c);
    void (*bound)(kc_case *c);
    const kc_shape *shapes; /* last one all −1 */
    const kc_shape *bench;
    unsigned kinds;   /* 1u << kind */
    unsigned per_row; /* arrays that have n[0] rows: a row alone gives the same bits */
    int same_bits;    /* must equal the float reference to the bit */
} kc_kernel;

#define KC_ALL_KINDS 0xFu
#define KC_NO_SPECIAL 0x7u
#define KC_END             \
    {                      \
        {                  \
            -1, -1, -1, -1 \
        }                  \
    }

/* Kernels of a file, ended by one without a name. */
extern const kc_kernel kc_norm[], kc_attention[], kc_rows[], kc_loss[], kc_optim[],
    kc_mul[];

/* ---- building a case ---- */

/* Adds an array filled with random numbers of the case's kind times `scale`;
 * scale 0 gives zeros. Returns it. */
kc_array *kc_add(kc_case *c, const char *name, kc_role role, int64_t count,
                 double scale);
/* As kc_add, uniform in low … high whatever the kind. */
kc_array *kc_add_uniform(kc_case *c, const char *name, kc_role role, int64_t count,
                         double low, double high);
/* Labels −2 … classes−1. */
kc_array *kc_add_labels(kc_case *c, const char *name, int64_t count, int64_t classes);
/* Argument that is NULL. */
kc_array *kc_add_null(kc_case *c, const char *name);
void kc_scalar(kc_case *c, int index, double value);
double kc_uniform(kc_case *c);
uint64_t kc_below(kc_case *c, uint64_t bound);

/* ---- running ---- */

typedef struct kc_args {
    void *array[KC_ARRAYS];
    const int64_t *n;
    const double *s;
    uint64_t key;
    double result;
} kc_args;

/* Calls slot `name` of the table for `cap`; 0 if there is no such call. */
int kc_call_f32(const char *name, int cap, kc_args *args);
int kc_call_f64(const char *name, int cap, kc_args *args);

typedef struct kc_options {
    const char *test, *isa;
    uint64_t seed;
    int list, bench, verbose;
} kc_options;

/* Worst error over bound seen, and what failed. */
typedef struct kc_tally {
    int64_t cases, failed;
    double worst;
} kc_tally;

void kc_check(const kc_kernel *kernel, int cap, const kc_options *options,
              kc_tally *tally);
void kc_bench(const kc_kernel *kernel, const kc_options *options);

/* kcheck_case.c, for the bench */
void kc_case_make(kc_case *c, const kc_kernel *kernel, const kc_shape *shape,
                  kc_kind kind, uint64_t key);
void kc_case_free(kc_case *c);

/* ---- guarded memory ---- */

typedef struct kc_block {
    unsigned char *map;
    size_t mapped;
    unsigned char *data;
    size_t bytes, shift;
} kc_block;

/* `bytes` that end `shift` bytes before a page that may not be touched; canaries
 * fill the rest. */
void kc_block_make(kc_block *block, size_t bytes, size_t shift);
/* Offset of the first damaged canary byte from data, or 0. */
ptrdiff_t kc_block_damage(const kc_block *block);
void kc_block_free(kc_block *block);

/* Runs fn(args) and returns the signal that ended it, or 0. */
int kc_guarded(void (*fn)(void *), void *argument);

#endif

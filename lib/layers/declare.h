/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How layers declare their parameters: one call a tensor, in the order of the arena.
 * A declaration knows shapes and what grows with the width; what follows from that –
 * roles and multipliers – is the parametrisation's, told through `scale`.
 */
#ifndef GN2_LAYERS_DECLARE_H
#define GN2_LAYERS_DECLARE_H

#include <stddef.h>
#include <stdint.h>

/* How a tensor starts. */
typedef enum gn2_start {
    GN2_START_CONSTANT = 0, /* init_value */
    GN2_START_NORMAL = 1,   /* N(0, init_std²) */
    GN2_START_UNIFORM = 2   /* U(±√3·init_std) */
} gn2_start;

/* What grows with the width on a linear map. */
typedef enum gn2_growth {
    GN2_GROWS_NONE = 0,
    GN2_GROWS_OUT = 1,
    GN2_GROWS_IN = 2,
    GN2_GROWS_BOTH = 3
} gn2_growth;

/* What a tensor is to its layer. */
typedef enum gn2_form { GN2_FORM_WEIGHT, GN2_FORM_BIAS, GN2_FORM_GAIN } gn2_form;

typedef struct gn2_tensor {
    char name[128]; /* salt's state_dict name without "model." */
    int32_t role;   /* GN2_ROLE_* of model.h */
    gn2_start start;
    gn2_form form;
    gn2_growth growth;
    int64_t shape[2]; /* (out, in) or (length, 0) */
    int64_t count;
    int64_t offset; /* in the arena, elements */
    int64_t fan_in, fan_out;
    double init_value, init_std;
    int64_t zeros; /* first elements that start at 0 */
    double lr_mult, wd_mult, forward_mult;
} gn2_tensor;

typedef struct gn2_declaration {
    gn2_tensor *tensor; /* (capacity); NULL with capacity 0: only counts */
    size_t capacity;
    size_t count;     /* declared so far, more than fit among them */
    int64_t total;    /* elements of the arena so far */
    char prefix[64];  /* of the names that follow */
    int packed;       /* tensors follow each other without a gap */
    int torch_init;   /* starts as torch.nn leaves them, else N(0, 1/fan_in) */
    int biased;       /* biases start at random, as torch.nn.Linear's */
    gn2_tensor spare; /* takes what does not fit */
    /* Sets role and multipliers, may change init_std. */
    void (*scale)(const void *user, gn2_tensor *tensor);
    const void *user;
} gn2_declaration;

/* Formats a stem, or the prefix: names are prefix, stem and part. */
void gn2_declare_name(char out[64], const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A tensor of which `like` has form, growth, shape, fans and start. Its multipliers
 * and role are known on return. */
gn2_tensor *gn2_declare(gn2_declaration *d, const char *stem, const char *part,
                        const gn2_tensor *like);
/* `<stem>weight` (out, in) and `<stem>bias` (out) of a linear map, with their usual
 * start. */
gn2_tensor *gn2_declare_weight(gn2_declaration *d, const char *stem, int64_t out,
                               int64_t in, gn2_growth growth);
gn2_tensor *gn2_declare_bias(gn2_declaration *d, const char *stem, int64_t out,
                             int64_t in, gn2_growth growth);

#endif

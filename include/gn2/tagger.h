/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tagger.h
 * @brief Running a model on jets in the caller's memory.
 *
 * A tagger holds the scratch memory and, if asked for, the threads; many taggers
 * may share one model. After the first call at a given size no memory is
 * allocated. A jet's results never depend on the other jets of the call, on the
 * layout (ragged or padded) or on the number of threads, to the bit.
 *
 * @thread A tagger serves one call at a time. A second one meanwhile, from another
 * thread or on the same one, gets GN2_ERR_BUSY; only gn2_tagger_cancel() and what
 * looks at outputs may come then. It is not re-entrant: a scheduler that, while it
 * waits in gn2_parallel_fn, runs another task that uses the same tagger must be kept
 * from it (oneTBB: tbb::this_task_arena::isolate), or give each task a tagger of its
 * own (gn2.hpp: gn2::TaggerPool). Different taggers are independent.
 */
#ifndef GN2_TAGGER_H
#define GN2_TAGGER_H

#include <gn2/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Runs a model on jets. */
typedef struct gn2_tagger gn2_tagger;

/**
 * One constituent type (tracks, …) of the jets of a call, in caller memory.
 * Ragged: `offsets` (B+1) non-decreasing from 0, jet b owns rows
 * offsets[b] … offsets[b+1]−1 of `data`; `valid` NULL.
 * Padded: `offsets` NULL, jet b owns rows b·slots … (b+1)·slots−1, those with
 * valid[b·slots+i] ≠ 0 count; holes are allowed; NULL `valid`: all count.
 */
typedef struct gn2_sequence {
    uint32_t struct_size;   /**< sizeof(gn2_sequence) */
    uint32_t flags;         /**< zero */
    const float *data;      /**< rows of raw variables, model's units (MeV, mm) */
    int64_t row_stride;     /**< floats from row to row; 0 = number of columns */
    const int64_t *offsets; /**< (B+1) ragged, or NULL */
    const uint8_t *valid;   /**< (B, slots) padded, or NULL */
    int64_t slots;          /**< rows per jet when padded, else 0 */
    uint64_t reserved[4];   /**< zero */
} gn2_sequence;

/** The jets of a call, in caller memory, read only during the call. */
typedef struct gn2_jets {
    uint32_t struct_size;          /**< sizeof(gn2_jets) */
    uint32_t sequence_count;       /**< number of constituent types */
    int64_t count;                 /**< number of jets B, may be 0 */
    const float *features;         /**< (B, jet variables), raw */
    int64_t row_stride;            /**< floats from jet to jet; 0 = columns */
    const gn2_sequence *sequences; /**< in the order of `model.constituents` */
    int64_t sequence_stride;       /**< bytes from one to the next; 0 = sizeof */
    uint64_t reserved[4];          /**< zero */
} gn2_jets;

/** Where one output of a call goes. */
typedef struct gn2_output {
    uint32_t struct_size; /**< sizeof(gn2_output) */
    int32_t id;           /**< from gn2_tagger_output() */
    void *data;           /**< elements as gn2_output_info::type says */
    int64_t capacity;     /**< rows there is room for */
    int64_t row_stride;   /**< elements from row to row; 0 = number of columns */
    int32_t type;         /**< GN2_DATA_* of `data`, refused when the output has
                               another; 0 = not checked */
    uint32_t flags;       /**< zero */
    uint64_t reserved[3]; /**< zero */
} gn2_output;

/** Whose rows an output has. */
#define GN2_ROWS_JETS 1         /**< one a jet (B) */
#define GN2_ROWS_CONSTITUENTS 2 /**< one a constituent row of the input (N) */
#define GN2_ROWS_PAIRS 3        /**< one an ordered pair of constituents (E) */

/** The output is a score: score files have it also where `scores.outputs` does not name
 * it, see gn2_score_writer_create(). */
#define GN2_OUTPUT_SCORE 1

/** What an output is; strings are borrowed until the tagger is freed. */
typedef struct gn2_output_info {
    uint32_t struct_size; /**< sizeof(gn2_output_info), set by the caller */
    uint32_t flags;       /**< GN2_OUTPUT_* */
    int32_t id;           /**< for gn2_output::id */
    int32_t rows;         /**< GN2_ROWS_* */
    int32_t type;         /**< GN2_DATA_* */
    int32_t sequence;     /**< place of its constituents in gn2_jets::sequences; −1
                               for GN2_ROWS_JETS */
    const char *name;     /**< e.g. "jets.probabilities" */
    const char *object;   /**< "jets", or the constituent type of the rows or pairs */
    int64_t columns;      /**< elements of a row */
    uint64_t reserved[4]; /**< zero */
} gn2_output_info;

/**
 * Runs `task(context, 0 … count−1)` in any order on any threads and returns when
 * all are done. The tasks do not throw; it may not throw or longjmp() either, and may
 * not run other work that uses this tagger.
 */
typedef void (*gn2_parallel_fn)(void *user, int64_t count,
                                void (*task)(void *context, int64_t index),
                                void *context);

/**
 * Makes a tagger.
 * Reads `tagger.threads` (default 1; 0 = processors this process may use),
 * `tagger.weights`, `tagger.precision`, `tagger.chunk_tokens`; what happens to NaN and
 * Inf is the model's (`input.non_finite`), and so are the discriminants, unless
 * `discriminant.NAME.signal` or `.fractions` are set here: they come first. Any other
 * option of a model (`model.*`, `inputs.*`, `norm.*`, `task.*`, `input.*`,
 * `discriminant.*`; dropout is none) that is set to neither the model's value nor the
 * default is refused.
 * `tagger.weights` = `bf16` keeps the matrices of weights in bfloat16, rounded to
 * nearest even, and computes in f32: the result is exactly that of the rounded
 * weights. It makes calls of few jets faster, where reading the weights is the
 * limit; probabilities move by about 1e-3 (doc/numerics.md).
 * `tagger.precision` = `bf16` multiplies matrices in bfloat16 with sums in f32; `auto`
 * does so where the model of processor was measured to gain by it at this width, and is
 * `f32` elsewhere.
 * @param[in] model      kept alive by the tagger and immutable from now on
 * @param[in] config     options; NULL for defaults, whatever config the model was made
 *   with: the same before and after it was saved
 * @param[out] out_tagger freed by gn2_tagger_free(); NULL on failure
 * @return GN2_OK, GN2_ERR_INVALID_ARG, GN2_ERR_NO_MEMORY, GN2_ERR_UNSUPPORTED
 *   (precision not available here). @since 0.1
 */
GN2_API gn2_status gn2_tagger_create(const gn2_model *model, const gn2_config *config,
                                     gn2_tagger **out_tagger);

/** Frees a tagger; NULL is allowed. @since 0.1 */
GN2_API void gn2_tagger_free(gn2_tagger *tagger);

/**
 * Lets the caller's scheduler (TBB, …) run the work instead of own threads.
 * @param[in] fn       NULL for own threads again
 * @param[in] workers  how many tasks may run at once, 1 to 4096
 * @return GN2_OK, GN2_ERR_INVALID_ARG, GN2_ERR_NO_MEMORY, GN2_ERR_BUSY. @since 0.1
 */
GN2_API gn2_status gn2_tagger_set_parallel(gn2_tagger *tagger, gn2_parallel_fn fn,
                                           void *user, int32_t workers);

/**
 * Bytes of scratch the tagger holds after a call of at most `max_jets` jets of at
 * most `max_tracks` constituents each; the call then allocates nothing. Indices are
 * apart: 56 bytes a jet, for padded input another 8 a jet and 8 a slot.
 * @param[out] out_bytes bytes, exact
 * @return GN2_OK; GN2_ERR_INVALID_ARG (negative, or more than a size_t holds).
 * @since 0.1
 */
GN2_API gn2_status gn2_tagger_workspace_size(const gn2_tagger *tagger, int64_t max_jets,
                                             int64_t max_tracks, size_t *out_bytes);

/** What `tagger.precision` came to, "f32" or "bf16"; "" for NULL. @since 0.1 */
GN2_API const char *gn2_tagger_precision(const gn2_tagger *tagger);

/** Bytes of scratch the tagger holds now; 0 for NULL. @since 0.1 */
GN2_API size_t gn2_tagger_memory(const gn2_tagger *tagger);

/**
 * Tells the order of the caller's columns, by name, once. Without it columns are
 * in the model's order. Extra names are ignored; the known aliases
 * (`IP3D_signed_d0_significance` = `lifetimeSignedD0Significance`, `pt` =
 * `pt_btagJes`, …) are accepted.
 * @param[in] object "jets" or a constituent type
 * @param[in] names  `count` column names; NULL (count 0): the model's order again
 * @param[in] count  number of names, and of columns of a row
 * @return GN2_OK; GN2_ERR_NOT_FOUND naming the object or input that is missing;
 *   GN2_ERR_INVALID_ARG: two inputs would read one column, by alias, or the name of a
 *   column that is read stands there twice; GN2_ERR_BUSY; GN2_ERR_NO_MEMORY. @since 0.1
 */
GN2_API gn2_status gn2_tagger_bind(gn2_tagger *tagger, const char *object,
                                   const char *const *names, size_t count);

/** Number of outputs a tagger has; 0 for NULL. @since 0.1 */
GN2_API size_t gn2_tagger_output_count(const gn2_tagger *tagger);

/**
 * Describes output `index` below gn2_tagger_output_count().
 * @param[in,out] out_info struct_size set by the caller, the rest filled.
 * @return GN2_OK, GN2_ERR_INVALID_ARG, GN2_ERR_ABI. @since 0.1
 */
GN2_API gn2_status gn2_tagger_output_info(const gn2_tagger *tagger, size_t index,
                                          gn2_output_info *out_info);

/**
 * Looks up an output by name. B jets, N constituent rows of the input (padded:
 * B·slots), E ordered pairs of valid constituents i ≠ j, jet by jet, i outer.
 *
 * | name | rows | columns | type |
 * |---|---|---|---|
 * | jets.probabilities, jets.logits | B | classes | float |
 * | jets.D_b, jets.D_c, jets.D_tau, jets.D_… (see below) | B | 1 | float |
 * | jets.embedding (pooled vector) | B | out_dim | float |
 * | tracks.origin (probabilities), tracks.origin_logits | N | origins | float |
 * | tracks.embedding | N | out_dim | float |
 * | tracks.attention (pooling weight) | N | 1 | float |
 * | tracks.vertex (smallest member's slot index within the jet) | N | 1 | int32_t |
 * | pairs.logits | E | 1 | float |
 * | jets.D_b_gradient, tracks.D_b_gradient, … (∂D/∂input) | B, N | inputs | float |
 * | jets.NAME, tracks.NAME of a regression | B, N | targets | float |
 * | jets.NAME_stddev, tracks.NAME_stddev | B, N | targets | float |
 *
 * There is a jets.D_b, D_c, D_tau where the model has the classes bjets, cjets,
 * taujets, and ujets to get what the fractions of the others leave of 1 (or a list
 * discriminant.D_b.fractions, or fractions that leave nothing); and one for every key
 * discriminant.D_….signal of the model or tagger.
 *
 * Each discriminant has gradients by the inputs of the jets and of every constituent
 * type, in the model's order and the inputs' units (1/MeV, …); jets.gradient and
 * tracks.gradient are those of the first. A jet's input enters with each of its
 * constituents, its gradient is their sum. That of a value that was replaced because it
 * is not finite is 0. They cost a pass in float32 forth, and one back for each
 * discriminant asked for; the first call that asks makes a second packed network, and
 * scratch that gn2_tagger_memory() counts and gn2_tagger_workspace_size() does not.
 *
 * A regression called NAME gives its predictions in the units of the targets, a
 * `gaussian_regression` the means and, as NAME_stddev, the standard deviations, which
 * are at least 0.001 of the target's standard deviation (or of its denominator). Where
 * a denominator is 0 so are both: of such a row nothing is known.
 *
 * "tracks" stands for the constituent type the task belongs to. Slots that are
 * not valid get 0, and INT32_MIN as vertex.
 * @param[out] out_id   identifier for gn2_output::id, its index among the outputs
 * @return GN2_OK, GN2_ERR_NOT_FOUND (the message lists what the model has).
 * @since 0.1
 */
GN2_API gn2_status gn2_tagger_output(const gn2_tagger *tagger, const char *name,
                                     int32_t *out_id);

/** Columns of an output; 0 for an unknown id. @since 0.1 */
GN2_API int64_t gn2_tagger_output_columns(const gn2_tagger *tagger, int32_t id);

/**
 * Tags jets.
 * @param[in] jets    inputs; nothing is kept
 * @param[in] outputs `count` outputs to fill; untouched when inputs are refused
 * @param[in] count   outputs, 1 to 64
 * @return GN2_OK; GN2_ERR_INVALID_ARG (sizes, offsets, strides, ids, types);
 *   GN2_ERR_SHAPE (capacity too small); GN2_ERR_NUMERIC: an input is NaN, Inf or more
 *   than GN2_NORMALISED_MAX standard deviations from its mean (jet, constituent and
 *   variable are named), or what the network makes of a jet is not finite (the jet is
 *   named; outputs are then incomplete); GN2_ERR_ABI; GN2_ERR_BUSY; GN2_ERR_CANCELLED
 *   (outputs incomplete); GN2_ERR_NO_MEMORY. @since 0.1
 */
GN2_API gn2_status gn2_tagger_run(gn2_tagger *tagger, const gn2_jets *jets,
                                  const gn2_output *outputs, size_t count);

/**
 * Asks the call under way on a tagger to stop: it ends with GN2_ERR_CANCELLED after
 * the chunks that are being worked on, its outputs incomplete. Without a call under
 * way nothing happens, also not to the next one. NULL is allowed.
 * @thread Any thread, and signal handlers. @since 0.1
 */
GN2_API void gn2_tagger_cancel(gn2_tagger *tagger);

/**
 * The common case: probabilities and the b-tagging discriminant.
 * @param[out] probabilities (B, classes) float
 * @param[out] d_b           (B) float, or NULL
 * @return as gn2_tagger_run(); GN2_ERR_NOT_FOUND where the model does not classify
 *   jets, and when `d_b` is asked of one without a D_b, see gn2_tagger_output().
 * @since 0.1
 */
GN2_API gn2_status gn2_tagger_flavour(gn2_tagger *tagger, const gn2_jets *jets,
                                      float *probabilities, float *d_b);

/** Forms of a discriminant. */
#define GN2_FORM_LOG 0   /**< log of the ratio */
#define GN2_FORM_RATIO 1 /**< the ratio itself */

/**
 * Signal and fractions of a discriminant, as the classes and the keys `discriminant.*`
 * of a config define it.
 * @param[in] config  a model's, see gn2_model_config()
 * @param[in] name    e.g. "D_b"
 * @param[out] out_fractions (classes) weights, 0 of the signal
 * @param[in] classes must equal the number of `model.classes`
 * @param[out] out_signal index of the signal class
 * @param[out] out_rest   class that got what the others left of 1; −1 = none
 * @param[out] out_form   ::GN2_FORM_LOG or ::GN2_FORM_RATIO
 * @return GN2_OK; GN2_ERR_NOT_FOUND: no such discriminant; GN2_ERR_SHAPE: another
 *   number of classes; GN2_ERR_INVALID_ARG: a key `discriminant.*` has no sense with
 *   these classes. @since 0.1
 */
GN2_API gn2_status gn2_discriminant_get(const gn2_config *config, const char *name,
                                        double *out_fractions, int64_t classes,
                                        int64_t *out_signal, int64_t *out_rest,
                                        int32_t *out_form);

/**
 * Discriminant of a signal class against the weighted others:
 * D = log( p_s / Σ_k f_k p_k ), computed in double.
 * @param[in] probabilities (rows, classes), each ≥ 0 and finite (at most 1e30)
 * @param[in] rows, classes number of jets and of classes
 * @param[in] signal     index of the signal class
 * @param[in] fractions  (classes) weights f_k ≥ 0, at most 1 in all; the signal's is
 *   ignored
 * @param[in] form       ::GN2_FORM_LOG or ::GN2_FORM_RATIO
 * @param[out] out       (rows). A zero numerator or denominator counts as FLT_MIN,
 *   so the result is always finite
 * @return GN2_OK; GN2_ERR_INVALID_ARG; GN2_ERR_NUMERIC (a probability is negative, NaN
 *   or too large; row and class are named). @thread Safe. @since 0.1
 */
GN2_API gn2_status gn2_discriminant(const float *probabilities, int64_t rows,
                                    int64_t classes, int64_t signal,
                                    const double *fractions, int32_t form, float *out);

#ifdef __cplusplus
}
#endif
#endif

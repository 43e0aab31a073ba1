/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file model.h
 * @brief A GN2 network: architecture, weights, normalisation, names, provenance.
 *
 * A model is immutable once it is shared with a tagger or a trainer, and may then
 * be used from any number of threads. It is reference-counted inside: a tagger or
 * trainer keeps it alive, so objects may be freed in any order, and
 * gn2_model_ref() makes further owners.
 * Tensor names are those of salt's state_dict without the prefix `model.`.
 */
#ifndef GN2_MODEL_H
#define GN2_MODEL_H

#include <gn2/config.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A network. */
typedef struct gn2_model gn2_model;

/**
 * Largest |x − mean|/std of an input; one beyond it is refused (GN2_ERR_NUMERIC).
 * Float32 ends at 3.4e38 and LayerNorm squares and sums up to 4096 activations, so
 * these may reach √(3.4e38/4096) = 2.9e17: 1e12 leaves the init net a gain of 3e5.
 * Beyond it the squares overflow, the norm divides by Inf and the score of a finite
 * input would silently be that of another one. @since 0.1
 */
#define GN2_NORMALISED_MAX 1e12

/** How a tensor scales with the width (Tensor Programs V, table 8). */
#define GN2_ROLE_FINITE 0 /**< no dimension grows with the width */
#define GN2_ROLE_INPUT 1  /**< only the outputs grow */
#define GN2_ROLE_HIDDEN 2 /**< both dimensions grow */
#define GN2_ROLE_OUTPUT 3 /**< only the inputs grow */
#define GN2_ROLE_BIAS 4   /**< a vector that grows */

/** One tensor of a model; strings are borrowed until the model is freed. */
typedef struct gn2_param_info {
    uint32_t struct_size; /**< sizeof(gn2_param_info), set by the caller */
    int32_t role;         /**< GN2_ROLE_* */
    const char *name;     /**< e.g. "encoder.layers.0.attn.fn.in_proj_weight" */
    int64_t shape[2];     /**< (outputs, inputs), or (length, 0) for a vector */
    int64_t count;        /**< number of elements */
    int64_t fan_in;       /**< inputs of the linear map, 1 for registers */
    int64_t fan_out;      /**< outputs of the linear map */
    double init_std;      /**< standard deviation of its random start */
    double lr_mult;       /**< factor of the learning rate under `optim.name` */
    double wd_mult;       /**< factor of the weight decay under `optim.name` */
    double forward_mult;  /**< factor of its output in the forward pass */
    int32_t rank;         /**< dimensions of `shape`: 2, or 1 for a vector */
    uint32_t flags;       /**< zero */
    uint64_t reserved[3]; /**< zero */
} gn2_param_info;

/**
 * Makes a model with random weights.
 * Reads the keys `model.*`, `inputs.*`, `norm.*`, `task.*`, `discriminant.*`, and, for
 * the multipliers of its parametrisation, `optim.name` and `optim.decay_scaling`;
 * missing normalisation counts as mean 0, std 1.
 * @param[in] config    options; NULL for all defaults
 * @param[out] out_model freed by gn2_model_free(); NULL on failure
 * @return GN2_OK; GN2_ERR_INVALID_ARG (message names the key);
 *   GN2_ERR_NO_MEMORY. @thread Safe. @since 0.1
 */
GN2_API gn2_status gn2_model_create(const gn2_config *config, gn2_model **out_model);

/**
 * Makes another owner of a model: it lives until each has called gn2_model_free().
 * @return the model itself; NULL for NULL. @thread Safe. @since 0.1
 */
GN2_API gn2_model *gn2_model_ref(const gn2_model *model);

/** Lets go of a model; NULL is allowed. @thread Safe. @since 0.1 */
GN2_API void gn2_model_free(gn2_model *model);

/**
 * Reads a `.gn2` file (grammar: doc/format.md).
 * @param[in] path      file name, UTF-8
 * @param[out] out_model freed by gn2_model_free(); NULL on failure
 * @return GN2_OK, GN2_ERR_NOT_FOUND (no such file), GN2_ERR_IO, GN2_ERR_FORMAT
 *   (corrupt or foreign),
 *   GN2_ERR_VERSION, GN2_ERR_SHAPE, GN2_ERR_NO_MEMORY. @thread Safe. @since 0.1
 */
GN2_API gn2_status gn2_model_load(const char *path, gn2_model **out_model);

/** The same from `size` bytes in memory, not kept. @return as gn2_model_load(), but
 * for the statuses of files. @thread Safe. @since 0.1 */
GN2_API gn2_status gn2_model_load_buffer(const void *data, size_t size,
                                         gn2_model **out_model);

/**
 * Writes a `.gn2` file: to a temporary file beside it, then renamed, so that
 * `path` holds the old file or the whole new one.
 * @return GN2_OK; GN2_ERR_NOT_FOUND (no such folder); GN2_ERR_IO; GN2_ERR_NO_MEMORY.
 * @thread Safe. @since 0.1
 */
GN2_API gn2_status gn2_model_save(const gn2_model *model, const char *path);

/**
 * The bytes of such a file in memory; the same model gives the same bytes.
 * @param[out] data     room for `capacity` bytes; NULL (capacity 0) only tells the size
 * @param[in] capacity  bytes there is room for
 * @param[out] out_size bytes of the file
 * @return GN2_OK; GN2_ERR_SHAPE (too little room); GN2_ERR_NO_MEMORY.
 * @thread Safe. @since 0.1
 */
GN2_API gn2_status gn2_model_save_buffer(const gn2_model *model, void *data,
                                         size_t capacity, size_t *out_size);

/**
 * What a `.gn2` file says of its model, without reading the weights: architecture,
 * names, normalisation, provenance.
 * @param[in] path        of a model or checkpoint
 * @param[out] out_config the keys that the file keeps over the defaults, ready for
 *   gn2_config_get_str() and its like; freed by gn2_config_free(); NULL on failure
 * @return as gn2_model_load(), but that damage to the tensors is not seen.
 * @thread Safe. @since 0.1
 */
GN2_API gn2_status gn2_model_inspect(const char *path, gn2_config **out_config);

/** Number of tensors; 0 for NULL. @since 0.1 */
GN2_API size_t gn2_model_param_count(const gn2_model *model);

/**
 * Describes tensor `index`.
 * @param[in,out] out_info struct_size set by the caller, the rest filled.
 * @return GN2_OK, GN2_ERR_INVALID_ARG, GN2_ERR_ABI. @since 0.1
 */
GN2_API gn2_status gn2_model_param_info(const gn2_model *model, size_t index,
                                        gn2_param_info *out_info);

/**
 * Copies a tensor out, row-major float32.
 * @param[in] name  as gn2_param_info::name
 * @param[out] out_data room for `count` floats
 * @param[in] count must equal gn2_param_info::count
 * @return GN2_OK, GN2_ERR_NOT_FOUND, GN2_ERR_SHAPE, GN2_ERR_INVALID_ARG. @since 0.1
 */
GN2_API gn2_status gn2_model_param_get(const gn2_model *model, const char *name,
                                       float *out_data, size_t count);

/**
 * Overwrites a tensor (finite values only).
 * @return as gn2_model_param_get(); GN2_ERR_BUSY once a tagger or trainer uses
 *   the model; GN2_ERR_NUMERIC for NaN or Inf. @since 0.1
 */
GN2_API gn2_status gn2_model_param_set(gn2_model *model, const char *name,
                                       const float *data, size_t count);

/** What gn2_model_task_info() says of a task. */
typedef struct gn2_task_info {
    uint32_t struct_size;  /**< sizeof(gn2_task_info), set by the caller */
    uint32_t flags;        /**< zero */
    const char *name;      /**< "jets_classification" */
    const char *kind;      /**< "classification", … (`task.NAME.kind`) */
    const char *object;    /**< "jets" or the constituent type */
    int64_t columns;       /**< logits a row */
    int32_t label_type;    /**< ::GN2_DATA_I32 classes or vertices, ::GN2_DATA_F32
                                targets */
    int32_t label_columns; /**< values a label has */
    uint64_t reserved[4];  /**< zero */
} gn2_task_info;

/** Number of tasks (`model.tasks`); 0 for NULL. @since 0.1 */
GN2_API size_t gn2_model_task_count(const gn2_model *model);

/**
 * Describes task `index`, in the order of `model.tasks`.
 * @param[in,out] out_info struct_size set by the caller; strings are the model's
 * @return GN2_OK, GN2_ERR_INVALID_ARG (NULL, index), GN2_ERR_ABI. @since 0.1
 */
GN2_API gn2_status gn2_model_task_info(const gn2_model *model, size_t index,
                                       gn2_task_info *out_info);

/** Number of jet classes; 0 for NULL. @since 0.1 */
GN2_API size_t gn2_model_class_count(const gn2_model *model);

/** Name of class `index`, e.g. "bjets"; NULL when out of range. @since 0.1 */
GN2_API const char *gn2_model_class_name(const gn2_model *model, size_t index);

/**
 * Index of a class.
 * @param[in] name       e.g. "bjets"
 * @param[out] out_index its column among the probabilities
 * @return GN2_OK; GN2_ERR_NOT_FOUND (the message lists the classes). @since 0.1
 */
GN2_API gn2_status gn2_model_class_find(const gn2_model *model, const char *name,
                                        size_t *out_index);

/**
 * Number of inputs of an object, e.g. "jets" or "tracks"; 0 when the model has
 * no such object. @since 0.1
 */
GN2_API size_t gn2_model_input_count(const gn2_model *model, const char *object);

/** Name of input `index` of an object; NULL when out of range. @since 0.1 */
GN2_API const char *gn2_model_input_name(const gn2_model *model, const char *object,
                                         size_t index);

/**
 * Value of a config key the model was made with, as text (provenance included), or
 * of a factor that its parametrisation has in the forward pass: "scale.attention" of
 * q·k, "scale.readout" of the encoder's out projection.
 * @param[in] key     e.g. "model.embed_dim", "provenance.data"
 * @param[out] out_text borrowed until the model is freed
 * @return GN2_OK, GN2_ERR_NOT_FOUND, GN2_ERR_INVALID_ARG. @since 0.1
 */
GN2_API gn2_status gn2_model_metadata_get(const gn2_model *model, const char *key,
                                          const char **out_text);

/**
 * The options the model was made with, as a config of the caller's.
 * @param[out] out_config freed by gn2_config_free(); NULL on failure
 * @return GN2_OK, GN2_ERR_INVALID_ARG, GN2_ERR_NO_MEMORY. @thread Safe. @since 0.1
 */
GN2_API gn2_status gn2_model_config(const gn2_model *model, gn2_config **out_config);

#ifdef __cplusplus
}
#endif
#endif

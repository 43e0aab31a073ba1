/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file config.h
 * @brief Options by name: one opaque object, one table of keys.
 *
 * Keys are dotted words ("model.embed_dim"). One table in the library gives every
 * key its type, default, bounds and a line of documentation; gn2_config_describe()
 * walks it. Some keys hold an object's name as one segment, e.g. `inputs.tracks`
 * or `norm.jets.mean`; the table shows them as `inputs.*`, `norm.*.mean`.
 * A config is copied by whatever is made from it and can be freed at once.
 *
 * @thread One thread at a time per object.
 */
#ifndef GN2_CONFIG_H
#define GN2_CONFIG_H

#include <gn2/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A set of options. */
typedef struct gn2_config gn2_config;

/** Types of a key's value. */
#define GN2_TYPE_I64 1      /**< integer */
#define GN2_TYPE_F64 2      /**< real number */
#define GN2_TYPE_STR 3      /**< text */
#define GN2_TYPE_STR_LIST 4 /**< list of texts */
#define GN2_TYPE_F64_LIST 5 /**< list of real numbers */

/** What the table says of a key; strings are borrowed for ever. */
typedef struct gn2_config_info {
    uint32_t struct_size;     /**< sizeof(gn2_config_info), set by the caller */
    int32_t type;             /**< GN2_TYPE_* */
    const char *key;          /**< name; `*` stands for one object's name */
    const char *default_text; /**< default as gn2_config_set_text() reads it */
    const char *doc;          /**< one line: meaning, unit, special values */
    double min;               /**< least value of a number; -HUGE_VAL if none */
    double max;               /**< largest value of a number; HUGE_VAL if none. Integers
                                   have bounds within ±2^53, which a double holds */
    const char *choices;      /**< "a|b|c" for a closed set of strings, else NULL */
    uint64_t reserved[4];     /**< zero */
} gn2_config_info;

/**
 * Makes a config in which every key has its default: the GN2 of salt's GN2.yaml
 * (embed_dim 256, 4 layers, 8 heads, 4 classes, 2 jet and 19 track inputs).
 * @param[out] out_config the new object, freed by gn2_config_free()
 * @return GN2_OK, GN2_ERR_INVALID_ARG, GN2_ERR_NO_MEMORY. @since 0.1
 */
GN2_API gn2_status gn2_config_create(gn2_config **out_config);

/**
 * Makes a config with the values of another.
 * @param[in] config      the other; may be freed or changed afterwards
 * @param[out] out_config freed by gn2_config_free(); NULL on failure
 * @return GN2_OK, GN2_ERR_INVALID_ARG, GN2_ERR_NO_MEMORY. @since 0.1
 */
GN2_API gn2_status gn2_config_copy(const gn2_config *config, gn2_config **out_config);

/** Frees a config; NULL is allowed. @since 0.1 */
GN2_API void gn2_config_free(gn2_config *config);

/**
 * Sets an integer key.
 * @param[in,out] config the config, unchanged on failure
 * @param[in] key   name of the key
 * @param[in] value within the bounds gn2_config_describe() gives
 * @return GN2_OK; GN2_ERR_NOT_FOUND for an unknown key (the message suggests the
 *   nearest one); GN2_ERR_INVALID_ARG for a wrong type or a value out of bounds.
 * @since 0.1
 */
GN2_API gn2_status gn2_config_set_i64(gn2_config *config, const char *key,
                                      int64_t value);

/** Sets a real-valued key (finite). @return as gn2_config_set_i64(). @since 0.1 */
GN2_API gn2_status gn2_config_set_f64(gn2_config *config, const char *key,
                                      double value);

/** Sets a string key (UTF-8, copied). @return as gn2_config_set_i64(). @since 0.1 */
GN2_API gn2_status gn2_config_set_str(gn2_config *config, const char *key,
                                      const char *value);

/**
 * Sets a list of strings (copied). @param[in] items `count` strings without
 * commas; NULL allowed when count is 0. @return as gn2_config_set_i64(). @since 0.1
 */
GN2_API gn2_status gn2_config_set_list(gn2_config *config, const char *key,
                                       const char *const *items, size_t count);

/** Sets a list of finite numbers (copied). @return as gn2_config_set_i64().
 * @since 0.1 */
GN2_API gn2_status gn2_config_set_f64_list(gn2_config *config, const char *key,
                                           const double *items, size_t count);

/**
 * Sets a key of any type from text: "256", "1e-3", "onecycle", "bjets,cjets".
 * Numbers are read with a point whatever the locale.
 * @return as gn2_config_set_i64(). @since 0.1
 */
GN2_API gn2_status gn2_config_set_text(gn2_config *config, const char *key,
                                       const char *text);

/**
 * Reads an integer key. @param[out] out_value the value.
 * @return GN2_OK; GN2_ERR_NOT_FOUND for an unknown key; GN2_ERR_INVALID_ARG for one of
 *   another type. @since 0.1
 */
GN2_API gn2_status gn2_config_get_i64(const gn2_config *config, const char *key,
                                      int64_t *out_value);

/** Reads a real-valued key. @param[out] out_value the value.
 * @return as gn2_config_get_i64(). @since 0.1 */
GN2_API gn2_status gn2_config_get_f64(const gn2_config *config, const char *key,
                                      double *out_value);

/**
 * Reads a string key. @param[out] out_value borrowed until the key is set again
 * or the config freed. @return as gn2_config_get_i64(). @since 0.1
 */
GN2_API gn2_status gn2_config_get_str(const gn2_config *config, const char *key,
                                      const char **out_value);

/** Number of items of a list key. @param[out] out_count items.
 * @return as gn2_config_get_i64(). @since 0.1 */
GN2_API gn2_status gn2_config_get_count(const gn2_config *config, const char *key,
                                        size_t *out_count);

/**
 * Item of a string list. @param[in] index below the count
 * @param[out] out_item borrowed as in gn2_config_get_str().
 * @return as gn2_config_get_i64(); GN2_ERR_INVALID_ARG for an index too large.
 * @since 0.1
 */
GN2_API gn2_status gn2_config_get_item(const gn2_config *config, const char *key,
                                       size_t index, const char **out_item);

/**
 * Items of a list of numbers. @param[out] out_items room for `capacity` numbers
 * @param[in] capacity at least gn2_config_get_count()
 * @return as gn2_config_get_i64(); GN2_ERR_INVALID_ARG for too little room. @since 0.1
 */
GN2_API gn2_status gn2_config_get_f64_list(const gn2_config *config, const char *key,
                                           double *out_items, size_t capacity);

/**
 * Key number `index` of those that have a value here: the plain ones in the order of
 * the table, then, sorted, those set for a name ("inputs.flows",
 * "discriminant.D_hbb.signal").
 * @return the key, borrowed until the config is changed or freed; NULL after the last
 *   and for NULL. @since 0.1
 */
GN2_API const char *gn2_config_key_name(const gn2_config *config, size_t index);

/** Number of rows of the table of keys. @thread Safe. @since 0.1 */
GN2_API size_t gn2_config_count(void);

/**
 * Row of the table of keys. @param[in] index below gn2_config_count()
 * @param[in,out] out_info struct_size set by the caller, the rest filled.
 * @return GN2_OK, GN2_ERR_INVALID_ARG, GN2_ERR_ABI. @thread Safe. @since 0.1
 */
GN2_API gn2_status gn2_config_describe(size_t index, gn2_config_info *out_info);

/**
 * Reads `key = value` lines from a text file over the present values; a line that
 * begins with `#` is a comment. All or nothing: on failure the config is unchanged and
 * the message names file, line and key.
 * @return GN2_OK; GN2_ERR_NOT_FOUND (no such file, or an unknown key); GN2_ERR_IO;
 *   GN2_ERR_FORMAT (a line that is no `key = value`, or more than 1 MB);
 *   GN2_ERR_INVALID_ARG (a value); GN2_ERR_NO_MEMORY. @since 0.1
 */
GN2_API gn2_status gn2_config_load(gn2_config *config, const char *path);

/** The same from `size` bytes of text in memory, not kept; the message says "buffer".
 * @return as gn2_config_load(). @since 0.1 */
GN2_API gn2_status gn2_config_load_buffer(gn2_config *config, const char *text,
                                          size_t size);

/**
 * Writes every key with its value, atomically.
 * @return GN2_OK; GN2_ERR_NOT_FOUND (no such folder); GN2_ERR_IO; GN2_ERR_NO_MEMORY.
 * @since 0.1
 */
GN2_API gn2_status gn2_config_save(const gn2_config *config, const char *path);

/**
 * The same into memory.
 * @param[out] text     room for `capacity` bytes, no zero is added; NULL (capacity 0)
 *   only tells the size
 * @param[in] capacity  bytes there is room for
 * @param[out] out_size bytes of the text
 * @return GN2_OK; GN2_ERR_SHAPE (too little room); GN2_ERR_NO_MEMORY. @since 0.1
 */
GN2_API gn2_status gn2_config_save_buffer(const gn2_config *config, char *text,
                                          size_t capacity, size_t *out_size);

#ifdef __cplusplus
}
#endif
#endif

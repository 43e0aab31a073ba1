/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The option object behind gn2_config: values by key, checked by the table.
 * The public functions in abi/abi_config.c only check pointers and call these.
 */
#ifndef GN2_CONFIG_CONFIG_H
#define GN2_CONFIG_CONFIG_H

#include "config/table.h"

gn2_status gn2_config_new(gn2_config **out_config);
/* config NULL: defaults. */
gn2_status gn2_config_clone(const gn2_config *config, gn2_config **out_config);
void gn2_config_delete(gn2_config *config);

/* Exchanges the contents of two configs. */
void gn2_config_swap(gn2_config *a, gn2_config *b);

/* Has a key its default? All a config knows of whether it was set. */
gn2_status gn2_config_is_default(const gn2_config *c, const char *key, int *out);

/* Setters: unchanged on failure. */
gn2_status gn2_config_put_i64(gn2_config *c, const char *key, int64_t value);
gn2_status gn2_config_put_f64(gn2_config *c, const char *key, double value);
gn2_status gn2_config_put_str(gn2_config *c, const char *key, const char *value);
gn2_status gn2_config_put_list(gn2_config *c, const char *key, const char *const *items,
                               size_t count);
gn2_status gn2_config_put_f64_list(gn2_config *c, const char *key, const double *items,
                                   size_t count);
gn2_status gn2_config_put_text(gn2_config *c, const char *key, const char *text);

/* Value of a key that comes from a user, of this type (GN2_TYPE_*, those of table.h
 * too); borrowed until it is set. */
gn2_status gn2_config_find(const gn2_config *c, const char *key, int32_t type,
                           const gn2_config_value **out);
/* Text of one of any type, as gn2_config_put_text() reads it. */
gn2_status gn2_config_read_text(const gn2_config *c, const char *key, const char **out);

/* Getters for keys of the table written in the source: a wrong key or type is a
 * defect (assert). Lists: item count, an item (a wrong number is a defect as
 * well), all of them, borrowed until the key is set. */
int64_t gn2_config_i64(const gn2_config *c, const char *key);
double gn2_config_f64(const gn2_config *c, const char *key);
const char *gn2_config_str(const gn2_config *c, const char *key);
/* Whether a string is this word. */
int gn2_config_says(const gn2_config *c, const char *key, const char *word);
size_t gn2_config_list_count(const gn2_config *c, const char *key);
const char *gn2_config_list_item(const gn2_config *c, const char *key, size_t i);
double gn2_config_f64_item(const gn2_config *c, const char *key, size_t i);
const char *const *gn2_config_str_list(const gn2_config *c, const char *key);
const double *gn2_config_f64_list(const gn2_config *c, const char *key);
/* Key with one object's name filled in: "norm.%s.mean". Valid: like the object. */
const char *gn2_config_key_of(char out_key[128], const char *format,
                              const char *object);

/* Whether a name can stand in a key: 1 to 64 letters, digits and _. */
int gn2_config_is_name(const char *name);
/* Refuses another one of `list`, model.tasks or model.constituents; to be asked before
 * gn2_config_key_of() is. */
gn2_status gn2_config_check_name(const char *name, const char *list);

/* Every key that has a value, one by one; keys with `*` are the defaults of names
 * that are not set. Borrowed until the next change. */
size_t gn2_config_slot_count(const gn2_config *c);
void gn2_config_slot_at(const gn2_config *c, size_t index, const char **out_key,
                        const char **out_text);
/* The next one that is not such a default, from *at on, which goes along; 0: no more.
 */
int gn2_config_next(const gn2_config *c, size_t *at, const char **out_key,
                    const char **out_text);

/* `key = value` lines. `which`: only keys for which which(key) ≠ 0; NULL: all.
 * Values that equal the default are written too, so that a stored config does not
 * change meaning when a default does. */
gn2_status gn2_config_to_text(const gn2_config *c, int (*which)(const char *key),
                              gn2_text *out_text);
/* Sets keys from such lines; `origin` (a file name) is named in messages. All or
 * nothing. `#` starts a comment line; text after a value is part of the value. */
gn2_status gn2_config_from_text(gn2_config *c, const char *origin, const char *text,
                                size_t length);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file base.h
 * @brief Status codes, error messages, versions and logging.
 *
 * Rules that hold for the whole library:
 * - Every function that can fail returns a ::gn2_status; 0 is success, negative
 *   is failure. Results come through `out_*` pointers, which are left untouched
 *   when the call fails (object pointers are set to NULL). `@return` of a function
 *   lists what it may answer; GN2_ERR_INVALID_ARG for a NULL that is not allowed and
 *   GN2_ERR_NO_MEMORY are possible everywhere.
 * - What `_create`, `_load` or `_open` gave is released by the one `_free` of the
 *   same type, which accepts NULL. What a getter returns is borrowed.
 * - The library never prints, exits, aborts, forks, and never changes the locale,
 *   the environment, signal handlers or floating-point modes.
 * - Objects whose calls change something (tagger, trainer, dataset, score writer)
 *   serve one call at a time. A second one that comes meanwhile, from another thread
 *   or from inside the first, is answered with GN2_ERR_BUSY and changes nothing.
 * - Numbers of things in the data (jets, rows, columns, steps) and capacities counted
 *   in them are int64_t; numbers of elements of an array or buffer of the caller
 *   (names, outputs, floats of a tensor, bytes) and indices of names are size_t.
 * - Callbacks must return: they may not throw an exception or longjmp() through the
 *   library, which would leave the object they were called for in use. gn2.hpp keeps
 *   what they throw until the call is back.
 *
 * Structs grow, and old and new callers go on working:
 * - A struct begins with `struct_size`, set by the caller to its sizeof, and ends with
 *   reserved words, zero. New fields take their place or follow them.
 * - Given to the library: fields behind the end of an older caller's struct count as
 *   zero, which means what was so before the field existed. A newer caller's is
 *   accepted while the part that this library does not know is zero, and refused with
 *   GN2_ERR_ABI otherwise; so are `flags` that have no meaning yet. Zero a struct
 *   before filling it.
 * - Filled by the library: an older caller gets the fields it has room for, a newer one
 *   zeros in those this library does not know; struct_size stays. `flags` are zero
 *   until they have a meaning.
 * - Arrays of structs are stepped through by the struct_size of their first element, or
 *   by a stride where there is one.
 */
#ifndef GN2_BASE_H
#define GN2_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Marks what the library exports. */
#if defined(__GNUC__)
#define GN2_API __attribute__((visibility("default")))
#else
#define GN2_API
#endif

/** Version of the library this header belongs to. */
#define GN2_VERSION_MAJOR 0
#define GN2_VERSION_MINOR 1        /**< second number of the version */
#define GN2_VERSION_PATCH 0        /**< third number of the version */
#define GN2_VERSION_STRING "0.1.0" /**< the three as text */

/** Number of the binary interface; the soname is libgn2.so. and this number. */
#define GN2_ABI_VERSION 0

/**
 * Outcome of a call. Values are never reused; treat an unknown negative value as
 * a failure.
 */
typedef int32_t gn2_status;

#define GN2_OK 0                  /**< success */
#define GN2_ERR_INVALID_ARG (-1)  /**< NULL, size or value out of range */
#define GN2_ERR_NO_MEMORY (-2)    /**< allocation failed */
#define GN2_ERR_IO (-3)           /**< a file cannot be read or written */
#define GN2_ERR_FORMAT (-4)       /**< a file is corrupt or foreign */
#define GN2_ERR_VERSION (-5)      /**< a file needs a newer library */
#define GN2_ERR_SHAPE (-6)        /**< a shape does not fit */
#define GN2_ERR_NOT_FOUND (-7)    /**< no such key, name, field, file */
#define GN2_ERR_STATE (-8)        /**< call not allowed in this state */
#define GN2_ERR_NUMERIC (-9)      /**< NaN or Inf in input, loss, weights */
#define GN2_ERR_ABI (-10)         /**< struct_size, flag or field unknown here */
#define GN2_ERR_BUSY (-11)        /**< object is shared or in use */
#define GN2_ERR_CANCELLED (-12)   /**< stopped on request */
#define GN2_ERR_UNSUPPORTED (-13) /**< built without this feature */
#define GN2_ERR_INTERNAL (-14)    /**< a defect in the library */

/**
 * Version of the library in use, e.g. "0.1.0".
 * @return static string; never NULL. @thread Safe. @since 0.1
 */
GN2_API const char *gn2_version(void);

/**
 * ABI number of the library in use; refuse to go on when it differs from
 * ::GN2_ABI_VERSION. @thread Safe. @since 0.1
 */
GN2_API int32_t gn2_abi_version(void);

/**
 * What this build and machine offer, as `name=value` words separated by blanks:
 *
 * | name | value |
 * |---|---|
 * | `isa` | instruction set in use: `reference`, `avx2`, `avx512` |
 * | `gemm` | who multiplies matrices by default: `own`, `onednn`, `reference` |
 * | `onednn` | version of oneDNN its module was built with, or `none` |
 * | `zlib` | version in use |
 * | `hdf5` | version of HDF5 its module was built with, or `none` |
 * | `filters` | filters the HDF5 module reads, with commas, or `none` |
 *
 * oneDNN and HDF5 are in modules of their own (`gn2/gn2-onednn.so`, `gn2/gn2-hdf5.so`
 * beside the library), loaded at first use. `none`: not built, or the module's file is
 * not there. Nothing is loaded to find out, but oneDNN where `gemm` depends on it: on
 * processors without kernels of ours.
 * @return string owned by the library, valid for the life of the process.
 * @thread Safe. @since 0.1
 */
GN2_API const char *gn2_features(void);

/**
 * Message of the last failed call on this thread, one line, e.g.
 * "tensor 'encoder.out_proj.weight': file has (128, 64), model needs (128, 256)".
 * Not cleared by success. @return never NULL; valid until the next failing call
 * on this thread. @thread Thread-local. @since 0.1
 */
GN2_API const char *gn2_last_error(void);

/**
 * Was the last failure on this thread the network's own? Then the status was
 * ::GN2_ERR_NUMERIC and nothing that was given is wrong: of finite inputs and labels
 * the network made an output, a loss, a gradient or a weight that is not finite. A
 * training with another rate may get through; with a value of the data, an argument or
 * a file that is not finite, which has the same status, it would fail again. In a group
 * all ranks are told the same.
 * @return 1 or 0; 0 before the first failure. Not cleared by success.
 * @thread Thread-local. @since 0.1
 */
GN2_API int32_t gn2_last_error_of_network(void);

/**
 * Name of a status, e.g. "GN2_ERR_SHAPE"; "GN2_ERR_UNKNOWN" for other values.
 * @param[in] status any value. @return static string. @thread Safe. @since 0.1
 */
GN2_API const char *gn2_status_name(gn2_status status);

/** Severities of a log line. */
#define GN2_LOG_WARNING 1 /**< something is probably wrong */
#define GN2_LOG_INFO 2    /**< something worth knowing */

/**
 * Receives log lines.
 * @param[in] user     as given to gn2_set_log()
 * @param[in] severity ::GN2_LOG_WARNING or ::GN2_LOG_INFO
 * @param[in] line     one line without newline, valid during the call
 * It may not throw, longjmp(), or call functions of the object that is being used.
 */
typedef void (*gn2_log_fn)(void *user, int32_t severity, const char *line);

/**
 * Sets the log callback of the process. Without one (the default) nothing is
 * logged.
 * @param[in] fn   callback, NULL for none; may be called from any thread
 * @param[in] user passed back unchanged
 * When it returns no line is under way to the old callback, which may then be
 * unloaded; called from inside a callback it does not wait.
 * @thread Safe. @since 0.1
 */
GN2_API void gn2_set_log(gn2_log_fn fn, void *user);

/**
 * The log callback of the process, to pass lines on to it from one's own.
 * @param[out] out_fn   the callback, NULL for none; may be NULL
 * @param[out] out_user what it is given; may be NULL
 * @thread Safe. @since 0.1
 */
GN2_API void gn2_get_log(gn2_log_fn *out_fn, void **out_user);

/** Types of the elements of an array. */
#define GN2_DATA_F32 1 /**< float */
#define GN2_DATA_I32 2 /**< int32_t */

#ifdef __cplusplus
}
#endif
#endif

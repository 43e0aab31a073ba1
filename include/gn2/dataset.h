/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file dataset.h
 * @brief Jets from HDF5 files or caller memory, batch by batch; scores to HDF5.
 *
 * Files are ATLAS's (training-dataset-dumper, UPP): `/jets` (N) and `/tracks`
 * (N, T) compounds with `valid`, selected by field name with the known aliases.
 * HDF5 itself lives in a private module that is loaded at the first
 * gn2_dataset_open(); without it these calls give GN2_ERR_UNSUPPORTED. It leaves the
 * HDF5 of the process as it was: no filter is registered, and a file may be open
 * elsewhere in the process for reading. Chunks may be packed with any of shuffle,
 * deflate, LZF, LZ4 and Fletcher's checksum, or with what HDF5 has plugins for
 * (HDF5_PLUGIN_PATH). HDF5 reads what describes the data; it is not made for files that
 * someone has damaged on purpose, and may crash on them: do not open files of strangers
 * in a process that must live.
 *
 * @thread One call at a time per object, a second one gets GN2_ERR_BUSY, but
 * gn2_dataset_request_stop(), which any thread may call. A reading thread of its own
 * runs ahead (`data.prefetch` batches); its errors come back from gn2_dataset_next().
 * One thread calls HDF5; with `data.read_threads` several unpack and convert what it
 * reads: their number changes no bit, nor which error comes first. They sleep between
 * reads and end with the dataset.
 *
 * fork() waits until a reading thread is between two reads. The child may free the
 * datasets of its parent, go on with them where they stood, and open others; a score
 * file is its parent's, and a child can only free the writer.
 */
#ifndef GN2_DATASET_H
#define GN2_DATASET_H

#include <gn2/tagger.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A source of batches. */
typedef struct gn2_dataset gn2_dataset;

/**
 * Labels of one task, or the weights of its rows. Rows are those of the task's object:
 * jets (B), or all rows of its constituent type, valid or not, as in gn2_sequence.
 */
typedef struct gn2_label {
    uint32_t struct_size; /**< sizeof(gn2_label) */
    uint32_t flags;       /**< zero */
    const char *name; /**< the task, "jets_classification", or "TASK.sample_weight" */
    const void *data; /**< (rows, columns), one row behind the other. Classes: index,
                           −1 = not labelled (constituents: any negative number);
                           vertices: negative = in none; targets: NaN = none;
                           weights: finite, not negative. NULL = not given */
    int32_t type;     /**< ::GN2_DATA_I32 for classes and vertices, ::GN2_DATA_F32 for
                           targets and weights */
    int32_t columns;  /**< targets a row; 0 counts as 1 */
    uint64_t reserved[3]; /**< zero */
} gn2_label;

/** Truth of the jets of a batch, by task. */
typedef struct gn2_labels {
    uint32_t struct_size;    /**< sizeof(gn2_labels) */
    uint32_t flags;          /**< zero */
    uint32_t label_count;    /**< elements of `labels`, each name once */
    uint32_t unused;         /**< zero */
    const gn2_label *labels; /**< array, or NULL with label_count 0 */
    int64_t label_stride;    /**< bytes from one to the next; 0 = the struct_size of the
                                  first */
    /** Short for an int32_t entry "jets_classification" (B); NULL = not given, and as
     *  the library fills the struct. Giving both is an error. */
    const int32_t *flavour;
    const int32_t *origin; /**< the same of "track_origin" (rows) */
    const int32_t *vertex; /**< the same of "track_vertexing" (rows) */
    uint64_t reserved[4];  /**< zero */
} gn2_labels;

/**
 * The label of a name, as gn2_dataset_next() gave it.
 * @return borrowed from `labels`; NULL if there is none of that name, or for NULL.
 * @thread Safe. @since 0.1
 */
GN2_API const gn2_label *gn2_labels_find(const gn2_labels *labels, const char *name);

/** What a dataset holds. */
typedef struct gn2_dataset_info {
    uint32_t struct_size; /**< sizeof(gn2_dataset_info), set by the caller */
    uint32_t has_labels;  /**< 1 when labels were found of the task that classifies jets
                               into `model.classes`; without such a task, of every
                               task */
    int64_t jet_count;    /**< jets used, of those that `data.selection` chooses */
    int64_t batch_count;  /**< batches an epoch */
    int64_t batch_size;   /**< jets a batch */
    int64_t max_slots;    /**< largest number of constituents a jet can have */
    int64_t memory;       /**< bytes of buffers held */
    int64_t unwritten;    /**< jets used that no writer has filled, as far as the
                               storage of the files shows; 0 unless `data.unwritten`
                               is keep */
    uint64_t reserved[3]; /**< zero */
} gn2_dataset_info;

/**
 * Opens one or more files, read in the order given.
 * Reads `inputs.*`, `model.constituents`, `model.classes`, `task.*` (labels),
 * `input.non_finite`, `input.defaults.*` and `data.*` from the config.
 *
 * `data.selection` chooses jets. Batches, `data.max_jets`, sampling, normalisation and
 * class weights see the chosen ones only, which are to the bit what they are without;
 * of the others nothing is looked at but the fields compared. Blanks may stand between
 * the parts:
 *
 *     selection   = comparisons { ("||" | "or") comparisons }
 *     comparisons = comparison { ("&&" | "and") comparison }
 *     comparison  = (FIELD | "abs" "(" FIELD ")") OP NUMBER
 *     OP          = "<" | "<=" | ">" | ">=" | "==" | "!="
 *
 * FIELD is any number of the jets' dataset, an input or not, by its name or a known
 * alias: letters, digits, `_` and `.`, no digit first, at most 127 characters. There
 * may be 32 comparisons, in 1000 characters. Reals are compared in the precision they
 * are stored in, NUMBER rounded to it (`== 0.1` finds what was stored as 0.1), whole
 * numbers exactly. A jet with NaN in any field of the selection is not chosen, whatever
 * the operator and the other comparisons say; the log tells how many jets were chosen
 * (::GN2_LOG_INFO) and, of those left out, how many for NaN (::GN2_LOG_WARNING). The
 * jets' dataset is read for it once, here; a bit a jet is kept. Rows that no writer has
 * filled are refused before anything is chosen from them, unless `data.max_jets` stops
 * before them or `data.unwritten` is keep.
 *
 * Files must be trusted. HDF5 reads the headers of objects: on some that are damaged
 * (an enum of a wrong size) HDF5 1.10.8 ends the process. Headers of a file made with
 * libver "earliest", which is usual, have no checksum: a changed byte in them that
 * means something else gives other numbers, here as in every program. Those of libver
 * "latest" have one, and are refused. doc/farm.md says what to do.
 * @param[in] paths  `count` file names
 * @param[in] config options; NULL for defaults
 * @param[out] out_dataset freed by gn2_dataset_free(); NULL on failure
 * @return GN2_OK; GN2_ERR_IO (no regular file, no permission, open for writing),
 *   GN2_ERR_NOT_FOUND (file, dataset or field, named), GN2_ERR_FORMAT (filter without a
 *   plugin, rows of more than 1 GiB, damaged, or rows used that no writer has filled:
 *   see `data.unwritten`), GN2_ERR_INVALID_ARG (options; `data.selection` is no such
 *   text: the character is named; one that chooses no jet is
 *   GN2_ERR_NOT_FOUND, and so is a field of it that a file lacks),
 *   GN2_ERR_UNSUPPORTED (built without HDF5). @since 0.1
 */
GN2_API gn2_status gn2_dataset_open(const char *const *paths, size_t count,
                                    const gn2_config *config,
                                    gn2_dataset **out_dataset);

/** How far an opening is; filled by the library. */
typedef struct gn2_opening {
    uint32_t struct_size; /**< sizeof(gn2_opening) of the library */
    uint32_t flags;       /**< zero */
    int64_t files;        /**< opened so far */
    int64_t file_count;   /**< of so many */
    int64_t jets;         /**< looked at for `data.selection` so far */
    int64_t jet_count;    /**< of so many; 0 until all files are open, and without a
                               selection */
    uint64_t reserved[4]; /**< zero */
} gn2_opening;

/**
 * Called on the thread that called gn2_dataset_open_watched(): before each file and
 * after the last, and between pieces of some MiB that are read for `data.selection`. No
 * lock is held, and it may take its time; it may not throw or longjmp().
 * @param[in] opening borrowed until the callback returns
 * @return 0 to go on, anything else to stop with GN2_ERR_CANCELLED.
 */
typedef int32_t (*gn2_opening_fn)(void *user, const gn2_opening *opening);

/**
 * gn2_dataset_open() that tells how far it is and can be stopped: thousands of files,
 * or a selection from large ones, may take minutes. A file that is being opened is
 * opened first: the stop waits for the storage it lies on.
 * @param[in] fn NULL: nobody is told
 * @return as gn2_dataset_open(); GN2_ERR_CANCELLED when `fn` asked for it: every file
 * is closed again. @since 0.1
 */
GN2_API gn2_status gn2_dataset_open_watched(const char *const *paths, size_t count,
                                            const gn2_config *config, gn2_opening_fn fn,
                                            void *user, gn2_dataset **out_dataset);

/**
 * A dataset over the caller's arrays.
 * @param[in] jets,labels retained: the arrays they point to must live and stay
 *   unchanged until the dataset is freed (the structs themselves are copied);
 *   labels may be NULL
 * @return GN2_OK; GN2_ERR_INVALID_ARG (sizes, offsets, options; `data.selection` and
 *   more than one of `data.read_threads`, which are for files); GN2_ERR_NOT_FOUND
 *   (labels of no task, or without the weights that `task.NAME.sample_weight` asks
 *   for); GN2_ERR_ABI; GN2_ERR_NO_MEMORY. Values are looked at by gn2_dataset_next().
 *   @since 0.1
 */
GN2_API gn2_status gn2_dataset_from_arrays(const gn2_jets *jets,
                                           const gn2_labels *labels,
                                           const gn2_config *config,
                                           gn2_dataset **out_dataset);

/** Closes files, stops the reading threads; NULL is allowed. @since 0.1 */
GN2_API void gn2_dataset_free(gn2_dataset *dataset);

/**
 * Describes the dataset. @param[in,out] out_info struct_size set by the caller.
 * @return GN2_OK, GN2_ERR_INVALID_ARG, GN2_ERR_ABI. @since 0.1
 */
GN2_API gn2_status gn2_dataset_info_get(const gn2_dataset *dataset,
                                        gn2_dataset_info *out_info);

/**
 * Which rows of the files the jets of a dataset are, those that `data.selection` and
 * `data.max_jets` leave: where the truth and the scores of each of them lie. Rows count
 * from 0, on over the files in the order given, and ascend, as the jets of an epoch do
 * with `data.sampling` = sequential. Of arrays they are 0, 1, ….
 * @param[out] out_rows (count)
 * @param[in]  count    `jet_count` of gn2_dataset_info_get()
 * @return GN2_OK; GN2_ERR_INVALID_ARG (another count, which is named). @since 0.1
 */
GN2_API gn2_status gn2_dataset_rows(const gn2_dataset *dataset, int64_t *out_rows,
                                    int64_t count);

/**
 * Puts what the data says into a config, ready for gn2_model_create(): class
 * names, normalisation and class weights (from salt's YAML files if
 * `data.norm_dict`, `data.class_dict` name them, else computed over the dataset)
 * and `provenance.data`. What the config has already goes before data and files:
 * `norm.OBJECT.mean`, `norm.OBJECT.std` and `task.NAME.class_weights` that are not
 * empty are kept, and `provenance.given` names them. So a config that another dataset
 * was asked for keeps that one's; set them empty ("") to have them made anew.
 * `train.shards` = 0 becomes the number that `data.batch_size` of the dataset and the
 * mean number of constituents of its first 10,000 jets give.
 * @param[in,out] config unchanged on failure
 * @return as gn2_dataset_next(); GN2_ERR_NOT_FOUND (a file, or a name in one);
 *   GN2_ERR_INVALID_ARG; GN2_ERR_CANCELLED when stopped. @since 0.1
 */
GN2_API gn2_status gn2_dataset_setup(gn2_dataset *dataset, gn2_config *config);

/** Asks gn2_dataset_setup(), which may read the whole of large files, to stop within
 * some thousands of jets; without one under way, the next one that reads stops.
 * @thread Any thread, and signal handlers. @since 0.1 */
GN2_API void gn2_dataset_request_stop(gn2_dataset *dataset);

/**
 * Next batch of the epoch.
 * @param[in,out] out_jets   struct_size set by the caller; views, borrowed until the
 * next call on the dataset; count 0 at the end of the epoch
 * @param[in,out] out_labels the same, or NULL if not wanted, as for tagging: then
 *   labels are not looked at, and what they hold is no error. Pointers are NULL where
 *   the dataset has no such label. Labels and flags are whole numbers, also where a
 *   file keeps them as reals: 1.7, NaN or a number out of range is refused with its
 *   row. Files read together all have a label, and name its classes, or none does
 * @return GN2_OK; GN2_ERR_IO, GN2_ERR_FORMAT, GN2_ERR_NUMERIC (file, dataset,
 *   field and row are named); GN2_ERR_ABI; GN2_ERR_BUSY; GN2_ERR_NO_MEMORY. @since 0.1
 */
GN2_API gn2_status gn2_dataset_next(gn2_dataset *dataset, gn2_jets *out_jets,
                                    gn2_labels *out_labels);

/**
 * Goes to batch `batch` of epoch `epoch` (both from 0); the order depends on
 * `data.seed` and the epoch only.
 * @return GN2_OK; GN2_ERR_INVALID_ARG (negative, or behind the last batch);
 *   GN2_ERR_BUSY. @since 0.1
 */
GN2_API gn2_status gn2_dataset_reset(gn2_dataset *dataset, int64_t epoch,
                                     int64_t batch);

/** Writes scores as salt does, beside the input's fields. */
typedef struct gn2_score_writer gn2_score_writer;

/**
 * Creates a score file for the jets of `input` in file order.
 * `/jets` gets the input's fields asked for (`scores.jet_fields`, "*" = all of
 * fixed size; texts and lists of any length are logged), then the scores of the jets.
 * Copied reals get 32 bits, those of 64 keep them; texts, arrays and records are copied
 * to the bit, as the input stores them. With `scores.half_precision` the input is read
 * once more before the first rows, to find the fields that 16 bits do not hold: they
 * keep 32 or 64. With `scores.write_tracks` every constituent type that the model has
 * scores of gets a dataset too: the fields of `scores.track_fields` that it has (a
 * field that no type has is refused), its scores, then `mask` (1 = empty slot). Scores
 * are called
 *
 * | output | fields |
 * |---|---|
 * | jets.probabilities | `NAME_pb`, `NAME_pc`, `NAME_pu`, `NAME_ptau`, `NAME_pCLASS` |
 * | jets.D_b, any discriminant | `NAME_Db` |
 * | tracks.origin | `NAME_pCLASS` |
 * | OBJECT.TASK of another classification | `NAME_TASK_pCLASS` |
 * | OBJECT.TASK of a regression | `NAME_TARGET` |
 * | OBJECT.TASK_stddev of a gaussian_regression | `NAME_TARGET_stddev` |
 * | tracks.vertex, OBJECT.TASK of a vertexing | `VertexIndex` |
 * | jets.probabilities_spread of an ensemble (B, classes) | `NAME_pb_spread`, … |
 *
 * where NAME is `model.name`, in the order of the model's tasks, discriminants behind
 * them. Any other output but those of pairs, which fit no dataset, is written where it
 * is given. `scores.outputs` names those that will be; where it names some of a
 * constituent type, this gets a dataset also without `scores.write_tracks`. They are
 * called
 *
 * | output | fields |
 * |---|---|
 * | logits of a classification | `NAME_pb_logit`, as its probabilities |
 * | OBJECT.D_b_gradient | `NAME_Db_gradient_INPUT` |
 * | OBJECT.embedding, any of several columns | `NAME_embedding_0`, … |
 * | OBJECT.attention, any of one column | `NAME_attention` |
 *
 * An attribute of the dataset, called as the output ("jets.embedding"), lists its
 * fields. With `scores.models` the file is that of an ensemble: its attribute
 * `ensemble` lists them, and the output jets.probabilities_spread is one more, the
 * standard deviation over the models. `scores.track_fields` without a dataset of
 * constituents is refused. A field of the input that is called like a score gives way
 * to it.
 * @param[in] path   written to a temporary file, renamed by
 *   gn2_score_writer_close(); an existing file is replaced only then. Not the input, by
 *   whatever name
 * @param[in] input  the HDF5 file that is tagged
 * @param[in] model  gives names and shapes
 * @param[in] config options `scores.*`, `data.dataset.*` and `data.unwritten`; NULL for
 *   defaults. `data.selection` is refused: there is a row for every jet of the input
 * @param[out] out_writer freed by gn2_score_writer_free(); NULL on failure
 * @return GN2_OK; GN2_ERR_NOT_FOUND (file, folder, dataset or field, named);
 *   GN2_ERR_IO; GN2_ERR_FORMAT (the input does not hold such jets);
 *   GN2_ERR_INVALID_ARG (options; the path is the input's); GN2_ERR_UNSUPPORTED (built
 * without HDF5); GN2_ERR_NO_MEMORY. @since 0.1
 */
GN2_API gn2_status gn2_score_writer_create(const char *path, const char *input,
                                           const gn2_model *model,
                                           const gn2_config *config,
                                           gn2_score_writer **out_writer);

/** One output of a model for the jets of a call. */
typedef struct gn2_score {
    uint32_t struct_size; /**< sizeof(gn2_score) */
    uint32_t flags;       /**< zero */
    const char *output;   /**< as gn2_tagger_output() knows it */
    const void *data;     /**< (rows, columns), as gn2_tagger_run() fills it without a
                               row_stride */
    int64_t rows;         /**< of the jets: as many as jets. Of constituents: jets times
                               slots of the file, by slot; or the number of valid ones,
                               one after the other, as ragged input has them */
    int32_t columns;      /**< of `data`, refused when the output has another number;
                               0 = not checked */
    int32_t type;         /**< GN2_DATA_* of `data`, the same; 0 = not checked */
    uint64_t reserved[4]; /**< zero */
} gn2_score;

/**
 * Appends the scores of the next `count` jets: the same outputs in every call.
 * Discriminants of the model and of the writer's config that are not given are computed
 * from the probabilities of the jets, if these are. Rows of valid constituents only go
 * to their slots in the file, and numbers of constituents (tracks.vertex) become slot
 * numbers; empty slots then get 0, and INT32_MIN as vertex.
 * @param[in] count       jets, may be 0
 * @param[in] scores      `score_count` outputs, each once; nothing is kept
 * @param[in] score_count 1 to 64
 * @return GN2_OK; GN2_ERR_SHAPE (more jets than the input has, another number of rows
 * or columns); GN2_ERR_STATE (other outputs than in the first call, after the close or
 *   after an error while writing, in a child process); GN2_ERR_NOT_FOUND (no such
 * output); GN2_ERR_INVALID_ARG (an output that has no place in the file or is given
 * twice, one of `scores.outputs` that is not given, two fields of one name);
 * GN2_ERR_ABI; GN2_ERR_IO; GN2_ERR_FORMAT (a flag of the input that is neither 0 nor 1,
 * rows that were never written); GN2_ERR_NUMERIC (a finite score that
 * `scores.half_precision` would make infinite); GN2_ERR_BUSY; GN2_ERR_NO_MEMORY. When
 * rows of constituents turn out to be too few or too many, some were written already,
 * and the writer can only be freed. @since 0.1
 */
GN2_API gn2_status gn2_score_writer_add_outputs(gn2_score_writer *writer, int64_t count,
                                                const gn2_score *scores,
                                                size_t score_count);

/**
 * The short form of gn2_score_writer_add_outputs() for GN2's own tasks, dense.
 * @param[in] count         jets, may be 0
 * @param[in] probabilities jets.probabilities, (count, classes)
 * @param[in] d_b           jets.D_b, (count); NULL: computed, if the model has it
 * @param[in] origin        tracks.origin, (count, slots, origins); NULL without
 * @param[in] vertex        tracks.vertex, (count, slots); NULL without
 * @return as gn2_score_writer_add_outputs(); GN2_ERR_INVALID_ARG too when all are NULL
 * or the model has no tracks. @since 0.1
 */
GN2_API gn2_status gn2_score_writer_add(gn2_score_writer *writer, int64_t count,
                                        const float *probabilities, const float *d_b,
                                        const float *origin, const int32_t *vertex);

/**
 * Finishes and renames the file. Without rows it has the fields of all outputs.
 * @return GN2_OK; GN2_ERR_STATE (closed already, an error while writing, a child
 * process); GN2_ERR_IO; GN2_ERR_FORMAT; GN2_ERR_BUSY; GN2_ERR_NO_MEMORY. @since 0.1
 */
GN2_API gn2_status gn2_score_writer_close(gn2_score_writer *writer);

/** Frees a writer; a file not closed is removed. NULL is allowed. @since 0.1 */
GN2_API void gn2_score_writer_free(gn2_score_writer *writer);

#ifdef __cplusplus
}
#endif
#endif

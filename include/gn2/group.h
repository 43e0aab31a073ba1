/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file group.h
 * @brief One training by several processes, or threads, that exchange bytes.
 *
 * A group is made of ranks 0 … size−1. Who carries the bytes between them is the
 * caller's: MPI (libgn2_mpi, gn2_mpi.h), sockets, threads. A transport only exchanges
 * with one peer at a time; sums and broadcasts are made of exchanges in here, so their
 * order, and with it every bit of a training, is the same whatever carries them and
 * however many ranks there are.
 *
 * Every rank makes the same calls in the same order with the same model, options and
 * data; each computes its own part of the shards of a batch (`train.shards`). The rule:
 * size = 1, or size divides `train.shards` and `train.shards` / size is a power of two.
 */
#ifndef GN2_GROUP_H
#define GN2_GROUP_H

#include <gn2/trainer.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Ranks that train together. */
typedef struct gn2_group gn2_group;

/**
 * Sends to a peer and receives from it, both at once: it may not wait for the one to be
 * done with before it begins the other. The peer makes the same call with the sizes
 * changed over. Either size may be 0; messages between two ranks keep their order.
 * On the thread that called the library. It may not throw or longjmp().
 * @param[in] user         as in gn2_transport
 * @param[in] peer         another rank
 * @param[in] send         send_size bytes for it
 * @param[in] send_size    bytes, any number
 * @param[out] receive     receive_size bytes from it
 * @param[in] receive_size bytes, any number
 * @return GN2_OK, or a failure: the group is dead then. It must give up at some time
 *   when the peer is silent, or its rank waits for ever.
 */
typedef gn2_status (*gn2_exchange_fn)(void *user, int32_t peer, const void *send,
                                      size_t send_size, void *receive,
                                      size_t receive_size);

/**
 * Takes in what has come: adds it up, which takes far less time than the network.
 * @param[in] context as gn2_exchange_parts_fn was given it
 * @param[in] size    first bytes of `receive` that are there to stay; each call tells
 * of more than the one before
 */
typedef void (*gn2_arrived_fn)(void *context, size_t size);

/**
 * As gn2_exchange_fn, and calls `arrived` now and then, while more is on its way, from
 * inside this call and on its thread. What it has told nothing of counts as arrived
 * when it returns GN2_OK. The peer makes the same call, never `exchange`.
 * @param[in] user         as in gn2_transport
 * @param[in] peer         another rank
 * @param[in] send         send_size bytes for it
 * @param[in] send_size    bytes, any number
 * @param[out] receive     receive_size bytes from it
 * @param[in] receive_size bytes, any number
 * @param[in] arrived      never NULL
 * @param[in] context      passed to it
 * @return as gn2_exchange_fn
 */
typedef gn2_status (*gn2_exchange_parts_fn)(void *user, int32_t peer, const void *send,
                                            size_t send_size, void *receive,
                                            size_t receive_size, gn2_arrived_fn arrived,
                                            void *context);

/**
 * Ends the other ranks, or makes their exchanges fail. Called once, after an exchange
 * failed.
 * @param[in] user as in gn2_transport
 * @param[in] why  one line
 */
typedef void (*gn2_abort_fn)(void *user, const char *why);

/**
 * Frees `user`. Called once, by gn2_group_free().
 * @param[in] user as in gn2_transport
 */
typedef void (*gn2_close_fn)(void *user);

/**
 * Sets after how many seconds `exchange` gives up on a silent peer, which it has to
 * name where it can. Called by gn2_trainer_join() with `group.timeout`, if that is set.
 * @param[in] user    as in gn2_transport
 * @param[in] seconds above 0
 */
typedef void (*gn2_timeout_fn)(void *user, double seconds);

/** Who carries bytes between the ranks of a group; filled by the caller. */
typedef struct gn2_transport {
    uint32_t struct_size;     /**< sizeof(gn2_transport) */
    uint32_t flags;           /**< zero */
    int32_t rank;             /**< of the caller, 0 … size−1 */
    int32_t size;             /**< ranks, at least 1, at most 1024 */
    void *user;               /**< passed back unchanged */
    gn2_exchange_fn exchange; /**< needed */
    gn2_abort_fn abort;       /**< may be NULL: the others find out by themselves */
    gn2_close_fn close;       /**< may be NULL */
    /** may be NULL: `group.timeout` is refused then */
    gn2_timeout_fn set_timeout;
    /** may be NULL, on all ranks or none: sums wait for the end of each exchange then
     */
    gn2_exchange_parts_fn exchange_parts;
    uint64_t reserved[2]; /**< zero */
} gn2_transport;

/**
 * Makes a group of a transport. Nothing is exchanged.
 * @param[in] transport copied
 * @param[out] out_group freed by gn2_group_free(); NULL on failure, `close` is not
 *   called then
 * @return GN2_OK; GN2_ERR_INVALID_ARG (rank or size out of range, no `exchange`);
 *   GN2_ERR_ABI; GN2_ERR_NO_MEMORY. @since 0.1
 */
GN2_API gn2_status gn2_group_create(const gn2_transport *transport,
                                    gn2_group **out_group);

/** Frees a group that no trainer uses any more; NULL is allowed. @since 0.1 */
GN2_API void gn2_group_free(gn2_group *group);

/** The caller's rank; 0 for NULL. @thread Safe. @since 0.1 */
GN2_API int32_t gn2_group_rank(const gn2_group *group);

/** Number of ranks; 1 for NULL. @thread Safe. @since 0.1 */
GN2_API int32_t gn2_group_size(const gn2_group *group);

/**
 * Gives bytes of one rank to all of them; a call of every rank, with the same size and
 * root, which is checked.
 * @param[in,out] data `size` bytes, read on `root`, written on the others
 * @param[in] size  bytes; 0 gives none, the ranks meet all the same
 * @param[in] root  a rank
 * @return GN2_OK; GN2_ERR_INVALID_ARG (on all ranks, if on one; another root);
 *   GN2_ERR_BUSY; GN2_ERR_STATE when the group is dead (the message says of what) or
 *   sizes differ; else what the transport said, its peer named.
 * @since 0.1
 */
GN2_API gn2_status gn2_group_broadcast(gn2_group *group, void *data, size_t size,
                                       int32_t root);

/**
 * Lets a trainer train with the others of a group; a call of every rank, before its
 * first step or between steps, all standing at the same one. Compared are the versions,
 * what computes (instruction set, oneDNN where it is used), all options that fix bits,
 * the step, weights and moments: the first difference is named with the ranks that
 * have it, of the instruction set also one that all have. From then on
 *
 * - gn2_trainer_step(), gn2_trainer_fit(), gn2_trainer_evaluate() and
 *   gn2_trainer_checkpoint_load() are calls of every rank with the same batch, dataset
 *   or file. Weights, losses, gradients and metrics are those of a training without a
 *   group, to the bit. What fails on one rank, bad arguments and GN2_ERR_BUSY among it
 *   (but for a NULL trainer, of whose group nothing is known), and a request to stop,
 *   ends the call on every rank before the same step, with the message of that rank and
 *   its number in it. A call from another thread than the one under way waits for that
 *   one's end, then fails with GN2_ERR_BUSY; from inside the callback of a fit it fails
 *   at once, and ends the fit of all ranks.
 * - gn2_trainer_fit() compares data files by their sizes and samples of them first, and
 *   every batch before its step. It writes `train.checkpoint` on rank 0 only.
 * - The trainer's other functions are each rank's own.
 *
 * It holds gradients of its own shards only.
 * @param[in] group borrowed, must outlive the trainer
 * @return GN2_OK; GN2_ERR_INVALID_ARG (the size breaks the rule: the numbers that would
 *   do are named; ranks differ); GN2_ERR_UNSUPPORTED (`group.timeout` is set, and the
 *   transport has no such deadline); GN2_ERR_STATE (it has joined a group; the group is
 *   dead); GN2_ERR_BUSY; GN2_ERR_NO_MEMORY; failures of the transport. @since 0.1
 */
GN2_API gn2_status gn2_trainer_join(gn2_trainer *trainer, gn2_group *group);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Who watches files being opened and may end it: told between two of them and between
 * the pieces of what is read. */
#ifndef GN2_DATA_OPENING_H
#define GN2_DATA_OPENING_H

#include <gn2/dataset.h>

typedef struct gn2_opening_watch {
    gn2_opening_fn fn; /* NULL: nobody does */
    void *user;
    gn2_opening seen; /* kept by those who open and read */
} gn2_opening_watch;

/* GN2_ERR_CANCELLED when whoever watches has enough. To be called where a fork may come
 * and no lock is held: the callback may take its time. */
gn2_status gn2_opening_tell(const gn2_opening_watch *watch);

#endif

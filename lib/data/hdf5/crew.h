/* SPDX-License-Identifier: Apache-2.0 */
/* Who unpacks chunks, and what they work in. */
#ifndef GN2_DATA_HDF5_CREW_H
#define GN2_DATA_HDF5_CREW_H

#include "data/hdf5/filters.h"

/* Rows of a row of chunks that are wanted, and where they go. */
typedef struct gn2_hdf5_piece {
    int64_t number, first, count;
    char *out;
    gn2_hdf5_packet *packets; /* what is stored of the chunks, of the crew */
    const char *wrong;        /* NULL: nothing */
    int code;                 /* errno then */
} gn2_hdf5_piece;

struct gn2_h5_crew {
    gn2_h5_hands hands;
    size_t piece_count; /* that are read, then unpacked, at once */
    gn2_hdf5_piece *pieces;
    size_t packet_count;
    gn2_hdf5_packet *packets;
    size_t space_size;
    unsigned char **space; /* (hands.count) of that size */
};

/* Room for so many packets, and for each hand to unpack so many bytes. 0: memory is
 * short. */
int gn2_hdf5_crew_reserve(gn2_h5_crew *crew, size_t packets, size_t space);
int gn2_hdf5_packet_reserve(gn2_hdf5_packet *packet, size_t size);

/* The calls, see interface.h; hands without run(): the caller alone, at one piece. */
gn2_status gn2_hdf5_crew_new(const gn2_h5_hands *hands, gn2_h5_crew **out);
void gn2_hdf5_crew_free(gn2_h5_crew *crew);

#endif

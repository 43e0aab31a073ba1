/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a crew works in belongs to it and not to the tables that it reads: of those
 * there may be thousands, and one is read at a time.
 */
#include "data/hdf5/crew.h"

#include "data/hdf5/errors.h"
#include "util/alloc.h"

/* Chunks in a row that are read, then unpacked: the hands wait for the last of them,
 * which matters less the more there are. */
#define PIECES_A_HAND 8

static int reserve_packets(gn2_h5_crew *crew, size_t count)
{
    if (count <= crew->packet_count) return 1;
    if (!gn2_grow(&crew->packets, crew->packet_count, count, sizeof *crew->packets))
        return 0;
    crew->packet_count = count;
    return 1;
}

int gn2_hdf5_crew_reserve(gn2_h5_crew *crew, size_t packets, size_t space)
{
    if (!reserve_packets(crew, packets)) return 0;
    if (space <= crew->space_size) return 1;
    crew->space_size = 0;
    for (int32_t i = 0; i < crew->hands.count; i++) {
        gn2_free(crew->space[i]);
        crew->space[i] = gn2_alloc_untouched(space, 1);
        if (!crew->space[i]) return 0;
    }
    crew->space_size = space;
    return 1;
}

int gn2_hdf5_packet_reserve(gn2_hdf5_packet *packet, size_t size)
{
    if (size <= packet->room) return 1;
    size += size / 2; /* chunks are of many sizes */
    gn2_free(packet->data);
    packet->data = gn2_alloc(size, 1);
    packet->room = packet->data ? size : 0;
    return packet->data != NULL;
}

gn2_status gn2_hdf5_crew_new(const gn2_h5_hands *hands, gn2_h5_crew **out)
{
    gn2_h5_crew *crew = *out = gn2_alloc(1, sizeof *crew);
    if (!crew) return gn2_hdf5_fail_memory();
    crew->hands = *hands;
    crew->piece_count = hands->run ? PIECES_A_HAND * (size_t)hands->count : 1;
    crew->pieces = gn2_alloc(crew->piece_count, sizeof *crew->pieces);
    crew->space = gn2_alloc((size_t)hands->count, sizeof *crew->space);
    if (crew->pieces && crew->space) return GN2_OK;
    gn2_hdf5_crew_free(crew);
    *out = NULL;
    return gn2_hdf5_fail_memory();
}

void gn2_hdf5_crew_free(gn2_h5_crew *crew)
{
    if (!crew) return;
    for (size_t i = 0; i < crew->packet_count; i++) gn2_free(crew->packets[i].data);
    for (int32_t i = 0; crew->space && i < crew->hands.count; i++)
        gn2_free(crew->space[i]);
    gn2_free(crew->packets);
    gn2_free(crew->space);
    gn2_free(crew->pieces);
    gn2_free(crew);
}

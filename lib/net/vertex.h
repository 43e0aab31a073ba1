/* SPDX-License-Identifier: Apache-2.0 */
/* Vertices from pair logits: connected components of the pairs that match. */
#ifndef GN2_NET_VERTEX_H
#define GN2_NET_VERTEX_H

#include <stdint.h>

/*
 * label (n): smallest index in the constituent's component. Two constituents match
 * when (x_ij + x_ji)/2 ≥ 0, i.e. the mean probability is ≥ ½
 * (salt.utils.union_find.get_node_assignment).
 * logits (n(n−1)): ordered pairs i ≠ j, i outer.
 */
void gn2_vertex_assign(int32_t *label, const float *logits, int64_t n);

/* Number of the ordered pair (i, j), i ≠ j, among the n(n−1) of a jet. */
static inline int64_t gn2_pair_index(int64_t i, int64_t j, int64_t n)
{
    return i * (n - 1) + (j < i ? j : j - 1);
}

#endif

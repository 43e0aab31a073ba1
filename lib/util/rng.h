/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counter-based random numbers: value = f(key, counter), no state, so any part of
 * a stream can be made by any thread. The mixer is splitmix64's finaliser
 * (Steele, Lea, Flood 2014). Not for cryptography.
 */
#ifndef GN2_UTIL_RNG_H
#define GN2_UTIL_RNG_H

#include <stdint.h>

__extension__ typedef unsigned __int128 gn2_u128;

static inline uint64_t gn2_mix64(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* 64 random bits number `counter` of stream `key`. */
static inline uint64_t gn2_rng_bits(uint64_t key, uint64_t counter)
{
    return gn2_mix64(gn2_mix64(key + 0x9E3779B97F4A7C15u) +
                     (counter + 1) * 0x9E3779B97F4A7C15u);
}

/* Key of a sub-stream. */
static inline uint64_t gn2_rng_key(uint64_t key, uint64_t label)
{
    return gn2_rng_bits(key ^ 0xD1B54A32D192ED03u, label);
}

/* Uniform in (0, 1), 53 bits. */
static inline double gn2_rng_uniform(uint64_t key, uint64_t counter)
{
    return ((double)(gn2_rng_bits(key, counter) >> 11) + 0.5) * 0x1p-53;
}

/* Standard normal (Box–Muller; counters 2i and 2i+1 of a separate stream). */
double gn2_rng_normal(uint64_t key, uint64_t counter);

/* Uniform integer in 0 … bound−1, bound ≥ 1 (bias below bound/2^64). */
static inline uint64_t gn2_rng_below(uint64_t key, uint64_t counter, uint64_t bound)
{
    return (uint64_t)(((gn2_u128)gn2_rng_bits(key, counter) * bound) >> 64);
}

/* Fills index (count) with a random permutation of 0 … count−1. */
void gn2_rng_permutation(uint64_t key, int64_t *index, int64_t count);

#endif

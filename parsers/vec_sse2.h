/*
 * vec_sse2: vectors of sixteen bytes (SSE2: every x86-64), for the modules that have their loops
 * once for each instruction set. Not for headers: names are short.
 */
#ifndef BARGE_VEC_SSE2_H
#define BARGE_VEC_SSE2_H

#include "agent/base/base.h"

#include <emmintrin.h>

#define V_BYTES 16

typedef __m128i vec;

static inline vec v_load(const char *p)
{
    return _mm_loadu_si128((const vec *)(const void *)p);
}

static inline void v_store(char *p, vec v)
{
    _mm_storeu_si128((vec *)(void *)p, v);
}

static inline vec v_zero(void)
{
    return _mm_setzero_si128();
}

/* c in all bytes. */
static inline vec v_fill(char c)
{
    return _mm_set1_epi8(c);
}

static inline vec v_ones(void)
{
    return v_fill(-1);
}

static inline vec v_and(vec a, vec b)
{
    return _mm_and_si128(a, b);
}

static inline vec v_or(vec a, vec b)
{
    return _mm_or_si128(a, b);
}

/* a, where b is not. */
static inline vec v_but(vec a, vec b)
{
    return _mm_andnot_si128(b, a);
}

static inline vec v_minus(vec v, char c)
{
    return _mm_sub_epi8(v, v_fill(c));
}

/* Unsigned. */
static inline vec v_min(vec a, vec b)
{
    return _mm_min_epu8(a, b);
}

/* Ones where the bytes are equal, zeros elsewhere. */
static inline vec v_equal(vec a, vec b)
{
    return _mm_cmpeq_epi8(a, b);
}

static inline vec v_is(vec v, char c)
{
    return v_equal(v, v_fill(c));
}

/* Unsigned. */
static inline vec v_at_most(vec v, char c)
{
    return v_equal(v_min(v, v_fill(c)), v);
}

/* Letters small; other bytes change as well. */
static inline vec v_lower(vec v)
{
    return v_or(v, v_fill(' '));
}

/* The high bits of the bytes, the first one's lowest. */
static inline uint32_t v_bits(vec v)
{
    return (uint32_t)_mm_movemask_epi8(v);
}

#endif

/*
 * vec_avx2: vectors of thirty-two bytes (AVX2 and BMI), for the modules that have their loops once
 * for each instruction set. Not for headers: names are short. What stands from here to VEC_AVX2_END
 * is made of these instructions.
 */
#ifndef BARGE_VEC_AVX2_H
#define BARGE_VEC_AVX2_H

#include "agent/base/base.h"

#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt"))),                \
                             apply_to = function)
#define VEC_AVX2_END _Pragma("clang attribute pop")
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,lzcnt,popcnt")
#define VEC_AVX2_END _Pragma("GCC pop_options")
#endif

#define V_BYTES 32

typedef __m256i vec;

static inline vec v_load(const char *p)
{
    return _mm256_loadu_si256((const vec *)(const void *)p);
}

static inline void v_store(char *p, vec v)
{
    _mm256_storeu_si256((vec *)(void *)p, v);
}

static inline vec v_zero(void)
{
    return _mm256_setzero_si256();
}

/* c in all bytes. */
static inline vec v_fill(char c)
{
    return _mm256_set1_epi8(c);
}

static inline vec v_ones(void)
{
    return v_fill(-1);
}

static inline vec v_and(vec a, vec b)
{
    return _mm256_and_si256(a, b);
}

static inline vec v_or(vec a, vec b)
{
    return _mm256_or_si256(a, b);
}

/* a, where b is not. */
static inline vec v_but(vec a, vec b)
{
    return _mm256_andnot_si256(b, a);
}

static inline vec v_minus(vec v, char c)
{
    return _mm256_sub_epi8(v, v_fill(c));
}

/* Unsigned. */
static inline vec v_min(vec a, vec b)
{
    return _mm256_min_epu8(a, b);
}

/* Ones where the bytes are equal, zeros elsewhere. */
static inline vec v_equal(vec a, vec b)
{
    return _mm256_cmpeq_epi8(a, b);
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
    return (uint32_t)_mm256_movemask_epi8(v);
}

#endif

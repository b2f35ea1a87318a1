/* redact_scan for x86-64 with AVX2: thirty-two bytes at once. */
#ifdef __x86_64__
#include "parsers/redact_scan.h"

#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt"))),                \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,lzcnt,popcnt")
#endif

#define WIDTH 32
#define SCAN_FILL redact_scan_fill_avx2

typedef __m256i vec;

static inline vec load(const char *p)
{
    return _mm256_loadu_si256((const vec *)(const void *)p);
}

static inline vec is(vec v, char c)
{
    return _mm256_cmpeq_epi8(v, _mm256_set1_epi8(c));
}

static inline vec both(vec a, vec b)
{
    return _mm256_and_si256(a, b);
}

static inline vec either(vec a, vec b)
{
    return _mm256_or_si256(a, b);
}

/* a, where b is not. */
static inline vec unless(vec a, vec b)
{
    return _mm256_andnot_si256(b, a);
}

/* Unsigned. */
static inline vec at_most(vec v, char c)
{
    return _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(c)), v);
}

static inline vec minus(vec v, char c)
{
    return _mm256_sub_epi8(v, _mm256_set1_epi8(c));
}

static inline vec lower(vec v)
{
    return _mm256_or_si256(v, _mm256_set1_epi8(' '));
}

static inline uint64_t bits(vec v)
{
    return (uint32_t)_mm256_movemask_epi8(v);
}

#include "parsers/redact_scan_vector.inc"

#include "parsers/redact_scan.inc"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif

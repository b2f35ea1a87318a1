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

/* One of the rows below for each byte: low[its lower half] & high[its upper half], none for what is
 * no ASCII. */
static inline vec class_of(vec v, vec low, vec high)
{
    vec upper = _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15));

    return both(_mm256_shuffle_epi8(low, v), _mm256_shuffle_epi8(high, upper));
}

static inline vec twice(int64_t a, int64_t b)
{
    return _mm256_set_epi64x(b, a, b, a);
}

/* A bit for each pair of bytes: 1: b B, then e E a A (and then a A s S); 2: y J; 4: % 4;
 * 8: \ u; 16: : /; 32: =; 64: @. */
static inline vec rare(vec v, vec next, vec after, bool names)
{
    const vec low_1 = twice(0x0000040000010040, 0x0000200800100200),
              high_1 = twice(0x0201084130040000, 0x0000000000000000);
    const vec low_2 = twice(0x0000090400000100, 0x1000000000020000),
              high_2 = twice(0x0801000304100000, 0x0000000000000000);
    vec third = either(is(lower(after), 'a'), is(lower(after), 's'));
    vec first = class_of(v, low_1, high_1);
    vec second = either(class_of(next, low_2, high_2), _mm256_set1_epi8(32 | 64));
    vec all = both(both(first, second), either(third, _mm256_set1_epi8(~1)));
    vec found = unless(_mm256_set1_epi8(-1), is(all, 0));

    found = either(found, both(is(v, ':'), is(next, '\\')));
    if (names)
        found = either(found, both(is(v, '"'), either(is(next, ':'), at_most(next, ' '))));
    return found;
}

#include "parsers/redact_scan_vector.inc"

#include "parsers/redact_scan.inc"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif

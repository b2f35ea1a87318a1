/* redact_scan for every x86-64: sixteen bytes at once. */
#ifdef __x86_64__
#include "parsers/redact_scan.h"

#include <emmintrin.h>

#define WIDTH 16
#define SCAN_FILL redact_scan_fill_sse2

typedef __m128i vec;

static inline vec load(const char *p)
{
    return _mm_loadu_si128((const vec *)(const void *)p);
}

static inline vec is(vec v, char c)
{
    return _mm_cmpeq_epi8(v, _mm_set1_epi8(c));
}

static inline vec both(vec a, vec b)
{
    return _mm_and_si128(a, b);
}

static inline vec either(vec a, vec b)
{
    return _mm_or_si128(a, b);
}

/* a, where b is not. */
static inline vec unless(vec a, vec b)
{
    return _mm_andnot_si128(b, a);
}

/* Unsigned. */
static inline vec at_most(vec v, char c)
{
    return _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(c)), v);
}

static inline vec minus(vec v, char c)
{
    return _mm_sub_epi8(v, _mm_set1_epi8(c));
}

static inline vec lower(vec v)
{
    return _mm_or_si128(v, _mm_set1_epi8(' '));
}

static inline uint64_t bits(vec v)
{
    return (uint32_t)_mm_movemask_epi8(v);
}

static inline vec rare(vec v, vec next, vec after, bool names)
{
    vec b = lower(next), c = lower(after);
    vec found = either(is(v, '='), is(v, '@'));

    found = either(found, both(is(v, '%'), is(next, '4')));
    found = either(found, both(is(v, '\\'), is(next, 'u')));
    found = either(found, both(is(v, ':'), either(is(next, '/'), is(next, '\\'))));
    found = either(found, both(is(v, 'y'), is(next, 'J')));
    found = either(found, both(is(lower(v), 'b'), both(either(is(b, 'e'), is(b, 'a')),
                                                       either(is(c, 'a'), is(c, 's')))));
    if (names)
        found = either(found, both(is(v, '"'), either(is(next, ':'), at_most(next, ' '))));
    return found;
}

#include "parsers/redact_scan_vector.inc"

#include "parsers/redact_scan.inc"

#endif

/* redact_scan for x86-64 with AVX2: thirty-two bytes at once. */
#ifdef __x86_64__
#include "parsers/redact_scan.h"
#include "parsers/vec_avx2.h"

#define SCAN_FILL redact_scan_fill_avx2

/* One of the rows below for each byte: low[its lower half] & high[its upper half], none for what is
 * no ASCII. */
static inline vec class_of(vec v, vec low, vec high)
{
    vec upper = _mm256_and_si256(_mm256_srli_epi16(v, 4), v_fill(15));

    return v_and(_mm256_shuffle_epi8(low, v), _mm256_shuffle_epi8(high, upper));
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
    vec third = v_or(v_is(v_lower(after), 'a'), v_is(v_lower(after), 's'));
    vec first = class_of(v, low_1, high_1);
    vec second = v_or(class_of(next, low_2, high_2), v_fill(32 | 64));
    vec all = v_and(v_and(first, second), v_or(third, v_fill(~1)));
    vec found = v_but(v_fill(-1), v_is(all, 0));

    found = v_or(found, v_and(v_is(v, ':'), v_is(next, '\\')));
    if (names)
        found = v_or(found, v_and(v_is(v, '"'), v_or(v_is(next, ':'), v_at_most(next, ' '))));
    return found;
}

#include "parsers/redact_scan_vector.inc"

#include "parsers/redact_scan.inc"

VEC_AVX2_END

#endif

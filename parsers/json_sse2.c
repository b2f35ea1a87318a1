/* json_kernel for every x86-64: sixteen bytes at once. */
#ifdef __x86_64__
#include "parsers/json_kernel.h"

#include "agent/base/utf8.h"

#include <emmintrin.h>

#define JSON_W 16
#define JSON_KERNEL json_kernel_sse2
#define JSON_KERNEL_NAME "sse2"

typedef __m128i vec;

static inline vec v_load(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline void v_store(char *p, vec v)
{
    _mm_storeu_si128((__m128i *)(void *)p, v);
}

static inline size_t first_bit(uint32_t bits)
{
    return (size_t)(unsigned)__builtin_ctz(bits);
}

static inline vec v_zero(void)
{
    return _mm_setzero_si128();
}

static inline vec v_ones(void)
{
    return _mm_set1_epi8(-1);
}

static inline vec v_or(vec a, vec b)
{
    return _mm_or_si128(a, b);
}

static inline vec v_min(vec a, vec b)
{
    return _mm_min_epu8(a, b);
}

static inline uint32_t mask(vec v)
{
    return (uint32_t)_mm_movemask_epi8(v);
}

static inline vec equal(vec v, char c)
{
    return _mm_cmpeq_epi8(v, _mm_set1_epi8(c));
}

#define FILLED_16(name) v_load((const char *)json_filled.name)

static inline uint32_t v_same(vec v, vec w)
{
    return mask(_mm_cmpeq_epi8(v, w));
}

static inline uint32_t v_quotes(vec v)
{
    return mask(equal(v, '"'));
}

static inline uint32_t v_backslashes(vec v)
{
    return mask(equal(v, '\\'));
}

static inline uint32_t v_stops(vec v)
{
    return mask(_mm_or_si128(equal(v, '"'), equal(v, '\\')));
}

static inline uint32_t v_controls(vec v)
{
    return mask(_mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v));
}

static inline bool v_has_control(vec v)
{
    return v_controls(v) != 0;
}

static inline bool v_has_high(vec v)
{
    return mask(v) != 0;
}

static inline uint32_t v_highs(vec v)
{
    return mask(v);
}

/* Compared as signed, what is not ASCII is below the blank too. */
static inline uint32_t v_breaks(vec v)
{
    vec low = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20));

    return mask(_mm_or_si128(low, _mm_or_si128(equal(v, '"'), equal(v, '\\'))));
}

static inline uint32_t v_nondigits(vec v)
{
    vec from_zero = _mm_sub_epi8(v, _mm_set1_epi8('0'));

    return mask(_mm_cmpeq_epi8(_mm_min_epu8(from_zero, _mm_set1_epi8(9)), from_zero)) ^ 0xffff;
}

static inline uint32_t separators(__m128i x)
{
    return mask(_mm_or_si128(equal(x, '_' | 0x20), _mm_or_si128(equal(x, '-'), equal(x, '.'))));
}

static inline uint64_t high_half(__m128i x)
{
    return (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(x, x));
}

#include "parsers/json_key_hash.inc"

static inline uint32_t v_key_hash(vec v, size_t k, const char *p, uint8_t *flags)
{
    (void)p;
    return key_hash_16(v, k, flags);
}

static bool kernel_usable(void)
{
    return true;
}

#include "parsers/json_kernel.inc"
#else
typedef int json_sse2_is_for_x86_64;
#endif

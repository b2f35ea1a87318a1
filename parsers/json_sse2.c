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

static inline uint32_t v_eq(vec v, char c)
{
    return mask(equal(v, c));
}

static inline uint32_t v_stops(vec v)
{
    return mask(_mm_or_si128(equal(v, '"'), equal(v, '\\')));
}

static inline bool v_has_control(vec v)
{
    return mask(_mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v)) != 0;
}

static inline bool v_has_high(vec v)
{
    return mask(v) != 0;
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

#include "parsers/json_key_hash.inc"

static inline uint32_t v_key_hash(vec v, unsigned k, const char *p, uint8_t *flags)
{
    (void)p;
    return key_hash_16(v, k, flags);
}

static bool utf8_valid(const char *p, size_t n)
{
    const char *end = p + n;

    while (p < end) {
        if (end - p >= JSON_W) {
            uint32_t high = mask(v_load(p));

            if (high == 0) {
                p += JSON_W;
                continue;
            }
            p += __builtin_ctz(high);
        }

        size_t k = utf8_length(p, (size_t)(end - p));

        if (k == 0)
            return false;
        p += k;
    }
    return true;
}

static bool kernel_usable(void)
{
    return true;
}

#include "parsers/json_kernel.inc"
#else
typedef int json_sse2_is_for_x86_64;
#endif

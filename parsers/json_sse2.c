/* json_kernel for every x86-64: sixteen bytes at once. */
#ifdef __x86_64__
#include "parsers/json_kernel.h"

#include "agent/base/utf8.h"
#include "parsers/vec_sse2.h"

#define JSON_W V_BYTES
#define JSON_KERNEL json_kernel_sse2
#define JSON_KERNEL_NAME "sse2"

static inline size_t first_bit(uint32_t bits)
{
    return (size_t)(unsigned)__builtin_ctz(bits);
}

#define FILLED_16(name) v_load((const char *)json_filled.name)

static inline uint32_t v_quotes(vec v)
{
    return v_bits(v_is(v, '"'));
}

static inline uint32_t v_backslashes(vec v)
{
    return v_bits(v_is(v, '\\'));
}

static inline uint32_t v_stops(vec v)
{
    return v_bits(v_or(v_is(v, '"'), v_is(v, '\\')));
}

/* Compared as signed, what is not ASCII is below the blank too. */
static inline uint32_t v_breaks(vec v)
{
    vec low = _mm_cmplt_epi8(v, v_fill(0x20));

    return v_bits(v_or(low, v_or(v_is(v, '"'), v_is(v, '\\'))));
}

static inline uint32_t v_nondigits(vec v)
{
    return v_bits(v_at_most(v_minus(v, '0'), 9)) ^ 0xffff;
}

static inline uint32_t separators(__m128i x)
{
    return v_bits(v_or(v_is(x, '_' | 0x20), v_or(v_is(x, '-'), v_is(x, '.'))));
}

static inline uint64_t high_half(__m128i x)
{
    return (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(x, x));
}

#include "parsers/json_vector.inc"

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

/*
 * json_kernel for processors with AVX2 and BMI: thirty-two bytes at once, and UTF-8 checked as in
 * "Validating UTF-8 In Less Than One Instruction Per Byte" (Keiser and Lemire, 2020).
 */
#ifdef __x86_64__
#include "agent/base/utf8.h"
#include "parsers/json_kernel.h"

#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt"))),                \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,lzcnt,popcnt")
#endif

#define JSON_W 32
#define JSON_KERNEL json_kernel_avx2
#define JSON_KERNEL_NAME "avx2"

typedef __m256i vec;

static inline vec v_load(const char *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

static inline void v_store(char *p, vec v)
{
    _mm256_storeu_si256((__m256i *)(void *)p, v);
}

static inline vec v_zero(void)
{
    return _mm256_setzero_si256();
}

static inline vec v_ones(void)
{
    return _mm256_set1_epi8(-1);
}

static inline vec v_or(vec a, vec b)
{
    return _mm256_or_si256(a, b);
}

static inline vec v_min(vec a, vec b)
{
    return _mm256_min_epu8(a, b);
}

static inline uint32_t mask(vec v)
{
    return (uint32_t)_mm256_movemask_epi8(v);
}

static inline vec equal(vec v, char c)
{
    return _mm256_cmpeq_epi8(v, _mm256_set1_epi8(c));
}

static inline uint32_t v_eq(vec v, char c)
{
    return mask(equal(v, c));
}

static inline uint32_t v_stops(vec v)
{
    return mask(_mm256_or_si256(equal(v, '"'), equal(v, '\\')));
}

static inline bool v_has_control(vec v)
{
    return mask(_mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v)) != 0;
}

static inline bool v_has_high(vec v)
{
    return mask(v) != 0;
}

/* Compared as signed, what is not ASCII is below the blank too. */
static inline uint32_t v_breaks(vec v)
{
    vec low = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), v);

    return mask(_mm256_or_si256(low, _mm256_or_si256(equal(v, '"'), equal(v, '\\'))));
}

static inline uint32_t v_nondigits(vec v)
{
    vec from_zero = _mm256_sub_epi8(v, _mm256_set1_epi8('0'));

    return ~mask(_mm256_cmpeq_epi8(_mm256_min_epu8(from_zero, _mm256_set1_epi8(9)), from_zero));
}

#include "parsers/json_key_hash.inc"

static inline __attribute__((always_inline)) uint32_t v_key_hash(vec v, unsigned k, const char *p,
                                                                 uint8_t *flags)
{
    if (LIKELY(k <= 16))
        return key_hash_16(_mm256_castsi256_si128(v), k, flags);
    if (memchr(p, '.', k) != NULL)
        *flags |= JSON_KEY_DOTTED;
    return json_key_hash(bytes_of(p, k));
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
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
}

#include "parsers/json_kernel.inc"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
typedef int json_avx2_is_for_x86_64;
#endif

/*
 * json_kernel for processors with AVX2 and BMI: thirty-two bytes at once, and UTF-8 checked as in
 * "Validating UTF-8 In Less Than One Instruction Per Byte" (Keiser and Lemire, 2020).
 */
#ifdef __x86_64__
#include "parsers/json_kernel.h"

#include "agent/base/utf8.h"
#include "parsers/vec_avx2.h"

#define JSON_W V_BYTES
#define JSON_KERNEL json_kernel_avx2
#define JSON_KERNEL_NAME "avx2"

/* Compilers clear the register before, for the sake of processors of 2013, and extend it
 * afterwards. */
static inline size_t first_bit(uint32_t bits)
{
    uint64_t i;

    __asm__("tzcntl %1, %k0" : "=r"(i) : "r"(bits) : "cc");
    return i;
}

#define FILLED(name) v_load((const char *)json_filled.name)

/* Sixteen bytes, twice. */
static inline vec table(const uint8_t t[16])
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)t));
}

static inline uint32_t v_quotes(vec v)
{
    return v_bits(v_equal(v, FILLED(quote)));
}

static inline uint32_t v_backslashes(vec v)
{
    return v_bits(v_equal(v, FILLED(backslash)));
}

/* A byte is a stop if it is what the table has for its lower half. (Those from 0x80 on find zeros.)
 */
static inline uint32_t v_stops(vec v)
{
    static const uint8_t stops[16] = {[0] = 1, ['"' & 15] = '"', ['\\' & 15] = '\\'};

    return v_bits(v_equal(_mm256_shuffle_epi8(table(stops), v), v));
}

/* Compared as signed, what is not ASCII is below the blank too. */
static inline uint32_t v_breaks(vec v)
{
    vec low = _mm256_cmpgt_epi8(v_fill(0x20), v);

    return v_bits(v_or(low, v_or(v_is(v, '"'), v_is(v, '\\'))));
}

static inline uint32_t v_nondigits(vec v)
{
    vec from_zero = _mm256_sub_epi8(v, FILLED(digit_0));

    return ~v_bits(v_equal(v_min(from_zero, FILLED(nine)), from_zero));
}

#define FILLED_16(name) _mm_load_si128((const __m128i *)(const void *)json_filled.name)

static inline uint32_t separators(__m128i x)
{
    static const uint8_t all[16] = {
        [0] = 1, ['-' & 15] = '-', ['.' & 15] = '.', ['_' & 15] = '_' | 0x20};
    __m128i t = _mm_loadu_si128((const __m128i *)(const void *)all);

    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_shuffle_epi8(t, x), x));
}

static inline uint64_t high_half(__m128i x)
{
    return (uint64_t)_mm_extract_epi64(x, 1);
}

#include "parsers/json_vector.inc"

#include "parsers/json_key_hash.inc"

static inline __attribute__((always_inline)) uint32_t v_key_hash(vec v, size_t k, const char *p,
                                                                 uint8_t *flags)
{
    if (LIKELY(k <= 16))
        return key_hash_16(_mm256_castsi256_si128(v), k, flags);
    if (memchr(p, '.', k) != NULL)
        *flags |= JSON_KEY_DOTTED;
    return json_key_hash(bytes_of(p, k));
}

/* What stands n bytes before each byte of v; zeros before the first. */
#define SHIFTED(v, n) _mm256_alignr_epi8((v), _mm256_permute2x128_si256((v), (v), 0x08), 16 - (n))

/* Nonzero where v, that begins with a character, is not UTF-8; a character that v cuts is no error.
 * Three tables, over the halves of a byte and the first half of the next, have a bit for each way
 * to be wrong; a way that all three confirm is one. */
static inline vec utf8_errors(vec v)
{
    enum {
        TOO_SHORT = 1,    /* a lead byte and no continuation */
        TOO_LONG = 2,     /* ASCII and a continuation */
        OVERLONG_3 = 4,   /* E0 80..9F */
        TOO_LARGE = 8,    /* F4 90..BF, F5..FF 80..BF */
        SURROGATE = 16,   /* ED A0..BF */
        OVERLONG_2 = 32,  /* C0..C1 */
        TOO_LARGE_8 = 64, /* F5..FF 80..8F */
        OVERLONG_4 = 64,  /* F0 80..8F */
        TWO_CONTS = 128,  /* two continuations: right only behind a lead byte of three or four */
        CARRY = TOO_SHORT | TOO_LONG | TWO_CONTS
    };
    static const uint8_t first_high[16] = {TOO_LONG,
                                           TOO_LONG,
                                           TOO_LONG,
                                           TOO_LONG,
                                           TOO_LONG,
                                           TOO_LONG,
                                           TOO_LONG,
                                           TOO_LONG,
                                           TWO_CONTS,
                                           TWO_CONTS,
                                           TWO_CONTS,
                                           TWO_CONTS,
                                           TOO_SHORT | OVERLONG_2,
                                           TOO_SHORT,
                                           TOO_SHORT | OVERLONG_3 | SURROGATE,
                                           TOO_SHORT | TOO_LARGE | TOO_LARGE_8 | OVERLONG_4};
    static const uint8_t first_low[16] = {CARRY | OVERLONG_3 | OVERLONG_2 | OVERLONG_4,
                                          CARRY | OVERLONG_2,
                                          CARRY,
                                          CARRY,
                                          CARRY | TOO_LARGE,
                                          CARRY | TOO_LARGE | TOO_LARGE_8,
                                          CARRY | TOO_LARGE | TOO_LARGE_8,
                                          CARRY | TOO_LARGE | TOO_LARGE_8,
                                          CARRY | TOO_LARGE | TOO_LARGE_8,
                                          CARRY | TOO_LARGE | TOO_LARGE_8,
                                          CARRY | TOO_LARGE | TOO_LARGE_8,
                                          CARRY | TOO_LARGE | TOO_LARGE_8,
                                          CARRY | TOO_LARGE | TOO_LARGE_8,
                                          CARRY | TOO_LARGE | TOO_LARGE_8 | SURROGATE,
                                          CARRY | TOO_LARGE | TOO_LARGE_8,
                                          CARRY | TOO_LARGE | TOO_LARGE_8};
    static const uint8_t second_high[16] = {
        TOO_SHORT,
        TOO_SHORT,
        TOO_SHORT,
        TOO_SHORT,
        TOO_SHORT,
        TOO_SHORT,
        TOO_SHORT,
        TOO_SHORT,
        TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | TOO_LARGE_8 | OVERLONG_4,
        TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | TOO_LARGE,
        TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE,
        TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE,
        TOO_SHORT,
        TOO_SHORT,
        TOO_SHORT,
        TOO_SHORT};
    const vec low_half = v_fill(0x0f);
    vec first = SHIFTED(v, 1);
    vec wrong = v_and(
        v_and(_mm256_shuffle_epi8(table(first_high), v_and(_mm256_srli_epi16(first, 4), low_half)),
              _mm256_shuffle_epi8(table(first_low), v_and(first, low_half))),
        _mm256_shuffle_epi8(table(second_high), v_and(_mm256_srli_epi16(v, 4), low_half)));
    /* The high bit where a third or fourth byte must be. */
    vec third = _mm256_subs_epu8(SHIFTED(v, 2), v_fill((char)(0xe0 - 0x80)));
    vec fourth = _mm256_subs_epu8(SHIFTED(v, 3), v_fill((char)(0xf0 - 0x80)));
    vec expected = v_and(v_or(third, fourth), v_fill((char)0x80));

    return _mm256_xor_si256(expected, wrong);
}

#define V_UTF8_VALID(v) _mm256_testz_si256(utf8_errors(v), utf8_errors(v))

static bool kernel_usable(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
}

#include "parsers/json_kernel.inc"

VEC_AVX2_END
#else
typedef int json_avx2_is_for_x86_64;
#endif

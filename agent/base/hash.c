#include "agent/base/hash.h"

#include <errno.h>
#include <sys/random.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

static uint32_t crc_table[256];

__attribute__((constructor)) static void crc_table_fill(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;

        for (int k = 0; k < 8; k++)
            c = (c >> 1) ^ (0x82F63B78u & (0u - (c & 1)));
        crc_table[i] = c;
    }
}

static uint32_t crc_plain(uint32_t c, const unsigned char *p, size_t n)
{
    while (n--)
        c = (c >> 8) ^ crc_table[(c ^ *p++) & 0xff];
    return c;
}

#if defined(__x86_64__)
/*
 * The crc32 instruction takes three cycles but can begin one each cycle, so three stretches of
 * equal length are run side by side and joined: the CRC of a stretch in front of another is
 * multiplied by x^(8 * length of what follows). In the reflected domain a carry-less product
 * followed by a crc32 step multiplies by x^33 besides, hence the table of x^(8 * length - 33) mod
 * P.
 */
#define LANE_MAX 1024 /* bytes; a multiple of 8 */
#define LANE_MIN 32

static uint32_t lane_shift[LANE_MAX / 8 + 1];

__attribute__((constructor)) static void lane_shift_fill(void)
{
    uint32_t k = 1; /* x^31: 8 bytes further is x^(64 - 33) */

    for (size_t i = 1; i < ARRAY_LEN(lane_shift); i++) {
        lane_shift[i] = k;
        for (int bit = 0; bit < 64; bit++)
            k = (k >> 1) ^ (0x82F63B78u & (0u - (k & 1)));
    }
}

static inline uint64_t load_64(const unsigned char *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
    return v;
}

__attribute__((target("sse4.2,pclmul"))) static inline uint64_t crc_shift(uint64_t c, size_t words)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)c),
                                           _mm_cvtsi32_si128((int)lane_shift[words]), 0);

    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

/* One stretch, in one go. */
__attribute__((target("sse4.2"))) static inline uint32_t crc_short(uint64_t c,
                                                                   const unsigned char *p, size_t n)
{
    for (; n >= 16; n -= 16, p += 16) {
        c = _mm_crc32_u64(c, load_64(p));
        c = _mm_crc32_u64(c, load_64(p + 8));
    }
    if (n & 8) {
        c = _mm_crc32_u64(c, load_64(p));
        p += 8;
    }
    if (n & 4) {
        uint32_t v;

        memcpy(&v, p, 4);
        c = _mm_crc32_u32((uint32_t)c, v);
        p += 4;
    }
    if (n & 2) {
        uint16_t v;

        memcpy(&v, p, 2);
        c = _mm_crc32_u16((uint32_t)c, v);
        p += 2;
    }
    if (n & 1)
        c = _mm_crc32_u8((uint32_t)c, *p);
    return (uint32_t)c;
}

__attribute__((target("sse4.2,pclmul"), noinline)) static uint32_t
crc_lanes(uint64_t c, const unsigned char *p, size_t n)
{
    while (n >= 3 * LANE_MIN) {
        size_t words = MIN(n / 24, (size_t)LANE_MAX / 8);
        const unsigned char *q = p + 8 * words, *r = q + 8 * words;
        const unsigned char *const end = p + (8 * words & ~(size_t)31);
        uint64_t d = 0, e = 0;

#define STEP(at)                                                                                   \
    c = _mm_crc32_u64(c, load_64(p + (at)));                                                       \
    d = _mm_crc32_u64(d, load_64(q + (at)));                                                       \
    e = _mm_crc32_u64(e, load_64(r + (at)))

        /* Four words a turn: the loop itself would cost as much as the work. */
        for (; p < end; p += 32, q += 32, r += 32) {
            STEP(0);
            STEP(8);
            STEP(16);
            STEP(24);
        }
        if (words & 2) {
            STEP(0);
            STEP(8);
            p += 16;
            q += 16;
            r += 16;
        }
        if (words & 1) {
            STEP(0);
            r += 8;
        }
#undef STEP
        c = crc_shift(crc_shift(c, words) ^ d, words) ^ e;
        p = r;
        n -= 24 * words;
    }
    return crc_short(c, p, n);
}

static bool crc_in_hardware;

__attribute__((constructor)) static void crc_find_hardware(void)
{
    crc_in_hardware = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

__attribute__((target("sse4.2"))) static uint32_t crc_hardware(uint32_t c, const unsigned char *p,
                                                               size_t n)
{
    return n < 3 * LANE_MIN ? crc_short(c, p, n) : crc_lanes(c, p, n);
}
#endif

uint32_t hash_crc32c(uint32_t crc, const void *p, size_t n)
{
#if defined(__x86_64__)
    if (LIKELY(crc_in_hardware))
        return ~crc_hardware(~crc, p, n);
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
    const unsigned char *s = p;
    uint32_t c = ~crc;

    for (; n >= 8; n -= 8, s += 8) {
        uint64_t v;

        memcpy(&v, s, 8);
        c = __crc32cd(c, v);
    }
    for (; n; n--, s++)
        c = __crc32cb(c, *s);
    return ~c;
#endif
    return ~crc_plain(~crc, p, n);
}

static inline uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 m = (unsigned __int128)a * b;

    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static inline uint64_t load_le64(const unsigned char *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

uint64_t hash_64(uint64_t seed, const void *data, size_t n)
{
    static const uint64_t k0 = 0xa0761d6478bd642full, k1 = 0xe7037ed1a0b428dbull;
    const unsigned char *p = data;
    uint64_t h = seed ^ mix(seed ^ k0, k1 ^ (uint64_t)n);
    unsigned char tail[16] = {0};

    for (; n > 16; n -= 16, p += 16)
        h = mix(load_le64(p) ^ k1, load_le64(p + 8) ^ h);
    if (n)
        memcpy(tail, p, n);
    h = mix(load_le64(tail) ^ k1, load_le64(tail + 8) ^ h);
    return mix(h ^ k0, k1);
}

void hash_random(void *p, size_t n)
{
    char *to = p;

    while (n) {
        ssize_t got = getrandom(to, n, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            base_die("no random bytes from the kernel: %s", strerror(errno));
        to += got;
        n -= (size_t)got;
    }
}

#include "agent/base/hash.h"

#include <errno.h>
#include <sys/random.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
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
__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t c0, const unsigned char *p,
                                                            size_t n)
{
    uint64_t c = c0;

    for (; n >= 8; n -= 8, p += 8) {
        uint64_t v;

        memcpy(&v, p, 8);
        c = _mm_crc32_u64(c, v);
    }
    for (; n; n--, p++)
        c = _mm_crc32_u8((uint32_t)c, *p);
    return (uint32_t)c;
}
#endif

uint32_t hash_crc32c(uint32_t crc, const void *p, size_t n)
{
#if defined(__x86_64__)
    if (LIKELY(__builtin_cpu_supports("sse4.2")))
        return ~crc_sse42(~crc, p, n);
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

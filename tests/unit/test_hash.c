/* CRC32C against RFC 3720's vectors and a bitwise definition, at all lengths and alignments where
 * its code takes another path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/hash.h"

static uint32_t bitwise(uint32_t crc, const unsigned char *p, size_t n)
{
    crc = ~crc;
    while (n--) {
        crc ^= *p++;
        for (int k = 0; k < 8; k++)
            crc = crc & 1 ? crc >> 1 ^ 0x82F63B78u : crc >> 1;
    }
    return ~crc;
}

static void test_vectors(void **state)
{
    unsigned char p[32];
    (void)state;

    assert_int_equal(hash_crc32c(0, "123456789", 9), 0xE3069283);
    /* RFC 3720, B.4 */
    memset(p, 0, sizeof p);
    assert_int_equal(hash_crc32c(0, p, sizeof p), 0x8A9136AA);
    memset(p, 0xff, sizeof p);
    assert_int_equal(hash_crc32c(0, p, sizeof p), 0x62A8AB43);
    for (size_t i = 0; i < sizeof p; i++)
        p[i] = (unsigned char)i;
    assert_int_equal(hash_crc32c(0, p, sizeof p), 0x46DD794E);
}

static void test_every_length(void **state)
{
    unsigned char *p = malloc(16000);
    uint32_t x = 1;
    (void)state;

    for (size_t i = 0; i < 16000; i++)
        p[i] = (unsigned char)((x = x * 1664525 + 1013904223) >> 24);
    for (size_t n = 0; n < 7000; n = n < 800 ? n + 1 : n + 61)
        for (size_t at = 0; at < 8; at += 3)
            assert_int_equal(hash_crc32c((uint32_t)n * 77, p + at, n),
                             bitwise((uint32_t)n * 77, p + at, n));
    assert_int_equal(hash_crc32c(0, p, 16000), bitwise(0, p, 16000));
    for (size_t cut = 0; cut <= 3000; cut += 7)
        assert_int_equal(hash_crc32c(hash_crc32c(0, p, cut), p + cut, 3000 - cut),
                         bitwise(0, p, 3000));
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_every_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

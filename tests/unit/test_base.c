#include "agent/base/hash.h"
#include "agent/base/strbuf.h"
#include "agent/base/tally.h"
#include "agent/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

/* RFC 3720, B.4, and the catalogue's check value for "123456789". */
static void crc32c_known_values(void **state)
{
    unsigned char zeros[32] = {0}, ones[32];

    (void)state;
    memset(ones, 0xff, sizeof ones);
    assert_int_equal(hash_crc32c(0, "123456789", 9), 0xE3069283);
    assert_int_equal(hash_crc32c(0, zeros, 32), 0x8A9136AA);
    assert_int_equal(hash_crc32c(0, ones, 32), 0x62A8AB43);
    assert_int_equal(hash_crc32c(hash_crc32c(0, "1234", 4), "56789", 5), 0xE3069283);
    assert_int_equal(hash_crc32c(0, "", 0), 0);
}

/* Bit by bit, from the definition (reflected polynomial 0x82F63B78). */
static uint32_t crc32c_by_definition(const unsigned char *p, size_t n)
{
    uint32_t c = ~0u;

    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? (c >> 1) ^ 0x82F63B78u : c >> 1;
    }
    return ~c;
}

static void crc32c_of_every_length(void **state)
{
    static unsigned char text[7000];

    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)(i * 167 + i / 251);
    for (size_t n = 0; n <= 700; n++)
        assert_int_equal(hash_crc32c(0, text + n % 8, n), crc32c_by_definition(text + n % 8, n));
    for (size_t n = 3000; n + 8 <= sizeof text; n += 61)
        assert_int_equal(hash_crc32c(0, text, n), crc32c_by_definition(text, n));
    for (size_t n = 0; n <= 500; n += 7)
        assert_int_equal(hash_crc32c(hash_crc32c(0, text, n), text + n, 500 - n),
                         crc32c_by_definition(text, 500));
}

static void hash_64_tells_lengths_and_bytes_apart(void **state)
{
    unsigned char a[64] = {0}, b[64] = {0};

    (void)state;
    for (size_t n = 1; n < sizeof a; n++)
        assert_true(hash_64(1, a, n) != hash_64(1, a, n - 1));
    for (size_t i = 0; i < sizeof b; i++) {
        b[i] = 1;
        assert_true(hash_64(1, a, sizeof a) != hash_64(1, b, sizeof b));
        b[i] = 0;
    }
    assert_true(hash_64(1, a, 10) != hash_64(2, a, 10));
}

static void utf8_table_3_7(void **state)
{
    static const struct {
        const char *text;
        size_t length;
    } cases[] = {
        {"a", 1},        {"\xc3\xa6", 2},         {"\xe2\x82\xac", 3},
        {"\x80", 0},     {"\xf0\x9f\x9a\x80", 4}, {"\xed\x9f\xbf", 3},
        {"\xc1\xbf", 0}, {"\xc0\x80", 0},         {"\xe0\x9f\xbf", 0},
        {"\xc3", 0},     {"\xf0\x8f\xbf\xbf", 0}, {"\xed\xa0\x80", 0},
        {"\xc3(", 0},    {"\xf4\x90\x80\x80", 0}, {"\xf5\x80\x80\x80", 0},
        {"", 0},         {"\xe2\x82", 0},         {"\xf0\x9f\x9a", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(utf8_length(cases[i].text, strlen(cases[i].text)), cases[i].length);
}

static void strbuf_json_is_rfc_8259(void **state)
{
    struct strbuf b = {0};

    (void)state;
    strbuf_add_json(&b, bytes_of("a\"\\\n\x01\xff\xc3\xa6\0z", 10));
    assert_string_equal(b.p, "\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa6\\u0000z\"");
    strbuf_fini(&b);
    strbuf_printf(&b, "%s-%d", "x", 7);
    assert_string_equal(b.p, "x-7");
    strbuf_fini(&b);
}

static struct tally *tally_of(const char *name)
{
    return tally_take(bytes_str(name));
}

static void test_tally(void **state)
{
    struct tally *a = tally_of("a"), *again = tally_of("a"), *b = tally_of("b");
    struct tally *many[600];
    struct tally_row rows[TALLY_TOP];
    char name[200];

    (void)state;
    assert_ptr_equal(a, again);
    assert_null(tally_of(""));
    tally_add(NULL, 1, 1);
    tally_put(NULL);
    assert_int_equal(tally_top(rows), 0); /* nothing was brought */
    tally_add(a, 2, 10);
    tally_add(again, 1, 5);
    tally_add(b, 4, 1);
    assert_int_equal(tally_top(rows), 2);
    assert_int_equal(rows[0].records, 4);
    assert_memory_equal(rows[0].name, "b", 1);
    assert_int_equal(rows[1].records, 3);
    assert_int_equal(rows[1].bytes, 15);
    tally_put(again);
    tally_put(a); /* nobody's any more, and kept */
    assert_int_equal(tally_top(rows), 2);
    for (unsigned i = 0; i < 600; i++) {
        snprintf(name, sizeof name, "%u-%0150d", i, 0); /* 128 bytes count */
        many[i] = tally_of(name);
        tally_add(many[i], 100 + i, 0);
    }
    assert_int_equal(tally_top(rows), TALLY_TOP);
    for (unsigned i = 0; i < TALLY_TOP; i++) {
        assert_int_equal(rows[i].records, 699 - i);
        assert_int_equal(rows[i].n, sizeof rows[i].name);
    }
    for (unsigned i = 600; i-- > 0;)
        tally_put(many[i]);
    assert_int_equal(tally_top(rows), TALLY_TOP);
    assert_true(rows[0].records < 699); /* some of nobody's are forgotten */
    tally_put(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_known_values),
        cmocka_unit_test(crc32c_of_every_length),
        cmocka_unit_test(hash_64_tells_lengths_and_bytes_apart),
        cmocka_unit_test(utf8_table_3_7),
        cmocka_unit_test(strbuf_json_is_rfc_8259),
        cmocka_unit_test(test_tally),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

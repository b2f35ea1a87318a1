#include "agent/inputs/gelf_inflate.h"

#include "agent/base/clock.h"
#include "agent/base/strbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#define MIB ((size_t)1 << 20)
#define GZIP 16

/* window: 8..15, + GZIP; level 0..9; dictionary may be NULL. The result is allocated. */
static struct bytes deflated(struct bytes plain, int window, int level, const char *dictionary)
{
    z_stream z = {0};
    size_t cap = plain.n + plain.n / 100 + 4096;
    char *to = base_alloc(cap);

    assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
    if (dictionary)
        deflateSetDictionary(&z, (const Bytef *)dictionary, (uInt)strlen(dictionary));
    z.next_in = (Bytef *)(uintptr_t)plain.p;
    z.avail_in = (uInt)plain.n;
    z.next_out = (Bytef *)to;
    z.avail_out = (uInt)cap;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return bytes_of(to, z.total_out);
}

static void detection(void **state)
{
    /* RFC 1950: the valid first pairs without a preset dictionary, computed from the standard. */
    static const unsigned char zlib_headers[][2] = {
        {0x78, 0x01}, {0x78, 0x5e}, {0x78, 0x9c}, {0x78, 0xda}, {0x68, 0x05}, {0x68, 0x43},
        {0x68, 0x81}, {0x68, 0xde}, {0x58, 0x09}, {0x58, 0x47}, {0x58, 0x85}, {0x58, 0xc3},
        {0x48, 0x0d}, {0x48, 0x4b}, {0x48, 0x89}, {0x48, 0xc7}, {0x38, 0x11}, {0x38, 0x4f},
        {0x38, 0x8d}, {0x38, 0xcb}, {0x28, 0x15}, {0x28, 0x53}, {0x28, 0x91}, {0x28, 0xcf},
        {0x18, 0x19}, {0x18, 0x57}, {0x18, 0x95}, {0x18, 0xd3}, {0x08, 0x1d}, {0x08, 0x5b},
        {0x08, 0x99}, {0x08, 0xd7}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(zlib_headers); i++)
        assert_true(gelf_inflate_is_compressed(bytes_of(zlib_headers[i], 2)));
    assert_true(gelf_inflate_is_compressed(bytes_of("\x1f\x8b", 2)));
    assert_false(gelf_inflate_is_compressed(bytes_of("\x1f", 1)));
    assert_false(gelf_inflate_is_compressed(bytes_of("x", 1)));
    assert_false(gelf_inflate_is_compressed(BYTES_NONE));
    assert_false(gelf_inflate_is_compressed(bytes_of("\x1f\x8c", 2)));
    assert_false(gelf_inflate_is_compressed(bytes_of("\x88\x1c", 2))); /* window of 64 KiB */
    assert_false(gelf_inflate_is_compressed(bytes_of("\x78\x02", 2)));
    for (const char *first = "{[\t\n\r \x1e"; *first; first++)
        for (int second = 0; second < 256; second++)
            assert_false(gelf_inflate_is_compressed(bytes_of((char[]){*first, (char)second}, 2)));
}

static void formats(void **state)
{
    struct gelf_inflater *f = gelf_inflater_create(MIB);
    struct strbuf text = {0};

    (void)state;
    for (int i = 0; text.n < 40000; i++)
        strbuf_printf(&text, "{\"short_message\":\"line %d\"}", i * 7919);
    for (int window = 9; window <= 15; window++) {
        for (int gzip = 0; gzip <= GZIP; gzip += GZIP) {
            for (int level = 0; level <= 9; level += 3) {
                struct bytes z = deflated(strbuf_bytes(&text), window + gzip, level, NULL), out;

                assert_true(gelf_inflate_is_compressed(z));
                assert_true(gelf_inflate(f, z, 0, &out));
                assert_int_equal(out.n, text.n);
                assert_memory_equal(out.p, text.p, out.n);
                free((void *)(uintptr_t)z.p);
            }
        }
    }
    strbuf_fini(&text);
    gelf_inflater_free(f);
}

/* Every cut, every flipped bit that changes the result, anything behind the end: refused; and the
 * next message is not harmed. */
static void damage(void **state)
{
    struct gelf_inflater *f = gelf_inflater_create(MIB);
    struct bytes plain =
        BYTES_LITERAL("{\"version\":\"1.1\",\"host\":\"h\",\"short_message\":\"s\"}");

    (void)state;
    for (int gzip = 0; gzip <= GZIP; gzip += GZIP) {
        struct bytes z = deflated(plain, 15 + gzip, 6, NULL), out;
        char room[400];
        int harmless = 0;

        for (size_t n = 2; n < z.n; n++)
            assert_false(gelf_inflate(f, bytes_of(z.p, n), 0, &out));
        for (size_t bit = 0; bit < z.n * 8; bit++) {
            memcpy(room, z.p, z.n);
            room[bit / 8] = (char)(room[bit / 8] ^ (1 << bit % 8));
            if (!gelf_inflate(f, bytes_of(room, z.n), 0, &out))
                continue;
            /* A bit that means nothing: gzip's time and system, the padding behind the last block.
             */
            assert_int_equal(out.n, plain.n);
            assert_memory_equal(out.p, plain.p, plain.n);
            harmless++;
        }
        assert_true(harmless < 100);
        memcpy(room, z.p, z.n);
        room[z.n] = '\0';
        assert_false(gelf_inflate(f, bytes_of(room, z.n + 1), 0, &out));
        memcpy(room + z.n, z.p, z.n);
        assert_false(gelf_inflate(f, bytes_of(room, 2 * z.n), 0, &out)); /* two members */
        assert_true(gelf_inflate(f, z, 0, &out));
        assert_memory_equal(out.p, plain.p, plain.n);
        free((void *)(uintptr_t)z.p);
    }
    gelf_inflater_free(f);
}

static void preset_dictionary(void **state)
{
    struct gelf_inflater *f = gelf_inflater_create(MIB);
    struct bytes z = deflated(BYTES_LITERAL("{\"short_message\":\"s\"}"), 15, 6, "short_message");
    struct bytes out;

    (void)state;
    assert_false(gelf_inflate(f, z, 0, &out));
    free((void *)(uintptr_t)z.p);
    gelf_inflater_free(f);
}

/* A gzip header with an extra field and a name of 60 KB (RFC 1952, 2.3): skipped. */
static void long_gzip_header(void **state)
{
    struct gelf_inflater *f = gelf_inflater_create(MIB);
    struct bytes z = deflated(BYTES_LITERAL("{}"), 15 + GZIP, 6, NULL), out;
    struct strbuf b = {0};

    (void)state;
    strbuf_add(&b, "\x1f\x8b\x08\x0c\0\0\0\0\0\x03", 10);
    strbuf_add(&b, "\x60\xea", 2); /* 60,000 */
    for (int i = 0; i < 60000; i++)
        strbuf_add_char(&b, 'e');
    for (int i = 0; i < 60000; i++)
        strbuf_add_char(&b, 'n');
    strbuf_add_char(&b, '\0');
    strbuf_add(&b, z.p + 10, z.n - 10);
    assert_true(gelf_inflate(f, strbuf_bytes(&b), 0, &out));
    assert_int_equal(out.n, 2);
    strbuf_fini(&b);
    free((void *)(uintptr_t)z.p);
    gelf_inflater_free(f);
}

static struct bytes zeros(size_t n)
{
    char *p = base_calloc(1, n);
    struct bytes z = deflated(bytes_of(p, n), 15 + GZIP, 9, NULL);

    free(p);
    return z;
}

static void size_cap(void **state)
{
    struct gelf_inflater *f = gelf_inflater_create(8 * MIB);
    struct bytes fits = zeros(8 * MIB), larger = zeros(8 * MIB + 1), bomb = zeros(64 * MIB), out;

    (void)state;
    assert_true(bomb.n < 70000);
    assert_true(gelf_inflate(f, fits, 0, &out));
    assert_int_equal(out.n, 8 * MIB);
    assert_false(gelf_inflate(f, larger, 4000, &out));
    assert_false(gelf_inflate(f, bomb, 8000, &out));
    assert_true(gelf_inflate(f, fits, 12000, &out));
    free((void *)(uintptr_t)fits.p);
    free((void *)(uintptr_t)larger.p);
    free((void *)(uintptr_t)bomb.p);
    gelf_inflater_free(f);
}

/* Bombs at 150 kB/s for ten seconds of virtual time: the first may be as compressible as it likes,
 * then the budget of 16 MiB (and 4 a second) ends; ordinary messages are not touched by it, and two
 * seconds after the last bomb large ones pass again. */
static void bombs_have_a_budget(void **state)
{
    struct gelf_inflater *f = gelf_inflater_create(8 * MIB);
    struct bytes bomb = zeros(8 * MIB), out;
    struct bytes plain =
        BYTES_LITERAL("{\"version\":\"1.1\",\"host\":\"h\",\"short_message\":\"s\"}");
    struct bytes ordinary = deflated(plain, 15 + GZIP, 6, NULL);
    uint64_t now = 0, whole = 0, bombs = 0, began = clock_mono_ns();

    (void)state;
    assert_true(gelf_inflate(f, bomb, now, &out));
    assert_int_equal(out.n, 8 * MIB);
    for (; now < 10000; now += bomb.n * 1000 / 150000) {
        bombs++;
        whole += gelf_inflate(f, bomb, now, &out);
        assert_true(gelf_inflate(f, ordinary, now, &out));
        assert_int_equal(out.n, plain.n);
    }
    assert_true(bombs > 100);
    assert_true(whole < 5);
    assert_true(gelf_inflate(f, bomb, now + 2000, &out));
    print_message("ten seconds of bombs at 150 kB/s took %llu us\n",
                  (unsigned long long)(clock_mono_ns() - began) / 1000);
    free((void *)(uintptr_t)bomb.p);
    free((void *)(uintptr_t)ordinary.p);
    gelf_inflater_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(detection),
        cmocka_unit_test(formats),
        cmocka_unit_test(damage),
        cmocka_unit_test(preset_dictionary),
        cmocka_unit_test(long_gzip_header),
        cmocka_unit_test(size_cap),
        cmocka_unit_test(bombs_have_a_budget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

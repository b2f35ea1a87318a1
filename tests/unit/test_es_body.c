/* es_body, es_batch and output_id: bytes of a request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "outputs/elasticsearch/es_batch.h"
#include "outputs/elasticsearch/es_body.h"
#include "outputs/output.h"

#include <stdio.h>
#include <stdlib.h>

/* Pairs made with Python: base64 of the bytes, its alphabet translated to -0-9A-Z_a-z. */
static const struct {
    uint8_t id[BUFFER_ID_BYTES];
    const char *text;
} ids[] = {
    {{0}, "------------------------"},
    {{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255},
     "zzzzzzzzzzzzzzzzzzzzzzzz"},
    {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}, "--31-kF40VR71FcA2-oD2l-G"},
    {{0, 16, 131, 16, 81, 135, 32, 146, 139, 48, 211, 143, 65, 20, 147, 81, 85, 151},
     "-0123456789ABCDEFGHIJKLM"},
};

static void test_ids(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        char text[OUTPUT_ID_CHARS];
        uint8_t back[BUFFER_ID_BYTES];

        output_id_text(ids[i].id, text);
        assert_memory_equal(text, ids[i].text, OUTPUT_ID_CHARS);
        assert_true(output_id_parse(bytes_of(text, sizeof text), back));
        assert_memory_equal(back, ids[i].id, sizeof back);
    }
    assert_false(output_id_parse(BYTES_LITERAL("-----------------------"), (uint8_t[18]){0}));
    assert_false(output_id_parse(BYTES_LITERAL("-------------------------"), (uint8_t[18]){0}));
    assert_false(output_id_parse(BYTES_LITERAL("-----------------------+"), (uint8_t[18]){0}));
    assert_false(output_id_parse(BYTES_LITERAL("-----------------------\0"), (uint8_t[18]){0}));
}

/* Sorted as text as they are as bytes. */
static void test_ids_sort(void **state)
{
    uint8_t before[BUFFER_ID_BYTES] = {0};
    char text_before[OUTPUT_ID_CHARS];

    (void)state;
    output_id_text(before, text_before);
    for (unsigned i = 1; i < 1u << 16; i++) {
        uint8_t id[BUFFER_ID_BYTES] = {0};
        char text[OUTPUT_ID_CHARS];

        id[4] = (uint8_t)(i >> 8);
        id[5] = (uint8_t)i;
        output_id_text(id, text);
        assert_true(memcmp(text_before, text, sizeof text) < 0);
        memcpy(text_before, text, sizeof text);
    }
}

static struct buffer_record record(const char *index, const char *document)
{
    struct buffer_record r = {.index = bytes_str(index), .document = bytes_str(document)};

    return r;
}

static const char wanted[] =
    "{\"create\":{\"_index\":\"a-1\",\"_id\":\"------------------------\"}}\n{\"a\":1}\n"
    "{\"create\":{\"_index\":\"x\\\"}}\\n{\\u0001\",\"_id\":\"------------------------\"}}\n{}\n"
    "{\"create\":{\"_index\":\"a-1\",\"_id\":\"------------------------\"}}\n{\"b\":[2]}\n";

static void fill(struct es_body *b)
{
    struct buffer_record r[] = {record("a-1", "{\"a\":1}"), record("x\"}}\n{\001", "{}"),
                                record("a-1", "{\"c\":3}")};

    es_body_add(b, &r[0], es_body_prefix(b, r[0].index));
    es_body_add(b, &r[1], es_body_prefix(b, r[1].index));
    es_body_add_edited(b, &r[2], es_body_prefix(b, r[2].index), BYTES_LITERAL("{\"b\":[2]}"));
}

/* Whatever room there is each time, the bytes are the same; and an index name can never become an
 * action. */
static void test_body(void **state)
{
    struct es_body *b = es_body_create(1024);

    (void)state;
    for (size_t room = 1; room < 4096; room = room * 2 + 1) {
        struct strbuf got = {0};
        size_t n;

        es_body_clear(b);
        fill(b);
        assert_int_equal(b->total, sizeof wanted - 1);
        for (int twice = 0; twice < 2; twice++) {
            strbuf_clear(&got);
            es_body_rewind(b);
            while ((n = es_body_read(b, strbuf_room(&got, room), room)) > 0)
                got.n += n;
            assert_int_equal(got.n, sizeof wanted - 1);
            assert_memory_equal(got.p, wanted, got.n);
        }
        strbuf_fini(&got);
    }
    es_body_free(b);
}

static void test_deflate(void **state)
{
    struct es_body *b = es_body_create(1024);
    struct strbuf packed = {0};
    char plain[sizeof wanted];
    z_stream z = {0}, back = {0};

    (void)state;
    assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    for (int i = 0; i < 2; i++) {
        strbuf_clear(&packed);
        es_body_clear(b);
        fill(b);
        es_body_deflate(b, &z, &packed);
        memset(&back, 0, sizeof back);
        assert_int_equal(inflateInit2(&back, 15 + 16), Z_OK);
        back.next_in = (Bytef *)packed.p;
        back.avail_in = (uInt)packed.n;
        back.next_out = (Bytef *)plain;
        back.avail_out = sizeof plain;
        assert_int_equal(inflate(&back, Z_FINISH), Z_STREAM_END);
        assert_int_equal(back.total_out, sizeof wanted - 1);
        assert_memory_equal(plain, wanted, sizeof wanted - 1);
        inflateEnd(&back);
    }
    deflateEnd(&z);
    strbuf_fini(&packed);
    es_body_free(b);
}

/* More index names than slots: names never mix. */
static void test_many_indices(void **state)
{
    struct es_body *b = es_body_create(16);
    struct strbuf got = {0}, want = {0};

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        char name[32];
        struct buffer_record r;

        snprintf(name, sizeof name, "index-%u", i * 7919 % 300);
        r = record(name, "{}");
        es_body_add(b, &r, es_body_prefix(b, r.index));
        strbuf_printf(&want,
                      "{\"create\":{\"_index\":\"%s\",\"_id\":\"------------------------\"}}\n{}\n",
                      name);
    }
    got.n = es_body_read(b, strbuf_room(&got, want.n + 5000), want.n + 5000);
    assert_int_equal(got.n, want.n);
    assert_memory_equal(got.p, want.p, want.n);
    strbuf_fini(&got);
    strbuf_fini(&want);
    es_body_free(b);
}

static void test_split(void **state)
{
    struct es_batch *b = es_batch_create(), *tail;

    (void)state;
    for (uint64_t i = 0; i < 10; i++) {
        struct buffer_record r = record(i % 2 ? "odd" : "even", "{}");

        r.seq = i;
        r.at = (struct buffer_point){3, 100 * i};
        es_batch_add(b, &r, es_batch_name(b, r.index));
    }
    b->hangs = 2;
    tail = es_batch_split(b, 3);
    assert_int_equal(b->n, 3);
    assert_int_equal(tail->n, 7);
    assert_int_equal(tail->hangs, 2);
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(tail->refs[i].seq, i + 3);
        assert_int_equal(tail->refs[i].at.offset, 100 * (i + 3));
        assert_true(bytes_is(es_batch_index(tail, &tail->refs[i]), i % 2 ? "even" : "odd"));
        assert_int_equal(es_batch_text(tail, &tail->refs[i]).n, 0);
    }
    es_batch_free(b);
    es_batch_free(tail);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),          cmocka_unit_test(test_ids_sort),
        cmocka_unit_test(test_body),         cmocka_unit_test(test_deflate),
        cmocka_unit_test(test_many_indices), cmocka_unit_test(test_split),
    };

    return cmocka_run_group_tests_name("es_body", tests, NULL, NULL);
}

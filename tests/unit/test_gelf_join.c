#include "agent/inputs/gelf_join.h"

#include "agent/base/hash.h"
#include "agent/base/strbuf.h"
#include "tests/unit/gelf_corpus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* What was emitted, in order. */
struct seen {
    struct {
        struct strbuf message, text;
        unsigned pieces;
        uint32_t hash;
        uint8_t flags;
        int64_t arrival_ns;
    } line[400];
    unsigned n;
};

static void on_line(void *arg, const struct gelf_joined *line)
{
    struct seen *s = arg;

    assert_true(s->n < ARRAY_LEN(s->line));
    strbuf_add_bytes(&s->line[s->n].message, line->message);
    strbuf_add_bytes(&s->line[s->n].text, line->text);
    s->line[s->n].pieces = line->pieces;
    s->line[s->n].hash = line->hash;
    s->line[s->n].flags = line->text_flags;
    s->line[s->n].arrival_ns = line->arrival_ns;
    s->n++;
}

static void forget(struct seen *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        strbuf_fini(&s->line[i].message);
        strbuf_fini(&s->line[i].text);
    }
    s->n = 0;
}

static char xs[40000];

static struct gelf_piece piece(const char *id, int level, const char *timestamp, size_t n)
{
    memset(xs, 'x', sizeof xs);
    return (struct gelf_piece){.container_id = bytes_str(id),
                               .level = level,
                               .timestamp = bytes_str(timestamp),
                               .message = bytes_str("{the whole message}"),
                               .text = bytes_of(xs, n),
                               .arrival_ns = 42};
}

static bool add(struct gelf_joins *j, struct gelf_piece p, uint64_t now)
{
    return gelf_joins_add(j, &p, now);
}

static void three_pieces(void **state)
{
    struct seen s = {.n = 0};
    struct gelf_joins *j = gelf_joins_create(1 << 20, 1 << 20, on_line, &s);
    struct gelf_piece first = piece("a", 6, "1.5", 16384), last = piece("a", 6, "1.5", 3);
    uint32_t hash;

    (void)state;
    first.text_flags = 2;
    last.text = bytes_str("end");
    last.arrival_ns = 43;
    assert_int_equal(gelf_joins_next_ms(j), UINT64_MAX);
    assert_true(add(j, first, 100));
    assert_int_equal(gelf_joins_next_ms(j), 1100);
    assert_true(add(j, piece("a", 6, "1.5", 16384), 200));
    assert_int_equal(s.n, 0);
    assert_true(add(j, last, 300));
    assert_int_equal(s.n, 1);
    assert_int_equal(s.line[0].pieces, 3);
    assert_int_equal(s.line[0].text.n, 32771);
    assert_memory_equal(s.line[0].text.p + 32765, "xxxend", 6);
    assert_string_equal(s.line[0].message.p, "{the whole message}");
    assert_int_equal(s.line[0].flags, 2);
    assert_int_equal(s.line[0].arrival_ns, 42);
    hash = hash_crc32c(0, first.message.p, first.message.n);
    hash = hash_crc32c(hash, xs, 16384);
    assert_int_equal(s.line[0].hash, hash_crc32c(hash, "end", 3));
    assert_int_equal(gelf_joins_next_ms(j), UINT64_MAX);
    forget(&s);
    gelf_joins_free(j);
}

/* Another container, level or timestamp, and a piece too short for Docker's cut: not joined. */
static void what_is_not_joined(void **state)
{
    struct seen s = {.n = 0};
    struct gelf_joins *j = gelf_joins_create(1 << 20, 1 << 20, on_line, &s);

    (void)state;
    assert_false(add(j, piece("a", 6, "1.5", 16383), 0));
    assert_true(add(j, piece("a", 6, "1.5", 16384), 0));
    assert_false(add(j, piece("b", 6, "1.5", 10), 0));
    assert_false(add(j, piece("a", 3, "1.5", 10), 0));
    assert_int_equal(s.n, 0); /* they come between, and end nothing */
    assert_false(add(j, piece("a", 6, "1.50", 10), 0));
    assert_int_equal(s.n, 1); /* another line of the same stream does, and goes behind it */
    assert_int_equal(s.line[0].pieces, 1);
    assert_false(add(j, piece("a", 6, "1.5", 10), 0));
    forget(&s);
    gelf_joins_free(j);
}

/* 16,384 counts decoded bytes: escapes make a text longer than it is. */
static void decoded_bytes_count(void **state)
{
    struct seen s = {.n = 0};
    struct gelf_joins *j = gelf_joins_create(1 << 20, 1 << 20, on_line, &s);
    struct gelf_piece p = piece("a", 6, "1.5", 16384 + 1);

    (void)state;
    memcpy(xs + 100, "\\u00e9", 6); /* two bytes in six characters: 16,381 are left */
    assert_false(add(j, p, 0));
    p.text.n = 16384 + 4;
    assert_true(add(j, p, 0));
    gelf_joins_flush(j);
    assert_int_equal(s.n, 1);
    forget(&s);
    gelf_joins_free(j);
}

static void complete_json_waits_for_nothing(void **state)
{
    struct seen s = {.n = 0};
    struct gelf_joins *j = gelf_joins_create(1 << 20, 1 << 20, on_line, &s);
    struct gelf_piece p = piece("a", 6, "1.5", 20000);

    (void)state;
    memcpy(xs, "{\\\"k\\\":\\\"", 9);
    memcpy(xs + 20000 - 3, "\\\"}", 3);
    assert_false(add(j, p, 0));
    xs[20000 - 2] = 'x'; /* the string does not end */
    memcpy(xs + 20000 - 3, "xx}", 3);
    assert_true(add(j, p, 0));
    forget(&s);
    gelf_joins_free(j);

    /* A line of JSON that ends with its second piece is not kept for a third. */
    j = gelf_joins_create(1 << 20, 1 << 20, on_line, &s);
    p = piece("a", 6, "1.5", 16384 + 6);
    memcpy(xs, "{\\\"k\\\":\\\"", 9);
    assert_true(add(j, p, 0));
    p = piece("a", 6, "1.5", 16384 + 6);
    memcpy(xs + p.text.n - 3, "\\\"}", 3);
    assert_true(add(j, p, 0));
    assert_int_equal(s.n, 1);
    assert_int_equal(s.line[0].pieces, 2);
    forget(&s);
    gelf_joins_free(j);
}

static void one_second(void **state)
{
    struct seen s = {.n = 0};
    struct gelf_joins *j = gelf_joins_create(1 << 20, 1 << 20, on_line, &s);

    (void)state;
    assert_true(add(j, piece("a", 6, "1.5", 16384), 100));
    assert_true(add(j, piece("b", 6, "1.5", 16384), 500));
    assert_true(add(j, piece("a", 6, "1.5", 16384), 600));
    assert_int_equal(gelf_joins_next_ms(j), 1500);
    gelf_joins_expire(j, 1499);
    assert_int_equal(s.n, 0);
    gelf_joins_expire(j, 1500);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.line[0].pieces, 1);
    /* Too late, though nobody called expire. */
    assert_false(add(j, piece("a", 6, "1.5", 5), 1600));
    assert_int_equal(s.n, 2);
    assert_int_equal(s.line[1].pieces, 2);
    forget(&s);
    gelf_joins_free(j);
}

static void ceilings(void **state)
{
    struct seen s = {.n = 0};
    struct gelf_joins *j = gelf_joins_create(1 << 20, 50000, on_line, &s);

    (void)state;
    /* A line beyond max_text goes in parts, nothing of it is lost. */
    for (int i = 0; i < 6; i++)
        assert_true(add(j, piece("a", 6, "1.5", 16384), 0));
    gelf_joins_flush(j);
    assert_int_equal(s.n, 2);
    assert_int_equal(s.line[0].pieces, 3);
    assert_int_equal(s.line[1].pieces, 3);
    forget(&s);
    /* Many containers: the one that waits longest goes first. */
    for (int i = 0; i < 300; i++) {
        char id[20];

        snprintf(id, sizeof id, "c%d", i);
        assert_true(add(j, piece(id, 6, "1.5", 16384), 0));
    }
    assert_true(s.n >= 300 - (1 << 20) / 16384 && s.n < 300);
    gelf_joins_flush(j);
    assert_int_equal(s.n, 300);
    forget(&s);
    gelf_joins_free(j);

    j = gelf_joins_create(1 << 30, 50000, on_line, &s);
    for (int i = 0; i < 300; i++) {
        char id[20];

        snprintf(id, sizeof id, "c%d", i);
        assert_true(add(j, piece(id, 6, "1.5", 16384), 0));
    }
    assert_int_equal(s.n, 300 - 256);
    forget(&s);
    gelf_joins_free(j);
}

/* The messages of Docker's driver as it sent them. The texts joined must be the lines that the
 * container wrote, of which those of exactly 16,384 bytes cannot be told from cut ones: where the
 * next line has the same millisecond, they are one. */
static void check_case(const char *name, const char *written, const char *const glued_to_next[])
{
    char path[200];
    struct corpus_capture c;
    struct strbuf input, line = {0};
    struct seen s = {.n = 0};
    struct gelf_joins *j = gelf_joins_create(8 << 20, 8 << 20, on_line, &s);
    unsigned n = 0;

    snprintf(path, sizeof path, CORPUS "docker26/gelf/udp/%s", name);
    corpus_load(&c, path);
    for (size_t i = 0; i < c.n_decoded; i++) {
        yajl_val m = corpus_member(c.decoded[i], "msg");
        const char *text = YAJL_GET_STRING(corpus_member(m, "short_message"));
        struct strbuf escaped = {0};
        struct gelf_piece p = {
            .container_id = bytes_str(YAJL_GET_STRING(corpus_member(m, "_container_id"))),
            .level = (int)YAJL_GET_INTEGER(corpus_member(m, "level")),
            .timestamp = bytes_str(YAJL_GET_NUMBER(corpus_member(m, "timestamp"))),
            .message = BYTES_LITERAL("{}")};

        strbuf_add_json(&escaped, bytes_str(text));
        p.text = bytes_of(escaped.p + 1, escaped.n - 2);
        if (!gelf_joins_add(j, &p, 0))
            on_line(&s, &(struct gelf_joined){.message = p.message, .text = p.text, .pieces = 1});
        strbuf_fini(&escaped);
    }
    gelf_joins_flush(j);

    snprintf(path, sizeof path, CORPUS "inputs/%s", written);
    input = corpus_file(path);
    for (char *p = input.p, *end; p < input.p + input.n; p = end + 1) {
        struct strbuf escaped = {0};
        bool glued = false;

        end = memchr(p, '\n', (size_t)(input.p + input.n - p));
        if (!end)
            end = input.p + input.n;
        strbuf_add(&line, p, (size_t)(end - p));
        for (size_t k = 0; glued_to_next[k]; k++)
            glued |= bytes_starts_with(bytes_of(p, (size_t)(end - p)), bytes_str(glued_to_next[k]));
        if (glued)
            continue;
        strbuf_add_json(&escaped, strbuf_bytes(&line));
        assert_true(n < s.n);
        if (escaped.n - 2 != s.line[n].text.n ||
            memcmp(escaped.p + 1, s.line[n].text.p, escaped.n - 2) != 0)
            fail_msg("%s: line %u is not the one that was written", name, n);
        strbuf_fini(&escaped);
        strbuf_clear(&line);
        n++;
    }
    assert_int_equal(n, s.n);
    strbuf_fini(&line);
    strbuf_fini(&input);
    forget(&s);
    gelf_joins_free(j);
    corpus_unload(&c);
}

static void real_pieces(void **state)
{
    static const char *const none[] = {NULL}, *const exact[] = {"LEN0016384:", NULL};

    (void)state;
    check_case("rnd_40000-none", "rnd_40000.bin", none);
    check_case("rnd_40000-gzip", "rnd_40000.bin", none);
    check_case("long_json", "long_json.bin", none);
    check_case("java", "java.bin", none);
    check_case("long", "long.bin", exact);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_pieces),        cmocka_unit_test(what_is_not_joined),
        cmocka_unit_test(decoded_bytes_count), cmocka_unit_test(complete_json_waits_for_nothing),
        cmocka_unit_test(one_second),          cmocka_unit_test(ceilings),
        cmocka_unit_test(real_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

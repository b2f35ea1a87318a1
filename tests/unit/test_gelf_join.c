#include "agent/inputs/gelf_join.h"

#include "agent/base/hash.h"
#include "agent/base/strbuf.h"
#include "parsers/json.h"
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

/* Docker cuts after 16,384 bytes as the container wrote them. Escapes make a text longer than that,
 * and so do bytes that were no UTF-8: each comes as U+FFFD. Any other length is a whole line. */
static void exactly_16384_bytes(void **state)
{
    static const struct {
        const char *what;
        unsigned times; /* at the beginning; each stands for one written byte, but for é */
        size_t decoded; /* of the whole text */
        bool cut;
    } c[] = {
        {"", 0, 16384, true},
        {"", 0, 16383, false},
        {"", 0, 16385, false},
        {"", 0, 20000, false},
        {"\\n", 5, 16384, true},
        {"\\\"", 5, 16385, false},
        {"\\u00e9", 3, 16384, true},
        {"\\u00e9", 3, 16383, false},
        {"\\ufffd", 1, 16386, true},
        {"\\ufffd", 1, 16385, false},
        {"\\ufffd", 1, 16388, false},
        {"\\uFFFD", 3, 16390, true},
        {"\\ufffd", 3, 16392, false},
        {"\xef\xbf\xbd", 2, 16388, true},
        {"\xef\xbf\xbd", 2, 16384, true}, /* they may have been written as they stand */
        {"\\\\ufffd", 2, 16386, false},   /* a backslash and letters */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        struct seen s = {.n = 0};
        struct gelf_joins *j = gelf_joins_create(1 << 20, 1 << 20, on_line, &s);
        struct gelf_piece p = piece("a", 6, "1.5", sizeof xs);
        size_t n = strlen(c[i].what), at = 0, decoded = 0;

        for (unsigned k = 0; k < c[i].times; k++, at += n)
            memcpy(xs + at, c[i].what, n);
        if (c[i].times)
            decoded = json_unescaped_length(bytes_of(xs, at));
        p.text.n = at + c[i].decoded - decoded;
        if (add(j, p, 0) != c[i].cut)
            fail_msg("%u of %s, %zu bytes", c[i].times, c[i].what, c[i].decoded);
        gelf_joins_flush(j);
        assert_int_equal(s.n, c[i].cut);
        forget(&s);
        gelf_joins_free(j);
    }
}

/* A line that ends as those of a terminal do is whole. */
static void a_return_ends_a_line(void **state)
{
    static const char *const ends[] = {"x\\r", "xx\r", "\\\\\\r"}, *const other[] = {"xxr", "\\\\r",
                                                                                     "\\rx"};

    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_LEN(ends); i++) {
        const char *end = i < ARRAY_LEN(ends) ? ends[i] : other[i - ARRAY_LEN(ends)];
        struct seen s = {.n = 0};
        struct gelf_joins *j = gelf_joins_create(1 << 20, 1 << 20, on_line, &s);
        struct gelf_piece p = piece("a", 6, "1.5", 16384);

        p.text.n += strlen(end) - json_unescaped_length(bytes_str(end));
        memcpy(xs + p.text.n - strlen(end), end, strlen(end));
        assert_int_equal(json_unescaped_length(p.text), 16384);
        assert_int_equal(add(j, p, 0), i >= ARRAY_LEN(ends));
        gelf_joins_flush(j);
        forget(&s);
        gelf_joins_free(j);
    }
}

/* Behind a text of 16,384 bytes, in the same millisecond: a line of its own, where that can be
 * told. */
static void what_does_not_follow(void **state)
{
    struct seen s = {.n = 0};
    struct gelf_joins *j = gelf_joins_create(1 << 20, 1 << 20, on_line, &s);
    struct gelf_piece json = piece("a", 6, "1.5", 0), rest = json;

    (void)state;
    json.text = bytes_str("{\\\"msg\\\":\\\"next\\\"}");
    assert_true(add(j, piece("a", 6, "1.5", 16384), 0));
    assert_false(add(j, json, 0));
    assert_int_equal(s.n, 1);
    assert_int_equal(s.line[0].pieces, 1);
    /* the rest of an object is none by itself */
    rest.text = bytes_str("{\\\"msg\\\":\\\"next\\\"}}");
    assert_true(add(j, piece("a", 6, "1.5", 16384), 0));
    assert_true(add(j, rest, 0));
    assert_int_equal(s.n, 2);
    assert_int_equal(s.line[1].pieces, 2);
    /* an engine that does not cut sends longer ones */
    assert_true(add(j, piece("a", 6, "1.5", 16384), 0));
    assert_false(add(j, piece("a", 6, "1.5", 16385), 0));
    assert_int_equal(s.n, 3);
    assert_int_equal(s.line[2].pieces, 1);
    forget(&s);
    gelf_joins_free(j);
}

static void complete_json_waits_for_nothing(void **state)
{
    struct seen s = {.n = 0};
    struct gelf_joins *j = gelf_joins_create(1 << 20, 1 << 20, on_line, &s);
    struct gelf_piece p = piece("a", 6, "1.5", 16384 + 4); /* four backslashes */

    (void)state;
    memcpy(xs, "{\\\"k\\\":\\\"", 9);
    memcpy(xs + p.text.n - 3, "\\\"}", 3);
    assert_false(add(j, p, 0));
    p.text.n--;
    memcpy(xs + p.text.n - 2, "x}", 2); /* the string does not end */
    assert_true(add(j, p, 0));
    forget(&s);
    gelf_joins_free(j);

    /* A line of JSON that ends with its second piece is not kept for a third. */
    j = gelf_joins_create(1 << 20, 1 << 20, on_line, &s);
    p = piece("a", 6, "1.5", 16384 + 3);
    memcpy(xs, "{\\\"k\\\":\\\"", 9);
    assert_true(add(j, p, 0));
    p = piece("a", 6, "1.5", 16384 + 1);
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
    input = files_read(path);
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
        cmocka_unit_test(three_pieces),         cmocka_unit_test(what_is_not_joined),
        cmocka_unit_test(exactly_16384_bytes),  cmocka_unit_test(a_return_ends_a_line),
        cmocka_unit_test(what_does_not_follow), cmocka_unit_test(complete_json_waits_for_nothing),
        cmocka_unit_test(one_second),           cmocka_unit_test(ceilings),
        cmocka_unit_test(real_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

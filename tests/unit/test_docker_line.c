#include "parsers/docker_line.h"

#include "parsers/json.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* A copy with nothing behind it, for the sanitizer. */
static char *copy;

static struct bytes exactly(const void *p, size_t n)
{
    free(copy);
    copy = malloc(n ? n : 1);
    memcpy(copy, p, n);
    return bytes_of(copy, n);
}

static bool parse(const char *line, struct docker_line *out)
{
    return docker_line_parse(exactly(line, strlen(line)), out);
}

static void assert_bytes(struct bytes b, const char *expected)
{
    if (!bytes_is(b, expected))
        fail_msg("got %.*s instead of %s", (int)b.n, b.p, expected);
}

#define TIME "2026-11-23T03:56:03.91710283Z"
#define REST "\"stream\":\"stdout\",\"time\":\"" TIME "\"}"

static void test_lines(void **state)
{
    static const struct {
        const char *line, *log, *attrs, *time;
        uint8_t stream, log_flags;
        bool ends_line;
    } cases[] = {
        /* Docker's own. */
        {"{\"log\":\"text\\n\"," REST, "text", "", TIME, STREAM_STDOUT, 0, true},
        {"{\"log\":\"text\"," REST, "text", "", TIME, STREAM_STDOUT, 0, false},
        {"{\"log\":\"\\n\"," REST, "", "", TIME, STREAM_STDOUT, 0, true},
        {"{\"log\":\"\"," REST, "", "", TIME, STREAM_STDOUT, 0, false},
        {"{\"log\":\"end\\r\\n\"," REST, "end\\r", "", TIME, STREAM_STDOUT, JSON_VALUE_ESCAPED,
         true},
        {"{\"log\":\"x\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-23T03:56:03Z\"}", "x", "",
         "2026-11-23T03:56:03Z", STREAM_STDERR, 0, true},
        {"{\"log\":\"x\\n\",\"stream\":\"stdout\",\"attrs\":{\"tag\":\"a}\\\"\",\"k\":\"v\"},"
         "\"time\":\"" TIME "\"}",
         "x", "{\"tag\":\"a}\\\"\",\"k\":\"v\"}", TIME, STREAM_STDOUT, 0, true},
        {"{\"log\":\"{\\\"a\\\":\\\"b\\\\n\\\"}\\n\"," REST, "{\\\"a\\\":\\\"b\\\\n\\\"}", "", TIME,
         STREAM_STDOUT, JSON_VALUE_ESCAPED, true},
        /* Whose last n is not escaped, and whose is. */
        {"{\"log\":\"c:\\\\n\"," REST, "c:\\\\n", "", TIME, STREAM_STDOUT, JSON_VALUE_ESCAPED,
         false},
        {"{\"log\":\"c:\\\\\\n\"," REST, "c:\\\\", "", TIME, STREAM_STDOUT, JSON_VALUE_ESCAPED,
         true},
        {"{\"log\":\"n\"," REST, "n", "", TIME, STREAM_STDOUT, 0, false},
        /* Text that looks like the rest of a line. */
        {"{\"log\":\"\\\",\\\"stream\\\":\\\"stderr\\\"\\n\"," REST,
         "\\\",\\\"stream\\\":\\\"stderr\\\"", "", TIME, STREAM_STDOUT, JSON_VALUE_ESCAPED, true},
        /* Docker leaves empty members out. */
        {"{\"stream\":\"stdout\",\"time\":\"" TIME "\"}", "", "", TIME, STREAM_STDOUT, 0, false},
        {"{\"log\":\"x\\n\",\"time\":\"" TIME "\"}", "x", "", TIME, STREAM_NONE, 0, true},
        {"{\"log\":\"x\\n\",\"stream\":\"stdout\"}", "x", "", "", STREAM_STDOUT, 0, true},
        {"{\"log\":\"x\\n\"}", "x", "", "", STREAM_NONE, 0, true},
        {"{\"time\":\"" TIME "\"}", "", "", TIME, STREAM_NONE, 0, false},
        /* Other hands. */
        {"{\"time\":\"" TIME "\",\"stream\":\"stderr\",\"log\":\"x\\n\"}", "x", "", TIME,
         STREAM_STDERR, 0, true},
        {" { \"log\" : \"x\\n\" , \"stream\" : \"stdout\" , \"time\" : \"" TIME "\" } ", "x", "",
         TIME, STREAM_STDOUT, 0, true},
        {"{\"log\":\"x\\n\"," REST " ", "x", "", TIME, STREAM_STDOUT, 0, true},
        {"{\"log\":\"x\\n\",\"more\":[{\"log\":1}]," REST, "x", "", TIME, STREAM_STDOUT, 0, true},
        {"{\"log\":\"x\\n\",\"stream\":\"stdwhat\",\"time\":\"" TIME "\"}", "x", "", TIME,
         STREAM_NONE, 0, true},
        {"{\"log\":\"x\\n\",\"stream\":1,\"time\":\"\"}", "x", "", "", STREAM_NONE, 0, true},
        {"{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":\"not a time\"}", "x", "", "not a time",
         STREAM_STDOUT, 0, true},
        {"{\"log\":\"x\\n\",\"attrs\":null," REST, "x", "", TIME, STREAM_STDOUT, 0, true},
        {"{\"log\":\"a\",\"log\":\"b\\n\"," REST, "b", "", TIME, STREAM_STDOUT, 0, true},
        /* What gets repaired. */
        {"{\"log\":\"\tx\\n\"," REST, "\tx", "", TIME, STREAM_STDOUT, JSON_NEEDS_REWRITE, true},
        {"{\"log\":\"\xffx\\n\"," REST, "\xffx", "", TIME, STREAM_STDOUT, JSON_NEEDS_REWRITE, true},
        {"{\"log\":\"\\ud800\"," REST, "\\ud800", "", TIME, STREAM_STDOUT,
         JSON_VALUE_ESCAPED | JSON_NEEDS_REWRITE, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct docker_line d;

        if (!parse(cases[i].line, &d))
            fail_msg("refused: %s", cases[i].line);
        assert_bytes(d.log, cases[i].log);
        assert_bytes(d.attrs, cases[i].attrs);
        assert_bytes(d.time, cases[i].time);
        assert_int_equal(d.stream, cases[i].stream);
        assert_int_equal(d.ends_line, cases[i].ends_line);
        if (d.log_flags != cases[i].log_flags)
            fail_msg("flags %d: %s", d.log_flags, cases[i].line);
    }
}

static void test_no_lines(void **state)
{
    static const char *const cases[] = {
        "",
        " ",
        "{",
        "{}",
        "[]",
        "null",
        "text",
        "[{\"log\":\"x\"}]",
        "{\"other\":1}",
        "{\"Log\":\"x\"}",
        "{\"log\":null," REST,
        "{\"log\":1," REST,
        "{\"log\":{\"a\":1}," REST,
        "{\"log\":[\"x\"]," REST,
        "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":1}",
        "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":null}",
        "{\"log\":\"x\"y\\n\"," REST,
        "{\"log\":\"x\\q\"," REST,
        "{\"log\":\"\\u12\"," REST,
        "{\"log\":\"x\\\"," REST,
        "{\"log\":\"x\\n\"," REST "x",
        "{\"log\":\"x\\n\"," REST "}",
        "{\"log\":\"x\\n\"," REST "{\"log\":\"y\\n\"," REST,
        "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":\"" TIME "\"",
        "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":\"" TIME,
        "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":\"a\"b\"}",
        "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":\"\\\"}",
        "{\"log\":\"x\\n\",\"stream\":\"stdout\",}",
        "{\"log\":\"x\\n\" \"stream\":\"stdout\"}",
        "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"attrs\":{\"a\":},\"time\":\"" TIME "\"}",
    };
    struct docker_line d;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (parse(cases[i], &d))
            fail_msg("taken: %s", cases[i]);
    assert_false(docker_line_parse(exactly("\0\0\0\0", 4), &d));
    assert_false(docker_line_parse(BYTES_NONE, &d));
}

/* A torn line is none, wherever it was torn; and a line of every length gives its text back. */
static void test_every_cut_and_length(void **state)
{
    char line[600], log[300];
    struct docker_line d;

    (void)state;
    for (size_t length = 0; length < 200; length++) {
        memset(log, 'x', length);
        for (size_t i = 0; i + 1 < length; i += 7)
            memcpy(log + i, "\\\"", 2);
        log[length] = '\0';

        size_t n = (size_t)snprintf(line, sizeof(line), "{\"log\":\"%s\\n\"," REST, log);

        assert_true(docker_line_parse(exactly(line, n), &d));
        assert_bytes(d.log, log);
        assert_bytes(d.time, TIME);
        assert_true(d.ends_line);
        for (size_t cut = 0; cut < n; cut += length % 16 ? n / 3 + 1 : 1)
            assert_false(docker_line_parse(exactly(line, cut), &d));
    }
}

static struct docker_line_work work;

static bool parse_clean(const char *line, size_t n, struct docker_line *d)
{
    struct bytes b = exactly(line, n);

    if (work.seen.object == 0)
        json_keys_seen_init(&work.seen);
    return docker_line_parse_clean(b, &work, d);
}

/* A message that is an object comes in members; whatever is only nearly so, as without. */
static void test_clean(void **state)
{
    static const struct {
        const char *line;
        size_t members; /* 0: not cut, and for the rest as docker_line_parse has it */
    } cases[] = {
        {"{\"log\":\"{\\\"a\\\":1,\\\"b\\\":\\\"x\\\"}\\n\"," REST, 2},
        {"{\"log\":\"{\\\"a\\\":1,\\\"a\\\":2}\\n\"," REST, 2},
        {"{\"log\":\"{\\\"a\\\":{\\\"b\\\":[1,true]}}\\n\"," REST, 1},
        {"{\"log\":\"{\\\"a\\\":1}\\n\",\"stream\":\"stderr\",\"time\":\"2018-11-23T09:00:00.1Z\"}",
         1},
        {"{\"log\":\"{\\\"a\\\":1}\\n\",\"stream\":\"stdout\",\"time\":\"2018-11-23T09:00:00Z\"}",
         1},
        {"{\"log\":\"{\\\"a\\\":1}\\\\n\"," REST, 0}, /* ends with \\n, which is text */
        {"{\"log\":\"{\\\"a\\\":1}\"," REST, 0},      /* a piece, or a last word */
        {"{\"log\":\"{\\\"a\\\":\"1}\\n\"," REST, 0}, /* a quote too many */
        {"{\"log\":\"{\\\"a\\\":1}\\n\",\"attrs\":{}," REST, 0},
        {"{\"log\":\"{}\\n\",\"stream\":\"stdout\",\"time\":\"2018-11-23T09:00:00.123456789Z\"}",
         0},
        {"{\"log\":\"{ text "
         "}\\n\",\"stream\":\"stdout\",\"time\":\"2018-11-23T09:00:00.123456789Z\"}",
         0},
        {"{\"log\":\"{\\\"a\\\":1}\\n\",\"stream\":\"stdout\",\"time\":\"t\"}", 0},
    };
    struct docker_line d, plain;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t n = strlen(cases[i].line);
        bool taken = docker_line_parse(exactly(cases[i].line, n), &plain);
        struct bytes log = plain.log;
        ptrdiff_t at = taken ? log.p - copy : 0;

        if (parse_clean(cases[i].line, n, &d) != taken)
            fail_msg("%s", cases[i].line);
        if (!taken)
            continue;
        assert_int_equal(d.log.p - copy, at);
        assert_int_equal(d.log.n, log.n);
        assert_int_equal(d.time.n, plain.time.n);
        assert_int_equal(d.stream, plain.stream);
        assert_int_equal(d.log_flags, plain.log_flags);
        assert_int_equal(d.ends_line, plain.ends_line);
        if ((d.members ? d.n : 0) != cases[i].members)
            fail_msg("%zu members: %s", d.n, cases[i].line);
    }
}

static void test_resync(void **state)
{
    static const char one[] = "{\"log\":\"one\\n\"," REST, two[] = "{\"log\":\"two\\n\"," REST;
    struct docker_line d;
    char line[8192];

    (void)state;
    /* A record that was torn at any byte, NULs or none behind, the next one glued on. */
    for (size_t cut = 1; cut < sizeof(one); cut++) {
        for (size_t nuls = 0; nuls < 300; nuls += 150) {
            memcpy(line, one, cut);
            memset(line + cut, 0, nuls);
            memcpy(line + cut + nuls, two, sizeof(two) - 1);

            struct bytes b = exactly(line, cut + nuls + sizeof(two) - 1);

            assert_false(docker_line_parse(b, &d));
            assert_int_equal(docker_line_resync(b, &d), cut + nuls);
            assert_bytes(d.log, "two");
            assert_bytes(d.time, TIME);
        }
    }
    /* The last of several; one without log. */
    size_t n = (size_t)snprintf(line, sizeof(line), "%s%s{\"stream\":\"stderr\",\"time\":\"t\"}",
                                one, two);
    assert_int_equal(docker_line_resync(exactly(line, n), &d), sizeof(one) - 1 + sizeof(two) - 1);
    assert_int_equal(d.stream, STREAM_STDERR);
    /* The last place that does not parse is not the end of it. */
    n = (size_t)snprintf(line, sizeof(line), "torn{\"log\":\"x\",\"more\":{\"log\":\"y\"}}");
    assert_int_equal(docker_line_resync(exactly(line, n), &d), 4);
    assert_bytes(d.log, "x");

    /* Nothing behind the first byte. */
    assert_int_equal(docker_line_resync(exactly(one, sizeof(one) - 1), &d), 0);
    assert_int_equal(docker_line_resync(exactly(one, 20), &d), 0);
    assert_int_equal(docker_line_resync(exactly("\0\0\0", 3), &d), 0);
    assert_int_equal(docker_line_resync(BYTES_NONE, &d), 0);
    n = (size_t)snprintf(line, sizeof(line), "torn{\"log\":\"x\\n\",\"stream\":");
    assert_int_equal(docker_line_resync(exactly(line, n), &d), 0);
    /* A text that is nothing but beginnings. */
    for (n = 0; n + 8 < sizeof(line); n += 8)
        memcpy(line + n, "{\"log\":\"", 8);
    assert_int_equal(docker_line_resync(exactly(line, n), &d), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_no_lines),
        cmocka_unit_test(test_every_cut_and_length),
        cmocka_unit_test(test_clean),
        cmocka_unit_test(test_resync),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    free(copy);
    return failed;
}

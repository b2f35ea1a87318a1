/* Framing: the rule for pieces, odd input, and what a real engine wrote, at one go and as it comes
 * in life. */
#include "tests/unit/docker_frames.h"

#include "agent/base/hash.h"
#include "agent/base/strbuf.h"
#include "parsers/docker_line.h"
#include "parsers/document.h"
#include "parsers/json.h"
#include "tests/unit/files.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define CORPUS "tests/corpus/"
#define T1 "2026-11-23T03:39:14.236645648Z"
#define T2 "2026-11-23T03:39:15.5Z"
#define T1_NS 1795405154236645648
#define T2_NS 1795405155500000000

/* n letters without a line's end, as a record of a stream. */
static void add_piece(struct strbuf *b, char letter, size_t n, const char *end, const char *stream,
                      const char *time)
{
    strbuf_add_str(b, "{\"log\":\"");
    memset(strbuf_room(b, n), letter, n);
    b->n += n;
    strbuf_printf(b, "%s\",\"stream\":\"%s\",\"time\":\"%s\"}\n", end, stream, time);
}

static void assert_lives(struct bytes file, const struct frames *whole)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct frames life = frames_in_life(file, seed);
        size_t differ = frames_differ(whole, &life);

        if (differ != SIZE_MAX)
            fail_msg("seed %lu: record %zu differs, %zu against %zu records", (unsigned long)seed,
                     differ, whole->n, life.n);
        frames_fini(&life);
    }
}

static void assert_record(const struct frames *f, size_t i, uint64_t position, const char *text)
{
    assert_true(i < f->n);
    assert_int_equal(f->list[i].position, position);
    if (!bytes_equal(bytes_of(f->text + f->list[i].at, f->list[i].n), bytes_str(text)))
        fail_msg("record %zu is \"%.*s\"", i, (int)f->list[i].n, f->text + f->list[i].at);
}

/* ---- pieces ---- */

static void test_pieces_are_joined(void **state)
{
    struct strbuf b = {0};
    struct frames f;
    size_t second;

    (void)state;
    add_piece(&b, 'a', 16384, "", "stdout", T1);
    second = b.n;
    add_piece(&b, 'e', 10, "\\n", "stderr", T2);
    add_piece(&b, 'b', 16384, "", "stdout", T1);
    add_piece(&b, 'c', 7, "\\n", "stdout", T1);
    f = frames_of(strbuf_bytes(&b));
    assert_int_equal(f.n, 2);
    assert_record(&f, 0, second, "eeeeeeeeee");
    assert_int_equal(f.list[1].position, 0);
    assert_int_equal(f.list[1].n, 16384 + 16384 + 7);
    assert_int_equal(f.text[f.list[1].at + 16383], 'a');
    assert_int_equal(f.text[f.list[1].at + 16384], 'b');
    assert_true(f.list[1].time_ns == T1_NS);
    assert_int_equal(f.list[1].stream, STREAM_STDOUT);
    assert_lives(strbuf_bytes(&b), &f);
    frames_fini(&f);
    strbuf_fini(&b);
}

/* The hash runs over the lines of the record and nothing else: computed here from the lines
 * themselves. */
static void test_hash_covers_the_lines(void **state)
{
    struct strbuf b = {0};
    struct frames f;
    uint32_t expected;
    size_t first;

    (void)state;
    add_piece(&b, 'a', 16384, "", "stdout", T1);
    first = b.n - 1;
    add_piece(&b, 'b', 3, "\\n", "stdout", T1);
    expected = hash_crc32c(0, b.p, first);
    expected = hash_crc32c(expected, b.p + first + 1, b.n - first - 2);
    f = frames_of(strbuf_bytes(&b));
    assert_int_equal(f.n, 1);
    assert_int_equal(f.list[0].hash, expected);
    frames_fini(&f);
    strbuf_fini(&b);
}

static void test_what_is_no_piece(void **state)
{
    static const struct {
        size_t first;
        const char *time;
        size_t records;
    } cases[] = {
        {16383, T1, 2}, /* too short: the process's last word */
        {16384, T2, 2}, /* another time: likewise, and another process */
        {16384, T1, 1},
        {16384 * 3, T1, 1}, /* cut characters became U+FFFD, three bytes each */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct strbuf b = {0};
        struct frames f;

        add_piece(&b, 'a', cases[i].first, "", "stdout", T1);
        add_piece(&b, 'b', 5, "\\n", "stdout", cases[i].time);
        f = frames_of(strbuf_bytes(&b));
        assert_int_equal(f.n, cases[i].records);
        assert_lives(strbuf_bytes(&b), &f);
        frames_fini(&f);
        strbuf_fini(&b);
    }
}

/* What counts is the decoded length: an escape of six bytes is one byte of text. */
static void test_escapes_count_decoded(void **state)
{
    (void)state;
    for (size_t escapes = 16383; escapes <= 16384; escapes++) {
        struct strbuf b = {0};
        struct frames f;

        strbuf_add_str(&b, "{\"log\":\"");
        for (size_t i = 0; i < escapes; i++)
            strbuf_add_str(&b, "\\u0001");
        strbuf_add_str(&b, "\",\"stream\":\"stdout\",\"time\":\"" T1 "\"}\n");
        add_piece(&b, 'b', 5, "\\n", "stdout", T1);
        f = frames_of(strbuf_bytes(&b));
        assert_int_equal(f.n, escapes == 16384 ? 1 : 2);
        frames_fini(&f);
        strbuf_fini(&b);
    }
}

static void test_last_piece_waits_for_the_end(void **state)
{
    struct strbuf b = {0};
    struct frames kept = {0};
    struct docker_frame frame = {.emit = frames_keep, .arg = &kept};
    struct docker_frame_at at = {.source = 1}, from;

    (void)state;
    add_piece(&b, 'a', 16384, "", "stdout", T1);
    assert_true(docker_frame_run(&frame, &at, strbuf_bytes(&b), false));
    assert_int_equal(kept.n, 0);
    assert_true(docker_frame_waits_in(&frame, &at));
    from = docker_frame_resume(&frame, &at, &(unsigned){0});
    assert_int_equal(from.offset, 0);
    assert_int_equal(from.replay_to, b.n);
    assert_true(docker_frame_flush(&frame));
    assert_int_equal(kept.n, 1);
    assert_int_equal(kept.list[0].n, 16384);
    from = docker_frame_resume(&frame, &at, &(unsigned){0});
    assert_int_equal(from.offset, b.n);
    frames_fini(&kept);
    strbuf_fini(&b);
}

static void test_join_has_a_ceiling(void **state)
{
    struct strbuf b = {0};
    struct frames f;

    (void)state;
    /* 513 pieces of 16 KiB are 16 KiB more than 8 MiB; the cut falls between the bytes of an
     * escape. */
    add_piece(&b, 'a', 16383, "\\\"", "stdout", T1);
    for (int i = 0; i < 511; i++)
        add_piece(&b, 'b', 16384, "", "stdout", T1);
    add_piece(&b, 'c', 16384, "\\n", "stdout", T1);
    f = frames_of(strbuf_bytes(&b));
    assert_int_equal(f.n, 1);
    assert_int_equal(f.list[0].tags, TAG_TRUNCATED);
    assert_int_equal(f.list[0].n, 8 << 20);
    frames_fini(&f);
    strbuf_fini(&b);
}

static void test_cut_splits_nothing(void **state)
{
    static const struct {
        const char *text;
        size_t max, cut;
    } cases[] = {
        {"abc", 5, 3},
        {"abcdef", 3, 3},
        {"ab\\ncd", 3, 2},
        {"ab\\ncd", 4, 4},
        {"a\\\\ncd", 3, 3},   /* an escaped backslash, then n */
        {"a\\\\\\ncd", 4, 3}, /* and then an escape */
        {"ab\\u0041cd", 7, 2},
        {"ab\\u0041cd", 8, 8},
        {"a\\ud83d\\ude00b", 7, 1}, /* not between the halves of a pair */
        {"a\\ud83d\\ude00b", 12, 1},
        {"a\\ud83d\\ude00b", 13, 13},
        {"a\xc3\xa4"
         "b",
         2, 1},
        {"a\xf0\x9f\x98\x80"
         "b",
         4, 1},
        {"a\xf0\x9f\x98\x80"
         "b",
         5, 5},
        {"\\u0041", 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (docker_join_cut(bytes_str(cases[i].text), cases[i].max) != cases[i].cut)
            fail_msg("case %zu: cut at %zu, not at %zu", i,
                     docker_join_cut(bytes_str(cases[i].text), cases[i].max), cases[i].cut);
}

/* ---- odd input ---- */

#define LINE(text, time) "{\"log\":\"" text "\\n\",\"stream\":\"stdout\",\"time\":\"" time "\"}"

static struct frames frames_of_odd(const char *p, size_t n)
{
    struct frames f = frames_of(bytes_of(p, n));

    assert_lives(bytes_of(p, n), &f);
    return f;
}

static void test_odd_lines_are_shipped(void **state)
{
    static const char file[] = LINE("one", T1) "\n"
                                               "no json at all\n"
                                               "\n" LINE("two", T2) "\n";
    struct frames f = frames_of_odd(file, sizeof file - 1);
    size_t first = sizeof LINE("one", T1);

    (void)state;
    assert_int_equal(f.n, 3);
    assert_record(&f, 0, 0, "one");
    assert_record(&f, 1, first, "no json at all");
    assert_int_equal(f.list[1].tags, TAG_DOCKER_LINE_INVALID);
    assert_int_equal(f.list[1].form, TEXT_RAW);
    assert_true(f.list[1].time_ns == T1_NS); /* of the good record before it */
    assert_record(&f, 2, first + 16, "two");
    frames_fini(&f);
}

static void test_torn_record_with_the_next_glued_on(void **state)
{
    static const char torn[] = "{\"log\":\"half of it";
    static const char file[] = LINE("one", T1) "\n"
                                               "{\"log\":\"half of it" LINE("two", T2) "\n";
    struct frames f = frames_of_odd(file, sizeof file - 1);
    size_t first = sizeof LINE("one", T1);

    (void)state;
    assert_int_equal(f.n, 3);
    assert_record(&f, 1, first, torn);
    assert_int_equal(f.list[1].tags, TAG_DOCKER_LINE_INVALID);
    assert_record(&f, 2, first + sizeof torn - 1, "two");
    assert_int_equal(f.list[2].tags, 0);
    assert_true(f.list[2].time_ns == T2_NS);
    frames_fini(&f);
}

static void test_two_whole_records_on_one_line(void **state)
{
    static const char file[] =
        LINE("one", T1) LINE("two", T2) "\n" LINE("three", T1) "\0\0" LINE("four", T2) "\n";
    struct frames f = frames_of_odd(file, sizeof file - 1);
    size_t one = sizeof LINE("one", T1) - 1, two = one + sizeof LINE("two", T2);

    (void)state;
    assert_int_equal(f.n, 4);
    assert_record(&f, 0, 0, "one");
    assert_record(&f, 1, one, "two");
    assert_record(&f, 2, two, "three");
    assert_record(&f, 3, two + sizeof LINE("three", T1) - 1 + 2, "four");
    for (size_t i = 0; i < f.n; i++) {
        assert_int_equal(f.list[i].tags, 0);
        assert_true(f.list[i].time_ns == (i % 2 ? T2_NS : T1_NS));
    }
    frames_fini(&f);
}

static void test_nul_runs_are_skipped(void **state)
{
    static const char file[] =
        "\0\0\0\0" LINE("one", T1) "\n"
                                   "{\"log\":\"ha\0\0\0" LINE("two", T1) "\n"
                                                                         "\0\0";
    struct frames kept = {0}, f = frames_of_odd(file, sizeof file - 1);
    struct docker_frame frame = {.emit = frames_keep, .arg = &kept};
    struct docker_frame_at at = {.source = 1};
    size_t second = 4 + sizeof LINE("one", T1);

    (void)state;
    assert_int_equal(f.n, 3);
    assert_record(&f, 0, 4, "one");
    assert_record(&f, 1, second, "{\"log\":\"ha");
    assert_record(&f, 2, second + 13, "two");
    assert_true(docker_frame_run(&frame, &at, bytes_of(file, sizeof file - 1), true));
    assert_int_equal(frame.skipped_bytes, 4 + 3 + 2);
    assert_int_equal(frame.invalid_lines, 1);
    assert_int_equal(at.offset, sizeof file - 1);
    frames_fini(&f);
    frames_fini(&kept);
}

static void test_senseless_times(void **state)
{
    static const char file[] = LINE("zero", "never") "\n" LINE("one", T1) "\n" LINE(
        "two", "2026-11-23T03:39:60Z") "\n{\"log\":\"three\\n\",\"stream\":\"stdout\"}\n";
    struct frames f = frames_of_odd(file, sizeof file - 1);

    (void)state;
    assert_int_equal(f.n, 4);
    assert_int_equal(f.list[0].time_ns, -1); /* nothing before it says when */
    assert_true(f.list[2].time_ns == T1_NS);
    assert_true(f.list[3].time_ns == T1_NS);
    frames_fini(&f);
}

static void test_long_line_is_cut(void **state)
{
    struct strbuf b = {0};
    struct frames f;
    size_t line = 3 << 20, i = 0;

    (void)state;
    strbuf_add_str(&b, LINE("one", T1) "\n");
    i = b.n;
    memset(strbuf_room(&b, line), 'x', line);
    b.n += line;
    memcpy(b.p + i + (1 << 20) - 1, "\xc3\xa4", 2); /* across the cut */
    strbuf_add_str(&b, "\n" LINE("two", T2) "\n");
    f = frames_of(strbuf_bytes(&b));
    assert_lives(strbuf_bytes(&b), &f);
    assert_int_equal(f.n, 3);
    assert_int_equal(f.list[1].position, i);
    assert_int_equal(f.list[1].n, (1 << 20) - 1);
    assert_int_equal(f.list[1].tags, TAG_TRUNCATED | TAG_DOCKER_LINE_INVALID);
    assert_record(&f, 2, i + line + 1, "two");
    frames_fini(&f);
    strbuf_fini(&b);
}

static void test_unended_last_line(void **state)
{
    static const char file[] = LINE("one", T1) "\n" LINE("two", T1);
    struct frames kept = {0}, f;
    struct docker_frame frame = {.emit = frames_keep, .arg = &kept};
    struct docker_frame_at at = {.source = 1};

    (void)state;
    assert_true(docker_frame_run(&frame, &at, bytes_of(file, sizeof file - 1), false));
    assert_int_equal(kept.n, 1);
    f = frames_of(bytes_of(file, sizeof file - 1));
    assert_int_equal(f.n, 2);
    assert_record(&f, 1, sizeof LINE("one", T1), "two");
    frames_fini(&f);
    frames_fini(&kept);
}

/* ---- what a real engine wrote ---- */

/* The text of all records of stdout, each with its line feed, decoded. */
static struct strbuf said(const struct frames *f)
{
    struct strbuf b = {0};

    for (size_t i = 0; i < f->n; i++) {
        char *to = strbuf_room(&b, f->list[i].n + 33);
        size_t n;

        assert_int_equal(f->list[i].form, TEXT_ESCAPED);
        n = json_unescape(bytes_of(f->text + f->list[i].at, f->list[i].n), to);
        assert_true(n != SIZE_MAX);
        b.n += n;
        strbuf_add_char(&b, '\n');
    }
    return b;
}

static void test_corpus_gives_what_was_written(void **state)
{
    static const struct {
        const char *name, *input;
    } cases[] = {
        {"plain", "plain"},
        {"long", "long"},
        {"long_json", "long_json"},
        {"long_nonl", "long_nonl"},
        {"exact16k_nonl", "exact16k_nonl"},
        {"control", "control"},
        {"empty", "empty"},
        {"java", "java"},
        {"pytrace", "pytrace"},
        {"gopanic", "gopanic"},
        {"nonl", "nonl"},
        {"unicode", "unicode"},
        {"nonblocking", "plain"},
        {"app-json", "app_json"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char pattern[256], path[256];
        struct strbuf file, written, got;
        struct frames f;
        glob_t g;

        snprintf(pattern, sizeof pattern, CORPUS "docker26/json-file/%s/*/*-json.log",
                 cases[i].name);
        snprintf(path, sizeof path, CORPUS "inputs/%s.bin", cases[i].input);
        assert_int_equal(glob(pattern, 0, NULL, &g), 0);
        file = files_read(g.gl_pathv[0]);
        written = files_read(path);
        if (written.n && written.p[written.n - 1] != '\n')
            strbuf_add_char(&written, '\n');
        f = frames_of(strbuf_bytes(&file));
        got = said(&f);
        if (!bytes_equal(strbuf_bytes(&got), strbuf_bytes(&written)))
            fail_msg("%s: %zu bytes, not %zu", cases[i].name, got.n, written.n);
        frames_fini(&f);
        strbuf_fini(&file);
        strbuf_fini(&written);
        strbuf_fini(&got);
        globfree(&g);
    }
}

static void test_corpus_in_life(void **state)
{
    size_t records = 0;
    glob_t g;

    (void)state;
    assert_int_equal(glob(CORPUS "docker26/json-file/*/*/*-json.log", 0, NULL, &g), 0);
    assert_true(g.gl_pathc >= 30);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        struct strbuf file = files_read(g.gl_pathv[i]);
        struct frames f = frames_of(strbuf_bytes(&file));

        for (size_t k = 0; k < f.n; k++)
            assert_int_equal(f.list[k].tags, 0);
        records += f.n;
        assert_lives(strbuf_bytes(&file), &f);
        frames_fini(&f);
        strbuf_fini(&file);
    }
    assert_int_equal(records, 467);
    globfree(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_are_joined),
        cmocka_unit_test(test_hash_covers_the_lines),
        cmocka_unit_test(test_what_is_no_piece),
        cmocka_unit_test(test_escapes_count_decoded),
        cmocka_unit_test(test_last_piece_waits_for_the_end),
        cmocka_unit_test(test_join_has_a_ceiling),
        cmocka_unit_test(test_cut_splits_nothing),
        cmocka_unit_test(test_odd_lines_are_shipped),
        cmocka_unit_test(test_torn_record_with_the_next_glued_on),
        cmocka_unit_test(test_two_whole_records_on_one_line),
        cmocka_unit_test(test_nul_runs_are_skipped),
        cmocka_unit_test(test_senseless_times),
        cmocka_unit_test(test_long_line_is_cut),
        cmocka_unit_test(test_unended_last_line),
        cmocka_unit_test(test_corpus_gives_what_was_written),
        cmocka_unit_test(test_corpus_in_life),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Entries of CRI runtimes. */
#include "parsers/cri_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define T "2026-11-23T19:15:44.2966502Z"

static void test_entries(void **state)
{
    static const struct {
        const char *line, *time, *text;
        enum stream stream;
        bool partial;
    } cases[] = {
        {T " stdout F waiting for db", T, "waiting for db", STREAM_STDOUT, false},
        {T " stderr P half of", T, "half of", STREAM_STDERR, true},
        {T " stdout F ", T, "", STREAM_STDOUT, false},
        {T " stdout P ", T, "", STREAM_STDOUT, true},
        {T " stdout F   indented ", T, "  indented ", STREAM_STDOUT, false},
        {T " stdout F \r", T, "\r", STREAM_STDOUT, false},
        {T " stdout P:tag x", T, "x", STREAM_STDOUT, true},
        {T " stdout F:P x", T, "x", STREAM_STDOUT, false},
        {T " stdout PX x", T, "x", STREAM_STDOUT, false},
        {T " stdout F " T " stderr P x", T, T " stderr P x", STREAM_STDOUT, false},
        {"2026-11-23T19:15:44Z stdout F x", "2026-11-23T19:15:44Z", "x", STREAM_STDOUT, false},
        {"2026-11-23T15:45:44.1-03:30 stdout F x", "2026-11-23T15:45:44.1-03:30", "x",
         STREAM_STDOUT, false},
        {"2026-11-24T01:00:44.123456789+05:45 stderr F x", "2026-11-24T01:00:44.123456789+05:45",
         "x", STREAM_STDERR, false},
        /* Senseless, and of the form all the same. */
        {"9999-99-99T99:99:99Z stdout F x", "9999-99-99T99:99:99Z", "x", STREAM_STDOUT, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cri_line l;

        assert_true(cri_line_parse(bytes_str(cases[i].line), &l));
        assert_true(bytes_is(l.time, cases[i].time));
        assert_true(bytes_equal(l.text, bytes_str(cases[i].text)));
        assert_int_equal(l.stream, cases[i].stream);
        assert_int_equal(l.partial, cases[i].partial);
    }
}

static void test_others(void **state)
{
    static const char *const lines[] = {
        "",
        "x",
        T,
        T " ",
        T " stdout",
        T " stdout ",
        T " stdout F", /* the space behind the tag belongs to it */
        T " stdout  F x",
        T "  stdout F x",
        T " stdin F x",
        T " STDOUT F x",
        T "\tstdout F x",
        " " T " stdout F x",
        "2026-11-23 19:15:44Z stdout F x",
        "2026-11-23T19:15:44 stdout F x",
        "2026-11-23T19:15:44.Z stdout F x",
        "2026-11-23T19:15:44.1234567890Z stdout F x",
        "2026-11-23T19:15:44.12+0100 stdout F x",
        "2026-11-23T19:15:4xZ stdout F x",
        "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":\"" T "\"}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct cri_line l;

        if (cri_line_parse(bytes_str(lines[i]), &l))
            fail_msg("taken: %s", lines[i]);
    }
}

/* No byte behind a line is looked at. */
static void test_cut_off_anywhere(void **state)
{
    static const char whole[] = "2026-11-24T01:00:44.123456789+05:45 stdout F x";

    (void)state;
    for (size_t n = 0; n < sizeof whole; n++) {
        char *line = base_alloc(n ? n : 1);
        struct cri_line l;
        bool taken;

        memcpy(line, whole, n);
        taken = cri_line_parse(bytes_of(line, n), &l);
        assert_int_equal(taken, n >= sizeof whole - 2);
        free(line);
    }
}

/* Every byte in every place of an instant. */
static void test_each_place_of_the_time(void **state)
{
    static const char good[] = "2026-11-23T19:15:44.123456789Z stdout F x";
    char line[sizeof good];

    (void)state;
    for (size_t place = 0; place < 29; place++) {
        for (int c = 0; c < 256; c++) {
            bool digit = c >= '0' && c <= '9';
            bool wanted = good[place] >= '0' && good[place] <= '9' ? digit : c == good[place];
            struct cri_line l;

            memcpy(line, good, sizeof good);
            line[place] = (char)c;
            if (cri_line_parse(bytes_of(line, sizeof good - 1), &l) != wanted)
                fail_msg("place %zu, byte %d", place, c);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_cut_off_anywhere),
        cmocka_unit_test(test_each_place_of_the_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

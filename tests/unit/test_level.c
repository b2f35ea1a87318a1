/* Levels of the loggers that are known, and ids: the tables of what they write. */
#include "parsers/level.h"
#include "parsers/request_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_levels(void **state)
{
    static const struct {
        const char *words, *level;
        bool lossless;
    } rows[] = {
        {"trace TRACE Trace trc 10", "trace", true},
        {"silly finest finer 15", "trace", false},
        {"debug DEBUG Debug dbg 20 7 100", "debug", true},
        {"verbose Verbose fine config 25", "debug", false},
        {"info INFO Info Information informational inf 30 6 5 200", "info", true},
        {"notice NOTICE http INFO+2 35 250", "info", false},
        {"warn WARN Warning WARNING wrn 40 4 300", "warn", true},
        {"WARN+1 45", "warn", false},
        {"error ERROR Error err SEVERE 50 3 400", "error", true},
        {"ERROR+2 55", "error", false},
        {"fatal FATAL ftl 60 0 1 2", "fatal", true},
        {"critical CRITICAL crit alert emergency EMERG panic dpanic 500 550 600", "fatal", false},
        {"DEBUG-4", "trace", false},
        {"banana infos warn! INFO+ +2 8 9 70 350 700 1000 -1 3.5 0x10 default", "", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *words = base_strdup(rows[i].words), *rest = words, *word;

        while ((word = strtok_r(rest, " ", &rest))) {
            bool lossless;
            enum level l = level_of(bytes_str(word), false, &lossless);

            if (strcmp(level_names[l], rows[i].level) != 0)
                fail_msg("%s is %s", word, level_names[l]);
            if (l != LEVEL_NONE && lossless != rows[i].lossless)
                fail_msg("%s loses %s", word, lossless ? "nothing" : "something");
        }
        free(words);
    }
}

static void test_python(void **state)
{
    static const char *const levels[] = {"debug", "info", "warn", "error", "fatal"};
    bool lossless;

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(levels); i++) {
        char number[8];

        snprintf(number, sizeof number, "%u", 10 * (i + 1));
        assert_string_equal(level_names[level_of(bytes_str(number), true, &lossless)], levels[i]);
    }
}

static void test_text(void **state)
{
    static const struct {
        const char *text, *id;
    } rows[] = {
        {"request_id=abc", "abc"},
        {"x request_id = abc, y", "abc"},
        {"REQUEST-ID:abc", "abc"},
        {"requestId=4bf9-11.", "4bf9-11"},
        {"[RequestId: 0HMVD:0001]", "0HMVD:0001"},
        {"X-Request-ID: |a.b.", "|a.b"},
        {"xRequestId=5", "5"},
        {"http_x_request_id=\"q1\"", "q1"},
        {"http.request.id=q2", "q2"},
        {"--request-id=q3", "q3"},
        {"reqId='q4' ", "q4"},
        {"correlation_id=q5&x=1", "q5"},
        {"{\\\"request_id\\\":\\\"q6\\\"}", "q6"},
        {"a\\nrequest_id=q7\\n", "q7"},
        {"id=1 did=2 request_id=q8", "q8"},
        {"0123456789abcdefid 0123456789abcdefid 0123456789ab request_id=q9", "q9"},
        {"request_id", NULL},
        {"request_id=", NULL},
        {"request_id=-", NULL},
        {"request_id=null", NULL},
        {"request_id=a$b", NULL},
        {"request_id=\"a b\"", NULL},
        {"request_id=\"a", NULL},
        {"request_ids=a", NULL},
        {"prerequest_id=a", NULL},
        {"parent_request_id=a", NULL},
        {"request id a", NULL},
        {"", NULL},
        {"d", NULL},
    };
    char longest[400] = "request_id=";

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bytes id;
        bool found = request_id_in_text(bytes_str(rows[i].text), &id);

        if (found != (rows[i].id != NULL) || (found && !bytes_is(id, rows[i].id)))
            fail_msg("%s: %.*s", rows[i].text, found ? (int)id.n : 4, found ? id.p : "none");
    }
    for (int n = 254; n < 258; n++) {
        struct bytes id;

        memset(longest + 11, 'a', (size_t)n);
        assert_int_equal(request_id_in_text(bytes_of(longest, 11 + (size_t)n), &id), n <= 255);
    }
}

/* https://www.w3.org/TR/trace-context/ */
static void test_traceparent(void **state)
{
#define T "0af7651916cd43dd8448eb211c80319c"
#define S "b7ad6b7169203331"
    static const struct {
        const char *text;
        bool good;
    } rows[] = {
        {"00-" T "-" S "-01", true},
        {"00-" T "-" S "-ff", true},
        {"cc-" T "-" S "-01", true},
        {"cc-" T "-" S "-01-what-comes", true},
        {"00-" T "-" S "-01-what-comes", false},
        {"cc-" T "-" S "-01.what", false},
        {"ff-" T "-" S "-01", false},
        {"00-00000000000000000000000000000000-" S "-01", false},
        {"00-" T "-0000000000000000-01", false},
        {"00-0AF7651916CD43DD8448EB211C80319C-" S "-01", false},
        {"00-" T "-" S "-0", false},
        {"00-" T "-" S, false},
        {"00 " T "-" S "-01", false},
        {"", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bytes trace, span;
        bool good = request_id_traceparent(bytes_str(rows[i].text), &trace, &span);

        if (good != rows[i].good)
            fail_msg("%s", rows[i].text);
        if (good) {
            assert_true(bytes_is(trace, T));
            assert_true(bytes_is(span, S));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_python),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_traceparent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

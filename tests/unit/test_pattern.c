/* Patterns: what is found, what is refused, and that no text keeps one busy. */
#include "agent/base/strbuf.h"
#include "parsers/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

static struct pattern *make(const char *text)
{
    struct error e;
    struct pattern *p = pattern_create(text, &e);

    if (!p)
        fail_msg("%s: %s", text, e.text);
    return p;
}

static void what_is_found(void **state)
{
    static const struct {
        const char *pattern, *text;
        enum pattern_result result;
        const char *group; /* the first; NULL: it took no part */
    } cases[] = {
        {"^(\\d+) ", "17 ms", PATTERN_FOUND, "17"},
        {"^(\\d+) ", "in 17 ms", PATTERN_NOT_FOUND, NULL},
        {"(\\d+) ms", "in 17 ms", PATTERN_FOUND, "17"},
        {"(\\d+) ms", "first\nin 17 ms", PATTERN_FOUND, "17"},
        {"a(b)?c", "ac", PATTERN_FOUND, NULL},
        {"a(b*)c", "ac", PATTERN_FOUND, ""},
        {"^.(.)", "\xc3\xa5\xc3\xb8", PATTERN_FOUND, "\xc3\xb8"}, /* characters, not bytes */
        {"(\\w+)$", "a b\n", PATTERN_FOUND, "b"},
        {"^(?:x|(y))", "y", PATTERN_FOUND, "y"},
        {"x|(y)", "--y", PATTERN_FOUND, "y"},
        {"(?x) (y) # why", "--y", PATTERN_FOUND, "y"},
        {"(?i)(Y)", "--y", PATTERN_FOUND, "y"},
        {"^()", "", PATTERN_FOUND, ""},
        {"a", "", PATTERN_NOT_FOUND, NULL},
    };
    struct pattern_work *w = pattern_work_create();

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pattern *p = make(cases[i].pattern);
        enum pattern_result result = pattern_search(p, bytes_str(cases[i].text), w);
        struct bytes group = pattern_group(w, 1);

        if (result != cases[i].result || (group.p != NULL) != (cases[i].group != NULL) ||
            (group.p && !bytes_is(group, cases[i].group)))
            fail_msg("%s in %s: %d, \"%.*s\"", cases[i].pattern, cases[i].text, (int)result,
                     (int)group.n, group.p ? group.p : "");
        pattern_free(p);
    }
    pattern_work_free(w);
}

static void names_are_told(void **state)
{
    struct pattern *p = make("(?<b>x)(y)(?<a>z)|(?<b>u)");
    const struct pattern_name *names;
    size_t n;

    (void)state;
    names = pattern_names(p, &n);
    assert_int_equal(n, 3);
    assert_string_equal(names[0].name, "a");
    assert_int_equal(names[0].group, 3);
    assert_string_equal(names[1].name, "b");
    assert_string_equal(names[2].name, "b");
    assert_int_equal(names[1].group + names[2].group, 1 + 4);
    pattern_free(p);
}

static void what_is_refused(void **state)
{
    static const struct {
        const char *pattern, *says;
    } cases[] = {
        {"(a", "missing closing parenthesis, at byte 2"},
        {"a)b(", "unmatched closing parenthesis, at byte 1"},
        {"[a", "missing terminating ]"},
        {"(?<1a>x)", "at byte 3"},
        {"*a", "quantifier does not follow a repeatable item"},
        {"a\\C", "at byte"},
        {"(*LIMIT_MATCH=4000000000)a", "must not begin with (*"},
    };
    struct strbuf many = {0};
    struct error e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_null(pattern_create(cases[i].pattern, &e));
        if (!strstr(e.text, cases[i].says))
            fail_msg("%s: %s", cases[i].pattern, e.text);
    }
    for (int i = 0; i < PATTERN_GROUPS_MAX; i++)
        strbuf_add_str(&many, "(a)");
    assert_null(pattern_create(many.p, &e));
    assert_non_null(strstr(e.text, "too many groups"));
    many.n -= 3;
    many.p[many.n] = '\0';
    pattern_free(make(many.p));
    while (many.n < 5000)
        strbuf_add_str(&many, "aaaaaaaaaa");
    assert_null(pattern_create(many.p, &e));
    strbuf_fini(&many);
}

static double cpu_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Without a limit each of these takes minutes or years. A tenth of a second is what they may take;
 * the test allows for a slow machine and a sanitizer. */
static void nothing_takes_long(void **state)
{
    static const char *const patterns[] = {
        "^(a|b|ab)*(bc|cde)$", "^(?:a+)+(?=[^z]*z)", "(a|a)*b",    "(?:(?=[^z]*y)|(?=[^z]*z))",
        "^(?:(?=[^z]*z)|a)*b", "(\\w+) (\\d+)",      "^((a*)*)*b",
    };
    struct pattern_work *w = pattern_work_create();
    size_t given_up = 0;
    char text[PATTERN_TEXT_MAX + 1];

    (void)state;
    memset(text, 'a', sizeof text);
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        struct pattern *p = make(patterns[i]);
        double began = cpu_s();

        for (size_t n = 30; n <= PATTERN_TEXT_MAX; n *= 5) {
            enum pattern_result result = pattern_search(p, bytes_of(text, n), w);

            assert_int_not_equal(result, PATTERN_FOUND);
            given_up += result == PATTERN_GIVEN_UP;
            assert_null(pattern_group(w, 1).p);
        }
        assert_true(cpu_s() - began < 5);
        pattern_free(p);
    }
    assert_true(given_up > 0);
    pattern_work_free(w);
}

static void long_texts(void **state)
{
    static char text[PATTERN_TEXT_MAX + 1];
    struct pattern_work *w = pattern_work_create();
    struct pattern *first = make("^(\\w+) (?s:.*)$"), *anywhere = make("= (\\w+)");

    (void)state;
    memset(text, '.', sizeof text);
    memcpy(text, "word = x", 8);
    assert_int_equal(pattern_search(first, bytes_of(text, PATTERN_TEXT_MAX), w), PATTERN_FOUND);
    assert_true(bytes_is(pattern_group(w, 1), "word"));
    assert_int_equal(pattern_search(first, bytes_of(text, PATTERN_TEXT_MAX + 1), w),
                     PATTERN_GIVEN_UP);
    assert_int_equal(pattern_search(anywhere, bytes_of(text, PATTERN_SEARCH_MAX), w),
                     PATTERN_FOUND);
    assert_int_equal(pattern_search(anywhere, bytes_of(text, PATTERN_SEARCH_MAX + 1), w),
                     PATTERN_GIVEN_UP);
    pattern_free(first);
    pattern_free(anywhere);
    pattern_work_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_found),      cmocka_unit_test(names_are_told),
        cmocka_unit_test(what_is_refused),    cmocka_unit_test(long_texts),
        cmocka_unit_test(nothing_takes_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

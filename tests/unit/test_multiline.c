/* Which lines belong together, against what real programs wrote (data/multiline): a line `#=`
 * stands before each line that begins a record, `#ms N` before one that came N ms after the one
 * before it.
 */
#include "parsers/multiline.h"

#include "agent/base/strbuf.h"
#include "parsers/json.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define DATA "tests/unit/data/multiline/"

static bool begins_with_date(const void *pattern, struct bytes line)
{
    assert_string_equal(pattern, "a date");
    return line.n >= 5 && line.p[0] == '2' && line.p[4] == '-';
}

static const struct {
    const char *name;
    unsigned languages;
} languages[] = {
    {"java", MULTILINE_JAVA},     {"python", MULTILINE_PYTHON}, {"go", MULTILINE_GO},
    {"dotnet", MULTILINE_DOTNET}, {"auto", MULTILINE_AUTO},     {"mysql", MULTILINE_MYSQL},
};

static struct multiline_rule rule_of(const char *head)
{
    char name[16] = "";

    if (strcmp(head, "#start\n") == 0)
        return (struct multiline_rule){.starts = begins_with_date, .pattern = "a date"};
    assert_int_equal(sscanf(head, "#language %15s", name), 1);
    for (size_t i = 0; i < ARRAY_LEN(languages); i++)
        if (strcmp(languages[i].name, name) == 0)
            return (struct multiline_rule){.languages = languages[i].languages};
    fail_msg("no language %s", name);
    return (struct multiline_rule){0};
}

static void check_line(const struct multiline_rule *rule, struct multiline_state *plain,
                       struct multiline_state *escaped, struct bytes line, int64_t gap_ns,
                       bool begins, const char *where)
{
    char *inside = base_alloc(6 * line.n + 32);
    bool repaired;
    size_t n = json_escape(line, inside, &repaired);

    if (multiline_continues(rule, plain, line, false, gap_ns) == begins)
        fail_msg("%s: \"%.*s\" %s", where, (int)line.n, line.p, begins ? "continues" : "begins");
    if (multiline_continues(rule, escaped, bytes_of(inside, n), true, gap_ns) == begins)
        fail_msg("%s: \"%.*s\", escaped", where, (int)line.n, line.p);
    free(inside);
}

static void check_file(const char *path)
{
    FILE *f = fopen(path, "r");
    struct multiline_state plain = {0}, escaped = {0};
    struct multiline_rule rule;
    bool begins = false;
    int64_t gap_ns = 0;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;

    if (!f)
        base_die("cannot read %s: run the tests from the top of the repository", path);
    assert_true(getline(&line, &cap, f) > 0);
    rule = rule_of(line);
    while ((n = getline(&line, &cap, f)) > 0) {
        long ms;

        line[--n] = '\0';
        if (strcmp(line, "#=") == 0) {
            begins = true;
        } else if (sscanf(line, "#ms %ld", &ms) == 1) {
            gap_ns = ms * 1000000;
        } else {
            check_line(&rule, &plain, &escaped, bytes_of(line, (size_t)n), gap_ns, begins, path);
            begins = false;
            gap_ns = 0;
        }
    }
    free(line);
    fclose(f);
}

static void test_real_software(void **state)
{
    glob_t g;

    (void)state;
    assert_int_equal(glob(DATA "*.txt", 0, NULL, &g), 0);
    assert_true(g.gl_pathc >= 10);
    for (size_t i = 0; i < g.gl_pathc; i++)
        check_file(g.gl_pathv[i]);
    globfree(&g);
}

static void assert_part(const char *what, struct bytes part, const char *expected)
{
    if (!bytes_is(part, expected))
        fail_msg("%s is \"%.*s\"", what, (int)part.n, part.p);
}

static void test_parts(void **state)
{
    static const struct {
        const char *text, *message, *stack, *type, *error;
    } cases[] = {
        {"one line\n\tand more", "one line\n\tand more", "", "", ""},
        {"12:00 ERROR failed\na.b.XException: boom: 1\n\tat c.d(E.java:1)\n", "12:00 ERROR failed",
         "a.b.XException: boom: 1\n\tat c.d(E.java:1)", "a.b.XException", "boom: 1"},
        {"a.XException\n\tat c.d(E.java:1)", "a.XException", "a.XException\n\tat c.d(E.java:1)",
         "a.XException", ""},
        {"Exception in thread \"main\" java.lang.Error: x\n\tat c.d(E.java:1)",
         "Exception in thread \"main\" java.lang.Error: x",
         "Exception in thread \"main\" java.lang.Error: x\n\tat c.d(E.java:1)", "java.lang.Error",
         "x"},
        {"Exception in thread \"main\" java.lang.IllegalStateException: x\n\tat c.d(E.java:1)",
         "Exception in thread \"main\" java.lang.IllegalStateException: x",
         "Exception in thread \"main\" java.lang.IllegalStateException: x\n\tat c.d(E.java:1)",
         "java.lang.IllegalStateException", "x"},
        {"SEVERE: two\n  lines\nA$BError: x\n\tat c.d(E.java:1)", "SEVERE: two\n  lines",
         "A$BError: x\n\tat c.d(E.java:1)", "A$BError", "x"},
        {"ERROR:shop:failed\nTraceback (most recent call last):\n  File \"a.py\", line 1\n"
         "    x\nKeyError: 'a'\n\nDuring handling of the above exception, another exception "
         "occurred:\n\nTraceback (most recent call last):\n  File \"a.py\", line 2\n"
         "app.errors.Bad: no\n",
         "ERROR:shop:failed",
         "Traceback (most recent call last):\n  File \"a.py\", line 1\n    x\nKeyError: 'a'\n\n"
         "During handling of the above exception, another exception occurred:\n\n"
         "Traceback (most recent call last):\n  File \"a.py\", line 2\napp.errors.Bad: no",
         "app.errors.Bad", "no"},
        {"Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyboardInterrupt",
         "KeyboardInterrupt",
         "Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyboardInterrupt",
         "KeyboardInterrupt", ""},
        {"panic: assignment to entry in nil map\n\ngoroutine 1 [running]:\nmain.main()",
         "panic: assignment to entry in nil map",
         "panic: assignment to entry in nil map\n\ngoroutine 1 [running]:\nmain.main()", "panic",
         "assignment to entry in nil map"},
        {"2026/11/23 recovered: x\ngoroutine 1 [running]:\nmain.main()", "2026/11/23 recovered: x",
         "goroutine 1 [running]:\nmain.main()", "", ""},
        {"Unhandled exception. System.ArgumentNullException: Value (Parameter 's')\n   at A.B()",
         "Unhandled exception. System.ArgumentNullException: Value (Parameter 's')",
         "Unhandled exception. System.ArgumentNullException: Value (Parameter 's')\n   at A.B()",
         "System.ArgumentNullException", "Value (Parameter 's')"},
        {"TypeError: x is not a function\n    at f (/app/a.js:1:2)",
         "TypeError: x is not a function",
         "TypeError: x is not a function\n    at f (/app/a.js:1:2)", "TypeError",
         "x is not a function"},
        {"12:00 ERROR no name\n\tat c.d(E.java:1)", "12:00 ERROR no name", "\tat c.d(E.java:1)", "",
         ""},
    };
    struct multiline_rule rule = {.languages = MULTILINE_AUTO};
    struct multiline_parts parts;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        multiline_cut(&rule, bytes_str(cases[i].text), &parts);
        assert_part("message", parts.message, cases[i].message);
        assert_part("stack", parts.stack, cases[i].stack);
        assert_part("type", parts.type, cases[i].type);
        assert_part("error", parts.error, cases[i].error);
    }
    rule = (struct multiline_rule){.starts = begins_with_date, .pattern = "a date"};
    multiline_cut(&rule, bytes_str(cases[1].text), &parts);
    assert_part("message", parts.message, cases[1].text);
    assert_int_equal(parts.stack.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_software),
        cmocka_unit_test(test_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

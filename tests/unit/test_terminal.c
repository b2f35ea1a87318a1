/* terminal: text of strangers that can only be seen, and how wide it is. */
#include "agent/commands/terminal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void check_seen(struct bytes raw, const char *wanted)
{
    struct strbuf to = {0};

    terminal_add(&to, raw);
    assert_string_equal(to.p ? to.p : "", wanted);
    strbuf_fini(&to);
}

static void test_nothing_acts_on_the_terminal(void **state)
{
    static const struct {
        const char *raw, *seen;
    } rows[] = {
        {"plain: æøå 漢字 🙂", "plain: æøå 漢字 🙂"},
        {"\x1b[2J\x1b[1;31mred", "^[[2J^[[1;31mred"},
        {"\x1b]0;title\x07", "^[]0;title^G"},
        {"a\rb\nc\bd\x7f", "a^Mb^Jc^Hd^?"},
        {"a\tb", "a    b"},
        {"\xc2\x9b"
         "31m C1",
         "<U+009B>31m C1"},
        {"\xe2\x80\xae"
         "gpj.exe",
         "<U+202E>gpj.exe"}, /* right to left from here on */
        {"a\xe2\x81\xa6"
         "b\xe2\x81\xa9",
         "a<U+2066>b<U+2069>"},
        {"zero\xe2\x80\x8bwidth \xef\xbb\xbf", "zero<U+200B>width <U+FEFF>"},
        {"line\xe2\x80\xa8"
         "separator",
         "line<U+2028>separator"},
        {"\xff\xc2 \xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xf3\xa0\x81\xa1", "<U+E0061>"}, /* a tag, never seen */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_seen(bytes_str(rows[i].raw), rows[i].seen);
    check_seen(bytes_of("a\0b", 3), "a^@b");
}

/* Every byte and every pair of bytes: no control character comes out. */
static void test_any_bytes(void **state)
{
    struct strbuf to = {0};

    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            const char raw[2] = {(char)a, (char)b};

            strbuf_clear(&to);
            terminal_add(&to, bytes_of(raw, 2));
            for (size_t i = 0; i < to.n; i++) {
                unsigned char c = (unsigned char)to.p[i];

                assert_true(c >= ' ' && c != 0x7f);
                assert_false(c == 0xC2 && (unsigned char)to.p[i + 1] < 0xA0);
            }
        }
    }
    strbuf_fini(&to);
}

static void test_columns(void **state)
{
    (void)state;
    assert_int_equal(terminal_columns(BYTES_LITERAL("abc")), 3);
    assert_int_equal(terminal_columns(BYTES_LITERAL("æøå…╌")), 5);
    assert_int_equal(terminal_columns(BYTES_LITERAL("漢字")), 4);
    assert_int_equal(terminal_columns(BYTES_LITERAL("e\xcc\x81")), 1); /* e and an accent above */
    assert_int_equal(terminal_columns(BYTES_LITERAL("🙂")), 2);
    assert_int_equal(terminal_columns(BYTES_NONE), 0);
}

static void check_cut(const char *text, size_t columns, const char *wanted)
{
    struct strbuf to = {0};

    terminal_add_cut(&to, bytes_str(text), columns);
    assert_string_equal(to.p, wanted);
    strbuf_fini(&to);
}

static void test_cut(void **state)
{
    (void)state;
    check_cut("12345", 5, "12345");
    check_cut("123456", 5, "1234…");
    check_cut("123456", 0, "123456");
    check_cut("漢字漢字", 6, "漢字…");
    check_cut("漢字漢字", 5, "漢字…");
    check_cut("漢字漢字", 4, "漢…");
    check_cut("ab", 1, "…");
}

static void check_wrap(const char *text, size_t columns, const char *wanted)
{
    struct strbuf to = {0};
    struct bytes rest = bytes_str(text);

    while (rest.n > 0) {
        strbuf_add_bytes(&to, terminal_wrap(&rest, columns));
        strbuf_add_char(&to, '|');
    }
    assert_string_equal(to.p, wanted);
    strbuf_fini(&to);
}

static void test_wrap(void **state)
{
    struct bytes none = BYTES_NONE;

    (void)state;
    assert_int_equal(terminal_wrap(&none, 8).n, 0);
    check_wrap("one two three", 8, "one two|three|");
    check_wrap("one two three", 7, "one two|three|");
    check_wrap("one two three", 6, "one|two|three|");
    check_wrap("aaaaaaaaaa", 4, "aaaa|aaaa|aa|");
    check_wrap("a bbbbbbbbbb", 8, "a bbbbbb|bbbb|"); /* the blank stands too far in front */
    check_wrap("漢字", 1, "漢|字|");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_acts_on_the_terminal),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_wrap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

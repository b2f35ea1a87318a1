/* Which format a container gets: its label, then the rules in their order. */
#include "parsers/formats.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LABELS 4

struct subject {
    const char *container, *image;
    const char *label[LABELS][2];
};

static struct bytes get(void *arg, const char *name)
{
    const struct subject *s = arg;

    for (size_t i = 0; i < LABELS && s->label[i][0]; i++)
        if (strcmp(s->label[i][0], name) == 0)
            return bytes_str(s->label[i][1]);
    return BYTES_NONE;
}

/* The kind of format that s has; PARSER_AUTO for none. */
static enum parser_kind kind_of(struct formats *f, struct subject s)
{
    struct origin_facts facts = {.container_name = bytes_str(s.container),
                                 .image_name = bytes_str(s.image)};
    const struct format *format = formats_of(f, &facts, get, &s);

    return format ? format->kind : PARSER_AUTO;
}

static struct parser_rule rule(const char *container, const char *image, const char *label,
                               enum parser_kind kind)
{
    return (struct parser_rule){(char *)(uintptr_t)container,
                                (char *)(uintptr_t)image,
                                (char *)(uintptr_t)label,
                                {.kind = kind}};
}

static void the_first_rule_that_fits(void **state)
{
    struct parser_rule r[] = {
        rule("web-*", "", "", PARSER_JSON),     rule("", "mysql:*", "", PARSER_TEXT),
        rule("", "", "team=pay*", PARSER_JSON), rule("api-*", "shop/*", "tier=front", PARSER_TEXT),
        rule("auto-*", "", "", PARSER_AUTO),    rule("*", "", "", PARSER_TEXT)};
    struct parser_rule *rules[] = {&r[0], &r[1], &r[2], &r[3], &r[4], NULL},
                       *all[] = {&r[4], &r[5], NULL};
    struct formats *f = formats_create(rules, NULL);

    (void)state;
    assert_int_equal(kind_of(f, (struct subject){"web-1", "x", {{0}}}), PARSER_JSON);
    assert_int_equal(kind_of(f, (struct subject){"web", "x", {{0}}}), PARSER_AUTO);
    assert_int_equal(kind_of(f, (struct subject){"db", "mysql:8", {{0}}}), PARSER_TEXT);
    assert_int_equal(kind_of(f, (struct subject){"web-2", "mysql:8", {{0}}}), PARSER_JSON);
    assert_int_equal(kind_of(f, (struct subject){"a", "b", {{"team", "payments"}}}), PARSER_JSON);
    assert_int_equal(kind_of(f, (struct subject){"a", "b", {{"team", "search"}}}), PARSER_AUTO);
    /* All that a rule names must fit. */
    assert_int_equal(kind_of(f, (struct subject){"api-1", "shop/api", {{"tier", "front"}}}),
                     PARSER_TEXT);
    assert_int_equal(kind_of(f, (struct subject){"api-1", "shop/api", {{"tier", "back"}}}),
                     PARSER_AUTO);
    assert_int_equal(kind_of(f, (struct subject){"api-1", "other", {{"tier", "front"}}}),
                     PARSER_AUTO);
    formats_free(f);

    f = formats_create(all, NULL);
    assert_int_equal(kind_of(f, (struct subject){"auto-1", "", {{0}}}), PARSER_AUTO);
    assert_int_equal(kind_of(f, (struct subject){"other", "", {{0}}}), PARSER_TEXT);
    /* What has no name is no container. */
    assert_int_equal(kind_of(f, (struct subject){"", "", {{0}}}), PARSER_AUTO);
    formats_free(f);
    assert_int_equal(kind_of(NULL, (struct subject){"auto-1", "", {{0}}}), PARSER_AUTO);
}

static void the_label_wins(void **state)
{
    struct parser_rule r = rule("*", "", "", PARSER_JSON);
    struct parser_rule *rules[] = {&r, NULL};
    struct formats *f = formats_create(rules, NULL);

    (void)state;
    assert_int_equal(kind_of(f, (struct subject){"a", "", {{"barge.parser", "text"}}}),
                     PARSER_TEXT);
    assert_int_equal(kind_of(f, (struct subject){"a", "", {{"barge.parser", "auto"}}}),
                     PARSER_AUTO);
    /* What is no parser's name does not count. */
    assert_int_equal(kind_of(f, (struct subject){"a", "", {{"barge.parser", "txt"}}}), PARSER_JSON);
    assert_int_equal(kind_of(f, (struct subject){"a", "", {{"barge.parser", ""}}}), PARSER_JSON);
    formats_free(f);
}

static void what_cannot_be_compiled(void **state)
{
    static const struct {
        const char *pattern;
        struct field_pair types[2];
        const char *says;
    } cases[] = {
        {"(?<a>x", {{0}}, "parsers[1].pattern: missing closing parenthesis, at byte 6"},
        {"x", {{0}}, "parsers[1].pattern: it names no group"},
        {"(x)", {{0}}, "parsers[1].pattern: it names no group"},
        {"(?<a>x)",
         {{(char *)"b", (char *)"long"}},
         "parsers[1].types: the pattern has no group b"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct parser_rule good = rule("*", "", "", PARSER_JSON),
                           bad = rule("*", "", "", PARSER_REGEX);
        struct parser_rule *rules[] = {&good, &bad, NULL};
        struct error e;

        bad.parser.pattern = (char *)(uintptr_t)cases[i].pattern;
        bad.parser.types = (struct field_pair *)(uintptr_t)cases[i].types;
        assert_null(formats_create(rules, &e));
        if (!strstr(e.text, cases[i].says))
            fail_msg("%s: %s", cases[i].pattern, e.text);
    }
}

static void every_name_is_a_parser(void **state)
{
    static const struct {
        const char *name;
        enum parser_kind kind;
    } names[] = {{"auto", PARSER_AUTO},     {"json", PARSER_JSON},   {"text", PARSER_TEXT},
                 {"logfmt", PARSER_LOGFMT}, {"nginx", PARSER_NGINX}, {"mysql", PARSER_MYSQL}};
    struct parser_rule *none[] = {NULL};
    struct formats *f = formats_create(none, NULL);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(kind_of(f, (struct subject){"a", "", {{"barge.parser", names[i].name}}}),
                         names[i].kind);
    /* What needs settings cannot be had by a label. */
    assert_int_equal(kind_of(f, (struct subject){"a", "", {{"barge.parser", "regex"}}}),
                     PARSER_AUTO);
    formats_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_rule_that_fits),
        cmocka_unit_test(the_label_wins),
        cmocka_unit_test(what_cannot_be_compiled),
        cmocka_unit_test(every_name_is_a_parser),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Index patterns seen from the node's side, and templates as texts. */
#include "agent/base/wildcard.h"
#include "outputs/elasticsearch/es_indices.h"
#include "outputs/elasticsearch/es_template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_names_of_patterns(void **state)
{
    static const struct {
        const char *pattern, *wildcard, *stem;
        bool daily, end_in_day;
    } cases[] = {
        {"microservices-%{+YYYY.MM.dd}", "microservices-*", "microservices", true, true},
        {"a-%{+yyyy.MM.dd}", "a-*", "a", true, true},
        {"logs-%{service.name}-%{+YYYY.MM.dd}", "logs-*", "logs", true, true},
        {"x_%{+YYYY}-%{+MM}-%{+dd}.%{service.name}", "x_*", "x", true, false},
        {"x-%{+YYYY.MM.dd}-y", "x-*-y", "x", true, false},
        {"x-%{+YYYY.MM.dd.HH}", "x-*", "x", false, false},
        {"x-%{+YYYY.MM}", "x-*", "x", false, false},
        {"x%{+YYYY.MM.dd}", "x*", "x", true, false},
        {"one", "one", "one", false, false},
        {"a.b-c", "a.b-c", "a.b-c", false, false},
    };
    struct strbuf to = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char sample[100];

        strbuf_clear(&to);
        es_indices_wildcard(cases[i].pattern, &to);
        assert_string_equal(to.p, cases[i].wildcard);
        strbuf_clear(&to);
        es_indices_stem(cases[i].pattern, &to);
        assert_string_equal(to.p, cases[i].stem);
        assert_int_equal(es_indices_daily(cases[i].pattern), cases[i].daily);
        assert_int_equal(es_indices_end_in_day(cases[i].pattern), cases[i].end_in_day);
        strbuf_clear(&to);
        es_indices_sample(cases[i].pattern, &to);
        snprintf(sample, sizeof sample, "%s", to.p);
        assert_true(wildcard_matches(cases[i].wildcard, bytes_str(sample)));
    }
    strbuf_fini(&to);
}

static void test_days_of_names(void **state)
{
    static const char plain[] = "m-%{+YYYY.MM.dd}", named[] = "m-%{service.name}-%{+YYYY.MM.dd}";
    static const struct {
        const char *pattern, *name;
        int64_t day; /* -1: none */
    } cases[] = {
        /* Days since 1970: `date -d 2018-11-23 +%s` / 86400, and so on. */
        {plain, "m-2018.11.23", 17858},
        {plain, "m-1970.01.01", 0},
        {plain, "m-2000.02.29", 11016},
        {plain, "m-2024.02.29", 19782},
        {plain, "m-2100.02.29", -1},
        {plain, "m-2023.02.29", -1},
        {plain, "m-2018.13.01", -1},
        {plain, "m-2018.04.31", -1},
        {plain, "m-2018.00.10", -1},
        {plain, "m-2018.11.23-000001", -1},
        {plain, "m-2018.11.2", -1},
        {plain, "m-2018-11-23", -1},
        {plain, "m-x2018.11.23", -1},
        {plain, "n-2018.11.23", -1},
        {plain, "m-", -1},
        {plain, "", -1},
        {named, "m-orders-2018.11.23", 17858},
        {named, "m-2018.11.22-2018.11.23", 17858},
        {named, "m--2018.11.23", -1},
        {named, "m-2018.11.23", -1},
        {named, "m-Orders-2018.11.23", -1},
        {"m-%{+YYYY.MM.dd}-%{service.name}", "m-2018.11.23-2019.01.01", 17858},
        {"m-%{+YYYY.MM.dd}-%{+dd}", "m-2018.11.23-23", 17858},
        {"m-%{+YYYY.MM.dd}-%{+dd}", "m-2018.11.23-22", -1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t day = -1;

        if (es_indices_day(cases[i].pattern, cases[i].name, &day) != (cases[i].day >= 0) ||
            day != cases[i].day)
            fail_msg("%s of %s", cases[i].name, cases[i].pattern);
    }
}

static void test_wildcards(void **state)
{
    static const struct {
        const char *wildcard, *name;
        bool matches;
    } cases[] = {
        {"*", "", true},          {"*", "x", true},         {"a*", "a", true},
        {"a*c*e", "abcde", true}, {"a*c*e", "abcd", false}, {"*a", "ba", true},
        {"*a", "ab", false},      {"a", "ab", false},       {"ab", "a", false},
        {"a**b", "ab", true},     {"*ab*ab", "abab", true}, {"a.c", "abc", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(wildcard_matches(cases[i].wildcard, bytes_str(cases[i].name)),
                         cases[i].matches);
}

static const struct es_template wanted = {.file = ES_FILE_TEMPLATE, .wildcard = "m-*"};
static const struct es_features all = {true, true, true, true, true}, legacy;

static void test_features(void **state)
{
    static const struct {
        const char *version;
        bool opensearch;
        struct es_features f; /* composable, match_only_text, ignore_beyond_limit, date_nanos,
                                doc_value_search */
    } cases[] = {
        {"9.2.0", false, {true, true, true, true, true}},
        {"8.14.0", false, {true, true, true, true, true}},
        {"8.13.99", false, {true, true, false, true, true}},
        {"8.1.0", false, {true, true, false, true, true}},
        {"8.0.1", false, {true, true, false, true, false}},
        {"7.14.0", false, {true, true, false, true, false}},
        {"7.13.4", false, {true, false, false, true, false}},
        {"7.8.0", false, {true, false, false, true, false}},
        {"7.7.1", false, {false, false, false, false, false}},
        {"10.0.0-SNAPSHOT", false, {true, true, true, true, true}},
        {"1.0.0", true, {true, false, false, true, false}},
        {"2.11.1", true, {true, false, false, true, false}},
        {"2.12.0", true, {true, true, false, true, true}},
        {"3.8.0", true, {true, true, false, true, true}},
        {"", false, {true, false, false, true, false}},
        {"unknown", true, {true, false, false, true, false}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct es_features f = es_features_of(cases[i].version, cases[i].opensearch);

        if (memcmp(&f, &cases[i].f, sizeof f) != 0)
            fail_msg("%s", cases[i].version);
    }
}

/* An answer as a node gives it: settings as texts below "index", in another order. */
static void answer_of(const struct strbuf *body, bool composable, struct strbuf *to)
{
    strbuf_clear(to);
    if (composable)
        strbuf_printf(to, "{\"index_templates\":[{\"name\":\"n\",\"index_template\":%s}]}",
                      body->p);
    else
        strbuf_printf(to, "{\"n\":%s}", body->p);
}

static void replace(struct strbuf *in, const char *from, const char *with)
{
    char *at = strstr(in->p, from), *copy;

    assert_non_null(at);
    copy = base_strdup(at + strlen(from));
    in->n = (size_t)(at - in->p);
    strbuf_add_str(in, with);
    strbuf_add_str(in, copy);
    free(copy);
}

static void test_whose_template(void **state)
{
    struct strbuf body = {0}, answer = {0};
    char hash[17], other[] = "0000000000000000";

    (void)state;
    for (int composable = 0; composable < 2; composable++) {
        const struct es_features *f = composable ? &all : &legacy;

        strbuf_clear(&body);
        es_template_body(&wanted, f, &body, hash);
        answer_of(&body, composable, &answer);
        assert_int_equal(es_template_judge(strbuf_bytes(&answer), composable, hash),
                         ES_TEMPLATE_SAME);
        assert_int_equal(es_template_judge(strbuf_bytes(&answer), composable, other),
                         ES_TEMPLATE_OLD);
        /* Said in another way, it is the same. */
        replace(&answer, "\"ignore_above\":1024", "\"ignore_above\":\"1024\"");
        assert_int_equal(es_template_judge(strbuf_bytes(&answer), composable, hash),
                         ES_TEMPLATE_SAME);
        replace(&answer, "\"ignore_above\":1024", "\"ignore_above\":1025");
        assert_int_equal(es_template_judge(strbuf_bytes(&answer), composable, hash),
                         ES_TEMPLATE_CHANGED);
        assert_int_equal(es_template_judge(strbuf_bytes(&answer), composable, other),
                         ES_TEMPLATE_CHANGED);
        answer_of(&body, composable, &answer);
        replace(&answer, "\"index_patterns\":[\"m-*\"", "\"index_patterns\":[\"m-*\",\"x\"");
        assert_int_equal(es_template_judge(strbuf_bytes(&answer), composable, hash),
                         ES_TEMPLATE_CHANGED);
        answer_of(&body, composable, &answer);
        replace(&answer, "\"managed_by\":\"barge\"", "\"managed_by\":\"me\"");
        assert_int_equal(es_template_judge(strbuf_bytes(&answer), composable, hash),
                         ES_TEMPLATE_FOREIGN);
    }
    assert_int_equal(es_template_judge(BYTES_LITERAL("{}"), true, hash), ES_TEMPLATE_ABSENT);
    assert_int_equal(es_template_judge(BYTES_LITERAL("{}"), false, hash), ES_TEMPLATE_ABSENT);
    assert_int_equal(es_template_judge(BYTES_LITERAL("<html>"), true, hash), ES_TEMPLATE_ABSENT);
    assert_int_equal(es_template_judge(BYTES_LITERAL("{\"index_templates\":[]}"), true, hash),
                     ES_TEMPLATE_ABSENT);
    assert_int_equal(
        es_template_judge(BYTES_LITERAL("{\"index_templates\":[{\"index_template\":7}]}"), true,
                          hash),
        ES_TEMPLATE_FOREIGN);
    strbuf_fini(&body);
    strbuf_fini(&answer);
}

static void test_what_changes_the_hash(void **state)
{
    const struct es_template with = {
        .file = ES_FILE_TEMPLATE, .wildcard = "m-*", .lifecycle = "barge-30d"};
    struct es_features less = all;
    struct strbuf body = {0};
    char a[17], b[17];

    (void)state;
    es_template_body(&wanted, &all, &body, a);
    es_template_body(&wanted, &all, &body, b);
    assert_string_equal(a, b);
    es_template_body(&with, &all, &body, b);
    assert_string_not_equal(a, b);
    less.match_only_text = false;
    es_template_body(&wanted, &less, &body, b);
    assert_string_not_equal(a, b);
    less = all;
    less.doc_value_search = false;
    es_template_body(&wanted, &less, &body, b);
    assert_string_not_equal(a, b);
    strbuf_fini(&body);
}

static void test_rivals(void **state)
{
    static const char composable[] =
        "{\"index_templates\":[{\"name\":\"a\",\"index_template\":{\"index_patterns\":[\"m-*\"]}},"
        "{\"name\":\"b\",\"index_template\":{\"index_patterns\":[\"x\",\"m*\"],\"priority\":150}},"
        "{\"name\":\"own\",\"index_template\":{\"index_patterns\":[\"m*\"],\"priority\":999}},"
        "{\"name\":\"c\",\"index_template\":{\"index_patterns\":[\"l*\"],\"priority\":999}}]}";
    static const char others[] = "{\"old\":{\"order\":0,\"index_patterns\":[\"*\"]}}";
    struct strbuf to = {0};

    (void)state;
    es_template_rivals(BYTES_LITERAL(composable), true, false, "m-1", "own", &to);
    assert_string_equal(to.p, "b (m*, priority 150)");
    es_template_rivals(BYTES_LITERAL(others), false, true, "m-1", "own", &to);
    assert_string_equal(to.p, "b (m*, priority 150), old (*, order 0)");
    strbuf_clear(&to);
    es_template_rivals(BYTES_LITERAL(others), false, false, "m-1", "own", &to);
    es_template_rivals(BYTES_LITERAL("nonsense"), true, false, "m-1", "own", &to);
    es_template_rivals(BYTES_LITERAL("{\"a\":[]}"), false, true, "m-1", "own", &to);
    assert_int_equal(to.n, 0);
    strbuf_fini(&to);
}

static void test_files(void **state)
{
    (void)state;
    for (int i = ES_FILE_TEMPLATE; i <= ES_FILE_ISM; i++) {
        yajl_val v = es_template_parse(es_file((enum es_file)i));

        assert_non_null(v);
        yajl_tree_free(v);
        assert_int_equal(es_file((enum es_file)i).p[es_file((enum es_file)i).n], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_patterns),
        cmocka_unit_test(test_days_of_names),
        cmocka_unit_test(test_wildcards),
        cmocka_unit_test(test_features),
        cmocka_unit_test(test_whose_template),
        cmocka_unit_test(test_what_changes_the_hash),
        cmocka_unit_test(test_rivals),
        cmocka_unit_test(test_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

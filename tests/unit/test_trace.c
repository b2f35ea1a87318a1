/* trace: JSON taken apart as it stands, records in their order, and their timeline: golden screens.
 */
#include "agent/commands/raw_json.h"
#include "agent/commands/trace_view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define T "\"@timestamp\":\"2018-11-23T09:00:00"
#define ID "\"http\":{\"request\":{\"id\":\"r-1\"}}"
#define SERVICE(name) "\"service\":{\"name\":\"" name "\"}"
#define LEVEL(name) "\"log\":{\"level\":\"" name "\"}"

/* ---- raw JSON ---- */

static void check_member(const char *object, const char *key, const char *wanted)
{
    struct bytes found = raw_json_member(bytes_str(object), key);

    if (!wanted) {
        assert_null(found.p);
        return;
    }
    assert_int_equal(found.n, strlen(wanted));
    assert_memory_equal(found.p, wanted, found.n);
}

static void test_members(void **state)
{
    static const char object[] =
        " { \"a\" : 1.50 , \"b\":\"x\\\"}\" ,\"c\": {\"a\":[1,{\"b\":2}]}, "
        "\"d\":true,\"e\":[] ,\"a\":2}";

    (void)state;
    assert_true(raw_json_is_valid(bytes_str(object)));
    check_member(object, "a", "1.50");
    check_member(object, "b", "\"x\\\"}\"");
    check_member(object, "c", "{\"a\":[1,{\"b\":2}]}");
    check_member(object, "d", "true");
    check_member(object, "e", "[]");
    check_member(object, "x", NULL);
    check_member("{}", "a", NULL);
    check_member("[\"a\",1]", "a", NULL);
    assert_null(raw_json_member(BYTES_NONE, "a").p);
}

static void test_arrays(void **state)
{
    static const char *const wanted[] = {"1", "\"a,]\"", "[2,[3]]", "{\"x\":[4]}", "null"};
    struct bytes array = BYTES_LITERAL(" [1 , \"a,]\",[2,[3]] ,{\"x\":[4]},null ]"), value;
    size_t at = 0, n = 0;

    (void)state;
    for (; raw_json_next(array, &at, &value); n++) {
        assert_true(n < ARRAY_LEN(wanted));
        assert_true(bytes_is(value, wanted[n]));
    }
    assert_int_equal(n, ARRAY_LEN(wanted));
    at = 0;
    assert_false(raw_json_next(BYTES_LITERAL("[ ]"), &at, &value));
    at = 0;
    assert_false(raw_json_next(BYTES_LITERAL("{}"), &at, &value));
    at = 0;
    assert_false(raw_json_next(BYTES_NONE, &at, &value));
}

static void test_what_is_no_json(void **state)
{
    static const char *const wrong[] = {"",           " ",  "{",   "]",      "{\"a\":}",
                                        "{\"a\":1}x", "\"", "nul", "{\"a\"", "\\"};
    struct strbuf deep = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_false(raw_json_is_valid(bytes_str(wrong[i])));
    for (size_t i = 0; i < 2000000; i++)
        strbuf_add_char(&deep, '[');
    for (size_t i = 0; i < 2000000; i++)
        strbuf_add_char(&deep, ']');
    assert_false(raw_json_is_valid(strbuf_bytes(&deep)));
    strbuf_fini(&deep);
}

/* ---- records ---- */

static char *ids[] = {"r-1", "t/\"2"};

static enum trace_taken add(struct trace_records *r, const char *json)
{
    return trace_records_add(r, bytes_str(json), BYTES_NONE);
}

static void test_which_are_taken(void **state)
{
    struct trace_records r;

    (void)state;
    trace_records_init(&r, ids, 2, 1542963600000000000); /* 2018-11-23T09:00:00Z */
    assert_int_equal(add(&r, "{" T "Z\"," ID "}"), TRACE_TAKEN);
    assert_int_equal(add(&r, "{" T "Z\"," ID "}"), TRACE_KNOWN);
    assert_int_equal(add(&r, "{" T "Z\",\"trace\":{\"id\":\"t\\/\\u00222\"}}"), TRACE_TAKEN);
    assert_int_equal(r.list[1]->id, 1);
    assert_int_equal(add(&r, "{" T "Z\",\"http.request.id\":\"r-1\"}"), TRACE_TAKEN);
    assert_int_equal(add(&r, "{" T "Z\",\"http\":{\"request.id\":\"r-1\"}}"), TRACE_TAKEN);
    assert_int_equal(add(&r, "{" ID "}"),
                     TRACE_TAKEN); /* a time that cannot be read hides nothing */
    assert_int_equal(r.list[4]->time_ns, TRACE_NO_TIME);
    /* The id somewhere else, a part of it, other capitals, too early, no JSON. */
    assert_int_equal(add(&r, "{" T "Z\",\"message\":\"r-1\"}"), TRACE_OTHERS);
    assert_int_equal(add(&r, "{" T "Z\",\"http\":{\"request\":{\"id\":\"r-11\"}}}"), TRACE_OTHERS);
    assert_int_equal(add(&r, "{" T "Z\",\"http\":{\"request\":{\"id\":\"R-1\"}}}"), TRACE_OTHERS);
    assert_int_equal(add(&r, "{" T "Z\",\"http\":{\"request\":{\"id\":[\"r-1\"]}}}"), TRACE_OTHERS);
    assert_int_equal(add(&r, "{\"@timestamp\":\"2018-11-23T08:59:59.999999999Z\"," ID "}"),
                     TRACE_OTHERS);
    assert_int_equal(add(&r, "{" T "Z\"," ID "},"), TRACE_OTHERS);
    /* The key tells, when there is one. */
    assert_int_equal(trace_records_add(&r, BYTES_LITERAL("{" ID ",\"a\":1}"), BYTES_LITERAL("k")),
                     TRACE_TAKEN);
    assert_int_equal(trace_records_add(&r, BYTES_LITERAL("{" ID ",\"a\":2}"), BYTES_LITERAL("k")),
                     TRACE_KNOWN);
    assert_int_equal(r.n, 6);
    trace_records_fini(&r);
}

static void test_a_number_is_an_id(void **state)
{
    char *number[] = {"4711"};
    struct trace_records r;

    (void)state;
    trace_records_init(&r, number, 1, 0);
    assert_int_equal(add(&r, "{\"http\":{\"request\":{\"id\":4711}}}"), TRACE_TAKEN);
    trace_records_fini(&r);
}

/* By all nine digits, then source by source in the order of their sequence. */
static void test_order(void **state)
{
    static const char *const in_order[] = {
        "{" T ".000000001Z\"," ID ",\"event\":{\"sequence\":9}}",
        "{" T ".000000002Z\"," ID ",\"event\":{\"sequence\":1}}",
        "{" T ".5Z\"," ID ",\"container\":{\"id\":\"a\"},\"event\":{\"sequence\":20}}",
        "{" T ".5Z\"," ID ",\"container\":{\"id\":\"a\"},\"event\":{\"sequence\":100}}",
        "{" T ".5Z\"," ID ",\"container\":{\"id\":\"b\"},\"event\":{\"sequence\":3}}",
        "{" T ".500000001Z\"," ID ",\"container\":{\"id\":\"b\"},\"event\":{\"sequence\":2}}",
    };
    struct trace_records r;

    (void)state;
    trace_records_init(&r, ids, 1, 0);
    for (size_t i = 0; i < ARRAY_LEN(in_order); i++) /* 5 is prime to 6: all of them, mixed */
        assert_int_equal(add(&r, in_order[i * 5 % ARRAY_LEN(in_order)]), TRACE_TAKEN);
    trace_records_sort(&r);
    for (size_t i = 0; i < ARRAY_LEN(in_order); i++)
        assert_true(bytes_is(r.list[i]->json, in_order[i]));
    trace_records_fini(&r);
}

/* ---- the timeline ---- */

static void check_view(const struct trace_view_options *options, size_t n_ids,
                       const char *const *documents, size_t n, const char *wanted)
{
    struct trace_view *v = trace_view_create(options, ids, n_ids);
    struct trace_records r;
    struct strbuf to = {0};

    trace_records_init(&r, ids, n_ids, 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(add(&r, documents[i]), TRACE_TAKEN);
    trace_records_sort(&r);
    trace_view_add(v, r.list, r.n, &to);
    trace_view_summary(v, &to);
    if (strcmp(to.p, wanted) != 0)
        print_error("wanted:\n%s\nis:\n%s\n", wanted, to.p);
    assert_true(strcmp(to.p, wanted) == 0);
    strbuf_fini(&to);
    trace_records_fini(&r);
    trace_view_destroy(v);
}

/* A gateway, a service and an error with its trace, and what stands in none of the usual places. */
static const char *const story[] = {
    "{" T ".001Z\"," ID
    "," SERVICE("gateway") ",\"method\":\"POST\",\"uri\":\"/orders\",\"status\":502}",
    "{" T ".003250Z\"," ID
    "," SERVICE("orders") "," LEVEL("info") ",\"message\":\"order taken\",\"qty\":3}",
    "{" T ".004Z\"," ID "," SERVICE("orders") "," LEVEL("warn") ",\"message\":\"stock low\"}",
    "{" T ".504Z\"," ID "," SERVICE("payment") "," LEVEL(
        "error") ",\"message\":\"card refused\","
                 "\"error\":{\"message\":\"timeout\",\"stack_trace\":\"a.b.TimeoutException: "
                 "timeout\\n\\tat a.b.C(C.java:1)\\n"
                 "\\tat a.b.D(D.java:2)\\n\\tat a.b.E(E.java:3)\"}}",
    "{" T ".505Z\"," ID
    "," SERVICE("stock") "," LEVEL("debug") ",\"sku\":\"A-9\",\"left\":{\"oslo\":0,\"bergen\":2},"
                                            "\"ok\":false}",
};

static void test_golden(void **state)
{
    static const struct trace_view_options plain = {0};

    (void)state;
    check_view(&plain, 1, story, ARRAY_LEN(story),
               "r-1\n"
               "ms from 2018-11-23T09:00:00.001Z\n"
               "\n"
               "     0.000  gateway  -      POST /orders 502\n"
               "     2.250  orders   info   order taken\n"
               "     3.000  orders   warn   stock low\n"
               "            ╌╌ 500.0 ms ╌╌\n"
               "   503.000  payment  error  card refused\n"
               "                            a.b.TimeoutException: timeout\n"
               "                            … 3 more lines\n"
               "   504.000  stock    debug  sku=A-9 left.oslo=0 left.bergen=2 ok=false\n"
               "\n"
               "4 services: gateway, orders, payment, stock · 504.0 ms · 1 error, 1 warning · 5 "
               "records\n");
}

static void test_unfolded(void **state)
{
    static const struct trace_view_options full = {.full = true};

    (void)state;
    check_view(&full, 1, story + 3, 1,
               "r-1\n"
               "ms from 2018-11-23T09:00:00.504Z\n"
               "\n"
               "     0.000  payment  error  card refused\n"
               "                            a.b.TimeoutException: timeout\n"
               "                                at a.b.C(C.java:1)\n"
               "                                at a.b.D(D.java:2)\n"
               "                                at a.b.E(E.java:3)\n"
               "\n"
               "1 service: payment · 0.0 ms · 1 error · 1 record\n");
}

static void test_narrow(void **state)
{
    static const char *const documents[] = {
        "{" T "Z\"," ID "," SERVICE("a-service-with-a-rather-long-name") "," LEVEL(
            "info") ","
                    "\"message\":\"one two three four five six seven eight nine ten\"}",
    };
    static const struct trace_view_options cut = {.width = 70}, wrap = {.width = 70, .wrap = true};

    (void)state;
    check_view(&cut, 1, documents, 1,
               "r-1\n"
               "ms from 2018-11-23T09:00:00Z\n"
               "\n"
               "     0.000  a-service-with-a-ra…  info   one two three four five six …\n"
               "\n"
               "1 service: a-service-with-a-rather-long-name · 0.0 ms · 0 errors · 1\n"
               "record\n");
    check_view(&wrap, 1, documents, 1,
               "r-1\n"
               "ms from 2018-11-23T09:00:00Z\n"
               "\n"
               "     0.000  a-service-with-a-ra…  info   one two three four five six\n"
               "                                         seven eight nine ten\n"
               "\n"
               "1 service: a-service-with-a-rather-long-name · 0.0 ms · 0 errors · 1\n"
               "record\n");
}

static void test_two_ids(void **state)
{
    static const char *const documents[] = {
        "{" T "Z\"," ID "," SERVICE("a") "," LEVEL("info") ",\"message\":\"first\"}",
        "{" T ".01Z\",\"trace\":{\"id\":\"t/\\\"2\"}," SERVICE("b") "," LEVEL(
            "info") ",\"message\":\"second\"}",
    };
    static const struct trace_view_options plain = {0};

    (void)state;
    check_view(&plain, 2, documents, 2,
               "r-1, t/\"2\n"
               "ms from 2018-11-23T09:00:00Z\n"
               "\n"
               "     0.000  r-1       a  info   first\n"
               "    10.000  t/\"2      b  info   second\n"
               "\n"
               "2 services: a, b · 10.0 ms · 0 errors · 2 records\n");
}

/* Whatever stands in a document: in service, level, names, values, message and trace. */
static void test_hostile(void **state)
{
    static const char *const documents[] = {
        "{" T "Z\"," ID "," SERVICE("a\\u001b[2J") "," LEVEL(
            "\\u001bc") ","
                        "\"message\":\"\\u001b]0;owned\\u0007 "
                        "back\\rover\\u009b31m\\n\\u001b[5mbelow\"}",
        "{" T ".001Z\"," ID ",\"\\u001b[1m\":\"\\u202e\"}",
    };
    static const struct trace_view_options plain = {0};

    (void)state;
    check_view(&plain, 1, documents, 2,
               "r-1\n"
               "ms from 2018-11-23T09:00:00Z\n"
               "\n"
               "     0.000  a^[[2J  ^[c    ^[]0;owned^G back^Mover<U+009B>31m\n"
               "                           ^[[5mbelow\n"
               "     1.000  -       -      ^[[1m=<U+202E>\n"
               "\n"
               "2 services: a^[[2J, - · 1.0 ms · 0 errors · 2 records\n");
}

/* The colour of the service called name at or behind *at, which is moved behind it. */
static unsigned color_of(const char **at, const char *name)
{
    unsigned color = 0;
    char found[32];

    for (const char *p = *at; (p = strstr(p, "\x1b[38;5;")) != NULL; p++) {
        if (sscanf(p, "\x1b[38;5;%um%31s", &color, found) != 2)
            continue;
        found[strcspn(found, "\x1b")] = '\0';
        *at = p + 1;
        if (strcmp(found, name) == 0)
            return color;
    }
    fail();
    return 0;
}

static void test_colours(void **state)
{
    static const struct trace_view_options options = {.color = true};
    struct trace_view *v = trace_view_create(&options, ids, 1);
    struct trace_records r;
    struct strbuf to = {0};
    const char *at;
    unsigned color;

    (void)state;
    trace_records_init(&r, ids, 1, 0);
    for (size_t i = 0; i < ARRAY_LEN(story); i++)
        add(&r, story[i]);
    trace_view_add(v, r.list, r.n, &to);
    assert_non_null(strstr(to.p, "\x1b[1;31merror\x1b[0m  card refused\n"));
    assert_non_null(strstr(to.p, "\x1b[33mwarn \x1b[0m  stock low\n"));
    assert_non_null(strstr(to.p, "\x1b[2m… 3 more lines\x1b[0m\n"));
    /* A service keeps its colour, and another one has another. */
    at = to.p;
    color = color_of(&at, "orders");
    assert_int_equal(color_of(&at, "orders"), color);
    assert_int_not_equal(color_of(&at, "payment"), color);
    strbuf_fini(&to);
    trace_records_fini(&r);
    trace_view_destroy(v);
}

/* What comes later goes on below, counted from the same instant. */
static void test_followed(void **state)
{
    static const struct trace_view_options plain = {0};
    struct trace_view *v = trace_view_create(&plain, ids, 1);
    struct trace_records r;
    struct strbuf to = {0};

    (void)state;
    trace_records_init(&r, ids, 1, 0);
    trace_view_add(v, NULL, 0, &to);
    assert_int_equal(to.n, 0);
    add(&r, story[1]);
    trace_view_add(v, r.list, 1, &to);
    strbuf_clear(&to);
    add(&r, story[0]);
    add(&r, story[2]);
    trace_view_add(v, r.list + 1, 2, &to);
    trace_view_summary(v, &to);
    assert_string_equal(to.p,
                        "    -2.250  gateway  -      POST /orders 502\n"
                        "     0.750  orders   warn   stock low\n"
                        "\n"
                        "2 services: orders, gateway · 3.0 ms · 0 errors, 1 warning · 3 records\n");
    strbuf_fini(&to);
    trace_records_fini(&r);
    trace_view_destroy(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_what_is_no_json),
        cmocka_unit_test(test_which_are_taken),
        cmocka_unit_test(test_a_number_is_an_id),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_unfolded),
        cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_two_ids),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_colours),
        cmocka_unit_test(test_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

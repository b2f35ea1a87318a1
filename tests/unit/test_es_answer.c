/* es_answer: what counts and what does not. Texts as real nodes wrote them
 * (Elasticsearch 7.10, 8.19; OpenSearch 2.19). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "outputs/elasticsearch/es_answer.h"

#include <stdio.h>
#include <stdlib.h>

#define OK "{\"create\":{\"status\":201}}"
#define CONFLICT                                                                                   \
    "{\"create\":{\"status\":409,\"error\":{\"type\":\"version_conflict_engine_exception\","       \
    "\"reason\":\"[a1]: version conflict, document already exists (current version [1])\","        \
    "\"index_uuid\":\"x\",\"shard\":\"0\",\"index\":\"a\"}}}"
#define BUSY                                                                                       \
    "{\"create\":{\"status\":429,\"error\":{\"type\":\"es_rejected_execution_exception\","         \
    "\"reason\":\"rejected\"}}}"
#define SHAPE                                                                                      \
    "{\"create\":{\"status\":400,\"error\":{\"type\":\"mapper_parsing_exception\",\"reason\":"     \
    "\"failed "                                                                                    \
    "to parse field [n] of type [long] in document with id 'x'. Preview of field's value: "        \
    "'abc'\",\"caused_by\":{\"type\":\"illegal_argument_exception\",\"reason\":\"For input "       \
    "string: "                                                                                     \
    "\\\"abc\\\"\"}}}}"

static bool judge(struct es_answer *a, size_t expected, const char *text, size_t n, size_t step)
{
    es_answer_begin(a, expected);
    for (size_t i = 0; i < n; i += step)
        es_answer_feed(a, text + i, MIN(step, n - i));
    return es_answer_end(a);
}

static void test_mixed(void **state)
{
    static const char text[] = "{\"errors\":true,\"took\":7,\"items\":[" OK "," CONFLICT "," OK
                               "," OK "," BUSY "," SHAPE "]}";
    static const uint8_t fates[] = {ES_DELIVERED, ES_DUPLICATE, ES_DELIVERED,
                                    ES_DELIVERED, ES_RETRY,     ES_REFUSED};
    struct es_answer a = {0};

    (void)state;
    for (size_t step = 1; step < sizeof text; step++) {
        assert_true(judge(&a, 6, text, sizeof text - 1, step));
        for (size_t i = 0; i < 6; i++)
            assert_int_equal(a.items[i].fate, fates[i]);
        assert_string_equal(es_answer_text(&a, &a.items[5]),
                            "mapper_parsing_exception: failed to parse field [n] of type [long] in "
                            "document with id 'x'. Preview of field's value: 'abc'; For input "
                            "string: \"abc\"");
        assert_string_equal(es_answer_text(&a, &a.items[0]), "");
    }
    es_answer_fini(&a);
}

static uint64_t dice;

static unsigned draw(unsigned n)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(dice >> 33) % n;
}

/* One item in one of the forms that servers write, and what it means. The texts of failures name
 * the item's number: a position that slips shows. */
static enum es_fate write_item(struct strbuf *to, unsigned number)
{
    static const struct {
        int status;
        const char *type;
        enum es_fate fate;
    } kinds[] = {
        {201, NULL, ES_DELIVERED},
        {200, NULL, ES_DELIVERED},
        {409, "version_conflict_engine_exception", ES_DUPLICATE},
        {429, "es_rejected_execution_exception", ES_RETRY},
        {400, "document_parsing_exception", ES_REFUSED},
        {503, "unavailable_shards_exception", ES_RETRY_INDEX},
        {400, "index_closed_exception", ES_RETRY_INDEX},
        {500, "null_pointer_exception", ES_RETRY},
    };
    static const char *const spaces[] = {"", "", "", " ", "\n  "};
    unsigned k = draw(2) ? 0 : draw(ARRAY_LEN(kinds));
    const char *space = spaces[draw(ARRAY_LEN(spaces))];
    bool status_first = draw(2) == 0;

    strbuf_printf(to, "{%s\"create\":%s{", space, space);
    if (status_first)
        strbuf_printf(
            to, "\"status\":%s%d%s", space, kinds[k].status,
            kinds[k].type || draw(3) == 0 ? ",\"_shards\":{\"status\":400,\"total\":[1,2]}" : "");
    if (kinds[k].type != NULL)
        strbuf_printf(to,
                      "%s\"error\":{\"reason\":\"item %u, \\\"status\\\":201}},\",\"type\":\"%s\","
                      "\"caused_by\":{\"type\":\"x\",\"reason\":\"y\"},\"status\":201}",
                      status_first ? "," : "", number, kinds[k].type);
    if (!status_first)
        strbuf_printf(to, "%s\"status\":%d", kinds[k].type != NULL ? "," : "", kinds[k].status);
    strbuf_printf(to, "}%s}", space);
    return kinds[k].fate;
}

/* ESF-04: items of all kinds in random order, in all forms, cut into random pieces: each keeps its
 * position. */
static void test_random_order(void **state)
{
    uint64_t seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 0) : 20181123;
    struct es_answer a = {0};
    struct strbuf text = {0};
    enum es_fate fates[40];

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    dice = seed;
    for (unsigned round = 0; round < 10000; round++) {
        unsigned n = 1 + draw(ARRAY_LEN(fates));

        strbuf_clear(&text);
        strbuf_add_str(&text, draw(2) ? "{\"errors\":true,\"items\":[" : "{\"items\":[");
        for (unsigned i = 0; i < n; i++) {
            if (i > 0)
                strbuf_add_char(&text, ',');
            fates[i] = write_item(&text, i);
        }
        strbuf_add_str(&text, draw(2) ? "]}" : "],\"took\":3}");
        es_answer_begin(&a, n);
        for (size_t at = 0; at < text.n;) {
            size_t step = 1 + draw(draw(3) ? 300 : 5);

            step = MIN(step, text.n - at);
            if (!es_answer_feed(&a, text.p + at, step))
                fail_msg("round %u, at %zu: %s: %s", round, at, a.wrong, text.p);
            at += step;
        }
        if (!es_answer_end(&a))
            fail_msg("round %u: %s: %s", round, a.wrong, text.p);
        assert_int_equal(a.n, n);
        for (unsigned i = 0; i < n; i++) {
            char wanted[16];

            if (a.items[i].fate != fates[i])
                fail_msg("round %u, item %u: %s", round, i, text.p);
            snprintf(wanted, sizeof wanted, "item %u,", i);
            if (fates[i] == ES_REFUSED && strstr(es_answer_text(&a, &a.items[i]), wanted) == NULL)
                fail_msg("round %u, item %u has the text %s", round, i,
                         es_answer_text(&a, &a.items[i]));
        }
        /* One item more or less was sent: void. */
        assert_false(judge(&a, n + 1, text.p, text.n, 4096));
        assert_false(judge(&a, n - 1, text.p, text.n, 4096));
    }
    strbuf_fini(&text);
    es_answer_fini(&a);
}

static bool is_number(const void *arg, size_t item, struct bytes id)
{
    (void)arg;
    return id.n == 1 && id.p[0] == (char)('0' + item);
}

/* ESF-07: in another order, which shows where the answer names ids. */
static void test_ids(void **state)
{
    static const struct {
        bool counts;
        const char *items;
    } cases[] = {
        {true,
         "{\"create\":{\"_id\":\"0\",\"status\":201}},{\"create\":{\"status\":201,\"_id\":\"1\"}}"},
        {true, OK ",{\"create\":{\"status\":201,\"_id\":\"1\"}}"},
        {false,
         "{\"create\":{\"_id\":\"1\",\"status\":201}},{\"create\":{\"_id\":\"0\",\"status\":201}}"},
        {false, OK ",{\"create\":{\"status\":201,\"_id\":\"0\"}}"},
        {false, OK ",{\"create\":{\"status\":201,\"_id\":\"\"}}"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct es_answer a = {0};
        struct strbuf text = {0};

        strbuf_printf(&text, "{\"items\":[%s]}", cases[i].items);
        es_answer_begin(&a, 2);
        es_answer_check_ids(&a, is_number, NULL);
        es_answer_feed(&a, text.p, text.n);
        if (es_answer_end(&a) != cases[i].counts)
            fail_msg("%s", cases[i].items);
        es_answer_fini(&a);
        strbuf_fini(&text);
    }
}

static void test_noops_and_failure_store(void **state)
{
    static const char text[] =
        "{\"items\":[" OK ",{\"create\":{\"status\":200}},{\"create\":{\"status\":201,"
        "\"failure_store\":\"used\"}},{\"create\":{\"failure_store\":\"not_enabled\",\"status\":"
        "201}},"
        "{\"create\":{\"failure_store\":\"used\",\"status\":429}}," OK "]}";
    struct es_answer a = {0};

    (void)state;
    assert_true(judge(&a, 6, text, sizeof text - 1, 7));
    assert_int_equal(a.noops, 1);
    assert_int_equal(a.failure_stored, 1);
    es_answer_fini(&a);
}

/* ESF-06: cut off at every byte. */
static void test_cut_off(void **state)
{
    static const char text[] =
        "{\"took\":7,\"errors\":false,\"items\":[" OK "," OK "," SHAPE "," OK "]}\n";
    struct es_answer a = {0};
    size_t whole = sizeof text - 2; /* without the line feed */

    (void)state;
    for (size_t n = 0; n < whole; n++) {
        assert_false(judge(&a, 4, text, n, 4096));
        assert_false(judge(&a, 4, text, n, 1));
    }
    assert_true(judge(&a, 4, text, whole, 4096));
    assert_true(judge(&a, 4, text, whole + 1, 4096));
    es_answer_fini(&a);
}

/* ESF-07, ESF-08. Each with two items sent. */
static void test_void_and_valid(void **state)
{
    static const struct {
        bool counts;
        const char *text;
    } cases[] = {
        {true, "{\"items\":[" OK "," OK "]}"},
        {true, " { \"items\" : [ " OK " , " OK " ] , \"x\" : [[{}]] } "},
        {true, "{\"errors\":false,\"items\":[" OK "," BUSY "]}"},
        {true, "{\"errors\":true,\"items\":[" OK "," OK "]}"},
        {true, "{\"items\":[{\"create\":{\"_index\":\"a\",\"_id\":\"b\",\"_shards\":{\"total\":2},"
               "\"status\":201}}," OK "]}"},
        {false, "{\"items\":[" OK "]}"},
        {false, "{\"items\":[" OK "," OK "," OK "]}"},
        {false, "{\"items\":[]}"},
        {false, "{\"errors\":false}"},
        {false, "{\"items\":[" OK "," OK ",]}"},
        {false, "{\"items\":[," OK "," OK "]}"},
        {false, "{\"items\":[" OK "," OK "}"},
        {false, "{\"items\":[" OK "," OK "]}x"},
        {false, "{\"items\":[" OK "," OK "]}{}"},
        {false, "{\"items\":[" OK "," OK "],\"items\":[]}"},
        {false, "{\"items\":{\"a\":" OK ",\"b\":" OK "}}"},
        {false, "{\"a\":{\"items\":[" OK "," OK "]}}"},
        {false, "[" OK "," OK "]"},
        {false, "{\"items\":[" OK ",201]}"},
        {false, "{\"items\":[" OK ",[" OK "]]}"},
        {false, "{\"items\":[" OK ",{}]}"},
        {false, "{\"items\":[" OK ",{\"index\":{\"status\":201}}]}"},
        {false, "{\"items\":[" OK ",{\"create\":{\"status\":201},\"index\":{\"status\":201}}]}"},
        {false, "{\"items\":[" OK ",{\"create\":{\"status\":201},\"create\":{\"status\":201}}]}"},
        {false, "{\"items\":[" OK ",{\"create\":{\"status\":201},\"create\":{}}]}"},
        {false, "{\"items\":[" OK ",{\"create\":{\"status\":\"201\"}}]}"},
        {false, "{\"items\":[" OK ",{\"create\":{\"status\":201.0}}]}"},
        {false, "{\"items\":[" OK ",{\"create\":{\"status\":null}}]}"},
        {false, "{\"items\":[" OK ",{\"create\":{\"status\":{}}}]}"},
        {false, "{\"items\":[" OK ",{\"create\":{\"status\":99999999999999999999}}]}"},
        {false, "{\"items\":[" OK ",{\"create\":{\"status\":201,\"status\":400}}]}"},
        {false, "{\"items\":[" OK ",{\"create\":{\"result\":\"created\"}}]}"},
        {false, "{\"items\":[" OK ",{\"create\":201}]}"},
        {false, "<html>502</html>"},
        {false, "null"},
        {false, ""},
    };
    struct es_answer a = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t n = strlen(cases[i].text);

        if (judge(&a, 2, cases[i].text, n, 4096) != cases[i].counts ||
            judge(&a, 2, cases[i].text, n, 1) != cases[i].counts)
            fail_msg("%s", cases[i].text);
    }
    es_answer_fini(&a);
}

/* It ends there, before there is one item more than memory. */
static void test_too_many_items(void **state)
{
    static const char *const items[] = {OK, BUSY};
    struct es_answer a = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        struct strbuf text = {0};

        strbuf_add_str(&text, "{\"items\":[");
        for (size_t k = 0; k < 6; k++)
            strbuf_printf(&text, "%s%s", k > 0 ? "," : "", items[i]);
        es_answer_begin(&a, 4);
        assert_false(es_answer_feed(&a, text.p, text.n));
        assert_string_equal(a.wrong, "more items than were sent");
        assert_true(a.n <= 4);
        strbuf_fini(&text);
    }
    es_answer_fini(&a);
}

static void test_ceilings(void **state)
{
    struct es_answer a = {0};
    struct strbuf text = {0};
    size_t expected = 3000;

    (void)state;
    /* Endless: void long before it ends. */
    es_answer_begin(&a, 2);
    strbuf_add_str(&text, "{\"a\":\"");
    for (size_t i = 0; i < 100000; i++)
        strbuf_add_str(&text, "xxxxxxxxxx");
    assert_false(es_answer_feed(&a, text.p, text.n));
    /* One text is no answer however many items there are. */
    es_answer_begin(&a, expected);
    for (size_t at = 0; at + 1000 <= text.n && es_answer_feed(&a, text.p + at, 1000); at += 1000)
        ;
    assert_string_equal(a.wrong, "a string that is too long");
    /* Deep. */
    strbuf_clear(&text);
    strbuf_add_str(&text, "{\"a\":");
    for (size_t i = 0; i < 100; i++)
        strbuf_add_char(&text, '[');
    es_answer_begin(&a, 2);
    assert_false(es_answer_feed(&a, text.p, text.n));
    /* More reasons than are kept: the items without are sent again, none is condemned without a
     * reason. */
    strbuf_clear(&text);
    strbuf_add_str(&text, "{\"items\":[");
    for (size_t i = 0; i < expected; i++) {
        strbuf_printf(&text,
                      "%s{\"create\":{\"status\":400,\"error\":{\"type\":\"t\",\"reason\":\"",
                      i ? "," : "");
        for (size_t k = 0; k < 50; k++)
            strbuf_add_str(&text, "0123456789");
        strbuf_add_str(&text, "\"}}}");
    }
    strbuf_add_str(&text, "]}");
    assert_true(judge(&a, expected, text.p, text.n, 1000));
    assert_true(a.texts.n <= ES_ANSWER_MAX_TEXTS);
    for (size_t i = 0; i < expected; i++)
        assert_int_equal(a.items[i].fate, a.items[i].text == UINT32_MAX ? ES_RETRY : ES_REFUSED);
    assert_int_equal(a.items[0].fate, ES_REFUSED);
    assert_int_equal(a.items[expected - 1].fate, ES_RETRY);
    strbuf_fini(&text);
    es_answer_fini(&a);
}

static void test_whole_errors(void **state)
{
    struct strbuf text = {0};

    (void)state;
    assert_true(es_answer_error(
        BYTES_LITERAL("{\"error\":{\"root_cause\":[{\"type\":\"x\",\"reason\":\"y\"}],\"type\":"
                      "\"illegal_argument_exception\",\"reason\":\"Malformed action/metadata line "
                      "[1]\"},\"status\":400}"),
        &text));
    assert_string_equal(text.p, "illegal_argument_exception: Malformed action/metadata line [1]");
    strbuf_clear(&text);
    assert_false(es_answer_error(BYTES_LITERAL("<html>\n<b>400</b>"), &text));
    assert_string_equal(text.p, "<html> <b>400</b>");
    strbuf_clear(&text);
    assert_false(es_answer_error(BYTES_NONE, &text));
    strbuf_clear(&text);
    assert_false(es_answer_error(BYTES_LITERAL("{\"message\":\"gateway\"}"), &text));
    strbuf_fini(&text);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_random_order),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_noops_and_failure_store),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_void_and_valid),
        cmocka_unit_test(test_too_many_items),
        cmocka_unit_test(test_ceilings),
        cmocka_unit_test(test_whole_errors),
    };

    return cmocka_run_group_tests_name("es_answer", tests, NULL, NULL);
}

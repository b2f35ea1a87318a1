/* es_fold: what errors name, and documents that are folded. Wordings as Elasticsearch 7.10, 8.19
 * and OpenSearch 2.19 have them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "outputs/elasticsearch/es_fold.h"

#include <stdio.h>
#include <stdlib.h>

static void test_named(void **state)
{
    static const struct {
        const char *reason, *field;
    } cases[] = {
        {"mapper_parsing_exception: failed to parse field [n] of type [long] in document with id "
         "'x'. "
         "Preview of field's value: 'abc'; For input string: \"abc\"",
         "n"},
        {"document_parsing_exception: [1:23] failed to parse field [a.b] of type [date] in "
         "document "
         "with id 'x'. Preview of field's value: '{}'",
         "a.b"},
        {"mapper_parsing_exception: failed to parse: illegal_argument_exception: Cannot write to a "
         "field alias [container_name].",
         "container_name"},
        {"mapper_parsing_exception: object mapping for [service] tried to parse field [service] as "
         "object, but found a concrete value",
         "service"},
        {"document_parsing_exception: [1:9] object mapping for [x] tried to parse field [x] as "
         "object, "
         "but found a concrete value",
         "x"},
        {"illegal_argument_exception: Document contains at least one immense term in field=\"k\" "
         "(whose UTF8 encoding is longer than the max length 32766), all of which were skipped.",
         "k"},
        {"strict_dynamic_mapping_exception: mapping set to strict, dynamic introduction of [zz] "
         "within "
         "[_doc] is not allowed",
         "zz"},
        {"strict_dynamic_mapping_exception: [1:5] mapping set to strict, dynamic introduction of "
         "[zz] "
         "within [user.address] is not allowed",
         "user.address"},
        {"mapper_parsing_exception: Could not dynamically add mapping for field [a.b]. Existing "
         "mapping "
         "for [a] must be of type object but found [text].",
         "a.b"},
        {"illegal_argument_exception: mapper [time] cannot be changed from type [long] to [text]",
         "time"},
        {"illegal_argument_exception: Limit of mapping depth [20] has been exceeded due to object "
         "field "
         "[d.d.d]",
         "d.d.d"},
        {"document_parsing_exception: [1:7] Field [_id] is a metadata field and cannot be added "
         "inside "
         "a document.",
         "_id"},
        {"illegal_argument_exception: Limit of total fields [1000] has been exceeded", NULL},
        {"illegal_argument_exception: Limit of total fields [1000] has been exceeded while adding "
         "new "
         "fields [1]",
         NULL},
        {"mapper_parsing_exception: failed to parse", NULL},
        {"failed to parse field [", NULL},
        {"failed to parse field []", NULL},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct bytes field = BYTES_NONE;
        bool named = es_fold_named(bytes_str(cases[i].reason), &field);

        if (named != (cases[i].field != NULL) || (named && !bytes_is(field, cases[i].field)))
            fail_msg("%s: %.*s", cases[i].reason, (int)field.n, field.p);
    }
}

/* A reason ends where it ends: these are no strings. */
static void test_reasons_cut_short(void **state)
{
    static const char text[] = "document_parsing_exception: [1:23] failed to parse field [a] of "
                               "type [long] in document with id 'x'";
    static const char within[] = "dynamic introduction of [a] within [";
    struct strbuf b = {0};
    struct bytes field;

    (void)state;
    for (size_t n = 0; n < sizeof text; n++) {
        char *cut = malloc(n + 1), *p = cut + 1; /* its end is that of its memory */
        struct bytes general;

        memcpy(p, text, n);
        general = es_fold_general(bytes_of(p, n));
        assert_true(general.n == 0 || (general.p >= p && general.p + general.n <= p + n));
        es_fold_named(bytes_of(p, n), &field);
        free(cut);
    }
    /* A name that is longer than may be remembered is none. */
    strbuf_add_str(&b, within);
    for (int i = 0; i <= ES_FOLD_MAX_FIELD; i++)
        strbuf_add_char(&b, 'x');
    strbuf_add_str(&b, "]");
    assert_true(es_fold_named(strbuf_bytes(&b), &field));
    assert_true(bytes_is(field, "a"));
    strbuf_fini(&b);
}

#define HEAD "{\"@timestamp\":\"2018-11-23T09:00:00Z\",\"message\":\"m\",\"event\":{\"sequence\":1}"

/* A document that began with HEAD: what stays behind it, then event and barge. */
#define FOLDED(original, rest, refused)                                                            \
    "{\"@timestamp\":\"2018-11-23T09:00:00Z\",\"message\":\"m\"" rest                              \
    ",\"event\":{\"sequence\":1,\"original\":\"" original "\"},\"barge\":{\"refused\":\"" refused  \
    "\"}}"

struct folding {
    const char *reason, *document, *folded;
};

static void check(const struct folding *c)
{
    struct es_fold f;
    struct strbuf to = {0};

    es_fold_init(&f);
    if (!es_fold_refused(&f, BYTES_LITERAL("a-1"), bytes_str(c->document), bytes_str(c->reason), 1,
                         &to)) {
        assert_null(c->folded);
    } else {
        assert_non_null(c->folded);
        assert_string_equal(to.p, c->folded);
    }
    strbuf_fini(&to);
    es_fold_fini(&f);
}

static void test_documents(void **state)
{
    static const struct folding cases[] = {
        /* The one field. */
        {"failed to parse field [n] of type [long]", HEAD ",\"n\":\"a\\\"b\",\"k\":1}",
         FOLDED("{\\\"n\\\":\\\"a\\\\\\\"b\\\"}", ",\"k\":1",
                "failed to parse field [n] of type [long]")},
        /* The member that holds it. */
        {"failed to parse field [u.a.b] of type [long]",
         HEAD ",\"u\":{\"a\":{\"b\":\"x\"}},\"k\":1}",
         FOLDED("{\\\"u\\\":{\\\"a\\\":{\\\"b\\\":\\\"x\\\"}}}", ",\"k\":1",
                "failed to parse field [u.a.b] of type [long]")},
        /* A dotted key. */
        {"failed to parse field [u.a] of type [long]", HEAD ",\"u.a\":\"x\",\"uu\":2}",
         FOLDED("{\\\"u.a\\\":\\\"x\\\"}", ",\"uu\":2",
                "failed to parse field [u.a] of type [long]")},
        /* None named, or not in it: all that is not ours. */
        {"Limit of total fields [1000] has been exceeded",
         HEAD ",\"log\":{\"level\":\"warn\"},\"a\":1,\"b\":{}}",
         FOLDED("{\\\"a\\\":1,\\\"b\\\":{}}", ",\"log\":{\"level\":\"warn\"}",
                "Limit of total fields [1000] has been exceeded")},
        {"failed to parse field [zz] of type [long]", HEAD ",\"a\":1}",
         FOLDED("{\\\"a\\\":1}", "", "failed to parse field [zz] of type [long]")},
        /* One of ours. */
        {"object mapping for [log] tried to parse", HEAD ",\"log\":{\"level\":\"warn\"},\"a\":1}",
         FOLDED("{\\\"log\\\":{\\\"level\\\":\\\"warn\\\"}}", ",\"a\":1",
                "object mapping for [log] tried to parse")},
        /* Nothing left to fold. */
        {"Limit of total fields [1000] has been exceeded", HEAD "}", NULL},
        {"failed to parse", "{}", NULL},
        {"failed to parse", "no document", NULL},
        /* An event.original of its own is kept. */
        {"failed to parse field [n] of type [long]",
         "{\"event\":{\"original\":\"o\",\"sequence\":1},\"n\":\"a\"}",
         "{\"event\":{\"sequence\":1,\"original\":\"{\\\"n\\\":\\\"a\\\",\\\"event.original\\\":"
         "\\\"o\\\"}\"},"
         "\"barge\":{\"refused\":\"failed to parse field [n] of type [long]\"}}"},
        /* An event that is no object, and none at all. */
        {"failed to parse field [n] of type [long]", "{\"event\":\"e\",\"n\":\"a\"}",
         "{\"barge\":{\"original\":\"{\\\"event\\\":\\\"e\\\",\\\"n\\\":\\\"a\\\"}\",\"refused\":"
         "\"failed to parse "
         "field [n] of type [long]\"}}"},
        {"failed to parse field [n] of type [long]", "{\"n\":\"a\",\"m\":1}",
         "{\"m\":1,\"event\":{\"original\":\"{\\\"n\\\":\\\"a\\\"}\"},\"barge\":{\"refused\":"
         "\"failed to parse "
         "field [n] of type [long]\"}}"},
        {"object mapping for [event] tried to parse", "{\"event\":{\"sequence\":1},\"m\":1}",
         "{\"m\":1,\"barge\":{\"original\":\"{\\\"event\\\":{\\\"sequence\\\":1}}\",\"refused\":"
         "\"object mapping for "
         "[event] tried to parse\"}}"},
        /* A barge of the message's own makes room. */
        {"failed to parse field [n] of type [long]", "{\"barge\":1,\"n\":\"a\"}",
         "{\"event\":{\"original\":\"{\\\"barge\\\":1,\\\"n\\\":\\\"a\\\"}\"},\"barge\":{"
         "\"refused\":\"failed to parse "
         "field [n] of type [long]\"}}"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check(&cases[i]);
}

static bool remembered(struct es_fold *f, const char *index, const char *document, uint64_t now_ms)
{
    struct strbuf to = {0};
    bool yes = es_fold_remembered(f, bytes_str(index), bytes_str(document), now_ms, &to);

    if (yes)
        assert_non_null(strstr(to.p, "\"refused\":"));
    strbuf_fini(&to);
    return yes;
}

static void learn(struct es_fold *f, const char *index, const char *document, const char *reason,
                  uint64_t now_ms)
{
    struct strbuf to = {0};

    assert_true(
        es_fold_refused(f, bytes_str(index), bytes_str(document), bytes_str(reason), now_ms, &to));
    strbuf_fini(&to);
}

static void test_memory(void **state)
{
    struct es_fold f;
    char *immense = base_alloc(40000);

    (void)state;
    es_fold_init(&f);
    assert_false(es_fold_knows(&f, BYTES_LITERAL("a-1")));
    learn(&f, "a-1", "{\"time\":\"x\"}", "failed to parse field [time] of type [long]", 1000);
    assert_true(es_fold_knows(&f, BYTES_LITERAL("a-1")));
    assert_false(es_fold_knows(&f, BYTES_LITERAL("a-2")));
    assert_true(remembered(&f, "a-1", "{\"k\":1,\"time\":\"y\"}", 2000));
    assert_false(remembered(&f, "a-2", "{\"time\":\"y\"}", 2000));
    /* Of another type it fits. */
    assert_false(remembered(&f, "a-1", "{\"time\":5}", 2000));
    assert_false(remembered(&f, "a-1", "{\"time\":null}", 2000));
    assert_false(remembered(&f, "a-1", "{\"times\":\"y\"}", 2000));
    /* A leaf: objects without it fit. */
    learn(&f, "a-1", "{\"u\":{\"age\":\"x\"}}", "failed to parse field [u.age] of type [long]",
          1000);
    assert_true(remembered(&f, "a-1", "{\"u\":{\"name\":\"n\",\"age\":\"y\"}}", 2000));
    assert_false(remembered(&f, "a-1", "{\"u\":{\"name\":\"n\",\"age\":7}}", 2000));
    assert_false(remembered(&f, "a-1", "{\"u\":{\"name\":\"n\"}}", 2000));
    /* All fields at once are not remembered: the next document may fit. */
    learn(&f, "b-1", "{\"z\":1}", "Limit of total fields [1000] has been exceeded", 1000);
    assert_false(es_fold_knows(&f, BYTES_LITERAL("b-1")));
    /* Immense terms only where they are immense. */
    strcpy(immense, "{\"k\":\"");
    memset(immense + 6, 'x', 33000);
    strcpy(immense + 33006, "\"}");
    learn(&f, "c-1", immense, "Document contains at least one immense term in field=\"k\" (whose",
          1000);
    assert_true(remembered(&f, "c-1", immense, 2000));
    assert_false(remembered(&f, "c-1", "{\"k\":\"short\"}", 2000));
    free(immense);
    /* Forgotten an hour after the last refusal. */
    assert_true(remembered(&f, "a-1", "{\"time\":\"y\"}", 1000 + ES_FOLD_MEMORY_MS - 1));
    assert_false(remembered(&f, "a-1", "{\"time\":\"y\"}", 1000 + ES_FOLD_MEMORY_MS));
    assert_false(es_fold_knows(&f, BYTES_LITERAL("a-1")));
    /* Bounded: the oldest makes room. */
    for (unsigned i = 0; i <= ES_FOLD_MEMORY; i++) {
        char document[64], reason[64];

        snprintf(document, sizeof document, "{\"f%u\":\"x\"}", i);
        snprintf(reason, sizeof reason, "failed to parse field [f%u] of type [long]", i);
        learn(&f, "d-1", document, reason, 9000000 + i);
    }
    assert_false(remembered(&f, "d-1", "{\"f0\":\"x\"}", 9000200));
    assert_true(remembered(&f, "d-1", "{\"f1\":\"x\"}", 9000200));
    es_fold_fini(&f);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_named),
        cmocka_unit_test(test_reasons_cut_short),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_memory),
    };

    return cmocka_run_group_tests_name("es_fold", tests, NULL, NULL);
}

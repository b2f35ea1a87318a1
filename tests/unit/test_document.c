/* Records into documents. The cases in data/document.jsonl were written by hand from the contract,
 * those in data/formats.jsonl for lines of real nginx and MariaDB, and of logfmt's writers;
 * each is encoded as raw and as escaped text, straight and through the tree (forced by a rule that
 * changes nothing). */
#include "agent/base/strbuf.h"
#include "parsers/document.h"
#include "parsers/format.h"
#include "tests/unit/document_cases.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char *no_names[] = {NULL};
static struct field_pair no_pairs[] = {{NULL, NULL}};

static struct enrich_settings defaults(void)
{
    return (struct enrich_settings){.service = (char *)"auto",
                                    .host = (char *)"auto",
                                    .request_id_keys = no_names,
                                    .fields = no_pairs,
                                    .add = no_pairs,
                                    .rename = no_pairs,
                                    .remove = no_names,
                                    .convert = no_pairs};
}

/* Encodes and checks what holds for every document; the text is valid until the next call. */
static const char *encode(struct encoder *enc, struct record *r)
{
    static struct strbuf out;
    size_t bound = encoder_bound(enc, r), n;
    char *to;

    strbuf_clear(&out);
    to = strbuf_room(&out, bound);
    memset(to, 0x5a, bound);
    n = encoder_write(enc, r, to);
    assert_in_range(n, 2, bound);
    assert_null(memchr(to, '\n', n));
    to[n] = '\0';
    return to;
}

static void run_case(const struct document_case *c, enum text_form form, bool slow)
{
    struct field_pair nothing[64], *rename = c->settings.rename;
    struct enrich_settings settings = c->settings;
    struct error e = {""};
    struct strbuf text = {0};
    struct origin_facts facts = {.service_label = c->label, .service_guess = c->guess};
    struct record r = c->record;
    struct format *format;
    struct origin *origin;
    struct encoder *enc;
    const char *document;
    char why[512];

    assert_int_equal(format_create(&c->parser, &format, &e), 0);
    facts.format = format;
    origin = origin_create(&facts);

    if (slow) {
        size_t n = 0;

        while (rename[n].name) {
            nothing[n] = rename[n];
            n++;
        }
        nothing[n++] = (struct field_pair){(char *)"not_there", (char *)"not_there_either"};
        nothing[n] = (struct field_pair){NULL, NULL};
        settings.rename = nothing;
    }
    enc = encoder_create(&settings, BYTES_LITERAL("h"), &e);
    if (!enc)
        fail_msg("%s: %s", c->name, e.text);
    r.origin = origin;
    r.text_form = (uint8_t)form;
    if (form == TEXT_ESCAPED && r.text.p) {
        strbuf_add_json(&text, r.text);
        r.text = bytes_of(text.p + 1, text.n - 2);
        r.text_flags = 0;
        assert_ptr_equal(json_string_end(text.p + 1, text.p + text.n, &r.text_flags),
                         text.p + text.n - 1);
    }
    document = encode(enc, &r);
    if (!document_case_matches(c, document, why, sizeof why))
        print_error("%s (%s, %s): %s\n%s\n", c->name, form == TEXT_RAW ? "raw" : "escaped",
                    slow ? "tree" : "straight", why, document);
    /* And once more: nothing of one record may show in the next. */
    document = encode(enc, &r);
    assert_true(document_case_matches(c, document, why, sizeof why));
    encoder_free(enc);
    origin_free(origin);
    format_free(format);
    strbuf_fini(&text);
}

static size_t run_cases(const char *path)
{
    struct document_case *c;
    size_t n = 0;
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    while ((c = document_case_read(f, defaults()))) {
        run_case(c, TEXT_RAW, false);
        run_case(c, TEXT_ESCAPED, false);
        run_case(c, TEXT_RAW, true);
        run_case(c, TEXT_ESCAPED, true);
        document_case_free(c);
        n++;
    }
    fclose(f);
    return n;
}

static void test_cases(void **state)
{
    (void)state;
    assert_in_range(run_cases("tests/unit/data/document.jsonl"), 100, 1000);
    assert_in_range(run_cases("tests/unit/data/formats.jsonl"), 40, 1000);
}

/* One record of a log file of the corpus. */
static void run_corpus_record(struct encoder *enc, yajl_val expected, struct bytes line)
{
    struct docker_line d;
    struct record r = {.severity = -1, .text_form = TEXT_ESCAPED};
    yajl_val want = case_get(expected, "document"), got;
    char why[256];

    assert_true(docker_line_parse(line, &d));
    r.text = d.log;
    r.text_flags = d.log_flags;
    r.stream = d.stream;
    r.time_text = d.time;
    r.attrs = d.attrs;
    r.sequence = (uint64_t)case_get(expected, "offset")->u.number.i;
    got = yajl_tree_parse(encode(enc, &r), why, sizeof why);
    assert_non_null(got);
    if (!case_equal(want, got)) {
        struct strbuf b = {0};

        case_render(want, &b);
        fail_msg("wanted %s\ngot    %s", b.p, encode(enc, &r));
    }
    yajl_tree_free(got);
}

/* Real records; the documents were worked out by data/make_corpus_documents.py. */
static void run_corpus(bool slow)
{
    struct enrich_settings s = defaults();
    struct field_pair nothing[2] = {{(char *)"not_there", (char *)"not_there_either"},
                                    {NULL, NULL}};
    FILE *f = fopen("tests/unit/data/corpus_documents.jsonl", "r"), *log = NULL;
    char *expected_line = NULL, *line = NULL, why[256], *open_path = base_strdup("");
    size_t cap = 0, line_cap = 0, count = 0;
    struct encoder *enc;
    struct error e;

    if (slow)
        s.rename = nothing;
    enc = encoder_create(&s, BYTES_LITERAL("h"), &e);
    assert_non_null(enc);
    assert_non_null(f);
    while (getline(&expected_line, &cap, f) > 0) {
        yajl_val expected = yajl_tree_parse(expected_line, why, sizeof why);
        const char *path = case_get(expected, "file")->u.string;
        ssize_t n;

        if (strcmp(path, open_path) != 0) {
            if (log)
                fclose(log);
            free(open_path);
            open_path = base_strdup(path);
            log = fopen(path, "r");
            assert_non_null(log);
        }
        n = getline(&line, &line_cap, log);
        assert_in_range(n, 2, SSIZE_MAX);
        run_corpus_record(enc, expected, bytes_of(line, (size_t)n - 1));
        yajl_tree_free(expected);
        count++;
    }
    assert_in_range(count, 200, 100000);
    if (log)
        fclose(log);
    fclose(f);
    free(open_path);
    free(line);
    free(expected_line);
    encoder_free(enc);
}

static void test_corpus(void **state)
{
    (void)state;
    run_corpus(false);
    run_corpus(true);
}

static struct encoder *new_encoder(void)
{
    struct enrich_settings s = defaults();
    struct error e;
    struct encoder *enc = encoder_create(&s, BYTES_LITERAL("h"), &e);

    assert_non_null(enc);
    return enc;
}

/* The members in the order of the contract's example, for people who read them. */
static void test_order(void **state)
{
    struct encoder *enc = new_encoder();
    struct origin_facts facts = {.container_id = BYTES_LITERAL("9c05"),
                                 .container_name = BYTES_LITERAL("shop-orders-1"),
                                 .image_name = BYTES_LITERAL("shop/orders:1.4"),
                                 .service_guess = BYTES_LITERAL("orders"),
                                 .host_name = BYTES_LITERAL("srv-04")};
    struct origin *o = origin_create(&facts);
    struct record r = {.origin = o,
                       .text =
                           BYTES_LITERAL("{\"level\":\"warn\",\"msg\":\"stock "
                                         "low\",\"requestId\":\"4bf9\",\"sku\":\"A-9\",\"qty\":3}"),
                       .text_form = TEXT_RAW,
                       .stream = STREAM_STDOUT,
                       .severity = -1,
                       .time_ns = 1542963600000140891,
                       .sequence = 4711};

    (void)state;
    assert_string_equal(
        encode(enc, &r),
        "{\"@timestamp\":\"2018-11-23T09:00:00.000140891Z\",\"message\":\"stock low\",\"log\":{"
        "\"level\":\"warn\"},\"service\":{\"name\":\"orders\"},\"http\":{\"request\":{\"id\":"
        "\"4bf9\"}},\"container\":{\"id\":\"9c05\",\"name\":\"shop-orders-1\",\"image\":{\"name\":"
        "\"shop/orders:1.4\"}},\"host\":{\"name\":\"srv-04\"},\"stream\":\"stdout\",\"event\":{"
        "\"sequence\":4711},\"sku\":\"A-9\",\"qty\":3}");
    encoder_free(enc);
    origin_free(o);
}

/* A pod's record, either way; a carriage return that the runtime has left in the text stays. */
static void test_kubernetes(void **state)
{
    static struct field_pair no_such[] = {{(char *)"not_there", (char *)"nor_there"}, {0}};
    struct origin_facts facts = {.kubernetes = {.namespace = BYTES_LITERAL("shop"),
                                                .pod = BYTES_LITERAL("db-0"),
                                                .uid = BYTES_LITERAL("4b5c"),
                                                .container = BYTES_LITERAL("postgres"),
                                                .node = BYTES_LITERAL("n\"1")}};
    struct origin *o = origin_create(&facts);
    struct record r = {.origin = o,
                       .text = BYTES_LITERAL("up\r"),
                       .text_form = TEXT_LINE,
                       .severity = -1,
                       .tags = TAG_CRI_LINE_INVALID};

    (void)state;
    for (int slow = 0; slow < 2; slow++) {
        struct enrich_settings settings = defaults();
        struct encoder *enc;
        struct error e;

        if (slow)
            settings.rename = no_such;
        enc = encoder_create(&settings, BYTES_LITERAL("h"), &e);
        assert_non_null(enc);
        assert_string_equal(
            encode(enc, &r),
            "{\"@timestamp\":\"1970-01-01T00:00:00Z\",\"message\":\"up\\r\",\"kubernetes\":{"
            "\"namespace\":\"shop\",\"pod\":{\"name\":\"db-0\",\"uid\":\"4b5c\"},\"container\":{"
            "\"name\":\"postgres\"},\"node\":{\"name\":\"n\\\"1\"}},\"host\":{\"name\":\"h\"},"
            "\"event\":{\"sequence\":0},\"tags\":[\"cri_line_invalid\"]}");
        encoder_free(enc);
    }
    origin_free(o);
}

static void test_invalid_utf8(void **state)
{
    struct encoder *enc = new_encoder();
    struct record r = {.text_form = TEXT_RAW, .severity = -1, .sequence = 1};

    (void)state;
    r.text = BYTES_LITERAL("a\xff\x01z");
    assert_string_equal(
        encode(enc, &r),
        "{\"@timestamp\":\"1970-01-01T00:00:00Z\",\"message\":\"a\xef\xbf\xbd\\u0001z\","
        "\"host\":{\"name\":\"h\"},\"event\":{\"sequence\":1},\"tags\":[\"utf8_"
        "repaired\"]}");
    r.text = BYTES_LITERAL("{\"msg\":\"m\",\"a\":\"\xff\"}");
    assert_string_equal(encode(enc, &r),
                        "{\"@timestamp\":\"1970-01-01T00:00:00Z\",\"message\":\"m\",\"host\":{"
                        "\"name\":\"h\"},\"event\":{\"sequence\":1},\"tags\":[\"utf8_repaired\"],"
                        "\"a\":\"\xef\xbf\xbd\"}");
    encoder_free(enc);
}

static void test_all_tags(void **state)
{
    struct encoder *enc = new_encoder();
    struct record r = {.text = BYTES_LITERAL("x"),
                       .text_form = TEXT_RAW,
                       .severity = -1,
                       .tags = TAG_TRUNCATED | TAG_DOCKER_LINE_INVALID | TAG_UTF8_REPAIRED |
                               TAG_GELF_JOINED};

    (void)state;
    assert_non_null(strstr(encode(enc, &r), "\"tags\":[\"truncated\",\"docker_line_invalid\","
                                            "\"utf8_repaired\",\"gelf_joined\"]"));
    encoder_free(enc);
}

/* More than a tree holds, or than may be written: the record goes as text, nothing is lost. */
static void test_too_much(void **state)
{
    struct encoder *enc = new_encoder();
    struct strbuf text = {0};
    struct record r = {.text_form = TEXT_RAW, .severity = -1};
    const char *document;

    (void)state;
    /* 1,025 members: one more than are taken apart */
    strbuf_add_str(&text, "{\"k0\":0");
    for (int i = 1; i <= JSON_MAX_MEMBERS; i++)
        strbuf_printf(&text, ",\"k%d\":%d", i, i);
    strbuf_add_str(&text, "}");
    r.text = strbuf_bytes(&text);
    document = encode(enc, &r);
    assert_non_null(strstr(document, "\"message\":\"{\\\"k0\\\":0"));
    assert_non_null(strstr(document, "\"tags\":[\"json_invalid\"]"));

    /* 600 names of 15 levels each: 9,000 nodes */
    strbuf_clear(&text);
    strbuf_add_str(&text, "{\"msg\":\"m\"");
    for (int i = 0; i < 600; i++)
        strbuf_printf(&text, ",\"k%d.a.a.a.a.a.a.a.a.a.a.a.a.a.a\":%d", i, i);
    strbuf_add_str(&text, "}");
    r.text = strbuf_bytes(&text);
    document = encode(enc, &r);
    assert_non_null(strstr(document, "\"message\":\"{\\\"msg\\\":\\\"m\\\""));
    assert_non_null(strstr(document, "k599.a.a"));
    assert_non_null(strstr(document, "\"tags\":[\"json_invalid\"]"));
    encoder_free(enc);
    strbuf_fini(&text);
}

/* GELF members beyond what a tree holds stay as one text. */
static void test_too_many_extras(void **state)
{
    struct encoder *enc = new_encoder();
    static struct json_member m[JSON_MAX_MEMBERS];
    static char keys[JSON_MAX_MEMBERS][48];
    struct record r = {
        .text = BYTES_LITERAL("hi"), .text_form = TEXT_RAW, .severity = -1, .extra = m};
    const char *document;

    (void)state;
    for (int i = 0; i < JSON_MAX_MEMBERS; i++) {
        int n = snprintf(keys[i], sizeof keys[i], "k%d.a.a.a.a.a.a.a.a.a.a.a.a.a.a", i);

        m[i] = (struct json_member){.key = bytes_of(keys[i], (size_t)n),
                                    .value = BYTES_LITERAL("\"v\""),
                                    .key_hash = json_key_hash(bytes_of(keys[i], (size_t)n)),
                                    .type = JSON_STRING,
                                    .flags = JSON_KEY_DOTTED};
    }
    r.n_extra = JSON_MAX_MEMBERS;
    document = encode(enc, &r);
    assert_non_null(strstr(document, "\"message\":\"hi\""));
    assert_non_null(strstr(document, "\"original\":\"{\\\"k0.a.a"));
    assert_non_null(strstr(document, "k1023.a.a.a.a.a.a.a.a.a.a.a.a.a.a\\\":\\\"v\\\"}\""));
    encoder_free(enc);
}

static void test_bad_settings(void **state)
{
    static const struct {
        const char *rename_to, *convert_to, *set_name, *set_value, *want;
    } bad[] = {
        {"container", NULL, NULL, NULL, "container is set by barge"},
        {"host.name", NULL, NULL, NULL, "host.name is set by barge"},
        {"_id", NULL, NULL, NULL, "_id is set by barge"},
        {"event.sequence", NULL, NULL, NULL, "event.sequence is set by barge"},
        {"@timestamp", NULL, NULL, NULL, "@timestamp is set by barge"},
        {"log", NULL, NULL, NULL, "log is an object"},
        {"a..b", NULL, NULL, NULL, "no field name"},
        {"x", NULL, NULL, NULL, "cannot become"},
        {"x.y", NULL, NULL, NULL, "cannot become"},
        {NULL, "integer", NULL, NULL, "none of string, long, double, boolean"},
        {NULL, NULL, "message", "\"x\"", "message is set by barge"},
        {NULL, NULL, "container.id", "\"x\"", "container is set by barge"},
        {NULL, NULL, "user", "\"x\"", "user is an object"},
        {NULL, NULL, "tags", "{\"a\":1}", "a word or a list of words"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct enrich_settings s = defaults();
        struct field_pair rename[2] = {{(char *)"x", (char *)bad[i].rename_to}, {NULL, NULL}};
        struct field_pair convert[2] = {{(char *)"x", (char *)bad[i].convert_to}, {NULL, NULL}};
        struct field_pair set[2] = {{(char *)bad[i].set_name, (char *)bad[i].set_value},
                                    {NULL, NULL}};
        struct error e = {""};

        if (bad[i].rename_to)
            s.rename = rename;
        if (bad[i].convert_to)
            s.convert = convert;
        if (bad[i].set_name)
            s.fields = set;
        assert_null(encoder_create(&s, BYTES_LITERAL("h"), &e));
        if (!strstr(e.text, bad[i].want))
            fail_msg("%zu: %s", i, e.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_order),        cmocka_unit_test(test_kubernetes),
        cmocka_unit_test(test_invalid_utf8), cmocka_unit_test(test_all_tags),
        cmocka_unit_test(test_too_much),     cmocka_unit_test(test_too_many_extras),
        cmocka_unit_test(test_bad_settings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

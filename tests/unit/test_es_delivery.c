/*
 * The whole delivery against a scripted server: what arrives, how often, and whether frontier and
 * books are exact. The buffer's stand-in checks at each advance that the outcome's sum is the way
 * gone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/es_stage.h"

static void test_plain(void **state)
{
    struct fixture *f = *state;

    put(f, 0, 3000, "a-1", "");
    start(f);
    UNTIL(f, reached(f, 3000));
    put(f, 3000, 10, "b-1", "");
    UNTIL(f, reached(f, 3010));
    finish(f);
    check_store(f, 3010, NULL);
    check_books(f, 3010, 0, 0);
}

static void test_gzip(void **state)
{
    struct fixture *f = *state;

    f->config.elasticsearch.gzip = true;
    put(f, 0, 3000, "a-1", "");
    start(f);
    UNTIL(f, reached(f, 3000));
    finish(f);
    check_store(f, 3000, NULL);
    check_books(f, 3000, 0, 0);
}

/* A record larger than any batch goes alone. */
static void test_oversize(void **state)
{
    struct fixture *f = *state;
    static char big[200000];

    memset(big, 'x', sizeof big - 1);
    for (int i = 0; i < 3; i++) {
        char *document = NULL;

        ASSERT(asprintf(&document, "{\"n\":%d,\"x\":\"%s\"}", i, i == 1 ? big : "s") > 0);
        buffer_put(f->buffer, "a-1", document);
        free(document);
    }
    start(f);
    UNTIL(f, reached(f, 3));
    finish(f);
    check_store(f, 3, NULL);
}

static int mixed_item(struct server *s, const struct server_item *i, const char **error)
{
    static uint32_t random = 12345;

    (void)s;
    (void)i;
    random = random * 1664525 + 1013904223;
    switch (random >> 29) {
    case 0:
        *error = "{\"type\":\"es_rejected_execution_exception\",\"reason\":\"queue full\"}";
        return 429;
    case 1:
        *error = "{\"type\":\"unavailable_shards_exception\",\"reason\":\"primary shard is not "
                 "active\"}";
        return 503;
    case 2:
        *error = "{\"type\":\"null_pointer_exception\",\"reason\":null}";
        return 500;
    default:
        return 0;
    }
}

static void test_mixed_items(void **state)
{
    struct fixture *f = *state;

    f->server.on_item = mixed_item;
    put(f, 0, 1000, "a-1", "");
    put(f, 1000, 1000, "b-1", "");
    start(f);
    UNTIL(f, reached(f, 2000));
    finish(f);
    check_store(f, 2000, NULL);
    check_books(f, 2000, 0, 0);
    assert_int_equal(letters.n, 0);
}

/* ESF-05: the answer is lost, everything is indexed: again, and all are duplicates. */
static struct server_reply lose_first(struct server *s, const struct server_request *r)
{
    (void)s;
    if (r->number == 0)
        return (struct server_reply){.act = CLOSE_AFTER, .index_first = true};
    return (struct server_reply){0};
}

static void test_lost_answer(void **state)
{
    struct fixture *f = *state;

    f->server.on_request = lose_first;
    put(f, 0, 100, "a-1", "");
    start(f);
    UNTIL(f, reached(f, 100));
    finish(f);
    check_store(f, 100, NULL);
    check_books(f, 0, 100, 0);
}

/* Answers that must never count, one after another, then good ones. */
static struct server_reply odd_answers(struct server *s, const struct server_request *r)
{
    static const struct server_reply list[] = {
        {.act = ANSWER, .extra_items = 1},
        {.act = ANSWER, .extra_items = -1},
        {.act = ANSWER, .status = 200, .body = "<html>hello</html>"},
        {.act = ANSWER, .status = 200, .body = ""},
        {.act = RAW,
         .body = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
                 "{\"errors\":false,\"items\":[{\"create\":{\"status\":201}},"},
        {.act = ANSWER, .status = 302, .headers = "Location: http://127.0.0.1:1/\r\n"},
        {.act = ANSWER, .status = 204},
        {.act = ANSWER, .status = 501, .body = "no"},
    };

    (void)s;
    return r->number < ARRAY_LEN(list) ? list[r->number] : (struct server_reply){0};
}

static void test_odd_answers(void **state)
{
    struct fixture *f = *state;

    f->server.on_request = odd_answers;
    put(f, 0, 1, "a-1", "");
    start(f);
    /* The breaker opens again and again on the way; a reload has everything tried at once. */
    UNTIL(f, (output_elasticsearch.reload(f->output), reached(f, 1)));
    finish(f);
    check_store(f, 1, NULL);
    assert_int_equal(f->buffer->total.delivered + f->buffer->total.duplicate, 1);
    assert_true(f->server.requests >= 8);
    assert_int_equal(letters.n, 0);
}

static struct server_reply at_most_8k(struct server *s, const struct server_request *r)
{
    (void)s;
    if (r->bytes > 8000)
        return (struct server_reply){
            .act = ANSWER, .status = 413, .headers = "Connection: close\r\n"};
    return (struct server_reply){0};
}

static void test_413(void **state)
{
    struct fixture *f = *state;
    static const int except[] = {500, -1};
    static char big[9000];
    char *document = NULL;

    memset(big, 'x', sizeof big - 1);
    f->server.on_request = at_most_8k;
    put(f, 0, 500, "a-1", "");
    ASSERT(asprintf(&document, "{\"n\":500,\"x\":\"%s\"}", big) > 0);
    buffer_put(f->buffer, "a-1", document);
    free(document);
    put(f, 501, 499, "a-1", "");
    start(f);
    UNTIL(f, reached(f, 1000));
    put(f, 1000, 500, "a-1", "");
    UNTIL(f, reached(f, 1500));
    finish(f);
    check_store(f, 1500, except);
    check_books(f, 1499, 0, 1);
    assert_int_equal(letters.n, 1);
    assert_int_equal(letters.list[0].seq, 500);
    assert_non_null(strstr(letters.list[0].reason, "too_large"));
    assert_int_equal(letters.synced, 1);
}

static struct server_reply poison_400(struct server *s, const struct server_request *r)
{
    (void)s;
    for (size_t i = 0; i < r->n; i++)
        if (r->items[i].number == 613)
            return (struct server_reply){
                .act = ANSWER,
                .status = 400,
                .body =
                    "{\"error\":{\"type\":\"illegal_argument_exception\",\"reason\":\"Malformed "
                    "action/metadata line\"},\"status\":400}"};
    return (struct server_reply){0};
}

static void test_poisoned_request(void **state)
{
    struct fixture *f = *state;
    static const int except[] = {613, -1};

    f->config.elasticsearch.batch_bytes = 1 << 20;
    f->server.on_request = poison_400;
    put(f, 0, 1000, "a-1", "");
    start(f);
    UNTIL(f, reached(f, 1000));
    finish(f);
    check_store(f, 1000, except);
    check_books(f, 999, 0, 1);
    assert_int_equal(letters.n, 1);
    assert_int_equal(letters.list[0].seq, 613);
    /* Halving of up to 1000 records in up to three segments, and a second look at the one. */
    assert_true(f->server.requests <= 3 + 2 * 10 + 1);
}

static atomic_bool heal;

static struct server_reply all_400(struct server *s, const struct server_request *r)
{
    (void)s;
    (void)r;
    if (atomic_load(&heal))
        return (struct server_reply){0};
    return (struct server_reply){.act = ANSWER,
                                 .status = 400,
                                 .body = "{\"error\":{\"type\":\"illegal_argument_exception\","
                                         "\"reason\":\"no\"},\"status\":400}"};
}

/* It is the request, not the records: nothing is condemned. */
static void test_every_request_400(void **state)
{
    struct fixture *f = *state;

    atomic_store(&heal, false);
    f->server.on_request = all_400;
    put(f, 0, 8, "a-1", "");
    start(f);
    UNTIL(f, f->server.requests >= 12);
    assert_int_equal(letters.n, 0);
    atomic_store(&heal, true);
    UNTIL(f, reached(f, 8));
    finish(f);
    check_store(f, 8, NULL);
    check_books(f, 8, 0, 0);
    assert_int_equal(letters.n, 0);
}

static atomic_bool asked_for_1;

/* Refuses the first two together; takes the one while it is being asked for the other, which it
 * then refuses late, and once. */
static struct server_reply heals_while_asked(struct server *s, const struct server_request *r)
{
    struct server_reply refused = all_400(s, r);
    bool *late = s->script_data;

    if (r->n > 1)
        return refused;
    if (r->items[0].number == 0)
        return (struct server_reply){.until = &asked_for_1};
    if (r->items[0].number > 1 || *late)
        return (struct server_reply){0};
    atomic_store(&asked_for_1, true);
    *late = true;
    refused.until = &heal;
    return refused;
}

/* That another was taken while the host was asked for a record proves nothing against the record:
 * it is asked for again. */
static void test_a_host_that_heals_while_it_is_asked(void **state)
{
    struct fixture *f = *state;
    bool late = false;

    f->config.elasticsearch.max_in_flight = 2;
    atomic_store(&heal, false);
    atomic_store(&asked_for_1, false);
    f->server.script_data = &late;
    f->server.on_request = heals_while_asked;
    put(f, 0, 2, "a-1", "");
    start(f);
    UNTIL(f, f->server.created == 1);
    /* One request waits; that there is another shows that the first one's answer has been read. */
    put(f, 2, 1, "a-1", "");
    UNTIL(f, f->server.created == 2);
    atomic_store(&heal, true);
    UNTIL(f, reached(f, 3));
    finish(f);
    assert_true(late);
    assert_int_equal(letters.n, 0);
    check_store(f, 3, NULL);
    check_books(f, 3, 0, 0);
}

static struct server_reply hang_first(struct server *s, const struct server_request *r)
{
    (void)s;
    if (r->number == 0)
        return (struct server_reply){.act = HANG, .index_first = true};
    return (struct server_reply){0};
}

static void test_hang(void **state)
{
    struct fixture *f = *state;

    f->config.elasticsearch.timeout_ms = 200;
    f->server.on_request = hang_first;
    put(f, 0, 50, "a-1", "");
    start(f);
    UNTIL(f, reached(f, 50));
    finish(f);
    check_store(f, 50, NULL);
    check_books(f, 0, 50, 0);
    /* The connection that may still bring a late answer was not used again. */
    assert_int_equal(f->server.n_connections, 2);
}

/* es#139707: a document that makes the node hang for ever must not stop the others. */
static struct server_reply hang_with_7(struct server *s, const struct server_request *r)
{
    (void)s;
    for (size_t i = 0; i < r->n; i++)
        if (r->items[i].number == 7)
            return (struct server_reply){.act = HANG};
    return (struct server_reply){0};
}

static void test_hanging_record(void **state)
{
    struct fixture *f = *state;
    static const int except[] = {7, -1};

    f->config.elasticsearch.timeout_ms = 100;
    f->config.elasticsearch.max_in_flight = 1;
    f->server.on_request = hang_with_7;
    put(f, 0, 16, "a-1", "");
    start(f);
    UNTIL(f, f->server.created == 15);
    check_store(f, 16, except);
    put(f, 16, 10, "a-1", "");
    UNTIL(f, f->server.created == 25);
    output_elasticsearch.stop(f->output, 300);
    f->output = NULL;
    /* It waits, and all before it is known to be finished. */
    assert_int_equal(f->buffer->frontier.seq, 7);
    check_books(f, 7, 0, 0);
}

static int refuse_text(struct server *s, const struct server_item *i, const char **error)
{
    (void)s;
    if (memmem(i->document.p, i->document.n, ",\"time\":\"", 9) == NULL)
        return 0;
    *error =
        "{\"type\":\"document_parsing_exception\",\"reason\":\"[1:50] failed to parse field [time] "
        "of type [long] in document with id 'x'. Preview of field's value: 'abc'\"}";
    return 400;
}

static void test_folding(void **state)
{
    struct fixture *f = *state;
    uint64_t refused = metric_get(M_OUT_REFUSED);

    f->server.on_item = refuse_text;
    put(f, 0, 5, "a-1", ",\"time\":5");
    put(f, 5, 5, "a-1", ",\"time\":\"abc\"");
    start(f);
    UNTIL(f, reached(f, 10));
    assert_int_equal(metric_get(M_OUT_REFUSED) - refused, 5);
    /* Now it is known for this index, and for text only. */
    put(f, 10, 5, "a-1", ",\"time\":\"abc\"");
    put(f, 15, 5, "a-1", ",\"time\":5");
    UNTIL(f, reached(f, 20));
    assert_int_equal(metric_get(M_OUT_REFUSED) - refused, 5);
    finish(f);
    check_store(f, 20, NULL);
    check_books(f, 20, 0, 0);
    assert_string_equal(
        f->server.documents[7],
        "{\"@timestamp\":\"2018-11-23T09:00:00Z\",\"n\":7,\"event\":{\"sequence\":7,\"original\":"
        "\"{"
        "\\\"time\\\":\\\"abc\\\"}\"},\"barge\":{\"refused\":\"document_parsing_exception: [1:50] "
        "failed to parse field [time] of type [long] in document with id 'x'. Preview of field's "
        "value: 'abc'\"}}");
    assert_string_equal(f->server.documents[12],
                        "{\"@timestamp\":\"2018-11-23T09:00:00Z\",\"n\":12,\"event\":{\"sequence\":"
                        "12,\"original\":\"{"
                        "\\\"time\\\":\\\"abc\\\"}\"},\"barge\":{\"refused\":\"failed to parse "
                        "field [time] of type "
                        "[long]\"}}");
    assert_non_null(strstr(f->server.documents[17], "\"time\":5}"));
}

static int refuse_9(struct server *s, const struct server_item *i, const char **error)
{
    (void)s;
    if (i->number != 9 && memmem(i->document.p, i->document.n, "\\\"n\\\":9", 7) == NULL)
        return 0;
    *error =
        "{\"type\":\"illegal_argument_exception\",\"reason\":\"Limit of total fields [1000] has "
        "been exceeded while adding new fields [1]\"}";
    return 400;
}

static void test_refused_again(void **state)
{
    struct fixture *f = *state;
    static const int except[] = {9, -1};

    letters.refuses = true; /* a full disk: the record waits, the others go on */
    f->server.on_item = refuse_9;
    put(f, 0, 20, "a-1", "");
    start(f);
    UNTIL(f, f->server.created == 19);
    assert_false(reached(f, 10));
    letters.refuses = false;
    UNTIL(f, reached(f, 20));
    finish(f);
    check_store(f, 20, except);
    check_books(f, 19, 0, 1);
    assert_int_equal(letters.n, 1);
    assert_non_null(strstr(letters.list[0].reason, "Limit of total fields"));
    assert_string_equal(
        letters.list[0].document,
        "{\"@timestamp\":\"2018-11-23T09:00:00Z\",\"n\":9,\"event\":{\"sequence\":9}}");
}

static atomic_bool a_closed;

static int closed_a(struct server *s, const struct server_item *i, const char **error)
{
    (void)s;
    if (!atomic_load(&a_closed) || i->index.p[0] != 'a')
        return 0;
    *error = "{\"type\":\"index_closed_exception\",\"reason\":\"closed\"}";
    return 400;
}

static void test_closed_index(void **state)
{
    struct fixture *f = *state;

    atomic_store(&a_closed, true);
    f->server.on_item = closed_a;
    for (unsigned i = 0; i < 2000; i += 2) {
        put(f, i, 1, "a-1", "");
        put(f, i + 1, 1, "b-1", "");
    }
    start(f);
    UNTIL(f, f->server.created == 1000);
    for (unsigned i = 2000; i < 3000; i += 2) {
        put(f, i, 1, "a-1", "");
        put(f, i + 1, 1, "b-1", "");
    }
    UNTIL(f, f->server.created == 1500);
    assert_false(reached(f, 1));
    atomic_store(&a_closed, false);
    UNTIL(f, reached(f, 3000));
    finish(f);
    check_store(f, 3000, NULL);
    check_books(f, 3000, 0, 0);
    assert_int_equal(letters.n, 0);
}

static void test_parking(void **state)
{
    struct fixture *f = *state;
    size_t before;

    atomic_store(&a_closed, true);
    f->config.elasticsearch.park_after_ms = 300;
    f->server.on_item = closed_a;
    for (unsigned i = 0; i < 1200; i += 2) {
        put(f, i, 1, "a-1", "");
        put(f, i + 1, 1, "b-1", "");
    }
    start(f);
    UNTIL(f, reached(f, 1200));
    check_books(f, 600, 0, 600);
    assert_int_equal(letters.synced, 600);
    assert_true(letters.list[0].parked);
    assert_string_equal(letters.list[0].reason, "index_closed_exception: closed");
    assert_int_equal(metric_get(M_OUT_PARKED), 600);
    before = letters.unparked;
    /* It opens: the sample shows it, and the parked are handed back. */
    atomic_store(&a_closed, false);
    UNTIL(f, metric_get(M_OUT_PARKED) == 0);
    finish(f);
    assert_int_equal(letters.unparked, before + 1);
    assert_int_equal(f->server.created, 601);
}

/* What an earlier life has parked is handed back when its index accepts, though no new record
 * comes. */
static void test_parked_before(void **state)
{
    struct fixture *f = *state;

    atomic_store(&a_closed, true);
    letters.parked_before = 7;
    f->server.on_item = closed_a;
    start(f);
    UNTIL(f, f->server.requests >= 2);
    assert_int_equal(metric_get(M_OUT_PARKED), 7);
    assert_int_equal(letters.unparked, 0);
    atomic_store(&a_closed, false);
    UNTIL(f, metric_get(M_OUT_PARKED) == 0);
    finish(f);
    assert_int_equal(letters.unparked, 1);
    assert_int_equal(f->server.created, 1);
}

/* Records at which the node breaks, without being able to say that it is their fault. */
static int broken_by_some(struct server *s, const struct server_item *i, const char **error)
{
    (void)s;
    if (i->number % 10 != 3)
        return 0;
    *error = "{\"type\":\"null_pointer_exception\",\"reason\":\"oops\"}";
    return 500;
}

/* They do not hold up the others, however many they are, and not the buffer for ever either. */
static void test_breaking_records(void **state)
{
    struct fixture *f = *state;
    static int except[301];

    for (int i = 0; i < 300; i++)
        except[i] = 10 * i + 3;
    except[300] = -1;
    f->config.elasticsearch.batch_bytes = 8 << 10;
    f->config.elasticsearch.park_after_ms = 3000;
    f->server.on_item = broken_by_some;
    put(f, 0, 3000, "a-1", "");
    start(f);
    UNTIL(f, f->server.created == 2700);
    assert_true(metric_get(M_OUT_PARKED) == 0);
    UNTIL(f, reached(f, 3000));
    finish(f);
    check_store(f, 3000, except);
    check_books(f, 2700, 0, 300);
    assert_true(letters.list[0].parked);
    assert_string_equal(letters.list[0].reason, "null_pointer_exception: oops");
}

static struct server_reply hang_all(struct server *s, const struct server_request *r)
{
    (void)s;
    (void)r;
    return (struct server_reply){.act = HANG};
}

static void test_stop_while_hanging(void **state)
{
    struct fixture *f = *state;
    uint64_t began;

    f->server.on_request = hang_all;
    put(f, 0, 100, "a-1", "");
    start(f);
    UNTIL(f, f->server.requests >= 1);
    began = clock_mono_ms();
    output_elasticsearch.stop(f->output, 200);
    f->output = NULL;
    assert_true(clock_mono_ms() - began < 2000);
    assert_int_equal(f->buffer->frontier.seq, 0);
}

static struct server_reply need_key(struct server *s, const struct server_request *r)
{
    (void)s;
    if (strstr(r->head, "Authorization: ApiKey second\r\n") != NULL)
        return (struct server_reply){0};
    return (struct server_reply){
        .act = ANSWER,
        .status = 401,
        .body =
            "{\"error\":{\"type\":\"security_exception\",\"reason\":\"unable to authenticate\"},"
            "\"status\":401}"};
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    ASSERT(file != NULL);
    fputs(text, file);
    fclose(file);
}

static void test_credentials(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/barge-test-key-XXXXXX";

    close(mkstemp(path));
    write_file(path, "first\n");
    f->config.elasticsearch.api_key_file = path;
    f->server.on_request = need_key;
    put(f, 0, 10, "a-1", "");
    start(f);
    UNTIL(f, f->server.requests >= 1);
    UNTIL(f, metric_get(M_OUT_BREAKER) == 2);
    write_file(path, "second\n");
    output_elasticsearch.reload(f->output);
    UNTIL(f, reached(f, 10));
    finish(f);
    unlink(path);
    check_store(f, 10, NULL);
    assert_int_equal(letters.n, 0);
}

static struct server_reply busy_first(struct server *s, const struct server_request *r)
{
    (void)s;
    if (r->number < 2)
        return (struct server_reply){
            .act = ANSWER, .status = r->number == 0 ? 429 : 503, .headers = "Retry-After: 0\r\n"};
    return (struct server_reply){0};
}

static void test_busy(void **state)
{
    struct fixture *f = *state;

    f->server.on_request = busy_first;
    put(f, 0, 100, "a-1", "");
    start(f);
    UNTIL(f, reached(f, 100));
    finish(f);
    check_store(f, 100, NULL);
    check_books(f, 100, 0, 0);
}

/* A node that others keep so busy that there is room for this much at a time. */
static struct server_reply busy_beyond(struct server *s, const struct server_request *r)
{
    unsigned *refused = s->script_data;

    if (r->bytes <= 100 << 10)
        return (struct server_reply){0};
    ++*refused;
    return (struct server_reply){
        .act = ANSWER,
        .status = 429,
        .body = "{\"error\":{\"type\":\"es_rejected_execution_exception\",\"reason\":\"full\"},"
                "\"status\":429}"};
}

/* They become smaller, what was refused as well, and stay so for a while. */
static void test_busy_with_large_requests(void **state)
{
    struct fixture *f = *state;
    unsigned refused = 0;
    char more[1000];

    snprintf(more, sizeof more, ",\"pad\":\"%0900d\"", 0);
    f->config.elasticsearch.batch_bytes = 1 << 20;
    f->config.elasticsearch.max_in_flight = 1;
    f->server.script_data = &refused;
    f->server.on_request = busy_beyond;
    put(f, 0, 1500, "a-1", more);
    start(f);
    UNTIL(f, reached(f, 1500));
    finish(f);
    check_store(f, 1500, NULL);
    check_books(f, 1500, 0, 0);
    assert_in_range(refused, 1, 3);
}

static struct server_reply note_largest(struct server *s, const struct server_request *r)
{
    size_t *largest = s->script_data;

    *largest = MAX(*largest, r->bytes);
    return (struct server_reply){0};
}

/* One host is not there: the other takes all, in requests as large as ever. */
static void test_two_hosts(void **state)
{
    struct fixture *f = *state;
    static char nobody[] = "http://127.0.0.1:9";
    size_t largest = 0;
    unsigned n = 5000;
    char more[1000];

    snprintf(more, sizeof more, ",\"pad\":\"%0900d\"", 0);
    metric_set(M_OUT_BREAKER, 0);
    f->config.elasticsearch.batch_bytes = 1 << 20;
    f->hosts[0] = nobody;
    f->hosts[1] = f->url;
    put(f, 0, 5000, "a-1", more);
    start(f);
    UNTIL(f, reached(f, n));
    /* Until it is known that there is nobody. */
    for (; metric_get(M_OUT_BREAKER) != 2; n++) {
        put(f, n, 1, "a-1", "");
        UNTIL(f, reached(f, n + 1));
    }
    pthread_mutex_lock(&f->server.lock);
    f->server.script_data = &largest;
    f->server.on_request = note_largest;
    pthread_mutex_unlock(&f->server.lock);
    put(f, n, 5000, "a-1", more);
    UNTIL(f, reached(f, n + 5000));
    finish(f);
    assert_true(largest > 500000); /* beginning anew they would come to half of that */
    check_store(f, n + 5000, NULL);
    check_books(f, n + 5000, 0, 0);
}

/* Records that can no longer be read when they are to be sent again. */
static int later_429(struct server *s, const struct server_item *i, const char **error)
{
    struct fixture *f = s->arg;

    if (i->number != 5 || f->buffer->list[5].damaged)
        return 0;
    f->buffer->list[5].damaged = true;
    *error = "{\"type\":\"es_rejected_execution_exception\",\"reason\":\"full\"}";
    return 429;
}

static void test_damaged(void **state)
{
    struct fixture *f = *state;
    static const int except[] = {5, 20, 21, -1};

    f->server.on_item = later_429;
    put(f, 0, 30, "a-1", "");
    f->buffer->list[20].damaged = f->buffer->list[21].damaged = true;
    start(f);
    UNTIL(f, reached(f, 30));
    finish(f);
    check_store(f, 30, except);
    check_books(f, 27, 0, 0);
    assert_int_equal(f->buffer->total.damaged, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_plain),
        TEST(test_gzip),
        TEST(test_oversize),
        TEST(test_mixed_items),
        TEST(test_lost_answer),
        TEST(test_odd_answers),
        TEST(test_413),
        TEST(test_poisoned_request),
        TEST(test_every_request_400),
        TEST(test_a_host_that_heals_while_it_is_asked),
        TEST(test_hang),
        TEST(test_hanging_record),
        TEST(test_folding),
        TEST(test_refused_again),
        TEST(test_closed_index),
        TEST(test_parking),
        TEST(test_breaking_records),
        TEST(test_parked_before),
        TEST(test_stop_while_hanging),
        TEST(test_credentials),
        TEST(test_busy),
        TEST(test_busy_with_large_requests),
        TEST(test_two_hosts),
        TEST(test_damaged),
    };

    log_init(getenv("TEST_FILTER") ? LOG_DEBUG : LOG_ERROR, LOG_LOGFMT);
    cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests_name("es_delivery", tests, NULL, NULL);
}

/* GELF messages into slices: the rules one by one, and what real senders sent (tests/corpus). */
#include "parsers/gelf_message.h"
#include "tests/unit/gelf_corpus.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct json_member members[JSON_MAX_MEMBERS];

static struct gelf_message parse(const char *text)
{
    struct gelf_message m;

    assert_true(gelf_message_parse(bytes_str(text), members, ARRAY_LEN(members), &m));
    return m;
}

static void assert_bytes(struct bytes s, const char *want)
{
    if (!bytes_is(s, want))
        fail_msg("\"%.*s\" is not \"%s\"", (int)s.n, s.p, want);
}

/* The extra members as one text: key=value;… */
static const char *extra(const struct gelf_message *m)
{
    static struct strbuf b;

    strbuf_clear(&b);
    strbuf_add_str(&b, "");
    for (size_t i = 0; i < m->n_extra; i++) {
        assert_int_equal(m->extra[i].key_hash, json_key_hash(m->extra[i].key));
        strbuf_add_bytes(&b, m->extra[i].key);
        strbuf_add_char(&b, '=');
        strbuf_add_bytes(&b, m->extra[i].value);
        strbuf_add_char(&b, ';');
    }
    return b.p ? b.p : "";
}

static void test_plain(void **state)
{
    struct gelf_message m =
        parse("{\"version\":\"1.1\",\"host\":\"srv-1\",\"short_message\":\"hi \\\"x\\\"\","
              "\"full_message\":\"hi\\nmore\",\"timestamp\":1795406203.568,"
              "\"level\":4,\"_request_id\":\"r1\",\"_n\":1.50,\"_ok\":true}");

    (void)state;
    assert_bytes(m.host, "srv-1");
    assert_bytes(m.short_message, "hi \\\"x\\\"");
    assert_bytes(m.full_message, "hi\\nmore");
    assert_bytes(m.timestamp, "1795406203.568");
    assert_int_equal(m.level, 4);
    assert_false(m.from_docker);
    assert_string_equal(extra(&m), "request_id=\"r1\";n=1.50;ok=true;");
}

static void test_odd_members(void **state)
{
    static const struct {
        const char *text, *extra;
        int level;
    } cases[] = {
        /* one underscore goes, exactly one */
        {"{\"short_message\":\"m\",\"_id\":\"5\",\"__id\":1,\"_\":2,\"plain\":3}",
         "id=\"5\";_id=1;=2;plain=3;", -1},
        /* nulls go, arrays and objects stay */
        {"{\"short_message\":\"m\",\"_a\":null,\"_b\":[1,{\"c\":2}]}", "b=[1,{\"c\":2}];", -1},
        /* GELF 1.0 */
        {"{\"version\":\"1.0\",\"short_message\":\"m\",\"facility\":\"f\",\"line\":7,\"file\":\"x."
         "c\"}",
         "facility=\"f\";line=7;file=\"x.c\";", -1},
        /* what is not what GELF allows stays as a member */
        {"{\"short_message\":\"m\",\"version\":\"3.2.1\",\"host\":7,\"level\":\"info\","
         "\"timestamp\":\"NaN\"}",
         "version=\"3.2.1\";host=7;level=\"info\";timestamp=\"NaN\";", -1},
        {"{\"short_message\":\"m\",\"level\":8,\"timestamp\":-1}", "level=8;timestamp=-1;", -1},
        {"{\"short_message\":\"m\",\"timestamp\":1e999}", "timestamp=1e999;", -1},
        {"{\"short_message\":\"m\",\"timestamp\":{\"s\":1},\"@timestamp\":{}}",
         "timestamp={\"s\":1};@timestamp={};", -1},
        {"{\"short_message\":\"m\",\"host\":\"  \",\"_x\":\"\"}", "host=\"  \";x=\"\";", -1},
        {"{\"short_message\":\"m\",\"level\":\"3\"}", "", 3},
        {"{\"short_message\":\"m\",\"level\":0}", "", 0},
        {"{\"short_message\":\"m\",\"level\":1.5}", "level=1.5;", -1},
        /* the last of several */
        {"{\"short_message\":\"m\",\"_a\":1,\"_b\":2,\"_a\":3}", "b=2;a=3;", -1},
        /* what follows the object */
        {"{\"short_message\":\"m\",\"_a\":\"}\\\"}\"}\n", "a=\"}\\\"}\";", -1},
        {"{\"short_message\":\"m\",\"_a\":1} {\"short_message\":\"n\"}", "a=1;", -1},
        {"{\"short_message\":\"m\",\"_a\":1}garbage", "a=1;", -1},
        /* message beside short_message is a member like others */
        {"{\"short_message\":\"m\",\"message\":\"other\"}", "message=\"other\";", -1},
        {"{\"short_message\":\"m\",\"_container_id\":\"c1\",\"_tag\":\"t\"}", "tag=\"t\";", -1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct gelf_message m = parse(cases[i].text);

        assert_bytes(m.short_message, "m");
        assert_string_equal(extra(&m), cases[i].extra);
        assert_int_equal(m.level, cases[i].level);
        assert_int_equal(m.timestamp.n, 0);
        assert_int_equal(m.host.n, 0);
    }
}

static void test_message_instead(void **state)
{
    struct gelf_message m = parse("{\"message\":\"m\",\"_a\":1}");

    (void)state;
    assert_bytes(m.short_message, "m");
    assert_string_equal(extra(&m), "a=1;");
    m = parse("{\"short_message\":\" \\t\",\"_b\":2,\"message\":\"m\",\"_a\":1}");
    assert_bytes(m.short_message, "m");
    assert_string_equal(extra(&m), "b=2;a=1;");
    m = parse("{\"timestamp\":\"1795406203.5\",\"_a\":1}");
    assert_int_equal(m.short_message.n, 0);
    assert_bytes(m.timestamp, "1795406203.5");
}

static void test_refused(void **state)
{
    static const char *const texts[] = {"",
                                        "x",
                                        "[1]",
                                        "{}",
                                        "{\"version\":\"1.1\",\"host\":\"h\"}",
                                        "{\"_a\":null}",
                                        "{\"short_message\":\"m\"",
                                        "{\"short_message\":}",
                                        "{\"short_message\":\"m\",}"};
    struct gelf_message m;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_false(gelf_message_parse(bytes_str(texts[i]), members, ARRAY_LEN(members), &m));
}

static void test_docker(void **state)
{
    struct gelf_message m =
        parse("{\"version\":\"1.1\",\"host\":\"vm\",\"short_message\":\"hello\",\"timestamp\":"
              "1795406203.568,"
              "\"level\":6,\"_a.b/c\":\"1\",\"_command\":\"/bin/sh\",\"_container_id\":\"0123\","
              "\"_container_name\":\"web\",\"_created\":\"2026-11-23T03:56:43.5Z\",\"_image_id\":"
              "\"sha256:ab\","
              "\"_image_name\":\"nginx:1.25\",\"_tag\":\"zz\"}");

    (void)state;
    assert_true(m.from_docker);
    assert_bytes(m.container_id, "0123");
    assert_bytes(m.container_name, "web");
    assert_bytes(m.image_name, "nginx:1.25");
    assert_bytes(m.tag, "zz");
    assert_int_equal(m.level, 6);
    assert_string_equal(extra(&m), "a.b/c=\"1\";");
    /* without one of them it is another sender, and everything but the container's names is its own
     */
    m = parse("{\"short_message\":\"hello\",\"_command\":\"/bin/sh\",\"_container_id\":\"0123\","
              "\"_container_name\":\"web\",\"_image_id\":\"i\",\"_tag\":\"t\"}");
    assert_false(m.from_docker);
    assert_bytes(m.container_id, "0123");
    assert_int_equal(m.tag.n, 0);
    assert_string_equal(extra(&m), "command=\"/bin/sh\";image_id=\"i\";tag=\"t\";");
}

static void test_many(void **state)
{
    struct strbuf b = {0};
    struct gelf_message m;

    (void)state;
    strbuf_add_str(&b, "{\"short_message\":\"m\"");
    for (int i = 0; i < JSON_MAX_MEMBERS - 1; i++)
        strbuf_printf(&b, ",\"_k\":%d", i);
    strbuf_add_str(&b, "}");
    m = parse(b.p);
    assert_string_equal(extra(&m), "k=1022;");
    b.n--;
    strbuf_add_str(&b, ",\"_one_more\":1}");
    assert_false(gelf_message_parse(strbuf_bytes(&b), members, ARRAY_LEN(members), &m));
    strbuf_fini(&b);
}

static void assert_member(yajl_val msg, const char *name, struct bytes inside)
{
    yajl_val v = corpus_member(msg, name);
    char *decoded;
    size_t n;

    if (!v) {
        assert_int_equal(inside.n, 0);
        return;
    }
    decoded = base_alloc(inside.n + 33);
    n = json_unescape(inside, decoded);
    decoded[n] = '\0';
    assert_string_equal(decoded, v->u.string);
    free(decoded);
}

/* Each message that an independent reader decoded from what Docker and npm clients sent. */
static void test_corpus(void **state)
{
    static const char *const patterns[] = {CORPUS "docker26/gelf/udp/*/decoded.jsonl",
                                           CORPUS "gelf-npm/*/decoded.jsonl"};
    size_t count = 0, docker = 0;

    (void)state;
    for (size_t p = 0; p < ARRAY_LEN(patterns); p++) {
        glob_t found;

        assert_int_equal(glob(patterns[p], 0, NULL, &found), 0);
        for (size_t i = 0; i < found.gl_pathc; i++) {
            struct strbuf file = files_read(found.gl_pathv[i]);

            for (char *line = file.p, *end; line < file.p + file.n; line = end + 1) {
                char *text;
                yajl_val whole, msg, v;
                struct gelf_message m;
                size_t known = 0;

                end = memchr(line, '\n', (size_t)(file.p + file.n - line));
                assert_non_null(end);
                text = memmem(line, (size_t)(end - line), "\"msg\": ", 7);
                assert_non_null(text);
                text += 7;
                whole = corpus_json(bytes_of(line, (size_t)(end - line)));
                msg = corpus_member(whole, "msg");
                assert_true(gelf_message_parse(bytes_of(text, (size_t)(end - 1 - text)), members,
                                               ARRAY_LEN(members), &m));
                assert_member(msg, "host", m.host);
                assert_member(msg, "short_message", m.short_message);
                assert_member(msg, "full_message", m.full_message);
                v = corpus_member(msg, "timestamp");
                assert_int_equal(m.timestamp.n, strlen(v->u.number.r));
                assert_memory_equal(m.timestamp.p, v->u.number.r, m.timestamp.n);
                assert_int_equal(m.level, corpus_member(msg, "level")->u.number.i);
                assert_int_equal(m.from_docker, corpus_member(msg, "_created") != NULL);
                docker += m.from_docker;
                if (m.from_docker) {
                    assert_member(msg, "_container_id", m.container_id);
                    assert_member(msg, "_container_name", m.container_name);
                    assert_member(msg, "_image_name", m.image_name);
                    assert_member(msg, "_tag", m.tag);
                    known = 7;
                }
                known += (m.full_message.n > 0) + 5;
                assert_int_equal(m.n_extra + known, msg->u.object.len);
                yajl_tree_free(whole);
                count++;
            }
            strbuf_fini(&file);
        }
        globfree(&found);
    }
    assert_in_range(docker, 250, 10000);
    assert_in_range(count, docker + 20, 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),           cmocka_unit_test(test_odd_members),
        cmocka_unit_test(test_message_instead), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_docker),          cmocka_unit_test(test_many),
        cmocka_unit_test(test_corpus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

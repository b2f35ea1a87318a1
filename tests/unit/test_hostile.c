/*
 * Records made to be dear. Whoever writes to a log, or sends GELF, must not be able to keep the
 * intake thread busy: its time is bounded by the length of what came, whatever it says. Each case
 * was once thousands of times dearer than it had to be.
 */
#include "agent/base/hash.h"
#include "agent/base/strbuf.h"
#include "parsers/document.h"
#include "parsers/gelf_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOWER 30
#elif defined(__has_feature)
#define SLOWER 30
#else
#define SLOWER 1
#endif

static struct encoder *enc;

static int set_up(void **state)
{
    static char *no_names[] = {NULL};
    static struct field_pair no_pairs[] = {{NULL, NULL}};
    struct enrich_settings s = {.service = (char *)"auto",
                                .host = (char *)"auto",
                                .request_id_keys = no_names,
                                .fields = no_pairs,
                                .add = no_pairs,
                                .rename = no_pairs,
                                .remove = no_names,
                                .convert = no_pairs};
    struct error e;

    (void)state;
    enc = encoder_create(&s, BYTES_LITERAL("h"), &e);
    return enc ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    encoder_free(enc);
    return 0;
}

/* The processor's time of this thread alone: other programs do not count. */
static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct strbuf document;

/* Writes r; the best of three, as the caches are others' too. */
static double write_ns(struct record *r)
{
    double best = 1e18;

    for (int i = 0; i < 3; i++) {
        double began = now_ns(), took;
        char *to;

        strbuf_clear(&document);
        to = strbuf_room(&document, encoder_bound(enc, r) + 1);
        document.n = encoder_write(enc, r, to);
        took = now_ns() - began;
        best = took < best ? took : best;
        to[document.n] = '\0';
    }
    assert_null(memchr(document.p, '\n', document.n));
    return best;
}

static void check_ns(const char *what, double ns, size_t n, double limit)
{
    if (getenv("BARGE_SHOW"))
        print_message("%8.1f of %6.0f ns a byte: %s\n", ns / (double)n, limit, what);
    if (ns / (double)n > limit * SLOWER)
        fail_msg("%s: %.0f ns a byte are more than %.0f", what, ns / (double)n, limit * SLOWER);
}

/* text as a line of a container. */
static void check_line(const char *what, struct strbuf *text, double limit_ns)
{
    struct record r = {.severity = -1, .text_form = TEXT_RAW, .text = strbuf_bytes(text)};

    check_ns(what, write_ns(&r), text->n, limit_ns);
    strbuf_fini(text);
}

/* text as a GELF message. */
static void check_gelf(const char *what, struct strbuf *text, double limit_ns)
{
    static struct json_member members[JSON_MAX_MEMBERS];
    double began = now_ns();
    struct gelf_message m;
    struct record r = {.severity = -1, .text_form = TEXT_ESCAPED};

    assert_true(gelf_message_parse(strbuf_bytes(text), members, ARRAY_LEN(members), &m));
    r.text = m.short_message;
    r.extra = m.extra;
    r.n_extra = m.n_extra;
    r.extra_are_labels = m.from_docker;
    if (r.text.n)
        json_string_end(r.text.p, r.text.p + r.text.n + 1, &r.text_flags);
    check_ns(what, now_ns() - began + write_ns(&r), text->n, limit_ns);
    strbuf_fini(text);
}

static void repeat(struct strbuf *b, const char *what, size_t times)
{
    while (times--)
        strbuf_add_str(b, what);
}

/* Every key begins a value that goes on to the end, were it read that far. */
static void ids_all_over_a_text(void **state)
{
    static const char *const words[] = {"request_id:",  "request_id=a/", "x-request-id=\"",
                                        "reqid:reqid:", "a_request_id",  "requestId: "};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        struct strbuf b = {0};

        repeat(&b, words[i], (256 << 10) / strlen(words[i]));
        check_line(words[i], &b, 300);
    }
}

/* An object in which one path of levels is written in every way, dots here and nesting there:
 * 2^(levels - 1) values for one place. */
static void add_spellings(struct strbuf *b, unsigned from, unsigned levels)
{
    static unsigned value;

    strbuf_add_char(b, '{');
    for (unsigned to = from; to < levels; to++) {
        for (unsigned i = from; i <= to; i++)
            strbuf_printf(b, "%s%c", i > from ? "." : to > from ? ",\"" : "\"", (char)('a' + i));
        strbuf_add_str(b, "\":");
        if (to + 1 < levels)
            add_spellings(b, to + 1, levels);
        else
            strbuf_printf(b, "%u", value++);
    }
    strbuf_add_char(b, '}');
}

static void many_for_one_place(void **state)
{
    struct strbuf b = {0};

    (void)state;
    add_spellings(&b, 0, 13);
    check_line("one path in many spellings", &b, 3000);

    /* Docker's labels: '.' and '_' become the same. */
    strbuf_add_str(&b, "{\"short_message\":\"m\",\"_command\":\"s\",\"_container_id\":\"c\","
                       "\"_container_name\":\"w\",\"_created\":\"2\",\"_image_id\":\"i\"");
    for (unsigned k = 0; k < 1000; k++) {
        strbuf_add_str(&b, ",\"_l");
        for (unsigned i = 0; i < 10; i++)
            strbuf_add_char(&b, k >> i & 1 ? '.' : '_');
        strbuf_printf(&b, "\":\"%u\"", k);
    }
    strbuf_add_char(&b, '}');
    check_gelf("labels of one name", &b, 800);
    assert_non_null(strstr(document.p, "\"l___________1000\":"));
}

/* Objects in objects, a dot in the innermost: each level is looked through for those below it. */
static void deep_and_dotted(void **state)
{
    static const char *const innermost[] = {"\\n\\n\\n\\n", "[[]],", "\"\",", "\"a\":1,",
                                            "zzzzzzzz"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(innermost); i++) {
        bool string = i == 0 || i == 4;
        struct strbuf b = {0};

        repeat(&b, "{\"a\":", 60);
        strbuf_add_str(&b, string ? "{\"x.y\":\"" : i == 3 ? "{\"x.y\":{" : "{\"x.y\":[");
        repeat(&b, innermost[i], (256 << 10) / strlen(innermost[i]));
        strbuf_add_str(&b, string ? "\"}" : i == 3 ? "\"b\":1}}" : "1]}");
        repeat(&b, "}", 60);
        check_line(innermost[i], &b, 200);
    }
}

/* A thousand names of a level with a number each, which may be Python's. */
static void many_levels(void **state)
{
    struct strbuf b = {0};

    (void)state;
    strbuf_add_str(&b, "{\"x\":1");
    for (unsigned k = 0; k < 1000; k++) {
        strbuf_add_str(&b, ",\"level");
        for (unsigned i = 0; i < 10; i++)
            strbuf_add_char(&b, k >> i & 1 ? '-' : '_');
        strbuf_add_str(&b, "\":30");
    }
    strbuf_add_char(&b, '}');
    check_line("many levels", &b, 60);
}

/* GELF members whose names met in one place of a table, while its hash had a known seed; one of
 * them twice, so that they are compared. */
static void colliding_names(void **state)
{
    static struct json_member members[JSON_MAX_MEMBERS];
    double best[2] = {1e18, 1e18};

    (void)state;
    for (int colliding = 0; colliding < 2; colliding++) {
        struct strbuf b = {0};
        struct gelf_message m;
        unsigned n = 0;

        strbuf_add_str(&b, "{\"short_message\":\"m\",\"_k\":1,\"_k\":2");
        for (unsigned k = 0; n < 1000; k++) {
            char key[16];
            int length = snprintf(key, sizeof key, "_%07x", k);

            if (colliding && hash_64(0, key, (size_t)length) % (2 * JSON_MAX_MEMBERS) != 7)
                continue;
            strbuf_printf(&b, ",\"%s\":1", key);
            n++;
        }
        strbuf_add_char(&b, '}');
        for (int i = 0; i < 15; i++) {
            double began = now_ns(), took;

            assert_true(gelf_message_parse(strbuf_bytes(&b), members, ARRAY_LEN(members), &m));
            took = now_ns() - began;
            assert_int_equal(m.n_extra, 1001);
            best[colliding] = took < best[colliding] ? took : best[colliding];
        }
        strbuf_fini(&b);
    }
    if (best[1] > 4 * best[0])
        fail_msg("names that collide take %.0f ns, others %.0f", best[1], best[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_all_over_a_text), cmocka_unit_test(many_for_one_place),
        cmocka_unit_test(deep_and_dotted),     cmocka_unit_test(many_levels),
        cmocka_unit_test(colliding_names),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}

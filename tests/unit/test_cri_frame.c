/* Framing of CRI runtimes' logs: the mark of a piece is the whole rule, across the files of a run,
 * at one go and as it comes in life. */
#include "tests/unit/docker_frames.h"

#include "agent/base/hash.h"
#include "agent/base/strbuf.h"
#include "parsers/document.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define T1 "2026-11-23T19:15:44.2966502Z"
#define T1_NS 1795461344296650200
#define T2 "2026-11-23T15:45:46-03:30" /* 19:15:46Z */
#define T2_NS 1795461346000000000

/* The records of one file, or of two when second is not 0, at one go; and the same in life. rule:
 * which lines belong together, or NULL. */
static struct frames framed_by(struct bytes file, size_t second, const struct multiline_rule *rule)
{
    struct frames_files files = {.file = file, .second = second, .rule = rule, .cri = true};
    struct frames whole = frames_of_files(&files, NULL, 0);

    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct frames life = frames_in_life_of(&files, seed, NULL, NULL);

        if (frames_differ(&whole, &life) != SIZE_MAX)
            fail_msg("seed %lu: record %zu differs", (unsigned long)seed,
                     frames_differ(&whole, &life));
        frames_fini(&life);
    }
    return whole;
}

static struct frames framed(struct bytes file, size_t second)
{
    return framed_by(file, second, NULL);
}

static void assert_record(const struct frames *f, size_t i, enum stream stream, uint64_t source,
                          uint64_t position, const char *text)
{
    assert_true(i < f->n);
    if (!bytes_equal(bytes_of(f->text + f->list[i].at, f->list[i].n), bytes_str(text)))
        fail_msg("record %zu is \"%.*s\"", i, (int)f->list[i].n, f->text + f->list[i].at);
    assert_int_equal(f->list[i].stream, stream);
    assert_int_equal(f->list[i].source, source);
    assert_int_equal(f->list[i].position, position);
}

static void test_pieces_are_joined_by_their_mark(void **state)
{
    static const char first[] = T1 " stdout P one ";
    static const char log[] = T1 " stdout P one \n" /* of any length, and whatever the times */
        T1 " stderr F other\n" T2 " stdout P two\n" T2 " stderr P end\n" T1 " stdout F \n" T2
                                 " stdout F \n" T2 " stdout P last\n";
    struct frames f = framed(bytes_str(log), 0);
    uint32_t hash;

    (void)state;
    assert_int_equal(f.n, 5);
    assert_record(&f, 0, STREAM_STDERR, 1, sizeof first, "other");
    assert_record(&f, 1, STREAM_STDOUT, 1, 0, "one two");
    assert_true(f.list[1].time_ns == T1_NS);
    assert_int_equal(f.list[1].form, TEXT_LINE);
    hash = hash_crc32c(0, first, sizeof first - 1);
    hash = hash_crc32c(hash, T2 " stdout P two", sizeof T2 + 12);
    assert_int_equal(f.list[1].hash, hash_crc32c(hash, T1 " stdout F ", sizeof T1 + 9));
    assert_record(&f, 2, STREAM_STDOUT, 1, strstr(log, T2 " stdout F") - log, "");
    assert_true(f.list[2].time_ns == T2_NS);
    /* What nothing goes on with is complete when nothing can. */
    assert_record(&f, 3, STREAM_STDOUT, 1, strstr(log, T2 " stdout P last") - log, "last");
    assert_record(&f, 4, STREAM_STDERR, 1, strstr(log, T2 " stderr P") - log, "end");
    frames_fini(&f);
}

static void test_a_message_spans_files(void **state)
{
    static const char old[] = T1 " stdout P the beg\n" T1 " stderr F x\n";
    static const char new[] =
        T1 " stdout P inning\n" T2 " stdout F  and the end\n" T2 " stdout F next\n";
    char both[sizeof old + sizeof new];
    struct frames f;

    (void)state;
    memcpy(both, old, sizeof old - 1);
    memcpy(both + sizeof old - 1, new, sizeof new);
    f = framed(bytes_str(both), sizeof old - 1);
    assert_int_equal(f.n, 3);
    assert_record(&f, 0, STREAM_STDERR, 1, sizeof T1 + 17, "x");
    assert_record(&f, 1, STREAM_STDOUT, 1, 0, "the beginning and the end");
    assert_record(&f, 2, STREAM_STDOUT, 2, strstr(new, T2 " stdout F next") - new, "next");
    frames_fini(&f);
}

/* A stack trace, with a line in pieces, over two files; the other stream does not end it. */
static void test_lines_of_one_event(void **state)
{
    static const struct multiline_rule rule = {.languages = MULTILINE_JAVA};
    static const char old[] = T1 " stdout F failed: a.b.CException: no\n" T1 " stderr F other\n" T1
                                 " stdout P \tat a.B.c(D.\n";
    static const char new[] =
        T1 " stdout F java:1)\n" T1 " stdout F \tat a.B.d(D.java:2)\n" T1 " stdout F next\n";
    char both[sizeof old + sizeof new];
    struct frames f;

    (void)state;
    memcpy(both, old, sizeof old - 1);
    memcpy(both + sizeof old - 1, new, sizeof new);
    f = framed_by(bytes_str(both), sizeof old - 1, &rule);
    assert_int_equal(f.n, 3);
    assert_record(&f, 0, STREAM_STDOUT, 1, 0,
                  "failed: a.b.CException: no\n\tat a.B.c(D.java:1)\n\tat a.B.d(D.java:2)");
    assert_int_equal(f.list[0].form, TEXT_LINE);
    assert_record(&f, 1, STREAM_STDOUT, 2, strstr(new, T1 " stdout F next") - new, "next");
    assert_record(&f, 2, STREAM_STDERR, 1, strstr(old, T1 " stderr") - old, "other");
    frames_fini(&f);
}

static void test_odd_lines_are_shipped(void **state)
{
    static const char log[] = T1 " stdout F good\n"
                                 "no entry\n"
                                 "\n" T1 " stdout F\n"
                                 "{\"log\":\"docker's\\n\",\"stream\":\"stderr\",\"time\":\"" T1
                                 "\"}\n" T1 " stdout F to";
    struct frames f = framed(bytes_str(log), 0);

    (void)state;
    assert_int_equal(f.n, 5);
    assert_record(&f, 0, STREAM_STDOUT, 1, 0, "good");
    assert_int_equal(f.list[0].tags, 0);
    assert_record(&f, 1, STREAM_NONE, 1, strstr(log, "no entry") - log, "no entry");
    assert_int_equal(f.list[1].tags, TAG_CRI_LINE_INVALID);
    assert_true(f.list[1].time_ns == T1_NS); /* of the good one before it */
    assert_record(&f, 2, STREAM_NONE, 1, strstr(log, "\n\n") - log + 2, T1 " stdout F");
    assert_int_equal(f.list[2].tags, TAG_CRI_LINE_INVALID);
    assert_record(&f, 3, STREAM_STDERR, 1, strstr(log, "{") - log, "docker's");
    assert_int_equal(f.list[3].form, TEXT_ESCAPED);
    assert_record(&f, 4, STREAM_STDOUT, 1, sizeof log - 1 - strlen(T1 " stdout F to"), "to");
    frames_fini(&f);
}

static void test_senseless_times(void **state)
{
    static const char log[] = T1 " stdout F a\n"
                                 "2026-13-23T19:15:44Z stdout F b\n" T2 " stdout F c\n";
    struct frames f = framed(bytes_str(log), 0);

    (void)state;
    assert_int_equal(f.n, 3);
    assert_true(f.list[0].time_ns == T1_NS);
    assert_true(f.list[1].time_ns == T1_NS);
    assert_true(f.list[2].time_ns == T2_NS);
    frames_fini(&f);
}

/* A runtime that cuts no lines. */
static void test_ceilings(void **state)
{
    struct strbuf b = {0};
    struct frames f;
    size_t header = strlen(T1 " stdout F ");

    (void)state;
    strbuf_add_str(&b, T1 " stdout F a");
    while (b.n < 2 * DOCKER_LINE_MAX_BYTES)
        strbuf_add_str(&b, "\xc3\xa6"); /* the odd byte before makes the cut fall into one */
    strbuf_add_str(&b, "\n" T2 " stdout F next\n");
    f = frames_of_files(&(struct frames_files){.file = strbuf_bytes(&b), .cri = true}, NULL, 0);
    assert_int_equal(f.n, 2);
    assert_int_equal(f.list[0].stream, STREAM_STDOUT);
    assert_int_equal(f.list[0].tags, TAG_TRUNCATED);
    assert_int_equal(f.list[0].n, (DOCKER_LINE_MAX_BYTES - header) / 2 * 2 - 1);
    assert_int_equal(f.text[f.list[0].at], 'a');
    assert_int_equal(f.list[1].tags, 0);
    frames_fini(&f);

    strbuf_fini(&b);
}

/* A message without an end comes out in portions, and what came out holds no file any more. */
static void test_a_message_without_an_end(void **state)
{
    const size_t text_n = 1 + 2 * 8000, line_n = strlen(T1 " stdout P ") + text_n + 1;
    const size_t fit = DOCKER_JOIN_MAX_BYTES / text_n, all = fit + 60;
    struct frames_life l;
    struct strbuf b = {0};
    struct frames f;
    unsigned older = 0;
    size_t n;

    (void)state;
    for (size_t i = 0; i < all; i++) {
        strbuf_add_str(&b, T1 " stdout P a");
        for (size_t k = 0; k < 8000; k++)
            strbuf_add_str(&b, "\xc3\xa6");
        strbuf_add_str(&b, "\n");
    }
    n = b.n;
    strbuf_add_str(&b, T2 " stdout F end\n" T2 " stdout F next\n");
    f = frames_of_files(&(struct frames_files){.file = strbuf_bytes(&b), .cri = true}, NULL, 0);
    assert_int_equal(f.n, 3);
    assert_int_equal(f.list[0].n, fit * text_n);
    assert_int_equal(f.list[0].tags, TAG_TRUNCATED);
    assert_int_equal(f.list[1].position, fit * line_n);
    assert_int_equal(f.list[1].n, (all - fit) * text_n + 3);
    assert_int_equal(f.list[1].tags, 0);
    assert_record(&f, 2, STREAM_STDOUT, 1, b.n - strlen(T2 " stdout F next\n"), "next");
    frames_fini(&f);

    frames_begin(&l, &(struct frames_files){.file = strbuf_bytes(&b), .cri = true});
    l.frame.arg = &l.kept;
    assert_true(docker_frame_run(&l.frame, &l.at[0], bytes_of(b.p, n), false));
    assert_int_equal(l.kept.n, 1);
    assert_int_equal(docker_frame_resume(&l.frame, &l.at[0], &older).offset, fit * line_n);
    assert_true(docker_frame_bytes(&l.frame) <= 2 * DOCKER_JOIN_MAX_BYTES);
    docker_frame_forget(&l.frame);
    f = frames_end(&l);
    frames_fini(&f);
    strbuf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_are_joined_by_their_mark),
        cmocka_unit_test(test_a_message_spans_files),
        cmocka_unit_test(test_lines_of_one_event),
        cmocka_unit_test(test_odd_lines_are_shipped),
        cmocka_unit_test(test_senseless_times),
        cmocka_unit_test(test_ceilings),
        cmocka_unit_test(test_a_message_without_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

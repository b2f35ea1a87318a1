/* Events of several lines: the fuzz target's seeds as they come in life, positions, cuts, ceilings.
 */
#include "tests/unit/multi_lines.h"

#include "parsers/document.h"
#include "tests/unit/files.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SEEDS "tests/fuzz/seeds/tail_multi/*"

static void test_lives(void **state)
{
    glob_t g;

    (void)state;
    assert_int_equal(glob(SEEDS, 0, NULL, &g), 0);
    assert_true(g.gl_pathc >= 7);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        struct strbuf b = files_read(g.gl_pathv[i]);

        for (uint64_t seed = 1; seed <= 80; seed++) {
            size_t differ;

            b.p[0] = (char)((b.p[0] & ~0x20) | (seed & 1 ? 0x20 : 0));
            differ = multi_lines_differ(strbuf_bytes(&b), seed);
            if (differ != SIZE_MAX)
                fail_msg("%s, seed %lu: record %zu", g.gl_pathv[i], (unsigned long)seed, differ);
        }
        strbuf_fini(&b);
    }
    globfree(&g);
}

static void add(struct strbuf *b, const char *text, unsigned how)
{
    multi_line_add(b, bytes_str(text), "\\n", how, MULTI_LINES_T0);
}

static void assert_text(const struct frames *f, size_t i, const char *text)
{
    assert_true(i < f->n);
    if (!bytes_is(bytes_of(f->text + f->list[i].at, f->list[i].n), text))
        fail_msg("record %zu is \"%.*s\"", i, (int)f->list[i].n, f->text + f->list[i].at);
}

/* Each stream's position is the beginning of what was not handed on; a cut moves its own alone, and
 * from there the next line begins a record, in this life and in the next. */
static void test_positions_by_stream(void **state)
{
    struct multiline_rule rule = {.languages = MULTILINE_JAVA};
    struct frames_life l;
    struct strbuf b = {0};
    struct frames kept;
    unsigned older = 0;
    size_t head, out, end;

    (void)state;
    add(&b, "first", 0);
    head = b.n;
    add(&b, "head", 0);
    out = b.n;
    add(&b, "err", MULTI_STDERR);
    add(&b, "\tat a.B.c(D.java:1)", 0);
    end = b.n;
    add(&b, "\tat a.B.d(D.java:2)", 0);
    add(&b, "\tat a.B.e(D.java:3)", MULTI_STDERR);
    frames_begin(&l, &(struct frames_files){.file = strbuf_bytes(&b), .rule = &rule});
    l.frame.arg = &l.kept;
    assert_true(docker_frame_run(&l.frame, &l.at[0], bytes_of(b.p, end), false));
    assert_int_equal(l.kept.n, 1);
    l.at[1] = docker_frame_resume(&l.frame, &l.at[0], &older);
    assert_int_equal(l.at[1].offset, head);
    assert_true(l.at[1].by_stream);
    assert_int_equal(l.at[1].from[STREAM_NONE], end);
    assert_int_equal(l.at[1].from[STREAM_STDOUT], head);
    assert_int_equal(l.at[1].from[STREAM_STDERR], out);
    assert_true(docker_frame_cut(&l.frame, 1u << STREAM_STDOUT));
    assert_int_equal(l.kept.n, 2);
    assert_text(&l.kept, 1, "head\\n\\tat a.B.c(D.java:1)");
    older = 0;
    l.at[0] = docker_frame_resume(&l.frame, &l.at[0], &older);
    assert_int_equal(l.at[0].offset, out);
    assert_int_equal(l.at[0].from[STREAM_STDOUT], end);
    docker_frame_forget(&l.frame);
    assert_true(docker_frame_run(&l.frame, &l.at[0], bytes_of(b.p + out, b.n - out), true));
    assert_true(docker_frame_flush(&l.frame));
    assert_int_equal(l.kept.n, 4);
    assert_text(&l.kept, 2, "\\tat a.B.d(D.java:2)");
    assert_text(&l.kept, 3, "err\\n\\tat a.B.e(D.java:3)");
    kept = frames_end(&l);
    frames_fini(&kept);
    strbuf_fini(&b);
}

/* A rule that is none any more: what waited is handed on line by line. */
static void test_another_rule_loses_nothing(void **state)
{
    struct multiline_rule rule = {.languages = MULTILINE_JAVA}, none = {0};
    struct frames_life l;
    struct strbuf b = {0};
    struct frames kept;

    (void)state;
    add(&b, "head", 0);
    add(&b, "\tat a.B.c(D.java:1)", 0);
    frames_begin(&l, &(struct frames_files){.file = strbuf_bytes(&b), .rule = &rule});
    l.frame.arg = &l.kept;
    assert_true(docker_frame_run(&l.frame, &l.at[0], strbuf_bytes(&b), false));
    assert_int_equal(l.kept.n, 0);
    l.at[0] = docker_frame_resume(&l.frame, &l.at[0], &(unsigned){0});
    docker_frame_forget(&l.frame);
    tail_multi_free(l.frame.multi);
    l.frame.multi = tail_multi_create(&none, TEXT_ESCAPED);
    assert_true(docker_frame_run(&l.frame, &l.at[0], strbuf_bytes(&b), false));
    assert_int_equal(l.kept.n, 2);
    assert_text(&l.kept, 0, "head");
    kept = frames_end(&l);
    frames_fini(&kept);
    strbuf_fini(&b);
}

/* The ceiling of lines ends a record; nothing is left out. */
static void test_ceiling(void **state)
{
    struct multiline_rule rule = {.languages = MULTILINE_JAVA};
    struct frames_files files = {.rule = &rule};
    struct strbuf b = {0};
    struct frames f;

    (void)state;
    add(&b, "head", 0);
    for (unsigned i = 0; i < MULTILINE_MAX_LINES + 5; i++)
        add(&b, "\tat a.B.c(D.java:1)", 0);
    files.file = strbuf_bytes(&b);
    f = frames_of_files(&files, NULL, 0);
    assert_int_equal(f.n, 2);
    assert_int_equal(f.list[0].tags, TAG_TRUNCATED);
    assert_int_equal(f.list[1].tags, 0);
    assert_true(multi_lines_all_there(files.file, &f));
    frames_fini(&f);
    strbuf_fini(&b);
}

/* Behind a ceiling, too, a record is what its own lines say: read from there anew, it is the same.
 */
static void test_ceiling_and_restart(void **state)
{
    struct multiline_rule rule = {.languages = MULTILINE_PYTHON};
    struct frames_files files = {.rule = &rule};
    struct strbuf b = {0};
    struct frames whole, rest;
    size_t second = 0;

    (void)state;
    add(&b, "Traceback (most recent call last):", 0);
    for (unsigned i = 1; i <= MULTILINE_MAX_LINES; i++) {
        second = b.n;
        add(&b, "    shop.take(order)", 0);
    }
    add(&b, "ValueError: bad sku", 0);
    files.file = strbuf_bytes(&b);
    whole = frames_of_files(&files, NULL, 0);
    files.file = bytes_of(b.p + second, b.n - second);
    rest = frames_of_files(&files, NULL, 0);
    assert_true(whole.n > 1);
    assert_int_equal(rest.n, whole.n - 1);
    for (size_t i = 0; i < rest.n; i++)
        assert_int_equal(rest.list[i].hash, whole.list[i + 1].hash);
    frames_fini(&whole);
    frames_fini(&rest);
    strbuf_fini(&b);
}

/* An event of text lies in one file. What is written to the old one beside the new one ends what
 * is pending, and each file's position knows what waits of its own, whatever the order. */
static void test_text_files_by_themselves(void **state)
{
    static const char old[] = "old head\n\tat a.B.c(D.java:1)\n\tat late.E.f(G.java:1)\n";
    static const char fresh[] = "\tat a.B.d(D.java:2)\nnew head\n\tat a.B.e(D.java:3)\n\n\tat "
                                "a.B.g(D.java:4)\n\n\nlast\n\n";
    const size_t late = strlen("old head\n\tat a.B.c(D.java:1)\n");
    const size_t begun = strlen("\tat a.B.d(D.java:2)\nnew head\n");
    struct multiline_rule rule = {.languages = MULTILINE_JAVA};
    struct frames_files files = {.rule = &rule, .plain = true};
    struct frames_life l;
    struct frames kept;
    unsigned older = 0;

    (void)state;
    files.file = BYTES_LITERAL("");
    frames_begin(&l, &files);
    l.frame.arg = &l.kept;
    assert_true(docker_frame_run(&l.frame, &l.at[0], bytes_of(old, late), false));
    assert_true(docker_frame_run(&l.frame, &l.at[1], bytes_of(fresh, begun), false));
    assert_int_equal(l.kept.n, 2);
    assert_text(&l.kept, 0, "old head\n\tat a.B.c(D.java:1)");
    assert_text(&l.kept, 1, "\tat a.B.d(D.java:2)");
    l.kept.refuse = 2;
    docker_frame_run(&l.frame, &l.at[0], bytes_of(old + late, sizeof old - 1 - late), false);
    l.at[0] = docker_frame_resume(&l.frame, &l.at[0], &older);
    l.at[1] = docker_frame_resume(&l.frame, &l.at[1], &older);
    assert_int_equal(l.at[0].offset, late);
    assert_int_equal(l.at[1].offset, strlen("\tat a.B.d(D.java:2)\n"));
    docker_frame_forget(&l.frame);
    l.kept.refuse = 0;
    for (size_t i = 0; i < 2; i++) {
        struct bytes file = i ? BYTES_LITERAL(fresh) : BYTES_LITERAL(old);

        assert_true(docker_frame_run(
            &l.frame, &l.at[i], bytes_of(file.p + l.at[i].offset, file.n - l.at[i].offset), true));
    }
    assert_true(docker_frame_flush(&l.frame));
    assert_int_equal(l.kept.n, 5);
    assert_text(&l.kept, 2, "\tat late.E.f(G.java:1)");
    assert_text(&l.kept, 3, "new head\n\tat a.B.e(D.java:3)\n\n\tat a.B.g(D.java:4)");
    assert_text(&l.kept, 4, "last");
    kept = frames_end(&l);
    frames_fini(&kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lives),
        cmocka_unit_test(test_positions_by_stream),
        cmocka_unit_test(test_another_rule_loses_nothing),
        cmocka_unit_test(test_ceiling),
        cmocka_unit_test(test_ceiling_and_restart),
        cmocka_unit_test(test_text_files_by_themselves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

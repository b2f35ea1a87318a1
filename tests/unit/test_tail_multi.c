/* Events of several lines: the fuzz target's seeds as they come in life, positions, cuts, ceilings.
 */
#include "tests/unit/multi_lines.h"

#include "parsers/document.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SEEDS "tests/fuzz/seeds/tail_multi/*"

static struct strbuf read_file(const char *path)
{
    struct strbuf b = {0};
    FILE *f = fopen(path, "rb");

    if (!f)
        base_die("cannot read %s: run the tests from the top of the repository", path);
    b.n = fread(strbuf_room(&b, 65536), 1, 65536, f);
    fclose(f);
    return b;
}

static void test_lives(void **state)
{
    glob_t g;

    (void)state;
    assert_int_equal(glob(SEEDS, 0, NULL, &g), 0);
    assert_true(g.gl_pathc >= 7);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        struct strbuf b = read_file(g.gl_pathv[i]);

        for (uint64_t seed = 1; seed <= 40; seed++) {
            size_t differ = multi_lines_differ(strbuf_bytes(&b), seed);

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
    l.frame.multi = tail_multi_create(&none);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lives),
        cmocka_unit_test(test_positions_by_stream),
        cmocka_unit_test(test_another_rule_loses_nothing),
        cmocka_unit_test(test_ceiling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

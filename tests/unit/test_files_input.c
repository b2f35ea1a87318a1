/* Events of several lines in plain text files: what may happen to a file while one of them waits.
 */
#include "tests/unit/tail_stage.h"

#include "agent/inputs/files.h"
#include "agent/inputs/tail_reading.h"

#define LARGE_BYTES 1000000 /* of an event that is one line */
#define LARGE_LOGS (TAIL_MAX_JOIN_BYTES / LARGE_BYTES + 4)

/* ---- the input, with one rule for all logs of the stage's folder ---- */

static struct files_input *input;
static char pattern[128];
static char *paths[] = {pattern, NULL}, *excludes[] = {NULL};
static struct file_rule rule = {
    .paths = paths,
    .exclude = excludes,
    .service = "",
    .start = "beginning",
    .parser = {.kind = PARSER_MULTILINE, .pattern = "", .start = ""},
};

static void begin(void)
{
    struct file_rule *rules[] = {&rule, NULL};
    struct error e;

    map_copy(&stage.uncommitted, &stage.positions);
    stage_loop = loop_create();
    input = files_input_start(rules, stage_loop, (struct intake *)(void *)&stage, &e);
    assert_non_null(input);
    stage_turns = files_input_turns(input);
}

static void end(void)
{
    files_input_stop(input);
    input = NULL;
    loop_timer_remove(&stage_poll);
    loop_destroy(stage_loop);
}

/* kill -9, and the next life. */
static void begin_anew(void)
{
    end();
    stage_forget_uncommitted();
    begin();
}

static int set_up(void **state)
{
    (void)state;
    stage_set_up();
    snprintf(pattern, sizeof pattern, "%s/*.log", stage_dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (input)
        end();
    stage_tear_down();
    return 0;
}

/* ---- programs that write, and what rotates ---- */

static const char *path_of(const char *name)
{
    static char path[2][256];
    static unsigned n;

    n ^= 1;
    snprintf(path[n], sizeof path[n], "%s/%s", stage_dir, name);
    return path[n];
}

static void write_to(const char *name, const char *text)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_APPEND, 0640);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void copy_and_truncate(const char *name, const char *copy)
{
    char text[4096];
    int fd = open(path_of(name), O_RDWR);
    ssize_t n = read(fd, text, sizeof text - 1);

    assert_true(n >= 0);
    text[n] = '\0';
    write_to(copy, text);
    assert_int_equal(ftruncate(fd, 0), 0);
    close(fd);
}

static uint64_t lines_wanted;
static bool lines_were_read(void)
{
    return metric_get(M_FILES_LINES) >= lines_wanted;
}

static void run_to_lines(uint64_t n)
{
    lines_wanted = n;
    stage_run(lines_were_read);
}

static void assert_one(const char *text)
{
    size_t found = 0;

    for (size_t i = 0; i < stage.n; i++)
        found += bytes_equal(bytes_of(stage.records[i].text, stage.records[i].n), bytes_str(text));
    if (found != 1)
        fail_msg("\"%s\" is there %zu times", text, found);
}

/* ---- one event ---- */

/* What was written meanwhile, and nobody told, is seen before the clock ends an event. */
static void test_silence_is_looked_at_twice(void **state)
{
    (void)state;
    stage_deaf = true;
    write_to("app.log", "head\n");
    begin();
    run_to_lines(1);
    write_to("app.log", "\tat a.B.c(D.java:1)\n");
    stage_run_to(1);
    assert_text(0, "head\n\tat a.B.c(D.java:1)");
    assert_true(stage.records[0].flags & BUFFER_DURABLE_FIRST);
}

/* What waited in a file that was truncated has ended, and its copy is read on behind it. */
static void test_truncated_while_an_event_waits(void **state)
{
    (void)state;
    stage_deaf = true;
    write_to("app.log", "before\nhead\n\tat a.B.c(D.java:1)\n");
    begin();
    run_to_lines(3);
    write_to("app.log", "\tat a.B.d(D.java:2)\n");
    copy_and_truncate("app.log", "app.log.1");
    write_to("app.log", "after\n");
    stage_run_to(4);
    begin_anew();
    write_to("app.log", "last\n");
    stage_run_to(5);
    stage_run_rounds(20);
    assert_int_equal(stage.n, 5);
    assert_one("before");
    assert_one("head\n\tat a.B.c(D.java:1)");
    assert_one("\tat a.B.d(D.java:2)");
    assert_one("after");
    assert_one("last");
}

/* What waits in a file that gets another log's name ends with the old name: its position goes
 * along, and knows nothing of what waits elsewhere. */
static void test_moved_to_another_log_while_an_event_waits(void **state)
{
    (void)state;
    write_to("a.log", "head\n\tat a.B.c(D.java:1)\n");
    begin();
    run_to_lines(2);
    assert_int_equal(rename(path_of("a.log"), path_of("b.log")), 0);
    write_to("b.log", "\tat a.B.d(D.java:2)\n");
    run_to_lines(3);
    begin_anew();
    stage_run_to(2);
    stage_run_rounds(20);
    assert_int_equal(stage.n, 2);
    assert_one("head\n\tat a.B.c(D.java:1)");
    assert_one("\tat a.B.d(D.java:2)");
}

/* ---- more of them than may be in memory ---- */

static const char *large_name(unsigned i)
{
    static char name[32];

    snprintf(name, sizeof name, "%u.log", i);
    return name;
}

/* An event of one line in each of many logs; all of it is read, and no time passes. */
static void read_large(void)
{
    for (unsigned i = 0; i < LARGE_LOGS; i++) {
        write_to(large_name(i), "x");
        assert_int_equal(truncate(path_of(large_name(i)), LARGE_BYTES), 0); /* a hole of NULs */
        write_to(large_name(i), "\n");
    }
    stage_clock_stands = true;
    begin();
    run_to_lines(LARGE_LOGS);
}

static void assert_large(void)
{
    assert_int_equal(stage.n, LARGE_LOGS);
    for (size_t i = 0; i < stage.n; i++)
        assert_int_equal(stage.records[i].n, LARGE_BYTES);
}

/* Some end before their time, for good: their files may be gone when there is room again. */
static void test_many_events_end_when_memory_is_full(void **state)
{
    size_t ended;

    (void)state;
    read_large();
    assert_in_range(stage_turns->shared.join_bytes, 1, TAIL_MAX_JOIN_BYTES);
    ended = stage.n;
    assert_in_range(ended, 1, 8);
    for (size_t i = 0; i < ended; i++)
        assert_true(stage.records[i].flags & BUFFER_DURABLE_FIRST);
    for (unsigned i = 0; i < LARGE_LOGS; i++)
        assert_int_equal(truncate(path_of(large_name(i)), 0), 0);
    stage_clock_stands = false;
    stage_run_to(LARGE_LOGS);
    assert_large();
}

/* … and while the buffer is full they are handed on when there is room, whether or not their files
 * grow. */
static void test_many_events_end_while_the_buffer_is_full(void **state)
{
    (void)state;
    stage.room = 0;
    read_large();
    assert_int_equal(stage.n, 0);
    stage.room = UINT64_MAX;
    stage_clock_stands = false;
    stage_run_to(LARGE_LOGS);
    assert_large();
}

/* ---- folders ---- */

static bool two_logs_are_left(void)
{
    return metric_get(M_FILES_LOGS) == 2; /* FOLDERS and the one with "late" */
}

/* Puts links in the places of folders that are to be looked at just now. */
static void replace_folders(int n)
{
    char name[32], hidden[32];

    assert_int_equal(mkdir(path_of(".outside"), 0700), 0);
    write_to(".outside/app.log", "outside\n");
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%d/app.log.1", i);
        write_to(name, "older\n");
        snprintf(name, sizeof name, "%d", i);
        snprintf(hidden, sizeof hidden, ".%d", i);
        assert_int_equal(rename(path_of(name), path_of(hidden)), 0);
        assert_int_equal(symlink(".outside", path_of(name)), 0);
    }
}

static void make_folder(int i, const char *text)
{
    char name[32];

    snprintf(name, sizeof name, "%d", i);
    assert_int_equal(mkdir(path_of(name), 0700), 0);
    snprintf(name, sizeof name, "%d/app.log", i);
    write_to(name, text);
}

/* What cannot be opened for a while is not gone, and not new afterwards. */
static void use_descriptors_up(int folder)
{
    char name[32];
    int fds[64], n = 0;
    size_t before = stage.n;

    while (n < 64 && (fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        n++;
    snprintf(name, sizeof name, "%d", folder);
    assert_int_equal(mkdir(path_of(name), 0700), 0);
    stage_run_rounds(100);
    while (n > 0)
        close(fds[--n]);
    stage_run_rounds(100);
    make_folder(folder + 1, "late\n");
    stage_run_to(before + 1);
    assert_one("late");
}

/* More folders than there are descriptors: logs have some all the same, and all are read; a folder
 * that nothing holds is not mistaken for another one. */
static void test_folders_leave_descriptors_to_logs(void **state)
{
    enum { FOLDERS = 70 };
    struct rlimit before, few = {.rlim_cur = 64, .rlim_max = 64};
    char name[32], text[32];

    (void)state;
    snprintf(pattern, sizeof pattern, "%s/*/app.log", stage_dir);
    for (int i = 0; i < FOLDERS; i++)
        make_folder(i, "one\n");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    begin();
    stage_run_to(FOLDERS);
    for (int i = 0; i < FOLDERS; i++) {
        snprintf(name, sizeof name, "%d/app.log", i);
        snprintf(text, sizeof text, "two %d\n", i);
        write_to(name, text);
    }
    stage_run_to(2 * FOLDERS);
    make_folder(FOLDERS, "new\n");
    stage_run_to(2 * FOLDERS + 1);
    assert_one("new");
    for (int i = 0; i < FOLDERS; i++) {
        snprintf(text, sizeof text, "two %d", i);
        assert_one(text);
    }
    for (int fd = stage_turns->shared.spare_from; fd < (int)few.rlim_cur; fd++)
        assert_int_equal(fcntl(fd, F_GETFD), -1);
    use_descriptors_up(FOLDERS + 1);
    replace_folders(FOLDERS);
    stage_run(two_logs_are_left);
    for (size_t i = 0; i < stage.n; i++)
        assert_false(bytes_is(bytes_of(stage.records[i].text, stage.records[i].n), "outside"));
    end();
    setrlimit(RLIMIT_NOFILE, &before); /* refused to all but root, and then it stays */
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_silence_is_looked_at_twice),
        CASE(test_truncated_while_an_event_waits),
        CASE(test_moved_to_another_log_while_an_event_waits),
        CASE(test_many_events_end_when_memory_is_full),
        CASE(test_many_events_end_while_the_buffer_is_full),
        CASE(test_folders_leave_descriptors_to_logs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

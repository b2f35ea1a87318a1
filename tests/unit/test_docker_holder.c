/* The thread that opens log files as they are made: none is missed that stands long enough,
 * whatever it is called by then; nothing but regular files is opened; nothing is left open. */
#include "agent/base/io.h"
#include "agent/inputs/docker_holder.h"
#include "tests/unit/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
#define DEADLINE_S 20
#define QUEUE_FILE "/proc/sys/fs/inotify/max_queued_events"

static char top[64], folder[160];
static struct docker_holder *holder;
static _Atomic unsigned woken;
static unsigned open_before;

static void on_held(void *arg)
{
    (void)arg;
    woken++;
}

static unsigned descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static int setup(void **state)
{
    (void)state;
    open_before = descriptors();
    snprintf(top, sizeof top, "/tmp/barge-holder-XXXXXX");
    assert_non_null(mkdtemp(top));
    snprintf(folder, sizeof folder, "%s/" HEX, top);
    assert_int_equal(mkdir(folder, 0700), 0);
    woken = 0;
    holder = docker_holder_start(on_held, NULL);
    assert_non_null(holder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    docker_holder_stop(holder);
    files_remove(top);
    assert_int_equal(descriptors(), open_before);
    return 0;
}

/* ---- the engine ---- */

static void path_of(char *to, size_t cap, const char *suffix)
{
    snprintf(to, cap, "%s/" HEX "-json.log%s", folder, suffix);
}

static ino_t make_live(void)
{
    char path[512];
    struct stat st;
    int fd;

    path_of(path, sizeof path, "");
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    close(fd);
    return st.st_ino;
}

static void shift(unsigned files)
{
    char from[512], to[512], suffix[16];

    for (unsigned i = files; i > 0; i--) {
        snprintf(suffix, sizeof suffix, ".%u", i - 1);
        path_of(from, sizeof from, i > 1 ? suffix : "");
        snprintf(suffix, sizeof suffix, ".%u", i);
        path_of(to, sizeof to, suffix);
        rename(from, to);
    }
}

/* ---- what it hands over ---- */

static void take_a_breath(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

/* Waits for the next one. */
static struct docker_held take(void)
{
    time_t end = time(NULL) + DEADLINE_S;
    struct docker_held held;

    while (!docker_holder_take(holder, &held)) {
        assert_true(time(NULL) < end);
        take_a_breath();
    }
    return held;
}

/* ---- tests ---- */

static void test_a_new_file_is_opened(void **state)
{
    struct docker_held held;
    struct stat st;
    ino_t made;

    (void)state;
    assert_false(docker_holder_take(holder, &held));
    assert_true(docker_holder_watch(holder, folder, HEX) >= 0);
    made = make_live();
    held = take();
    assert_string_equal(held.hex, HEX);
    assert_int_equal(held.made, 1);
    assert_int_equal(held.n, 1);
    assert_int_equal(fstat(held.fds[0], &st), 0);
    assert_true(st.st_ino == made);
    assert_int_equal(fcntl(held.fds[0], F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_true(woken > 0);
    docker_held_close(&held);
    /* Other files are none of its business. */
    for (unsigned i = 0; i < 3; i++) {
        static const char *const names[] = {"hostconfig.json", HEX "-json.log.1",
                                            HEX "-json.log.tmp"};
        char path[512];

        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        close(open(path, O_WRONLY | O_CREAT, 0640));
    }
    shift(1);
    made = make_live();
    held = take();
    assert_int_equal(held.made, 1);
    assert_int_equal(fstat(held.fds[0], &st), 0);
    assert_true(st.st_ino == made);
    docker_held_close(&held);
    assert_false(docker_holder_take(holder, &held));
}

/* However late it looks: what still has a name is found, and each file is counted once. */
static void test_files_that_were_rotated_by_then(void **state)
{
    enum { ROUNDS = 100, FILES = 6 };
    ino_t made[FILES];

    (void)state;
    assert_true(docker_holder_watch(holder, folder, HEX) >= 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        bool found[FILES] = {false};
        unsigned announced = 0;

        for (unsigned i = 0; i < FILES; i++) {
            shift(FILES);
            made[i] = make_live();
        }
        while (announced < FILES) {
            struct docker_held held = take();

            announced += held.made;
            for (unsigned i = 0; i < held.n; i++) {
                struct stat st;

                assert_int_equal(fstat(held.fds[i], &st), 0);
                for (unsigned k = 0; k < FILES; k++)
                    found[k] |= st.st_ino == made[k];
            }
            docker_held_close(&held);
        }
        assert_int_equal(announced, FILES);
        for (unsigned k = 0; k < FILES; k++)
            assert_true(found[k]);
    }
}

static void test_only_regular_files_are_opened(void **state)
{
    char path[512];

    (void)state;
    assert_true(docker_holder_watch(holder, folder, HEX) >= 0);
    path_of(path, sizeof path, "");
    for (unsigned kind = 0; kind < 4; kind++) {
        struct docker_held held;

        switch (kind) {
        case 0:
            assert_int_equal(mkfifo(path, 0600), 0);
            break;
        case 1:
            assert_int_equal(mkdir(path, 0700), 0);
            break;
        case 2:
            assert_int_equal(symlink("/etc/passwd", path), 0);
            break;
        default:
            if (mknod(path, S_IFCHR | 0600, makedev(1, 3)) < 0)
                continue; /* root alone may */
        }
        held = take();
        assert_int_equal(held.made, 1);
        assert_int_equal(held.n, 0);
        assert_int_equal(remove(path), 0);
    }
}

static void test_watches_come_and_go(void **state)
{
    struct docker_held held;
    int w;

    (void)state;
    assert_int_equal(docker_holder_watch(NULL, folder, HEX), -1);
    docker_holder_unwatch(NULL, 1);
    assert_false(docker_holder_take(NULL, &held));
    assert_int_equal(docker_holder_watch(holder, "/nowhere/at/all", HEX), -1);
    assert_int_equal(errno, ENOENT);
    w = docker_holder_watch(holder, folder, HEX);
    assert_int_equal(docker_holder_watch(holder, folder, HEX), w);
    docker_holder_unwatch(holder, w);
    docker_holder_unwatch(holder, w);
    docker_holder_unwatch(holder, -1);
    make_live();
    /* A folder that is watched behind it: its event comes, the first one's does not. */
    files_remove(folder);
    snprintf(folder, sizeof folder, "%s/" OTHER, top);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_true(docker_holder_watch(holder, folder, HEX) >= 0);
    make_live();
    held = take();
    assert_int_equal(held.made, 1);
    docker_held_close(&held);
    assert_false(docker_holder_take(holder, &held));
    /* And a folder that goes. */
    files_remove(folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_true(docker_holder_watch(holder, folder, HEX) >= 0);
    make_live();
    held = take();
    assert_int_equal(held.n, 1);
    docker_held_close(&held);
}

/* With the first file, once; a link is none. */
static void test_its_config_comes_along(void **state)
{
    char path[512], back[4] = "";
    struct docker_held held;
    FILE *f;

    (void)state;
    snprintf(path, sizeof path, "%s/config.v2.json", folder);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_true(docker_holder_watch(holder, folder, HEX) >= 0);
    make_live();
    held = take();
    assert_int_equal(held.config, -1);
    docker_held_close(&held);
    assert_int_equal(unlink(path), 0);
    f = fopen(path, "w");
    fputs("{}", f);
    fclose(f);
    shift(3);
    make_live();
    held = take();
    assert_int_equal(unlink(path), 0);
    assert_int_equal(read(held.config, back, sizeof back), 2);
    assert_string_equal(back, "{}");
    docker_held_close(&held);
    shift(3);
    make_live();
    held = take();
    assert_int_equal(held.config, -1);
    docker_held_close(&held);
}

static unsigned queue_limit(void)
{
    FILE *f = fopen(QUEUE_FILE, "r");
    unsigned n = 0;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%u", &n), 1);
    fclose(f);
    return n;
}

/* Nobody takes anything: it waits, the kernel's queue flows over, and that is told. */
static void test_events_are_lost(void **state)
{
    unsigned events = queue_limit() + 2000;
    struct docker_held held;
    char path[512];

    (void)state;
    if (events > 100000)
        skip();
    assert_true(docker_holder_watch(holder, folder, HEX) >= 0);
    path_of(path, sizeof path, "");
    for (unsigned i = 0; i < 512; i++) { /* all that it keeps */
        make_live();
        while (woken <= i)
            take_a_breath();
        unlink(path);
    }
    for (unsigned i = 0; i < events; i++) {
        make_live();
        unlink(path);
    }
    do {
        held = take();
        docker_held_close(&held);
    } while (held.hex[0] != '\0');
    assert_int_equal(held.made, 0);
    assert_int_equal(held.n, 0);
}

/* What nobody took is closed; a thread that waits for room ends. */
static void test_it_ends_with_its_hands_full(void **state)
{
    char path[512];

    (void)state;
    assert_true(docker_holder_watch(holder, folder, HEX) >= 0);
    path_of(path, sizeof path, "");
    for (unsigned i = 0; i < 600; i++) {
        make_live();
        while (woken <= i && woken < 512)
            take_a_breath();
        unlink(path);
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_new_file_is_opened),          CASE(test_files_that_were_rotated_by_then),
        CASE(test_only_regular_files_are_opened), CASE(test_its_config_comes_along),
        CASE(test_watches_come_and_go),           CASE(test_events_are_lost),
        CASE(test_it_ends_with_its_hands_full),
    };

    docker_holder_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

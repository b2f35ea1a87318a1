/* folder_make: what is made, and in which order it is fsynced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* io.h over the real calls; those that are looked at are below. */
#define io_mkdir real_mkdir
#define io_fsync real_fsync
#include "agent/base/io.c"
#undef io_mkdir
#undef io_fsync

int io_mkdir(int dir, const char *path, mode_t mode);
int io_fsync(int fd);

#include "agent/base/folder.h"

#include <stdlib.h>

static char top[64]; /* a new folder for each test */
static char
    said[512]; /* "+a" made, "~a" fsynced; names below top, which is . itself, .. above it */
static int fail_fsync; /* this many succeed, then EIO; -1: all succeed */

static const char *below_top(const char *path)
{
    size_t n = strlen(top);

    if (strncmp(path, top, n) != 0)
        return "..";
    return path[n] == '/' ? path + n + 1 : ".";
}

static void say(const char *what, const char *path)
{
    size_t n = strlen(said);

    snprintf(said + n, sizeof said - n, "%s%s ", what, below_top(path));
}

int io_mkdir(int dir, const char *path, mode_t mode)
{
    int rc = real_mkdir(dir, path, mode);

    if (rc == 0)
        say("+", path);
    return rc;
}

int io_fsync(int fd)
{
    char self[64], path[256] = "";

    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    assert_true(readlink(self, path, sizeof path - 1) > 0);
    if (fail_fsync == 0) {
        errno = EIO;
        return -1;
    }
    fail_fsync -= fail_fsync > 0;
    say("~", path);
    return real_fsync(fd);
}

static int make(const char *name, struct error *e)
{
    char path[256];

    said[0] = '\0';
    snprintf(path, sizeof path, "%s/%s", top, name);
    return folder_make(path, 0700, e);
}

static void each_is_fsynced_before_the_next_is_made(void **state)
{
    struct error e;

    (void)state;
    assert_int_equal(make("a/b//c/", &e), 0);
    /* First the lowest that was there: its maker may not have come to that. */
    assert_string_equal(said, "~.. +a ~. +a/b ~a +a/b/c ~a/b ");
    assert_int_equal(make("a/b/c", &e), 0);
    assert_string_equal(said, "~a/b ");
    assert_int_equal(make("a/b/d", &e), 0);
    assert_string_equal(said, "~a +a/b/d ~a/b ");
}

static void what_cannot_be_made_or_synced_is_named(void **state)
{
    char path[256];
    struct error e = {""};
    FILE *f;

    (void)state;
    snprintf(path, sizeof path, "%s/file", top);
    f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(make("file/x", &e), -1);
    assert_non_null(strstr(e.text, path));
    fail_fsync = 1;
    assert_int_equal(make("b", &e), -1);
    assert_non_null(strstr(e.text, "cannot sync"));
}

static int set_up(void **state)
{
    (void)state;
    strcpy(top, "/tmp/barge-folder-XXXXXX");
    fail_fsync = -1;
    return mkdtemp(top) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", top);
    return system(command) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_is_fsynced_before_the_next_is_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_made_or_synced_is_named, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

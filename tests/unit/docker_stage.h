/*
 * A stage for the Docker input: a containers folder in which a test plays the engine (tail_stage.h:
 * intake, buffer and clock).
 */
#ifndef BARGE_TEST_DOCKER_STAGE_H
#define BARGE_TEST_DOCKER_STAGE_H

#include "tests/unit/tail_stage.h"

#include "agent/inputs/docker.h"

/* ---- running the input ---- */

static struct docker_input *stage_input;
static struct docker_holder *stage_holder;
static bool stage_no_holder;
static struct docker_settings stage_settings;
static char *no_excludes[] = {NULL};

static void stage_held(void *arg)
{
    loop_wake(arg);
}

static void stage_start(void)
{
    struct error e;

    map_copy(&stage.uncommitted, &stage.positions);
    stage_loop = loop_create();
    stage_holder = stage_no_holder ? NULL : docker_holder_start(stage_held, stage_loop);
    stage_input = docker_input_start(&stage_settings, stage_loop, (struct intake *)(void *)&stage,
                                     stage_holder, &e);
    assert_non_null(stage_input);
    stage_turns = docker_input_turns(stage_input);
}

static void stage_end(void)
{
    docker_input_stop(stage_input);
    docker_holder_stop(stage_holder);
    stage_input = NULL;
    loop_timer_remove(&stage_poll); /* left there by a test that failed */
    loop_destroy(stage_loop);
}

/* kill -9: what was not committed never happened. */
static void stage_crash(void)
{
    stage_end();
    stage_forget_uncommitted();
}

/* ---- playing the engine ---- */

static const char stage_id[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static void path_of(char *to, size_t cap, const char *id, const char *file)
{
    snprintf(to, cap, "%s/%s/%s", stage_dir, id, file);
}

static void log_path(char *to, size_t cap, const char *id, const char *suffix)
{
    snprintf(to, cap, "%s/%s/%s-json.log%s", stage_dir, id, id, suffix);
}

static void write_whole(const char *path, const char *text)
{
    char temp[1024];
    FILE *f;

    snprintf(temp, sizeof temp, "%s.tmp", path);
    f = fopen(temp, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(rename(temp, path), 0);
}

static void play_config(const char *id, const char *name, bool running, const char *labels)
{
    char path[512], text[4096];

    path_of(path, sizeof path, id, "config.v2.json");
    snprintf(text, sizeof text,
             "{\"State\":{\"Running\":%s,\"Pid\":1},\"ID\":\"%s\",\"Created\":\"2026-11-23T03:39:"
             "12.5Z\","
             "\"Config\":{\"Image\":\"shop/"
             "%s:1\",\"Labels\":{%s}},\"Image\":\"sha256:0\",\"Name\":\"/%s\"}",
             running ? "true" : "false", id, name, labels, name);
    write_whole(path, text);
}

static void play_host_config(const char *id, const char *driver, bool compress)
{
    char path[512], text[512];

    path_of(path, sizeof path, id, "hostconfig.json");
    snprintf(text, sizeof text, "{\"LogConfig\":{\"Type\":\"%s\",\"Config\":{%s}}}", driver,
             compress ? "\"compress\":\"true\"" : "");
    write_whole(path, text);
}

static void play_folder(const char *id)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", stage_dir, id);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void play_create(const char *id, const char *name)
{
    play_folder(id);
    play_config(id, name, true, "");
    play_host_config(id, "json-file", false);
}

static void play_append(const char *id, const char *suffix, const void *p, size_t n)
{
    char path[512];
    int fd;

    log_path(path, sizeof path, id, suffix);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0640);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), (ssize_t)n);
    close(fd);
}

/* A line of the engine, its time nth nanosecond of the play. Returns its length. */
static size_t engine_line(char *to, const char *escaped, const char *stream, uint64_t nth)
{
    return (size_t)sprintf(
        to, "{\"log\":\"%s\",\"stream\":\"%s\",\"time\":\"2026-11-23T04:%02u:%02u.%09uZ\"}\n",
        escaped, stream, (unsigned)(nth / 1000000 / 60 % 60), (unsigned)(nth / 1000000 % 60),
        (unsigned)(nth % 1000000 * 1000 + 7));
}

static uint64_t play_clock;
static void play_line(const char *id, const char *text)
{
    char line[1024], escaped[900];

    snprintf(escaped, sizeof escaped, "%s\\n", text);
    play_append(id, "", line, engine_line(line, escaped, "stdout", play_clock++));
}

static void play_move(const char *id, const char *from, const char *to)
{
    char a[512], b[512];

    log_path(a, sizeof a, id, from);
    log_path(b, sizeof b, id, to);
    rename(a, b);
}

static void play_unlink(const char *id, const char *suffix)
{
    char path[512];

    log_path(path, sizeof path, id, suffix);
    unlink(path);
}

/* Whether the input has the live file open. */
static bool play_is_held(const char *id)
{
    char path[512];
    struct stat live, st;

    log_path(path, sizeof path, id, "");
    if (stat(path, &live) < 0)
        return true;
    for (int fd = 3; fd < 256; fd++)
        if (fstat(fd, &st) == 0 && st.st_ino == live.st_ino && st.st_dev == live.st_dev)
            return true;
    return false;
}

static void play_touch(const char *id, const char *suffix)
{
    char path[512];
    int fd;

    log_path(path, sizeof path, id, suffix);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
    assert_true(fd >= 0);
    close(fd);
}

/* Compresses SUFFIX to SUFFIX.gz, then removes it, as the engine does in the background. */
static void play_gzip(const char *id, const char *suffix)
{
    char from[512], to[520], buf[65536];
    ssize_t n;
    gzFile gz;
    int fd;

    log_path(from, sizeof from, id, suffix);
    snprintf(to, sizeof to, "%s.gz", from);
    fd = open(from, O_RDONLY);
    assert_true(fd >= 0);
    gz = gzopen(to, "wb1");
    assert_non_null(gz);
    while ((n = read(fd, buf, sizeof buf)) > 0)
        assert_int_equal(gzwrite(gz, buf, (unsigned)n), (int)n);
    gzclose(gz);
    close(fd);
    unlink(from);
}

/* The chain of renames for max-file, and a new live file. */
static void play_rotate(const char *id, unsigned max_file, bool compress)
{
    char a[32], b[32];

    if (max_file < 2) {
        play_unlink(id, "");
    } else {
        snprintf(a, sizeof a, ".%u%s", max_file - 1, compress ? ".gz" : "");
        play_unlink(id, a);
        for (unsigned i = max_file - 1; i > 1; i--) {
            snprintf(a, sizeof a, ".%u%s", i - 1, compress ? ".gz" : "");
            snprintf(b, sizeof b, ".%u%s", i, compress ? ".gz" : "");
            play_move(id, a, b);
        }
        play_move(id, "", ".1");
    }
    play_touch(id, "");
    if (compress && max_file > 1)
        play_gzip(id, ".1");
}

static void play_remove(const char *id)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", stage_dir, id);
    files_remove(path);
}

/* ---- setup ---- */

static int stage_setup(void **state)
{
    (void)state;
    stage_set_up();
    stage_settings = (struct docker_settings){.enabled = true,
                                              .containers = stage_dir,
                                              .start = "beginning",
                                              .exclude = no_excludes,
                                              .max_held_bytes = 1u << 30};
    stage_no_holder = false;
    play_clock = 0;
    return 0;
}

static int stage_teardown(void **state)
{
    (void)state;
    if (stage_input)
        stage_end();
    stage_tear_down();
    return 0;
}

#endif

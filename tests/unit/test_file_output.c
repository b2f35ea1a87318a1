/* The file output over a real buffer, with a disk that can be made to fail (io.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* io.h over the real calls; those that are made to fail are below. */
#define io_pwrite real_pwrite
#define io_fdatasync real_fdatasync
#define io_truncate real_truncate
#include "agent/base/io.c"
#undef io_pwrite
#undef io_fdatasync
#undef io_truncate

ssize_t io_pwrite(int fd, const void *from, size_t n, off_t at);
int io_fdatasync(int fd);
int io_truncate(int fd, off_t n);

#include "outputs/file/day_file.h"
#include "outputs/file/file_output.h"
#include "tests/unit/buffer_fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define PATIENCE_MS 30000

/* ---- a disk that fails: io.h over the real calls ---- */

/* What is to happen to daily files (told by their name). All other files are served well. */
static struct {
    _Atomic bool full;        /* writes stop short, then ENOSPC */
    _Atomic int fail_syncs;   /* this many fdatasync calls say EIO */
    _Atomic bool no_truncate; /* ftruncate says EIO */
    _Atomic int failures;     /* how often we made something fail */
    _Atomic bool advanced_early;
    struct buffer *buffer; /* looked at when a sync fails */
} disk;

static bool is_day_file(int fd)
{
    char link[64], name[512];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, name, sizeof name - 1);
    if (n < 0)
        return false;
    name[n] = '\0';
    return strstr(name, ".ndjson") != NULL;
}

ssize_t io_pwrite(int fd, const void *from, size_t n, off_t at)
{
    if (disk.full && is_day_file(fd)) {
        disk.failures++;
        if (n < 8) {
            errno = ENOSPC;
            return -1;
        }
        n /= 2;
    }
    return real_pwrite(fd, from, n, at);
}

int io_fdatasync(int fd)
{
    if (disk.fail_syncs > 0 && is_day_file(fd)) {
        struct buffer_stats s;

        buffer_stats(disk.buffer, &s);
        if (s.delivered)
            disk.advanced_early = true;
        disk.fail_syncs--;
        disk.failures++;
        errno = EIO;
        return -1;
    }
    return real_fdatasync(fd);
}

int io_truncate(int fd, off_t n)
{
    if (disk.no_truncate && is_day_file(fd)) {
        disk.failures++;
        errno = EIO;
        return -1;
    }
    return real_truncate(fd, n);
}

/* ---- a stage: a buffer, an output, a folder of daily files ---- */

struct stage {
    char *dir; /* of the buffer; the daily files lie beside it */
    char out[256];
    char pattern[300];
    struct config config;
    struct buffer *buffer;
    void *output;
};

static void *live_output;

static void on_data(void *arg)
{
    (void)arg;
    if (live_output)
        output_file.wake(live_output);
}

static void open_buffer(struct stage *s)
{
    struct error e;
    bool newer;

    s->buffer = buffer_open(&(struct buffer_options){.dir = s->dir,
                                                     .max_bytes = 256 << 20,
                                                     .sync_ms = 50,
                                                     .cannot_wait_max_bytes = 128 << 20,
                                                     .on_data = on_data},
                            &newer, &e);
    assert_non_null(s->buffer);
    disk.buffer = s->buffer;
}

static void start_output(struct stage *s)
{
    struct error e = {""};

    s->output =
        output_file.start(&(struct output_options){.config = &s->config, .buffer = s->buffer}, &e);
    if (!s->output)
        fail_msg("%s", e.text);
    live_output = s->output;
}

static void stop_output(struct stage *s, uint64_t timeout_ms)
{
    void *output = s->output;

    live_output = NULL;
    s->output = NULL;
    output_file.stop(output, timeout_ms);
}

static struct stage make_stage(void)
{
    struct stage s = {.dir = fixture_dir()};

    memset(&disk, 0, sizeof disk);
    snprintf(s.out, sizeof s.out, "%.*s/out", (int)(strrchr(s.dir, '/') - s.dir), s.dir);
    snprintf(s.pattern, sizeof s.pattern, "%s/x-%%{+YYYY.MM.dd}.ndjson", s.out);
    s.config.output_kind = OUTPUT_FILE;
    s.config.file.path = strdup(s.pattern);
    open_buffer(&s);
    return s;
}

static void end_stage(struct stage *s)
{
    if (s->output)
        stop_output(s, 0);
    buffer_close(s->buffer);
    free(s->config.file.path);
    fixture_done(s->dir);
}

/* The ids of these tests: the number in the last 8 of 18 bytes. */
static void id_of(uint64_t k, uint8_t id[BUFFER_ID_BYTES])
{
    memset(id, 0xA5, BUFFER_ID_BYTES);
    for (int i = 0; i < 8; i++)
        id[BUFFER_ID_BYTES - 1 - i] = (uint8_t)(k >> (8 * i));
}

/* 6 bits a character, most significant first, by an alphabet in the order of ASCII. */
static void id_text(uint64_t k, char to[25])
{
    uint8_t id[BUFFER_ID_BYTES];
    char alphabet[65];
    int n = 0;

    for (int c = 0; c < 128; c++)
        if (c == '-' || c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
            (c >= 'a' && c <= 'z'))
            alphabet[n++] = (char)c;
    assert_int_equal(n, 64);
    id_of(k, id);
    for (int i = 0; i < 24; i++) {
        int v = 0;

        for (int bit = 6 * i; bit < 6 * i + 6; bit++)
            v = v << 1 | (id[bit / 8] >> (7 - bit % 8) & 1);
        to[i] = alphabet[v];
    }
    to[24] = '\0';
}

static void path_of(const struct stage *s, unsigned day, char to[400])
{
    snprintf(to, 400, "%s/x-2026.01.%02u.ndjson", s->out, day);
}

static void append(struct stage *s, uint64_t k, unsigned day, size_t padding)
{
    uint8_t id[BUFFER_ID_BYTES];
    char path[400], *p = buffer_reserve(s->buffer, BUFFER_CAN_WAIT, padding + 64);
    int n;

    assert_non_null(p);
    n = sprintf(p, "{\"n\":%llu,\"p\":\"", (unsigned long long)k);
    memset(p + n, 'x', padding);
    memcpy(p + n + padding, "\"}", 2);
    id_of(k, id);
    path_of(s, day, path);
    buffer_append(s->buffer, BUFFER_CAN_WAIT, id, bytes_str(path), 0, (size_t)n + padding + 2);
}

static void commit(struct stage *s)
{
    assert_int_equal(buffer_commit(s->buffer), 0);
}

static struct buffer_stats stats(struct stage *s)
{
    struct buffer_stats b;

    buffer_stats(s->buffer, &b);
    return b;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static void wait_drained(struct stage *s)
{
    uint64_t until = clock_mono_ms() + PATIENCE_MS;

    while (stats(s).buffered) {
        assert_true(clock_mono_ms() < until);
        pause_ms(1);
    }
}

static void wait_failures(int n)
{
    uint64_t until = clock_mono_ms() + PATIENCE_MS;

    while (disk.failures < n) {
        assert_true(clock_mono_ms() < until);
        pause_ms(1);
    }
}

static char *slurp(const char *path, size_t *n)
{
    int fd = open(path, O_RDONLY);
    struct stat st;
    char *p;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    p = malloc((size_t)st.st_size + 1);
    assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
    p[st.st_size] = '\0';
    *n = (size_t)st.st_size;
    close(fd);
    return p;
}

/* The file holds the lines of first, first+step, … (n of them), byte for byte and nothing else. */
static void check_file(const char *path, uint64_t first, uint64_t step, uint64_t n, size_t padding)
{
    size_t size;
    char *text = slurp(path, &size), *p = text, *want = malloc(padding + 200);

    for (uint64_t i = 0; i < n; i++) {
        char id[25];
        int len;

        id_text(first + i * step, id);
        len = sprintf(want, "{\"_id\":\"%s\",\"n\":%llu,\"p\":\"", id,
                      (unsigned long long)(first + i * step));
        memset(want + len, 'x', padding);
        memcpy(want + len + padding, "\"}\n", 3);
        len += (int)padding + 3;
        if ((size_t)(text + size - p) < (size_t)len || memcmp(p, want, (size_t)len) != 0)
            fail_msg("%s: line %llu is %.200s", path, (unsigned long long)i, p);
        p += len;
    }
    assert_int_equal(p - text, size);
    free(want);
    free(text);
}

static void check_day(const struct stage *s, unsigned day, uint64_t first, uint64_t step,
                      uint64_t n, size_t padding)
{
    char path[400];

    path_of(s, day, path);
    check_file(path, first, step, n, padding);
}

static void overwrite_tail(const char *path, off_t cut_to, const void *p, size_t n)
{
    int fd = open(path, O_WRONLY);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, cut_to), 0);
    assert_int_equal(pwrite(fd, p, n, cut_to), n);
    close(fd);
}

/* ---- tests ---- */

static void records_become_lines_of_their_day(void **state)
{
    struct stage s = make_stage();

    (void)state;
    start_output(&s);
    for (uint64_t k = 0; k < 600; k++) {
        append(&s, k, 1 + (unsigned)(k % 20), 100); /* more days than files may be open */
        if (k % 37 == 0)
            commit(&s);
    }
    commit(&s);
    wait_drained(&s);
    assert_int_equal(stats(&s).delivered, 600);
    for (unsigned day = 1; day <= 20; day++)
        check_day(&s, day, day - 1, 20, 30, 100);
    end_stage(&s);
}

/* Records that are damaged in the buffer, with nothing behind them, are counted as such and hold up
 * nothing. */
static void damage_at_the_end_is_passed_over(void **state)
{
    struct stage s = make_stage();
    char name[256][64], path[400], *text, *at;
    size_t n;
    int fd;

    (void)state;
    append(&s, 0, 1, 10);
    append(&s, 1, 1, 10);
    commit(&s);
    assert_int_equal(fixture_list(s.dir, ".seg", name), 1);
    snprintf(path, sizeof path, "%s/%.63s", s.dir, name[0]);
    text = slurp(path, &n);
    at = memmem(text, n, "{\"n\":1", 6);
    assert_non_null(at);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "!", 1, at - text), 1);
    close(fd);
    free(text);
    start_output(&s);
    wait_drained(&s);
    assert_int_equal(stats(&s).damaged, 1);
    assert_int_equal(stats(&s).delivered, 1);
    fixture_balanced(s.buffer);
    check_day(&s, 1, 0, 1, 1, 10);
    end_stage(&s);
}

static void large_and_small(void **state)
{
    struct stage s = make_stage();

    (void)state;
    start_output(&s);
    append(&s, 0, 1, 0);
    append(&s, 1, 2, 3 << 20); /* larger than a batch */
    append(&s, 2, 1, 0);
    commit(&s);
    wait_drained(&s);
    check_day(&s, 1, 0, 2, 2, 0);
    check_day(&s, 2, 1, 1, 1, 3 << 20);
    end_stage(&s);
}

static void empty_documents_stay_json(void **state)
{
    static const char *const documents[] = {"{}", "{ }", "{\"a\":1}", "{ \"a\":1}"};
    struct stage s = make_stage();
    char path[400], id[25], want[400] = "", *text;
    size_t n;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(documents); i++) {
        uint8_t bytes[BUFFER_ID_BYTES];
        char *p = buffer_reserve(s.buffer, BUFFER_CAN_WAIT, 64);

        id_of(i, bytes);
        path_of(&s, 1, path);
        memcpy(p, documents[i], strlen(documents[i]));
        buffer_append(s.buffer, BUFFER_CAN_WAIT, bytes, bytes_str(path), 0, strlen(documents[i]));
        id_text(i, id);
        sprintf(want + strlen(want), "{\"_id\":\"%s\"%s}\n", id, i < 2 ? "" : ",\"a\":1");
    }
    commit(&s);
    start_output(&s);
    wait_drained(&s);
    text = slurp(path, &n);
    assert_string_equal(text, want);
    free(text);
    end_stage(&s);
}

/* A life is ended behind its writes and before the frontier moved: the buffer of before stands for
 * that. Whatever of the lines is there, torn or not, the next life leaves each once. */
static void repeated_records_are_skipped(void **state)
{
    struct stage s = make_stage();
    char before[256], path[400];
    off_t line;

    (void)state;
    for (uint64_t k = 0; k < 100; k++)
        append(&s, k, 1, 10);
    commit(&s);
    snprintf(before, sizeof before, "%s-before", s.dir);
    fixture_copy(s.dir, before);
    start_output(&s);
    wait_drained(&s);
    stop_output(&s, 0);
    check_day(&s, 1, 0, 1, 100, 10);
    path_of(&s, 1, path);
    line = 0;
    for (int kind = 0; kind < 4; kind++) {
        struct stat st;
        char nuls[5000] = {0};
        uint64_t there = 100;

        buffer_close(s.buffer);
        files_remove(s.dir);
        fixture_copy(before, s.dir);
        assert_int_equal(stat(path, &st), 0);
        line = 7 * 59;   /* {"_id":"24 characters","n":K,"p":"10 x"}: 57 + 1 digit + 1 */
        if (kind == 1) { /* torn in the middle of the eighth line */
            overwrite_tail(path, line + 20, "", 0);
            there = 7;
        } else if (kind == 2) { /* torn, nothing but its beginning */
            overwrite_tail(path, 1, "", 0);
            there = 0;
        } else if (kind == 3) { /* a power cut: NULs, and behind them even a line */
            memcpy(nuls + 4000, "\n{\"_id\":\"zzzz\"}\n", 16);
            overwrite_tail(path, line + 20, nuls, sizeof nuls);
            there = 7;
        }
        open_buffer(&s);
        assert_int_equal(stats(&s).buffered, 100);
        start_output(&s);
        wait_drained(&s);
        stop_output(&s, 0);
        assert_int_equal(stats(&s).duplicate, there);
        assert_int_equal(stats(&s).delivered, 100 - there);
        check_day(&s, 1, 0, 1, 100, 10);
    }
    files_remove(before);
    end_stage(&s);
}

/* A log file that a power cut shortened is read again while its records still lie in the buffer:
 * the same ids in one life, in one batch and in later ones. */
static void what_is_read_twice_in_one_life_is_there_once(void **state)
{
    struct stage s = make_stage();

    (void)state;
    for (uint64_t k = 0; k < 3000; k++)
        append(&s, k, 1, 10);
    for (uint64_t k = 2990; k < 3000; k++)
        append(&s, k, 1, 10);
    commit(&s);
    start_output(&s);
    wait_drained(&s);
    for (uint64_t k = 0; k < 3500; k++)
        append(&s, k, 1, 10);
    commit(&s);
    wait_drained(&s);
    assert_int_equal(stats(&s).duplicate, 10 + 3000);
    assert_int_equal(stats(&s).delivered, 3500);
    check_day(&s, 1, 0, 1, 3500, 10);
    end_stage(&s);
}

/* Behind more than a window of other lines, whose first is not at the window's edge. */
static void the_window_is_found_in_a_large_file(void **state)
{
    struct stage s = make_stage();
    char path[400], line[1024];
    size_t filler = 0, size;
    FILE *f;
    char *text;

    (void)state;
    memset(line, 'y', sizeof line);
    memcpy(line, "{\"_id\":\"", 8);
    memcpy(line + 1001, "\"}\n", 3);
    path_of(&s, 1, path);
    mkdir(s.out, 0700);
    f = fopen(path, "w");
    assert_non_null(f);
    for (; filler <= DAY_FILE_WINDOW + 500000; filler += 1004)
        assert_int_equal(fwrite(line, 1, 1004, f), 1004);
    for (uint64_t k = 0; k < 5; k++) {
        char id[25];

        id_text(k, id);
        fprintf(f, "{\"_id\":\"%s\",\"n\":%u,\"p\":\"\"}\n", id, (unsigned)k);
    }
    fprintf(f, "{\"_id\":\"torn");
    fclose(f);
    for (uint64_t k = 0; k < 10; k++)
        append(&s, k, 1, 0);
    commit(&s);
    start_output(&s);
    wait_drained(&s);
    assert_int_equal(stats(&s).duplicate, 5);
    assert_int_equal(stats(&s).delivered, 5);
    text = slurp(path, &size);
    for (uint64_t k = 0; k < 10; k++) {
        char want[100], *p;

        snprintf(want, sizeof want, "\"n\":%u,\"p\":\"\"}\n", (unsigned)k);
        p = memmem(text + filler, size - filler, want, strlen(want));
        assert_non_null(p);
        assert_null(memmem(p + 1, (size_t)(text + size - p) - 1, want, strlen(want)));
    }
    assert_null(memmem(text + filler, size - filler, "torn", 4));
    free(text);
    end_stage(&s);
}

static void full_disk_is_waited_for(void **state)
{
    struct stage s = make_stage();

    (void)state;
    start_output(&s);
    append(&s, 0, 1, 5000);
    commit(&s);
    wait_drained(&s);
    disk.full = true;
    for (uint64_t k = 1; k < 50; k++)
        append(&s, k, 1, 5000);
    commit(&s);
    wait_failures(30); /* more than one attempt: each halves what is left */
    assert_int_equal(stats(&s).delivered, 1);
    assert_int_equal(metric_get(M_OUT_BREAKER), 2);
    disk.full = false;
    wait_drained(&s);
    assert_int_equal(metric_get(M_OUT_BREAKER), 0);
    check_day(&s, 1, 0, 1, 50, 5000);
    end_stage(&s);
}

static void stop_gives_up_and_the_next_life_goes_on(void **state)
{
    struct stage s = make_stage();
    uint64_t began;

    (void)state;
    disk.full = true;
    start_output(&s);
    for (uint64_t k = 0; k < 50; k++)
        append(&s, k, 1 + (unsigned)(k % 2), 100);
    commit(&s);
    wait_failures(1);
    began = clock_mono_ms();
    stop_output(&s, 50);
    assert_true(clock_mono_ms() - began < 10000);
    assert_int_equal(stats(&s).buffered, 50);
    disk.full = false;
    disk.no_truncate = false;
    buffer_close(s.buffer);
    open_buffer(&s);
    start_output(&s);
    stop_output(&s, PATIENCE_MS); /* drains */
    assert_int_equal(stats(&s).buffered, 0);
    check_day(&s, 1, 0, 2, 25, 100);
    check_day(&s, 2, 1, 2, 25, 100);
    end_stage(&s);
}

/* The lines of a failed fsync do not count, and are not there twice after the next one, even when
 * they could not be cut away at first. */
static void failed_fsync_counts_nothing(void **state)
{
    (void)state;
    for (int cut = 0; cut < 2; cut++) {
        struct stage s = make_stage();

        disk.fail_syncs = 3;
        disk.no_truncate = cut;
        for (uint64_t k = 0; k < 20; k++)
            append(&s, k, 1, 100);
        commit(&s);
        start_output(&s);
        wait_failures(3);
        disk.no_truncate = false;
        wait_drained(&s);
        assert_false(disk.advanced_early);
        assert_int_equal(stats(&s).delivered, 20);
        assert_int_equal(stats(&s).duplicate, 0);
        check_day(&s, 1, 0, 1, 20, 100);
        end_stage(&s);
    }
}

static void renamed_and_removed_files_are_made_anew(void **state)
{
    struct stage s = make_stage();
    char path[400], moved[450];

    (void)state;
    path_of(&s, 1, path);
    snprintf(moved, sizeof moved, "%s.1", path);
    start_output(&s);
    for (uint64_t k = 0; k < 30; k++) {
        append(&s, k, 1, 0);
        if (k % 10 != 9)
            continue;
        commit(&s);
        wait_drained(&s);
        if (k == 9)
            assert_int_equal(rename(path, moved), 0);
        if (k == 19)
            files_remove(s.out);
        if (k == 19)
            continue;
        check_file(k == 9 ? moved : path, k - 9, 1, 10, 0);
    }
    end_stage(&s);
}

/* Lines that somebody else appended stay. */
static void foreign_lines_stay(void **state)
{
    struct stage s = make_stage();
    char path[400];
    struct stat st;
    char *text;
    size_t n;

    (void)state;
    path_of(&s, 1, path);
    start_output(&s);
    append(&s, 0, 1, 0);
    commit(&s);
    wait_drained(&s);
    assert_int_equal(stat(path, &st), 0);
    overwrite_tail(path, st.st_size, "hello\n", 6);
    append(&s, 1, 1, 0);
    commit(&s);
    wait_drained(&s);
    text = slurp(path, &n);
    assert_int_equal(n, 2 * st.st_size + 6);
    assert_memory_equal(text + st.st_size, "hello\n", 6);
    free(text);
    end_stage(&s);
}

static void paths_stay_in_their_folder(void **state)
{
    static const struct {
        const char *pattern, *index, *path;
    } cases[] = {
        {"out/x-%{+YYYY.MM.dd}.ndjson", "out/x-2026.01.02.ndjson", "out/x-2026.01.02.ndjson"},
        {"/a/%{+YYYY}/%{+MM}.log", "/a/2026/01.log", "/a/2026/01.log"},
        {"out/all.ndjson", "out/all.ndjson", "out/all.ndjson"},
        /* taken for Elasticsearch, or for another path */
        {"out/x-%{+YYYY.MM.dd}.ndjson", "micro-2026.01.02", "out/micro-2026.01.02.ndjson"},
        {"out/x-%{+YYYY.MM.dd}.ndjson", "/old/y-2026.ndjson", "out/y-2026.ndjson"},
        {"x-%{+YYYY.MM.dd}.ndjson", "micro-2026", "micro-2026.ndjson"},
        {"out/all.ndjson", "out/all.ndjson.ndjson", "out/all.ndjson.ndjson"},
        /* edited by somebody */
        {"out/x-%{+YYYY}.ndjson", "out/x-/../../etc/z.ndjson", "out/z.ndjson"},
        {"out/x-%{+YYYY}.ndjson", "..", "out/unnamed...ndjson"},
        {"out/x-%{+YYYY}.ndjson", "", "out/unnamed.ndjson"},
        {"out/x-%{+YYYY}.ndjson", "a/", "out/unnamed.ndjson"},
        {"out/x-%{+YYYY}x.ndjson", "out/x-x.ndjson", "out/x-x.ndjson"},
        {"out/x%{+YYYY}x.ndjson", "out/x.ndjson", "out/x.ndjson"},
    };
    struct strbuf to = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        file_output_path(cases[i].pattern, bytes_str(cases[i].index), &to);
        assert_string_equal(to.p, cases[i].path);
    }
    strbuf_fini(&to);
}

static void folder_that_cannot_be_is_told(void **state)
{
    struct stage s = make_stage();
    struct error e = {""};

    (void)state;
    free(s.config.file.path);
    s.config.file.path = strdup("/dev/null/x-%{+YYYY}.ndjson");
    assert_null(
        output_file.start(&(struct output_options){.config = &s.config, .buffer = s.buffer}, &e));
    assert_non_null(strstr(e.text, "/dev/null"));
    end_stage(&s);
}

/* One life of the agent: appends and commits for ever, a byte to the pipe for each commit. */
static void live(struct stage *s, int pipe_fd)
{
    uint64_t k;

    open_buffer(s);
    start_output(s);
    for (k = stats(s).read;; k++) {
        append(s, k, 1 + (unsigned)(k % 3), k % 700);
        if (k % 5 == 0) {
            buffer_commit(s->buffer);
            if (write(pipe_fd, "c", 1) != 1)
                _exit(0);
        }
    }
}

static void killed_at_any_moment(void **state)
{
    struct stage s = make_stage();
    char *lines[3];
    size_t sizes[3];
    uint64_t total;

    (void)state;
    buffer_close(s.buffer);
    for (int life = 0; life < 25; life++) {
        int fds[2];
        pid_t pid;
        char c;

        assert_int_equal(pipe(fds), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(fds[0]);
            live(&s, fds[1]);
        }
        close(fds[1]);
        for (int i = 0; i < 20 + life * 37; i++)
            assert_int_equal(read(fds[0], &c, 1), 1);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        close(fds[0]);
    }
    open_buffer(&s);
    start_output(&s);
    wait_drained(&s);
    total = stats(&s).read;
    assert_true(total > 1000);
    print_message("%llu records, %llu handed out twice\n", (unsigned long long)total,
                  (unsigned long long)stats(&s).duplicate);
    assert_int_equal(stats(&s).delivered + stats(&s).duplicate, total);
    for (unsigned day = 1; day <= 3; day++) {
        char path[400], *p, *end;
        uint64_t k = day - 1;

        path_of(&s, day, path);
        lines[day - 1] = p = slurp(path, &sizes[day - 1]);
        end = p + sizes[day - 1];
        for (; p < end; k += 3) {
            char *feed = memchr(p, '\n', (size_t)(end - p));
            unsigned long long n = 0;

            assert_non_null(feed);
            *feed = '\0';
            assert_int_equal(sscanf(p, "{\"_id\":\"%*24c\",\"n\":%llu,", &n), 1);
            assert_int_equal(n, k);
            p = feed + 1;
        }
        assert_true(k >= total && k < total + 3);
        free(lines[day - 1]);
    }
    end_stage(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_become_lines_of_their_day),
        cmocka_unit_test(damage_at_the_end_is_passed_over),
        cmocka_unit_test(large_and_small),
        cmocka_unit_test(empty_documents_stay_json),
        cmocka_unit_test(repeated_records_are_skipped),
        cmocka_unit_test(what_is_read_twice_in_one_life_is_there_once),
        cmocka_unit_test(the_window_is_found_in_a_large_file),
        cmocka_unit_test(full_disk_is_waited_for),
        cmocka_unit_test(stop_gives_up_and_the_next_life_goes_on),
        cmocka_unit_test(failed_fsync_counts_nothing),
        cmocka_unit_test(renamed_and_removed_files_are_made_anew),
        cmocka_unit_test(foreign_lines_stay),
        cmocka_unit_test(paths_stay_in_their_folder),
        cmocka_unit_test(folder_that_cannot_be_is_told),
        cmocka_unit_test(killed_at_any_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

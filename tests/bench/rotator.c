/*
 * rotator: writes what Docker's json-file driver writes, at a rate, with its rotation.
 *
 *   rotator FOLDER HEXID SRC LINES MB_PER_SECOND MAX_SIZE MAX_FILE plain|gz
 *
 * One write(2) a record, as the engine does. Rotation follows moby's logfile.go: close, remove the
 * oldest, rename upwards, make the live file anew; with gz the next rotation waits until the last
 * one's compression is finished. MAX_FILE 1 removes the live file. MB_PER_SECOND 0 is as fast as it
 * goes. Each line carries "seq":N,"src":SRC. At the end one line of JSON: what was written, how
 * long files stood under a name, from their making to their removal, and the first seq of each
 * file.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define LIVES_MAX 1000000

static char path[4096];
static unsigned max_file;
static bool compress_files;
static pthread_mutex_t rotating = PTHREAD_MUTEX_INITIALIZER;
static uint64_t born[64]; /* of the live file, .1, .2, … */
static double lives[LIVES_MAX];
static size_t n_lives;
static unsigned long firsts[LIVES_MAX];

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "rotator: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void name_of(char *to, size_t cap, unsigned index, const char *suffix)
{
    if (index)
        snprintf(to, cap, "%s.%u%s", path, index, suffix);
    else
        snprintf(to, cap, "%s", path);
}

static int make_live(void)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0640);

    if (fd < 0)
        die("live file");
    born[0] = now_ns();
    return fd;
}

static void *compress_first(void *arg)
{
    static char data[65536];
    char from[4200], to[4300];
    FILE *in;
    gzFile out;
    size_t n;

    (void)arg;
    name_of(from, sizeof from, 1, "");
    name_of(to, sizeof to, 1, ".gz");
    in = fopen(from, "rb");
    out = gzopen(to, "wb");
    if (!in || !out)
        die("compressing");
    while ((n = fread(data, 1, sizeof data, in)) > 0)
        if (gzwrite(out, data, (unsigned)n) != (int)n)
            die("compressing");
    fclose(in);
    if (gzclose(out) != Z_OK)
        die("compressing");
    unlink(from);
    pthread_mutex_unlock(&rotating);
    return NULL;
}

static void removed(uint64_t since_ns)
{
    if (since_ns && n_lives < LIVES_MAX)
        lives[n_lives++] = (double)(now_ns() - since_ns) / 1e6;
}

static int rotate(int fd)
{
    const char *suffix = compress_files ? ".gz" : "";
    char from[4200], to[4300];
    pthread_t thread;

    pthread_mutex_lock(&rotating);
    close(fd);
    if (max_file < 2) {
        unlink(path);
        removed(born[0]);
        pthread_mutex_unlock(&rotating);
        return make_live();
    }
    name_of(to, sizeof to, max_file - 1, suffix);
    if (unlink(to) == 0)
        removed(born[max_file - 1]);
    for (unsigned i = max_file - 1; i > 1; i--) {
        name_of(from, sizeof from, i - 1, suffix);
        name_of(to, sizeof to, i, suffix);
        rename(from, to);
    }
    name_of(to, sizeof to, 1, "");
    rename(path, to);
    memmove(born + 1, born, (max_file - 1) * sizeof *born);
    fd = make_live();
    if (!compress_files) {
        pthread_mutex_unlock(&rotating);
    } else {
        if (pthread_create(&thread, NULL, compress_first, NULL) != 0)
            die("thread");
        pthread_detach(thread);
    }
    return fd;
}

static int by_length(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void keep_pace(uint64_t began, uint64_t bytes, double mb_per_s)
{
    uint64_t due = began + (uint64_t)((double)bytes / mb_per_s * 1e3), now = now_ns();
    struct timespec t;

    if (mb_per_s <= 0 || due < now + 500000)
        return;
    t.tv_sec = (time_t)((due - now) / 1000000000);
    t.tv_nsec = (long)((due - now) % 1000000000);
    nanosleep(&t, NULL);
}

int main(int argc, char **argv)
{
    static const char pad[] =
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    uint64_t bytes = 0, in_file = 0, began, max_size;
    unsigned long lines, rotations = 0;
    double mb_per_s, seconds;
    char line[1024];
    int fd;

    if (argc != 9) {
        fprintf(stderr,
                "usage: rotator FOLDER HEXID SRC LINES MB_PER_SECOND MAX_SIZE MAX_FILE plain|gz\n");
        return 2;
    }
    snprintf(path, sizeof path, "%s/%s/%s-json.log", argv[1], argv[2], argv[2]);
    lines = strtoul(argv[4], NULL, 10);
    mb_per_s = strtod(argv[5], NULL);
    max_size = strtoull(argv[6], NULL, 10);
    max_file = (unsigned)strtoul(argv[7], NULL, 10);
    compress_files = strcmp(argv[8], "gz") == 0;
    if (max_file < 1 || max_file > 63)
        die("MAX_FILE");
    fd = make_live();
    began = now_ns();
    for (unsigned long i = 0; i < lines; i++) {
        time_t s = (time_t)(1795406400 + i / 100000);
        struct tm tm;
        int n;

        gmtime_r(&s, &tm);
        n = snprintf(
            line, sizeof line,
            "{\"log\":\"{\\\"level\\\":\\\"info\\\",\\\"msg\\\":\\\"line\\\",\\\"seq\\\":%lu,"
            "\\\"src\\\":%s,\\\"pad\\\":\\\"%s\\\"}\\n\",\"stream\":\"stdout\",\"time\":\"%04d-"
            "%02d-%02dT%02d:%02d:%02d.%09luZ\"}\n",
            i, argv[3], pad, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
            tm.tm_sec, i % 100000 * 10000 + 1);
        if (in_file >= max_size) {
            fd = rotate(fd);
            if (++rotations < LIVES_MAX)
                firsts[rotations] = i;
            in_file = 0;
        }
        if (write(fd, line, (size_t)n) != n)
            die("write");
        in_file += (uint64_t)n;
        bytes += (uint64_t)n;
        if (i % 16 == 0)
            keep_pace(began, bytes, mb_per_s);
    }
    seconds = (double)(now_ns() - began) / 1e9;
    pthread_mutex_lock(&rotating);
    qsort(lives, n_lives, sizeof *lives, by_length);
    printf("{\"bytes\":%llu,\"seconds\":%.3f,\"mb_per_s\":%.1f,\"rotations\":%lu,\"removed\":%zu,"
           "\"life_ms_min\":%.2f,\"life_ms_p1\":%.2f,\"life_ms_median\":%.2f,\"firsts\":[0",
           (unsigned long long)bytes, seconds, (double)bytes / 1e6 / seconds, rotations, n_lives,
           n_lives ? lives[0] : 0, n_lives ? lives[n_lives / 100] : 0,
           n_lives ? lives[n_lives / 2] : 0);
    for (unsigned long i = 1; i <= rotations && i < LIVES_MAX; i++)
        printf(",%lu", firsts[i]);
    printf("]}\n");
    return 0;
}

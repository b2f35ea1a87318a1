/*
 * Documents as lines of daily files, each exactly once. The intake has frozen the path with the
 * record: its index is the file's path, expanded for the day of the event.
 *
 * Batch by batch: lines into the files, fdatasync, then the buffer's frontier. What fails is tried
 * again for as long as it takes; nothing is given up. That it is exactly once over a crash is
 * day_file's work.
 */
#include "outputs/file/file_output.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "outputs/file/day_file.h"
#include "outputs/output.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BATCH_BYTES (1u << 20)
#define MAX_OPEN 8 /* files at a time: today's, yesterday's, and stragglers' */
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 10000
#define HELD_MS 50    /* between looks when there are records that may not be read yet */
#define DRAIN_MS 5    /* … and while stopping */
#define LINGER_MS 100 /* behind a small batch: a trickle is not to become one fsync a line */
#define FOREVER UINT64_MAX

struct slot {
    struct bytes index; /* owned; of the records that go there */
    struct day_file file;
    uint64_t used;
};

struct file_output {
    struct buffer *buffer;
    const char *pattern; /* the configuration's */
    struct slot slots[MAX_OPEN];
    uint64_t uses;
    char *batch;
    size_t batch_cap;
    bool failing;

    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool woken; /* under lock, as the next two */
    bool stopping;
    uint64_t give_up_ms; /* while stopping: monotonic */
};

/* ---- waiting ---- */

static bool is_stopping(struct file_output *o, uint64_t *give_up_ms)
{
    bool stopping;

    pthread_mutex_lock(&o->lock);
    stopping = o->stopping;
    *give_up_ms = stopping ? o->give_up_ms : FOREVER;
    pthread_mutex_unlock(&o->lock);
    return stopping;
}

static bool must_give_up(struct file_output *o)
{
    uint64_t give_up_ms;

    return is_stopping(o, &give_up_ms) && clock_mono_ms() >= give_up_ms;
}

/* Waits on the condition until a time; false when it has come. Under lock. */
static bool wait_until(struct file_output *o, uint64_t at_ms)
{
    struct timespec at = {.tv_sec = (time_t)(at_ms / 1000),
                          .tv_nsec = (long)(at_ms % 1000) * 1000000};

    if (at_ms == FOREVER)
        return pthread_cond_wait(&o->cond, &o->lock) == 0;
    return clock_mono_ms() < at_ms &&
           (pthread_cond_timedwait(&o->cond, &o->lock, &at), clock_mono_ms() < at_ms);
}

/* Waits until there may be more to read. */
static void wait_for_data(struct file_output *o)
{
    struct buffer_stats s;
    uint64_t until = FOREVER;

    buffer_stats(o->buffer, &s);
    if (s.buffered)
        until = clock_mono_ms() + HELD_MS;
    pthread_mutex_lock(&o->lock);
    if (o->stopping)
        until = clock_mono_ms() + DRAIN_MS;
    while (!o->woken && wait_until(o, until))
        ;
    o->woken = false;
    pthread_mutex_unlock(&o->lock);
}

/* Waits before the next attempt or batch; a stop that begins meanwhile cuts it short. */
static void wait_before_next(struct file_output *o, uint64_t ms)
{
    uint64_t until = clock_mono_ms() + ms;
    bool was_stopping;

    pthread_mutex_lock(&o->lock);
    was_stopping = o->stopping;
    if (was_stopping)
        until = MIN(until, o->give_up_ms);
    while (o->stopping == was_stopping && wait_until(o, until))
        ;
    pthread_mutex_unlock(&o->lock);
}

/* ---- trouble and its end ---- */

/* Says what is wrong, and waits. false when it is time to give up. */
static bool try_again(struct file_output *o, const struct error *e, uint64_t *backoff_ms)
{
    log_warn("daily files cannot be written, trying again", LOG_STR("why", e->text));
    metric_text_set("output.last_error", bytes_str(e->text));
    metric_set(M_OUT_BREAKER, 2);
    metric_add(M_OUT_FAILED, 1);
    o->failing = true;
    if (must_give_up(o))
        return false;
    wait_before_next(o, *backoff_ms);
    *backoff_ms = MIN(*backoff_ms * 2, (uint64_t)BACKOFF_MAX_MS);
    return !must_give_up(o);
}

static void all_is_well(struct file_output *o)
{
    if (!o->failing)
        return;
    log_info("daily files can be written again");
    metric_set(M_OUT_BREAKER, 0);
    o->failing = false;
}

/* ---- files ---- */

/* The path for an index. It is the path itself, unless the record was taken under another
 * configuration (another path, or an index of Elasticsearch): then a file of that name in our
 * folder. So no record leads to a place that the configuration does not name. */
void file_output_path(const char *pattern, struct bytes index, struct strbuf *to)
{
    const char *open = strstr(pattern, "%{"), *close = strrchr(pattern, '}');
    const char *slash = strrchr(pattern, '/'), *base;
    struct bytes prefix = open ? bytes_of(pattern, (size_t)(open - pattern)) : bytes_str(pattern);
    struct bytes suffix = open && close ? bytes_str(close + 1) : BYTES_NONE;
    size_t rest = index.n - MIN(index.n, prefix.n + suffix.n);

    strbuf_clear(to);
    if (bytes_starts_with(index, prefix) && index.n >= prefix.n + suffix.n &&
        bytes_equal(bytes_of(index.p + index.n - suffix.n, suffix.n), suffix) &&
        (open ? !memmem(index.p + prefix.n, rest, "..", 2) : rest == 0)) {
        strbuf_add_bytes(to, index);
        return;
    }
    if (slash)
        strbuf_add(to, pattern, (size_t)(slash - pattern) + 1);
    base = index.n ? memrchr(index.p, '/', index.n) : NULL;
    if (base)
        index = bytes_of(base + 1, index.n - (size_t)(base + 1 - index.p));
    if (index.n == 0 || index.p[0] == '.')
        strbuf_add_str(to, "unnamed");
    strbuf_add_bytes(to, index);
    if (index.n < 7 || memcmp(index.p + index.n - 7, ".ndjson", 7) != 0)
        strbuf_add_str(to, ".ndjson");
}

static bool flush(struct file_output *o, struct slot *s)
{
    uint64_t backoff_ms = BACKOFF_MIN_MS;
    size_t n = s->file.pending.n;
    struct error e;

    while (day_file_flush(&s->file, &e) < 0)
        if (!try_again(o, &e, &backoff_ms))
            return false;
    metric_add(M_OUT_BYTES, n);
    return true;
}

static void close_slot(struct slot *s)
{
    day_file_close(&s->file);
    free((char *)(uintptr_t)s->index.p);
    s->index = BYTES_NONE;
}

static bool open_slot(struct file_output *o, struct slot *s, struct bytes index)
{
    uint64_t backoff_ms = BACKOFF_MIN_MS;
    struct strbuf path = {0};
    struct error e;
    bool ok = true;

    file_output_path(o->pattern, index, &path);
    while (day_file_open(&s->file, path.p, &e) < 0) {
        ok = try_again(o, &e, &backoff_ms);
        if (!ok)
            break;
    }
    if (ok)
        s->index = bytes_of(base_strndup(index.p ? index.p : "", index.n), index.n);
    strbuf_fini(&path);
    return ok;
}

/* The file for an index, open; NULL when it is time to give up. */
static struct day_file *file_for(struct file_output *o, struct bytes index)
{
    struct slot *oldest = &o->slots[0];

    for (size_t i = 0; i < MAX_OPEN; i++) {
        struct slot *s = &o->slots[i];

        if (s->index.p && bytes_equal(s->index, index)) {
            s->used = ++o->uses;
            return &s->file;
        }
        if (s->used < oldest->used)
            oldest = s;
    }
    if (oldest->index.p && !flush(o, oldest))
        return NULL;
    close_slot(oldest);
    if (!open_slot(o, oldest, index))
        return NULL;
    oldest->used = ++o->uses;
    return &oldest->file;
}

/* ---- the thread ---- */

static bool write_batch(struct file_output *o, size_t n, struct buffer_outcome *outcome)
{
    struct buffer_record r;
    size_t at = 0;

    while (buffer_next(o->batch, n, &at, &r)) {
        struct day_file *f = file_for(o, r.index);

        if (!f)
            return false;
        if (day_file_has(f, r.id)) {
            outcome->duplicate++;
        } else {
            day_file_add(f, r.id, r.document);
            outcome->delivered++;
        }
    }
    for (size_t i = 0; i < MAX_OPEN; i++)
        if (o->slots[i].index.p && !flush(o, &o->slots[i]))
            return false;
    metric_add(M_OUT_REQUESTS, 1);
    all_is_well(o);
    return true;
}

static void size_batch(struct file_output *o, size_t cap)
{
    if (o->batch_cap == cap)
        return;
    free(o->batch);
    o->batch = base_alloc(cap);
    o->batch_cap = cap;
}

/* Reads and writes one batch of *n bytes; 0 when there is nothing to read now. false when it is
 * time to give up. */
static bool step(struct file_output *o, struct buffer_cursor *cursor, size_t *n)
{
    struct buffer_outcome outcome = {0};
    uint64_t lost;
    size_t need;

    for (;;) {
        lost = 0;
        need = 0;
        *n = buffer_read(o->buffer, cursor, o->batch, o->batch_cap, &lost, &need);
        outcome.damaged += lost;
        if (*n > 0 || need <= o->batch_cap)
            break;
        size_batch(o, need);
    }
    if (*n > 0 && !write_batch(o, *n, &outcome))
        return false;
    if (*n > 0 || outcome.damaged > 0)
        buffer_advance(o->buffer, *cursor, &outcome);
    size_batch(o, BATCH_BYTES);
    return true;
}

static bool is_finished(struct file_output *o)
{
    uint64_t give_up_ms;
    struct buffer_stats s;

    if (!is_stopping(o, &give_up_ms))
        return false;
    buffer_stats(o->buffer, &s);
    return s.buffered == 0 || clock_mono_ms() >= give_up_ms;
}

static void *run(void *arg)
{
    struct file_output *o = arg;
    struct buffer_cursor cursor = buffer_frontier(o->buffer);
    uint64_t give_up_ms;
    size_t n;

    while (!is_finished(o) && step(o, &cursor, &n)) {
        if (n == 0)
            wait_for_data(o);
        else if (n < BATCH_BYTES / 2 && !is_stopping(o, &give_up_ms))
            wait_before_next(o, LINGER_MS);
    }
    return NULL;
}

/* ---- the output ---- */

/* The folder that the pattern names must be there or be made now: a configuration that can never
 * work is told at once. */
static int try_folder(const char *pattern, struct error *e)
{
    struct strbuf path = {0};
    size_t fixed = strcspn(pattern, "%");
    struct error why;
    int rc;

    while (fixed > 0 && pattern[fixed - 1] != '/')
        fixed--;
    strbuf_add_str(&path, fixed || pattern[0] == '/' ? "" : "./");
    strbuf_add(&path, pattern, fixed);
    rc = day_file_make_folders(path.p, &why);
    if (rc == 0 && faccessat(AT_FDCWD, path.p, W_OK | X_OK, AT_EACCESS) < 0)
        rc = error_set(&why, "nothing can be written to folder %s: %s", path.p, strerror(errno));
    if (rc < 0)
        error_set(e,
                  "output.file.path: %s; run as root, or choose a folder where this user may "
                  "write",
                  why.text);
    strbuf_fini(&path);
    return rc;
}

static void *start(const struct output_options *options, struct error *e)
{
    struct file_output *o;
    pthread_condattr_t attr;

    if (try_folder(options->config->file.path, e) < 0)
        return NULL;
    o = base_calloc(1, sizeof *o);
    o->buffer = options->buffer;
    o->pattern = options->config->file.path;
    for (size_t i = 0; i < MAX_OPEN; i++)
        o->slots[i].file.fd = -1;
    size_batch(o, BATCH_BYTES);
    pthread_mutex_init(&o->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&o->cond, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&o->thread, NULL, run, o) != 0)
        base_die("no thread for the file output");
    return o;
}

static void wake(void *output)
{
    struct file_output *o = output;

    pthread_mutex_lock(&o->lock);
    if (!o->woken) {
        o->woken = true;
        pthread_cond_signal(&o->cond);
    }
    pthread_mutex_unlock(&o->lock);
}

static void stop(void *output, uint64_t timeout_ms)
{
    struct file_output *o = output;

    pthread_mutex_lock(&o->lock);
    o->stopping = true;
    o->give_up_ms = clock_mono_ms() + timeout_ms;
    o->woken = true;
    pthread_cond_signal(&o->cond);
    pthread_mutex_unlock(&o->lock);
    pthread_join(o->thread, NULL);
    for (size_t i = 0; i < MAX_OPEN; i++)
        close_slot(&o->slots[i]);
    pthread_cond_destroy(&o->cond);
    pthread_mutex_destroy(&o->lock);
    free(o->batch);
    free(o);
}

const struct output_kind_ops output_file = {
    .name = "file", .start = start, .wake = wake, .stop = stop};

#include "agent/base/log.h"

#include "agent/base/clock.h"
#include "agent/base/strbuf.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define FOLD_MS 10000
#define FOLD_MAX_MS 300000
#define PAUSE_MS 45000 /* longer than what is tried again and again waits in between */

static _Atomic enum log_level min_level = LOG_INFO;
static _Atomic enum log_format line_format = LOG_LOGFMT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_init(enum log_level level, enum log_format format)
{
    atomic_store_explicit(&min_level, level, memory_order_relaxed);
    atomic_store_explicit(&line_format, format, memory_order_relaxed);
}

static bool is_bare(struct bytes s)
{
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return true;
}

static void add_value(struct strbuf *b, const struct log_field *f)
{
    switch (f->kind) {
    case LOG_FIELD_U64:
        strbuf_printf(b, "%llu", (unsigned long long)f->u64);
        break;
    case LOG_FIELD_I64:
        strbuf_printf(b, "%lld", (long long)f->u64);
        break;
    case LOG_FIELD_STR:
        if (line_format == LOG_LOGFMT && is_bare(f->str))
            strbuf_add_bytes(b, f->str);
        else
            strbuf_add_json(b, f->str);
        break;
    }
}

static void add_time(struct strbuf *b)
{
    int64_t ns = clock_wall_ns();
    time_t s = (time_t)(ns / 1000000000);
    struct tm tm;

    gmtime_r(&s, &tm);
    strbuf_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                  tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ns % 1000000000 / 1000000));
}

static void add_logfmt(struct strbuf *b, enum log_level level, const char *message,
                       const struct log_field *fields, uint64_t folded)
{
    strbuf_add_str(b, "time=");
    add_time(b);
    strbuf_printf(b, " level=%s msg=", level_names[level]);
    strbuf_add_json(b, bytes_str(message));
    for (; fields->key; fields++) {
        strbuf_printf(b, " %s=", fields->key);
        add_value(b, fields);
    }
    if (folded)
        strbuf_printf(b, " repeated=%llu", (unsigned long long)folded);
    strbuf_add_char(b, '\n');
}

static void add_json(struct strbuf *b, enum log_level level, const char *message,
                     const struct log_field *fields, uint64_t folded)
{
    strbuf_add_str(b, "{\"@timestamp\":\"");
    add_time(b);
    strbuf_printf(b, "\",\"log.level\":\"%s\",\"message\":", level_names[level]);
    strbuf_add_json(b, bytes_str(message));
    for (; fields->key; fields++) {
        strbuf_printf(b, ",\"%s\":", fields->key);
        add_value(b, fields);
    }
    if (folded)
        strbuf_printf(b, ",\"repeated\":%llu", (unsigned long long)folded);
    strbuf_add_str(b, "}\n");
}

/* FNV-1a over the texts, without digits: counts, times and ports change while the matter is the
 * same. */
static uint64_t hash_texts(const struct log_field *fields)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; fields->key; fields++)
        for (size_t i = 0; fields->kind == LOG_FIELD_STR && i < fields->str.n; i++)
            if (fields->str.p[i] < '0' || fields->str.p[i] > '9')
                h = (h ^ (unsigned char)fields->str.p[i]) * 0x100000001b3u;
    return h;
}

/* Whether site has said this just now, or often enough. */
static bool is_repeat(struct log_site *site, const struct log_field *fields, uint64_t now_ms)
{
    uint64_t text = hash_texts(fields), silent_ms = now_ms - site->last_ms;
    bool same = site->last_ms && text == site->text && now_ms - site->seen_ms < PAUSE_MS;

    site->seen_ms = now_ms;
    if (site->last_ms && (silent_ms < FOLD_MS || (same && silent_ms < site->fold_ms)))
        return true;
    site->fold_ms = same ? MIN(2 * site->fold_ms, FOLD_MAX_MS) : FOLD_MS;
    site->last_ms = now_ms;
    site->text = text;
    return false;
}

void log_write(enum log_level level, struct log_site *site, const char *message,
               const struct log_field *fields)
{
    struct strbuf line = {0};
    uint64_t folded = 0;

    if (level < atomic_load_explicit(&min_level, memory_order_relaxed))
        return;
    pthread_mutex_lock(&lock);
    if (site) {
        if (is_repeat(site, fields, MAX(clock_mono_ms(), 1))) {
            site->folded++;
            pthread_mutex_unlock(&lock);
            return;
        }
        folded = site->folded;
        site->folded = 0;
    }
    if (line_format == LOG_JSON)
        add_json(&line, level, message, fields, folded);
    else
        add_logfmt(&line, level, message, fields, folded);
    /* One write a line, so that lines of several threads and processes stay whole. */
    if (write(STDERR_FILENO, line.p, line.n) < 0) {
        /* Nobody left to tell. */
    }
    strbuf_fini(&line);
    pthread_mutex_unlock(&lock);
}

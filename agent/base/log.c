#include "agent/base/log.h"

#include "agent/base/clock.h"
#include "agent/base/strbuf.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define FOLD_MS 10000

static enum log_level min_level = LOG_INFO;
static enum log_format line_format = LOG_LOGFMT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_init(enum log_level level, enum log_format format)
{
    min_level = level;
    line_format = format;
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

void log_write(enum log_level level, struct log_site *site, const char *message,
               const struct log_field *fields)
{
    struct strbuf line = {0};
    uint64_t folded = 0;

    if (level < min_level)
        return;
    pthread_mutex_lock(&lock);
    if (site) {
        uint64_t now = clock_mono_ms();

        if (site->last_ms && now - site->last_ms < FOLD_MS) {
            site->folded++;
            pthread_mutex_unlock(&lock);
            return;
        }
        site->last_ms = now ? now : 1;
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

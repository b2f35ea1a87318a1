/*
 * log: the agent's own log, on standard error. A constant message, then key=value; one line per
 * event, control characters escaped; repeats of one call site within ten seconds are folded into a
 * count, and what goes on saying the same is told ever more rarely, down to once in five minutes.
 * Never a payload, never a secret. Any thread.
 *
 *   log_warn("datagrams dropped by the kernel", LOG_U64("dropped", n), LOG_STR("knob",
 * "inputs.gelf.receive_buffer"));
 */
#ifndef BARGE_LOG_H
#define BARGE_LOG_H

#include "agent/base/base.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

struct log_field {
    const char *key; /* NULL ends the list */
    enum { LOG_FIELD_STR, LOG_FIELD_U64, LOG_FIELD_I64 } kind;
    struct bytes str;
    uint64_t u64;
};

#define LOG_STR(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_STR, .str = bytes_str(v)})
#define LOG_BYTES(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_STR, .str = (v)})
#define LOG_U64(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_U64, .u64 = (uint64_t)(v)})
#define LOG_I64(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_I64, .u64 = (uint64_t)(v)})

/* Remembers when this call site last spoke, and what it said. Static storage, one for each call. */
struct log_site {
    uint64_t last_ms; /* 0: never */
    uint64_t seen_ms; /* last called, folded or not */
    uint64_t fold_ms; /* the same is folded this long */
    uint64_t text;    /* hash of what it said, digits aside */
    uint64_t folded;
};

/* At start, and again when the configuration is reloaded. */
void log_init(enum log_level level, enum log_format format);

/* Writes one line, or counts it when this site spoke less than ten seconds ago, or when it has been
 * saying the same (digits aside) without a pause of 45 seconds: then the silence doubles each time.
 * fields: array ended by a NULL key. */
void log_write(enum log_level level, struct log_site *site, const char *message,
               const struct log_field *fields);

#define LOG_AT(level, message, ...)                                                                \
    do {                                                                                           \
        static struct log_site site_;                                                              \
        log_write((level), &site_, (message),                                                      \
                  (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.key = NULL}});            \
    } while (0)
/* The same without folding: for events that each matter (a file found, a container named once). */
#define LOG_EACH(level, message, ...)                                                              \
    log_write((level), NULL, (message),                                                            \
              (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.key = NULL}})

#define log_debug(...) LOG_AT(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) LOG_EACH(LOG_INFO, __VA_ARGS__)
#define log_warn(...) LOG_AT(LOG_WARN, __VA_ARGS__)
#define log_error(...) LOG_AT(LOG_ERROR, __VA_ARGS__)

#endif

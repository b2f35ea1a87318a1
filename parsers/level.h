/*
 * level: log levels of all loggers as the six of a document. Any thread.
 */
#ifndef BARGE_LEVEL_H
#define BARGE_LEVEL_H

#include "agent/base/base.h"

enum level {
    LEVEL_NONE,
    LEVEL_TRACE,
    LEVEL_DEBUG,
    LEVEL_INFO,
    LEVEL_WARN,
    LEVEL_ERROR,
    LEVEL_FATAL,
    LEVEL_COUNT
};

/* "trace" … "fatal"; "" for LEVEL_NONE. */
extern const char *const level_names[LEVEL_COUNT];

/* A word in any case, or a number as text. LEVEL_NONE when it is no level that we know. *lossless:
 * the original says no more than the result (WARN, warning, 40), as `notice` or `CRITICAL` would.
 * Words: winston, zap, logrus, slog (INFO+2), logback, Serilog, Python, structlog, monolog, GCP,
 * syslog. Numbers: syslog 0..7, pino and bunyan 10..69 (python: Python's 10..50 instead), monolog
 * 100..600. */
enum level level_of(struct bytes text, bool python, bool *lossless);

/* Syslog's severity 0..7, LEVEL_NONE for others. */
enum level level_of_syslog(int severity);

#endif

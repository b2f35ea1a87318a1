/*
 * metrics: every figure that barge shows, in one table that is also its documentation. Counters
 * only rise; gauges are set. Both are 64-bit atomics with relaxed order: any thread, no lock.
 *
 * The path is where /status has it; /metrics derives its name from it: "inputs.gelf.datagrams" is
 * barge_inputs_gelf_datagrams_total for a counter, barge_buffer_bytes for a gauge.
 */
#ifndef BARGE_METRICS_H
#define BARGE_METRICS_H

#include "agent/base/base.h"

#include <stdatomic.h>

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

/* What the inputs that follow files have alike: their letters in M_…, and their name. */
#define METRICS_TAIL(X, INPUT, name, let_go_help)                                                  \
    X(M_##INPUT##_FILES, GAUGE, "inputs." name ".files", "log files open")                         \
    X(M_##INPUT##_LINES, COUNTER, "inputs." name ".lines", "lines read")                           \
    X(M_##INPUT##_BYTES, COUNTER, "inputs." name ".bytes", "bytes read, after decompression")      \
    X(M_##INPUT##_LAG, GAUGE, "inputs." name ".lag_bytes", "bytes in log files not read yet")      \
    X(M_##INPUT##_HELD, GAUGE, "inputs." name ".held_bytes",                                       \
      "unread bytes of rotated and removed files held open")                                       \
    X(M_##INPUT##_AT_RISK, GAUGE, "inputs." name ".at_risk_bytes",                                 \
      "bytes read from removed files and not yet on disk")                                         \
    X(M_##INPUT##_LET_GO, COUNTER, "inputs." name ".let_go_bytes", let_go_help)                    \
    X(M_##INPUT##_MISSED, COUNTER, "inputs." name ".missed_files",                                 \
      "files known to have gone before they were read to the end")

/* X(enumerator, kind, path, help) in the order of /status. */
#define METRICS(X)                                                                                 \
    X(M_READ, COUNTER, "ledger.read", "records framed and committed or dropped, over restarts")    \
    X(M_DELIVERED, COUNTER, "ledger.delivered", "records that the output acknowledged")            \
    X(M_DUPLICATE, COUNTER, "ledger.duplicate", "records that were found to be there already")     \
    X(M_DEAD, COUNTER, "ledger.dead_lettered", "records kept among the dead letters")              \
    X(M_BUFFERED, GAUGE, "ledger.buffered", "records on their way")                                \
    X(M_DROP_BUFFER_FULL, COUNTER, "ledger.dropped.buffer_full",                                   \
      "datagrams and stream messages that found the buffer full")                                  \
    X(M_DROP_DAMAGED, COUNTER, "ledger.dropped.damaged",                                           \
      "buffered records lost to damage on disk")                                                   \
    X(M_DROP_TOO_LARGE, COUNTER, "ledger.dropped.too_large",                                       \
      "messages larger than any document may be")                                                  \
    X(M_DROP_INVALID, COUNTER, "ledger.dropped.invalid",                                           \
      "datagrams and stream messages that are no GELF message")                                    \
    X(M_DOCKER_CONTAINERS, GAUGE, "inputs.docker.containers", "containers followed")               \
    METRICS_TAIL(X, DOCKER, "docker", "unread bytes given up because of inputs.docker.max_held")   \
    X(M_DOCKER_UNREADABLE, GAUGE, "inputs.docker.unreadable",                                      \
      "containers whose log cannot be read here")                                                  \
    X(M_DOCKER_INVALID, COUNTER, "inputs.docker.invalid_lines",                                    \
      "lines that are not Docker's, shipped as they are")                                          \
    X(M_DOCKER_SKIPPED, COUNTER, "inputs.docker.skipped_bytes",                                    \
      "bytes skipped by inputs.docker.start, and NUL runs")                                        \
    X(M_PODS_CONTAINERS, GAUGE, "inputs.kubernetes.containers", "runs of containers followed")     \
    METRICS_TAIL(X, PODS, "kubernetes", "unread bytes of removed files given up beyond 1GiB")      \
    X(M_PODS_UNREADABLE, GAUGE, "inputs.kubernetes.unreadable", "logs that cannot be read here")   \
    X(M_PODS_INVALID, COUNTER, "inputs.kubernetes.invalid_lines",                                  \
      "lines that are no entries of a runtime, shipped as they are")                               \
    X(M_PODS_SKIPPED, COUNTER, "inputs.kubernetes.skipped_bytes",                                  \
      "bytes of overlong lines and NUL runs")                                                      \
    X(M_FILES_LOGS, GAUGE, "inputs.files.logs", "logs followed, whatever they were rotated to")    \
    METRICS_TAIL(X, FILES, "files", "unread bytes of removed files given up beyond 1GiB")          \
    X(M_FILES_UNREADABLE, GAUGE, "inputs.files.unreadable", "logs that cannot be read here")       \
    X(M_FILES_SKIPPED, COUNTER, "inputs.files.skipped_bytes",                                      \
      "bytes skipped by begin, of overlong lines, and NUL runs")                                   \
    X(M_GELF_DATAGRAMS, COUNTER, "inputs.gelf.datagrams", "datagrams received")                    \
    X(M_GELF_BYTES, COUNTER, "inputs.gelf.bytes", "bytes received, before decompression")          \
    X(M_GELF_MESSAGES, COUNTER, "inputs.gelf.messages", "messages taken, joined and whole")        \
    X(M_GELF_KERNEL_DROPPED, COUNTER, "inputs.gelf.kernel_dropped",                                \
      "datagrams dropped by the kernel, socket buffer full")                                       \
    X(M_GELF_INCOMPLETE, COUNTER, "inputs.gelf.incomplete",                                        \
      "chunked messages given up: a chunk missing after 5 s")                                      \
    X(M_GELF_BAD_CHUNK, COUNTER, "inputs.gelf.bad_chunks",                                         \
      "chunks with an impossible or contradicting header")                                         \
    X(M_GELF_EVICTED, COUNTER, "inputs.gelf.evicted",                                              \
      "chunked messages given up at inputs.gelf.max_pending")                                      \
    X(M_GELF_PENDING, GAUGE, "inputs.gelf.chunks_pending", "chunks waiting for their siblings")    \
    X(M_GELF_PENDING_BYTES, GAUGE, "inputs.gelf.pending_bytes", "bytes of chunks waiting")         \
    X(M_GELF_UNDECODABLE, COUNTER, "inputs.gelf.undecodable",                                      \
      "datagrams that do not inflate, or inflate beyond inputs.gelf.max_message")                  \
    X(M_GELF_CONNECTIONS, GAUGE, "inputs.gelf.connections", "open streams")                        \
    X(M_PARSE_FAILED, COUNTER, "parsers.failed",                                                   \
      "messages that are not in the format that was chosen for them")                              \
    X(M_REDACTED_EMAIL, COUNTER, "redacted.email", "e-mail addresses redacted")                    \
    X(M_REDACTED_IP, COUNTER, "redacted.ip", "IP addresses redacted")                              \
    X(M_REDACTED_CARD, COUNTER, "redacted.card", "card numbers redacted")                          \
    X(M_REDACTED_NATIONAL_ID, COUNTER, "redacted.national_id",                                     \
      "Norwegian national identity numbers redacted")                                              \
    X(M_REDACTED_TOKEN, COUNTER, "redacted.token", "bearer tokens and the like redacted")          \
    X(M_REDACTED_PASSWORD, COUNTER, "redacted.password", "passwords in URLs and forms redacted")   \
    X(M_REDACTED_FIELD, COUNTER, "redacted.field", "values redacted by the names of their fields") \
    X(M_BUFFER_BYTES, GAUGE, "buffer.bytes", "bytes of buffer files")                              \
    X(M_BUFFER_MAX, GAUGE, "buffer.max_bytes", "buffer.max_size")                                  \
    X(M_BUFFER_SEGMENTS, GAUGE, "buffer.segments", "buffer files")                                 \
    X(M_BUFFER_OLDEST, GAUGE, "buffer.oldest_age_s", "age of the oldest record on its way")        \
    X(M_BUFFER_DAMAGED, COUNTER, "buffer.damaged_records", "records found damaged, over restarts") \
    X(M_BUFFER_FULL, GAUGE, "buffer.full", "1 while inputs wait for room")                         \
    X(M_BUFFER_SYNCS, COUNTER, "buffer.syncs", "fdatasync calls")                                  \
    X(M_BUFFER_WRITTEN, COUNTER, "buffer.written_bytes", "bytes written to buffer files")          \
    X(M_OUT_BREAKER, GAUGE, "output.breaker", "worst host: 0 closed, 1 half-open, 2 open")         \
    X(M_OUT_IN_FLIGHT, GAUGE, "output.in_flight", "requests under way")                            \
    X(M_OUT_LIMIT, GAUGE, "output.concurrency", "requests that the agent allows itself")           \
    X(M_OUT_LATENCY, GAUGE, "output.latency_ms",                                                   \
      "of an answer of the slowest host, on average over the last ones")                           \
    X(M_OUT_REQUESTS, COUNTER, "output.requests", "requests sent")                                 \
    X(M_OUT_FAILED, COUNTER, "output.failed_requests", "requests that failed whole")               \
    X(M_OUT_RETRIES, COUNTER, "output.retries", "records sent again")                              \
    X(M_OUT_REFUSED, COUNTER, "output.refused", "records refused for their shape and folded")      \
    X(M_OUT_NOOP, COUNTER, "output.noop",                                                          \
      "records that an ingest pipeline took and dropped, counted as delivered")                    \
    X(M_OUT_FAILURE_STORE, COUNTER, "output.failure_store",                                        \
      "records that went to a data stream's failure store, counted as delivered")                  \
    X(M_OUT_PARKED, GAUGE, "output.parked",                                                        \
      "records of indices that accept nothing, among the dead letters")                            \
    X(M_OUT_BYTES, COUNTER, "output.bytes", "body bytes sent, after compression")                  \
    X(M_DEAD_BYTES, GAUGE, "dead_letters.bytes", "bytes of dead letters kept")                     \
    X(M_DEAD_EXPIRED, COUNTER, "dead_letters.expired", "dead letters removed for age or size")

#define X(name, kind, path, help) name,
enum metric { METRICS(X) METRIC_COUNT };
#undef X

struct metric_info {
    enum metric_kind kind;
    const char *path;
    const char *help;
};

extern const struct metric_info metric_infos[METRIC_COUNT];
extern _Atomic uint64_t metric_values[METRIC_COUNT];

static inline void metric_add(enum metric m, uint64_t n)
{
    atomic_fetch_add_explicit(&metric_values[m], n, memory_order_relaxed);
}

static inline void metric_set(enum metric m, uint64_t v)
{
    atomic_store_explicit(&metric_values[m], v, memory_order_relaxed);
}

static inline uint64_t metric_get(enum metric m)
{
    return atomic_load_explicit(&metric_values[m], memory_order_relaxed);
}

/* What is not a number: output.last_error, output.hosts (the breaker of each of several),
 * inputs.docker.unreadable_containers, inputs.kubernetes.unreadable_logs,
 * inputs.files.unreadable_files. The text is copied (cut at 300 bytes); an empty one clears it.
 * path must be a literal. At most 64 paths. */
void metric_text_set(const char *path, struct bytes text);

/* Calls fn for each text in the order in which they were first set, under a lock: fn must not call
 * back. */
void metric_text_each(void (*fn)(void *arg, const char *path, const char *text), void *arg);

#endif

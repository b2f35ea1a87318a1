/*
 * es_breaker: the circuit breaker of one host. Closed: requests flow. After three failures in a row
 * it opens: nothing is sent for a pause that grows from one second to thirty, with jitter. Then one
 * request may go as a probe (half-open): its success closes the breaker, its failure opens it
 * again.
 *
 * Pure: the clock is an argument.
 */
#ifndef BARGE_ES_BREAKER_H
#define BARGE_ES_BREAKER_H

#include "outputs/elasticsearch/es_backoff.h"

#define ES_BREAKER_FAILURES 3
#define ES_BREAKER_PAUSE_MS 1000
#define ES_BREAKER_PAUSE_MAX_MS 30000

/* In the order of the figure output.breaker. */
enum es_breaker_state { ES_BREAKER_CLOSED, ES_BREAKER_HALF_OPEN, ES_BREAKER_OPEN };

struct es_breaker {
    enum es_breaker_state state;
    unsigned failures; /* in a row, while closed */
    unsigned openings; /* in a row */
    uint64_t until_ms; /* closed: nothing before (Retry-After); open: probe not before */
};

void es_breaker_init(struct es_breaker *b);

/* Whether a request may be sent to the host now. */
bool es_breaker_allows(const struct es_breaker *b, uint64_t now_ms);

/* When es_breaker_allows will say yes by the mere passing of time; UINT64_MAX while a probe is
 * under way. */
uint64_t es_breaker_due_ms(const struct es_breaker *b);

/* A request is sent: turns an open breaker, whose pause is over, half-open. */
void es_breaker_sent(struct es_breaker *b, uint64_t now_ms);

/* The host answered in its right mind. Returns true when that closed the breaker. */
bool es_breaker_succeeded(struct es_breaker *b);

/* A request failed by the host's fault. wait_ms: how long the host asked to be left alone, 0 when
 * it did not say. hard: opens at once (refused credentials: more of the same makes it worse).
 * Returns true when that opened the breaker. */
bool es_breaker_failed(struct es_breaker *b, uint64_t now_ms, uint64_t wait_ms, bool hard,
                       struct es_random *r);

/* A request ended without saying anything of the host (aborted by us): a probe is due again. */
void es_breaker_unknown(struct es_breaker *b, uint64_t now_ms);

/* "closed", "half-open", "open". */
const char *es_breaker_text(enum es_breaker_state state);

#endif

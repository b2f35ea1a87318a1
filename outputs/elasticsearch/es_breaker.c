#include "outputs/elasticsearch/es_breaker.h"

void es_breaker_init(struct es_breaker *b)
{
    *b = (struct es_breaker){.state = ES_BREAKER_CLOSED};
}

bool es_breaker_allows(const struct es_breaker *b, uint64_t now_ms)
{
    return b->state != ES_BREAKER_HALF_OPEN && now_ms >= b->until_ms;
}

uint64_t es_breaker_due_ms(const struct es_breaker *b)
{
    return b->state == ES_BREAKER_HALF_OPEN ? UINT64_MAX : b->until_ms;
}

void es_breaker_sent(struct es_breaker *b, uint64_t now_ms)
{
    ASSERT(es_breaker_allows(b, now_ms));
    if (b->state == ES_BREAKER_OPEN)
        b->state = ES_BREAKER_HALF_OPEN;
}

bool es_breaker_succeeded(struct es_breaker *b)
{
    bool closed = b->state != ES_BREAKER_CLOSED;

    es_breaker_init(b);
    return closed;
}

static void open_it(struct es_breaker *b, uint64_t now_ms, uint64_t wait_ms, struct es_random *r)
{
    uint64_t pause = ES_BREAKER_PAUSE_MS;

    for (unsigned i = 0; i < b->openings && pause < ES_BREAKER_PAUSE_MAX_MS; i++)
        pause *= 2;
    pause = MIN(pause, ES_BREAKER_PAUSE_MAX_MS);
    pause = pause / 2 + (es_random_next(r) >> 11) % (pause / 2 + 1);
    b->state = ES_BREAKER_OPEN;
    b->openings++;
    b->failures = 0;
    b->until_ms = now_ms + MAX(pause, wait_ms);
}

bool es_breaker_failed(struct es_breaker *b, uint64_t now_ms, uint64_t wait_ms, bool hard,
                       struct es_random *r)
{
    switch (b->state) {
    case ES_BREAKER_OPEN:
        /* A straggler from before: it says nothing new. */
        return false;
    case ES_BREAKER_HALF_OPEN:
        open_it(b, now_ms, wait_ms, r);
        return true;
    case ES_BREAKER_CLOSED:
        break;
    }
    b->failures++;
    if (hard || b->failures >= ES_BREAKER_FAILURES) {
        open_it(b, now_ms, wait_ms, r);
        return true;
    }
    b->until_ms = MAX(b->until_ms, now_ms + wait_ms);
    return false;
}

void es_breaker_unknown(struct es_breaker *b, uint64_t now_ms)
{
    if (b->state != ES_BREAKER_HALF_OPEN)
        return;
    b->state = ES_BREAKER_OPEN;
    b->until_ms = now_ms;
}

const char *es_breaker_text(enum es_breaker_state state)
{
    static const char *const names[] = {"closed", "half-open", "open"};

    return names[state];
}

#include "outputs/elasticsearch/es_size.h"

#define FIRST_BYTES (64u << 10)
#define MIN_BYTES 1024     /* however small the host wants them */
#define SLOWLY 64          /* one part of so many more for each that is taken */
#define LEARNT_MS 3600000u /* what a host takes at most is asked anew after an hour */

static void forget_refused(struct es_size *s)
{
    s->first = MIN(s->max, (size_t)FIRST_BYTES);
    s->refused = UINT64_MAX;
}

void es_size_init(struct es_size *s, size_t max)
{
    *s = (struct es_size){.max = max, .slow_from = SIZE_MAX};
    forget_refused(s);
    s->bytes = s->first;
}

/* Whether a request of twice the size may be. */
static bool may_grow(const struct es_size *s)
{
    return s->bytes < s->max && s->bytes * 2 < s->refused;
}

bool es_size_doubles(const struct es_size *s)
{
    return may_grow(s) && s->bytes < MAX(s->slow_from, s->first);
}

void es_size_taken(struct es_size *s, uint64_t bytes)
{
    if (bytes >= s->refused)
        forget_refused(s);
    if (!may_grow(s) || bytes * 2 < s->bytes)
        return;
    s->bytes += es_size_doubles(s) ? s->bytes : s->bytes / SLOWLY + 1;
    s->bytes = MIN(s->bytes, s->max);
}

bool es_size_too_large(struct es_size *s, uint64_t bytes, uint64_t now_ms)
{
    uint64_t half = bytes / 2;
    bool learnt = half < s->bytes;

    if (learnt)
        s->bytes = (size_t)MAX(half, (uint64_t)MIN_BYTES);
    s->first = MIN(s->first, s->bytes);
    s->refused = MIN(s->refused, half * 2);
    s->refused_ms = now_ms;
    return learnt;
}

void es_size_overloaded(struct es_size *s)
{
    s->slow_from = MAX(s->bytes / 2, s->first);
    s->bytes = MIN(s->bytes, s->slow_from);
}

void es_size_restart(struct es_size *s)
{
    s->slow_from = s->first;
    s->bytes = MIN(s->bytes, s->first);
}

void es_size_unlearn(struct es_size *s, uint64_t now_ms)
{
    if (s->refused == UINT64_MAX || now_ms - s->refused_ms < LEARNT_MS)
        return;
    s->bytes = MIN(s->bytes * 2, s->max);
    forget_refused(s);
}

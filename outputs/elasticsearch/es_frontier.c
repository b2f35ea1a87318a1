#include "outputs/elasticsearch/es_frontier.h"

#include <stdlib.h>

/* Small stretches (batches of a quiet agent) are joined up to this many records. */
#define JOIN_RECORDS 2048

struct es_stretch {
    struct buffer_cursor end;
    uint64_t first; /* sequence number */
    uint64_t open;
    uint8_t *fates; /* owned; enum es_end a record; NULL once all are finished */
    struct buffer_outcome outcome;
};

void es_frontier_init(struct es_frontier *f, struct buffer_cursor start)
{
    *f = (struct es_frontier){.end = start};
}

void es_frontier_fini(struct es_frontier *f)
{
    for (size_t i = f->first; i < f->n; i++)
        free(f->list[i].fates);
    free(f->list);
    memset(f, 0, sizeof *f);
}

static struct es_stretch *last_of(struct es_frontier *f)
{
    return f->n > f->first ? &f->list[f->n - 1] : NULL;
}

static struct es_stretch *append(struct es_frontier *f)
{
    if (f->n == f->cap && f->first > f->cap / 2) {
        memmove(f->list, f->list + f->first, (f->n - f->first) * sizeof *f->list);
        f->n -= f->first;
        f->first = 0;
        f->last_hit = 0;
    }
    if (f->n == f->cap) {
        f->cap = MAX(16, f->cap * 2);
        f->list = base_realloc(f->list, f->cap * sizeof *f->list);
    }
    f->list[f->n] = (struct es_stretch){.first = f->end.seq};
    return &f->list[f->n++];
}

static void add_outcome(struct buffer_outcome *to, const struct buffer_outcome *from)
{
    to->delivered += from->delivered;
    to->duplicate += from->duplicate;
    to->dead_lettered += from->dead_lettered;
    to->damaged += from->damaged;
}

static void count(struct buffer_outcome *o, enum es_end how)
{
    switch (how) {
    case ES_END_DELIVERED:
        o->delivered++;
        return;
    case ES_END_DUPLICATE:
        o->duplicate++;
        return;
    case ES_END_DEAD:
        o->dead_lettered++;
        return;
    case ES_END_DAMAGED:
        o->damaged++;
        return;
    case ES_OPEN:
        break;
    }
    ASSERT(false && "an end");
}

void es_frontier_read(struct es_frontier *f, struct buffer_cursor end)
{
    uint64_t n = end.seq - f->end.seq;
    struct es_stretch *s = last_of(f);

    ASSERT(end.seq > f->end.seq);
    if (s != NULL && s->fates != NULL && end.seq - s->first <= JOIN_RECORDS) {
        s->fates = base_realloc(s->fates, end.seq - s->first);
        memset(s->fates + (f->end.seq - s->first), ES_OPEN, n);
    } else {
        s = append(f);
        s->fates = base_calloc(n, 1);
    }
    s->open += n;
    s->end = f->end = end;
    f->open += n;
}

void es_frontier_lost(struct es_frontier *f, struct buffer_cursor end)
{
    struct es_stretch *s = append(f);

    ASSERT(end.seq > f->end.seq);
    s->outcome.damaged = end.seq - f->end.seq;
    s->end = f->end = end;
}

static struct es_stretch *find(struct es_frontier *f, uint64_t seq)
{
    size_t low = f->first, high = f->n;

    if (f->last_hit >= f->first && f->last_hit < f->n) {
        struct es_stretch *s = &f->list[f->last_hit];

        if (seq >= s->first && seq < s->end.seq)
            return s;
    }
    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (seq < f->list[mid].first)
            high = mid;
        else if (seq >= f->list[mid].end.seq)
            low = mid + 1;
        else {
            f->last_hit = mid;
            return &f->list[mid];
        }
    }
    ASSERT(false && "a record that was read");
    return NULL;
}

void es_frontier_finish(struct es_frontier *f, uint64_t seq, enum es_end how)
{
    struct es_stretch *s = find(f, seq);
    uint8_t *fate = &s->fates[seq - s->first];

    ASSERT(s->fates != NULL && *fate == ES_OPEN);
    *fate = (uint8_t)how;
    count(&s->outcome, how);
    f->open--;
    if (--s->open == 0) {
        free(s->fates);
        s->fates = NULL;
    }
}

size_t es_frontier_stretches(const struct es_frontier *f)
{
    return f->n - f->first;
}

bool es_frontier_advance(struct es_frontier *f, struct buffer_cursor *to,
                         struct buffer_outcome *outcome)
{
    bool moved = false;

    *outcome = (struct buffer_outcome){0};
    while (f->first < f->n && f->list[f->first].open == 0) {
        struct es_stretch *s = &f->list[f->first++];

        *to = s->end;
        add_outcome(outcome, &s->outcome);
        moved = true;
    }
    if (f->first == f->n)
        f->first = f->n = f->last_hit = 0;
    return moved;
}

uint64_t es_frontier_first_open(const struct es_frontier *f)
{
    for (size_t i = f->first; i < f->n; i++) {
        const struct es_stretch *s = &f->list[i];

        if (s->open == 0)
            continue;
        for (uint64_t k = 0;; k++)
            if (s->fates[k] == ES_OPEN)
                return s->first + k;
    }
    return f->end.seq;
}

bool es_frontier_advance_partly(struct es_frontier *f, struct buffer_cursor at,
                                struct buffer_outcome *outcome)
{
    struct buffer_cursor to;
    bool moved = es_frontier_advance(f, &to, outcome);

    if (f->first < f->n) {
        struct es_stretch *s = &f->list[f->first];
        uint64_t k;

        ASSERT(at.seq >= s->first && at.seq < s->end.seq);
        for (k = 0; s->first + k < at.seq; k++) {
            struct buffer_outcome one = {0};

            count(&one, s->fates[k]);
            add_outcome(outcome, &one);
            s->outcome.delivered -= one.delivered;
            s->outcome.duplicate -= one.duplicate;
            s->outcome.dead_lettered -= one.dead_lettered;
            s->outcome.damaged -= one.damaged;
            moved = true;
        }
        memmove(s->fates, s->fates + k, s->end.seq - at.seq);
        s->first = at.seq;
    }
    return moved;
}

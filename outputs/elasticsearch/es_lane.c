#include "outputs/elasticsearch/es_lane.h"

#include <stdio.h>
#include <stdlib.h>

#define TRY_MS 200
#define TRY_MAX_MS 30000
/* A run is read in one go: no longer than this. */
#define RUN_MAX_BYTES (16u << 20)

void es_lanes_init(struct es_lanes *l)
{
    memset(l, 0, sizeof *l);
}

static void lane_free(struct es_lane *lane)
{
    free(lane->runs);
    free(lane->sample.mem);
    free(lane);
}

void es_lanes_fini(struct es_lanes *l)
{
    for (size_t i = 0; i < l->n; i++)
        lane_free(l->list[i]);
    es_lanes_init(l);
}

struct es_lane *es_lanes_find(const struct es_lanes *l, struct bytes index)
{
    for (size_t i = 0; i < l->n; i++)
        if (bytes_is(index, l->list[i]->index))
            return l->list[i];
    return NULL;
}

struct es_lane *es_lanes_open(struct es_lanes *l, struct bytes index, uint64_t now_ms)
{
    struct es_lane *lane;

    ASSERT(es_lanes_find(l, index) == NULL && index.n <= BUFFER_MAX_INDEX);
    if (l->n == ES_LANES_MAX)
        return NULL;
    lane = base_calloc(1, sizeof *lane);
    memcpy(lane->index, index.p, index.n);
    lane->state = ES_LANE_TROUBLED;
    lane->since_ms = now_ms;
    lane->due_ms = now_ms;
    l->list[l->n++] = lane;
    return lane;
}

void es_lanes_close(struct es_lanes *l, struct es_lane *lane)
{
    ASSERT(lane->records == 0 && lane->under_way == 0 && lane->parked == 0);
    for (size_t i = 0; i < l->n; i++) {
        if (l->list[i] == lane) {
            l->list[i] = l->list[--l->n];
            lane_free(lane);
            return;
        }
    }
    ASSERT(false && "a lane of these");
}

void es_lane_put(struct es_lanes *l, struct es_lane *lane, struct buffer_point at, uint64_t seq,
                 uint32_t size)
{
    struct es_run *last = lane->n > lane->first ? &lane->runs[lane->n - 1] : NULL;

    lane->records++;
    if (last != NULL && last->seq + last->n == seq && last->at.segment == at.segment &&
        at.offset >= last->at.offset + last->span &&
        at.offset + size - last->at.offset <= RUN_MAX_BYTES) {
        last->n++;
        last->span = (uint32_t)(at.offset + size - last->at.offset);
        return;
    }
    if (lane->n == lane->cap && lane->first > lane->cap / 2) {
        memmove(lane->runs, lane->runs + lane->first, (lane->n - lane->first) * sizeof *last);
        lane->n -= lane->first;
        lane->first = 0;
    }
    if (lane->n == lane->cap) {
        lane->cap = MAX(16, lane->cap * 2);
        lane->runs = base_realloc(lane->runs, lane->cap * sizeof *lane->runs);
    }
    lane->runs[lane->n++] = (struct es_run){.at = at, .seq = seq, .n = 1, .span = size};
    l->runs++;
}

const struct es_run *es_lane_first(const struct es_lane *lane)
{
    return lane->n > lane->first ? &lane->runs[lane->first] : NULL;
}

void es_lane_took(struct es_lanes *l, struct es_lane *lane, struct buffer_cursor next)
{
    struct es_run *run = &lane->runs[lane->first];
    uint64_t n = next.seq - run->seq;

    ASSERT(lane->n > lane->first && next.seq > run->seq && n <= run->n);
    lane->records -= n;
    if (n == run->n) {
        lane->first++;
        l->runs--;
        if (lane->first == lane->n)
            lane->first = lane->n = 0;
        return;
    }
    ASSERT(next.point.segment == run->at.segment && next.point.offset < run->at.offset + run->span);
    run->span -= (uint32_t)(next.point.offset - run->at.offset);
    run->n -= (uint32_t)n;
    run->seq = next.seq;
    run->at = next.point;
}

void es_lane_runs_in(struct es_lanes *l, struct es_lane *lane, uint64_t segment, bool take,
                     void (*fn)(void *arg, const struct es_run *run), void *arg)
{
    size_t kept = lane->first;

    for (size_t i = lane->first; i < lane->n; i++) {
        const struct es_run run = lane->runs[i];

        if (run.at.segment == segment)
            fn(arg, &run);
        if (run.at.segment != segment || !take) {
            lane->runs[kept++] = run;
            continue;
        }
        lane->records -= run.n;
        l->runs--;
    }
    lane->n = kept;
    if (lane->first == lane->n)
        lane->first = lane->n = 0;
}

void es_lane_sample(struct es_lane *lane, const struct buffer_record *r)
{
    size_t n = r->index.n + r->document.n;
    char *mem;

    if (lane->sample.mem != NULL || n > ES_LANE_SAMPLE_MAX)
        return;
    mem = base_alloc(n);
    memcpy(mem, r->index.p, r->index.n);
    memcpy(mem + r->index.n, r->document.p, r->document.n);
    lane->sample.mem = mem;
    lane->sample.record = *r;
    lane->sample.record.index.p = mem;
    lane->sample.record.document.p = mem + r->index.n;
}

void es_lane_accepted(struct es_lane *lane)
{
    if (lane->state == ES_LANE_TROUBLED)
        lane->state = ES_LANE_DRAINING;
    lane->failures = 0;
}

void es_lane_refused(struct es_lane *lane, const char *reason, uint64_t now_ms, struct es_random *r)
{
    if (lane->state == ES_LANE_DRAINING) {
        lane->state = ES_LANE_TROUBLED;
        lane->since_ms = now_ms;
    }
    lane->failures++;
    lane->refused_ms = now_ms;
    lane->due_ms = now_ms + es_backoff_ms(lane->failures, TRY_MS, TRY_MAX_MS, r);
    snprintf(lane->reason, sizeof lane->reason, "%s", reason);
}

struct es_lane *es_lanes_oldest(const struct es_lanes *l, uint64_t *seq)
{
    struct es_lane *oldest = NULL;

    for (size_t i = 0; i < l->n; i++) {
        const struct es_lane *lane = l->list[i];

        for (size_t k = lane->first; k < lane->n; k++) {
            if (oldest == NULL || lane->runs[k].seq < *seq) {
                oldest = l->list[i];
                *seq = lane->runs[k].seq;
            }
        }
    }
    return oldest;
}

struct es_lane *es_lanes_longest(const struct es_lanes *l)
{
    struct es_lane *longest = NULL;

    for (size_t i = 0; i < l->n; i++)
        if (l->list[i]->n > l->list[i]->first &&
            (longest == NULL || l->list[i]->n - l->list[i]->first > longest->n - longest->first))
            longest = l->list[i];
    return longest;
}

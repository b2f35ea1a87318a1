#include "outputs/elasticsearch/es_delivery.h"

#include "agent/base/log.h"
#include "agent/base/metrics.h"

#include <errno.h>

/* A body counts as full when less than this part of it is left. */
#define NEARLY_FULL 16
#define BURY_RETRY_MS 1000
/* So long the disk is not asked again for a lane's records. */
#define NO_ROOM_MS 10000
/* Bodies' worth of records that may go to lanes before others have their turn. */
#define READS_AT_ONCE 8
/* Enough for most records. */
#define FIRST_LOOK (64u << 10)
/* What buffer_read takes beside the records, amply. */
#define READ_SLACK 64

/* What is known of the index of the record before, which is this one's as a rule. Begin with a
 * zeroed one for each batch and body. */
struct look {
    struct bytes index;
    struct es_lane *lane; /* NULL: none */
    bool folds;
    uint16_t name;   /* in the batch */
    uint32_t prefix; /* in the body */
};

static void look_up(const struct es *es, struct look *look, struct es_batch *b,
                    struct es_body *body, struct bytes index)
{
    if (LIKELY(look->index.p != NULL && bytes_equal(look->index, index)))
        return;
    look->index = index;
    look->lane = es->lanes.n == 0 ? NULL : es_lanes_find(&es->lanes, index);
    look->folds = es_fold_knows(&es->fold, index);
    look->name = es_batch_name(b, index);
    look->prefix = es_body_prefix(body, index);
}

/* Adds a record to a body, folded where its index is known to want that. */
static inline void add_to_body(struct es *es, struct es_body *body, const struct buffer_record *r,
                               const struct look *look, uint64_t now_ms)
{
    struct strbuf edited = {0};

    if (LIKELY(!look->folds) ||
        !es_fold_remembered(&es->fold, r->index, r->document, now_ms, &edited)) {
        es_body_add(body, r, look->prefix);
        return;
    }
    es_body_add_edited(body, r, look->prefix, strbuf_bytes(&edited));
    strbuf_fini(&edited);
}

/* ---- main stream ---- */

/* Walks over the n bytes read at body->mem + body->used. from: the cursor before, to: behind. */
static void take_in(struct es *es, size_t n, struct buffer_cursor from, struct buffer_cursor to,
                    uint64_t now_ms)
{
    struct es_body *body = es->filling_body;
    const char *mem = body->mem + body->used;
    struct look look = {0};
    struct buffer_record r;
    size_t at = 0;

    body->used += n;
    /* The frontier learns of gaps first: it wants records in order. */
    while (buffer_next(mem, n, &at, &r)) {
        if (r.seq != from.seq) {
            if (es->frontier.end.seq < from.seq)
                es_frontier_read(&es->frontier, (struct buffer_cursor){r.at, from.seq});
            es_frontier_lost(&es->frontier, (struct buffer_cursor){r.at, r.seq});
        }
        from.seq = r.seq + 1;
        look_up(es, &look, es->filling, body, r.index);
        if (UNLIKELY(look.lane != NULL)) {
            es_lane_put(&es->lanes, look.lane, r.at, r.seq, (uint32_t)buffer_record_size(&r));
            continue;
        }
        es_batch_add(es->filling, &r, look.name);
        add_to_body(es, body, &r, &look, now_ms);
    }
    if (es->frontier.end.seq < from.seq)
        es_frontier_read(&es->frontier, (struct buffer_cursor){to.point, from.seq});
    if (from.seq < to.seq)
        es_frontier_lost(&es->frontier, to);
}

static size_t read_main(struct es *es, uint64_t now_ms, size_t *need)
{
    struct es_body *body = es->filling_body;
    struct buffer_cursor from = es->cursor;
    uint64_t lost = 0;
    size_t n, room;

    *need = 0;
    room = MIN(body->cap, MAX(es->size.bytes, body->used)) - body->used;
    if (room < 2 * READ_SLACK) {
        *need = body->cap;
        return 0;
    }
    n = buffer_read(es->buffer, &es->cursor, body->mem + body->used, room, &lost, need);
    if (n == 0 && *need > room && es->filling->n == 0 && body->used == 0) {
        es_body_grow(body, *need);
        room = *need;
        *need = 0;
        n = buffer_read(es->buffer, &es->cursor, body->mem, room, &lost, need);
    }
    if (n > 0 || es->cursor.seq != from.seq)
        take_in(es, n, from, es->cursor, now_ms);
    return n;
}

static bool full(const struct es *es, size_t need)
{
    size_t limit = MIN(es->filling_body->cap, es->size.bytes);

    return es->filling_body->used + limit / NEARLY_FULL >= limit || need > 0;
}

struct es_batch *es_source_main(struct es *es, uint64_t now_ms, struct es_body **body,
                                uint64_t *due_ms)
{
    bool stopping = atomic_load(&es->stop);
    struct es_batch *b;
    size_t need;

    if (es->filling_body == NULL) {
        es->filling_body = es_take_body(es);
        if (es->filling_body == NULL)
            return NULL;
        es->filling = es_take_batch(es);
    }
    b = es->filling;
    if (b->n > 0 && now_ms < es->fill_look_ms && !stopping) {
        *due_ms = MIN(*due_ms, es->fill_look_ms);
        return NULL;
    }
    for (unsigned reads = 0;; reads++) {
        size_t n = read_main(es, now_ms, &need);

        if (b->n == 0) {
            /* All of it went to lanes, or there is nothing. */
            es_body_clear(es->filling_body);
            if (n > 0 && reads < READS_AT_ONCE)
                continue;
            if (n > 0) {
                *due_ms = now_ms;
                return NULL;
            }
            if (!atomic_exchange(&es->wanted, true))
                continue; /* what came in before this was seen might not be announced */
            return NULL;
        }
        if (n == 0 || full(es, need))
            break;
    }
    atomic_store(&es->wanted, false);
    if (es->fill_begun_ms == 0) {
        es->fill_begun_ms = now_ms;
        es->fill_pause_ms = 1;
    }
    if (!full(es, need) && !stopping && now_ms < es->fill_begun_ms + es->settings->batch_delay_ms) {
        /* Look soon at first, for a flood may be on its way, then ever more seldom. */
        es->fill_look_ms =
            MIN(now_ms + es->fill_pause_ms, es->fill_begun_ms + es->settings->batch_delay_ms);
        es->fill_pause_ms *= 2;
        *due_ms = MIN(*due_ms, es->fill_look_ms);
        return NULL;
    }
    *body = es->filling_body;
    es->filling = NULL;
    es->filling_body = NULL;
    es->fill_begun_ms = es->fill_look_ms = 0;
    return b;
}

/* ---- records that are read again ---- */

static void damaged(struct es *es, const struct es_ref *ref)
{
    log_warn("a buffered record is damaged and cannot be read again", LOG_U64("seq", ref->seq),
             LOG_U64("segment", ref->at.segment), LOG_U64("offset", ref->at.offset));
    es_frontier_finish(&es->frontier, ref->seq, ES_END_DAMAGED);
}

/* One record, read into body->mem behind what is used. false: damaged. There must be room. */
static bool read_one(struct es *es, struct es_body *body, const struct es_ref *ref,
                     struct buffer_record *r)
{
    if (body->used == 0 && ref->size > body->cap)
        es_body_grow(body, ref->size);
    if (buffer_read_at(es->buffer, ref->at, ref->seq, body->mem + body->used,
                       body->cap - body->used, r) != 0)
        return false;
    body->used += ref->size;
    return true;
}

/* How many records from number i on lie together, so that one read brings them without much else.
 */
static size_t together(const struct es_batch *b, size_t i, size_t room, size_t *span)
{
    const struct es_ref *first = &b->refs[i];
    uint64_t wanted = first->size;
    size_t k = i + 1;

    *span = first->size;
    for (; k < b->n; k++) {
        const struct es_ref *ref = &b->refs[k];
        uint64_t reach;

        if (ref->at.segment != first->at.segment || ref->seq <= b->refs[k - 1].seq)
            break;
        reach = ref->at.offset + ref->size - first->at.offset;
        wanted += ref->size;
        if (reach + READ_SLACK > room || wanted < reach / 2)
            break;
        *span = reach + READ_SLACK;
    }
    return k - i;
}

/* What to do with a record of a batch that was read again. Returns false when it does not go into
 * the body. */
typedef bool record_fn(struct es *es, struct es_batch *b, struct es_ref *ref,
                       const struct buffer_record *r, struct es_body *body, uint64_t now_ms,
                       struct es_batch **refused);

/* Calls fn for every record of b that can still be read, in order; b keeps those for which it
 * returns true. Stops where body is full: the rest is split off and queued as it was. */
static void each_again(struct es *es, struct es_batch *b, struct es_body *body, uint64_t now_ms,
                       record_fn *fn, struct es_batch **refused)
{
    size_t kept = 0, i = 0;

    while (i < b->n) {
        size_t span, n;
        struct buffer_record r;

        if (body->used > 0 && body->used + b->refs[i].size > body->cap) {
            es_pend(es, es_split(b, i), b->kind, now_ms);
            break;
        }
        n = together(b, i, body->cap - body->used, &span);
        if (n > 1) {
            struct buffer_cursor from = {b->refs[i].at, b->refs[i].seq};
            const char *mem = body->mem + body->used;
            uint64_t lost = 0;
            size_t need = 0, at = 0, end = i + n, from_i = i,
                   got = buffer_read(es->buffer, &from, body->mem + body->used, span, &lost, &need);

            body->used += got;
            while (i < end && buffer_next(mem, got, &at, &r)) {
                for (; i < end && b->refs[i].seq < r.seq; i++)
                    damaged(es, &b->refs[i]);
                if (i == end || b->refs[i].seq != r.seq)
                    continue;
                if (fn(es, b, &b->refs[i], &r, body, now_ms, refused))
                    b->refs[kept++] = b->refs[i];
                i++;
            }
            if (i > from_i)
                continue;
        }
        if (!read_one(es, body, &b->refs[i], &r))
            damaged(es, &b->refs[i]);
        else if (fn(es, b, &b->refs[i], &r, body, now_ms, refused))
            b->refs[kept++] = b->refs[i];
        i++;
    }
    b->n = kept;
}

static bool compose_again(struct es *es, struct es_batch *b, struct es_ref *ref,
                          const struct buffer_record *r, struct es_body *body, uint64_t now_ms,
                          struct es_batch **refused)
{
    struct look look = {0};

    if (ref->flags & ES_REF_FOLD) {
        struct strbuf edited = {0};

        if (!es_fold_refused(&es->fold, r->index, r->document, es_batch_text(b, ref), now_ms,
                             &edited)) {
            if (*refused == NULL)
                *refused = es_take_batch(es);
            es_batch_add_ref(*refused, b, ref, es_batch_text(b, ref), ref->flags);
            return false;
        }
        es_body_add_edited(body, r, es_body_prefix(body, r->index), strbuf_bytes(&edited));
        strbuf_fini(&edited);
        return true;
    }
    look_up(es, &look, b, body, r->index);
    add_to_body(es, body, r, &look, now_ms);
    return true;
}

struct es_batch *es_source_again(struct es *es, struct es_batch *b, struct es_body *body,
                                 uint64_t now_ms)
{
    struct es_batch *refused = NULL;

    each_again(es, b, body, now_ms, compose_again, &refused);
    if (refused != NULL)
        es_pend(es, refused, ES_BURY, now_ms);
    if (b->n > 0) {
        metric_add(M_OUT_RETRIES, b->n);
        return b;
    }
    if (b->lane != NULL)
        b->lane->under_way--;
    es_give_batch(es, b);
    return NULL;
}

/* ---- lanes ---- */

/* Takes records off the lane's front into b, up to max and as body has room. Those that are damaged
 * are finished. fn as above. */
static void take_from_lane(struct es *es, struct es_lane *lane, size_t max, struct es_body *body,
                           struct es_batch *b, uint64_t now_ms)
{
    const struct es_run *run;
    struct look look = {0};

    while (b->n < max && (run = es_lane_first(lane)) != NULL) {
        uint64_t end = run->seq + run->n, lost = 0;
        size_t want = run->span + READ_SLACK, room = MIN(body->cap, es->size.bytes), need = 0, got,
               at = 0;
        struct buffer_cursor from = {run->at, run->seq}, next = from;
        struct buffer_record r;

        /* For one record, not the whole stretch. */
        if (max == 1)
            want = MIN(want, FIRST_LOOK);
        room = room > body->used ? room - body->used : 0;
        if (room < 2 * READ_SLACK)
            return;
        got = buffer_read(es->buffer, &from, body->mem + body->used, MIN(room, want), &lost, &need);
        if (got == 0 && need > 0) {
            if (body->used > 0)
                return;
            es_body_grow(body, need);
            room = need;
            got = buffer_read(es->buffer, &from, body->mem, room, &lost, &need);
        }
        if (got == 0 && from.seq == run->seq) {
            es_lane_refused(lane, "the buffer cannot be read", now_ms, &es->hosts.random);
            return;
        }
        for (;;) {
            if (!buffer_next(body->mem + body->used, got, &at, &r)) {
                next.point = from.point;
                break;
            }
            if (r.seq >= end || b->n == max) {
                next.point = r.at;
                break;
            }
            for (; next.seq < r.seq; next.seq++)
                es_frontier_finish(&es->frontier, next.seq, ES_END_DAMAGED);
            look_up(es, &look, b, body, r.index);
            es_batch_add(b, &r, look.name);
            add_to_body(es, body, &r, &look, now_ms);
            next.seq = r.seq + 1;
        }
        body->used += got;
        /* What was skipped behind the last one is lost. */
        for (; got == 0 && next.seq < MIN(from.seq, end); next.seq++)
            es_frontier_finish(&es->frontier, next.seq, ES_END_DAMAGED);
        if (got > 0 && next.seq == run->seq)
            for (; next.seq < end; next.seq++)
                es_frontier_finish(&es->frontier, next.seq, ES_END_DAMAGED);
        es_lane_took(&es->lanes, lane, next);
    }
}

struct es_batch *es_source_lane(struct es *es, struct es_lane *lane, size_t max,
                                struct es_body *body, uint64_t now_ms)
{
    struct es_batch *b = es_take_batch(es);

    take_from_lane(es, lane, max, body, b, now_ms);
    if (b->n == 0) {
        es_give_batch(es, b);
        return NULL;
    }
    b->lane = lane;
    lane->under_way++;
    metric_add(M_OUT_RETRIES, b->n);
    return b;
}

/* ---- dead letters ---- */

static void disk_refuses(int error)
{
    log_error("dead letters cannot be written: their records wait in the buffer",
              LOG_STR("error", strerror(error)), LOG_STR("knob", "dead_letters.max_size"));
    metric_text_set("output.last_error", BYTES_LITERAL("dead letters cannot be written"));
}

static bool bury_one(struct es *es, struct es_batch *b, struct es_ref *ref,
                     const struct buffer_record *r, struct es_body *body, uint64_t now_ms,
                     struct es_batch **refused)
{
    struct bytes why = es_batch_text(b, ref);
    int failed;

    (void)body;
    (void)now_ms;
    (void)refused;
    if (b->disk_error != 0)
        return true;
    failed = ref->flags & ES_REF_PARK ? dead_letters_park(es->dead, r, why)
                                      : dead_letters_add(es->dead, r, why);
    if (failed) {
        b->disk_error = errno != 0 ? errno : EIO;
        return true;
    }
    ref->flags |= ES_REF_WRITTEN;
    if (ref->flags & ES_REF_PARK && b->lane != NULL)
        es_lane_sample(b->lane, r);
    return true;
}

/* A record of a batch, or a run of a lane, that is kept with its segment. */
static void add_to_stretch(void *arg, const struct es_run *run)
{
    struct dead_letter_stretch *s = arg;

    s->last = s->records == 0 ? run->seq + run->n - 1 : MAX(s->last, run->seq + run->n - 1);
    s->first = s->records == 0 ? run->seq : MIN(s->first, run->seq);
    s->records += run->n;
}

static bool keep_segment(struct es *es, const struct dead_letter_stretch *s)
{
    if (dead_letters_keep(es->dead, es->buffer, s) != 0)
        return false;
    log_warn("the disk takes no dead letter more: a segment of the buffer is kept as one",
             LOG_BYTES("index", s->index), LOG_U64("segment", s->segment),
             LOG_U64("records", s->records));
    return true;
}

/* Refused records that the disk does not take: what can be kept with its segment is marked as
 * written. Those of one kind that lie in one segment go together. */
static void keep_segments_of(struct es *es, struct es_batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct es_ref *first = &b->refs[i];
        struct dead_letter_stretch s = {.segment = first->at.segment};
        unsigned park = first->flags & ES_REF_PARK;

        if (first->flags & ES_REF_WRITTEN)
            continue;
        if (park)
            s.index = es_batch_index(b, first);
        for (unsigned mark = 0; mark < 2; mark++) {
            for (size_t k = i; k < b->n; k++) {
                struct es_ref *ref = &b->refs[k];

                if (ref->flags & ES_REF_WRITTEN || ref->at.segment != s.segment ||
                    (ref->flags & ES_REF_PARK) != park ||
                    (park && ref->index != first->index && k != i))
                    continue;
                if (mark)
                    ref->flags |= ES_REF_WRITTEN;
                else
                    add_to_stretch(&s, &(struct es_run){.seq = ref->seq, .n = 1});
            }
            if (mark == 0 && !keep_segment(es, &s))
                break;
        }
    }
}

/* Writes the records of a batch to the dead letters, or keeps their segments; b keeps those for
 * which that failed. */
static bool bury(struct es *es, struct es_batch *b, struct es_body *body, bool segments,
                 uint64_t now_ms)
{
    size_t kept = 0;

    b->disk_error = 0;
    each_again(es, b, body, now_ms, bury_one, NULL);
    /* Only what is safe on disk is finished. */
    if (dead_letters_sync(es->dead) != 0) {
        b->disk_error = errno != 0 ? errno : EIO;
        for (size_t i = 0; i < b->n; i++)
            b->refs[i].flags &= (uint8_t)~ES_REF_WRITTEN;
    }
    if (b->disk_error != 0 && segments)
        keep_segments_of(es, b);
    for (size_t i = 0; i < b->n; i++) {
        struct es_ref *ref = &b->refs[i];

        if (!(ref->flags & ES_REF_WRITTEN)) {
            b->refs[kept++] = *ref;
            continue;
        }
        es_frontier_finish(&es->frontier, ref->seq, ES_END_DEAD);
        if (ref->flags & ES_REF_PARK) {
            es->parked++;
            if (b->lane != NULL)
                b->lane->parked++;
        }
    }
    metric_set(M_OUT_PARKED, es->parked);
    b->n = kept;
    return kept == 0;
}

bool es_source_bury(struct es *es, struct es_batch *b, struct es_body *body, uint64_t now_ms)
{
    if (!bury(es, b, body, true, now_ms)) {
        disk_refuses(b->disk_error);
        es_pend(es, b, ES_BURY,
                now_ms + es_backoff_ms(++b->attempts, BURY_RETRY_MS, ES_RETRY_MAX_MS,
                                       &es->hosts.random));
        return false;
    }
    if (b->lane != NULL)
        b->lane->under_way--;
    es_give_batch(es, b);
    return true;
}

static void finish_run(void *arg, const struct es_run *run)
{
    struct es *es = arg;

    for (uint64_t seq = run->seq; seq < run->seq + run->n; seq++)
        es_frontier_finish(&es->frontier, seq, ES_END_DEAD);
}

/* Keeps the segment in which the lane's oldest record lies. Needs no room on the disk. */
static bool park_segment(struct es *es, struct es_lane *lane)
{
    const struct es_run *oldest = es_lane_first(lane);
    struct dead_letter_stretch s = {.index = bytes_str(lane->index)};

    for (size_t i = lane->first; i < lane->n; i++)
        if (lane->runs[i].seq < oldest->seq)
            oldest = &lane->runs[i];
    s.segment = oldest->at.segment;
    es_lane_runs_in(&es->lanes, lane, s.segment, false, add_to_stretch, &s);
    if (!keep_segment(es, &s))
        return false;
    es_lane_runs_in(&es->lanes, lane, s.segment, true, finish_run, es);
    lane->parked += s.records;
    es->parked += s.records;
    metric_set(M_OUT_PARKED, es->parked);
    return true;
}

/* A record of the lane to try its index with, before they are all gone. */
static void take_sample(struct es *es, struct es_lane *lane, struct es_body *body)
{
    const struct es_run *run = es_lane_first(lane);
    struct es_ref ref = {
        .at = run->at, .seq = run->seq, .size = MIN(run->span, (uint32_t)body->cap)};
    struct buffer_record r;

    if (lane->sample.mem == NULL && read_one(es, body, &ref, &r))
        es_lane_sample(lane, &r);
    es_body_clear(body);
}

bool es_source_park(struct es *es, struct es_lane *lane, struct es_body *body, uint64_t now_ms)
{
    struct es_batch *b;

    if (now_ms < es->no_room_until_ms) {
        take_sample(es, lane, body);
        return park_segment(es, lane);
    }
    b = es_take_batch(es);
    take_from_lane(es, lane, SIZE_MAX, body, b, now_ms);
    es_body_clear(body);
    if (b->n == 0) {
        es_give_batch(es, b);
        return true;
    }
    /* One reason for all of them. */
    strbuf_add_str(&b->texts, lane->reason);
    strbuf_add_char(&b->texts, '\0');
    for (size_t i = 0; i < b->n; i++) {
        b->refs[i].text = 0;
        b->refs[i].flags = ES_REF_PARK;
    }
    b->lane = lane;
    if (bury(es, b, body, false, now_ms)) {
        es_give_batch(es, b);
        return true;
    }
    disk_refuses(b->disk_error);
    for (size_t i = 0; i < b->n; i++)
        es_lane_put(&es->lanes, lane, b->refs[i].at, b->refs[i].seq, b->refs[i].size);
    es_give_batch(es, b);
    es->no_room_until_ms = now_ms + NO_ROOM_MS;
    return park_segment(es, lane);
}

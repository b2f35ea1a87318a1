/*
 * Stand-ins for buffer and dead letters, in memory, so that the delivery can be tested without a
 * disk. Points are dense: a new segment every 500 records; buffer_advance checks that outcomes are
 * exact.
 */
#ifndef BARGE_TEST_ES_STANDINS_H
#define BARGE_TEST_ES_STANDINS_H

#include "outputs/dead_letters.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define SEGMENT_RECORDS 500
#define RECORDS_MAX 20000

struct stored {
    uint64_t segment, offset;
    uint8_t id[BUFFER_ID_BYTES];
    char *index, *document;
    bool damaged; /* from now on */
};

struct buffer {
    pthread_mutex_t lock;
    struct stored list[RECORDS_MAX];
    size_t n;
    uint64_t next_offset;
    struct buffer_cursor frontier;
    struct buffer_outcome total;
    uint64_t max_bytes, bytes;
    bool full;
    void (*on_data)(void *arg);
    void *arg;
};

struct on_disk {
    uint64_t seq, segment, offset;
    uint32_t index_n, document_n;
    uint8_t id[BUFFER_ID_BYTES];
};

static size_t stored_size(const struct stored *s)
{
    return sizeof(struct on_disk) + strlen(s->index) + strlen(s->document);
}

static void buffer_put(struct buffer *b, const char *index, const char *document)
{
    struct stored *s;

    pthread_mutex_lock(&b->lock);
    ASSERT(b->n < RECORDS_MAX);
    s = &b->list[b->n];
    s->segment = b->n / SEGMENT_RECORDS;
    if (b->n % SEGMENT_RECORDS == 0)
        b->next_offset = 100;
    s->offset = b->next_offset;
    memset(s->id, 7, sizeof s->id);
    /* Where a position has its low bytes. */
    memcpy(s->id + 10, &b->n, sizeof(uint32_t));
    s->index = strdup(index);
    s->document = strdup(document);
    b->next_offset += stored_size(s);
    b->bytes += stored_size(s);
    b->n++;
    pthread_mutex_unlock(&b->lock);
    if (b->on_data != NULL)
        b->on_data(b->arg);
}

static size_t put_record(const struct stored *s, uint64_t seq, char *to)
{
    struct on_disk d = {
        seq, s->segment, s->offset, (uint32_t)strlen(s->index), (uint32_t)strlen(s->document), {0}};

    memcpy(d.id, s->id, sizeof d.id);
    memcpy(to, &d, sizeof d);
    memcpy(to + sizeof d, s->index, d.index_n);
    memcpy(to + sizeof d + d.index_n, s->document, d.document_n);
    return sizeof d + d.index_n + d.document_n;
}

size_t buffer_read(struct buffer *b, struct buffer_cursor *from, char *to, size_t cap,
                   uint64_t *lost, size_t *need)
{
    size_t n = 0;

    *lost = 0;
    *need = 0;
    pthread_mutex_lock(&b->lock);
    while (from->seq < b->n && b->list[from->seq].damaged) {
        from->seq++;
        ++*lost;
    }
    if (from->seq < b->n && from->point.offset != 0 &&
        from->point.segment == b->list[from->seq].segment && *lost == 0)
        ASSERT(from->point.offset == b->list[from->seq].offset);
    while (from->seq < b->n && !b->list[from->seq].damaged) {
        const struct stored *s = &b->list[from->seq];

        if (n > 0 && s->segment != b->list[from->seq - 1].segment)
            break;
        if (n + stored_size(s) + 16 > cap) {
            if (n == 0)
                *need = stored_size(s) + 16;
            break;
        }
        n += put_record(s, from->seq, to + n);
        from->seq++;
    }
    if (from->seq < b->n)
        from->point = (struct buffer_point){b->list[from->seq].segment, b->list[from->seq].offset};
    else
        from->point.offset = 0; /* not known yet */
    pthread_mutex_unlock(&b->lock);
    return n;
}

static size_t get_record(const char *p, struct buffer_record *r)
{
    struct on_disk d;

    memcpy(&d, p, sizeof d);
    *r = (struct buffer_record){.seq = d.seq,
                                .index = bytes_of(p + sizeof d, d.index_n),
                                .document = bytes_of(p + sizeof d + d.index_n, d.document_n),
                                .at = {d.segment, d.offset}};
    memcpy(r->id, d.id, sizeof r->id);
    return sizeof d + d.index_n + d.document_n;
}

bool buffer_next(const char *to, size_t n, size_t *at, struct buffer_record *record)
{
    if (*at >= n)
        return false;
    *at += get_record(to + *at, record);
    return true;
}

size_t buffer_record_size(const struct buffer_record *record)
{
    return sizeof(struct on_disk) + record->index.n + record->document.n;
}

int buffer_read_at(struct buffer *b, struct buffer_point at, uint64_t seq, char *to, size_t cap,
                   struct buffer_record *record)
{
    struct stored *s = &b->list[seq];
    int result = -1;

    pthread_mutex_lock(&b->lock);
    ASSERT(seq < b->n && s->segment == at.segment && s->offset == at.offset);
    if (!s->damaged && stored_size(s) <= cap) {
        put_record(s, seq, to);
        get_record(to, record);
        result = 0;
    }
    pthread_mutex_unlock(&b->lock);
    return result;
}

struct buffer_cursor buffer_frontier(struct buffer *b)
{
    return b->frontier;
}

void buffer_advance(struct buffer *b, struct buffer_cursor to, const struct buffer_outcome *o)
{
    pthread_mutex_lock(&b->lock);
    ASSERT(to.seq >= b->frontier.seq && to.seq <= b->n);
    ASSERT(o->delivered + o->duplicate + o->dead_lettered + o->damaged == to.seq - b->frontier.seq);
    b->total.delivered += o->delivered;
    b->total.duplicate += o->duplicate;
    b->total.dead_lettered += o->dead_lettered;
    b->total.damaged += o->damaged;
    b->frontier = to;
    pthread_mutex_unlock(&b->lock);
}

void buffer_stats(struct buffer *b, struct buffer_stats *s)
{
    pthread_mutex_lock(&b->lock);
    *s = (struct buffer_stats){.max_bytes = b->max_bytes, .bytes = b->bytes, .full = b->full};
    s->buffered = b->n - b->frontier.seq;
    pthread_mutex_unlock(&b->lock);
}

static struct buffer *buffer_make(void)
{
    struct buffer *b = base_calloc(1, sizeof *b);

    pthread_mutex_init(&b->lock, NULL);
    b->max_bytes = 1u << 30;
    return b;
}

static void buffer_unmake(struct buffer *b)
{
    for (size_t i = 0; i < b->n; i++) {
        free(b->list[i].index);
        free(b->list[i].document);
    }
    pthread_mutex_destroy(&b->lock);
    free(b);
}

/* ---- dead letters ---- */

struct letter {
    uint64_t seq;
    bool parked;
    char *reason, *document;
};

struct dead_letters {
    struct letter list[RECORDS_MAX];
    size_t n, synced;
    atomic_size_t unparked;
    atomic_bool refuses;
    atomic_uint failed_syncs, sync_fails; /* so many have failed; so many more will */
    uint64_t parked_before;               /* by an earlier life */
    struct dead_letter_stretch kept[64];
    size_t n_kept;
    atomic_uint_fast64_t kept_records;
    atomic_bool keeps_nothing;
};

static struct dead_letters letters;

struct dead_letters *dead_letters_open(const char *data_dir,
                                       const struct dead_letter_settings *settings, struct error *e)
{
    (void)data_dir;
    (void)settings;
    (void)e;
    return &letters;
}

void dead_letters_close(struct dead_letters *d)
{
    (void)d;
}

static void letters_reset(void)
{
    for (size_t i = 0; i < letters.n; i++) {
        free(letters.list[i].reason);
        free(letters.list[i].document);
    }
    memset(&letters, 0, sizeof letters);
}

static int letter_add(struct dead_letters *d, const struct buffer_record *r, struct bytes reason,
                      bool parked)
{
    if (d->refuses) {
        errno = ENOSPC;
        return -1;
    }
    ASSERT(d->n < RECORDS_MAX);
    d->list[d->n++] =
        (struct letter){r->seq, parked, strndup(reason.p != NULL ? reason.p : "", reason.n),
                        strndup(r->document.p, r->document.n)};
    return 0;
}

int dead_letters_add(struct dead_letters *d, const struct buffer_record *r, struct bytes reason)
{
    return letter_add(d, r, reason, false);
}

int dead_letters_park(struct dead_letters *d, const struct buffer_record *r, struct bytes reason)
{
    return letter_add(d, r, reason, true);
}

/* Whole segments: all but the last are there. The records are not copied: it is their segment that
 * is kept. */
int dead_letters_keep(struct dead_letters *d, struct buffer *b, const struct dead_letter_stretch *s)
{
    if (d->keeps_nothing || s->segment == (b->n - 1) / SEGMENT_RECORDS) {
        errno = EAGAIN;
        return -1;
    }
    ASSERT(d->n_kept < ARRAY_LEN(d->kept) && s->records > 0 &&
           s->records <= s->last - s->first + 1);
    for (uint64_t seq = s->first; seq <= s->last; seq++)
        ASSERT(b->list[seq].segment == s->segment);
    d->kept[d->n_kept] = *s;
    d->kept[d->n_kept++].index = BYTES_NONE;
    d->kept_records += s->records;
    return 0;
}

int dead_letters_sync(struct dead_letters *d)
{
    if (d->sync_fails > 0 && d->n > d->synced) {
        d->sync_fails--;
        d->failed_syncs++;
        while (d->n > d->synced) {
            d->n--;
            free(d->list[d->n].reason);
            free(d->list[d->n].document);
        }
        errno = EIO;
        return -1;
    }
    d->synced = d->n;
    return 0;
}

void dead_letters_parked(struct dead_letters *d,
                         void (*fn)(void *arg, const struct buffer_record *one, uint64_t records),
                         void *arg)
{
    if (d->parked_before > 0)
        fn(arg,
           &(struct buffer_record){.index = BYTES_LITERAL("a-1"),
                                   .document = BYTES_LITERAL("{\"n\":19000}")},
           d->parked_before);
}

int dead_letters_unpark(struct dead_letters *d, struct bytes index)
{
    (void)index;
    d->unparked++;
    return 0;
}

#endif

#include "agent/pipeline/intake.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/pipeline/index_name.h"

#include <endian.h>
#include <stdlib.h>

#define DAY_NS 86400000000000
#define SMALL_BYTES 65536 /* every buffer takes a document of this size */
#define CLOCK_EVERY 256   /* records between two looks at the wall clock */

struct intake {
    struct buffer *buffer;
    struct encoder *encoder;
    struct formats *formats;
    struct index_name *index; /* NULL: outputs that name no index */
    int64_t window_ns;
    int64_t now_ns;
    unsigned until_clock;
    uint64_t received; /* the receive number of messages without a position */
};

struct intake *intake_create(const struct intake_options *o, struct error *e)
{
    struct intake *in = base_calloc(1, sizeof *in);

    in->buffer = o->buffer;
    in->encoder = o->encoder;
    in->formats = o->formats;
    in->window_ns = (int64_t)MIN(o->index_window_ms, (uint64_t)INT64_MAX / 1000000) * 1000000;
    /* Rises over restarts as well, as long as fewer than a million messages a second come in. */
    in->received = (uint64_t)(clock_wall_ns() / 1000);
    if (o->index_pattern[0]) {
        in->index = index_name_create(o->index_pattern, e);
        if (!in->index) {
            free(in);
            return NULL;
        }
    }
    return in;
}

void intake_free(struct intake *in)
{
    if (!in)
        return;
    index_name_free(in->index);
    free(in);
}

bool intake_has_room(struct intake *in, enum buffer_class class, size_t n)
{
    return buffer_has_room(in->buffer, class, n);
}

static int64_t wall_clock(struct intake *in)
{
    if (in->until_clock-- == 0) {
        in->now_ns = clock_wall_ns();
        in->until_clock = CLOCK_EVERY;
    }
    return in->now_ns;
}

/* The index of a record, frozen here. Where the same bytes could get another name later, the name
 * must be on disk before it is used: *flags gets BUFFER_DURABLE_FIRST. */
static struct bytes index_of(struct intake *in, const struct record *r, unsigned *flags)
{
    int64_t when = r->time_ns;

    if (!in->index)
        return BYTES_NONE;
    if (in->window_ns) {
        int64_t now = wall_clock(in);

        /* What is old will be outside when it is read again after a loss of power. */
        if (when < now - in->window_ns / 2)
            *flags |= BUFFER_DURABLE_FIRST;
        if (when < now - in->window_ns || when > now + DAY_NS) {
            when = now;
            *flags |= BUFFER_DURABLE_FIRST;
        }
    }
    if (!index_name_has_service(in->index))
        return index_name_for(in->index, when, BYTES_NONE);
    *flags |= BUFFER_DURABLE_FIRST;
    return index_name_for(in->index, when, r->origin ? origin_service(r->origin) : BYTES_NONE);
}

/* The n lowest bytes of v, the highest of them first; n: a constant up to 8. */
static inline void put_be(uint8_t *to, uint64_t v, size_t n)
{
    v = htobe64(v << (64 - 8 * n));
    memcpy(to, &v, n);
}

/* What would never find room must not be waited for. */
static bool too_large(struct intake *in, size_t bound)
{
    if (LIKELY(bound <= SMALL_BYTES || bound <= buffer_record_limit(in->buffer)))
        return false;
    buffer_count_drop(in->buffer, BUFFER_DROP_TOO_LARGE, 1);
    log_warn("a message is too large for any document", LOG_U64("bytes", bound));
    return true;
}

enum intake_result intake_file_record(struct intake *in, struct record *r, uint64_t source,
                                      uint64_t position, uint32_t hash, unsigned flags)
{
    size_t bound = encoder_bound(in->encoder, r), n;
    uint8_t id[BUFFER_ID_BYTES];
    struct bytes index;
    char *to;

    if (too_large(in, bound))
        return INTAKE_TAKEN;
    to = buffer_reserve(in->buffer, BUFFER_CAN_WAIT, bound);
    if (!to)
        return INTAKE_FULL;
    r->sequence = position;
    put_be(id, source, 7);
    put_be(id + 7, position, 7);
    put_be(id + 14, hash, 4);
    n = encoder_write(in->encoder, r, to); /* ahead of the index: it may find the time */
    index = index_of(in, r, &flags);
    buffer_append(in->buffer, BUFFER_CAN_WAIT, id, index, flags, n);
    return INTAKE_TAKEN;
}

enum intake_result intake_message_record(struct intake *in, struct record *r, uint32_t hash,
                                         unsigned flags)
{
    size_t bound = encoder_bound(in->encoder, r), n;
    uint8_t id[BUFFER_ID_BYTES];
    uint64_t nonce, number;
    struct bytes index;
    char *to;

    if (too_large(in, bound))
        return INTAKE_TAKEN;
    to = buffer_reserve(in->buffer, BUFFER_CANNOT_WAIT, bound);
    if (!to)
        return INTAKE_FULL;
    r->sequence = in->received++;
    buffer_segment_identity(in->buffer, &nonce, &number);
    put_be(id, nonce, 8);
    put_be(id + 8, number, 6);
    put_be(id + 14, hash, 4);
    flags |= BUFFER_OWES_SYNC;
    n = encoder_write(in->encoder, r, to);
    index = index_of(in, r, &flags);
    buffer_append(in->buffer, BUFFER_CANNOT_WAIT, id, index, flags, n);
    return INTAKE_TAKEN;
}

enum intake_result intake_document(struct intake *in, const uint8_t id[BUFFER_ID_BYTES],
                                   struct bytes index, struct bytes document)
{
    char *to;

    if (too_large(in, document.n))
        return INTAKE_TAKEN;
    to = buffer_reserve(in->buffer, BUFFER_CAN_WAIT, document.n);
    if (!to)
        return INTAKE_FULL;
    memcpy(to, document.p, document.n);
    buffer_append(in->buffer, BUFFER_CAN_WAIT, id, index, BUFFER_SEEN_BEFORE | BUFFER_OWES_SYNC,
                  document.n);
    return INTAKE_TAKEN;
}

void intake_count_drop(struct intake *in, enum buffer_drop kind, uint64_t n)
{
    buffer_count_drop(in->buffer, kind, n);
}

struct formats *intake_formats(struct intake *in)
{
    return in->formats;
}

void intake_set_formats(struct intake *in, struct formats *formats)
{
    in->formats = formats;
}

struct buffer *intake_buffer(struct intake *in)
{
    return in->buffer;
}

/*
 * gelf_chunks: puts chunked GELF messages together. GELF's chunk header is 1e 0f, an id of 8 bytes,
 * the index from 0, the count (at most 128); all chunks must come within 5 s of the first
 * (https://go2docs.graylog.org, "GELF via UDP").
 *
 * A message is known by its sender (address and port) and id, since ids are random only within a
 * sender. The first chunk to arrive fixes the count. Chunks come in any order; one that is there
 * already is ignored. A chunk with a count of 1 is a message by itself. A chunk that comes again
 * after its message was complete begins a new one, which expires.
 *
 * All memory, the table's own included, comes in blocks of 256 bytes from one pool of fixed size.
 * When the pool is used up, the oldest message of the sender that holds most is given up, if any
 * holds more than an eighth of the pool; else the oldest message of all. So a flood from one sender
 * costs only that sender, and one from ever new addresses leaves everybody the time that it takes
 * to fill the pool.
 *
 * Pure: no clock and no input of its own. One thread.
 */
#ifndef BARGE_GELF_CHUNKS_H
#define BARGE_GELF_CHUNKS_H

#include "agent/base/base.h"

#define GELF_CHUNK_HEADER 12
#define GELF_CHUNK_MAX_COUNT 128
#define GELF_CHUNK_TIMEOUT_MS 5000

struct gelf_chunks;

/* Who sent it. IPv4 as ::ffff:a.b.c.d. */
struct gelf_sender {
    uint8_t address[16];
    uint32_t scope;
    uint16_t port;
    uint16_t zero; /* no padding: it is compared and hashed as bytes */
};

enum gelf_chunk_result {
    GELF_CHUNK_WAITS,    /* kept, siblings are missing */
    GELF_CHUNK_COMPLETE, /* *message is whole */
    GELF_CHUNK_REPEATED, /* is there already: ignored */
    GELF_CHUNK_BAD,      /* shorter than its header, count 0 or above 128, index not below count, or
                            another count than the first one's */
    GELF_CHUNK_REFUSED /* its message does not fit into the whole pool, and was given up (counted as
                          evicted) */
};

struct gelf_chunks_stats {
    uint64_t incomplete; /* messages given up after 5 s, and by gelf_chunks_give_up; only rises */
    uint64_t evicted;    /* messages given up for want of memory; only rises */
    uint64_t chunks;     /* waiting now */
    uint64_t bytes;      /* of memory in use now */
};

/* max_bytes: size of the pool; at least 256 KiB are taken. Pages are touched as needed and given
 * back when nothing waits. */
struct gelf_chunks *gelf_chunks_create(size_t max_bytes);
void gelf_chunks_free(struct gelf_chunks *c);

static inline bool gelf_chunks_is_chunk(struct bytes datagram)
{
    return datagram.n >= 2 && datagram.p[0] == 0x1e && datagram.p[1] == 0x0f;
}

/* Takes a datagram for which gelf_chunks_is_chunk holds; it is copied. now_ms: monotonic; messages
 * that are 5 s old by then are given up first. *message: set for GELF_CHUNK_COMPLETE, valid until
 * the next call, or as long as the datagram. */
enum gelf_chunk_result gelf_chunks_add(struct gelf_chunks *c, const struct gelf_sender *from,
                                       struct bytes datagram, uint64_t now_ms,
                                       struct bytes *message);

/* Gives up the messages whose first chunk is 5 s old. */
void gelf_chunks_expire(struct gelf_chunks *c, uint64_t now_ms);

/* When the next message expires; UINT64_MAX when none waits. */
uint64_t gelf_chunks_next_ms(const struct gelf_chunks *c);

/* Gives up everything (counted as incomplete): at the end. */
void gelf_chunks_give_up(struct gelf_chunks *c);

const struct gelf_chunks_stats *gelf_chunks_stats(const struct gelf_chunks *c);

#endif

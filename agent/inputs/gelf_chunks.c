#include "agent/inputs/gelf_chunks.h"

#include "agent/base/hash.h"
#include "agent/inputs/gelf_region.h"

#include <stdlib.h>

#define BLOCK_BYTES 256
#define MIN_POOL_BYTES (256u << 10)
#define SHARES 8 /* a sender above 1/SHARES of the pool pays first */
#define MAX_PAYLOAD 65535
#define KEEP_BYTES (1u << 20) /* of pool and assembly room, kept when nothing waits */
#define NONE 0                /* block 0 is never handed out */

/* Blocks name each other by number: half the size of pointers, and nothing to fix when the pool
 * moves house. */
typedef uint32_t block_no;

struct set { /* a message with chunks missing */
    uint64_t hash;
    uint64_t first_ms;
    uint8_t id[8];
    block_no sender;
    block_no chain;                      /* next in its bucket */
    block_no older, newer;               /* among all */
    block_no sender_older, sender_newer; /* among its sender's */
    block_no pieces;                     /* the chunk that came last */
    uint32_t blocks;                     /* this one and those of its chunks */
    uint8_t count, received;
    uint64_t seen[2]; /* a bit an index */
};

struct sender { /* one with sets */
    uint64_t hash;
    struct gelf_sender who;
    block_no chain;
    block_no oldest, newest;
    uint32_t blocks; /* this one and those of its sets */
};

struct piece { /* the first block of a chunk */
    block_no rest;
    block_no sibling;
    uint16_t n;
    uint8_t index;
    char data[BLOCK_BYTES - 11];
};

struct rest { /* its further ones */
    block_no rest;
    char data[BLOCK_BYTES - 4];
};

union block {
    block_no next_free;
    struct set set;
    struct sender sender;
    struct piece piece;
    struct rest rest;
    char bytes[BLOCK_BYTES];
};
_Static_assert(sizeof(union block) == BLOCK_BYTES, "blocks are of one size");

struct gelf_chunks {
    struct gelf_region pool;
    union block *block;
    uint32_t n_blocks, used, touched; /* touched: the first number never used so far */
    uint32_t share;
    block_no unused; /* list of blocks given back */
    block_no *set_bucket, *sender_bucket;
    uint32_t bucket_mask;
    uint64_t seed;
    block_no oldest, newest; /* sets: in order of first_ms */
    block_no over[SHARES];   /* senders above the share */
    unsigned n_over;
    struct gelf_region whole; /* where a complete message is laid out */
    size_t whole_used;        /* by the last one */
    struct gelf_chunks_stats stats;
};

struct gelf_chunks *gelf_chunks_create(size_t max_bytes)
{
    struct gelf_chunks *c = base_calloc(1, sizeof *c);
    size_t n = MIN(MAX(max_bytes, (size_t)MIN_POOL_BYTES) / BLOCK_BYTES, (size_t)UINT32_MAX);
    uint32_t buckets = 64;

    gelf_region_init(&c->pool, n * BLOCK_BYTES);
    gelf_region_init(&c->whole, (size_t)GELF_CHUNK_MAX_COUNT * MAX_PAYLOAD);
    c->block = (union block *)(void *)c->pool.p;
    c->n_blocks = (uint32_t)n;
    c->share = c->n_blocks / SHARES;
    c->touched = 1;
    while (buckets < c->n_blocks / 4)
        buckets *= 2;
    c->bucket_mask = buckets - 1;
    c->set_bucket = base_calloc(buckets, sizeof *c->set_bucket);
    c->sender_bucket = base_calloc(buckets, sizeof *c->sender_bucket);
    hash_random(&c->seed, sizeof c->seed);
    return c;
}

void gelf_chunks_free(struct gelf_chunks *c)
{
    if (!c)
        return;
    gelf_region_fini(&c->pool);
    gelf_region_fini(&c->whole);
    free(c->set_bucket);
    free(c->sender_bucket);
    free(c);
}

/* ---- blocks ---- */

static uint32_t blocks_left(const struct gelf_chunks *c)
{
    return c->n_blocks - 1 - c->used;
}

/* The caller has made sure that there is one. */
static block_no block_take(struct gelf_chunks *c)
{
    block_no b = c->unused;

    if (b != NONE)
        c->unused = c->block[b].next_free;
    else
        b = c->touched++;
    ASSERT(b < c->n_blocks);
    c->used++;
    return b;
}

static void block_give(struct gelf_chunks *c, block_no b)
{
    c->block[b].next_free = c->unused;
    c->unused = b;
    c->used--;
    if (c->used > 0)
        return;
    gelf_region_trim(&c->pool, (size_t)c->touched * BLOCK_BYTES, KEEP_BYTES);
    c->unused = NONE;
    c->touched = 1;
}

static uint32_t blocks_for(size_t n)
{
    size_t first = sizeof((struct piece *)0)->data, more = sizeof((struct rest *)0)->data;

    return n <= first ? 1 : 1 + (uint32_t)((n - first + more - 1) / more);
}

static block_no piece_store(struct gelf_chunks *c, uint8_t index, struct bytes data)
{
    block_no first = block_take(c), *link;
    struct piece *p = &c->block[first].piece;
    size_t n = MIN(data.n, sizeof p->data);

    p->sibling = NONE;
    p->n = (uint16_t)data.n;
    p->index = index;
    if (n)
        memcpy(p->data, data.p, n);
    link = &p->rest;
    for (size_t at = n; at < data.n; at += n) {
        struct rest *r;

        *link = block_take(c);
        r = &c->block[*link].rest;
        n = MIN(data.n - at, sizeof r->data);
        memcpy(r->data, data.p + at, n);
        link = &r->rest;
    }
    *link = NONE;
    return first;
}

static size_t piece_load(const struct gelf_chunks *c, block_no first, char *to)
{
    const struct piece *p = &c->block[first].piece;
    size_t n = MIN((size_t)p->n, sizeof p->data), at = n;

    memcpy(to, p->data, n);
    for (block_no b = p->rest; b != NONE; b = c->block[b].rest.rest) {
        n = MIN(p->n - at, sizeof c->block[b].rest.data);
        memcpy(to + at, c->block[b].rest.data, n);
        at += n;
    }
    ASSERT(at == p->n);
    return at;
}

static void piece_drop(struct gelf_chunks *c, block_no first)
{
    block_no b = first;

    while (b != NONE) {
        block_no next = b == first ? c->block[b].piece.rest : c->block[b].rest.rest;

        block_give(c, b);
        b = next;
    }
}

/* ---- senders ---- */

static struct sender *sender_at(struct gelf_chunks *c, block_no b)
{
    return &c->block[b].sender;
}

static block_no sender_find(struct gelf_chunks *c, const struct gelf_sender *who, uint64_t hash)
{
    block_no b = c->sender_bucket[hash & c->bucket_mask];

    while (b != NONE &&
           (sender_at(c, b)->hash != hash || memcmp(&sender_at(c, b)->who, who, sizeof *who) != 0))
        b = sender_at(c, b)->chain;
    return b;
}

static block_no sender_make(struct gelf_chunks *c, const struct gelf_sender *who, uint64_t hash)
{
    block_no b = block_take(c), *bucket = &c->sender_bucket[hash & c->bucket_mask];

    *sender_at(c, b) = (struct sender){.hash = hash, .who = *who, .chain = *bucket, .blocks = 1};
    *bucket = b;
    return b;
}

static void unchain_sender(struct gelf_chunks *c, block_no b)
{
    block_no *link = &c->sender_bucket[sender_at(c, b)->hash & c->bucket_mask];

    while (*link != b)
        link = &sender_at(c, *link)->chain;
    *link = sender_at(c, b)->chain;
}

/* Keeps the list of those above their share; there cannot be more than SHARES of them. */
static void sender_charge(struct gelf_chunks *c, block_no b, int64_t blocks)
{
    struct sender *s = sender_at(c, b);
    bool was = s->blocks > c->share;

    s->blocks = (uint32_t)(s->blocks + blocks);
    if (!was && s->blocks > c->share) {
        ASSERT(c->n_over < SHARES);
        c->over[c->n_over++] = b;
    } else if (was && s->blocks <= c->share) {
        unsigned i = 0;

        while (c->over[i] != b)
            i++;
        c->over[i] = c->over[--c->n_over];
    }
}

/* ---- sets ---- */

static struct set *set_at(struct gelf_chunks *c, block_no b)
{
    return &c->block[b].set;
}

static block_no set_find(struct gelf_chunks *c, const struct gelf_sender *who, const char *id,
                         uint64_t hash)
{
    block_no b = c->set_bucket[hash & c->bucket_mask];

    while (b != NONE) {
        const struct set *s = set_at(c, b);

        if (s->hash == hash && memcmp(s->id, id, sizeof s->id) == 0 &&
            memcmp(&sender_at(c, s->sender)->who, who, sizeof *who) == 0)
            break;
        b = s->chain;
    }
    return b;
}

static block_no set_make(struct gelf_chunks *c, block_no sender, const char *id, uint64_t hash,
                         uint8_t count, uint64_t now_ms)
{
    block_no b = block_take(c), *bucket = &c->set_bucket[hash & c->bucket_mask];
    struct sender *from = sender_at(c, sender);
    struct set *s = set_at(c, b);

    *s = (struct set){.hash = hash,
                      .first_ms = now_ms,
                      .sender = sender,
                      .chain = *bucket,
                      .older = c->newest,
                      .sender_older = from->newest,
                      .blocks = 1,
                      .count = count};
    memcpy(s->id, id, sizeof s->id);
    *bucket = b;
    if (c->newest != NONE)
        set_at(c, c->newest)->newer = b;
    else
        c->oldest = b;
    c->newest = b;
    if (from->newest != NONE)
        set_at(c, from->newest)->sender_newer = b;
    else
        from->oldest = b;
    from->newest = b;
    sender_charge(c, sender, 1);
    return b;
}

static void unlink_set(struct gelf_chunks *c, block_no b)
{
    struct set *s = set_at(c, b);
    struct sender *from = sender_at(c, s->sender);
    block_no *link = &c->set_bucket[s->hash & c->bucket_mask];

    while (*link != b)
        link = &set_at(c, *link)->chain;
    *link = s->chain;
    *(s->older != NONE ? &set_at(c, s->older)->newer : &c->oldest) = s->newer;
    *(s->newer != NONE ? &set_at(c, s->newer)->older : &c->newest) = s->older;
    *(s->sender_older != NONE ? &set_at(c, s->sender_older)->sender_newer : &from->oldest) =
        s->sender_newer;
    *(s->sender_newer != NONE ? &set_at(c, s->sender_newer)->sender_older : &from->newest) =
        s->sender_older;
}

static void set_drop(struct gelf_chunks *c, block_no b)
{
    struct set *s = set_at(c, b);
    block_no sender = s->sender, next;

    unlink_set(c, b);
    c->stats.chunks -= s->received;
    sender_charge(c, sender, -(int64_t)s->blocks);
    for (block_no p = s->pieces; p != NONE; p = next) {
        next = c->block[p].piece.sibling;
        piece_drop(c, p);
    }
    if (sender_at(c, sender)->oldest == NONE) {
        unchain_sender(c, sender);
        block_give(c, sender);
    }
    block_give(c, b);
}

/* Gives up one message that is not `except`. false when there is none. */
static bool evict(struct gelf_chunks *c, block_no except)
{
    block_no victim = NONE;
    uint32_t most = 0;

    for (unsigned i = 0; i < c->n_over; i++) {
        const struct sender *s = sender_at(c, c->over[i]);
        block_no b = s->oldest == except ? set_at(c, except)->sender_newer : s->oldest;

        if (b != NONE && s->blocks > most) {
            most = s->blocks;
            victim = b;
        }
    }
    if (victim == NONE)
        victim = c->oldest == except && except != NONE ? set_at(c, except)->newer : c->oldest;
    if (victim == NONE)
        return false;
    c->stats.evicted++;
    set_drop(c, victim);
    return true;
}

static bool make_room(struct gelf_chunks *c, uint32_t blocks, block_no except)
{
    while (blocks_left(c) < blocks)
        if (!evict(c, except))
            return false;
    return true;
}

static struct bytes assemble(struct gelf_chunks *c, const struct set *s)
{
    block_no order[GELF_CHUNK_MAX_COUNT];
    size_t n = 0;

    for (block_no p = s->pieces; p != NONE; p = c->block[p].piece.sibling)
        order[c->block[p].piece.index] = p;
    for (unsigned i = 0; i < s->count; i++)
        n += piece_load(c, order[i], c->whole.p + n);
    c->whole_used = n;
    return bytes_of(c->whole.p, n);
}

/* A datagram's chunk. */
struct chunk {
    const char *id; /* of its message: 8 bytes */
    uint8_t index, count;
    struct bytes data;
    uint32_t blocks; /* that data takes */
};

static bool read_chunk(struct bytes datagram, struct chunk *to)
{
    if (datagram.n < GELF_CHUNK_HEADER)
        return false;
    to->id = datagram.p + 2;
    to->index = (uint8_t)datagram.p[10];
    to->count = (uint8_t)datagram.p[11];
    to->data = bytes_of(datagram.p + GELF_CHUNK_HEADER, datagram.n - GELF_CHUNK_HEADER);
    to->blocks = blocks_for(to->data.n);
    return to->count > 0 && to->count <= GELF_CHUNK_MAX_COUNT && to->index < to->count &&
           to->data.n <= MAX_PAYLOAD;
}

/* A message of which this is the first chunk, and room for the chunk. */
static block_no begin_set(struct gelf_chunks *c, const struct gelf_sender *from,
                          uint64_t sender_hash, uint64_t hash, const struct chunk *chunk,
                          uint64_t now_ms)
{
    block_no sender;
    /* Room first: evicting may take the sender's own entry away. */
    bool room = make_room(c, chunk->blocks + 2, NONE);

    ASSERT(room); /* the smallest pool holds any chunk */
    sender = sender_find(c, from, sender_hash);
    if (sender == NONE)
        sender = sender_make(c, from, sender_hash);
    return set_make(c, sender, chunk->id, hash, chunk->count, now_ms);
}

/* Whether another chunk of set b can be kept (GELF_CHUNK_WAITS), and room for it; if there is none
 * the set is dropped. */
static enum gelf_chunk_result go_on(struct gelf_chunks *c, block_no b, const struct chunk *chunk)
{
    const struct set *s = set_at(c, b);

    if (s->count != chunk->count)
        return GELF_CHUNK_BAD;
    if (s->seen[chunk->index / 64] >> (chunk->index % 64) & 1)
        return GELF_CHUNK_REPEATED;
    if (make_room(c, chunk->blocks, b))
        return GELF_CHUNK_WAITS;
    c->stats.evicted++;
    set_drop(c, b);
    return GELF_CHUNK_REFUSED;
}

static void keep(struct gelf_chunks *c, block_no b, const struct chunk *chunk)
{
    struct set *s = set_at(c, b);
    block_no piece = piece_store(c, chunk->index, chunk->data);

    c->block[piece].piece.sibling = s->pieces;
    s->pieces = piece;
    s->seen[chunk->index / 64] |= UINT64_C(1) << (chunk->index % 64);
    s->received++;
    s->blocks += chunk->blocks;
    sender_charge(c, s->sender, chunk->blocks);
    c->stats.chunks++;
}

/* One of several chunks. */
static enum gelf_chunk_result add(struct gelf_chunks *c, const struct gelf_sender *from,
                                  const struct chunk *chunk, uint64_t now_ms, struct bytes *message)
{
    uint64_t sender_hash = hash_64(c->seed, from, sizeof *from);
    uint64_t hash = hash_64(sender_hash, chunk->id, 8);
    block_no b = set_find(c, from, chunk->id, hash);

    if (b == NONE) {
        b = begin_set(c, from, sender_hash, hash, chunk, now_ms);
    } else {
        enum gelf_chunk_result r = go_on(c, b, chunk);

        if (r != GELF_CHUNK_WAITS)
            return r;
    }
    keep(c, b, chunk);
    if (set_at(c, b)->received < chunk->count)
        return GELF_CHUNK_WAITS;
    *message = assemble(c, set_at(c, b));
    set_drop(c, b);
    return GELF_CHUNK_COMPLETE;
}

/* ---- outside ---- */

enum gelf_chunk_result gelf_chunks_add(struct gelf_chunks *c, const struct gelf_sender *from,
                                       struct bytes datagram, uint64_t now_ms,
                                       struct bytes *message)
{
    struct chunk chunk;
    enum gelf_chunk_result r;

    if (!read_chunk(datagram, &chunk))
        return GELF_CHUNK_BAD;
    if (chunk.count == 1) {
        *message = chunk.data;
        return GELF_CHUNK_COMPLETE;
    }
    gelf_region_trim(&c->whole, c->whole_used, KEEP_BYTES);
    c->whole_used = 0;
    gelf_chunks_expire(c, now_ms);
    r = add(c, from, &chunk, now_ms, message);
    c->stats.bytes = (uint64_t)c->used * BLOCK_BYTES;
    return r;
}

void gelf_chunks_expire(struct gelf_chunks *c, uint64_t now_ms)
{
    while (gelf_chunks_next_ms(c) <= now_ms) {
        c->stats.incomplete++;
        set_drop(c, c->oldest);
        c->stats.bytes = (uint64_t)c->used * BLOCK_BYTES;
    }
}

uint64_t gelf_chunks_next_ms(const struct gelf_chunks *c)
{
    return c->oldest == NONE ? UINT64_MAX
                             : c->block[c->oldest].set.first_ms + GELF_CHUNK_TIMEOUT_MS;
}

void gelf_chunks_give_up(struct gelf_chunks *c)
{
    gelf_chunks_expire(c, UINT64_MAX - 1);
}

const struct gelf_chunks_stats *gelf_chunks_stats(const struct gelf_chunks *c)
{
    return &c->stats;
}

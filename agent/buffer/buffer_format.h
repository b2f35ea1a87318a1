/*
 * buffer_format: the bytes of the buffer's files, and nothing else: no files, no memory of its own.
 * FORMAT.md explains them. All numbers are little-endian. Every decoder takes any bytes and says
 * false to what does not verify. Any thread.
 */
#ifndef BARGE_BUFFER_FORMAT_H
#define BARGE_BUFFER_FORMAT_H

#include "agent/base/base.h"
#include "agent/base/hash.h"
#include "agent/buffer/buffer.h"

#define BUFFER_FORMAT_VERSION 1

#define BUFFER_FORMAT_PREAMBLE 16 /* magic, version, CRC: understood by every version */
#define BUFFER_FORMAT_HEADER 128  /* of a segment */
#define BUFFER_FORMAT_HEAD 28     /* of a record */
#define BUFFER_FORMAT_BOOKS 124
#define BUFFER_FORMAT_SLOT 256 /* used bytes of a state slot */
#define BUFFER_FORMAT_SLOT_STEP                                                                    \
    4096 /* slots lie in blocks of their own, so that one torn write spares the other */
#define BUFFER_FORMAT_STATE (2 * BUFFER_FORMAT_SLOT_STEP)
#define BUFFER_FORMAT_SALT 16

#define BUFFER_FORMAT_KEY_MAX 64
#define BUFFER_FORMAT_VALUE_MAX 256
#define BUFFER_FORMAT_ENTRY_HEAD 3
#define BUFFER_FORMAT_ENTRY_MAX                                                                    \
    (BUFFER_FORMAT_ENTRY_HEAD + BUFFER_FORMAT_KEY_MAX + BUFFER_FORMAT_VALUE_MAX)
/* Positions are kept up to this many encoded bytes; a commit may set and remove them all. */
#define BUFFER_FORMAT_POSITIONS_MAX (16u << 20)
#define BUFFER_FORMAT_COMMIT_MAX (BUFFER_FORMAT_BOOKS + 2 * BUFFER_FORMAT_POSITIONS_MAX)

/* What a data record has besides its document. */
#define BUFFER_FORMAT_DATA_OVERHEAD (BUFFER_FORMAT_HEAD + BUFFER_ID_BYTES)

enum buffer_type {
    BUFFER_TYPE_DATA = 0xD1,
    BUFFER_TYPE_COMMIT = 0xC2,
    BUFFER_TYPE_SNAPSHOT =
        0x53 /* a commit that carries every position: what was known before is forgotten */
};

/* ---- preamble ---- */

enum buffer_kind { BUFFER_KIND_SEGMENT, BUFFER_KIND_STATE };

/* The format version of the file that begins with these 16 bytes; 0 when they are no (whole)
 * preamble of that kind. */
uint32_t buffer_format_version(enum buffer_kind kind, const char p[BUFFER_FORMAT_PREAMBLE]);

/* ---- segment header ---- */

struct buffer_header {
    uint64_t number;
    uint8_t salt[BUFFER_FORMAT_SALT];
    uint64_t nonce;
    int64_t created_ns;
    struct buffer_cursor
        prev; /* where the log before this segment ends; seq is this segment's first */
    struct buffer_cursor durable; /* known durable when this was written */
    uint64_t
        cannot_wait_before; /* bytes of BUFFER_CANNOT_WAIT over the buffer's life, up to here */
    uint64_t data_start;    /* behind the snapshot */
};

void buffer_format_header_put(char to[BUFFER_FORMAT_HEADER], const struct buffer_header *h);
/* Also false for another version. */
bool buffer_format_header_get(const char p[BUFFER_FORMAT_HEADER], struct buffer_header *h);

/* What seeds the checksums of a segment's records: neither another segment's nor a forged record
 * verifies under it. */
uint32_t buffer_format_key(const uint8_t salt[BUFFER_FORMAT_SALT], uint64_t number);

/* ---- record ---- */

struct buffer_head {
    uint32_t length; /* of the payload that follows the head */
    uint32_t payload_crc;
    uint8_t type, flags, class, index_n;
    uint64_t seq; /* of this record; of the next one in commits and snapshots */
    uint32_t time_s;
};

static inline uint32_t buffer_format_payload_crc(uint32_t key, uint64_t seq, const void *p,
                                                 size_t n)
{
    return hash_crc32c(key ^ (uint32_t)seq, p, n);
}

void buffer_format_head_put(char to[BUFFER_FORMAT_HEAD], uint32_t key, const struct buffer_head *h);

/* Verifies and bounds: length is what the type allows, not what the file holds. */
bool buffer_format_head_get(const char p[BUFFER_FORMAT_HEAD], uint32_t key, struct buffer_head *h);

/* The fields of a head that was verified before. */
void buffer_format_head_read(const char p[BUFFER_FORMAT_HEAD], struct buffer_head *h);

/* Whole length of a record on disk. */
static inline uint64_t buffer_format_size(const struct buffer_head *h)
{
    return BUFFER_FORMAT_HEAD + (uint64_t)h->length;
}

/* ---- books: the fixed part of commits, snapshots and state slots ---- */

struct buffer_books {
    int64_t wall_ns;
    struct buffer_cursor durable;   /* as far as it was known */
    struct buffer_cursor frontier;  /* as far as it was known */
    struct buffer_outcome finished; /* all before the frontier: its sum is frontier.seq */
    uint64_t dropped[BUFFER_DROP_KINDS];
    uint64_t cannot_wait_total; /* bytes over the buffer's life */
};

void buffer_format_books_put(char to[BUFFER_FORMAT_BOOKS], const struct buffer_books *k,
                             uint32_t positions);
void buffer_format_books_get(const char p[BUFFER_FORMAT_BOOKS], struct buffer_books *k,
                             uint32_t *positions);

/* ---- positions in a commit ---- */

/* Returns the bytes written (at most BUFFER_FORMAT_ENTRY_MAX). value.n == 0: removed. */
size_t buffer_format_entry_put(char *to, struct bytes key, struct bytes value);
/* Reads the entry at *p, moves *p behind it. false when there is no whole one. The slices lie in p.
 */
bool buffer_format_entry_get(struct bytes *p, struct bytes *key, struct bytes *value);

/* ---- state slot ---- */

struct buffer_state {
    uint64_t generation; /* the greater is the newer */
    uint8_t salt[BUFFER_FORMAT_SALT];
    uint64_t reserved; /* segment numbers below this one may have been used */
    uint64_t suspect;  /* an fsync of a segment of this or a later number failed; 0: none */
    struct buffer_books books;
};

void buffer_format_slot_put(char to[BUFFER_FORMAT_SLOT], const struct buffer_state *s);
bool buffer_format_slot_get(const char p[BUFFER_FORMAT_SLOT], struct buffer_state *s);

/* ---- points ---- */

static inline bool buffer_point_before(struct buffer_point a, struct buffer_point b)
{
    return a.segment < b.segment || (a.segment == b.segment && a.offset < b.offset);
}

static inline struct buffer_cursor buffer_cursor_max(struct buffer_cursor a, struct buffer_cursor b)
{
    return buffer_point_before(a.point, b.point) ? b : a;
}

static inline uint64_t buffer_outcome_sum(const struct buffer_outcome *o)
{
    return o->delivered + o->duplicate + o->dead_lettered + o->damaged;
}

#endif

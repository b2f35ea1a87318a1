/*
 * buffer: the one queue between intake and delivery, always a log on disk. It knows bytes, not
 * logs: records with an id and an index name, positions as opaque keys and values, and the books.
 *
 * Threads: the writer functions belong to one thread (intake), the reader functions to one other
 * (delivery); buffer_durable, buffer_stats and the wake functions may be called from any. A thread
 * of its own does the fdatasync and unlink calls, and nothing else; the writer never waits for the
 * disk but in write(2).
 *
 * FORMAT.md has the bytes on disk and what a crash may leave.
 */
#ifndef BARGE_BUFFER_H
#define BARGE_BUFFER_H

#include "agent/base/base.h"

#define BUFFER_ID_BYTES 18 /* 7 source, 7 position, 4 hash; 24 characters in `_id` */
#define BUFFER_MAX_RECORD (64u << 20)
#define BUFFER_MAX_INDEX 255

struct buffer;

struct buffer_options {
    const char *dir;    /* made (0700) when it is not there; locked */
    uint64_t max_bytes; /* of all files in dir; below 1 MiB: 1 MiB */
    uint64_t min_free_bytes;
    double min_free_share;
    bool sync_off;
    uint64_t sync_ms;
    uint64_t reserve_bytes;         /* of max_bytes: only BUFFER_CANNOT_WAIT may use it */
    uint64_t cannot_wait_max_bytes; /* what BUFFER_CANNOT_WAIT may take at most of undelivered
                                       bytes; 0: no share of its own */
    uint64_t segment_bytes;         /* 0: max_bytes/16 within 256 KiB..64 MiB */
    /* on_room: called from the sync thread when room may have appeared, or when it wants the writer
     * to call buffer_commit (a segment is to be replaced; nothing need be pending). on_data: there
     * is more to read; from the writer's commit, and from the sync thread when records that had to
     * be durable first are. Both must not block nor call back. Either may be NULL. */
    void (*on_room)(void *arg);
    void (*on_data)(void *arg);
    void *arg;
};

/* Opens or makes the buffer, recovers what a crash left, opens a new segment. Never refuses damaged
 * contents: those are counted, logged and kept aside. NULL with *e only for: no such folder can be
 * made, locked by another process, written by a newer format (e->text names both versions; *newer
 * is set). */
struct buffer *buffer_open(const struct buffer_options *o, bool *newer, struct error *e);

/* Commits, syncs, writes the state, gives everything back. No other thread may be inside. */
void buffer_close(struct buffer *b);

/* ---- writer: intake ---- */

enum buffer_class {
    BUFFER_CAN_WAIT,   /* read from a file that still stands */
    BUFFER_CANNOT_WAIT /* datagrams, streams */
};

/* Whether a record of about n bytes may be written now (cap, reserve, share, free space). */
bool buffer_has_room(struct buffer *b, enum buffer_class class, size_t n);

/* The largest document that fits into the buffer when it is empty: a larger one would wait for
 * ever, and is to be counted as BUFFER_DROP_TOO_LARGE instead. At most BUFFER_MAX_RECORD. */
size_t buffer_record_limit(const struct buffer *b);

/* Room for a payload of up to max bytes (at most BUFFER_MAX_RECORD) at the tail, to be filled in
 * place; NULL when there is no room (or the disk refuses). Valid until the next writer call. */
char *buffer_reserve(struct buffer *b, enum buffer_class class, size_t max);

/* A number drawn at random for the current segment, and the number of records in it: the `_id` of
 * records that have no position of their own. To be asked between buffer_reserve and buffer_append.
 */
void buffer_segment_identity(const struct buffer *b, uint64_t *nonce, uint64_t *number);

enum {
    BUFFER_DURABLE_FIRST = 1, /* not to be handed to the reader before it is fsynced (index or
                                 framing not derivable) */
    BUFFER_OWES_SYNC = 2,     /* fsync within sync_ms */
    BUFFER_SEEN_BEFORE = 4    /* was read before (replay) */
};

/* Makes the n bytes filled in since buffer_reserve a record. index is copied (at most
 * BUFFER_MAX_INDEX bytes). */
void buffer_append(struct buffer *b, enum buffer_class class, const uint8_t id[BUFFER_ID_BYTES],
                   struct bytes index, unsigned flags, size_t n);

/* Positions: a small map that every commit carries forward. value.n == 0 removes the key. Both are
 * copied. Takes effect with the next commit. key at most 64 bytes, value at most 256. */
void buffer_position_set(struct buffer *b, struct bytes key, struct bytes value);

/* Calls fn for each position, in no order. After buffer_open this is what recovery found. fn must
 * not call back. */
void buffer_position_each(struct buffer *b,
                          void (*fn)(void *arg, struct bytes key, struct bytes value), void *arg);

/* Counts records that were framed but not kept, for the books (they are `read`, too). */
enum buffer_drop {
    BUFFER_DROP_FULL,
    BUFFER_DROP_TOO_LARGE,
    BUFFER_DROP_INVALID,
    BUFFER_DROP_KINDS
};
void buffer_count_drop(struct buffer *b, enum buffer_drop kind, uint64_t n);

/* Ends a turn: records, positions and books since the last commit become visible to the reader at
 * once and survive kill -9 when this returns 0. To be called at the end of every turn: nothing to
 * commit costs nothing, but here a segment is replaced when that is due. Drops alone are committed
 * once a second. -1: the disk refused, or nothing fits below max_bytes (logged, tried again with
 * the next commit; room is denied until then); what was appended stays in memory. */
int buffer_commit(struct buffer *b);

/* What was committed so far is to be fsynced soon (files seen removed or rotated), at once when
 * urgent. */
void buffer_owe_sync(struct buffer *b, bool urgent);

/* A point in the log. Points compare by segment, then offset. */
struct buffer_point {
    uint64_t segment;
    uint64_t offset;
};

/* The end of what was committed. */
struct buffer_point buffer_end(struct buffer *b);

/* ---- any thread ---- */

/* Everything before this point has been fsynced, or is finished. */
struct buffer_point buffer_durable(const struct buffer *b);

/* ---- reader: delivery ---- */

struct buffer_record {
    uint64_t seq; /* 0, 1, 2, … over the life of the buffer */
    uint8_t id[BUFFER_ID_BYTES];
    uint8_t flags;
    uint8_t class;
    uint32_t age_base_s;    /* wall-clock second at which it was committed */
    struct bytes index;     /* inside the caller's buffer */
    struct bytes document;  /* one JSON object, no newline; inside the caller's buffer */
    struct buffer_point at; /* where the record begins: buffer_read_at reads it again */
};

/* A place to read on from. */
struct buffer_cursor {
    struct buffer_point point;
    uint64_t seq;
};

/* The frontier: everything before it is finished. Where to begin reading after buffer_open. */
struct buffer_cursor buffer_frontier(struct buffer *b);

/* Reads whole records behind *from, as they lie on disk, into to (cap bytes), moves *from behind
 * them. Returns the number of bytes that buffer_next will walk over; 0 when there is nothing to
 * read now. Damage is skipped, kept aside and counted; lost records are told by *lost (how many
 * sequence numbers were skipped before the first record returned; they must be reported to
 * buffer_advance as damaged; it may be set where 0 is returned). A single record larger than cap
 * makes it return 0 with *need set to the cap that would do. The bytes read lie in page cache as a
 * rule. */
size_t buffer_read(struct buffer *b, struct buffer_cursor *from, char *to, size_t cap,
                   uint64_t *lost, size_t *need);

/* Walks over what buffer_read left in to: *at begins at 0. false at the end. Checksums were
 * verified. */
bool buffer_next(const char *to, size_t n, size_t *at, struct buffer_record *record);

/* What buffer_read_at takes for it. */
size_t buffer_record_size(const struct buffer_record *record);
/* The cursor right behind a record: where the frontier goes when it is the last one finished. */
struct buffer_cursor buffer_record_end(const struct buffer_record *record);
/* Reads one record again. to must hold buffer_record_size bytes. 0, or -1 when it can no
 * longer be read as it was (damage). */
int buffer_read_at(struct buffer *b, struct buffer_point at, uint64_t seq, char *to, size_t cap,
                   struct buffer_record *record);

/* What became of the records between the old frontier and the new one. */
struct buffer_outcome {
    uint64_t delivered, duplicate, dead_lettered, damaged;
};

/* Moves the frontier to `to` and adds to the books: the outcome's sum is how far the sequence
 * number moved. The sync thread writes both into the state file, in place, within 50 ms; an older
 * state only means that records are sent again. Segments wholly behind the frontier are deleted
 * once their successor's head and the state are fsynced. Only forwards. */
void buffer_advance(struct buffer *b, struct buffer_cursor to,
                    const struct buffer_outcome *outcome);

/* ---- segments that change hands ---- */

/* Reader: gives a segment's file a second name in another folder of the same file system, so that
 * it outlives the buffer's own use of it. Needs no room for data. 0, or -1 with errno: EAGAIN when
 * the segment is the one that is written to, or is not durable yet; else what linkat(2) says. The
 * folder is the caller's to fsync. */
int buffer_link_segment(struct buffer *b, uint64_t segment, int dir, const char *name);

/* Such a file. One thread a file. */
struct buffer_segment_file;
/* fd is borrowed until it is closed again. NULL: it does not begin as a segment does. */
struct buffer_segment_file *buffer_segment_file_open(int fd);
/* The first whole record at or behind offset *at (0: the first of all); moves *at behind it. What
 * is damaged is passed over. Its slices are good until the next call. false: there is none. */
bool buffer_segment_file_next(struct buffer_segment_file *f, uint64_t *at, struct buffer_record *r);
void buffer_segment_file_close(struct buffer_segment_file *f);

/* ---- figures ---- */

struct buffer_stats {
    uint64_t read, dropped[BUFFER_DROP_KINDS];
    uint64_t delivered, duplicate, dead_lettered, damaged;
    uint64_t buffered; /* read - dropped - finished */
    uint64_t bytes, max_bytes, segments;
    uint64_t cannot_wait_bytes;
    uint64_t oldest_age_s;
    bool full;
};

/* Any thread; consistent: read == delivered + duplicate + dead_lettered + damaged + sum(dropped) +
 * buffered. */
void buffer_stats(struct buffer *b, struct buffer_stats *s);

/* ---- without a running agent: `barge buffer status|verify|export` ---- */

struct strbuf;
/* Each returns 0, 1 when damage was found, -1 with *e when the folder is no buffer. Read-only;
 * works beside a running agent. */
int buffer_tool_status(const char *dir, struct strbuf *out, struct error *e);
int buffer_tool_verify(const char *dir, struct strbuf *out, struct error *e);
/* Calls fn for each undelivered record, in order. */
int buffer_tool_export(const char *dir, void (*fn)(void *arg, const struct buffer_record *r),
                       void *arg, struct error *e);

#endif

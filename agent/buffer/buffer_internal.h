/*
 * buffer_internal: the open buffer, as its own files see it. Who owns what decides who locks what:
 * the writer's and the reader's parts belong to their threads, the rest stands under `lock`.
 */
#ifndef BARGE_BUFFER_INTERNAL_H
#define BARGE_BUFFER_INTERNAL_H

#include "agent/buffer/buffer.h"
#include "agent/buffer/buffer_format.h"
#include "agent/buffer/buffer_positions.h"
#include "agent/buffer/buffer_recover.h"
#include "agent/buffer/buffer_state.h"

#include <pthread.h>
#include <stdatomic.h>

#define BUFFER_SPARE_NAME "spare"   /* preallocated; becomes the next segment by rename */
#define BUFFER_NEXT_NAME "next"     /* the same, made when there was no spare one */
#define BUFFER_MIN_BYTES (1u << 20) /* a smaller max_bytes is taken for this */
#define BUFFER_NEVER UINT64_MAX
#define BUFFER_RESERVE_NUMBERS 4096

/* When a second began, in sequence numbers: for the age of the oldest record on its way. */
struct buffer_age_mark {
    uint64_t seq;
    uint32_t time_s;
};
#define BUFFER_AGE_MARKS 128

/* The writer's own. */
struct buffer_writer {
    char *tail; /* a large mapping, touched only as far as it is used */
    size_t tail_n;
    uint64_t reserved; /* largest document that the last buffer_reserve gave room for */
    uint64_t room[2];  /* by class: bytes that may be appended before asking again */
    struct buffer_segment *segment; /* the current one; NULL when none could be begun */
    int fd;                         /* of it; the sync thread closes it when another is current */
    uint64_t nonce;
    uint64_t next_seq;
    uint64_t written; /* in segment: committed, and flushed ahead of the commit */
    uint64_t cannot_wait_total;
    uint64_t cannot_wait_pending; /* of it, not committed yet */
    uint32_t time_s;
    unsigned owed; /* flags of the records since the last commit */
    uint64_t dropped_committed;
    uint64_t last_commit_ms;
    uint64_t space_checked_ms;
    uint64_t space_left; /* as of then, less what was written since */
    uint64_t next_number;
    uint64_t begin_failed_ms;
    struct buffer_positions *positions;
    bool pending; /* appended or flushed since the last commit */
};

#define BUFFER_READER_FILES 3

/* Files that the reader has open. Under lock: the sync thread closes those that it deletes, or
 * their room would not come back; the one that is being read from it leaves to the reader. */
struct buffer_reader {
    struct buffer_reader_file {
        uint64_t name;
        int fd; /* -1: none */
        uint64_t used;
        bool busy; /* the reader reads from it */
        bool gone; /* to be closed when that is over */
    } files[BUFFER_READER_FILES];
    uint64_t clock;
};

struct buffer {
    struct buffer_options o;
    char *dir_name; /* o.dir, owned: it is named in messages */
    int dir;
    uint8_t salt[BUFFER_FORMAT_SALT];
    uint64_t segment_bytes;
    bool read_only; /* opened by a tool: no writer, no threads */

    struct buffer_writer w;
    struct buffer_reader r;

    _Atomic uint64_t dropped[BUFFER_DROP_KINDS];
    _Atomic bool denied;    /* somebody was told that there is no room, and waits */
    _Atomic bool want_roll; /* the next commit is to begin a new segment */
    _Atomic bool held;      /* the reader waits for a record to become durable */

    pthread_mutex_t lock;
    pthread_cond_t wake; /* the sync thread */
    pthread_t thread;
    bool stop;

    /* Everything from here on: under lock. Only the writer adds segments, only the sync thread
     * removes them, so either may keep a pointer to one beyond the lock. */
    struct buffer_segment **segments;
    size_t n_segments, segments_cap;
    struct buffer_cursor end; /* committed */
    struct buffer_cursor frontier;
    struct buffer_outcome finished;
    /* Fsynced. It does not move with the frontier: what is written down as durable must be there to
     * be read, also by a start that knows only an older frontier. */
    struct buffer_point durable;
    uint64_t durable_seq;
    uint64_t cannot_wait_total; /* committed */
    uint64_t used;              /* bytes of all files */
    struct buffer_age_mark ages[BUFFER_AGE_MARKS];
    size_t n_ages;
    int spare_fd;     /* -1: none */
    bool spare_taken; /* the writer is about to give the spare file a segment's name: hands off that
                         name */
    bool spare_busy;  /* it is being made */
    uint64_t spare_bytes; /* its room on disk; not in used */
    uint64_t head_bytes;  /* of the current segment */
    struct buffer_leftover
        *left; /* to be deleted once this life's first segment is known to be there */
    size_t n_left;
    uint64_t first_new;
    uint64_t bad_bytes; /* damaged segments kept aside */
    bool room_appeared; /* something was delivered or deleted since the writer was last told */
    bool refused;       /* the disk refuses writes, or has no room: looked at again every second */
    /* What the sync thread owes, and when (monotonic ms; BUFFER_NEVER: nothing). */
    uint64_t owe_ms;       /* everything committed */
    uint64_t lazy_ms;      /* everything committed, unless the traffic is high */
    uint64_t lazy_written; /* bytes committed since the last look */
    uint64_t last_commit_ms;
    bool state_dirty;
    uint64_t reserved; /* segment numbers below this one are ours to use */
    struct buffer_state_file state;
    bool state_failed;         /* its fsync failed: replace it */
    uint64_t state_ms;         /* last written */
    uint64_t state_failing_ms; /* since when it cannot be; 0: it can */
    uint64_t state_retry_ms, spare_retry_ms, copy_retry_ms, room_ms;

    /* Of a view. */
    uint64_t torn_bytes;
    bool state_found;
};

/* ---- buffer.c ---- */

/* The buffer as the tools see it: nothing but the reader's functions may be called, and
 * buffer_close. */
struct buffer *buffer_open_view(const char *dir, struct error *e);

/* Bytes of BUFFER_CANNOT_WAIT that are not delivered yet, exact at segment boundaries. Under lock.
 */
uint64_t buffer_cannot_wait_bytes(const struct buffer *b);
/* Sets the durable point anew from what is synced. Under lock. */
void buffer_update_durable(struct buffer *b);
/* Fills in what a commit, a snapshot or a state slot carries. Under lock. */
void buffer_fill_books(const struct buffer *b, struct buffer_books *k);
/* The same of all that a state slot carries. Under lock. */
void buffer_fill_state(const struct buffer *b, struct buffer_state *s);
/* Sets the one figure that is looked at each turn. The others are set by whoever shows them, from
 * buffer_stats: one by one from here, a page would catch books that do not balance. Under lock. */
void buffer_publish(const struct buffer *b);

/* Size of the spare file: a head like the current one, and some more. */
static inline uint64_t buffer_spare_bytes(uint64_t head_bytes)
{
    return (head_bytes + head_bytes / 4 + (8u << 10)) & ~(uint64_t)4095;
}

/* ---- buffer_writer.c ---- */

void buffer_writer_init(struct buffer *b);
void buffer_writer_fini(struct buffer *b);

/* ---- buffer_reader.c ---- */

void buffer_reader_init(struct buffer *b);
void buffer_reader_fini(struct buffer *b);
/* The file of this name is no more: returns a descriptor to be closed without the lock, or -1.
 * Under lock. */
int buffer_reader_forget(struct buffer *b, uint64_t name);

/* ---- buffer_sync.c ---- */

void buffer_sync_start(struct buffer *b);
/* Syncs everything, writes the state, deletes what is finished, ends the thread. */
void buffer_sync_stop(struct buffer *b);
/* A new file under one of the two names that are no segment's; what has that name may hold a head
 * that did not become a segment, and goes. A descriptor, or -1 with errno. Not under lock. */
int buffer_spare_open(const struct buffer *b, const char *name);
/* A file with room for the next head, so that a full disk does not keep a segment from being
 * replaced; larger than it was, when the positions have become more. By the writer, before the room
 * can be gone; by the sync thread where that failed. Under lock, which is let go meanwhile. */
bool buffer_spare_due(const struct buffer *b);
void buffer_spare_make(struct buffer *b);
/* Makes the thread look again. Under lock. */
void buffer_sync_wake(struct buffer *b);

#endif

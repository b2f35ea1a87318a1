/*
 * tail_file: one log file: who it is, how far it was read, reading on. A file is who its
 * container and its first line say it is (Docker's lines end with a time to the nanosecond),
 * whatever its name and inode, plain or compressed. Reading starts 64 bytes before where it stopped
 * and compares these: other bytes there, or none, mean that the file was truncated or replaced in
 * place. One thread.
 */
#ifndef BARGE_TAIL_FILE_H
#define BARGE_TAIL_FILE_H

#include "agent/buffer/buffer.h"
#include "agent/inputs/docker_frame.h"
#include "agent/inputs/tail_gz.h"
#include "agent/inputs/tail_position.h"

#define TAIL_FILE_NAMELESS                                                                         \
    UINT64_MAX /* as an index: under no name, older than those that have one */

struct tail_log; /* tail_log.h */

/* What tells one inode from another that got its number later. */
struct tail_inode {
    uint64_t dev, ino;
    int64_t btime_ns, mtime_ns; /* btime 0: the file system does not say */
    uint64_t size;
    uint32_t links;
    bool regular;
};

struct tail_file {
    struct tail_file *next;         /* the next newer one of the log */
    struct tail_file *next_removed; /* tail_shared.removed */
    struct tail_log *log;
    int fd;             /* -1: not open */
    struct tail_gz *gz; /* while a compressed file is being read */
    bool compressed;    /* fd is a .gz */
    bool identified;    /* at.source is set */
    bool dirty;         /* there may be something unread */
    bool tail;          /* the last read left a line without its end */
    bool complete;      /* rotated or removed, and read to its end */
    bool removed;       /* no name any more; in tail_shared.removed while open */
    bool has_entry;
    bool superseded; /* truncated in place: another struct went on with the descriptor */
    bool settled;    /* the entry says that a restart need not read anything of it again */
    bool adopted;    /* docker_holder opened it: what its name is, the next scan tells */
    bool aside;      /* in the log's list `known`: what is known stands in the entry */
    uint64_t index;  /* 0: the live file, the higher the older */
    uint64_t rank;   /* tail_scan: while files are put in order */
    uint64_t seen;   /* number of the last scan that found it */
    uint64_t missing_since_ms; /* 0: not missing */
    uint64_t quiet_since_ms;   /* the last read that found nothing new, after one that did */
    struct tail_inode inode;   /* what fd is or was */
    struct tail_inode copy;    /* a .gz with the same text, or another copy */
    uint64_t head_at;          /* NULs at the beginning, as far as they have been looked at */
    uint64_t size; /* as last seen; decompressed bytes when compressed (then only as far as read) */
    struct docker_frame_at at;
    uint32_t marker; /* over the marker_n bytes before at.offset */
    uint32_t marker_n;
    uint64_t inode_key, head; /* tail_identity.h */
    uint16_t head_n;          /* 0: known by at.source alone */
    bool drawn;
    char entry[TAIL_POSITION_BYTES]; /* as it stands in the buffer, when has_entry */
    size_t entry_n;
    /* Of a removed file: what was read before `safe` is on disk; what was read before mark is when
     * mark_point is durable. */
    uint64_t safe, mark;
    struct buffer_point mark_point;
    bool marked;
};

struct tail_file *tail_file_create(struct tail_log *log);
/* Closes. */
void tail_file_free(struct tail_file *f);
/* Gives the descriptor back; what is known stays. */
void tail_file_close(struct tail_file *f);

/* statx(2) of a descriptor (name NULL) or a name in dir, symbolic links not followed. 0, or -1 with
 * errno. */
int tail_inode_get(int dir, const char *name, struct tail_inode *to);
/* The same inode, by its number alone: proves it only while one of both is held open. */
bool tail_inode_same(const struct tail_inode *a, const struct tail_inode *b);
/* The same inode with nothing written to it since: number, birth, size and time of change. False
 * where births are unknown. */
bool tail_inode_unchanged(const struct tail_inode *a, const struct tail_inode *b);

/* pread(2) on the file's text, decompressed. -1 with EAGAIN: a compressed file needs another call.
 */
ssize_t tail_file_pread(struct tail_file *f, void *to, size_t n, uint64_t at);

enum tail_known { TAIL_FILE_KNOWN, TAIL_FILE_NOT_YET, TAIL_FILE_FAILED /* errno */ };

/* Finds out who the file is: sets at.source. Not before its first line is
 * whole, or final says that it will not get any longer. scratch: TAIL_SCRATCH_BYTES. */
enum tail_known tail_file_identify(struct tail_file *f, bool final, char *scratch);

#define TAIL_CHUNK_BYTES (256u << 10)
#define TAIL_SCRATCH_BYTES (TAIL_MARKER_BYTES + DOCKER_LINE_MAX_BYTES + 4096)

enum tail_read {
    TAIL_READ_MORE,    /* there may be more to read at once */
    TAIL_READ_END,     /* nothing more for now; f->tail says whether an unended line stands there */
    TAIL_READ_FULL,    /* the frame's emit refused */
    TAIL_READ_CHANGED, /* other bytes stand before at.offset: it was truncated or replaced.
                            Nothing was read */
    TAIL_READ_FAILED   /* errno */
};

/* Reads and frames one stretch of an identified file: about TAIL_CHUNK_BYTES, up to a whole line.
 * final: an unended last line is its last record. *n is increased by the bytes that were read. */
enum tail_read tail_file_read(struct tail_file *f, struct docker_frame *frame, bool final,
                              char *scratch, size_t *n);

/* Whether `other` has the text that was read in f: the bytes before f->at.offset are the same. */
bool tail_file_same_text(const struct tail_file *f, struct tail_file *other);

/* Continues where the entry says, after making sure that the file has the text that was read then;
 * from the beginning when it has not. A compressed file is compared when it is read on. The file is
 * open and identified. */
void tail_file_continue(struct tail_file *f, const struct tail_position *p);

/* Bytes that were never read, as far as size is known. */
static inline uint64_t tail_file_unread(const struct tail_file *f)
{
    uint64_t read = MAX(f->at.offset, f->at.replay_to);

    return f->size - MIN(f->size, read);
}

/* Whether a restart need not read anything of it again, so that it may be out of sight. */
static inline bool tail_file_settled(const struct tail_file *f)
{
    return !f->has_entry || f->settled;
}

#endif

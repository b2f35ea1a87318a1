/*
 * buffer_recover: what a folder holds: which files are the log, where it ends, how far it was
 * durable and delivered, the positions and the books. Only looks; buffer_open acts on it, the tools
 * print it. FORMAT.md has the rules. One thread.
 */
#ifndef BARGE_BUFFER_RECOVER_H
#define BARGE_BUFFER_RECOVER_H

#include "agent/buffer/buffer_format.h"
#include "agent/buffer/buffer_positions.h"

#define BUFFER_NAME_MAX 48

/* A segment file of the log. */
struct buffer_segment {
    uint64_t number; /* as its header says */
    uint64_t name;   /* as its file name says: another only after somebody renamed files */
    uint32_t key;
    bool header_ok;
    uint64_t size;       /* of the file; for the cap */
    uint64_t data_start; /* where its first record is that is not the snapshot */
    uint64_t end;        /* where the log goes on in the next segment, or ends */
    uint64_t first_seq;
    uint64_t cannot_wait_before;
    uint32_t created_s;
    struct buffer_cursor prev;
    /* From here on for the running buffer. */
    uint64_t synced_to;  /* known fsynced: nothing (0), or up to here */
    uint64_t synced_seq; /* the first sequence number behind it */
    bool dir_synced;     /* its name is known to be on disk */
    bool failed;         /* an fsync failed: to be copied, never to be fsynced again */
    bool damaged;        /* the reader found damage: kept aside rather than deleted */
    uint64_t sealed_ms;  /* monotonic; when the next segment was begun */
    int fd;              /* of the writer and the sync thread; -1 when not open */
};

void buffer_segment_name(char to[BUFFER_NAME_MAX], uint64_t number, const char *suffix);

/* A file that is not (or no longer) part of the log. */
struct buffer_leftover {
    char name[BUFFER_NAME_MAX];
    uint64_t size;
    enum {
        BUFFER_LEFT_EMPTY,
        BUFFER_LEFT_TORN,
        BUFFER_LEFT_UNREADABLE,
        BUFFER_LEFT_FOREIGN,
        BUFFER_LEFT_KEPT
    } kind;
};

struct buffer_recovered {
    bool fresh; /* nothing there */
    uint8_t salt[BUFFER_FORMAT_SALT];
    struct buffer_segment **segments; /* the log, oldest first */
    size_t n;
    struct buffer_leftover *left;
    size_t n_left;
    size_t ignored;               /* names that are not ours */
    uint64_t next_number;         /* never used before */
    struct buffer_cursor end;     /* behind the last good commit; seq: of the next record */
    struct buffer_cursor durable; /* at most end */
    struct buffer_books books;    /* frontier included; its point may lie behind end */
    struct buffer_positions *positions;
    bool positions_lost; /* no snapshot could be read: some may be missing or old */
    bool state_found;
    unsigned state_slot;
    uint64_t state_generation;
    uint64_t torn_bytes; /* behind the end of the log */
    uint64_t suspect;    /* segments from here on: an fsync failed, what was not durable is to be
                            copied; 0: none */
};

/* Looks at the folder. -1 with *e and *newer_version when a file there was written by a later
 * format. */
int buffer_recover(int dir, struct buffer_recovered *r, uint32_t *newer_version, struct error *e);
void buffer_recovered_fini(struct buffer_recovered *r);

#endif

/*
 * buffer_scan: walks over the records of one segment file, verifying everything, and finds the way
 * again behind damage. For recovery, for the tools, and for the reader where a stretch does not
 * verify. Memory: 256 KiB, and the size of the largest commit seen. One thread a scan.
 */
#ifndef BARGE_BUFFER_SCAN_H
#define BARGE_BUFFER_SCAN_H

#include "agent/buffer/buffer_format.h"

#include <sys/types.h>

struct buffer_scan {
    int fd; /* borrowed */
    uint32_t key;
    uint64_t at;          /* where the next record is expected */
    uint64_t limit;       /* nothing is read from here on; at most the file's size */
    bool io_error;        /* some of the file could not be read: it was taken for zeros */
    struct bytes payload; /* of the last commit or snapshot; until the next call */
    char *window;
    uint64_t window_at;
    size_t window_n, window_cap;
};

enum buffer_scan_result {
    BUFFER_SCAN_RECORD,      /* *h verified; scan->at is behind it */
    BUFFER_SCAN_BAD_PAYLOAD, /* *h verified, its payload did not; scan->at is behind it */
    BUFFER_SCAN_BAD_HEAD,    /* no record here; scan->at is where it was */
    BUFFER_SCAN_END          /* scan->at == scan->limit */
};

void buffer_scan_init(struct buffer_scan *s, int fd, uint32_t key, uint64_t at, uint64_t limit);
void buffer_scan_fini(struct buffer_scan *s);

/* Goes on elsewhere in the same file. */
void buffer_scan_seek(struct buffer_scan *s, uint64_t at, uint64_t limit);

enum buffer_scan_result buffer_scan_next(struct buffer_scan *s, struct buffer_head *h);

/* After BUFFER_SCAN_BAD_HEAD: moves on to the next place whose head verifies with a sequence number
 * within [min_seq, max_seq], or to the limit. A forged record inside a damaged one does not verify:
 * its writer does not know the key. */
void buffer_scan_resync(struct buffer_scan *s, uint64_t min_seq, uint64_t max_seq);

/* pread that does not give up at a sector that cannot be read: what cannot be had is zeros, and
 * *io_error is set. Returns fewer than n bytes only at the end of the file; -1 when nothing could
 * be read for another reason than EIO. */
ssize_t buffer_scan_pread(int fd, void *to, size_t n, uint64_t at, bool *io_error);

#endif

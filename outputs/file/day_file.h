/*
 * day_file: one file of NDJSON to which lines are appended, each exactly once. A line is the
 * document with its `_id` as the first member. One thread.
 *
 * What a crash may leave: a torn last line, NUL bytes where lines had been on their way to the disk
 * (a power cut), and whole lines of records that the buffer hands out again. Opening a file cuts
 * the first two away and remembers the ids of the lines in its last DAY_FILE_WINDOW bytes, and from
 * then on those of the lines that are added: a record that is found among them is there already.
 * (Added ones, too: where a power cut shortened a log file, it is read again from its beginning,
 * while the buffer still holds records of it from before.) All are forgotten when a window was
 * added. After kill -9 only one batch can be handed out again; after a power cut, what was written
 * since the buffer last had its frontier and its positions on disk, and the log files that it
 * shortened. So this is exact as long as these bring a file less than a window.
 */
#ifndef BARGE_DAY_FILE_H
#define BARGE_DAY_FILE_H

#include "agent/base/base.h"
#include "agent/base/strbuf.h"
#include "agent/buffer/buffer.h"

#include <sys/types.h>

#define DAY_FILE_WINDOW (64u << 20)

struct day_file {
    char *path;
    int fd;
    dev_t device; /* as of opening: the path must lead to the same file still */
    ino_t inode;
    off_t size;            /* whole lines, fsynced */
    struct strbuf pending; /* lines to be written behind them */
    struct day_file_ids {
        uint64_t *slots; /* keyed hashes, open addressing; 0: none */
        size_t n, cap;
        uint64_t key;
    } seen;            /* ids of the window, and of what was added */
    bool forgotten;    /* they cannot matter any more */
    uint64_t appended; /* since it was opened */
    bool cut_owed;     /* lines of a failed write could not be cut away yet */
};

/* Makes the folders above path that are not there, so that they last. 0, or -1 with *e. */
int day_file_make_folders(const char *path, struct error *e);

/* Opens path, with the folders above it, made when they are not there; reads its window. 0, or -1
 * with *e: *f is closed then. */
int day_file_open(struct day_file *f, const char *path, struct error *e);

/* Forgets what is pending. A closed (zeroed, fd -1) one is fine. */
void day_file_close(struct day_file *f);

/* Whether a line with this id stands in the window, or was added. */
bool day_file_has(const struct day_file *f, const uint8_t id[BUFFER_ID_BYTES]);

/* Adds a line to what is pending. document is a JSON object without line feeds. */
void day_file_add(struct day_file *f, const uint8_t id[BUFFER_ID_BYTES], struct bytes document);

/* Writes what is pending and fsyncs it. -1 with *e: nothing of it counts, what reached the file is
 * cut away again as far as possible, and it is still pending: to be tried again. A file that was
 * removed, renamed or cut by somebody else is opened anew first. */
int day_file_flush(struct day_file *f, struct error *e);

#endif

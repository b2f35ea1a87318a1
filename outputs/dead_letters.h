/*
 * dead_letters: records that the output will not take, kept as files of NDJSON that a person can
 * read and `barge replay` sends again.
 *
 *   data_dir/dead-letters/NNNNNNNNNNNN.ndjson
 * {"@timestamp":…,"index":…,"_id":…,"reason":…,"document":{…}} a line
 *   data_dir/dead-letters/parked/…              the same, of an index that accepts nothing:
 * replayed by itself data_dir/replay/…                           put there by `barge replay`: the
 * agent reads them again and removes them
 *
 * Written by the delivery thread alone.
 */
#ifndef BARGE_DEAD_LETTERS_H
#define BARGE_DEAD_LETTERS_H

#include "agent/base/base.h"
#include "agent/buffer/buffer.h"
#include "agent/config/config.h"

struct dead_letters;

/* Opens (makes) the folders; a torn last line of an earlier life is cut. */
struct dead_letters *dead_letters_open(const char *data_dir,
                                       const struct dead_letter_settings *settings,
                                       struct error *e);
void dead_letters_close(struct dead_letters *d);

/* Appends one record with its reason (an Elasticsearch error's text). Not durable before
 * dead_letters_sync. 0, or -1 with errno; when it is full (settings->max_bytes; nothing old enough
 * to remove) errno is ENOSPC. */
int dead_letters_add(struct dead_letters *d, const struct buffer_record *r, struct bytes reason);
/* The same among the parked of r->index. */
int dead_letters_park(struct dead_letters *d, const struct buffer_record *r, struct bytes reason);

/* Records that could not be written one by one because the disk takes no byte more: they stay in
 * the file in which they lie, a whole segment of the buffer, which becomes a dead letter itself:
 *
 *   KEY-SEGMENT-FIRST-LAST-RECORDS.seg, hexadecimal
 *
 * is the segment, and of it the records with a number from FIRST to LAST and an index of which KEY
 * is the hash (0: of any). Among them may be some that were delivered: replayed, they are found to
 * be there. */
struct dead_letter_stretch {
    struct bytes index; /* in: empty for refused records; out: empty */
    uint64_t key;       /* out */
    uint64_t segment, first, last, records;
};

/* Links the file. Durable when it returns 0; -1 with errno: ENOSPC when they are full, EAGAIN when
 * the segment cannot be had yet (see buffer_link_segment). */
int dead_letters_keep(struct dead_letters *d, struct buffer *b,
                      const struct dead_letter_stretch *s);

bool dead_letter_stretch_parse(const char *name, struct dead_letter_stretch *s);
bool dead_letter_stretch_has(const struct dead_letter_stretch *s, const struct buffer_record *r);

/* Ends a batch, also one in which adding failed: fsync of what was added. Until then `barge replay`
 * waits. 0, or -1: then nothing added since the last success may be counted as delivered. */
int dead_letters_sync(struct dead_letters *d);

/* Moves all parked files of this index to the replay folder, because it accepts again. */
int dead_letters_unpark(struct dead_letters *d, struct bytes index);

/* Calls fn for each file of parked records, to be asked before the first is parked: its index, how
 * many there are in it, and one of them, whose slices are good only during the call. fn must not
 * call back. */
void dead_letters_parked(struct dead_letters *d,
                         void (*fn)(void *arg, const struct buffer_record *one, uint64_t records),
                         void *arg);

/* `barge replay`: moves files (NULL: all) to the replay folder; a running agent picks them up
 * within seconds, else the next one does. Returns how many, -1 with *e. */
int dead_letters_replay(const char *data_dir, char **files, struct error *e);

/* A line of such a file (without its line feed) into slices of itself; document is raw JSON text.
 */
struct dead_letter {
    struct bytes index, reason, document;
    uint8_t id[BUFFER_ID_BYTES];
};
bool dead_letter_parse(struct bytes line, struct dead_letter *out);

#endif

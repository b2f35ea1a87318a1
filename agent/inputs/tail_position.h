/*
 * tail_position: how far a log file has been read, as it stands in the buffer's map of positions.
 * A pure codec. Any thread.
 *
 * Key: what the log is of (32 bytes: a container's id; for other kinds a letter and 32 bytes of
 * hash), 7 bytes of the file's source; or without the source: the log has been seen. Value,
 * little-endian: version (1), flags, made, marker bytes, resume u64, done u64, time i64, marker
 * u32; of files that are not known by their source alone also head bytes u16, head u64, inode u64.
 * Version 2, while a record of several lines waits, has behind that three u64: where the first
 * record of each stream begins that was not handed on. An agent that does not know it would take
 * the lines before `done` for delivered; so it takes the value as none, and reads the file again.
 * A later version may append; a value of another version is taken as none, and the file is read
 * again (its records have the same `_id`s).
 */
#ifndef BARGE_TAIL_POSITION_H
#define BARGE_TAIL_POSITION_H

#include "agent/base/base.h"

#define TAIL_ID_BYTES 32
#define TAIL_SOURCE_BYTES 7
#define TAIL_KEY_BYTES (1 + TAIL_ID_BYTES + TAIL_SOURCE_BYTES) /* at most */
#define TAIL_POSITION_BYTES 74                                 /* at most */
#define TAIL_STREAMS 3
#define TAIL_MARKER_BYTES 64 /* how much of the file before `done` the marker covers, at most */

/* What a log is of. */
struct tail_id {
    char kind; /* TAIL_ID_* */
    uint8_t bytes[TAIL_ID_BYTES];
};

enum { TAIL_ID_CONTAINER = 0, TAIL_ID_PATH = 'f', TAIL_ID_POD = 'p' };

/* Of what is known by a text; and by 64 lower-case hex digits. */
void tail_position_id(struct tail_id *id, char kind, const char *text);
void tail_position_id_hex(struct tail_id *id, char kind, const char *hex);

struct tail_position {
    uint64_t resume;   /* beginning of the first record that was not complete */
    uint64_t done;     /* what ended at or before it was handed on; >= resume */
    uint8_t made;      /* records that the line behind done has handed on as well */
    bool complete;     /* rotated or removed, and all of it was handed on: resume == done */
    bool in_long_line; /* resume stands inside of a line whose rest is skipped */
    bool time_known;
    bool drawn;      /* the source cannot be told from the file alone: tail_identity.h */
    int64_t time_ns; /* of the last good record before resume */
    uint32_t marker; /* CRC32C of the marker_n bytes before done */
    uint8_t marker_n;
    uint16_t head_n; /* tail_identity.h; 0: none of these three */
    uint64_t head, inode;
    bool by_stream; /* from says what was handed on, and neither done nor made */
    uint64_t from[TAIL_STREAMS];
};

/* The key of a file (source: not NULL) or of the log itself. Returns its length. */
size_t tail_position_key(const struct tail_id *id, const uint64_t *source, char to[TAIL_KEY_BYTES]);
/* Whether it is a key of this module; *source is 0 and *has_source false for a log's own entry. */
bool tail_position_key_read(struct bytes key, struct tail_id *id, bool *has_source,
                            uint64_t *source);

/* Returns the length. */
size_t tail_position_write(const struct tail_position *p, char to[TAIL_POSITION_BYTES]);
bool tail_position_read(struct bytes value, struct tail_position *p);

#endif

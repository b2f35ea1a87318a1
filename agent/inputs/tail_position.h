/*
 * tail_position: how far a log file has been read, as it stands in the buffer's map of positions.
 * A pure codec. Any thread.
 *
 * Key: 32 bytes of container id, 7 bytes of the file's source; or the id alone: the container has
 * been seen. Value, little-endian: version (1), flags, made, marker bytes, resume u64, done u64,
 * time i64, marker u32. A later version may append; a value of another version is taken as none,
 * and the file is read again (its records have the same `_id`s).
 */
#ifndef BARGE_TAIL_POSITION_H
#define BARGE_TAIL_POSITION_H

#include "agent/base/base.h"

#define DOCKER_ID_BYTES 32
#define TAIL_SOURCE_BYTES 7
#define TAIL_KEY_BYTES (DOCKER_ID_BYTES + TAIL_SOURCE_BYTES)
#define TAIL_POSITION_BYTES 32
#define TAIL_MARKER_BYTES 64 /* how much of the file before `done` the marker covers, at most */

struct tail_position {
    uint64_t resume;   /* beginning of the first record that was not complete */
    uint64_t done;     /* what ended at or before it was handed on; >= resume */
    uint8_t made;      /* records that the line behind done has handed on as well */
    bool complete;     /* rotated or removed, and all of it was handed on: resume == done */
    bool in_long_line; /* resume stands inside of a line whose rest is skipped */
    bool time_known;
    int64_t time_ns; /* of the last good record before resume */
    uint32_t marker; /* CRC32C of the marker_n bytes before done */
    uint8_t marker_n;
};

void tail_position_key(const uint8_t id[DOCKER_ID_BYTES], uint64_t source, char to[TAIL_KEY_BYTES]);
/* Whether it is a key of this module; *source is 0 and *has_source false for a container's own
 * entry. */
bool tail_position_key_read(struct bytes key, uint8_t id[DOCKER_ID_BYTES], bool *has_source,
                            uint64_t *source);

void tail_position_write(const struct tail_position *p, char to[TAIL_POSITION_BYTES]);
bool tail_position_read(struct bytes value, struct tail_position *p);

#endif

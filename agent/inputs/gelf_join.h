/*
 * gelf_join: Docker's GELF driver sends a line of more than 16 KiB as several messages that nothing
 * marks. They are put together by what they have in common: equal container, level and timestamp
 * text (the driver stamps all pieces with the time of the first), behind a piece that may have been
 * exactly 16,384 bytes, where Docker cuts (each byte that was no UTF-8 comes as U+FFFD, three
 * bytes). A piece that is complete JSON by itself, or ends in a carriage return, is whole; one that
 * is longer than a piece can be, or a complete JSON object by itself, begins a line of its own. The
 * next piece is waited for one second at most; then what is there goes.
 *
 * What cannot be told apart: a line of exactly 16,384 bytes, followed within the same millisecond
 * by another one. Docker's copier hands it on as a cut piece and then an empty rest, which the
 * driver leaves out, so that what is sent for two lines and for one that was cut is the same to
 * the byte.
 *
 * The first message is kept whole (its members are the joined one's), of the others only the text.
 * Held memory is bounded: by max_text for each container's stream, by max_bytes and 256 lines for
 * all. At a bound what is there goes, nothing is lost.
 *
 * No clock of its own. One thread.
 */
#ifndef BARGE_GELF_JOIN_H
#define BARGE_GELF_JOIN_H

#include "agent/base/base.h"

#define GELF_JOIN_PIECE_BYTES 16384
#define GELF_JOIN_WAIT_MS 1000

struct gelf_joins;

/* A message of Docker's driver. All slices are borrowed and copied when kept. */
struct gelf_piece {
    struct bytes container_id;
    int level;
    struct bytes timestamp;
    struct bytes message; /* the whole JSON object */
    struct bytes text;    /* inside of its short_message: escapes as they stand */
    uint8_t text_flags;   /* what json_string_end said of it */
    int64_t arrival_ns;
};

/* What is handed on: one line. Valid during the call. */
struct gelf_joined {
    struct bytes message; /* of the first piece */
    struct bytes text;    /* of all pieces, one behind the other */
    uint8_t text_flags;
    unsigned pieces;
    uint32_t hash;      /* CRC32C of the first message and of the texts behind it */
    int64_t arrival_ns; /* of the first piece */
};

/* emit must not call back. */
struct gelf_joins *gelf_joins_create(size_t max_bytes, size_t max_text,
                                     void (*emit)(void *arg, const struct gelf_joined *line),
                                     void *arg);

/* Forgets what is held: gelf_joins_flush comes first. */
void gelf_joins_free(struct gelf_joins *j);

/* Takes a message: true when it was kept, or completed a line that was emitted. false when it
 * stands by itself (the line that it ends, if any, was emitted before it). now_ms: monotonic. */
bool gelf_joins_add(struct gelf_joins *j, const struct gelf_piece *piece, uint64_t now_ms);

/* Emits the lines whose last piece came a second ago. */
void gelf_joins_expire(struct gelf_joins *j, uint64_t now_ms);

/* When the next line has waited long enough; UINT64_MAX when none waits. */
uint64_t gelf_joins_next_ms(const struct gelf_joins *j);

/* Emits everything. */
void gelf_joins_flush(struct gelf_joins *j);

#endif

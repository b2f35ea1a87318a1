/*
 * gelf_records: GELF messages into records into the intake: Docker's pieces joined, origin, time,
 * level, text. Intake thread.
 *
 * message is full_message where there is one and it is not blank, else short_message; a
 * short_message beside another full_message becomes gelf.short_message. One line end is taken off.
 * Docker's level only tells stdout (6) from stderr (3). A tag that Docker sends stays, as
 * container.labels.tag, unless it is the beginning of the container's id (Docker's default).
 * A JSON object that is too deep or has too many members to be cut up is shipped as it stands, as
 * text.
 */
#ifndef BARGE_GELF_RECORDS_H
#define BARGE_GELF_RECORDS_H

#include "agent/inputs/gelf.h"

struct gelf_records;

/* max_pending_bytes: what pieces of long lines may hold. max_message_bytes: of a joined line's
 * text. */
struct gelf_records *gelf_records_create(struct intake *in, gelf_origin_fn origin, void *origin_arg,
                                         uint64_t max_pending_bytes, uint64_t max_message_bytes);
void gelf_records_free(struct gelf_records *r);

/* The intake has other formats. */
void gelf_records_formats_changed(struct gelf_records *r);

/* Messages so far that were no text even, counted as invalid. */
uint64_t gelf_records_invalid(const struct gelf_records *r);

/* Takes one message (inflated, assembled, one JSON object). INTAKE_TAKEN: handed on, kept for
 * joining, or counted as invalid. INTAKE_FULL: nothing of it was taken or counted; the caller waits
 * or counts it. arrival_ns: wall clock, for messages that have no sound timestamp. now_ms:
 * monotonic. */
enum intake_result gelf_records_take(struct gelf_records *r, struct bytes message,
                                     int64_t arrival_ns, uint64_t now_ms);

/* Lines that wait for their next piece: hands on those that have waited long enough, when the next
 * is due (UINT64_MAX: none waits), hands on all. One that finds the buffer full is counted as
 * dropped. */
void gelf_records_expire(struct gelf_records *r, uint64_t now_ms);
uint64_t gelf_records_next_ms(const struct gelf_records *r);
void gelf_records_flush(struct gelf_records *r);

#endif

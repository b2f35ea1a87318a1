/*
 * intake: the place where inputs hand in records: record → document → buffer. It asks for room,
 * encodes in place at the buffer's tail, freezes index name and `_id`, and ends turns. The intake
 * thread alone.
 */
#ifndef BARGE_INTAKE_H
#define BARGE_INTAKE_H

#include "agent/base/base.h"
#include "agent/buffer/buffer.h"
#include "parsers/document.h"
#include "parsers/formats.h"

struct intake;

struct intake_options {
    struct buffer *buffer;
    struct encoder *encoder;
    struct formats *formats;   /* NULL: no rules; outlives the origins that inputs make */
    const char *index_pattern; /* microservices-%{+YYYY.MM.dd}; "" for outputs that name no index */
    uint64_t index_window_ms;
};

struct intake *intake_create(const struct intake_options *o, struct error *e);
void intake_free(struct intake *in);

/* Whether a record whose source bytes are about n long could be taken now. Inputs that can wait
 * stop reading when not. */
bool intake_has_room(struct intake *in, enum buffer_class class, size_t n);

enum intake_result {
    INTAKE_TAKEN,
    INTAKE_FULL /* nothing was taken; a file waits, a datagram is counted by intake_count_drop */
};

/* Takes a record of a file. source: 56 bits that name container and beginning of the file;
 * position: offset of its first byte in the uncompressed file (56 bits); hash: CRC32C of all source
 * bytes of the record. flags: BUFFER_DURABLE_FIRST, BUFFER_OWES_SYNC. r->sequence is set here
 * (position). */
enum intake_result intake_file_record(struct intake *in, struct record *r, uint64_t source,
                                      uint64_t position, uint32_t hash, unsigned flags);

/* Takes a record that has no position: a datagram or stream message. Its `_id` is drawn from the
 * buffer's segment, its fsync is owed; r->sequence is set here (receive number). hash: CRC32C of
 * its bytes. */
enum intake_result intake_message_record(struct intake *in, struct record *r, uint32_t hash,
                                         unsigned flags);

/* Takes a finished document with its id and index (replay). */
enum intake_result intake_document(struct intake *in, const uint8_t id[BUFFER_ID_BYTES],
                                   struct bytes index, struct bytes document);

/* How the messages of each container are read: for the origins that an input makes. */
struct formats *intake_formats(struct intake *in);

/* Other ones from now on. Every input must make its origins anew before the old ones are freed. */
void intake_set_formats(struct intake *in, struct formats *formats);

/* Counts what was framed but not kept. */
void intake_count_drop(struct intake *in, enum buffer_drop kind, uint64_t n);

/* The buffer underneath, for positions and owed syncs. */
struct buffer *intake_buffer(struct intake *in);

#endif

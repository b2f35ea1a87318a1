/*
 * es_body: the body of one _bulk request. The records lie in one block of memory as the buffer read
 * them; action lines are made while the body is read, so that no second copy of it exists, or while
 * it is compressed.
 *
 * Format: Elasticsearch bulk API, NDJSON: {"create":{"_index":"…","_id":"…"}} line feed, document,
 * line feed. Delivery thread.
 */
#ifndef BARGE_ES_BODY_H
#define BARGE_ES_BODY_H

#include "agent/base/strbuf.h"
#include "agent/buffer/buffer.h"

#include <zlib.h>

struct es_part;
struct es_index_slot;

struct es_body {
    char *mem; /* owned: cap bytes for the caller to read records into */
    size_t cap, used;
    struct es_part *parts; /* owned */
    size_t n, parts_cap;
    uint64_t total; /* bytes of the whole body */

    /* private */
    struct strbuf edits;    /* documents that were changed */
    struct strbuf prefixes; /* action lines up to the id, one for each index name */
    uint32_t *prefix_at;    /* owned; where each begins; [n_prefixes] is the end */
    size_t n_prefixes, prefixes_cap;
    struct es_index_slot *slots; /* owned; which prefix an index name has */
    size_t part, offset;         /* reading position: offset within the part */
};

struct es_body *es_body_create(size_t cap);
void es_body_free(struct es_body *b);

/* Forgets all records; keeps the memory, but that of documents larger than cap. */
void es_body_clear(struct es_body *b);

/* Makes mem at least cap bytes large. Only while it is empty. */
void es_body_grow(struct es_body *b, size_t cap);

/* The number of the action line's beginning for an index; good until es_body_clear. */
uint32_t es_body_prefix(struct es_body *b, struct bytes index);

/* Adds a record whose slices lie in mem. */
void es_body_add(struct es_body *b, const struct buffer_record *r, uint32_t prefix);
/* Adds a record with another document, which is copied. */
void es_body_add_edited(struct es_body *b, const struct buffer_record *r, uint32_t prefix,
                        struct bytes document);

/* Reads the next bytes of the body, at most room; 0 at its end. */
size_t es_body_read(struct es_body *b, char *to, size_t room);
void es_body_rewind(struct es_body *b);

/* Compresses the whole body into `to` (added to it) with a stream that was made by deflateInit2 and
 * is reset here. */
void es_body_deflate(struct es_body *b, z_stream *z, struct strbuf *to);

#endif

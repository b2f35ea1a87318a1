#include "outputs/elasticsearch/es_batch.h"

#include <stdlib.h>

/* Reasons of one batch together. Beyond it a record is refused "too many reasons to keep this one".
 */
#define MAX_TEXTS (2u << 20)

struct es_batch *es_batch_create(void)
{
    return base_calloc(1, sizeof(struct es_batch));
}

void es_batch_free(struct es_batch *b)
{
    if (b == NULL)
        return;
    free(b->refs);
    free(b->names);
    strbuf_fini(&b->texts);
    free(b);
}

void es_batch_clear(struct es_batch *b)
{
    struct es_batch fresh = {
        .refs = b->refs, .cap = b->cap, .names = b->names, .names_cap = b->names_cap};

    strbuf_fini(&b->texts);
    *b = fresh;
}

uint16_t es_batch_name(struct es_batch *b, struct bytes index)
{
    /* From the end: records of one index follow each other as a rule. */
    for (size_t i = b->n_names; i-- > 0;)
        if (bytes_equal(index, bytes_of(b->names[i].text, b->names[i].n)))
            return (uint16_t)i;
    ASSERT(index.n <= BUFFER_MAX_INDEX && b->n_names < UINT16_MAX);
    if (b->n_names == b->names_cap) {
        b->names_cap = MAX(2, b->names_cap * 2);
        b->names = base_realloc(b->names, b->names_cap * sizeof *b->names);
    }
    b->names[b->n_names].n = (uint8_t)index.n;
    memcpy(b->names[b->n_names].text, index.p, index.n);
    return (uint16_t)b->n_names++;
}

static uint32_t keep_text(struct es_batch *b, struct bytes text)
{
    uint32_t at = (uint32_t)b->texts.n;

    if (text.n == 0)
        return UINT32_MAX;
    if (b->texts.n + text.n > MAX_TEXTS)
        text = BYTES_LITERAL("too many refusals at once to keep the reason of this one");
    strbuf_add_bytes(&b->texts, text);
    strbuf_add_char(&b->texts, '\0');
    return at;
}

static struct es_ref *add(struct es_batch *b)
{
    if (UNLIKELY(b->n == b->cap)) {
        b->cap = MAX(64, b->cap * 2);
        b->refs = base_realloc(b->refs, b->cap * sizeof *b->refs);
    }
    return &b->refs[b->n++];
}

uint32_t es_batch_id_check(const uint8_t id[BUFFER_ID_BYTES])
{
    uint32_t position, hash;

    memcpy(&hash, id + BUFFER_ID_BYTES - sizeof hash, sizeof hash);
    memcpy(&position, id + BUFFER_ID_BYTES - sizeof hash - sizeof position, sizeof position);
    return position ^ hash;
}

void es_batch_add(struct es_batch *b, const struct buffer_record *r, uint16_t name)
{
    *add(b) = (struct es_ref){.at = r->at,
                              .seq = r->seq,
                              .size = (uint32_t)buffer_record_size(r),
                              .index = name,
                              .check = es_batch_id_check(r->id),
                              .text = UINT32_MAX};
}

void es_batch_add_ref(struct es_batch *b, const struct es_batch *from, const struct es_ref *ref,
                      struct bytes text, unsigned flags)
{
    struct es_ref copy = *ref;

    copy.index = es_batch_name(b, es_batch_index(from, ref));
    copy.text = keep_text(b, text);
    copy.flags = (uint8_t)flags;
    *add(b) = copy;
}

struct bytes es_batch_index(const struct es_batch *b, const struct es_ref *ref)
{
    return bytes_of(b->names[ref->index].text, b->names[ref->index].n);
}

struct bytes es_batch_text(const struct es_batch *b, const struct es_ref *ref)
{
    return ref->text == UINT32_MAX ? BYTES_NONE : bytes_str(b->texts.p + ref->text);
}

struct es_batch *es_batch_split(struct es_batch *b, size_t from)
{
    struct es_batch *tail = es_batch_create(), empty = *tail;

    ASSERT(from > 0 && from < b->n);
    *tail = *b;
    tail->next = NULL;
    tail->refs = empty.refs;
    tail->names = empty.names;
    tail->texts = empty.texts;
    tail->n = tail->cap = tail->n_names = tail->names_cap = 0;
    for (size_t i = from; i < b->n; i++)
        es_batch_add_ref(tail, b, &b->refs[i], es_batch_text(b, &b->refs[i]), b->refs[i].flags);
    b->n = from;
    return tail;
}

uint64_t es_batch_bytes(const struct es_batch *b)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < b->n; i++)
        bytes += b->refs[i].size;
    return bytes;
}

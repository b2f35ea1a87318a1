#include "outputs/elasticsearch/es_body.h"

#include "agent/base/hash.h"
#include "outputs/output.h"

#include <stdlib.h>

#define ACTION_TAIL "\"}}\n"
#define ACTION_TAIL_BYTES (sizeof(ACTION_TAIL) - 1)
#define ACTION_MAX (64 + 6 * BUFFER_MAX_INDEX + OUTPUT_ID_CHARS + ACTION_TAIL_BYTES)
#define DEFLATE_PIECE (32u << 10)

struct es_part {
    const char *document; /* in mem; NULL: at edit in edits */
    uint32_t edit;
    uint32_t n;
    uint32_t prefix;
    uint8_t id[BUFFER_ID_BYTES];
};

/* One name a slot; another name of the same slot takes it, and the first then gets a second prefix.
 */
#define SLOTS 64
struct es_index_slot {
    uint32_t prefix;
    bool used;
    uint8_t n;
    char name[BUFFER_MAX_INDEX];
};

struct es_body *es_body_create(size_t cap)
{
    struct es_body *b = base_calloc(1, sizeof *b);

    b->cap = cap;
    b->mem = base_alloc(cap);
    b->slots = base_calloc(SLOTS, sizeof *b->slots);
    return b;
}

void es_body_free(struct es_body *b)
{
    if (b == NULL)
        return;
    free(b->mem);
    free(b->parts);
    free(b->prefix_at);
    free(b->slots);
    strbuf_fini(&b->edits);
    strbuf_fini(&b->prefixes);
    free(b);
}

void es_body_clear(struct es_body *b)
{
    b->used = b->n = b->part = b->offset = 0;
    b->total = 0;
    if (b->edits.cap > b->cap)
        strbuf_fini(&b->edits);
    strbuf_clear(&b->edits);
    strbuf_clear(&b->prefixes);
    b->n_prefixes = 0;
    for (size_t i = 0; i < SLOTS; i++)
        b->slots[i].used = false;
}

void es_body_grow(struct es_body *b, size_t cap)
{
    ASSERT(b->n == 0 && b->used == 0);
    if (cap <= b->cap)
        return;
    free(b->mem);
    b->mem = base_alloc(cap);
    b->cap = cap;
}

static bool slot_is(const struct es_index_slot *s, struct bytes index)
{
    return bytes_equal(index, bytes_of(s->name, s->n));
}

uint32_t es_body_prefix(struct es_body *b, struct bytes index)
{
    struct es_index_slot *s;

    ASSERT(index.n <= BUFFER_MAX_INDEX);
    s = &b->slots[hash_64(0, index.p, index.n) % SLOTS];
    if (s->used && slot_is(s, index))
        return s->prefix;
    if (b->n_prefixes + 2 > b->prefixes_cap) {
        b->prefixes_cap = MAX(8, b->prefixes_cap * 2);
        b->prefix_at = base_realloc(b->prefix_at, b->prefixes_cap * sizeof *b->prefix_at);
    }
    s->used = true;
    s->prefix = (uint32_t)b->n_prefixes;
    s->n = (uint8_t)index.n;
    memcpy(s->name, index.p, index.n);
    b->prefix_at[b->n_prefixes] = (uint32_t)b->prefixes.n;
    strbuf_add_str(&b->prefixes, "{\"create\":{\"_index\":");
    strbuf_add_json(&b->prefixes, index);
    strbuf_add_str(&b->prefixes, ",\"_id\":\"");
    b->prefix_at[++b->n_prefixes] = (uint32_t)b->prefixes.n;
    return s->prefix;
}

static struct es_part *add(struct es_body *b, const struct buffer_record *r, uint32_t prefix,
                           size_t n)
{
    struct es_part *p;

    if (UNLIKELY(b->n == b->parts_cap)) {
        b->parts_cap = MAX(256, b->parts_cap * 2);
        b->parts = base_realloc(b->parts, b->parts_cap * sizeof *b->parts);
    }
    p = &b->parts[b->n++];
    p->n = (uint32_t)n;
    p->prefix = prefix;
    memcpy(p->id, r->id, sizeof p->id);
    b->total += b->prefix_at[prefix + 1] - b->prefix_at[prefix] + OUTPUT_ID_CHARS +
                ACTION_TAIL_BYTES + n + 1;
    return p;
}

void es_body_add(struct es_body *b, const struct buffer_record *r, uint32_t prefix)
{
    add(b, r, prefix, r->document.n)->document = r->document.p;
}

void es_body_add_edited(struct es_body *b, const struct buffer_record *r, uint32_t prefix,
                        struct bytes document)
{
    struct es_part *p = add(b, r, prefix, document.n);

    p->document = NULL;
    p->edit = (uint32_t)b->edits.n;
    strbuf_add_bytes(&b->edits, document);
}

/* The action line of a part, into ACTION_MAX bytes. */
static size_t action(const struct es_body *b, const struct es_part *p, char *to)
{
    size_t at = b->prefix_at[p->prefix], n = b->prefix_at[p->prefix + 1] - at;

    memcpy(to, b->prefixes.p + at, n);
    output_id_text(p->id, to + n);
    memcpy(to + n + OUTPUT_ID_CHARS, ACTION_TAIL, ACTION_TAIL_BYTES);
    return n + OUTPUT_ID_CHARS + ACTION_TAIL_BYTES;
}

static const char *document_of(const struct es_body *b, const struct es_part *p)
{
    return p->document != NULL ? p->document : b->edits.p + p->edit;
}

/* One part from b->offset on, as much as there is room for. */
static size_t read_piecewise(struct es_body *b, const struct es_part *p, char *to, size_t room)
{
    char line[ACTION_MAX];
    size_t n_line = action(b, p, line), size = n_line + p->n + 1, done = 0;

    while (done < room && b->offset < size) {
        const char *from;
        size_t n;

        if (b->offset < n_line) {
            from = line + b->offset;
            n = n_line - b->offset;
        } else if (b->offset < size - 1) {
            from = document_of(b, p) + (b->offset - n_line);
            n = size - 1 - b->offset;
        } else {
            from = "\n";
            n = 1;
        }
        n = MIN(n, room - done);
        memcpy(to + done, from, n);
        done += n;
        b->offset += n;
    }
    if (b->offset == size) {
        b->part++;
        b->offset = 0;
    }
    return done;
}

size_t es_body_read(struct es_body *b, char *to, size_t room)
{
    size_t done = 0;

    while (b->part < b->n && done < room) {
        const struct es_part *p = &b->parts[b->part];

        if (b->offset == 0 && room - done >= ACTION_MAX + p->n + 1) {
            done += action(b, p, to + done);
            memcpy(to + done, document_of(b, p), p->n);
            done += p->n;
            to[done++] = '\n';
            b->part++;
        } else {
            done += read_piecewise(b, p, to + done, room - done);
        }
    }
    return done;
}

void es_body_rewind(struct es_body *b)
{
    b->part = b->offset = 0;
}

void es_body_deflate(struct es_body *b, z_stream *z, struct strbuf *to)
{
    char *piece = base_alloc(DEFLATE_PIECE);
    int flush = Z_NO_FLUSH;

    ASSERT(deflateReset(z) == Z_OK);
    es_body_rewind(b);
    while (flush != Z_FINISH) {
        size_t n = es_body_read(b, piece, DEFLATE_PIECE);
        int r;

        flush = n == 0 ? Z_FINISH : Z_NO_FLUSH;
        z->next_in = (Bytef *)piece;
        z->avail_in = (uInt)n;
        do {
            char *out = strbuf_room(to, DEFLATE_PIECE);

            z->next_out = (Bytef *)out;
            z->avail_out = DEFLATE_PIECE;
            r = deflate(z, flush);
            ASSERT(r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR);
            to->n += DEFLATE_PIECE - z->avail_out;
        } while (z->avail_out == 0);
    }
    free(piece);
}

#include "agent/buffer/buffer_format.h"

static const char magics[][8] = {
    [BUFFER_KIND_SEGMENT] = {'B', 'A', 'R', 'G', 'E', 'S', 'E', 'G'},
    [BUFFER_KIND_STATE] = {'B', 'A', 'R', 'G', 'E', 'S', 'T', 'A'},
};

static inline uint64_t le64(uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static inline uint32_t le32(uint32_t v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    return v;
}

static inline void put64(char *to, uint64_t v)
{
    v = le64(v);
    memcpy(to, &v, 8);
}

static inline void put32(char *to, uint32_t v)
{
    v = le32(v);
    memcpy(to, &v, 4);
}

static inline uint64_t get64(const char *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
    return le64(v);
}

static inline uint32_t get32(const char *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return le32(v);
}

static void cursor_put(char to[24], const struct buffer_cursor *c)
{
    put64(to, c->point.segment);
    put64(to + 8, c->point.offset);
    put64(to + 16, c->seq);
}

static struct buffer_cursor cursor_get(const char p[24])
{
    return (struct buffer_cursor){{get64(p), get64(p + 8)}, get64(p + 16)};
}

static void preamble_put(char to[BUFFER_FORMAT_PREAMBLE], enum buffer_kind kind)
{
    memcpy(to, magics[kind], 8);
    put32(to + 8, BUFFER_FORMAT_VERSION);
    put32(to + 12, hash_crc32c(0, to, 12));
}

uint32_t buffer_format_version(enum buffer_kind kind, const char p[BUFFER_FORMAT_PREAMBLE])
{
    if (memcmp(p, magics[kind], 8) != 0 || get32(p + 12) != hash_crc32c(0, p, 12))
        return 0;
    return get32(p + 8);
}

void buffer_format_header_put(char to[BUFFER_FORMAT_HEADER], const struct buffer_header *h)
{
    preamble_put(to, BUFFER_KIND_SEGMENT);
    put64(to + 16, h->number);
    memcpy(to + 24, h->salt, BUFFER_FORMAT_SALT);
    put64(to + 40, h->nonce);
    put64(to + 48, (uint64_t)h->created_ns);
    put64(to + 56, h->data_start);
    cursor_put(to + 64, &h->prev);
    cursor_put(to + 88, &h->durable);
    put64(to + 112, h->cannot_wait_before);
    memset(to + 120, 0, 4);
    put32(to + 124, hash_crc32c(0, to, 124));
}

bool buffer_format_header_get(const char p[BUFFER_FORMAT_HEADER], struct buffer_header *h)
{
    if (buffer_format_version(BUFFER_KIND_SEGMENT, p) != BUFFER_FORMAT_VERSION ||
        get32(p + 124) != hash_crc32c(0, p, 124))
        return false;
    h->number = get64(p + 16);
    memcpy(h->salt, p + 24, BUFFER_FORMAT_SALT);
    h->nonce = get64(p + 40);
    h->created_ns = (int64_t)get64(p + 48);
    h->data_start = get64(p + 56);
    h->prev = cursor_get(p + 64);
    h->durable = cursor_get(p + 88);
    h->cannot_wait_before = get64(p + 112);
    return h->data_start >= BUFFER_FORMAT_HEADER && h->prev.point.segment < h->number;
}

uint32_t buffer_format_key(const uint8_t salt[BUFFER_FORMAT_SALT], uint64_t number)
{
    char n[8];

    put64(n, number);
    return hash_crc32c(hash_crc32c(0, salt, BUFFER_FORMAT_SALT), n, sizeof n);
}

void buffer_format_head_put(char to[BUFFER_FORMAT_HEAD], uint32_t key, const struct buffer_head *h)
{
    put32(to + 4, h->length);
    put32(to + 8, h->payload_crc);
    put32(to + 12, h->type | (uint32_t)h->flags << 8 | (uint32_t)h->class << 16 |
                       (uint32_t)h->index_n << 24);
    put64(to + 16, h->seq);
    put32(to + 24, h->time_s);
    put32(to, hash_crc32c(key, to + 4, BUFFER_FORMAT_HEAD - 4));
}

void buffer_format_head_read(const char p[BUFFER_FORMAT_HEAD], struct buffer_head *h)
{
    uint32_t kinds = get32(p + 12);

    h->length = get32(p + 4);
    h->payload_crc = get32(p + 8);
    h->type = (uint8_t)kinds;
    h->flags = (uint8_t)(kinds >> 8);
    h->class = (uint8_t)(kinds >> 16);
    h->index_n = (uint8_t)(kinds >> 24);
    h->seq = get64(p + 16);
    h->time_s = get32(p + 24);
}

bool buffer_format_head_get(const char p[BUFFER_FORMAT_HEAD], uint32_t key, struct buffer_head *h)
{
    buffer_format_head_read(p, h);
    /* The type first: it spares a search through damage most of the checksums. */
    switch (h->type) {
    case BUFFER_TYPE_DATA:
        if (h->length < (uint32_t)BUFFER_ID_BYTES + h->index_n ||
            h->length > (uint32_t)BUFFER_ID_BYTES + h->index_n + BUFFER_MAX_RECORD)
            return false;
        break;
    case BUFFER_TYPE_COMMIT:
    case BUFFER_TYPE_SNAPSHOT:
        if (h->length < BUFFER_FORMAT_BOOKS || h->length > BUFFER_FORMAT_COMMIT_MAX)
            return false;
        break;
    default:
        return false;
    }
    return get32(p) == hash_crc32c(key, p + 4, BUFFER_FORMAT_HEAD - 4);
}

void buffer_format_books_put(char to[BUFFER_FORMAT_BOOKS], const struct buffer_books *k,
                             uint32_t positions)
{
    put64(to, (uint64_t)k->wall_ns);
    cursor_put(to + 8, &k->durable);
    cursor_put(to + 32, &k->frontier);
    put64(to + 56, k->finished.delivered);
    put64(to + 64, k->finished.duplicate);
    put64(to + 72, k->finished.dead_lettered);
    put64(to + 80, k->finished.damaged);
    for (int i = 0; i < BUFFER_DROP_KINDS; i++)
        put64(to + 88 + 8 * i, k->dropped[i]);
    put64(to + 112, k->cannot_wait_total);
    put32(to + 120, positions);
}

void buffer_format_books_get(const char p[BUFFER_FORMAT_BOOKS], struct buffer_books *k,
                             uint32_t *positions)
{
    k->wall_ns = (int64_t)get64(p);
    k->durable = cursor_get(p + 8);
    k->frontier = cursor_get(p + 32);
    k->finished.delivered = get64(p + 56);
    k->finished.duplicate = get64(p + 64);
    k->finished.dead_lettered = get64(p + 72);
    k->finished.damaged = get64(p + 80);
    for (int i = 0; i < BUFFER_DROP_KINDS; i++)
        k->dropped[i] = get64(p + 88 + 8 * i);
    k->cannot_wait_total = get64(p + 112);
    *positions = get32(p + 120);
}

size_t buffer_format_entry_put(char *to, struct bytes key, struct bytes value)
{
    to[0] = (char)key.n;
    to[1] = (char)(value.n & 0xff);
    to[2] = (char)(value.n >> 8);
    memcpy(to + 3, key.p, key.n);
    if (value.n)
        memcpy(to + 3 + key.n, value.p, value.n);
    return BUFFER_FORMAT_ENTRY_HEAD + key.n + value.n;
}

bool buffer_format_entry_get(struct bytes *p, struct bytes *key, struct bytes *value)
{
    const unsigned char *s = (const unsigned char *)p->p;
    size_t key_n, value_n;

    if (p->n < BUFFER_FORMAT_ENTRY_HEAD)
        return false;
    key_n = s[0];
    value_n = s[1] | (size_t)s[2] << 8;
    if (key_n > BUFFER_FORMAT_KEY_MAX || value_n > BUFFER_FORMAT_VALUE_MAX ||
        p->n < BUFFER_FORMAT_ENTRY_HEAD + key_n + value_n)
        return false;
    *key = bytes_of(p->p + 3, key_n);
    *value = bytes_of(p->p + 3 + key_n, value_n);
    p->p += BUFFER_FORMAT_ENTRY_HEAD + key_n + value_n;
    p->n -= BUFFER_FORMAT_ENTRY_HEAD + key_n + value_n;
    return true;
}

void buffer_format_slot_put(char to[BUFFER_FORMAT_SLOT], const struct buffer_state *s)
{
    memset(to, 0, BUFFER_FORMAT_SLOT);
    preamble_put(to, BUFFER_KIND_STATE);
    put64(to + 16, s->generation);
    memcpy(to + 24, s->salt, BUFFER_FORMAT_SALT);
    put64(to + 40, s->reserved);
    buffer_format_books_put(to + 48, &s->books, 0);
    put64(to + 48 + BUFFER_FORMAT_BOOKS, s->suspect);
    put32(to + BUFFER_FORMAT_SLOT - 4, hash_crc32c(0, to, BUFFER_FORMAT_SLOT - 4));
}

bool buffer_format_slot_get(const char p[BUFFER_FORMAT_SLOT], struct buffer_state *s)
{
    uint32_t positions;

    if (buffer_format_version(BUFFER_KIND_STATE, p) != BUFFER_FORMAT_VERSION ||
        get32(p + BUFFER_FORMAT_SLOT - 4) != hash_crc32c(0, p, BUFFER_FORMAT_SLOT - 4))
        return false;
    s->generation = get64(p + 16);
    memcpy(s->salt, p + 24, BUFFER_FORMAT_SALT);
    s->reserved = get64(p + 40);
    buffer_format_books_get(p + 48, &s->books, &positions);
    s->suspect = get64(p + 48 + BUFFER_FORMAT_BOOKS);
    return true;
}

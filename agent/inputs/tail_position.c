#include "agent/inputs/tail_position.h"

#include "agent/base/hash.h"

#define VERSION 1
#define VERSION_BY_STREAM 2

#define SHORT_BYTES 32
#define HEAD_BYTES 18
#define FROM_BYTES (8 * TAIL_STREAMS)

enum { FLAG_COMPLETE = 1, FLAG_IN_LONG_LINE = 2, FLAG_TIME_KNOWN = 4, FLAG_DRAWN = 8 };

static void put_le(char *to, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (char)(uint8_t)(v >> (8 * i));
}

static uint64_t get_le(const char *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)(uint8_t)p[i] << (8 * i);
    return v;
}

void tail_position_id(struct tail_id *id, char kind, const char *text)
{
    id->kind = kind;
    for (uint64_t i = 0; i < TAIL_ID_BYTES / sizeof i; i++) {
        uint64_t h = hash_64(i, text, strlen(text));

        memcpy(id->bytes + i * sizeof h, &h, sizeof h);
    }
}

static uint8_t hex_digit(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

void tail_position_id_hex(struct tail_id *id, char kind, const char *hex)
{
    id->kind = kind;
    for (size_t i = 0; i < TAIL_ID_BYTES; i++)
        id->bytes[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
}

size_t tail_position_key(const struct tail_id *id, const uint64_t *source, char to[TAIL_KEY_BYTES])
{
    char *p = to;

    if (id->kind)
        *p++ = id->kind;
    memcpy(p, id->bytes, TAIL_ID_BYTES);
    p += TAIL_ID_BYTES;
    for (size_t i = 0; source && i < TAIL_SOURCE_BYTES; i++)
        *p++ = (char)(uint8_t)(*source >> (8 * (TAIL_SOURCE_BYTES - 1 - i)));
    return (size_t)(p - to);
}

bool tail_position_key_read(struct bytes key, struct tail_id *id, bool *has_source,
                            uint64_t *source)
{
    *id = (struct tail_id){0};
    if (key.n == 1 + TAIL_ID_BYTES || key.n == TAIL_KEY_BYTES) {
        if (key.p[0] != TAIL_ID_PATH && key.p[0] != TAIL_ID_POD)
            return false;
        id->kind = *key.p++;
        key.n--;
    }
    if (key.n != TAIL_ID_BYTES && key.n != TAIL_ID_BYTES + TAIL_SOURCE_BYTES)
        return false;
    memcpy(id->bytes, key.p, TAIL_ID_BYTES);
    *has_source = key.n > TAIL_ID_BYTES;
    *source = 0;
    for (size_t i = TAIL_ID_BYTES; i < key.n; i++)
        *source = *source << 8 | (uint8_t)key.p[i];
    return true;
}

size_t tail_position_write(const struct tail_position *p, char to[TAIL_POSITION_BYTES])
{
    size_t n = SHORT_BYTES;

    memset(to, 0, TAIL_POSITION_BYTES);
    to[0] = p->by_stream ? VERSION_BY_STREAM : VERSION;
    to[1] = (char)((p->complete ? FLAG_COMPLETE : 0) | (p->in_long_line ? FLAG_IN_LONG_LINE : 0) |
                   (p->time_known ? FLAG_TIME_KNOWN : 0) | (p->drawn ? FLAG_DRAWN : 0));
    to[2] = (char)p->made;
    to[3] = (char)p->marker_n;
    put_le(to + 4, p->resume, 8);
    put_le(to + 12, p->done, 8);
    put_le(to + 20, (uint64_t)p->time_ns, 8);
    put_le(to + 28, p->marker, 4);
    if (p->head_n) {
        put_le(to + n, p->head_n, 2);
        put_le(to + n + 2, p->head, 8);
        put_le(to + n + 10, p->inode, 8);
        n += HEAD_BYTES;
    }
    for (size_t i = 0; p->by_stream && i < TAIL_STREAMS; i++, n += 8)
        put_le(to + n, p->from[i], 8);
    return n;
}

bool tail_position_read(struct bytes v, struct tail_position *p)
{
    size_t from = 0;
    uint8_t flags;

    if (v.n >= SHORT_BYTES + FROM_BYTES && v.p[0] == VERSION_BY_STREAM)
        from = v.n - FROM_BYTES;
    else if (v.n < SHORT_BYTES || v.p[0] != VERSION)
        return false;
    flags = (uint8_t)v.p[1];
    *p = (struct tail_position){
        .complete = flags & FLAG_COMPLETE,
        .in_long_line = (flags & FLAG_IN_LONG_LINE) != 0,
        .time_known = (flags & FLAG_TIME_KNOWN) != 0,
        .drawn = (flags & FLAG_DRAWN) != 0,
        .made = (uint8_t)v.p[2],
        .resume = get_le(v.p + 4, 8),
        .done = get_le(v.p + 12, 8),
        .time_ns = (int64_t)get_le(v.p + 20, 8),
        .marker = (uint32_t)get_le(v.p + 28, 4),
        .marker_n = (uint8_t)v.p[3],
    };
    p->by_stream = from != 0;
    for (size_t i = 0; from && i < TAIL_STREAMS; i++)
        p->from[i] = get_le(v.p + from + 8 * i, 8);
    if ((from ? from : v.n) >= SHORT_BYTES + HEAD_BYTES) {
        p->head_n = (uint16_t)get_le(v.p + 32, 2);
        p->head = get_le(v.p + 34, 8);
        p->inode = get_le(v.p + 42, 8);
    }
    return p->resume <= p->done && p->marker_n <= TAIL_MARKER_BYTES && p->marker_n <= p->done;
}

/*
 * What the buffer and the tail keep on disk: what is written is read, a bit that differs is
 * noticed, any bytes are refused or read as something that is written the same way, and the map of
 * positions is what a plain list says it is.
 */
#include "agent/buffer/buffer_format.h"
#include "agent/buffer/buffer_positions.h"
#include "agent/inputs/tail_position.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* ---- fixed layouts ---- */

static void flip(char *p, size_t n, const uint8_t *data)
{
    size_t bit = (data[0] | (size_t)data[1] << 8) % (8 * n);

    p[bit / 8] = (char)(p[bit / 8] ^ (1 << bit % 8));
}

static void check_header(const uint8_t *data, size_t n)
{
    struct buffer_header h, back;
    char p[BUFFER_FORMAT_HEADER], again[BUFFER_FORMAT_HEADER];

    memset(&h, 0, sizeof h);
    memcpy(&h, data, MIN(n, sizeof h));
    h.data_start |= BUFFER_FORMAT_HEADER;
    h.number |= 1;
    h.prev.point.segment %= h.number;
    buffer_format_header_put(p, &h);
    ASSERT(buffer_format_header_get(p, &back));
    buffer_format_header_put(again, &back);
    ASSERT(memcmp(p, again, sizeof p) == 0);
    ASSERT(back.number == h.number && back.data_start == h.data_start &&
           back.created_ns == h.created_ns && back.nonce == h.nonce);
    flip(p, sizeof p, data);
    ASSERT(!buffer_format_header_get(p, &back));
}

static void check_slot(const uint8_t *data, size_t n)
{
    struct buffer_state s, back;
    char p[BUFFER_FORMAT_SLOT], again[BUFFER_FORMAT_SLOT];

    memset(&s, 0, sizeof s);
    memcpy(&s, data, MIN(n, sizeof s));
    buffer_format_slot_put(p, &s);
    ASSERT(buffer_format_slot_get(p, &back));
    buffer_format_slot_put(again, &back);
    ASSERT(memcmp(p, again, sizeof p) == 0);
    ASSERT(back.generation == s.generation && back.reserved == s.reserved &&
           memcmp(back.salt, s.salt, sizeof s.salt) == 0);
    flip(p, sizeof p, data);
    ASSERT(!buffer_format_slot_get(p, &back));
}

static void check_head(const uint8_t *data, size_t n)
{
    static const uint8_t types[] = {BUFFER_TYPE_DATA, BUFFER_TYPE_COMMIT, BUFFER_TYPE_SNAPSHOT};
    struct buffer_head h, back;
    char p[BUFFER_FORMAT_HEAD];
    uint32_t key = data[2];

    memset(&h, 0, sizeof h);
    memcpy(&h, data, MIN(n, sizeof h));
    h.type = types[data[0] % 3];
    buffer_format_head_put(p, key, &h);
    if (buffer_format_head_get(p, key, &back)) {
        ASSERT(back.length == h.length && back.seq == h.seq && back.type == h.type &&
               back.payload_crc == h.payload_crc && back.index_n == h.index_n);
        /* Of another segment it does not verify. */
        ASSERT(!buffer_format_head_get(p, key ^ (1u << data[1] % 32), &back));
        flip(p, sizeof p, data);
        ASSERT(!buffer_format_head_get(p, key, &back));
    }
}

/* Any bytes, each of its own memory, so that a read behind them is found. */
static void check_bytes(const uint8_t *data, size_t n)
{
    char *p = base_alloc(MAX(n, (size_t)1));
    struct buffer_header header;
    struct buffer_state state;
    struct buffer_head head;
    struct bytes rest, key, value;

    memcpy(p, data, n);
    if (n >= BUFFER_FORMAT_HEADER)
        buffer_format_header_get(p, &header);
    if (n >= BUFFER_FORMAT_SLOT)
        buffer_format_slot_get(p, &state);
    if (n >= BUFFER_FORMAT_HEAD && buffer_format_head_get(p, data[0], &head))
        ASSERT(head.type == BUFFER_TYPE_DATA || head.length <= BUFFER_FORMAT_COMMIT_MAX);
    rest = bytes_of(p, n);
    while (buffer_format_entry_get(&rest, &key, &value)) {
        char again[BUFFER_FORMAT_ENTRY_MAX];
        size_t written = buffer_format_entry_put(again, key, value);

        ASSERT(key.n <= BUFFER_FORMAT_KEY_MAX && value.n <= BUFFER_FORMAT_VALUE_MAX);
        ASSERT(rest.p >= p + written && memcmp(rest.p - written, again, written) == 0);
        ASSERT(rest.p + rest.n == p + n);
    }
    free(p);
}

static void check_docker(const uint8_t *data, size_t n)
{
    struct tail_position at, back;
    char p[TAIL_POSITION_BYTES], key[TAIL_KEY_BYTES];
    struct tail_id id = {0}, id_back;
    uint64_t source, source_back;
    size_t length;
    bool has_source;

    if (tail_position_read(bytes_of(data, n), &at)) {
        ASSERT(at.done >= at.resume && at.marker_n <= TAIL_MARKER_BYTES);
        length = tail_position_write(&at, p);
        ASSERT(tail_position_read(bytes_of(p, length), &back));
        ASSERT(back.resume == at.resume && back.done == at.done && back.made == at.made &&
               back.complete == at.complete && back.in_long_line == at.in_long_line &&
               back.time_known == at.time_known && back.time_ns == at.time_ns &&
               back.marker == at.marker && back.marker_n == at.marker_n && back.drawn == at.drawn &&
               back.head_n == at.head_n &&
               (at.head_n == 0 || (back.head == at.head && back.inode == at.inode)));
    }
    id.kind = n % 2 ? TAIL_ID_PATH : TAIL_ID_CONTAINER;
    memcpy(id.bytes, data, MIN(n, sizeof id.bytes));
    memcpy(&source, data, sizeof source);
    source >>= 8;
    length = tail_position_key(&id, &source, key);
    ASSERT(tail_position_key_read(bytes_of(key, length), &id_back, &has_source, &source_back));
    ASSERT(memcmp(&id, &id_back, sizeof id) == 0 && has_source && source_back == source);
    if (tail_position_key_read(bytes_of(data, n), &id_back, &has_source, &source_back)) {
        length = tail_position_key(&id_back, has_source ? &source_back : NULL, key);
        ASSERT(length == n && memcmp(key, data, n) == 0);
    }
}

/* ---- the map ---- */

#define KEYS 16

struct model {
    uint8_t value[KEYS]; /* 0: not there */
    uint8_t committed[KEYS];
};

static void take(void *arg, struct bytes key, struct bytes value)
{
    uint8_t *seen = arg;

    ASSERT(key.n == 2 && (unsigned char)key.p[0] < KEYS && value.n == 1);
    ASSERT(seen[(unsigned char)key.p[0]] == 0);
    seen[(unsigned char)key.p[0]] = (uint8_t)value.p[0];
}

static void check_map(struct buffer_positions *m, const struct model *model)
{
    char to[KEYS * 8];
    uint8_t seen[KEYS] = {0};
    uint32_t count;
    struct bytes rest, key, value;
    size_t dirty = 0;

    buffer_positions_each(m, take, seen);
    ASSERT(memcmp(seen, model->value, sizeof seen) == 0);

    memcpy(seen, model->committed, sizeof seen);
    rest = bytes_of(to, buffer_positions_put_dirty(m, to, &count));
    ASSERT(rest.n == buffer_positions_dirty_bytes(m));
    while (buffer_format_entry_get(&rest, &key, &value)) {
        seen[(unsigned char)key.p[0]] = value.n ? (uint8_t)value.p[0] : 0;
        dirty++;
    }
    ASSERT(dirty == count && rest.n == 0);
    ASSERT(memcmp(seen, model->value, sizeof seen) == 0);
    ASSERT(buffer_positions_dirty(m) == (count > 0));

    memset(seen, 0, sizeof seen);
    rest = bytes_of(to, buffer_positions_put_committed(m, to, &count));
    while (buffer_format_entry_get(&rest, &key, &value))
        take(seen, key, value);
    ASSERT(rest.n == 0 && memcmp(seen, model->committed, sizeof seen) == 0);
}

static void check_positions(const uint8_t *data, size_t n)
{
    struct buffer_positions *m = buffer_positions_create();
    struct model model = {{0}, {0}};

    for (size_t i = 0; i + 1 < n && i < 400; i += 2) {
        char key[2] = {(char)(data[i] % KEYS), 'k'};

        if (data[i] >= 240) {
            buffer_positions_clean(m);
            memcpy(model.committed, model.value, sizeof model.value);
        } else {
            ASSERT(buffer_positions_set(m, bytes_of(key, 2),
                                        bytes_of(&data[i + 1], data[i + 1] != 0),
                                        BUFFER_FORMAT_POSITIONS_MAX));
            model.value[data[i] % KEYS] = data[i + 1];
        }
        check_map(m, &model);
    }
    buffer_positions_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 8)
        return 0;
    check_header(data, n);
    check_slot(data, n);
    check_head(data, n);
    check_bytes(data, n);
    check_docker(data, n);
    check_positions(data, n);
    return 0;
}

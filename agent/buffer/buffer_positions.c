#include "agent/buffer/buffer_positions.h"

#include "agent/base/hash.h"
#include "agent/buffer/buffer_format.h"

#include <stdlib.h>

struct entry {
    uint64_t hash;
    size_t slot;      /* where in table it stands */
    size_t dirty_at;  /* where in dirty, plus one; 0: unchanged */
    uint16_t cap;     /* of each of the two values */
    uint16_t value_n; /* 0: removed, to be told by the next commit */
    uint16_t old_n;   /* 0: was not there */
    uint8_t key_n;
    char data[]; /* key, value, and, while it is dirty, the value of the last commit */
};

/* Open addressing with linear probing; at most half full, so that a probe ends soon. */
struct buffer_positions {
    struct entry **table;
    size_t cap, n; /* n counts removed entries that are still dirty */
    struct entry **dirty;
    size_t n_dirty, dirty_cap;
    size_t all_bytes;   /* encoded size of the living */
    size_t dirty_bytes; /* encoded size of the changed */
    uint64_t seed;
};

static struct bytes key_of(const struct entry *e)
{
    return bytes_of(e->data, e->key_n);
}

static struct bytes value_of(const struct entry *e)
{
    return bytes_of(e->data + e->key_n, e->value_n);
}

static struct bytes committed_value_of(const struct entry *e)
{
    return e->dirty_at ? bytes_of(e->data + e->key_n + e->cap, e->old_n) : value_of(e);
}

static size_t entry_bytes(const struct entry *e)
{
    return BUFFER_FORMAT_ENTRY_HEAD + (size_t)e->key_n + e->value_n;
}

struct buffer_positions *buffer_positions_create(void)
{
    struct buffer_positions *m = base_calloc(1, sizeof *m);

    m->cap = 64;
    m->table = base_calloc(m->cap, sizeof *m->table);
    hash_random(&m->seed, sizeof m->seed);
    return m;
}

void buffer_positions_free(struct buffer_positions *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->cap; i++)
        free(m->table[i]);
    free(m->table);
    free(m->dirty);
    free(m);
}

/* The slot of key, or the free one where it belongs. */
static size_t find(const struct buffer_positions *m, uint64_t hash, struct bytes key)
{
    size_t i = hash & (m->cap - 1);

    while (m->table[i] && (m->table[i]->hash != hash || !bytes_equal(key_of(m->table[i]), key)))
        i = (i + 1) & (m->cap - 1);
    return i;
}

static void grow(struct buffer_positions *m)
{
    struct entry **old = m->table;
    size_t old_cap = m->cap;

    m->cap *= 2;
    m->table = base_calloc(m->cap, sizeof *m->table);
    for (size_t i = 0; i < old_cap; i++) {
        size_t k;

        if (!old[i])
            continue;
        for (k = old[i]->hash & (m->cap - 1); m->table[k]; k = (k + 1) & (m->cap - 1))
            ;
        m->table[k] = old[i];
        old[i]->slot = k;
    }
    free(old);
}

static void mark_dirty(struct buffer_positions *m, struct entry *e)
{
    if (e->dirty_at)
        return;
    if (m->n_dirty == m->dirty_cap) {
        m->dirty_cap = MAX(m->dirty_cap * 2, (size_t)64);
        m->dirty = base_realloc(m->dirty, m->dirty_cap * sizeof *m->dirty);
    }
    m->dirty[m->n_dirty++] = e;
    e->dirty_at = m->n_dirty;
    e->old_n = e->value_n;
    memcpy(e->data + e->key_n + e->cap, e->data + e->key_n, e->value_n);
    m->dirty_bytes += entry_bytes(e);
}

static struct entry *add(struct buffer_positions *m, uint64_t hash, size_t i, struct bytes key,
                         size_t cap)
{
    struct entry *e = base_alloc(sizeof *e + key.n + 2 * cap);

    *e = (struct entry){.hash = hash, .slot = i, .cap = (uint16_t)cap, .key_n = (uint8_t)key.n};
    memcpy(e->data, key.p, key.n);
    m->table[i] = e;
    m->n++;
    return e;
}

/* Makes room for a longer value. */
static struct entry *widen(struct buffer_positions *m, struct entry *e, size_t cap)
{
    size_t was = e->cap;

    e = base_realloc(e, sizeof *e + e->key_n + 2 * cap);
    memmove(e->data + e->key_n + cap, e->data + e->key_n + was, was);
    e->cap = (uint16_t)cap;
    m->table[e->slot] = e;
    if (e->dirty_at)
        m->dirty[e->dirty_at - 1] = e;
    return e;
}

bool buffer_positions_set(struct buffer_positions *m, struct bytes key, struct bytes value,
                          size_t max_bytes)
{
    uint64_t hash = hash_64(m->seed, key.p, key.n);
    size_t i = find(m, hash, key);
    struct entry *e = m->table[i];
    size_t was;

    ASSERT(key.n <= BUFFER_FORMAT_KEY_MAX && value.n <= BUFFER_FORMAT_VALUE_MAX);
    if (e ? bytes_equal(value_of(e), value) : value.n == 0)
        return true;
    was = e && e->value_n ? entry_bytes(e) : 0;
    if (m->dirty_bytes + BUFFER_FORMAT_ENTRY_MAX > 2 * BUFFER_FORMAT_POSITIONS_MAX)
        return false;
    if (value.n && m->all_bytes - was + BUFFER_FORMAT_ENTRY_HEAD + key.n + value.n > max_bytes)
        return false;
    if (!e) {
        if (2 * (m->n + 1) > m->cap) {
            grow(m);
            i = find(m, hash, key);
        }
        e = add(m, hash, i, key, value.n);
    } else if (value.n > e->cap) {
        e = widen(m, e, value.n);
    }
    mark_dirty(m, e);
    m->dirty_bytes -= entry_bytes(e);
    e->value_n = (uint16_t)value.n;
    if (value.n)
        memcpy(e->data + e->key_n, value.p, value.n);
    m->dirty_bytes += entry_bytes(e);
    m->all_bytes += (value.n ? entry_bytes(e) : 0) - was;
    return true;
}

void buffer_positions_each(const struct buffer_positions *m,
                           void (*fn)(void *arg, struct bytes key, struct bytes value), void *arg)
{
    for (size_t i = 0; i < m->cap; i++) {
        const struct entry *e = m->table[i];

        if (e && e->value_n)
            fn(arg, key_of(e), value_of(e));
    }
}

bool buffer_positions_dirty(const struct buffer_positions *m)
{
    return m->n_dirty > 0;
}

size_t buffer_positions_all_bytes(const struct buffer_positions *m)
{
    return m->all_bytes;
}

size_t buffer_positions_dirty_bytes(const struct buffer_positions *m)
{
    return m->dirty_bytes;
}

size_t buffer_positions_put_dirty(const struct buffer_positions *m, char *to, uint32_t *count)
{
    size_t n = 0;

    for (size_t i = 0; i < m->n_dirty; i++)
        n += buffer_format_entry_put(to + n, key_of(m->dirty[i]), value_of(m->dirty[i]));
    *count = (uint32_t)m->n_dirty;
    return n;
}

size_t buffer_positions_put_committed(const struct buffer_positions *m, char *to, uint32_t *count)
{
    size_t n = 0;

    *count = 0;
    for (size_t i = 0; i < m->cap; i++) {
        if (!m->table[i] || committed_value_of(m->table[i]).n == 0)
            continue;
        n += buffer_format_entry_put(to + n, key_of(m->table[i]), committed_value_of(m->table[i]));
        ++*count;
    }
    return n;
}

/* Takes e out of the table and closes the gap in its run. */
static void forget(struct buffer_positions *m, struct entry *e)
{
    size_t hole = e->slot, i = hole;

    for (;;) {
        size_t home;

        i = (i + 1) & (m->cap - 1);
        if (!m->table[i])
            break;
        home = m->table[i]->hash & (m->cap - 1);
        /* It may move into the hole only when its home does not lie between hole and i. */
        if (((i - home) & (m->cap - 1)) < ((i - hole) & (m->cap - 1)))
            continue;
        m->table[hole] = m->table[i];
        m->table[hole]->slot = hole;
        hole = i;
    }
    m->table[hole] = NULL;
    m->n--;
    free(e);
}

void buffer_positions_clean(struct buffer_positions *m)
{
    for (size_t i = 0; i < m->n_dirty; i++) {
        struct entry *e = m->dirty[i];

        e->dirty_at = 0;
        if (!e->value_n)
            forget(m, e);
    }
    m->n_dirty = 0;
    m->dirty_bytes = 0;
}

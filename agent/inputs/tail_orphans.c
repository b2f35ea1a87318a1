#include "agent/inputs/tail_orphans.h"

#include "agent/inputs/tail_files.h"

#include <stdlib.h>

struct tail_orphan {
    struct tail_id id;
    bool has_source, taken;
    uint64_t source;
    struct tail_position position;
};

static int by_id(const void *a, const void *b)
{
    const struct tail_orphan *x = a, *y = b;

    return memcmp(x->id.bytes, y->id.bytes, TAIL_ID_BYTES);
}

static void take(void *arg, struct bytes key, struct bytes value)
{
    struct tail_orphans *o = arg;
    struct tail_orphan one = {0};

    if (!tail_position_key_read(key, &one.id, &one.has_source, &one.source) ||
        one.id.kind != o->kind || !tail_position_read(value, &one.position))
        return;
    if (o->n == o->cap) {
        o->cap = MAX(o->cap * 2, (size_t)64);
        o->list = base_realloc(o->list, o->cap * sizeof *o->list);
    }
    o->list[o->n++] = one;
}

void tail_orphans_take(struct tail_orphans *o, struct buffer *b, char kind)
{
    *o = (struct tail_orphans){.kind = kind};
    buffer_position_each(b, take, o);
    if (o->n)
        qsort(o->list, o->n, sizeof *o->list, by_id);
}

bool tail_orphans_restore(struct tail_orphans *o, struct tail_log *log)
{
    struct tail_orphan key = {.id = log->id}, *one, *end;

    if (o->n == 0)
        return false;
    one = bsearch(&key, o->list, o->n, sizeof *one, by_id);
    if (!one)
        return false;
    end = o->list + o->n;
    while (one > o->list && by_id(one - 1, &key) == 0)
        one--;
    for (; one < end && by_id(one, &key) == 0; one++) {
        if (one->taken)
            continue;
        one->taken = true;
        if (one->has_source)
            tail_files_restore(log, one->source, &one->position);
        else
            log->has_own_entry = log->same_boot =
                (uint64_t)one->position.time_ns == log->shared->boot;
    }
    return true;
}

struct tail_file *tail_orphans_adopt(struct tail_orphans *o, struct tail_log *log, uint64_t inode,
                                     size_t *at)
{
    while (*at < o->n) {
        struct tail_orphan *one = &o->list[(*at)++];
        char key[TAIL_KEY_BYTES];
        size_t n;

        if (one->taken || !one->has_source || one->position.head_n == 0 ||
            one->position.inode != inode)
            continue;
        one->taken = true;
        n = tail_position_key(&one->id, &one->source, key);
        buffer_position_set(log->shared->buffer, bytes_of(key, n), BYTES_NONE);
        tail_files_restore(log, one->source, &one->position);
        tail_files_move(log->known, log);
        return log->known;
    }
    return NULL;
}

void tail_orphans_drop(struct tail_orphans *o, struct buffer *b)
{
    for (size_t i = 0; i < o->n; i++) {
        const struct tail_orphan *one = &o->list[i];
        char key[TAIL_KEY_BYTES];
        size_t n;

        if (one->taken)
            continue;
        n = tail_position_key(&one->id, one->has_source ? &one->source : NULL, key);
        buffer_position_set(b, bytes_of(key, n), BYTES_NONE);
    }
    tail_orphans_fini(o);
}

void tail_orphans_fini(struct tail_orphans *o)
{
    free(o->list);
    *o = (struct tail_orphans){.kind = o->kind};
}

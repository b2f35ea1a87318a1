#include "agent/base/tally.h"

#include <pthread.h>
#include <stdlib.h>

#define KEPT 512 /* more are forgotten when nobody holds them */

static struct tally *all;
static size_t n_all;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct tally **find(struct bytes name)
{
    struct tally **at = &all;

    while (*at && !bytes_equal(bytes_of((*at)->name, (*at)->n), name))
        at = &(*at)->next;
    return at;
}

struct tally *tally_take(struct bytes name)
{
    struct tally **at, *t;

    name.n = MIN(name.n, sizeof((struct tally_row *)0)->name);
    if (name.n == 0)
        return NULL;
    pthread_mutex_lock(&lock);
    at = find(name);
    if (!*at) {
        *at = base_calloc(1, sizeof **at + name.n);
        (*at)->n = name.n;
        memcpy((*at)->name, name.p, name.n);
        n_all++;
    }
    t = *at;
    t->holders++;
    pthread_mutex_unlock(&lock);
    return t;
}

void tally_put(struct tally *t)
{
    struct tally **at;

    if (!t)
        return;
    pthread_mutex_lock(&lock);
    ASSERT(t->holders > 0);
    if (--t->holders == 0 && n_all > KEPT) {
        at = find(bytes_of(t->name, t->n));
        *at = t->next;
        free(t);
        n_all--;
    }
    pthread_mutex_unlock(&lock);
}

static void set_row(struct tally_row *row, const struct tally *t, uint64_t records)
{
    row->records = records;
    row->bytes = atomic_load_explicit(&t->bytes, memory_order_relaxed);
    row->n = t->n;
    memcpy(row->name, t->name, t->n);
}

size_t tally_top(struct tally_row rows[TALLY_TOP])
{
    size_t n = 0;

    pthread_mutex_lock(&lock);
    for (const struct tally *t = all; t; t = t->next) {
        uint64_t records = atomic_load_explicit(&t->records, memory_order_relaxed);
        size_t at = n;

        while (at > 0 && rows[at - 1].records < records)
            at--;
        if (records == 0 || at == TALLY_TOP)
            continue;
        n = MIN(n + 1, (size_t)TALLY_TOP);
        memmove(rows + at + 1, rows + at, (n - 1 - at) * sizeof *rows);
        set_row(&rows[at], t, records);
    }
    pthread_mutex_unlock(&lock);
    return n;
}

#include "agent/inputs/watch_table.h"

#include "agent/base/base.h"

#include <stdlib.h>

struct watch_table_entry {
    struct watch_table_entry *next;
    int wd;
    void *of;
};

static struct watch_table_entry **at(struct watch_table *t, int wd)
{
    struct watch_table_entry **e = &t->buckets[(unsigned)wd % WATCH_TABLE_BUCKETS];

    while (*e && (*e)->wd != wd)
        e = &(*e)->next;
    return e;
}

void watch_table_put(struct watch_table *t, int wd, void *of)
{
    struct watch_table_entry **e = at(t, wd);

    ASSERT(wd >= 0 && of);
    if (!*e)
        *e = base_calloc(1, sizeof **e);
    (*e)->wd = wd;
    (*e)->of = of;
}

void *watch_table_get(const struct watch_table *t, int wd)
{
    const struct watch_table_entry *e = t->buckets[(unsigned)wd % WATCH_TABLE_BUCKETS];

    while (e && e->wd != wd)
        e = e->next;
    return e ? e->of : NULL;
}

void *watch_table_take(struct watch_table *t, int wd)
{
    struct watch_table_entry **e = at(t, wd), *found = *e;
    void *of = found ? found->of : NULL;

    if (found)
        *e = found->next;
    free(found);
    return of;
}

void watch_table_fini(struct watch_table *t, void (*gone)(void *of))
{
    for (unsigned i = 0; i < WATCH_TABLE_BUCKETS; i++)
        for (struct watch_table_entry *e; (e = t->buckets[i]);) {
            t->buckets[i] = e->next;
            if (gone)
                gone(e->of);
            free(e);
        }
}

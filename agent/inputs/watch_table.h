/*
 * watch_table: what each watch descriptor of one inotify instance watches for us. inotify gives the
 * same descriptor to whoever asks for the same folder, whatever path leads there: it is the last
 * one's here that asked. One thread at a time.
 */
#ifndef BARGE_WATCH_TABLE_H
#define BARGE_WATCH_TABLE_H

#define WATCH_TABLE_BUCKETS 1024

/* Zeroed: empty. */
struct watch_table {
    struct watch_table_entry *buckets[WATCH_TABLE_BUCKETS];
};

/* of: borrowed, not NULL. */
void watch_table_put(struct watch_table *t, int wd, void *of);
/* NULL: nobody's, as for events of a watch that was let go while they waited in the kernel. */
void *watch_table_get(const struct watch_table *t, int wd);
/* Forgets wd, and returns whose it was; NULL: nobody's. */
void *watch_table_take(struct watch_table *t, int wd);

/* Forgets all, each by gone(of); NULL: nothing is to be done about them. */
void watch_table_fini(struct watch_table *t, void (*gone)(void *of));

#endif

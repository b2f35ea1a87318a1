/*
 * buffer_positions: the map of read positions that every commit carries forward. It remembers what
 * changed since the last commit. Entries have no order. One thread (the writer, or recovery).
 */
#ifndef BARGE_BUFFER_POSITIONS_H
#define BARGE_BUFFER_POSITIONS_H

#include "agent/base/base.h"

struct buffer_positions;

struct buffer_positions *buffer_positions_create(void);
void buffer_positions_free(struct buffer_positions *m);

/* Sets key to value, or removes it (value.n == 0); both are copied. false when a new key would lift
 * the map's encoded size beyond max_bytes, or the next commit beyond what a commit may hold:
 * nothing is changed then. */
bool buffer_positions_set(struct buffer_positions *m, struct bytes key, struct bytes value,
                          size_t max_bytes);

void buffer_positions_each(const struct buffer_positions *m,
                           void (*fn)(void *arg, struct bytes key, struct bytes value), void *arg);

/* Whether anything changed since buffer_positions_clean. */
bool buffer_positions_dirty(const struct buffer_positions *m);

/* Bytes that put would write. */
size_t buffer_positions_all_bytes(const struct buffer_positions *m);
size_t buffer_positions_dirty_bytes(const struct buffer_positions *m);

/* Writes what changed since, or everything as the last commit left it, as entries of buffer_format;
 * returns the bytes and sets *count. */
size_t buffer_positions_put_dirty(const struct buffer_positions *m, char *to, uint32_t *count);
size_t buffer_positions_put_committed(const struct buffer_positions *m, char *to, uint32_t *count);

/* What changed is on disk now. */
void buffer_positions_clean(struct buffer_positions *m);

#endif

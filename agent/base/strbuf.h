/*
 * strbuf: bytes that grow. For everything that is not the hot path: status pages, messages, state
 * files. One owner, no locking. A zeroed struct is an empty strbuf.
 */
#ifndef BARGE_STRBUF_H
#define BARGE_STRBUF_H

#include "agent/base/base.h"

struct strbuf {
    char *p; /* owned; always NUL-terminated behind n once anything was added */
    size_t n;
    size_t cap;
};

/* Gives the memory back and leaves *b empty and usable. */
void strbuf_fini(struct strbuf *b);

/* Forgets the contents, keeps the memory. */
static inline void strbuf_clear(struct strbuf *b)
{
    b->n = 0;
}

/* Makes room for n more bytes (and a NUL) and returns where they go; the caller adds to b->n
 * itself. */
char *strbuf_room(struct strbuf *b, size_t n);

/* By how many bytes strbuf_room(b, n) would make its memory larger. */
size_t strbuf_growth(const struct strbuf *b, size_t n);

void strbuf_add(struct strbuf *b, const void *p, size_t n);
void strbuf_add_bytes(struct strbuf *b, struct bytes s);
void strbuf_add_str(struct strbuf *b, const char *s);
void strbuf_add_char(struct strbuf *b, char c);
void strbuf_printf(struct strbuf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Adds s as a JSON string with its quotes: RFC 8259 escapes, each invalid UTF-8 byte as U+FFFD. */
void strbuf_add_json(struct strbuf *b, struct bytes s);

static inline struct bytes strbuf_bytes(const struct strbuf *b)
{
    return (struct bytes){b->p, b->n};
}

#endif

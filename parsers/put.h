/*
 * put: short copies into a document, without calls. For the hot path; each returns where the next
 * byte goes.
 */
#ifndef BARGE_PUT_H
#define BARGE_PUT_H

#include "agent/base/base.h"

#define PUT_CALL 512 /* bytes from which on a call of memcpy costs less */

static inline void put_block(char *to, const char *p)
{
    memcpy(to, p, 16);
}

/* n bytes. Never reads or writes beyond them: the last block overlaps the one before. */
static inline __attribute__((always_inline)) char *put(char *to, const char *p, size_t n)
{
    if (LIKELY(n >= 16)) {
        char *end = to + n;
        const char *last = p + n - 16;

        if (UNLIKELY(n > PUT_CALL)) {
            memcpy(to, p, n);
            return end;
        }
        for (; p + 16 < last; p += 32, to += 32) {
            put_block(to, p);
            put_block(to + 16, p + 16);
        }
        if (p < last)
            put_block(to, p);
        put_block(end - 16, last);
        return end;
    }
    if (n >= 8) {
        uint64_t a, b;

        memcpy(&a, p, 8);
        memcpy(&b, p + n - 8, 8);
        memcpy(to, &a, 8);
        memcpy(to + n - 8, &b, 8);
    } else if (n >= 4) {
        uint32_t a, b;

        memcpy(&a, p, 4);
        memcpy(&b, p + n - 4, 4);
        memcpy(to, &a, 4);
        memcpy(to + n - 4, &b, 4);
    } else {
        for (size_t i = 0; i < n; i++)
            to[i] = p[i];
    }
    return to + n;
}

/* The same where it is not worth the room. */
char *put_bytes(char *to, struct bytes s);

/* The inside of a JSON string, with quotes. */
char *put_string(char *to, struct bytes inside);

/* A literal. */
#define PUT(to, literal) (memcpy((to), (literal), sizeof(literal) - 1), (to) + sizeof(literal) - 1)

/* v in decimal, at most 20 bytes; up to 8 more may be written behind it. */
char *put_decimal(char *to, uint64_t v);

#endif

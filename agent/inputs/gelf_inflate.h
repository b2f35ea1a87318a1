/*
 * gelf_inflate: gzip (RFC 1952) and zlib (RFC 1950, any window size) as GELF senders use them. One
 * z_stream, used again for every message; one output buffer of which only what is used takes
 * memory.
 *
 * Against bombs: no message inflates beyond max_message, and what is inflated beyond 32 times its
 * size is paid from a budget of 16 MiB that refills by 4 MiB a second. So one message may be as
 * compressible as it likes, and a flood of bombs costs a tenth of a core, also when what comes out
 * is JSON of the dearest kind. deflate's limit is 1032:1; ordinary messages stay below 20:1.
 *
 * Refused: a preset dictionary, a wrong checksum or length, a stream that ends early, anything
 * behind its end (a second gzip member included: no GELF sender makes one).
 *
 * No clock of its own. One thread.
 */
#ifndef BARGE_GELF_INFLATE_H
#define BARGE_GELF_INFLATE_H

#include "agent/base/base.h"

struct gelf_inflater;

struct gelf_inflater *gelf_inflater_create(size_t max_message);
void gelf_inflater_free(struct gelf_inflater *f);

/* Whether the first two bytes are gzip's magic or a zlib header. JSON never begins with either. */
static inline bool gelf_inflate_is_compressed(struct bytes s)
{
    const unsigned char *p = (const unsigned char *)s.p;

    if (s.n < 2)
        return false;
    if (p[0] == 0x1f)
        return p[1] == 0x8b;
    return (p[0] & 0x0f) == 8 && p[0] >> 4 <= 7 && (p[0] * 256 + p[1]) % 31 == 0;
}

/* Inflates the whole of in, for which gelf_inflate_is_compressed holds. now_ms: monotonic, for the
 * budget. *out is valid until the next call. false: it is no such stream, or too large. */
bool gelf_inflate(struct gelf_inflater *f, struct bytes in, uint64_t now_ms, struct bytes *out);

#endif

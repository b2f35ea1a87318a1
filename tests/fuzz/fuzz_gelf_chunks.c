/*
 * A run of datagrams against the chunk table. The input: for each datagram a byte each of sender,
 * milliseconds passed (times 64), and length, then the bytes; ids are short, so that they meet.
 * What must hold: memory stays below the pool, a complete message is as long as its chunks, and
 * nothing is left when all has been given up.
 */
#include "agent/inputs/gelf_chunks.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct gelf_chunks *c = gelf_chunks_create(0); /* the smallest pool: 256 KiB */
    uint64_t now = 0;
    size_t at = 0;

    while (at + 6 <= n) {
        const uint8_t *d = data + at;
        size_t length = d[2] * (d[0] & 0x80 ? 250u : 1u);
        /* A chunk of its own memory, so that a read beyond it is found. */
        char *chunk = base_calloc(1, 12 + length);
        struct gelf_sender from = {.port = d[0] & 0x7f};
        struct bytes message;

        now += d[1] * 64u;
        memcpy(chunk, "\x1e\x0f", 2);
        chunk[2] = (char)(d[3] & 3);
        chunk[10] = (char)d[4];
        chunk[11] = (char)d[5];
        at += 6;
        for (size_t i = 0; i < length && at < n; i++)
            chunk[12 + i] = (char)data[at + i % (n - at)];
        if (gelf_chunks_add(c, &from, bytes_of(chunk, d[3] & 0x80 ? 2u + d[2] % 11 : 12 + length),
                            now, &message) == GELF_CHUNK_COMPLETE) {
            volatile char sum = 0;

            for (size_t i = 0; i < message.n; i++)
                sum = (char)(sum + message.p[i]);
        }
        ASSERT(gelf_chunks_stats(c)->bytes <= 256 * 1024);
        ASSERT((gelf_chunks_stats(c)->chunks == 0) == (gelf_chunks_next_ms(c) == UINT64_MAX));
        free(chunk);
    }
    gelf_chunks_give_up(c);
    ASSERT(gelf_chunks_stats(c)->chunks == 0);
    ASSERT(gelf_chunks_stats(c)->bytes == 0);
    gelf_chunks_free(c);
    return 0;
}

/*
 * A run of datagrams against the chunk table. The input: for each datagram a byte each of sender,
 * milliseconds passed (times 64), length, id, index and count; ids are short, so that they meet. A
 * chunk's bytes follow from its sender, id and index. What must hold: memory stays below the pool,
 * a complete message is its chunks one behind the other whatever came between, and nothing is left
 * when all has been given up.
 */
#include "agent/inputs/gelf_chunks.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* How long a chunk is, and what its k-th byte is. */
static size_t length_of(const uint8_t *d, unsigned index)
{
    return (d[2] & 0x0f) == 7 ? (size_t)((d[0] * 7919u + d[3] * 31u + index * 1009u) % 65000)
                              : (d[0] + d[3] + index * 37u) % 700;
}

static char byte_of(const uint8_t *d, unsigned index, size_t k)
{
    return (char)(d[0] * 3u + (d[3] & 3u) * 5u + index * 7u + k);
}

static void check_message(const uint8_t *d, struct bytes m)
{
    size_t at = 0;

    for (unsigned index = 0; index < d[5]; index++)
        for (size_t k = 0, n = length_of(d, index); k < n; k++, at++)
            ASSERT(at < m.n && m.p[at] == byte_of(d, index, k));
    ASSERT(at == m.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct gelf_chunks *c = gelf_chunks_create(0); /* the smallest pool: 256 KiB */
    uint64_t now = 0;

    for (size_t at = 0; at + 6 <= n; at += 6) {
        /* The length depends on what makes a message one, and not on the single chunk. */
        uint8_t d[6] = {data[at] & 0x7f,  data[at + 1], data[at] & 0x0f,
                        data[at + 3] & 3, data[at + 4], data[at + 5]};
        size_t length = length_of(d, d[4]);
        bool cut = data[at + 3] & 0x80;
        size_t whole = cut ? 2u + data[at + 2] % 10 : 12 + length;
        /* A chunk of its own memory, so that a read beyond it is found. */
        char *chunk = base_calloc(1, MAX(whole, (size_t)12));
        struct gelf_sender from = {.port = d[0]};
        struct bytes message;
        enum gelf_chunk_result result;

        now += d[1] * 64u;
        memcpy(chunk, "\x1e\x0f", 2);
        chunk[2] = (char)d[3];
        chunk[10] = (char)d[4];
        chunk[11] = (char)d[5];
        for (size_t k = 0; !cut && k < length; k++)
            chunk[12 + k] = byte_of(d, d[4], k);
        result = gelf_chunks_add(c, &from, bytes_of(chunk, whole), now, &message);
        ASSERT((result == GELF_CHUNK_BAD) ||
               (!cut && d[5] >= 1 && d[5] <= GELF_CHUNK_MAX_COUNT && d[4] < d[5]));
        if (result == GELF_CHUNK_COMPLETE)
            check_message(d, message);
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

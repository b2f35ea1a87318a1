/*
 * Any bytes as a rotated file that was compressed: reading it in pieces, at once, forwards and back
 * gives the same text, and the one that zlib gives where the file is whole. The first two bytes say
 * how it is read.
 */
#include "agent/inputs/tail_gz.h"

#include "agent/base/strbuf.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define TEXT_MAX (4u << 20)

static ssize_t read_at(struct tail_gz *gz, void *to, size_t n, uint64_t at)
{
    ssize_t got;

    while ((got = tail_gz_pread(gz, to, n, at)) < 0 && errno == EAGAIN)
        ;
    return got;
}

/* All of it, `step` bytes at a time. false: it cannot be read. */
static bool read_all(int fd, size_t step, struct strbuf *to, bool *broken)
{
    struct tail_gz *gz = tail_gz_open(fd);
    ssize_t got = 0;

    ASSERT(gz);
    do {
        char *room = strbuf_room(to, step);

        got = read_at(gz, room, step, to->n);
        ASSERT(got <= (ssize_t)step);
        if (got > 0)
            to->n += (size_t)got;
    } while (got == (ssize_t)step && to->n < TEXT_MAX);
    *broken = got >= 0 && tail_gz_broken(gz);
    tail_gz_close(gz);
    return got >= 0;
}

/* What zlib makes of whole members one behind the other, zeros behind each left out; false when
 * they are not. */
static bool reference(struct bytes in, struct strbuf *to)
{
    bool between = false;

    while (in.n) {
        z_stream z = {0};
        int result;

        if (between && in.p[0] == 0) {
            in = bytes_of(in.p + 1, in.n - 1);
            continue;
        }
        ASSERT(inflateInit2(&z, 15 + 16) == Z_OK);
        z.next_in = (Bytef *)(uintptr_t)in.p;
        z.avail_in = (uInt)in.n;
        do {
            z.next_out = (Bytef *)strbuf_room(to, 1 << 16);
            z.avail_out = 1 << 16;
            result = inflate(&z, Z_NO_FLUSH);
            to->n += (1 << 16) - z.avail_out;
        } while (result == Z_OK && to->n < TEXT_MAX);
        in = bytes_of((const char *)z.next_in, z.avail_in);
        inflateEnd(&z);
        if (result != Z_STREAM_END)
            return false;
        between = true;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct strbuf once = {0}, pieces = {0}, real = {0};
    bool broken_once, broken_pieces, fine, whole;
    int fd;

    if (n < 2)
        return 0;
    fd = memfd_create("gz", MFD_CLOEXEC);
    ASSERT(fd >= 0 && write(fd, data + 2, n - 2) == (ssize_t)(n - 2));
    fine = read_all(fd, TEXT_MAX, &once, &broken_once);
    ASSERT(read_all(fd, 1 + data[0] * 61u, &pieces, &broken_pieces) == fine);
    if (fine && once.n < TEXT_MAX) {
        ASSERT(bytes_equal(strbuf_bytes(&once), strbuf_bytes(&pieces)));
        ASSERT(broken_once == broken_pieces);
    }
    whole = n > 2 && reference(bytes_of(data + 2, n - 2), &real);
    if (whole && real.n < TEXT_MAX) {
        ASSERT(fine && !broken_once && bytes_equal(strbuf_bytes(&once), strbuf_bytes(&real)));
    } else if (real.n < TEXT_MAX && fine && once.n < TEXT_MAX) {
        /* Of a damaged one what zlib gives before the damage, and nothing else. */
        ASSERT(once.n <= real.n && memcmp(once.p ? once.p : "", real.p ? real.p : "", once.n) == 0);
    }
    if (fine && once.n > 0 && once.n < TEXT_MAX) {
        struct tail_gz *gz = tail_gz_open(fd);
        char piece[300];

        for (unsigned i = 0; i < 5; i++) {
            uint64_t at = (data[1] * 40503u * (i + 1)) % once.n;
            size_t want = MIN(sizeof piece, once.n - at);

            ASSERT(read_at(gz, piece, want, at) == (ssize_t)want);
            ASSERT(memcmp(piece, once.p + at, want) == 0);
        }
        tail_gz_close(gz);
    }
    close(fd);
    strbuf_fini(&once);
    strbuf_fini(&pieces);
    strbuf_fini(&real);
    return 0;
}

#include "agent/buffer/buffer_scan.h"

#include "agent/base/io.h"

#include <errno.h>
#include <stdlib.h>

#define WINDOW (256u << 10)
#define SECTOR 4096u

void buffer_scan_init(struct buffer_scan *s, int fd, uint32_t key, uint64_t at, uint64_t limit)
{
    *s = (struct buffer_scan){.fd = fd, .key = key, .at = at, .limit = MAX(at, limit)};
    s->window_cap = WINDOW;
    s->window = base_alloc(s->window_cap);
}

void buffer_scan_fini(struct buffer_scan *s)
{
    free(s->window);
    s->window = NULL;
}

void buffer_scan_seek(struct buffer_scan *s, uint64_t at, uint64_t limit)
{
    s->at = at;
    s->limit = MAX(at, limit);
}

ssize_t buffer_scan_pread(int fd, void *to, size_t n, uint64_t at, bool *io_error)
{
    char *p = to;
    size_t done = 0;

    while (done < n) {
        ssize_t got = io_pread(fd, p + done, n - done, (off_t)(at + done));

        if (got < 0 && errno == EIO) {
            size_t step = MIN(n - done, SECTOR - (size_t)((at + done) % SECTOR));

            got = io_pread(fd, p + done, step, (off_t)(at + done));
            if (got < 0) {
                memset(p + done, 0, step);
                *io_error = true;
                got = (ssize_t)step;
            }
        }
        if (got < 0)
            return done ? (ssize_t)done : -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* Up to n bytes from at on; fewer only at the limit, or where the file ends before it. */
static struct bytes look(struct buffer_scan *s, uint64_t at, size_t n)
{
    ssize_t got;

    n = (size_t)MIN((uint64_t)n, s->limit - at);
    if (at >= s->window_at && at + n <= s->window_at + s->window_n)
        return bytes_of(s->window + (at - s->window_at), n);
    if (n > s->window_cap) {
        s->window_cap = n;
        s->window = base_realloc(s->window, n);
    }
    got = buffer_scan_pread(s->fd, s->window, (size_t)MIN((uint64_t)s->window_cap, s->limit - at),
                            at, &s->io_error);
    s->window_at = at;
    s->window_n = got > 0 ? (size_t)got : 0;
    return bytes_of(s->window, MIN(n, s->window_n));
}

/* The checksum in pieces: a document may be larger than the window. */
static bool payload_verifies(struct buffer_scan *s, uint64_t at, const struct buffer_head *h)
{
    uint32_t crc = s->key ^ (uint32_t)h->seq;
    uint64_t done = 0;

    while (done < h->length) {
        struct bytes piece = look(s, at + done, (size_t)MIN((uint64_t)WINDOW, h->length - done));

        if (piece.n == 0)
            return false;
        crc = hash_crc32c(crc, piece.p, piece.n);
        done += piece.n;
    }
    return crc == h->payload_crc;
}

enum buffer_scan_result buffer_scan_next(struct buffer_scan *s, struct buffer_head *h)
{
    struct bytes p;
    uint64_t payload_at = s->at + BUFFER_FORMAT_HEAD;

    s->payload = BYTES_NONE;
    if (s->at == s->limit)
        return BUFFER_SCAN_END;
    p = look(s, s->at, BUFFER_FORMAT_HEAD);
    if (p.n < BUFFER_FORMAT_HEAD || !buffer_format_head_get(p.p, s->key, h) ||
        buffer_format_size(h) > s->limit - s->at)
        return BUFFER_SCAN_BAD_HEAD;
    s->at += buffer_format_size(h);
    if (h->type == BUFFER_TYPE_DATA)
        return payload_verifies(s, payload_at, h) ? BUFFER_SCAN_RECORD : BUFFER_SCAN_BAD_PAYLOAD;
    p = look(s, payload_at, h->length);
    if (p.n < h->length || buffer_format_payload_crc(s->key, h->seq, p.p, p.n) != h->payload_crc)
        return BUFFER_SCAN_BAD_PAYLOAD;
    s->payload = p;
    return BUFFER_SCAN_RECORD;
}

void buffer_scan_resync(struct buffer_scan *s, uint64_t min_seq, uint64_t max_seq)
{
    struct buffer_head h;

    for (s->at++; s->at + BUFFER_FORMAT_HEAD <= s->limit; s->at++) {
        struct bytes p = look(s, s->at, BUFFER_FORMAT_HEAD);

        if (p.n < BUFFER_FORMAT_HEAD)
            break;
        if (buffer_format_head_get(p.p, s->key, &h) && h.seq >= min_seq && h.seq <= max_seq &&
            buffer_format_size(&h) <= s->limit - s->at)
            return;
    }
    s->at = s->limit;
}

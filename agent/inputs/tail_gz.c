#include "agent/inputs/tail_gz.h"

#include "agent/base/io.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#define IN_BYTES 16384
#define WINDOW_MIN 65536
#define SKIP_BYTES_PER_CALL (2u << 20)

struct tail_gz {
    int fd;
    z_stream z;
    uint64_t in_at; /* file offset behind what is in `in` */
    bool ended;     /* no more text, as the file is now */
    bool broken;
    bool between; /* a member has just ended */
    char *window; /* decompressed text from window_at on */
    uint64_t window_at;
    size_t window_n, window_cap;
    unsigned char in[IN_BYTES];
};

struct tail_gz *tail_gz_open(int fd)
{
    struct tail_gz *gz = base_calloc(1, sizeof *gz);

    gz->fd = fd;
    if (inflateInit2(&gz->z, 15 + 16) != Z_OK)
        base_die("out of memory");
    gz->window_cap = WINDOW_MIN;
    gz->window = base_alloc(gz->window_cap);
    return gz;
}

void tail_gz_close(struct tail_gz *gz)
{
    if (!gz)
        return;
    inflateEnd(&gz->z);
    free(gz->window);
    free(gz);
}

static void rewind_text(struct tail_gz *gz)
{
    inflateReset(&gz->z);
    gz->z.avail_in = 0;
    gz->in_at = 0;
    gz->ended = gz->broken = gz->between = false;
    gz->window_at = 0;
    gz->window_n = 0;
}

/* More input. 1, 0 at the end of the file, -1 with errno. */
static int refill(struct tail_gz *gz)
{
    ssize_t n = io_pread(gz->fd, gz->in, sizeof gz->in, (off_t)gz->in_at);

    if (n <= 0)
        return (int)n;
    gz->in_at += (uint64_t)n;
    gz->z.next_in = gz->in;
    gz->z.avail_in = (unsigned)n;
    return 1;
}

static void end_text(struct tail_gz *gz, bool broken)
{
    gz->ended = true;
    gz->broken = broken;
}

/* Decompresses up to n bytes to `to`. Returns how many, 0 when the text has ended; -1 with errno.
 */
static ssize_t inflate_some(struct tail_gz *gz, char *to, size_t n)
{
    gz->z.next_out = (unsigned char *)to;
    gz->z.avail_out = (unsigned)n;
    while (gz->z.avail_out && !gz->ended) {
        unsigned room = gz->z.avail_out;
        bool at_end = false;
        int rc;

        if (gz->z.avail_in == 0) {
            int got = refill(gz);

            if (got < 0 && room < n)
                break; /* what is there first; it will be told again */
            if (got < 0)
                return -1;
            at_end = got == 0;
        }
        if (at_end && gz->between) {
            end_text(gz, false);
            break;
        }
        /* Zeros behind a member are padding. */
        if (gz->between && *gz->z.next_in == 0) {
            gz->z.next_in++;
            gz->z.avail_in--;
            continue;
        }
        if (gz->between) {
            inflateReset(&gz->z);
            gz->between = false;
        }
        rc = inflate(&gz->z, Z_NO_FLUSH);
        if (rc == Z_STREAM_END)
            gz->between = true;
        else if (rc == Z_MEM_ERROR)
            base_die("out of memory");
        else if ((rc != Z_OK && rc != Z_BUF_ERROR) || (at_end && gz->z.avail_out == room))
            end_text(gz, true); /* cut off, and zlib holds nothing back any more */
    }
    return (ssize_t)(n - gz->z.avail_out);
}

static void forget_before(struct tail_gz *gz, uint64_t at)
{
    size_t n = (size_t)MIN(at - gz->window_at, (uint64_t)gz->window_n);

    memmove(gz->window, gz->window + n, gz->window_n - n);
    gz->window_n -= n;
    gz->window_at += n;
}

/* Goes on to `at`, throwing away what lies before it. */
static int skip_to(struct tail_gz *gz, uint64_t at)
{
    size_t work = 0;

    while (gz->window_at < at && !gz->ended) {
        ssize_t got;

        if (work >= SKIP_BYTES_PER_CALL) {
            errno = EAGAIN;
            return -1;
        }
        got =
            inflate_some(gz, gz->window, (size_t)MIN(at - gz->window_at, (uint64_t)gz->window_cap));
        if (got < 0)
            return -1;
        gz->window_at += (uint64_t)got;
        work += (size_t)got;
    }
    return 0;
}

ssize_t tail_gz_pread(struct tail_gz *gz, void *to, size_t n, uint64_t at)
{
    if (at < gz->window_at)
        rewind_text(gz);
    forget_before(gz, at);
    if (skip_to(gz, at) < 0)
        return -1;
    if (gz->window_at < at)
        return 0;
    if (gz->window_cap < n) {
        gz->window_cap = n;
        gz->window = base_realloc(gz->window, n);
    }
    while (gz->window_n < n && !gz->ended) {
        ssize_t got = inflate_some(gz, gz->window + gz->window_n, n - gz->window_n);

        if (got < 0)
            return -1;
        gz->window_n += (size_t)got;
    }
    n = MIN(n, gz->window_n);
    memcpy(to, gz->window, n);
    return (ssize_t)n;
}

bool tail_gz_broken(const struct tail_gz *gz)
{
    return gz->broken;
}

#include "agent/buffer/buffer_state.h"

#include "agent/base/io.h"

#include <errno.h>
#include <fcntl.h>

#define NEW_NAME BUFFER_STATE_NAME ".new"

bool buffer_state_load(int dir, struct buffer_state *s, unsigned *slot, uint32_t *newer)
{
    bool found = false;
    int fd = io_open(dir, BUFFER_STATE_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);

    *newer = 0;
    if (fd < 0)
        return false;
    for (unsigned i = 0; i < 2; i++) {
        char p[BUFFER_FORMAT_SLOT] = {0};
        struct buffer_state one;
        ssize_t got = io_pread(fd, p, sizeof p, (off_t)i * BUFFER_FORMAT_SLOT_STEP);
        uint32_t version;

        if (got < BUFFER_FORMAT_PREAMBLE)
            continue;
        version = buffer_format_version(BUFFER_KIND_STATE, p);
        if (version > BUFFER_FORMAT_VERSION)
            *newer = version;
        if (got < (ssize_t)sizeof p || !buffer_format_slot_get(p, &one))
            continue;
        /* By difference, so that a generation that wraps is still the newer one. */
        if (found && (int64_t)(one.generation - s->generation) <= 0)
            continue;
        *s = one;
        *slot = i;
        found = true;
    }
    io_close(fd);
    return found;
}

/* Writes both slots' blocks, so that later writes in place need no new block. */
static int fill(int fd)
{
    static const char zeros[BUFFER_FORMAT_STATE];

    return io_pwrite_all(fd, zeros, sizeof zeros, 0, NULL);
}

int buffer_state_open(struct buffer_state_file *f, int dir)
{
    struct stat st;
    int fd = io_open(dir, BUFFER_STATE_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0600);

    if (fd < 0)
        return -1;
    if (io_stat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        (st.st_size < BUFFER_FORMAT_STATE && fill(fd) < 0)) {
        int saved = errno;

        io_close(fd);
        errno = saved;
        return -1;
    }
    f->fd = fd;
    return 0;
}

int buffer_state_write(struct buffer_state_file *f, struct buffer_state *s)
{
    char p[BUFFER_FORMAT_SLOT];

    s->generation = f->generation + 1;
    buffer_format_slot_put(p, s);
    if (io_pwrite_all(f->fd, p, sizeof p, (off_t)f->next_slot * BUFFER_FORMAT_SLOT_STEP, NULL) < 0)
        return -1;
    f->generation++;
    f->next_slot ^= 1;
    return 0;
}

int buffer_state_replace(struct buffer_state_file *f, int dir, struct buffer_state *s)
{
    struct buffer_state_file fresh = {.generation = f->generation};
    int saved;

    io_unlink(dir, NEW_NAME);
    fresh.fd = io_open(dir, NEW_NAME, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (fresh.fd < 0)
        return -1;
    if (fill(fresh.fd) < 0 || buffer_state_write(&fresh, s) < 0 || io_fdatasync(fresh.fd) < 0 ||
        io_rename(dir, NEW_NAME, dir, BUFFER_STATE_NAME) < 0) {
        saved = errno;
        io_close(fresh.fd);
        io_unlink(dir, NEW_NAME);
        errno = saved;
        return -1;
    }
    buffer_state_close(f);
    *f = fresh;
    return io_fsync(dir);
}

void buffer_state_close(struct buffer_state_file *f)
{
    if (f->fd >= 0)
        io_close(f->fd);
    f->fd = -1;
}

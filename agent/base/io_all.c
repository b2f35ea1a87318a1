/* What is made of the calls of io.h: apart, so that a disk of a test's own is served by it, too. */
#include "agent/base/io.h"

#include <errno.h>

int io_pwrite_all(int fd, const void *from, size_t n, off_t at, size_t *done)
{
    const char *p = from;
    size_t down = 0;
    int rc = 0;

    while (down < n) {
        ssize_t got = io_pwrite(fd, p + down, n - down, at + (off_t)down);

        if (got < 0) {
            rc = -1;
            break;
        }
        if (got == 0) {
            errno = ENOSPC;
            rc = -1;
            break;
        }
        down += (size_t)got;
    }
    if (done)
        *done = down;
    return rc;
}

#include "agent/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define RETRY(expr)                                                                                \
    ({                                                                                             \
        __typeof__(expr) r_;                                                                       \
        do                                                                                         \
            r_ = (expr);                                                                           \
        while (r_ == -1 && errno == EINTR);                                                        \
        r_;                                                                                        \
    })

int io_open(int dir, const char *path, int flags, mode_t mode)
{
    return RETRY(openat(dir, path, flags | O_CLOEXEC, mode));
}

int io_close(int fd)
{
    /* Linux has released the descriptor even when close says EINTR. */
    return close(fd);
}

ssize_t io_read(int fd, void *to, size_t n)
{
    return RETRY(read(fd, to, n));
}

ssize_t io_pread(int fd, void *to, size_t n, off_t at)
{
    return RETRY(pread(fd, to, n, at));
}

ssize_t io_pwrite(int fd, const void *from, size_t n, off_t at)
{
    return RETRY(pwrite(fd, from, n, at));
}

int io_fdatasync(int fd)
{
    return RETRY(fdatasync(fd));
}

int io_fsync(int fd)
{
    return RETRY(fsync(fd));
}

int io_truncate(int fd, off_t n)
{
    return RETRY(ftruncate(fd, n));
}

int io_allocate(int fd, off_t from, off_t n)
{
    return RETRY(fallocate(fd, FALLOC_FL_KEEP_SIZE, from, n));
}

int io_rename(int dir, const char *from, int to_dir, const char *to)
{
    return renameat(dir, from, to_dir, to);
}

int io_link(int dir, const char *from, int to_dir, const char *to)
{
    return linkat(dir, from, to_dir, to, 0);
}

int io_unlink(int dir, const char *path)
{
    return unlinkat(dir, path, 0);
}

int io_mkdir(int dir, const char *path, mode_t mode)
{
    return mkdirat(dir, path, mode);
}

int io_space(int fd, unsigned long long *free_bytes, unsigned long long *total_bytes)
{
    struct statvfs s;

    if (RETRY(fstatvfs(fd, &s)) == -1)
        return -1;
    *free_bytes = (unsigned long long)s.f_bavail * s.f_frsize;
    *total_bytes = (unsigned long long)s.f_blocks * s.f_frsize;
    return 0;
}

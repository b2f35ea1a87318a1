/*
 * io: the system calls that touch what must not be lost: buffer, dead letters, daily files,
 * positions, log files read. The one seam at which tests make a disk fail: they link another io.c.
 * EINTR is handled here, short transfers are not hidden. Every function returns what its system
 * call returns, errno set. Any thread.
 */
#ifndef BARGE_IO_H
#define BARGE_IO_H

#include <sys/stat.h>
#include <sys/types.h>

#include <stddef.h>

/* openat(2) with O_CLOEXEC added. dir may be AT_FDCWD. */
int io_open(int dir, const char *path, int flags, mode_t mode);
int io_close(int fd);
ssize_t io_read(int fd, void *to, size_t n);
ssize_t io_pread(int fd, void *to, size_t n, off_t at);
ssize_t io_pwrite(int fd, const void *from, size_t n, off_t at);
int io_fdatasync(int fd);
int io_fsync(int fd); /* for directories: after create, rename, unlink */
int io_truncate(int fd, off_t n);
int io_allocate(int fd, off_t from,
                off_t n); /* fallocate, size kept; failing is allowed to be ignored */
int io_rename(int dir, const char *from, int to_dir, const char *to);
int io_unlink(int dir, const char *path);
int io_mkdir(int dir, const char *path, mode_t mode);

/* Free and total bytes of the file system that fd lies on, for those without privilege (statvfs
 * f_bavail). */
int io_space(int fd, unsigned long long *free_bytes, unsigned long long *total_bytes);

/* pwrite until all n bytes are down. 0, or -1 with errno; *done (may be NULL) says how many are
 * down. */
int io_pwrite_all(int fd, const void *from, size_t n, off_t at, size_t *done);

#endif

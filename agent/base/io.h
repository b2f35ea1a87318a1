/*
 * io: the system calls that touch what must not be lost: buffer, dead letters, daily files,
 * positions, log files read. The one seam at which tests make a disk fail: they link another io.c.
 * EINTR is handled here, short transfers are not hidden. Every function returns what its system
 * call returns, errno set. Any thread.
 */
#ifndef BARGE_IO_H
#define BARGE_IO_H

#include <dirent.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <stddef.h>

struct statx;

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
int io_link(int dir, const char *from, int to_dir,
            const char *to); /* linkat(2), of regular files */
int io_unlink(int dir, const char *path);
int io_mkdir(int dir, const char *path, mode_t mode);

/* These change nothing (io_look.c). */
int io_stat(int fd, struct stat *st);
int io_stat_at(int dir, const char *path, struct stat *st, int flags); /* fstatat(2) */
int io_statx(int dir, const char *path, int flags, unsigned mask, struct statx *x);
off_t io_seek_data(int fd, off_t from); /* lseek(SEEK_DATA) */
int io_lock(int fd, int how);           /* flock(2) */

/* The names in a folder: begins anew at each io_list. NULL with errno. */
DIR *io_list(int dir);
/* 1 with the next entry, which is good until the next call; 0 at the end; -1 with errno: names that
 * were not listed may be there. */
int io_list_next(DIR *list, struct dirent **entry);
void io_list_end(DIR *list);

/* Free and total bytes of the file system that fd lies on, for those without privilege (statvfs
 * f_bavail). */
int io_space(int fd, unsigned long long *free_bytes, unsigned long long *total_bytes);

/* pwrite until all n bytes are down (io_all.c). 0, or -1 with errno; *done (may be NULL) says how
 * many are down. */
int io_pwrite_all(int fd, const void *from, size_t n, off_t at, size_t *done);

#endif

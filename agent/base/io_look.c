/* The calls of io.h that change nothing: apart, so that a disk of a test's own may leave them out.
 */
#include "agent/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

int io_stat(int fd, struct stat *st)
{
    return fstat(fd, st);
}

int io_stat_at(int dir, const char *path, struct stat *st, int flags)
{
    return fstatat(dir, path, st, flags);
}

int io_statx(int dir, const char *path, int flags, unsigned mask, struct statx *x)
{
    return statx(dir, path, flags, mask, x);
}

off_t io_seek_data(int fd, off_t from)
{
    return lseek(fd, from, SEEK_DATA);
}

int io_lock(int fd, int how)
{
    int rc;

    do
        rc = flock(fd, how);
    while (rc == -1 && errno == EINTR);
    return rc;
}

DIR *io_list(int dir)
{
    int fd = io_open(dir, ".", O_RDONLY | O_DIRECTORY, 0), error;
    DIR *list = fd < 0 ? NULL : fdopendir(fd);

    if (!list && fd >= 0) {
        error = errno;
        io_close(fd);
        errno = error;
    }
    return list;
}

int io_list_next(DIR *list, struct dirent **entry)
{
    errno = 0;
    *entry = readdir(list);
    return *entry ? 1 : errno ? -1 : 0;
}

void io_list_end(DIR *list)
{
    closedir(list);
}

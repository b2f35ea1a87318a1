#include "agent/base/folder.h"

#include "agent/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int folder_sync_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = !slash          ? base_strdup(".")
                   : slash == path ? base_strdup("/")
                                   : base_strndup(path, (size_t)(slash - path));
    int fd = io_open(AT_FDCWD, parent, O_RDONLY | O_DIRECTORY, 0), rc = 0, error;

    free(parent);
    if (fd < 0)
        return errno == EACCES || errno == EPERM ? 0 : -1;
    rc = io_fsync(fd);
    error = errno;
    io_close(fd);
    errno = error;
    return rc;
}

/* How much of path (a whole number of its parts) is there: 0, or the length of that prefix. */
static size_t there(char *path)
{
    size_t found = 0;

    for (size_t i = 1; path[i - 1]; i++) {
        char c = path[i];
        bool is;

        if (c != '/' && c != '\0')
            continue;
        path[i] = '\0';
        is = access(path, F_OK) == 0;
        path[i] = c;
        if (!is || c == '\0')
            return is ? i : found;
        found = i;
    }
    return found;
}

static int make_rest(char *path, size_t from, mode_t mode, struct error *e)
{
    for (size_t i = from + 1; path[i - 1]; i++) {
        char c = path[i];
        bool made;

        if (c != '/' && c != '\0')
            continue;
        path[i] = '\0';
        made = io_mkdir(AT_FDCWD, path, mode) == 0;
        if (!made && errno != EEXIST)
            return error_set(e, "cannot make the folder %s: %s", path, strerror(errno));
        if (made && folder_sync_name(path) < 0)
            return error_set(e, "cannot sync the folder that %s was made in: %s", path,
                             strerror(errno));
        path[i] = c;
        if (c == '\0')
            break;
    }
    return 0;
}

/* Copy without slashes that say nothing. */
static char *tidy(const char *path)
{
    char *copy = base_strdup(path), *to = copy;

    for (const char *p = path; *p; p++)
        if (*p != '/' || to == copy || to[-1] != '/')
            *to++ = *p;
    if (to > copy + 1 && to[-1] == '/')
        to--;
    *to = '\0';
    return copy;
}

int folder_make(const char *path, mode_t mode, struct error *e)
{
    char *copy = tidy(path);
    size_t n = there(copy);
    int rc = 0;

    if (n > 0) {
        char c = copy[n];

        copy[n] = '\0';
        folder_sync_name(copy);
        copy[n] = c;
    }
    if (copy[0] && copy[n])
        rc = make_rest(copy, n, mode, e);
    free(copy);
    return rc;
}

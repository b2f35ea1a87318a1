#include "agent/commands/redaction.h"

#include "agent/base/io.h"
#include "parsers/pseudonym.h"

#include <errno.h>
#include <fcntl.h>

#define KEY_MAX 4096 /* bytes */

/* The file's bytes without the line end that an editor leaves. */
static int read_key(const char *path, char key[KEY_MAX + 1], size_t *n, struct error *e)
{
    int fd = io_open(AT_FDCWD, path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
    ssize_t got = -1;

    if (fd >= 0) {
        got = io_read(fd, key, KEY_MAX + 1);
        io_close(fd);
    }
    if (got < 0)
        return error_set(e, "redact.key_file: %.200s cannot be read: %s", path, strerror(errno));
    *n = (size_t)got;
    if (*n > KEY_MAX)
        return error_set(e, "redact.key_file: %.200s has more than %d bytes", path, KEY_MAX);
    if (*n && key[*n - 1] == '\n')
        --*n;
    if (*n && key[*n - 1] == '\r')
        --*n;
    if (*n < PSEUDONYM_KEY_MIN)
        return error_set(e,
                         "redact.key_file: %.200s has fewer than %d bytes; make one with "
                         "openssl rand -hex 32",
                         path, PSEUDONYM_KEY_MIN);
    return 0;
}

int redaction_open(const struct redact_settings *s, struct redact **r, struct error *e)
{
    char key[KEY_MAX + 1];
    size_t n = 0;
    int rc = 0;

    *r = NULL;
    if (s->key_file[0])
        rc = read_key(s->key_file, key, &n, e);
    if (rc == 0 && s->rules[0]) {
        *r = redact_create(s, bytes_of(key, n), e);
        rc = *r ? 0 : -1;
    }
    explicit_bzero(key, sizeof key);
    return rc;
}

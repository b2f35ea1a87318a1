#include "outputs/elasticsearch/es_credentials.h"

#include "agent/base/io.h"

#include <errno.h>
#include <fcntl.h>

static int read_secret(const char *path, char to[ES_SECRET_MAX + 1], struct error *e)
{
    char text[ES_SECRET_MAX + 1];
    struct stat st;
    ssize_t n;
    int fd = io_open(AT_FDCWD, path, O_RDONLY, 0), failed;

    if (fd < 0)
        return error_set(e, "cannot open %s: %s", path, strerror(errno));
    n = io_read(fd, text, ES_SECRET_MAX);
    failed = errno;
    if (fstat(fd, &st) == 0 && (st.st_mode & S_IROTH))
        log_warn("a secret that every user of this host may read", LOG_STR("file", path),
                 LOG_STR("knob", "chmod o-r"));
    io_close(fd);
    if (n < 0)
        return error_set(e, "cannot read %s: %s", path, strerror(failed));
    while (n > 0 && strchr(" \t\r\n", text[n - 1]) != NULL)
        n--;
    text[n] = '\0';
    if (n == 0)
        return error_set(e, "%s is empty", path);
    if (strlen(text) != (size_t)n || strpbrk(text, "\r\n") != NULL)
        return error_set(e, "%s holds more than one line", path);
    memcpy(to, text, (size_t)n + 1);
    return 0;
}

int es_credentials_read(struct es_credentials *c, const struct elasticsearch_settings *settings,
                        struct error *e)
{
    struct es_credentials fresh = {0};

    if (settings->password_file[0] != '\0' &&
        read_secret(settings->password_file, fresh.password, e) != 0)
        return -1;
    if (settings->api_key_file[0] != '\0' &&
        read_secret(settings->api_key_file, fresh.api_key, e) != 0)
        return -1;
    *c = fresh;
    return 0;
}

#include "outputs/elasticsearch/es_credentials.h"

#include "agent/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define SETTING "output.elasticsearch."

/* One of the files: where it is set, and what makes it one of its kind. */
struct source {
    const char *setting, *path;
    struct es_secret *to;
    const char *mark; /* of PEM; NULL: a line of text */
};

static void secret_free(struct es_secret *s)
{
    if (s->p)
        explicit_bzero(s->p, s->n);
    free(s->p);
    *s = (struct es_secret){NULL, 0};
}

static bool same(const struct es_secret *a, const struct es_secret *b)
{
    return bytes_equal(bytes_of(a->p, a->n), bytes_of(b->p, b->n));
}

/* The whole file, at most max bytes, into to, which has room for max + 1. */
static int read_whole(const struct source *s, char *to, size_t max, size_t *n, struct error *e)
{
    int fd = io_open(AT_FDCWD, s->path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
    ssize_t got = 0;

    if (fd < 0)
        return error_set(e, SETTING "%s: cannot open %s: %s", s->setting, s->path, strerror(errno));
    *n = 0;
    do {
        *n += (size_t)got;
        got = io_read(fd, to + *n, max + 1 - *n);
    } while (got > 0);
    if (got < 0)
        error_set(e, SETTING "%s: cannot read %s: %s", s->setting, s->path, strerror(errno));
    io_close(fd);
    if (got < 0)
        return -1;
    if (*n > max)
        return error_set(e, SETTING "%s: %s has more than %zu bytes", s->setting, s->path, max);
    return 0;
}

/* What the bytes must look like. */
static int check(const struct source *s, char *text, size_t *n, struct error *e)
{
    if (s->mark) {
        /* The end of the last part too: it may be just being written. */
        const char *begin = memmem(text, *n, s->mark, strlen(s->mark));
        const char *end = begin ? memmem(begin, *n - (size_t)(begin - text), "-----END ", 9) : NULL;

        if (!end)
            return error_set(e, SETTING "%s: %s holds no PEM with %s", s->setting, s->path,
                             s->mark);
        return 0;
    }
    while (*n > 0 && strchr(" \t\r\n", text[*n - 1]) != NULL)
        --*n;
    text[*n] = '\0';
    if (*n == 0)
        return error_set(e, SETTING "%s: %s is empty", s->setting, s->path);
    if (strlen(text) != *n || strpbrk(text, "\r\n") != NULL)
        return error_set(e, SETTING "%s: %s holds more than one line", s->setting, s->path);
    return 0;
}

static int take(const struct source *s, struct error *e)
{
    size_t max = s->mark ? ES_CERTIFICATES_MAX : ES_SECRET_MAX, n = 0;
    char *text;
    int rc;

    if (s->path[0] == '\0')
        return 0;
    text = base_alloc(max + 2);
    rc = read_whole(s, text, max, &n, e);
    if (rc == 0)
        rc = check(s, text, &n, e);
    if (rc == 0)
        *s->to = (struct es_secret){base_strndup(text, n), n};
    explicit_bzero(text, MIN(n, max) + 1);
    free(text);
    return rc;
}

int es_credentials_read(struct es_credentials *c, const struct elasticsearch_settings *settings,
                        bool *changed, struct error *e)
{
    static const char certificate[] = "CERTIFICATE-----", key[] = "PRIVATE KEY-----";
    const struct tls_settings *tls = &settings->tls;
    struct es_credentials fresh = {0};
    const struct source sources[] = {
        {"password_file", settings->password_file, &fresh.password, NULL},
        {"api_key_file", settings->api_key_file, &fresh.api_key, NULL},
        {"tls.ca_file", tls->ca_file, &fresh.ca_file, certificate},
        {"tls.cert_file", tls->cert_file, &fresh.cert_file, certificate},
        {"tls.key_file", tls->key_file[0] ? tls->key_file : tls->cert_file, &fresh.key_file, key},
    };

    for (size_t i = 0; i < ARRAY_LEN(sources); i++)
        if (take(&sources[i], e) != 0) {
            es_credentials_fini(&fresh);
            return -1;
        }
    if (changed)
        *changed = !same(&fresh.password, &c->password) || !same(&fresh.api_key, &c->api_key) ||
                   !same(&fresh.ca_file, &c->ca_file) || !same(&fresh.cert_file, &c->cert_file) ||
                   !same(&fresh.key_file, &c->key_file);
    es_credentials_fini(c);
    *c = fresh;
    return 0;
}

void es_credentials_warn(const struct elasticsearch_settings *settings)
{
    const struct tls_settings *tls = &settings->tls;
    const char *const secrets[] = {settings->password_file, settings->api_key_file,
                                   tls->key_file[0] ? tls->key_file : tls->cert_file};
    struct stat st;

    for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
        if (secrets[i][0] && stat(secrets[i], &st) == 0 && (st.st_mode & S_IROTH))
            LOG_EACH(LOG_WARN, "a secret that every user of this host may read",
                     LOG_STR("file", secrets[i]), LOG_STR("knob", "chmod o-r"));
}

void es_credentials_fini(struct es_credentials *c)
{
    secret_free(&c->password);
    secret_free(&c->api_key);
    secret_free(&c->ca_file);
    secret_free(&c->cert_file);
    secret_free(&c->key_file);
}

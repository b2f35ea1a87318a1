#include "agent/status/status.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CONNECTIONS 32u
#define CONNECTION_MEMORY (32u << 10)
#define CONNECTION_TIMEOUT_S 10u

struct status {
    struct MHD_Daemon *daemon;
    unsigned port;
    uint64_t began_ms;
    void (*fill)(void *arg);
    bool (*healthy)(void *arg, struct strbuf *why);
    bool (*ready)(void *arg, struct strbuf *why);
    void *arg;
};

static uint64_t uptime_s(const struct status *s)
{
    return (clock_mono_ms() - s->began_ms) / 1000;
}

static void fill(struct status *s)
{
    if (s->fill)
        s->fill(s->arg);
}

static unsigned render_metrics(struct status *s, struct strbuf *to)
{
    fill(s);
    status_render_metrics(to, uptime_s(s));
    return MHD_HTTP_OK;
}

static unsigned render_json(struct status *s, struct strbuf *to)
{
    fill(s);
    status_render_json(to, uptime_s(s));
    return MHD_HTTP_OK;
}

static unsigned render_verdict(bool (*ask)(void *arg, struct strbuf *why), void *arg,
                               struct strbuf *to)
{
    bool good = !ask || ask(arg, to);

    if (good) {
        strbuf_clear(to);
        strbuf_add_str(to, "ok");
    }
    strbuf_add_char(to, '\n');
    return good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static unsigned render_health(struct status *s, struct strbuf *to)
{
    return render_verdict(s->healthy, s->arg, to);
}

static unsigned render_ready(struct status *s, struct strbuf *to)
{
    return render_verdict(s->ready, s->arg, to);
}

static const struct {
    const char *path, *type;
    unsigned (*render)(struct status *s, struct strbuf *to);
} pages[] = {
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", render_metrics},
    {"/status", "application/json", render_json},
    {"/health", "text/plain; charset=utf-8", render_health},
    {"/ready", "text/plain; charset=utf-8", render_ready},
};

static enum MHD_Result answer(struct MHD_Connection *c, unsigned code, const char *type,
                              struct strbuf *body)
{
    struct MHD_Response *r =
        MHD_create_response_from_buffer(body->n, body->p ? body->p : "", MHD_RESPMEM_MUST_COPY);
    enum MHD_Result rc;

    if (!r)
        return MHD_NO;
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (code == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    rc = MHD_queue_response(c, code, r);
    MHD_destroy_response(r);
    return rc;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request)
{
    static const char plain[] = "text/plain; charset=utf-8";
    struct status *s = arg;
    struct strbuf body = {0};
    unsigned code = MHD_HTTP_NOT_FOUND;
    const char *type = plain;
    enum MHD_Result rc;

    (void)version;
    (void)upload;
    (void)upload_size;
    (void)request;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        code = MHD_HTTP_METHOD_NOT_ALLOWED;
        strbuf_add_str(&body, "GET and HEAD only\n");
    } else {
        for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
            if (strcmp(url, pages[i].path) != 0)
                continue;
            code = pages[i].render(s, &body);
            type = pages[i].type;
        }
        if (code == MHD_HTTP_NOT_FOUND)
            strbuf_add_str(&body, "there are /metrics, /status, /health and /ready\n");
    }
    rc = answer(c, code, type, &body);
    strbuf_fini(&body);
    return rc;
}

/* ---- listening ---- */

static int listen_on(const struct addrinfo *a)
{
    static const int on = 1;
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, MAX_CONNECTIONS) < 0) {
        int e = errno;

        close(fd);
        errno = e;
        return -1;
    }
    return fd;
}

/* host:port or [v6]:port, into a listening socket. */
int status_listen(const char *address, struct error *e)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                          .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    const char *colon = strrchr(address, ':');
    struct addrinfo *found = NULL;
    bool bracketed = address[0] == '[';
    char *host;
    int fd = -1, rc;

    ASSERT(colon);
    host = base_strndup(address + bracketed, (size_t)(colon - address) - 2u * bracketed);
    rc = getaddrinfo(host, colon + 1, &hints, &found);
    free(host);
    if (rc != 0)
        return error_set(e, "status.listen: %s cannot be looked up: %s", address, gai_strerror(rc));
    for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
        fd = listen_on(a);
    if (fd < 0)
        error_set(e,
                  "status.listen: cannot listen on %s: %s; choose another address, or \"\" for "
                  "none",
                  address, strerror(errno));
    freeaddrinfo(found);
    return fd;
}

static unsigned port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a;
    socklen_t n = sizeof a;

    if (getsockname(fd, &a.any, &n) < 0)
        return 0;
    return ntohs(a.any.sa_family == AF_INET6 ? a.v6.sin6_port : a.v4.sin_port);
}

struct status *status_start(int fd, const char *address, void (*fill_fn)(void *arg),
                            bool (*healthy)(void *arg, struct strbuf *why),
                            bool (*ready)(void *arg, struct strbuf *why), void *arg,
                            struct error *e)
{
    struct status *s = base_calloc(1, sizeof *s);
    struct strbuf where = {0};

    *s = (struct status){.port = port_of(fd),
                         .began_ms = clock_mono_ms(),
                         .fill = fill_fn,
                         .healthy = healthy,
                         .ready = ready,
                         .arg = arg};
    s->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL, NULL, on_request, s,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
    if (!s->daemon) {
        error_set(e, "status.listen: the pages cannot be started on %s: %s", address,
                  strerror(errno));
        close(fd);
        free(s);
        return NULL;
    }
    strbuf_printf(&where, "%.*s:%u", (int)(strrchr(address, ':') - address), address, s->port);
    log_info("status pages", LOG_STR("address", where.p));
    strbuf_fini(&where);
    return s;
}

unsigned status_port(const struct status *s)
{
    return s->port;
}

void status_stop(struct status *s)
{
    if (!s)
        return;
    MHD_stop_daemon(s->daemon);
    free(s);
}

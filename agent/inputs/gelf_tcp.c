#include "agent/inputs/gelf_tcp.h"

#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "agent/base/strbuf.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CONNECTIONS 1024
#define READ_BYTES (64u << 10)
#define READS_PER_TURN 4
#define READS_AT_END 64
#define ACCEPTS_PER_TURN 32
#define ACCEPT_AGAIN_MS 1000

struct connection {
    struct gelf_tcp *owner;
    int fd;
    struct loop_io *io; /* NULL while it waits for room */
    struct strbuf held; /* the beginning of a message; while it waits: whole ones, too */
    bool skipping;      /* to the next NUL */
    bool ended;         /* the peer has closed */
    bool dropping;      /* waited when_full_ms in vain */
    uint64_t waits_since_ms;
    struct connection *next, **prev;
};

struct gelf_tcp {
    struct gelf_tcp_options o;
    struct loop *loop;
    int fd;
    struct loop_io *io;
    struct loop_timer
        *timer; /* the first of those that wait has waited long enough; accepting goes on */
    struct connection *connections;
    unsigned n_connections;
    size_t held; /* capacity of all held */
    bool accept_paused;
    bool draining;
    char room[READ_BYTES];
};

static void on_readable(void *arg, uint32_t events);

/* ---- what a stream holds ---- */

static void hold(struct connection *s, const char *p, size_t n)
{
    s->owner->held -= s->held.cap;
    strbuf_add(&s->held, p, n);
    s->owner->held += s->held.cap;
}

static void let_go(struct connection *s)
{
    s->owner->held -= s->held.cap;
    strbuf_fini(&s->held);
}

static void connection_close(struct connection *s)
{
    struct gelf_tcp *t = s->owner;

    let_go(s);
    loop_io_remove(&s->io);
    close(s->fd);
    *s->prev = s->next;
    if (s->next)
        s->next->prev = s->prev;
    free(s);
    t->n_connections--;
    metric_set(M_GELF_CONNECTIONS, t->n_connections);
}

/* ---- messages ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* false: the buffer is full, and the stream has to wait. */
static bool take(struct connection *s, struct bytes message)
{
    struct gelf_tcp *t = s->owner;

    while (message.n > 0 && is_blank(message.p[message.n - 1]))
        message.n--;
    while (message.n > 0 && is_blank(message.p[0])) {
        message.p++;
        message.n--;
    }
    if (message.n == 0)
        return true;
    if (intake_has_room(t->o.in, BUFFER_CANNOT_WAIT, message.n) &&
        t->o.take(t->o.arg, message) == INTAKE_TAKEN) {
        s->dropping = false;
        return true;
    }
    if (!s->dropping && !t->draining)
        return false;
    intake_count_drop(t->o.in, BUFFER_DROP_FULL, 1);
    return true;
}

static void too_large(struct connection *s)
{
    let_go(s);
    s->skipping = true;
    intake_count_drop(s->owner->o.in, BUFFER_DROP_TOO_LARGE, 1);
    log_warn("a GELF message on a stream is too large",
             LOG_STR("knob", "inputs.gelf.max_message, inputs.gelf.max_pending"));
}

/* The stream that holds most of an unfinished message, but for s and those that wait for room: they
 * hold whole ones. NULL when none holds more than s would with n bytes more. */
static struct connection *who_holds_most(struct connection *s, size_t n)
{
    struct connection *most = NULL;
    size_t held = s->held.n + n;

    for (struct connection *c = s->owner->connections; c; c = c->next)
        if (c != s && c->io && c->held.n > held) {
            most = c;
            held = c->held.n;
        }
    return most;
}

/* Whether s may hold n bytes more. When all together hold as much as they may, whoever holds most
 * gives it up: no stream can take the room of others by never ending its messages. */
static bool may_hold(struct connection *s, size_t n)
{
    struct gelf_tcp *t = s->owner;
    struct connection *most;

    while (t->held + strbuf_growth(&s->held, n) > t->o.max_pending_bytes) {
        most = who_holds_most(s, n);
        if (!most)
            return false;
        too_large(most);
    }
    return true;
}

/* Stops reading until there is room. What is left of p stays. */
static void wait_for_room(struct connection *s, const char *p, size_t n)
{
    struct gelf_tcp *t = s->owner;

    hold(s, p, n);
    /* Removed, not paused: a stream that was reset would report that for ever. */
    loop_io_remove(&s->io);
    s->waits_since_ms = loop_now_ms(t->loop);
    if (!loop_timer_armed(t->timer))
        loop_timer_set(t->timer, t->o.when_full_ms);
}

/* Cuts p into messages. false when the stream has to wait: what was not taken is held. */
static bool feed(struct connection *s, const char *p, size_t n)
{
    struct gelf_tcp *t = s->owner;

    while (n > 0) {
        const char *nul = memchr(p, 0, n);
        size_t part = nul ? (size_t)(nul - p) : n;

        if (s->skipping) {
            s->skipping = !nul;
        } else if (s->held.n + part > t->o.max_message_bytes || (!nul && !may_hold(s, part))) {
            too_large(s);
            s->skipping = !nul;
        } else if (!nul) {
            hold(s, p, part);
        } else if (s->held.n > 0) {
            size_t before = s->held.n;

            hold(s, p, part);
            if (!take(s, strbuf_bytes(&s->held))) {
                s->held.n = before;
                wait_for_room(s, p, n);
                return false;
            }
            let_go(s);
        } else if (!take(s, bytes_of(p, part))) {
            wait_for_room(s, p, n);
            return false;
        }
        p += part + (nul ? 1 : 0);
        n -= part + (nul ? 1 : 0);
    }
    return true;
}

/* The peer has closed: what stands without a NUL is its last message. The stream is gone
 * afterwards, unless it has to wait. */
static void finish(struct connection *s)
{
    s->ended = true;
    if (feed(s, "", 1))
        connection_close(s);
}

/* Reads some. false when the stream is gone, waits, or has nothing more. */
static bool read_some(struct connection *s)
{
    struct gelf_tcp *t = s->owner;
    ssize_t n;

    do
        n = recv(s->fd, t->room, sizeof t->room, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0) {
        finish(s);
        return false;
    }
    metric_add(M_GELF_BYTES, (uint64_t)n);
    return feed(s, t->room, (size_t)n) && n == sizeof t->room;
}

static void on_readable(void *arg, uint32_t events)
{
    struct connection *s = arg;

    (void)events;
    if (!s->dropping && !intake_has_room(s->owner->o.in, BUFFER_CANNOT_WAIT, 1)) {
        wait_for_room(s, NULL, 0);
        return;
    }
    for (int i = 0; i < READS_PER_TURN; i++)
        if (!read_some(s))
            break;
}

/* ---- those that wait ---- */

/* Goes on where it stopped. The stream may be gone afterwards. */
static void resume(struct connection *s)
{
    struct gelf_tcp *t = s->owner;
    struct strbuf held = s->held;
    uint64_t since = s->waits_since_ms;
    size_t n = held.n;
    bool fed;

    s->held = (struct strbuf){0};
    t->held -= held.cap;
    s->waits_since_ms = 0;
    fed = feed(s, held.p, held.n);
    strbuf_fini(&held);
    if (!fed) {
        if (s->held.n == n)
            s->waits_since_ms = since; /* not one message got through: still the same wait */
        return;
    }
    if (s->ended) {
        connection_close(s);
        return;
    }
    if (t->draining)
        return;
    s->io = loop_io_add(t->loop, s->fd, EPOLLIN, on_readable, s);
    if (!s->io) {
        log_error("cannot wait for a GELF stream", LOG_STR("error", strerror(errno)));
        connection_close(s);
    }
}

void gelf_tcp_room(struct gelf_tcp *t)
{
    struct connection *next;

    for (struct connection *s = t->connections; s; s = next) {
        next = s->next;
        if (!s->io && intake_has_room(t->o.in, BUFFER_CANNOT_WAIT, 1))
            resume(s);
    }
}

static void on_timer(void *arg)
{
    struct gelf_tcp *t = arg;
    uint64_t now = loop_now_ms(t->loop), due = UINT64_MAX;
    struct connection *next;

    if (t->accept_paused) {
        t->accept_paused = false;
        loop_io_set(t->io, EPOLLIN);
    }
    for (struct connection *s = t->connections; s; s = next) {
        next = s->next;
        if (s->io)
            continue;
        if (now >= s->waits_since_ms + t->o.when_full_ms) {
            s->dropping = true;
            resume(s);
        } else {
            due = MIN(due, s->waits_since_ms + t->o.when_full_ms);
        }
    }
    if (due != UINT64_MAX)
        loop_timer_set(t->timer, due - now);
}

/* ---- new ones ---- */

static void connection_open(struct gelf_tcp *t, int fd)
{
    /* A host that vanished is noticed within a quarter of an hour. */
    static const int on = 1, idle_s = 600, every_s = 60, times = 5;
    struct connection *s = base_calloc(1, sizeof *s);

    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof every_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
    s->owner = t;
    s->fd = fd;
    s->io = loop_io_add(t->loop, fd, EPOLLIN, on_readable, s);
    if (!s->io) {
        log_error("cannot wait for a GELF stream", LOG_STR("error", strerror(errno)));
        close(fd);
        free(s);
        return;
    }
    s->next = t->connections;
    s->prev = &t->connections;
    if (s->next)
        s->next->prev = &s->next;
    t->connections = s;
    t->n_connections++;
    metric_set(M_GELF_CONNECTIONS, t->n_connections);
}

/* One more stream. false when there is none to accept. */
static bool accept_one(struct gelf_tcp *t)
{
    int fd = accept4(t->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        if (errno == EINTR || errno == ECONNABORTED)
            return true;
        if (errno != EAGAIN) {
            /* No descriptors or memory: it would be reported again at once. */
            log_error("cannot accept a GELF stream", LOG_STR("error", strerror(errno)),
                      LOG_STR("knob", "LimitNOFILE, ulimit -n"));
            t->accept_paused = true;
            loop_io_set(t->io, 0);
            if (!loop_timer_armed(t->timer))
                loop_timer_set(t->timer, ACCEPT_AGAIN_MS);
        }
        return false;
    }
    if (t->n_connections == MAX_CONNECTIONS) {
        close(fd);
        log_warn("a GELF stream was refused: there are too many",
                 LOG_U64("streams", MAX_CONNECTIONS));
        return true;
    }
    connection_open(t, fd);
    return true;
}

static void on_connect(void *arg, uint32_t events)
{
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++)
        if (!accept_one(arg))
            break;
}

/* ---- outside ---- */

struct gelf_tcp *gelf_tcp_create(int fd, struct loop *loop, const struct gelf_tcp_options *o,
                                 struct error *e)
{
    struct gelf_tcp *t = base_calloc(1, sizeof *t);

    t->o = *o;
    t->loop = loop;
    t->fd = fd;
    t->io = loop_io_add(loop, fd, EPOLLIN, on_connect, t);
    if (!t->io) {
        error_set(e, "inputs.gelf: cannot wait for streams: %s", strerror(errno));
        close(fd);
        free(t);
        return NULL;
    }
    t->timer = loop_timer_add(loop, on_timer, t);
    return t;
}

void gelf_tcp_drain(struct gelf_tcp *t)
{
    struct connection *next;

    t->draining = true;
    while (t->n_connections < MAX_CONNECTIONS && accept_one(t))
        ;
    for (struct connection *s = t->connections; s; s = next) {
        next = s->next;
        if (!s->io) {
            bool ended = s->ended;

            resume(s);
            if (ended)
                continue;
        }
        for (int i = 0; i < READS_AT_END; i++)
            if (!read_some(s))
                break;
    }
}

void gelf_tcp_free(struct gelf_tcp *t)
{
    if (!t)
        return;
    while (t->connections)
        connection_close(t->connections);
    loop_io_remove(&t->io);
    loop_timer_remove(&t->timer);
    close(t->fd);
    free(t);
}

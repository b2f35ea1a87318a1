/*
 * A scripted Elasticsearch for unit tests: one thread a connection, on loopback. It keeps what was
 * created by document number, answers a repeated create with 409, and asks a script before each
 * request and each item what to do.
 */
#ifndef BARGE_TEST_ES_SERVER_H
#define BARGE_TEST_ES_SERVER_H

#include "agent/base/strbuf.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#define SERVER_DOCUMENTS 20000
#define SERVER_CONNECTIONS 4096

struct server_item {
    struct bytes index, id, document;
    unsigned number; /* of the member "n" */
};

struct server_request {
    unsigned number; /* 0, 1, … */
    struct server_item *items;
    size_t n;
    size_t bytes;
    const char *head;
};

enum server_act { ANSWER, HANG, CLOSE_BEFORE, CLOSE_AFTER, RAW };

struct server_reply {
    enum server_act act;
    int status;          /* of HTTP; 0: 200 with items */
    const char *body;    /* with status; or the whole answer, RAW */
    const char *headers; /* further ones, each with its CRLF */
    bool index_first;    /* CLOSE_AFTER, HANG, RAW: create what is in it all the same */
    int extra_items;     /* added (or left out) at the end of a good answer */
    enum { NO_IDS, IN_ORDER, BACKWARDS } ids; /* that a good answer names with its items */
    const atomic_bool *until; /* the answer waits until this is true; NULL: for nothing */
};

struct server {
    int listener, port;
    pthread_t thread;
    pthread_t connections[SERVER_CONNECTIONS];
    unsigned n_connections;
    atomic_bool stopping;
    pthread_mutex_t lock;
    /* under lock */
    atomic_uint requests, created, conflicts;
    uint8_t copies[SERVER_DOCUMENTS];
    char *documents[SERVER_DOCUMENTS];
    /* the script; called under lock. item: the error's JSON with status, or 0 for "create it" */
    struct server_reply (*on_request)(struct server *s, const struct server_request *r);
    int (*on_item)(struct server *s, const struct server_item *i, const char **error);
    const void *script; /* for on_request */
    void *script_data;
    void *arg;
};

struct server_connection {
    struct server *s;
    int fd;
};

/* false when the peer or the test ended it. */
static bool server_read(struct server *s, int fd, struct strbuf *in)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n;

    for (;;) {
        if (atomic_load(&s->stopping))
            return false;
        if (poll(&p, 1, 20) > 0)
            break;
    }
    n = read(fd, strbuf_room(in, 65536), 65536);
    if (n <= 0)
        return false;
    in->n += (size_t)n;
    in->p[in->n] = '\0';
    return true;
}

static void server_write(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = send(fd, p, n, MSG_NOSIGNAL);

        if (w <= 0)
            return;
        p += w;
        n -= (size_t)w;
    }
}

static struct bytes server_between(struct bytes line, const char *before)
{
    const char *at = memmem(line.p, line.n, before, strlen(before)), *end;

    if (at == NULL)
        return BYTES_NONE;
    at += strlen(before);
    end = memchr(at, '"', line.n - (size_t)(at - line.p));
    return bytes_of(at, end == NULL ? 0 : (size_t)(end - at));
}

static void server_parse(struct server_request *r, struct bytes body)
{
    size_t cap = 0;

    r->items = NULL;
    r->n = 0;
    r->bytes = body.n;
    while (body.n > 0) {
        const char *nl = memchr(body.p, '\n', body.n);
        struct bytes action = bytes_of(body.p, (size_t)(nl - body.p)), document;
        const char *doc = nl + 1, *nl2 = memchr(doc, '\n', body.n - action.n - 1);
        const char *number;

        document = bytes_of(doc, (size_t)(nl2 - doc));
        if (r->n == cap) {
            cap = cap ? cap * 2 : 64;
            r->items = realloc(r->items, cap * sizeof *r->items);
        }
        r->items[r->n].index = server_between(action, "\"_index\":\"");
        r->items[r->n].id = server_between(action, "\"_id\":\"");
        r->items[r->n].document = document;
        number = memmem(document.p, document.n, "\"n\":", 4);
        r->items[r->n].number = number == NULL ? SERVER_DOCUMENTS : (unsigned)atoi(number + 4);
        /* Of one that was folded. */
        if (number == NULL &&
            (number = memmem(document.p, document.n, "\"sequence\":", 11)) != NULL)
            r->items[r->n].number = (unsigned)atoi(number + 11);
        r->n++;
        body = bytes_of(nl2 + 1, body.n - action.n - document.n - 2);
    }
}

/* Creates the document or says why not. id: to be named, or none. */
static void server_item(struct server *s, const struct server_item *i, struct bytes id,
                        struct strbuf *out)
{
    const char *error = NULL;
    int status = s->on_item != NULL ? s->on_item(s, i, &error) : 0;

    if (status == 0 || (status >= 200 && status < 300)) {
        if (s->copies[i->number] > 0) {
            s->conflicts++;
            status = 409;
            error = "{\"type\":\"version_conflict_engine_exception\",\"reason\":\"[x]: version "
                    "conflict, document already exists (current version [1])\"}";
        } else {
            s->copies[i->number] = 1;
            s->created++;
            free(s->documents[i->number]);
            s->documents[i->number] = strndup(i->document.p, i->document.n);
            status = status == 0 ? 201 : status;
        }
    }
    if (out->n > 0 && out->p[out->n - 1] != '[')
        strbuf_add_char(out, ',');
    /* 202 stands for what a data stream's failure store took. */
    strbuf_printf(out, "{\"create\":{\"status\":%d%s", status == 202 ? 201 : status,
                  status == 202 ? ",\"failure_store\":\"used\"" : "");
    if (id.n > 0)
        strbuf_printf(out, ",\"_id\":\"%.*s\"", (int)id.n, id.p);
    if (error != NULL)
        strbuf_printf(out, ",\"error\":%s", error);
    strbuf_add_str(out, "}}");
}

/* true when the connection goes on. */
static bool server_serve(struct server *s, int fd, struct server_request *r)
{
    struct server_reply reply = {0};
    struct strbuf body = {0}, out = {0};
    bool go_on = true;

    pthread_mutex_lock(&s->lock);
    r->number = s->requests++;
    if (s->on_request != NULL)
        reply = s->on_request(s, r);
    if (reply.act == ANSWER && reply.status == 0) {
        size_t n = r->n + (reply.extra_items < 0 ? (size_t)0 : 0);

        strbuf_add_str(&body, "{\"took\":3,\"errors\":false,\"items\":[");
        for (size_t i = 0; i < n; i++) {
            if (reply.extra_items < 0 && i >= r->n - (size_t)-reply.extra_items)
                break;
            server_item(s, &r->items[i],
                        reply.ids == NO_IDS     ? BYTES_NONE
                        : reply.ids == IN_ORDER ? r->items[i].id
                                                : r->items[n - 1 - i].id,
                        &body);
        }
        for (int i = 0; i < reply.extra_items; i++)
            strbuf_add_str(&body, ",{\"create\":{\"status\":201}}");
        strbuf_add_str(&body, "]}");
    } else if (reply.index_first) {
        for (size_t i = 0; i < r->n; i++)
            server_item(s, &r->items[i], BYTES_NONE, &body);
        strbuf_clear(&body);
    }
    pthread_mutex_unlock(&s->lock);
    while (reply.until && !atomic_load(reply.until) && !atomic_load(&s->stopping))
        poll(NULL, 0, 1);
    switch (reply.act) {
    case ANSWER:
        if (reply.status != 0) {
            strbuf_clear(&body);
            strbuf_add_str(&body, reply.body != NULL ? reply.body : "");
        }
        strbuf_printf(&out, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%s\r\n",
                      reply.status != 0 ? reply.status : 200, body.n,
                      reply.headers != NULL ? reply.headers : "");
        strbuf_add_bytes(&out, strbuf_bytes(&body));
        server_write(fd, out.p, out.n);
        break;
    case RAW:
        server_write(fd, reply.body, strlen(reply.body));
        go_on = false;
        break;
    case HANG:
        while (server_read(s, fd, &out))
            ;
        go_on = false;
        break;
    case CLOSE_BEFORE:
    case CLOSE_AFTER:
        go_on = false;
        break;
    }
    strbuf_fini(&body);
    strbuf_fini(&out);
    return go_on;
}

static struct bytes server_inflate(struct bytes in, struct strbuf *out)
{
    z_stream z = {0};
    int r;

    inflateInit2(&z, 15 + 32);
    z.next_in = (Bytef *)(uintptr_t)in.p;
    z.avail_in = (uInt)in.n;
    do {
        z.next_out = (Bytef *)strbuf_room(out, 65536);
        z.avail_out = 65536;
        r = inflate(&z, Z_NO_FLUSH);
        out->n += 65536 - z.avail_out;
    } while (r == Z_OK);
    inflateEnd(&z);
    return strbuf_bytes(out);
}

static void *server_connection(void *arg)
{
    struct server_connection *c = arg;
    struct strbuf in = {0};
    bool go_on = true;

    while (go_on) {
        struct strbuf plain = {0};
        struct server_request r = {0};
        struct bytes body;
        char *end, *length;
        size_t head, n;

        while (in.n == 0 || (end = strstr(in.p, "\r\n\r\n")) == NULL)
            if (!server_read(c->s, c->fd, &in))
                goto out;
        head = (size_t)(end + 4 - in.p);
        length = strcasestr(in.p, "\r\nContent-Length:");
        n = length == NULL ? 0 : (size_t)atol(length + 17);
        while (in.n < head + n)
            if (!server_read(c->s, c->fd, &in))
                goto out;
        in.p[head - 1] = '\0';
        r.head = in.p;
        body = bytes_of(in.p + head, n);
        if (strcasestr(in.p, "Content-Encoding: gzip") != NULL)
            body = server_inflate(body, &plain);
        server_parse(&r, body);
        go_on = server_serve(c->s, c->fd, &r);
        free(r.items);
        strbuf_fini(&plain);
        memmove(in.p, in.p + head + n, in.n - head - n);
        in.n -= head + n;
        in.p[in.n] = '\0';
    }
out:
    close(c->fd);
    strbuf_fini(&in);
    free(c);
    return NULL;
}

static void *server_accept(void *arg)
{
    struct server *s = arg;

    while (!atomic_load(&s->stopping)) {
        struct pollfd p = {.fd = s->listener, .events = POLLIN};
        struct server_connection *c;
        int fd;

        if (poll(&p, 1, 20) <= 0 || (fd = accept(s->listener, NULL, NULL)) < 0)
            continue;
        ASSERT(s->n_connections < SERVER_CONNECTIONS);
        c = base_alloc(sizeof *c);
        *c = (struct server_connection){s, fd};
        pthread_create(&s->connections[s->n_connections++], NULL, server_connection, c);
    }
    return NULL;
}

static void server_start(struct server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;

    memset(s, 0, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(bind(s->listener, (struct sockaddr *)&a, sizeof a) == 0 && listen(s->listener, 64) == 0);
    getsockname(s->listener, (struct sockaddr *)&a, &n);
    s->port = ntohs(a.sin_port);
}

/* After the script was set. */
static void server_run(struct server *s)
{
    pthread_create(&s->thread, NULL, server_accept, s);
}

static void server_stop(struct server *s)
{
    atomic_store(&s->stopping, true);
    pthread_join(s->thread, NULL);
    for (unsigned i = 0; i < s->n_connections; i++)
        pthread_join(s->connections[i], NULL);
    close(s->listener);
    for (size_t i = 0; i < SERVER_DOCUMENTS; i++)
        free(s->documents[i]);
    pthread_mutex_destroy(&s->lock);
}

#endif

/*
 * A stream of bytes in any portions, into an input whose buffer is full now and then: the messages
 * taken are those between the NULs, in their order, blanks around them taken off; what is longer
 * than may be is counted, and nothing else is lost. The first bytes say how the rest is sent.
 */
#include "agent/inputs/gelf_tcp.h"

#include "agent/base/log.h"
#include "agent/base/strbuf.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MESSAGE_MAX 40

/* The intake, in the place of the real one. */
struct intake {
    struct strbuf taken; /* messages, each with a line feed behind it */
    uint64_t dropped[BUFFER_DROP_KINDS];
    bool full;
};

bool intake_has_room(struct intake *in, enum buffer_class class, size_t n)
{
    ASSERT(class == BUFFER_CANNOT_WAIT && n > 0);
    return !in->full;
}

void intake_count_drop(struct intake *in, enum buffer_drop kind, uint64_t n)
{
    in->dropped[kind] += n;
}

static enum intake_result take(void *arg, struct bytes message)
{
    struct intake *in = arg;

    ASSERT(!in->full && message.n > 0);
    strbuf_add_bytes(&in->taken, message);
    strbuf_add_char(&in->taken, '\n');
    return INTAKE_TAKEN;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* What must come of it. */
static void expect(struct bytes all, struct strbuf *to, uint64_t *too_large)
{
    for (size_t at = 0, end; at < all.n; at = end + 1) {
        const char *nul = memchr(all.p + at, 0, all.n - at);
        size_t from = at, to_end;

        end = nul ? (size_t)(nul - all.p) : all.n;
        to_end = end;
        if (end - at > MESSAGE_MAX) {
            ++*too_large;
            continue;
        }
        while (from < to_end && is_blank(all.p[from]))
            from++;
        while (from < to_end && is_blank(all.p[to_end - 1]))
            to_end--;
        if (from == to_end)
            continue;
        strbuf_add(to, all.p + from, to_end - from);
        strbuf_add_char(to, '\n');
    }
}

static struct loop *loop;

static bool on_turn(void *arg)
{
    (void)arg;
    loop_stop(loop);
    return true;
}

static void turn(void)
{
    loop_wake(loop);
    loop_run(loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    socklen_t size = offsetof(struct sockaddr_un, sun_path);
    struct intake in = {.full = false};
    struct gelf_tcp_options o = {.in = &in,
                                 .take = take,
                                 .arg = &in,
                                 .when_full_ms = 1u << 30,
                                 .max_message_bytes = MESSAGE_MAX,
                                 .max_pending_bytes = 1 << 20};
    struct strbuf wanted = {0};
    uint64_t too_large = 0;
    struct gelf_tcp *t;
    struct error e;
    int server, client;

    if (n < 3)
        return 0;
    if (!loop) {
        log_init((enum log_level)(LOG_ERROR + 1), LOG_LOGFMT);
        loop = loop_create();
        loop_set_turn(loop, on_turn, NULL);
    }
    server = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* No name given: the kernel chooses one that is in nobody's way. */
    ASSERT(bind(server, (struct sockaddr *)&a, size) == 0 && listen(server, 4) == 0);
    size = sizeof a;
    ASSERT(getsockname(server, (struct sockaddr *)&a, &size) == 0);
    t = gelf_tcp_create(server, loop, &o, &e);
    ASSERT(t);
    client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(connect(client, (struct sockaddr *)&a, size) == 0);
    turn();
    for (size_t at = 3, k = 0; at < n; k++) {
        size_t part = MIN(1 + (data[k & 1] >> (k % 3)) % 64u, n - at);

        ssize_t sent = send(client, data + at, part, MSG_NOSIGNAL | MSG_DONTWAIT);

        at += sent > 0 ? (size_t)sent : 0;
        if (sent < 0) {
            /* The socket holds no more: the input has to read. */
            in.full = false;
            gelf_tcp_room(t);
            turn();
            continue;
        }
        in.full = data[2] >> (k % 8) & 1;
        if (!in.full)
            gelf_tcp_room(t);
        if (k % 3)
            turn();
    }
    close(client);
    turn();
    in.full = false;
    for (int i = 0; i < 3; i++) {
        gelf_tcp_room(t);
        turn();
        turn();
    }
    gelf_tcp_free(t);
    expect(bytes_of(data + 3, n - 3), &wanted, &too_large);
    ASSERT(bytes_equal(strbuf_bytes(&in.taken), strbuf_bytes(&wanted)));
    ASSERT(in.dropped[BUFFER_DROP_TOO_LARGE] == too_large && in.dropped[BUFFER_DROP_FULL] == 0);
    strbuf_fini(&in.taken);
    strbuf_fini(&wanted);
    return 0;
}

/*
 * Coordination of the GELF input: what a datagram is, and when what waits is due. The parts:
 * gelf_socket and gelf_udp bring datagrams, gelf_chunks puts them together, gelf_inflate inflates,
 * gelf_tcp cuts streams into messages, gelf_records makes records.
 */
#include "agent/inputs/gelf.h"

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "agent/inputs/gelf_chunks.h"
#include "agent/inputs/gelf_inflate.h"
#include "agent/inputs/gelf_records.h"
#include "agent/inputs/gelf_socket.h"
#include "agent/inputs/gelf_tcp.h"
#include "agent/inputs/gelf_udp.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define BATCHES_PER_TURN 16  /* 1,024 datagrams, then the other sources have their turn */
#define FINISH_CHUNKS_MS 250 /* of a stop: lost chunks must not hold it up */
#define BATCHES_AT_END 1024  /* 65,536: more than a socket buffer of 16 MiB holds of small ones */

struct gelf_input {
    struct loop *loop;
    struct intake *in;
    size_t max_message;
    struct gelf_udp *udp; /* NULL: off */
    struct loop_io *udp_io;
    struct gelf_tcp *tcp; /* NULL: off */
    struct gelf_chunks *chunks;
    struct gelf_inflater *inflater;
    struct gelf_records *records;
    struct loop_timer *timer; /* for whatever waits: chunks, pieces of lines */
    uint64_t timer_due_ms;
    int64_t arrival_ns;                 /* of the batch */
    uint64_t odd;                       /* datagrams that made no message */
    struct sockaddr_storage odd_sender; /* of the last of them */
    uint64_t incomplete_told, evicted_told, odd_told;
};

/* ---- datagrams ---- */

/* A whole message: a datagram, or what its chunks made. */
static void on_payload(struct gelf_input *g, struct bytes payload)
{
    uint64_t now_ms = loop_now_ms(g->loop);

    if (gelf_inflate_is_compressed(payload) &&
        !gelf_inflate(g->inflater, payload, now_ms, &payload)) {
        metric_add(M_GELF_UNDECODABLE, 1);
        g->odd++;
        return;
    }
    if (payload.n > g->max_message) {
        intake_count_drop(g->in, BUFFER_DROP_TOO_LARGE, 1);
        return;
    }
    if (gelf_records_take(g->records, payload, g->arrival_ns, now_ms) == INTAKE_FULL)
        intake_count_drop(g->in, BUFFER_DROP_FULL, 1);
}

static void on_chunk(struct gelf_input *g, const struct sockaddr_storage *from, struct bytes d)
{
    struct gelf_sender sender;
    struct bytes message;

    gelf_udp_sender(from, &sender);
    switch (gelf_chunks_add(g->chunks, &sender, d, loop_now_ms(g->loop), &message)) {
    case GELF_CHUNK_COMPLETE:
        on_payload(g, message);
        break;
    case GELF_CHUNK_BAD:
        metric_add(M_GELF_BAD_CHUNK, 1);
        g->odd++;
        break;
    case GELF_CHUNK_WAITS:
    case GELF_CHUNK_REPEATED:
    case GELF_CHUNK_REFUSED:
        break;
    }
}

static void on_datagram(void *arg, const struct sockaddr_storage *from, struct bytes d)
{
    struct gelf_input *g = arg;
    uint64_t odd = g->odd, invalid = gelf_records_invalid(g->records);

    if (gelf_chunks_is_chunk(d))
        on_chunk(g, from, d);
    else
        on_payload(g, d);
    g->odd += gelf_records_invalid(g->records) - invalid;
    if (UNLIKELY(g->odd != odd))
        g->odd_sender = *from;
}

/* ---- figures and timers ---- */

static void tell(struct gelf_input *g)
{
    const struct gelf_chunks_stats *s = gelf_chunks_stats(g->chunks);

    metric_set(M_GELF_PENDING, s->chunks);
    metric_set(M_GELF_PENDING_BYTES, s->bytes);
    if (s->incomplete != g->incomplete_told) {
        metric_add(M_GELF_INCOMPLETE, s->incomplete - g->incomplete_told);
        log_warn("chunked GELF messages were given up: chunks are missing",
                 LOG_U64("messages", s->incomplete - g->incomplete_told));
        g->incomplete_told = s->incomplete;
    }
    if (s->evicted != g->evicted_told) {
        metric_add(M_GELF_EVICTED, s->evicted - g->evicted_told);
        log_warn("chunked GELF messages were given up for want of room",
                 LOG_U64("messages", s->evicted - g->evicted_told),
                 LOG_STR("knob", "inputs.gelf.max_pending"));
        g->evicted_told = s->evicted;
    }
}

static void tell_odd(struct gelf_input *g)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];

    if (g->odd == g->odd_told)
        return;
    if (getnameinfo((struct sockaddr *)&g->odd_sender, sizeof g->odd_sender, host, sizeof host,
                    port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV | NI_DGRAM) != 0)
        host[0] = port[0] = '\0';
    log_warn("datagrams came that are no GELF messages, or broken ones",
             LOG_U64("datagrams", g->odd - g->odd_told), LOG_STR("last_from", host),
             LOG_STR("port", port));
    g->odd_told = g->odd;
}

/* Arms the timer for what is due next, unless it is armed for that or something earlier. */
static void arm(struct gelf_input *g)
{
    uint64_t due = MIN(gelf_chunks_next_ms(g->chunks), gelf_records_next_ms(g->records));
    uint64_t now = loop_now_ms(g->loop);

    if (due >= g->timer_due_ms)
        return;
    g->timer_due_ms = due;
    loop_timer_set(g->timer, due > now ? due - now : 0);
}

static void on_timer(void *arg)
{
    struct gelf_input *g = arg;
    uint64_t now = loop_now_ms(g->loop);

    g->timer_due_ms = UINT64_MAX;
    gelf_chunks_expire(g->chunks, now);
    gelf_records_expire(g->records, now);
    tell(g);
    arm(g);
}

/* A turn of the datagram socket. */
static void receive(struct gelf_input *g, unsigned batches)
{
    size_t n;

    do {
        g->arrival_ns = clock_wall_ns();
        n = gelf_udp_receive(g->udp, GELF_UDP_BATCH, on_datagram, g);
    } while (n == GELF_UDP_BATCH && --batches > 0);
    gelf_udp_count_drops(g->udp);
    tell(g);
    tell_odd(g);
    arm(g);
}

static void on_readable(void *arg, uint32_t events)
{
    (void)events;
    receive(arg, BATCHES_PER_TURN);
}

/* ---- streams ---- */

static enum intake_result on_stream_message(void *arg, struct bytes message)
{
    struct gelf_input *g = arg;
    uint64_t invalid = gelf_records_invalid(g->records);
    enum intake_result result =
        gelf_records_take(g->records, message, clock_wall_ns(), loop_now_ms(g->loop));

    if (UNLIKELY(gelf_records_invalid(g->records) != invalid))
        log_warn("a stream carries what is no GELF message", LOG_U64("bytes", message.n));
    arm(g);
    return result;
}

/* ---- life ---- */

int gelf_sockets_open(const struct gelf_settings *s, struct gelf_sockets *to, struct error *e)
{
    bool ok;

    *to = (struct gelf_sockets){-1, -1};
    ok = (!s->udp[0] || (to->udp = gelf_socket_open(s->udp, SOCK_DGRAM, e)) >= 0) &&
         (!s->tcp[0] || (to->tcp = gelf_socket_open(s->tcp, SOCK_STREAM, e)) >= 0);
    gelf_socket_forget_passed();
    if (to->udp >= 0)
        gelf_udp_ask_for_buffer(to->udp, s->receive_buffer_bytes);
    if (!ok)
        gelf_sockets_close(to);
    return ok ? 0 : -1;
}

void gelf_sockets_close(struct gelf_sockets *s)
{
    if (s->udp >= 0)
        close(s->udp);
    if (s->tcp >= 0)
        close(s->tcp);
    *s = (struct gelf_sockets){-1, -1};
}

static int start_udp(struct gelf_input *g, int fd, struct error *e)
{
    g->udp = gelf_udp_create(fd);
    g->udp_io = loop_io_add(g->loop, fd, EPOLLIN, on_readable, g);
    if (!g->udp_io)
        return error_set(e, "inputs.gelf: cannot wait for datagrams: %s", strerror(errno));
    return 0;
}

static int start_tcp(struct gelf_input *g, const struct gelf_settings *s, int fd, struct error *e)
{
    struct gelf_tcp_options o = {.in = g->in,
                                 .take = on_stream_message,
                                 .arg = g,
                                 .when_full_ms = s->tcp_when_full_ms,
                                 .max_message_bytes = s->max_message_bytes,
                                 .max_pending_bytes = s->max_pending_bytes};

    g->tcp = gelf_tcp_create(fd, g->loop, &o, e);
    return g->tcp ? 0 : -1;
}

static void close_all(struct gelf_input *g)
{
    loop_io_remove(&g->udp_io);
    gelf_udp_free(g->udp);
    gelf_tcp_free(g->tcp);
    loop_timer_remove(&g->timer);
    gelf_records_free(g->records);
    gelf_inflater_free(g->inflater);
    gelf_chunks_free(g->chunks);
    free(g);
}

struct gelf_input *gelf_input_start(const struct gelf_settings *s, struct gelf_sockets *sockets,
                                    struct loop *loop, struct intake *in, gelf_origin_fn origin,
                                    void *origin_arg, struct error *e)
{
    struct gelf_input *g = base_calloc(1, sizeof *g);
    int udp = sockets->udp, tcp = sockets->tcp;
    bool ok;

    *sockets = (struct gelf_sockets){-1, -1};
    g->loop = loop;
    g->in = in;
    g->max_message = s->max_message_bytes;
    g->timer_due_ms = UINT64_MAX;
    g->chunks = gelf_chunks_create(s->max_pending_bytes);
    g->inflater = gelf_inflater_create(s->max_message_bytes);
    g->records =
        gelf_records_create(in, origin, origin_arg, s->max_pending_bytes, s->max_message_bytes);
    g->timer = loop_timer_add(loop, on_timer, g);
    ok = udp < 0 || start_udp(g, udp, e) == 0;
    if (ok)
        ok = tcp < 0 || start_tcp(g, s, tcp, e) == 0;
    else if (tcp >= 0)
        close(tcp);
    if (!ok) {
        close_all(g);
        return NULL;
    }
    return g;
}

void gelf_input_formats_changed(struct gelf_input *g)
{
    gelf_records_formats_changed(g->records);
}

void gelf_input_room(struct gelf_input *g)
{
    if (g->tcp)
        gelf_tcp_room(g->tcp);
}

/* What was taken from the socket is gone from it, and the next life cannot join what we began: goes
 * on, datagram by datagram, to a moment at which no message lacks a chunk. The rest of one is on
 * its way already. */
static void finish_chunks(struct gelf_input *g)
{
    uint64_t until_ms = clock_mono_ms() + FINISH_CHUNKS_MS, now_ms;

    while (gelf_chunks_stats(g->chunks)->chunks > 0 && (now_ms = clock_mono_ms()) < until_ms) {
        struct pollfd p = {.fd = gelf_udp_fd(g->udp), .events = POLLIN};

        g->arrival_ns = clock_wall_ns();
        if (gelf_udp_receive(g->udp, 1, on_datagram, g) == 0 &&
            poll(&p, 1, (int)(until_ms - now_ms)) < 0 && errno != EINTR)
            break;
    }
}

void gelf_input_stop(struct gelf_input *g)
{
    if (!g)
        return;
    if (g->udp) {
        receive(g, BATCHES_AT_END);
        finish_chunks(g);
    }
    if (g->tcp)
        gelf_tcp_drain(g->tcp);
    gelf_records_flush(g->records);
    gelf_chunks_give_up(g->chunks);
    tell(g);
    close_all(g);
}

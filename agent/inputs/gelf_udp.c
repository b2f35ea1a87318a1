#include "agent/inputs/gelf_udp.h"

#include "agent/base/log.h"
#include "agent/base/metrics.h"
#include "agent/inputs/gelf_region.h"

#include <errno.h>
#include <limits.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#define DATAGRAM_MAX 65535
/* Buffers stand a little more than 64 KiB apart: at exactly 64 KiB their first lines would all meet
 * in the same few sets of the processor's cache. Only the pages that datagrams reach are ever
 * touched: 4 MiB at most. */
#define STRIDE (65536 + 9 * 64)

struct gelf_udp {
    int fd;
    struct mmsghdr message[GELF_UDP_BATCH];
    struct iovec part[GELF_UDP_BATCH];
    struct sockaddr_storage from[GELF_UDP_BATCH];
    struct gelf_region room;
    uint32_t dropped; /* the kernel's counter when it was last looked at */
    bool cannot_tell; /* it has none */
};

/* The kernel grants twice what was asked for, to cover its own bookkeeping; told here is what
 * counts for the knob. */
void gelf_udp_ask_for_buffer(int fd, uint64_t bytes)
{
    int n = (int)MIN(bytes, (uint64_t)INT_MAX / 2), granted = 0;
    socklen_t size = sizeof granted;

    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &n, sizeof n) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof n);
    if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &granted, &size) < 0)
        return;
    granted /= 2;
    if (granted < n)
        log_warn("the kernel grants a smaller receive buffer than inputs.gelf.receive_buffer",
                 LOG_U64("wanted", n), LOG_U64("granted", granted),
                 LOG_STR("knob", "sysctl net.core.rmem_max"));
    else
        log_info("receive buffer for GELF datagrams", LOG_U64("granted", granted));
}

/* The socket's drop counter: the one that /proc/net/udp shows and SO_RXQ_OVFL carries. */
static bool kernel_drops(int fd, uint32_t *drops)
{
    uint32_t figure[SK_MEMINFO_VARS] = {0};
    socklen_t n = sizeof figure;

    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, figure, &n) < 0 ||
        n < (SK_MEMINFO_DROPS + 1) * sizeof figure[0])
        return false;
    *drops = figure[SK_MEMINFO_DROPS];
    return true;
}

struct gelf_udp *gelf_udp_create(int fd)
{
    struct gelf_udp *u = base_calloc(1, sizeof *u);

    u->fd = fd;
    gelf_region_init(&u->room, (size_t)GELF_UDP_BATCH * STRIDE);
    for (size_t i = 0; i < GELF_UDP_BATCH; i++) {
        u->part[i] = (struct iovec){u->room.p + i * STRIDE, DATAGRAM_MAX};
        u->message[i].msg_hdr = (struct msghdr){.msg_name = &u->from[i],
                                                .msg_namelen = sizeof u->from[i],
                                                .msg_iov = &u->part[i],
                                                .msg_iovlen = 1};
    }
    u->cannot_tell = !kernel_drops(fd, &u->dropped);
    if (u->cannot_tell)
        log_warn("this kernel does not tell how many datagrams it drops (SO_MEMINFO)");
    else if (u->dropped > 0)
        /* A socket from the service manager: in part an earlier process has counted these. */
        log_warn("the kernel dropped GELF datagrams before this start",
                 LOG_U64("dropped", u->dropped));
    return u;
}

void gelf_udp_free(struct gelf_udp *u)
{
    if (!u)
        return;
    close(u->fd);
    gelf_region_fini(&u->room);
    free(u);
}

int gelf_udp_fd(const struct gelf_udp *u)
{
    return u->fd;
}

size_t gelf_udp_receive(struct gelf_udp *u, unsigned max, gelf_udp_fn fn, void *arg)
{
    int n;
    uint64_t bytes = 0, cut = 0;

    ASSERT(max > 0 && max <= GELF_UDP_BATCH);
    do
        n = recvmmsg(u->fd, u->message, max, MSG_DONTWAIT, NULL);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        if (errno != EAGAIN)
            log_warn("receiving GELF datagrams failed", LOG_STR("error", strerror(errno)));
        return 0;
    }
    for (int i = 0; i < n; i++) {
        const struct mmsghdr *m = &u->message[i];

        bytes += m->msg_len;
        if (UNLIKELY(m->msg_hdr.msg_flags & MSG_TRUNC))
            cut++;
        else
            fn(arg, &u->from[i], bytes_of(u->part[i].iov_base, m->msg_len));
        u->message[i].msg_hdr.msg_namelen = sizeof u->from[i];
    }
    metric_add(M_GELF_DATAGRAMS, (uint64_t)n);
    metric_add(M_GELF_BYTES, bytes);
    if (cut)
        metric_add(M_GELF_UNDECODABLE, cut);
    return (size_t)n;
}

void gelf_udp_count_drops(struct gelf_udp *u)
{
    uint32_t now;

    if (u->cannot_tell || !kernel_drops(u->fd, &now) || now == u->dropped)
        return;
    metric_add(M_GELF_KERNEL_DROPPED, now - u->dropped); /* modulo 2^32, like the counter */
    log_warn("the kernel dropped GELF datagrams: they came faster than they were read",
             LOG_U64("dropped", now - u->dropped), LOG_STR("knob", "inputs.gelf.receive_buffer"));
    u->dropped = now;
}

void gelf_udp_sender(const struct sockaddr_storage *from, struct gelf_sender *to)
{
    *to = (struct gelf_sender){.port = 0};
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)(const void *)from;

        memcpy(to->address, &a->sin6_addr, 16);
        to->scope = a->sin6_scope_id;
        to->port = a->sin6_port;
    } else {
        const struct sockaddr_in *a = (const struct sockaddr_in *)(const void *)from;

        to->address[10] = to->address[11] = 0xff;
        memcpy(to->address + 12, &a->sin_addr, 4);
        to->port = a->sin_port;
    }
}

#include "agent/inputs/gelf_socket.h"

#include "agent/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#define FIRST_PASSED 3 /* SD_LISTEN_FDS_START */
#define MOST_PASSED 64
#define BACKLOG 128

static bool fits(int fd, int type)
{
    int have = 0, listens = 0, domain = 0;
    socklen_t n = sizeof have;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &have, &n) < 0 || have != type)
        return false;
    n = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0 ||
        (domain != AF_INET && domain != AF_INET6))
        return false;
    n = sizeof listens;
    return type == SOCK_DGRAM ||
           (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) == 0 && listens);
}

static int passed(int type)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    long n;

    if (!pid || !count || strtol(pid, NULL, 10) != (long)getpid())
        return -1;
    n = strtol(count, NULL, 10);
    for (int fd = FIRST_PASSED; fd < FIRST_PASSED + MIN(n, MOST_PASSED); fd++) {
        if (!fits(fd, type))
            continue;
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        return fd;
    }
    return -1;
}

/* What was taken is closed on exec; the others are as we got them. */
static void tell_unused(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    long n = pid && count && strtol(pid, NULL, 10) == (long)getpid() ? strtol(count, NULL, 10) : 0;
    uint64_t unused = 0;

    for (int fd = FIRST_PASSED; fd < FIRST_PASSED + MIN(n, MOST_PASSED); fd++)
        unused += fcntl(fd, F_GETFD) == 0;
    if (unused)
        log_warn("the service manager holds sockets that nobody reads: what is sent there is lost",
                 LOG_U64("sockets", unused), LOG_STR("knob", "inputs.gelf.udp, inputs.gelf.tcp"));
}

void gelf_socket_forget_passed(void)
{
    tell_unused();
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}

static int bind_to(const struct addrinfo *a)
{
    static const int on = 1, off = 0;
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
    int why;

    if (fd < 0)
        return -1;
    if (a->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    /* Not for datagrams: there it would let two agents share a port, each with half of the
     * messages. */
    if (a->ai_socktype == SOCK_STREAM)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 &&
        (a->ai_socktype != SOCK_STREAM || listen(fd, BACKLOG) == 0))
        return fd;
    why = errno;
    close(fd);
    errno = why;
    return -1;
}

/* The first address of the family that can be bound; AF_UNSPEC: any. */
static int bind_first(const struct addrinfo *list, int family)
{
    for (; list; list = list->ai_next) {
        int fd;

        if (family != AF_UNSPEC && list->ai_family != family)
            continue;
        fd = bind_to(list);
        if (fd >= 0)
            return fd;
    }
    return -1;
}

static int bind_address(const char *address, const char *host, const char *port, int type,
                        struct error *e)
{
    const char *knob = type == SOCK_STREAM ? "inputs.gelf.tcp" : "inputs.gelf.udp";
    struct addrinfo hints = {.ai_socktype = type, .ai_flags = AI_PASSIVE}, *list = NULL;
    bool any = host[0] == '\0' || strcmp(host, "*") == 0;
    int fd, result = getaddrinfo(any ? NULL : host, port, &hints, &list);

    if (result != 0)
        return error_set(e, "%s: cannot resolve %s: %s", knob, address,
                         result == EAI_SYSTEM ? strerror(errno) : gai_strerror(result));
    /* All addresses: one IPv6 socket takes both kinds, where there is IPv6. */
    fd = bind_first(list, any ? AF_INET6 : AF_INET);
    if (fd < 0)
        fd = bind_first(list, AF_UNSPEC);
    if (fd < 0)
        error_set(e, "%s: cannot listen on %s: %s; choose another address, or \"\" for none", knob,
                  address, strerror(errno));
    freeaddrinfo(list);
    return fd;
}

int gelf_socket_open(const char *address, int type, struct error *e)
{
    int fd = passed(type);
    const char *colon = strrchr(address, ':');
    char *host;
    size_t n;

    if (fd >= 0) {
        log_info("took a socket from the service manager", LOG_STR("for", address));
        return fd;
    }
    if (!colon || colon[1] == '\0')
        return error_set(e, "inputs.gelf: %s has no port", address);
    n = (size_t)(colon - address);
    host = n >= 2 && address[0] == '[' && address[n - 1] == ']' ? base_strndup(address + 1, n - 2)
                                                                : base_strndup(address, n);
    fd = bind_address(address, host, colon + 1, type, e);
    free(host);
    return fd;
}

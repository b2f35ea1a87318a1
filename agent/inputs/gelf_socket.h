/*
 * gelf_socket: opens the sockets that GELF comes in by, or takes those that systemd holds for us,
 * so that a restart loses neither datagrams nor connection attempts. At start only, before other
 * threads run (it changes the environment).
 */
#ifndef BARGE_GELF_SOCKET_H
#define BARGE_GELF_SOCKET_H

#include "agent/base/base.h"

#include <sys/socket.h>

/* type: SOCK_DGRAM or SOCK_STREAM. address: "host:port", host a name, an IPv4 address, an IPv6
 * address in brackets, or nothing or "*" for all addresses. "[::]" takes IPv4 as well. Of a name's
 * addresses the first IPv4 one that can be bound is taken, since that is what Docker's driver sends
 * to. A socket of that type passed by the service manager (LISTEN_PID, LISTEN_FDS;
 * sd_listen_fds(3)) is taken instead of binding. Returns a bound descriptor (listening when a
 * stream), non-blocking, closed on exec; -1 with *e. */
int gelf_socket_open(const char *address, int type, struct error *e);

/* Once all are open: tells of sockets that nobody has taken, and makes the service manager's
 * variables go away, so that nobody takes the numbers for sockets again. */
void gelf_socket_forget_passed(void);

#endif

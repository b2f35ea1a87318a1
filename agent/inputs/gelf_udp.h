/*
 * gelf_udp: takes datagrams from a socket in batches. Intake thread.
 */
#ifndef BARGE_GELF_UDP_H
#define BARGE_GELF_UDP_H

#include "agent/base/base.h"
#include "agent/inputs/gelf_chunks.h"

#include <sys/socket.h>

#define GELF_UDP_BATCH 64

struct gelf_udp;

/* A datagram; d is valid during the call. */
typedef void (*gelf_udp_fn)(void *arg, const struct sockaddr_storage *from, struct bytes d);

/* Asks for bytes of socket buffer (by SO_RCVBUFFORCE, which takes a right that may be gone later,
 * then SO_RCVBUF); what was granted is logged, and the knob when it is less. */
void gelf_udp_ask_for_buffer(int fd, uint64_t bytes);

/* fd: a bound datagram socket, taken over. */
struct gelf_udp *gelf_udp_create(int fd);

/* Closes. NULL is fine. */
void gelf_udp_free(struct gelf_udp *u);

int gelf_udp_fd(const struct gelf_udp *u);

/* Receives up to max (at most GELF_UDP_BATCH) datagrams without waiting and calls fn for each.
 * Returns how many there were; fewer than max: the socket is empty. A datagram larger than any may
 * be is counted (undecodable), not handed on. */
size_t gelf_udp_receive(struct gelf_udp *u, unsigned max, gelf_udp_fn fn, void *arg);

/* Adds what the kernel dropped since the last call to inputs.gelf.kernel_dropped. One system call.
 */
void gelf_udp_count_drops(struct gelf_udp *u);

/* The sender as the chunk table knows it. */
void gelf_udp_sender(const struct sockaddr_storage *from, struct gelf_sender *to);

#endif

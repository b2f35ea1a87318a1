/*
 * gelf_tcp: GELF over TCP: JSON messages, each ended by one NUL byte, no compression, no chunks.
 * Blanks and line ends around a message are taken off; a last message without NUL counts when the
 * peer closes. Intake thread.
 *
 * A message that finds the buffer full stays, and its stream is not read on: the peer's own buffers
 * fill, and it waits. After when_full_ms the stream's messages are dropped and counted until there
 * is room again.
 *
 * Ceilings: 1,024 streams (further ones are closed at once, and logged); max_message bytes for a
 * message: one that is longer is skipped to its NUL and counted as too large; max_pending bytes for
 * what all streams together hold of unfinished messages: beyond it the stream that holds most gives
 * up its message in the same way, so that a stream that holds no more than its share (max_pending /
 * 2,048) is never the one. A stream that waits for room may hold up to 64 KiB more. An idle stream
 * holds nothing, and is kept: Docker keeps its open.
 */
#ifndef BARGE_GELF_TCP_H
#define BARGE_GELF_TCP_H

#include "agent/inputs/gelf.h"

struct gelf_tcp;

/* Takes one message; borrowed during the call. INTAKE_FULL: it will be offered again, or dropped.
 */
typedef enum intake_result (*gelf_tcp_fn)(void *arg, struct bytes message);

struct gelf_tcp_options {
    struct intake *in; /* for room, and for counting drops */
    gelf_tcp_fn take;
    void *arg;
    uint64_t when_full_ms, max_message_bytes, max_pending_bytes;
};

/* fd: a listening stream socket, taken over. NULL with *e when the loop refuses it. */
struct gelf_tcp *gelf_tcp_create(int fd, struct loop *loop, const struct gelf_tcp_options *o,
                                 struct error *e);

/* There may be room again: streams that wait go on. */
void gelf_tcp_room(struct gelf_tcp *t);

/* Reads what the streams hold (4 MiB each at most), without waiting for anything. */
void gelf_tcp_drain(struct gelf_tcp *t);

/* Closes everything; unfinished messages are forgotten. NULL is fine. */
void gelf_tcp_free(struct gelf_tcp *t);

#endif

/*
 * tail_gz: reads a gzip file as if it were plain: by offset into what it decompresses to. Reading
 * on is cheap, going back begins anew. Members one behind the other are one text (RFC 1952 2.2);
 * what a cut-off or damaged file still gives is given. One thread.
 */
#ifndef BARGE_TAIL_GZ_H
#define BARGE_TAIL_GZ_H

#include "agent/base/base.h"

#include <sys/types.h>

struct tail_gz;

/* fd is borrowed. Takes about 64 KiB, and what the largest read asks for. */
struct tail_gz *tail_gz_open(int fd);
void tail_gz_close(struct tail_gz *gz);

/* Up to n bytes at offset `at` of the decompressed text. Fewer than n: that is all there is for
 * now. -1 with EAGAIN: not there yet, call again (each call does a bounded piece of work); -1 with
 * another errno: the file cannot be read. */
ssize_t tail_gz_pread(struct tail_gz *gz, void *to, size_t n, uint64_t at);

/* Whether the text ended because the file is cut off or damaged; known when a read was short. */
bool tail_gz_broken(const struct tail_gz *gz);

#endif

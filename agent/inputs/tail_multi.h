/*
 * tail_multi: puts the lines of one event together (parsers/multiline.h says which), between
 * framing and the intake, for containers' logs and for text files. Knows no files and no clocks.
 *
 * A record waits until a line of its stream begins the next one. Everything that happens to it is a
 * function of the stream's bytes, but for one thing: when its stream is silent, tail_multi_cut
 * ends it. So that `_id`s last all the same:
 *
 *   where a record of each stream that was not handed on begins (tail_multi_first) is a position:
 *   framed anew from there with nothing pending, the lines make the same records again. What a cut
 *   has ended lies before it, and the line behind the cut begins a record, now and after every
 *   restart;
 *   a record that a cut ended, and the position behind it, go into the buffer in one commit, and
 * the record is not sent before that is fsynced (`cut`): a power cut loses both or neither. Lost,
 * it was not sent, and may well grow by the lines that came since; streams are cut one by one: each
 * has a position of its own, so that nothing of the others need end with it, nor a line of which
 * pieces are still to come.
 *
 * An event of a container goes on from one of its files to the next: Docker rotates between any two
 * lines. One of a text file lies in that file, for programs rotate between events, and the old file
 * may be written to beside the new one: a line of another file cuts what is pending, each file has
 * a position of its own, and none of them needs to know what waits in another.
 *
 * Nothing is refused half-way: a line goes in whole, and what cannot be handed on waits in a queue.
 * One thread.
 */
#ifndef BARGE_TAIL_MULTI_H
#define BARGE_TAIL_MULTI_H

#include "agent/inputs/docker_join.h"
#include "parsers/document.h"
#include "parsers/multiline.h"

struct tail_multi;

/* rule is copied; with neither languages nor pattern every line is a record of its own. form: of
 * the lines that may belong together, TEXT_ESCAPED (Docker) or TEXT_LINE (CRI) for a container's,
 * TEXT_RAW for a text file's, of which an empty one that continues nothing is nothing. Owned. */
struct tail_multi *tail_multi_create(const struct multiline_rule *rule, enum text_form form);
void tail_multi_free(struct tail_multi *m);
/* Another rule from now on: what is pending under the old one is cut. */
void tail_multi_set_rule(struct tail_multi *m, const struct multiline_rule *rule);

/* The next record of the container: a line, its pieces joined. */
void tail_multi_take(struct tail_multi *m, const struct docker_framed *r, docker_emit_fn *emit,
                     void *arg);

/* Hands on what is complete. false: emit refused, call again before anything else is taken. */
bool tail_multi_drain(struct tail_multi *m, docker_emit_fn *emit, void *arg);
/* Whether something complete is not handed on. */
bool tail_multi_is_full(const struct tail_multi *m);

/* What is pending in these streams (bits by enum stream) is complete, by no word of the bytes. */
void tail_multi_cut(struct tail_multi *m, unsigned streams);

/* The first record of this stream that was not handed on, NULL when there is none: its source,
 * position and time are set. Of text files: the first one of this file. */
const struct docker_framed *tail_multi_first(const struct tail_multi *m, size_t stream);
const struct docker_framed *tail_multi_first_in(const struct tail_multi *m, uint64_t source);

/* Which streams (bits) have a pending record that has not grown for quiet_ms. By the caller's
 * monotonic clock; to be asked after each reading. */
unsigned tail_multi_silent(struct tail_multi *m, uint64_t now_ms, uint64_t quiet_ms);
/* What is pending has not grown since then: its lines were read before. */
void tail_multi_silent_since(struct tail_multi *m, uint64_t since_ms);
/* Which streams have a pending record, and which one that began in this file. */
unsigned tail_multi_pending(const struct tail_multi *m);
unsigned tail_multi_pending_in(const struct tail_multi *m, uint64_t source);

/* Nothing of a container that waits can be read again: it began in a file that was truncated. */
void tail_multi_uproot(struct tail_multi *m);

/* Forgets what waits, and gives the memory back. */
void tail_multi_forget(struct tail_multi *m);

/* Memory held. */
size_t tail_multi_bytes(const struct tail_multi *m);

#endif

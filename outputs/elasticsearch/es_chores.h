/*
 * es_chores: what the agent does in a node beside delivering: puts the index template in place at
 * start, and indexes its own figures once a minute when it is asked to. A thread of its own, which
 * ends when there is nothing left to do; nothing here holds up the delivery for more than half
 * a minute, and nothing here can fail it.
 */
#ifndef BARGE_ES_CHORES_H
#define BARGE_ES_CHORES_H

#include "outputs/output.h"

struct es_chores;

/* Starts what o->config asks for: setup, self_index. *chores is NULL when that is nothing. on_turn
 * is called from the thread after each attempt at setting up; it must not call back. -1 with *e. */
int es_chores_start(const struct output_options *o, void (*on_turn)(void *arg), void *arg,
                    struct es_chores **chores, struct error *e);

/* Whether a bulk request may be sent though nothing has been indexed yet in this life: the template
 * is in place, or was refused, or the node that we asked for it just now was away, or we have asked
 * for long enough. false: an attempt is under way; ask again after on_turn or at *due_ms. For the
 * delivery thread. */
bool es_chores_allow(struct es_chores *c, uint64_t now_ms, uint64_t *due_ms);

/* A request was sent under what es_chores_allow has allowed: before the next one it is asked anew.
 */
void es_chores_sent(struct es_chores *c);

/* Ends what is under way, and the thread. c may be NULL. */
void es_chores_stop(struct es_chores *c);

#endif

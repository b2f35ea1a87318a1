/*
 * status: the pages by which an agent is watched, over HTTP/1.1 in one thread of its own:
 *
 *   /metrics   all figures for Prometheus (text format 0.0.4)
 *   /status    the same as nested JSON, for `barge status` and scripts
 *   /health    200 while there is progress, else 503 with the reason
 *   /ready     200 while the agent runs, else 503
 *
 * GET and HEAD only. Connections, their memory and their time are bounded; an idle page costs
 * nothing.
 */
#ifndef BARGE_STATUS_H
#define BARGE_STATUS_H

#include "agent/base/base.h"
#include "agent/base/strbuf.h"

struct status;

/* Listens on "host:port" (checked by config; port 0: the kernel chooses). Returns a descriptor, -1
 * with *e when the address cannot be had. Before rights are given up: ports below 1024. */
int status_listen(const char *address, struct error *e);

/* Serves the pages on fd, from status_listen(address), taken over in any case; the log says which
 * port it is. fill brings figures up to date before they are shown; healthy and ready return false
 * with a reason added to why; each may be NULL. All are called in the thread of the pages, with
 * arg. NULL with *e when that cannot be had. */
struct status *status_start(int fd, const char *address, void (*fill)(void *arg),
                            bool (*healthy)(void *arg, struct strbuf *why),
                            bool (*ready)(void *arg, struct strbuf *why), void *arg,
                            struct error *e);

/* The port that it listens on. */
unsigned status_port(const struct status *s);

/* Ends the thread; open connections are cut. NULL is fine. */
void status_stop(struct status *s);

/* The pages' texts, without a server. */
void status_render_metrics(struct strbuf *to, uint64_t uptime_s);
void status_render_json(struct strbuf *to, uint64_t uptime_s);

#endif

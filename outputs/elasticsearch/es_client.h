/*
 * es_client: one request at a time to the nodes of the output, for what is no delivery: setting up,
 * searching, Kibana. Waits for the answer; several hosts are tried in turn, beginning with the one
 * that answered last. Address, TLS, secrets and proxy are those of the output (es_http).
 *
 * One thread, but for es_client_abort.
 */
#ifndef BARGE_ES_CLIENT_H
#define BARGE_ES_CLIENT_H

#include "agent/base/strbuf.h"
#include "agent/config/config.h"

struct es_client;

struct es_client_options {
    char *const *hosts;         /* URLs, ended by NULL; NULL: those of the settings */
    const char *const *headers; /* "Name: value" to add to each request, ended by NULL; or NULL */
    uint64_t timeout_ms;        /* of one attempt at one host; 0: 30 s */
    size_t response_max;        /* bytes of an answer; 0: 64 MiB. A larger one is an error */
};

/* settings, and what options point to, outlive the client. Reads the secrets. NULL with *e: a
 * secret or URL that cannot be used. */
struct es_client *es_client_create(const struct elasticsearch_settings *settings,
                                   const struct es_client_options *options, struct error *e);
void es_client_destroy(struct es_client *c);

/* Sends method ("GET", "PUT", …) and path (from its slash, with its query; escaped by the caller)
 * with body (BYTES_NONE: none) of content_type (NULL: application/json). 0 when a host answered:
 * *status is its HTTP status, whatever that is, and *response (emptied first) the whole body.
 * -1 with *e, "HOST: why", when none did within the limits, or the client was aborted.
 *
 * 502, 503 and 504 (a proxy before a node that is away) count as an answer only when no other host
 * gives a better one; so a request that changes something must bear being made twice. After a 401
 * the secrets are read again, and if they are others it is asked once more. */
int es_client_request(struct es_client *c, const char *method, const char *path, struct bytes body,
                      const char *content_type, long *status, struct strbuf *response,
                      struct error *e);

/* host:port of the host that was asked last. */
const char *es_client_host(const struct es_client *c);

/* Ends the request under way, and each one to come, at once. Any thread. */
void es_client_abort(struct es_client *c);

/* Adds s to a path or query: all but letters, digits and -_.~ as %XX. */
void es_client_escape(struct strbuf *to, struct bytes s);

/* What the error of an answer says, "type: reason", else its beginning: for messages. */
void es_client_reason(struct bytes response, struct strbuf *to);

#endif

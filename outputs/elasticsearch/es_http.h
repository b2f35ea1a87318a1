/*
 * es_http: what every request to a node has in common, whoever makes it: the address taken from its
 * URL, HTTP/1.1 without Expect, redirects or a proxy that was not configured, TLS, and who we are.
 * Knows nothing of bodies and answers. Any thread; what it is handed is the caller's own.
 */
#ifndef BARGE_ES_HTTP_H
#define BARGE_ES_HTTP_H

#include "outputs/elasticsearch/es_credentials.h"

#include <curl/curl.h>

struct es_address {
    char *base;            /* owned; the URL without user, password, query and a slash at its end */
    char *name;            /* owned; host:port, for logs and figures */
    char *user, *password; /* owned; from the URL, or NULL */
};

/* Takes url apart into *a. -1 with *e, which tells number and not the URL (a password may stand
 * in it where nobody looks for one), when libcurl cannot use it; *a is then empty. */
int es_http_address_init(struct es_address *a, const char *url, size_t number, struct error *e);
void es_http_address_fini(struct es_address *a);

/* Adds a copy of line. */
void es_http_add_header(struct curl_slist **headers, const char *line);

/* Sets on easy (fresh or reset) all that does not depend on the request; certificates are copied
 * by libcurl. Adds to *headers, which the caller completes and sets. The time limits are the
 * caller's, too. */
void es_http_set_up(CURL *easy, struct curl_slist **headers,
                    const struct elasticsearch_settings *settings,
                    const struct es_credentials *credentials, const struct es_address *address);

/* What can be known of the settings without a node: libcurl takes the URLs, secrets and
 * certificates can be read, and the key is the certificate's. Talks to nobody but itself. -1 with
 * *e, which begins with the setting. */
int es_http_check(const struct elasticsearch_settings *settings, struct error *e);

#endif

/*
 * es_credentials: by what we prove who we are and know who the node is: password, API key,
 * certificates. From files that are read whole, all of them or none, at start, on SIGHUP, after a
 * 401 and after a failed connection, so that what was rotated needs no restart and a file that is
 * half there changes nothing. Delivery thread.
 */
#ifndef BARGE_ES_CREDENTIALS_H
#define BARGE_ES_CREDENTIALS_H

#include "agent/config/config.h"

#define ES_SECRET_MAX 4096             /* of a password or key, blanks at its end included */
#define ES_CERTIFICATES_MAX (4u << 20) /* a system's bundle has some 200 KiB */

/* Bytes with a NUL behind them that are wiped when they are given back; p NULL: not configured. */
struct es_secret {
    char *p;
    size_t n;
};

struct es_credentials {
    struct es_secret password;
    struct es_secret api_key;            /* as it stands behind "ApiKey " */
    struct es_secret ca_file, cert_file; /* PEM */
    struct es_secret key_file;           /* PEM; that of cert_file when it has no file of its own */
};

/* Reads what settings name into *c, zeroed or from an earlier call. Trailing line ends and blanks
 * of password and API key are taken off. *changed (may be
 * NULL): whether anything is another than before. -1 with *e, which names setting and file, when
 * one cannot be read or is no such thing; *c is then as before. */
int es_credentials_read(struct es_credentials *c, const struct elasticsearch_settings *settings,
                        bool *changed, struct error *e);

/* Warns of secrets that everybody may read. For starts and reloads, not for each attempt. */
void es_credentials_warn(const struct elasticsearch_settings *settings);

void es_credentials_fini(struct es_credentials *c);

#endif

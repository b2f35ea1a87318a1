/*
 * es_credentials: user and password or API key, from files that are read again on SIGHUP and after
 * a 401, so that a rotated secret needs no restart. Delivery thread.
 */
#ifndef BARGE_ES_CREDENTIALS_H
#define BARGE_ES_CREDENTIALS_H

#include "agent/config/config.h"

#define ES_SECRET_MAX 4096

struct es_credentials {
    char password[ES_SECRET_MAX + 1];
    char api_key[ES_SECRET_MAX + 1]; /* as it stands behind "ApiKey " */
};

/* Reads what settings name; trailing line ends and blanks are taken off. Warns of files that
 * everybody may read. -1 with *e when one cannot be read or is empty; *c is then as before. */
int es_credentials_read(struct es_credentials *c, const struct elasticsearch_settings *settings,
                        struct error *e);

#endif

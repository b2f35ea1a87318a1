/*
 * es_kibana: data views, saved searches and dashboards into Kibana or OpenSearch Dashboards,
 * through their saved-objects import. Blocks.
 */
#ifndef BARGE_ES_KIBANA_H
#define BARGE_ES_KIBANA_H

#include "outputs/elasticsearch/es_setup.h"

/* Imports the objects into the Kibana at url (http://kibana:5601, maybe with a base path or
 * /s/SPACE), with user, secrets and TLS of the output. Objects that are there already are left as
 * they are, unless overwrite. With o->dry_run it only asks what Kibana that is. -1 with *e. */
int es_kibana_import(const char *url, bool overwrite, const struct es_setup_options *o,
                     struct error *e);

#endif

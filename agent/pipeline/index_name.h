/*
 * index_name: Logstash's index pattern, microservices-%{+YYYY.MM.dd}, into names. Also used for the
 * daily files' path. The parts:
 * %{+…} with YYYY, yyyy, MM, dd, HH and separators, UTC; %{service.name}, made legal for
 * Elasticsearch. Intake thread.
 */
#ifndef BARGE_INDEX_NAME_H
#define BARGE_INDEX_NAME_H

#include "agent/base/base.h"

struct index_name;

/* NULL with *e for a part that is not known or a %{ without its }. */
struct index_name *index_name_create(const char *pattern, struct error *e);
void index_name_free(struct index_name *n);

/* Whether the name depends on more than the instant. */
bool index_name_has_service(const struct index_name *n);

/* The name for an instant (ns since 1970, UTC) and a service (empty: "unknown"). Valid until the
 * next call. At most BUFFER_MAX_INDEX bytes, cut within the service. */
struct bytes index_name_for(struct index_name *n, int64_t time_ns, struct bytes service);

#endif

/*
 * es_verdict: what an answer of Elasticsearch or OpenSearch means for a record and for a request:
 * one table each. What the tables do not know is a retry. Sources: Elasticsearch bulk API, answers
 * recorded from 7.10, 8.19, 9.2, OpenSearch 1.3, 2.19, 3.8.
 *
 * Pure.
 */
#ifndef BARGE_ES_VERDICT_H
#define BARGE_ES_VERDICT_H

#include "agent/base/base.h"

/* What becomes of one record. */
enum es_fate {
    ES_RETRY,       /* again, with the next attempt */
    ES_RETRY_INDEX, /* again, and it is the index that takes nothing now: others need not wait */
    ES_DELIVERED,
    ES_DUPLICATE, /* this very record is there already */
    ES_REFUSED    /* the document's own fault */
};

/* status: the item's; type and reason: its error's, with caused_by's reason appended, empty when it
 * has none. */
enum es_fate es_verdict_item(long status, struct bytes type, struct bytes reason);

/* What becomes of a request that failed whole. */
enum es_whole {
    ES_WHOLE_OK,        /* 200: the items decide */
    ES_WHOLE_TOO_LARGE, /* 413: halve */
    ES_WHOLE_MALFORMED, /* 400: find the record */
    ES_WHOLE_AUTH,      /* 401, 403: credentials */
    ES_WHOLE_BUSY,      /* 408, 425, 429, 503: later */
    ES_WHOLE_BROKEN,    /* 500, 502, 504: later, too; but it may be one record that breaks it */
    ES_WHOLE_ODD        /* anything else: not what Elasticsearch says; later, with an alarm */
};

enum es_whole es_verdict_whole(long http_status);

#endif

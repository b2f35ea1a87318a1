#include "outputs/elasticsearch/es_verdict.h"

struct row {
    short from, to;     /* status */
    const char *type;   /* error.type, exactly; NULL: any that is not empty, "*": even none */
    const char *reason; /* part of error.reason; NULL: any */
    enum es_fate fate;
};

#define ILLEGAL "illegal_argument_exception"

/* The first row that fits decides. Codes and types changed over the versions (flood stage was 403
 * before 7.7, a closed index is 400 or 403): hence types and texts before codes. */
static const struct row rows[] = {
    {200, 201, "*", NULL, ES_DELIVERED},
    {409, 409, "version_conflict_engine_exception", NULL, ES_DUPLICATE},
    {409, 409, "", NULL,
     ES_DUPLICATE}, /* error filtered out on the way: to a create it says the same */
    {429, 429, "cluster_block_exception", NULL, ES_RETRY_INDEX},
    {429, 429, "*", NULL, ES_RETRY},
    {401, 401, "*", NULL, ES_RETRY_INDEX},
    {403, 403, "*", NULL, ES_RETRY_INDEX},
    {404, 404, "*", NULL, ES_RETRY_INDEX},
    {503, 503, "*", NULL, ES_RETRY_INDEX},
    /* Look like the document's fault and are the cluster's, the index's or the configuration's. */
    {400, 400, "index_closed_exception", NULL, ES_RETRY_INDEX},
    {400, 400, "cluster_block_exception", NULL, ES_RETRY_INDEX},
    {400, 400, "index_not_found_exception", NULL, ES_RETRY_INDEX},
    {400, 400, "invalid_index_name_exception", NULL, ES_RETRY_INDEX},
    {400, 400, "invalid_alias_name_exception", NULL, ES_RETRY_INDEX},
    {400, 400, "security_exception", NULL, ES_RETRY_INDEX},
    {400, 400, "routing_missing_exception", NULL, ES_RETRY_INDEX},
    {400, 400, "process_cluster_event_timeout_exception", NULL, ES_RETRY_INDEX},
    {400, 400, "unavailable_shards_exception", NULL, ES_RETRY_INDEX},
    {400, 400, "es_rejected_execution_exception", NULL, ES_RETRY},
    {400, 400, "rejected_execution_exception", NULL, ES_RETRY},
    {400, 400, "circuit_breaking_exception", NULL, ES_RETRY},
    /* Told by their texts; only where the text quotes nothing of the document's.
     * cluster.max_shards_per_node at midnight: */
    {400, 400, "validation_exception", "shards open", ES_RETRY_INDEX},
    {400, 400, ILLEGAL, "shards open", ES_RETRY_INDEX},
    {400, 400, ILLEGAL, "pipeline with id [", ES_RETRY_INDEX},
    {400, 400, ILLEGAL, "no write index is defined", ES_RETRY_INDEX},
    {400, 400, ILLEGAL, "in data streams", ES_RETRY_INDEX},
    {400, 400, ILLEGAL, "Number of documents in ", ES_RETRY_INDEX}, /* a full shard */
    {400, 400, NULL, NULL, ES_REFUSED},
};

enum es_fate es_verdict_item(long status, struct bytes type, struct bytes reason)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];

        if (status < r->from || status > r->to)
            continue;
        if (r->type == NULL ? type.n == 0 : strcmp(r->type, "*") != 0 && !bytes_is(type, r->type))
            continue;
        if (r->reason != NULL &&
            (reason.n == 0 || memmem(reason.p, reason.n, r->reason, strlen(r->reason)) == NULL))
            continue;
        return r->fate;
    }
    return ES_RETRY;
}

enum es_whole es_verdict_whole(long http_status)
{
    switch (http_status) {
    case 200:
        return ES_WHOLE_OK;
    case 400:
        return ES_WHOLE_MALFORMED;
    case 401:
    case 403:
        return ES_WHOLE_AUTH;
    case 413:
        return ES_WHOLE_TOO_LARGE;
    case 408:
    case 425:
    case 429:
    case 503:
        return ES_WHOLE_BUSY;
    case 500:
    case 502:
    case 504:
        return ES_WHOLE_BROKEN;
    default:
        return ES_WHOLE_ODD;
    }
}

#include "parsers/keys.h"

#include <stdlib.h>

/* Entries with the same name are not allowed; entries that differ only in case and separators are
 * (`id` and `_id`). */
static const struct key builtin[] = {
    /* The message. `event` is structlog's, `log` that of a JSON log inside a JSON log. */
    {"message", 0, TARGET_MESSAGE, 2, ROLE_TEXT, 0, 0, 0},
    {"msg", 0, TARGET_MESSAGE, 3, 0, 0, 0, 0},
    {"@m", 1, TARGET_MESSAGE, 4, 0, 0, 0, 0},
    {"rendered_message", 0, TARGET_MESSAGE, 5, 0, 0, 0, 0},
    {"@mt", 1, TARGET_MESSAGE, 6, 0, 0, 0, 0},
    {"message_template", 0, TARGET_MESSAGE, 7, 0, 0, 0, 0},
    {"short_message", 0, TARGET_MESSAGE, 8, 0, 0, 0, 0},
    {"M", 1, TARGET_MESSAGE, 9, 0, 0, 0, 0},
    {"event", 1, TARGET_MESSAGE, 10, ROLE_OBJECT, HOLDS_OURS, "action", "code"},
    {"log", 1, TARGET_MESSAGE, 11, ROLE_OBJECT, HOLDS_OURS, 0, 0},

    /* The level: words before numbers of the same record (see document_tree.c). */
    {"log.level", 0, TARGET_LEVEL, 1, 0, 0, 0, 0},
    {"level", 0, TARGET_LEVEL, 2, 0, 0, 0, 0},
    {"@l", 1, TARGET_LEVEL, 3, 0, 0, 0, 0},
    {"level_name", 0, TARGET_LEVEL, 4, 0, 0, 0, 0},
    {"severity", 0, TARGET_LEVEL, 5, 0, 0, 0, 0},
    {"severity_text", 0, TARGET_LEVEL, 6, 0, 0, 0, 0},
    {"lvl", 0, TARGET_LEVEL, 7, 0, 0, 0, 0},
    {"L", 1, TARGET_LEVEL, 8, 0, 0, 0, 0},

    /* The request. */
    {"http.request.id", 0, TARGET_REQUEST_ID, 1, 0, 0, 0, 0},
    {"request_id", 0, TARGET_REQUEST_ID, 2, 0, 0, 0, 0},
    {"x_request_id", 0, TARGET_REQUEST_ID, 3, 0, 0, 0, 0},
    {"http_x_request_id", 0, TARGET_REQUEST_ID, 4, 0, 0, 0, 0},
    {"req_id", 0, TARGET_REQUEST_ID, 5, 0, 0, 0, 0},
    {"correlation_id", 0, TARGET_REQUEST_ID, 6, 0, 0, 0, 0},
    {"x_correlation_id", 0, TARGET_REQUEST_ID, 7, 0, 0, 0, 0},

    /* The trace. */
    {"trace.id", 0, TARGET_TRACE_ID, 1, 0, 0, 0, 0},
    {"@tr", 1, TARGET_TRACE_ID, 2, 0, 0, 0, 0},
    {"otel_trace_id", 0, TARGET_TRACE_ID, 3, 0, 0, 0, 0},
    {"logging.googleapis.com/trace", 0, TARGET_TRACE_ID, 4, 0, 0, 0, 0},
    {"x_b3_trace_id", 0, TARGET_TRACE_ID, 5, 0, 0, 0, 0},
    {"dd.trace_id", 0, TARGET_TRACE_ID, 6, 0, 0, 0, 0},
    {"trace", 1, TARGET_TRACE_ID, 7, ROLE_OBJECT, HOLDS_OURS, 0, 0},
    {"span.id", 0, TARGET_SPAN_ID, 1, 0, 0, 0, 0},
    {"@sp", 1, TARGET_SPAN_ID, 2, 0, 0, 0, 0},
    {"otel_span_id", 0, TARGET_SPAN_ID, 3, 0, 0, 0, 0},
    {"logging.googleapis.com/spanId", 0, TARGET_SPAN_ID, 4, 0, 0, 0, 0},
    {"x_b3_span_id", 0, TARGET_SPAN_ID, 5, 0, 0, 0, 0},
    {"dd.span_id", 0, TARGET_SPAN_ID, 6, 0, 0, 0, 0},
    {"span", 1, TARGET_SPAN_ID, 7, ROLE_OBJECT, HOLDS_OURS, 0, 0},
    {"traceparent", 0, TARGET_TRACEPARENT, 1, 0, 0, 0, 0},

    /* The service. */
    {"service.name", 0, TARGET_SERVICE, 1, 0, 0, 0, 0},
    {"service", 1, TARGET_SERVICE, 2, ROLE_OBJECT, HOLDS_OURS, "name", "name"},
    {"otel_service_name", 0, TARGET_SERVICE, 3, 0, 0, 0, 0},
    {"dd.service", 0, TARGET_SERVICE, 4, 0, 0, 0, 0},

    /* The error. */
    {"error.message", 0, TARGET_ERROR_MESSAGE, 1, 0, 0, 0, 0},
    {"error", 0, TARGET_ERROR_MESSAGE, 2, ROLE_OBJECT, HOLDS_OURS, "message", "code"},
    {"err", 0, TARGET_ERROR_MESSAGE, 3, 0, HOLDS_ERROR, 0, 0},
    {"error.type", 0, TARGET_ERROR_TYPE, 1, 0, 0, 0, 0},
    {"error.stack_trace", 0, TARGET_ERROR_STACK, 1, 0, 0, 0, 0},
    {"stack_trace", 0, TARGET_ERROR_STACK, 2, 0, 0, 0, 0},
    {"stack", 0, TARGET_ERROR_STACK, 3, 0, 0, 0, 0},
    {"exception", 0, TARGET_ERROR_STACK, 4, 0, HOLDS_ERROR, 0, 0},
    {"@x", 1, TARGET_ERROR_STACK, 5, 0, 0, 0, 0},
    {"exc_info", 0, TARGET_ERROR_STACK, 6, 0, 0, 0, 0},
    {"traceback", 0, TARGET_ERROR_STACK, 7, 0, 0, 0, 0},
    {"error_verbose", 0, TARGET_ERROR_STACK, 8, 0, 0, 0, 0},
    {"S", 1, TARGET_ERROR_STACK, 9, 0, 0, 0, 0},
    {"thrown", 0, 0, 0, 0, HOLDS_ERROR, 0, 0},

    /* Where loggers keep what belongs to the request. */
    {"req", 0, 0, 0, 0, HOLDS_CONTEXT, 0, 0},
    {"request", 0, 0, 0, 0, HOLDS_CONTEXT, 0, 0},
    {"headers", 0, 0, 0, 0, HOLDS_CONTEXT, 0, 0},
    {"context", 0, 0, 0, 0, HOLDS_CONTEXT, 0, 0},
    {"context_map", 0, 0, 0, 0, HOLDS_CONTEXT, 0, 0},
    {"extra", 0, 0, 0, 0, HOLDS_CONTEXT, 0, 0},
    {"mdc", 0, 0, 0, 0, HOLDS_CONTEXT, 0, 0},
    {"properties", 0, 0, 0, 0, HOLDS_CONTEXT, 0, 0},
    {"dd", 1, 0, 0, 0, HOLDS_CONTEXT, 0, 0},
    {"fields", 0, 0, 0, 0, HOLDS_FIELDS, 0, 0},

    /* Ours. `barge` is where the output writes why a document had to be changed. */
    {"@timestamp", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"container", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"host", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"kubernetes", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"stream", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"barge", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"tags", 1, 0, 0, ROLE_TAGS, 0, 0, 0},
    {"http", 1, 0, 0, ROLE_OBJECT, HOLDS_OURS, 0, 0},
    {"app", 1, 0, 0, ROLE_OBJECT, HOLDS_OURS, "name", 0},

    /* Elasticsearch's and OpenSearch's metadata fields: refused at the top of a document. */
    {"_id", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_index", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_source", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_type", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_routing", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_version", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_seq_no", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_primary_term", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_field_names", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_ignored", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_ignored_source", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_nested_path", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_doc_count", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_tier", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_tsid", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_ts_routing_hash", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_data_stream_timestamp", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_inference_fields", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_recovery_source", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_feature", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_size", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_parent", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_uid", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_all", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_timestamp", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},
    {"_ttl", 1, 0, 0, ROLE_RESERVED, 0, 0, 0},

    /* Objects of the Elastic Common Schema (top-level field sets). */
    {"agent", 1, 0, 0, ROLE_OBJECT, 0, "name", 0},
    {"client", 1, 0, 0, ROLE_OBJECT, 0, "address", 0},
    {"cloud", 1, 0, 0, ROLE_OBJECT, 0, "provider", 0},
    {"data_stream", 1, 0, 0, ROLE_OBJECT, 0, 0, 0},
    {"destination", 1, 0, 0, ROLE_OBJECT, 0, "address", 0},
    {"device", 1, 0, 0, ROLE_OBJECT, 0, "id", "id"},
    {"dll", 1, 0, 0, ROLE_OBJECT, 0, "name", 0},
    {"dns", 1, 0, 0, ROLE_OBJECT, 0, 0, 0},
    {"ecs", 1, 0, 0, ROLE_OBJECT, 0, "version", "version"},
    {"email", 1, 0, 0, ROLE_OBJECT, 0, 0, 0},
    {"faas", 1, 0, 0, ROLE_OBJECT, 0, "name", 0},
    {"file", 1, 0, 0, ROLE_OBJECT, 0, "path", 0},
    {"group", 1, 0, 0, ROLE_OBJECT, 0, "name", "id"},
    {"labels", 1, 0, 0, ROLE_OBJECT, 0, 0, 0},
    {"network", 1, 0, 0, ROLE_OBJECT, 0, "name", 0},
    {"observer", 1, 0, 0, ROLE_OBJECT, 0, "name", 0},
    {"orchestrator", 1, 0, 0, ROLE_OBJECT, 0, "type", 0},
    {"organization", 1, 0, 0, ROLE_OBJECT, 0, "name", "id"},
    {"package", 1, 0, 0, ROLE_OBJECT, 0, "name", 0},
    {"process", 1, 0, 0, ROLE_OBJECT, 0, "name", "pid"},
    {"registry", 1, 0, 0, ROLE_OBJECT, 0, 0, 0},
    {"related", 1, 0, 0, ROLE_OBJECT, 0, 0, 0},
    {"rule", 1, 0, 0, ROLE_OBJECT, 0, "name", "id"},
    {"server", 1, 0, 0, ROLE_OBJECT, 0, "address", 0},
    {"source", 1, 0, 0, ROLE_OBJECT, 0, "address", 0},
    {"threat", 1, 0, 0, ROLE_OBJECT, 0, 0, 0},
    {"tls", 1, 0, 0, ROLE_OBJECT, 0, 0, 0},
    {"transaction", 1, 0, 0, ROLE_OBJECT, 0, "id", "id"},
    {"url", 1, 0, 0, ROLE_OBJECT, 0, "original", 0},
    {"user", 1, 0, 0, ROLE_OBJECT, 0, "name", "id"},
    {"user_agent", 1, 0, 0, ROLE_OBJECT, 0, "original", 0},
    {"volume", 1, 0, 0, ROLE_OBJECT, 0, 0, 0},
    {"vulnerability", 1, 0, 0, ROLE_OBJECT, 0, "id", "id"},
};

/* The names that loggers give to the parts of an error object; first in the table wins. */
static const struct {
    const char *name;
    uint8_t target;
} in_error[] = {
    {"message", TARGET_ERROR_MESSAGE}, {"msg", TARGET_ERROR_MESSAGE},
    {"type", TARGET_ERROR_TYPE},       {"name", TARGET_ERROR_TYPE},
    {"class", TARGET_ERROR_TYPE},      {"stack_trace", TARGET_ERROR_STACK},
    {"stack", TARGET_ERROR_STACK},     {"stacktrace", TARGET_ERROR_STACK},
    {"trace", TARGET_ERROR_STACK},     {"extendedStackTrace", TARGET_ERROR_STACK},
};

static void insert(struct keys *k, const struct key *key)
{
    struct key_entry *e = &k->entries[k->n];
    size_t s;

    e->key = *key;
    e->name_n = (uint16_t)strlen(key->name);
    e->hash = json_key_hash(bytes_str(key->name));
    for (s = keys_slot(e->hash); k->slot[s]; s = (s + 1) & (KEYS_SLOTS - 1)) {
        struct key_entry *other = &k->entries[k->slot[s] - 1];

        if (other->hash == e->hash) {
            e->next = other->next;
            other->next = (uint16_t)(k->n + 1);
            k->n++;
            return;
        }
    }
    k->slot[s] = (uint16_t)(k->n + 1);
    k->n++;
}

static struct key_entry *find_exact(struct keys *k, struct bytes name)
{
    for (size_t i = 0; i < k->n; i++)
        if (bytes_is(name, k->entries[i].key.name))
            return &k->entries[i];
    return NULL;
}

static const char *own(struct keys *k, struct bytes name)
{
    return k->owned[k->n_owned++] = base_strndup(name.p, name.n);
}

struct keys *keys_create(char *const *request_id_keys, const struct bytes *enriched, size_t n)
{
    struct keys *k = base_calloc(1, sizeof *k);
    size_t n_ids = 0;

    while (request_id_keys[n_ids])
        n_ids++;
    k->entries = base_calloc(ARRAY_LEN(builtin) + n_ids + n, sizeof *k->entries);
    k->owned = base_calloc(n_ids + n + 1, sizeof *k->owned);
    ASSERT(ARRAY_LEN(builtin) + n_ids + n < KEYS_SLOTS / 2);
    for (size_t i = 0; i < ARRAY_LEN(builtin); i++)
        insert(k, &builtin[i]);
    for (size_t i = 0; i < n_ids; i++) {
        struct key_entry *e = find_exact(k, bytes_str(request_id_keys[i]));
        struct key key = {.target = TARGET_REQUEST_ID};

        if (e) {
            e->key.target = TARGET_REQUEST_ID;
            e->key.rank = 0;
            continue;
        }
        key.name = own(k, bytes_str(request_id_keys[i]));
        insert(k, &key);
    }
    for (size_t i = 0; i < n; i++) {
        struct key_entry *e = find_exact(k, enriched[i]);
        struct key key = {.exact = 1, .role = ROLE_ENRICHED};

        if (e) {
            if (e->key.role == ROLE_NONE)
                e->key.role = ROLE_ENRICHED;
            else
                e->key.holds = HOLDS_OURS;
            continue;
        }
        key.name = own(k, enriched[i]);
        insert(k, &key);
    }
    return k;
}

void keys_free(struct keys *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < k->n_owned; i++)
        free(k->owned[i]);
    free(k->owned);
    free(k->entries);
    free(k);
}

static inline unsigned fold(char c)
{
    unsigned u = (unsigned char)c;

    return u - 'A' < 26 ? u | 0x20 : u;
}

static inline bool separator(char c)
{
    return c == '_' || c == '-' || c == '.';
}

/* Equal but for case and separators. */
static bool alike(struct bytes key, const char *name)
{
    size_t i = 0;

    for (;;) {
        while (i < key.n && separator(key.p[i]))
            i++;
        while (separator(*name))
            name++;
        if (i == key.n || !*name)
            return i == key.n && !*name;
        if (fold(key.p[i++]) != fold(*name++))
            return false;
    }
}

struct key_match keys_find(const struct keys *k, struct bytes key, uint32_t hash)
{
    const struct key_entry *like = NULL;

    for (size_t s = keys_slot(hash); k->slot[s]; s = (s + 1) & (KEYS_SLOTS - 1)) {
        const struct key_entry *e = &k->entries[k->slot[s] - 1];

        if (e->hash != hash)
            continue;
        for (;;) {
            if (e->name_n == key.n && memcmp(e->key.name, key.p, key.n) == 0)
                return (struct key_match){&e->key, true};
            if (!e->key.exact && alike(key, e->key.name) && (!like || e->key.rank < like->key.rank))
                like = e;
            if (!e->next)
                break;
            e = &k->entries[e->next - 1];
        }
        break;
    }
    return (struct key_match){like ? &like->key : NULL, false};
}

enum key_target keys_find_in_error(struct bytes key)
{
    for (size_t i = 0; i < ARRAY_LEN(in_error); i++)
        if (bytes_is(key, in_error[i].name))
            return (enum key_target)in_error[i].target;
    return TARGET_NONE;
}

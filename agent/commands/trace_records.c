#include "agent/commands/trace_records.h"

#include "agent/base/hash.h"
#include "agent/commands/raw_json.h"
#include "parsers/timestamp.h"

#include <stdlib.h>
#include <yajl/yajl_tree.h>

/* ---- fields ---- */

struct yajl_val_s *trace_records_field(struct yajl_val_s *document, const char *path)
{
    size_t n = strlen(path);

    if (!YAJL_IS_OBJECT(document))
        return NULL;
    for (size_t i = 0; i < document->u.object.len; i++) {
        const char *key = document->u.object.keys[i];
        size_t len = strlen(key);
        yajl_val v = document->u.object.values[i];

        if (len > n || strncmp(key, path, len) != 0)
            continue;
        if (len == n)
            return v;
        if (path[len] == '.' && (v = trace_records_field(v, path + len + 1)) != NULL)
            return v;
    }
    return NULL;
}

struct bytes trace_records_text(struct yajl_val_s *value)
{
    if (YAJL_IS_STRING(value))
        return bytes_str(YAJL_GET_STRING(value));
    if (YAJL_IS_NUMBER(value))
        return bytes_str(YAJL_GET_NUMBER(value));
    return BYTES_NONE;
}

/* Also milliseconds, as senders other than barge write them. */
static int64_t time_of(yajl_val document)
{
    yajl_val v = trace_records_field(document, "@timestamp");
    int64_t ns;

    if (YAJL_IS_STRING(v) && timestamp_parse(bytes_str(YAJL_GET_STRING(v)), &ns))
        return ns;
    if (YAJL_IS_INTEGER(v) && YAJL_GET_INTEGER(v) > 0 && YAJL_GET_INTEGER(v) < INT64_MAX / 1000000)
        return YAJL_GET_INTEGER(v) * 1000000;
    return TRACE_NO_TIME;
}

/* Which of the ids the document has; r->n_ids for none. */
static size_t id_of(const struct trace_records *r, yajl_val document)
{
    struct bytes request = trace_records_text(trace_records_field(document, "http.request.id"));
    struct bytes trace = trace_records_text(trace_records_field(document, "trace.id"));
    size_t i;

    for (i = 0; i < r->n_ids; i++)
        if (bytes_is(request, r->ids[i]) || bytes_is(trace, r->ids[i]))
            break;
    return i;
}

/* ---- the set ---- */

void trace_records_init(struct trace_records *r, char *const *ids, size_t n_ids, int64_t since_ns)
{
    *r = (struct trace_records){.ids = ids, .n_ids = n_ids, .since_ns = since_ns};
    hash_random(&r->seed, sizeof r->seed);
}

static void record_free(struct trace_record *record)
{
    free((char *)(uintptr_t)record->json.p);
    free((char *)(uintptr_t)record->key.p);
    free(record->source);
    free(record);
}

void trace_records_fini(struct trace_records *r)
{
    for (size_t i = 0; i < r->n; i++)
        record_free(r->list[i]);
    free(r->list);
    free(r->slots);
    *r = (struct trace_records){0};
}

static struct trace_record **slot_of(const struct trace_records *r, struct bytes key)
{
    size_t i = (size_t)hash_64(r->seed, key.p, key.n) & (r->n_slots - 1);

    while (r->slots[i] && !bytes_equal(r->slots[i]->key, key))
        i = (i + 1) & (r->n_slots - 1);
    return &r->slots[i];
}

static void grow(struct trace_records *r)
{
    r->cap = MAX(2 * r->cap, 64u);
    r->list = base_realloc(r->list, r->cap * sizeof(struct trace_record *));
    free(r->slots);
    r->n_slots = 2 * r->cap;
    r->slots = base_calloc(r->n_slots, sizeof(struct trace_record *));
    for (size_t i = 0; i < r->n; i++)
        *slot_of(r, r->list[i]->key) = r->list[i];
}

static struct bytes copy(struct bytes b)
{
    return bytes_of(base_strndup(b.p, b.n), b.n);
}

static enum trace_taken take(struct trace_records *r, yajl_val document, struct bytes json,
                             struct bytes key)
{
    int64_t time_ns = time_of(document);
    size_t id = id_of(r, document);
    struct bytes source = trace_records_text(trace_records_field(document, "container.id"));
    yajl_val sequence = trace_records_field(document, "event.sequence");
    struct trace_record *record;

    if (id == r->n_ids || (time_ns != TRACE_NO_TIME && time_ns < r->since_ns))
        return TRACE_OTHERS;
    if (r->n >= TRACE_MAX_RECORDS || r->bytes + json.n > TRACE_MAX_BYTES) {
        r->full = true;
        return TRACE_FULL;
    }
    record = base_calloc(1, sizeof *record);
    *record = (struct trace_record){
        .json = copy(json),
        .key = copy(key),
        .time_ns = time_ns,
        .source = base_strndup(source.n ? source.p : "", source.n),
        .sequence = YAJL_IS_INTEGER(sequence) ? (uint64_t)YAJL_GET_INTEGER(sequence) : 0,
        .id = id};
    r->bytes += json.n;
    r->list[r->n++] = record;
    *slot_of(r, record->key) = record;
    return TRACE_TAKEN;
}

enum trace_taken trace_records_add(struct trace_records *r, struct bytes json, struct bytes key)
{
    enum trace_taken taken = TRACE_OTHERS;
    yajl_val document;
    char *text;

    if (key.n == 0)
        key = json;
    if (r->n == r->cap)
        grow(r);
    if (*slot_of(r, key))
        return TRACE_KNOWN;
    if (!raw_json_is_valid(json))
        return TRACE_OTHERS;
    text = base_strndup(json.p, json.n);
    document = yajl_tree_parse(text, NULL, 0);
    free(text);
    if (document)
        taken = take(r, document, json, key);
    yajl_tree_free(document);
    return taken;
}

static int by_time(const void *a, const void *b)
{
    const struct trace_record *x = *(struct trace_record *const *)a;
    const struct trace_record *y = *(struct trace_record *const *)b;
    int source;

    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? -1 : 1;
    source = strcmp(x->source, y->source);
    if (source != 0)
        return source;
    if (x->sequence != y->sequence)
        return x->sequence < y->sequence ? -1 : 1;
    source = memcmp(x->key.p, y->key.p, MIN(x->key.n, y->key.n));
    return source != 0 ? source : (x->key.n > y->key.n) - (x->key.n < y->key.n);
}

void trace_records_sort(struct trace_records *r)
{
    if (r->n > 1)
        qsort(r->list, r->n, sizeof(struct trace_record *), by_time);
}

#include "parsers/encoder.h"

/* What the members of a message mean, for both ways of writing a document. */

static bool has_python_name(const struct json_member *m, size_t n)
{
    static const char *const names[] = {"funcName", "lineno", "pathname", "levelno", "asctime"};

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < ARRAY_LEN(names); k++)
            if (bytes_is(m[i].key, names[k]))
                return true;
    return false;
}

bool encoder_is_python(const struct record *r, const struct message *msg)
{
    return has_python_name(msg->members, msg->n) ||
           (!r->extra_are_labels && has_python_name(r->extra, r->n_extra));
}

/* projects/NAME/traces/ID, as Google's loggers have it. */
static struct bytes last_part(struct bytes s)
{
    const char *slash = s.n ? memrchr(s.p, '/', s.n) : NULL;

    return slash ? bytes_of(slash + 1, s.n - (size_t)(slash + 1 - s.p)) : s;
}

bool encoder_take(const struct key *key, const struct json_member *m, bool python,
                  struct taken *out)
{
    bool string = m->type == JSON_STRING;
    struct bytes trace, span;

    out->number = m->type == JSON_NUMBER;
    out->inside = string ? bytes_of(m->value.p + 1, m->value.n - 2) : m->value;
    switch ((enum key_target)key->target) {
    case TARGET_MESSAGE:
        return string || (key->role == ROLE_TEXT &&
                          (out->number || m->type == JSON_TRUE || m->type == JSON_FALSE));
    case TARGET_LEVEL:
        if (!string && !out->number)
            return false;
        out->level = (uint8_t)level_of(out->inside, python, &out->lossless);
        return out->level != LEVEL_NONE;
    case TARGET_REQUEST_ID:
        return (string || out->number) && request_id_usable(out->inside);
    case TARGET_TRACE_ID:
    case TARGET_SPAN_ID:
        if (string && strchr(key->name, '/'))
            out->inside = last_part(out->inside);
        if (key->role == ROLE_OBJECT && !request_id_is_hex(out->inside))
            return false;
        return (string || out->number) && request_id_usable_trace(out->inside);
    case TARGET_SERVICE:
        return string && out->inside.n > 0 && out->inside.n <= REQUEST_ID_MAX;
    case TARGET_ERROR_MESSAGE:
    case TARGET_ERROR_TYPE:
    case TARGET_ERROR_STACK:
        return string && out->inside.n > 0;
    case TARGET_TRACEPARENT:
        return string && request_id_traceparent(out->inside, &trace, &span);
    default:
        return false;
    }
}

/* The members of one object: ids by their names, and what only means something in this place. */
static void find_ids_in(struct encoder *enc, const struct key *parent, struct bytes object,
                        unsigned depth, struct ids *ids)
{
    struct json_member headers = {.type = JSON_NULL};
    bool duplicate;
    size_t n = 0;

    if (json_scan(object, enc->nested, ARRAY_LEN(enc->nested), &n, &duplicate) != JSON_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        static const struct key plain_id = {.target = TARGET_REQUEST_ID};
        const struct json_member *m = &enc->nested[i];
        const struct key *key;
        struct taken taken;

        if (m->flags & (JSON_NEEDS_REWRITE | JSON_KEY_ESCAPED))
            continue;
        key = keys_find(enc->keys, m->key, m->key_hash).key;
        if (m->type == JSON_OBJECT) {
            if (key && strcmp(key->name, "headers") == 0)
                headers = *m;
            continue;
        }
        if (bytes_is(m->key, "id") &&
            (strcmp(parent->name, "req") == 0 || strcmp(parent->name, "request") == 0))
            key = &plain_id;
        if (bytes_is(m->key, "uid") && strcmp(parent->name, "extra") == 0)
            key = &plain_id;
        if (!key || !encoder_take(key, m, false, &taken))
            continue;
        if (key->target == TARGET_REQUEST_ID && !ids->request.n)
            ids->request = taken.inside;
        else if (key->target == TARGET_TRACE_ID && !ids->trace.n)
            ids->trace = taken.inside;
        else if (key->target == TARGET_SPAN_ID && !ids->span.n)
            ids->span = taken.inside;
        else if (key->target == TARGET_TRACEPARENT && !ids->trace.n && !ids->span.n)
            request_id_traceparent(taken.inside, &ids->trace, &ids->span);
    }
    if (headers.type == JSON_OBJECT && depth == 0)
        find_ids_in(enc, parent, headers.value, 1, ids);
}

void encoder_find_ids(struct encoder *enc, const struct key *key, const struct json_member *m,
                      struct ids *ids)
{
    find_ids_in(enc, key, m->value, 0, ids);
}

enum level encoder_default_level(const struct record *r, const struct key *message)
{
    /* Serilog's compact format leaves out the level of what is Information. */
    if (message && message->name[0] == '@')
        return LEVEL_INFO;
    return level_of_syslog(r->severity);
}

struct bytes encoder_service(const struct encoder *enc, const struct record *r, struct bytes own)
{
    if (enc->service.n)
        return strbuf_bytes(&enc->service);
    if (r->origin && r->origin->service_label.n)
        return r->origin->service_label;
    if (own.n)
        return own;
    return r->origin ? r->origin->service_guess : BYTES_NONE;
}

bool encoder_is_flat(struct bytes array)
{
    bool inside = false;

    for (size_t i = 0; i < array.n; i++) {
        if (inside && array.p[i] == '\\')
            i++;
        else if (array.p[i] == '"')
            inside = !inside;
        else if (!inside && array.p[i] == '{')
            return false;
    }
    return true;
}

/*
 * A refusal's reason and a document (divided by a NUL): what is folded is one line of JSON with
 * event.original and barge.refused, every other member as it was, and the folded ones in
 * event.original, byte for byte.
 */
#include "agent/base/strbuf.h"
#include "outputs/elasticsearch/es_fold.h"
#include "parsers/json.h"

#include <stdlib.h>
#include <yajl/yajl_tree.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct json_member before[JSON_MAX_MEMBERS], after[JSON_MAX_MEMBERS], kept[JSON_MAX_MEMBERS];

static bool within(struct bytes part, struct bytes whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static const struct json_member *find(const struct json_member *m, size_t n, struct bytes key)
{
    for (size_t i = 0; i < n; i++)
        if (bytes_equal(m[i].key, key))
            return &m[i];
    return NULL;
}

static void check(struct bytes document, struct bytes folded)
{
    size_t n_before, n_after, n_kept = 0;
    bool duplicate;
    struct json_member event, original = {.type = JSON_NULL}, barge, refused;
    bool event_kept;
    char *text = NULL;

    ASSERT(!memchr(folded.p, '\n', folded.n));
    ASSERT(json_scan(document, before, ARRAY_LEN(before), &n_before, &duplicate) == JSON_OK);
    ASSERT(json_scan(folded, after, ARRAY_LEN(after), &n_after, &duplicate) == JSON_OK &&
           !duplicate);
    ASSERT(json_find(folded, "barge", &barge) && json_find(barge.value, "refused", &refused) &&
           refused.type == JSON_STRING);
    /* Where the index takes no event at all, the text stands beside the reason. */
    event_kept = json_find(folded, "event", &event);
    ASSERT(json_find(event_kept ? event.value : barge.value, "original", &original) &&
           original.type == JSON_STRING);
    text = base_alloc(original.value.n + 32);
    struct bytes plain =
        bytes_of(text, json_unescape(bytes_of(original.value.p + 1, original.value.n - 2), text));
    bool parsed = json_scan(plain, kept, ARRAY_LEN(kept), &n_kept, &duplicate) == JSON_OK;

    for (size_t i = 0; i < n_before; i++) {
        const struct json_member *now = find(after, n_after, before[i].key);

        if (bytes_is(before[i].key, "event") || bytes_is(before[i].key, "barge"))
            continue;
        if (now) {
            ASSERT(bytes_equal(now->value, before[i].value));
            continue;
        }
        if (parsed) {
            now = find(kept, n_kept, before[i].key);
            ASSERT(now && bytes_equal(now->value, before[i].value));
        }
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const uint8_t *zero = n ? memchr(data, 0, n) : NULL;
    struct bytes reason = bytes_of(data, zero ? (size_t)(zero - data) : n), field;
    struct bytes document = zero ? bytes_of(zero + 1, n - reason.n - 1) : BYTES_NONE;
    struct strbuf to = {0};
    struct es_fold f;
    size_t members;
    bool duplicate;

    if (es_fold_named(reason, &field))
        ASSERT(field.n > 0 && field.n <= ES_FOLD_MAX_FIELD && within(field, reason));
    ASSERT(within(es_fold_general(reason), reason));
    /* Documents are ours: one line, nothing twice, nothing to repair. */
    if (document.n == 0 || document.p[0] != '{' || document.p[document.n - 1] != '}' ||
        memchr(document.p, '\n', document.n) ||
        json_scan(document, before, ARRAY_LEN(before), &members, &duplicate) != JSON_OK ||
        duplicate)
        return 0;
    for (size_t i = 0; i < members; i++)
        if (before[i].flags & JSON_NEEDS_REWRITE ||
            ((bytes_is(before[i].key, "event") || bytes_is(before[i].key, "barge")) &&
             before[i].type != JSON_OBJECT))
            return 0;
    es_fold_init(&f);
    if (es_fold_refused(&f, BYTES_LITERAL("i"), document, reason, 1, &to)) {
        struct strbuf again = {0};

        check(document, strbuf_bytes(&to));
        if (es_fold_remembered(&f, BYTES_LITERAL("i"), document, 2, &again)) {
            ASSERT(es_fold_knows(&f, BYTES_LITERAL("i")));
            check(document, strbuf_bytes(&again));
        }
        strbuf_clear(&again);
        ASSERT(!es_fold_remembered(&f, BYTES_LITERAL("other"), document, 2, &again) &&
               again.n == 0);
        ASSERT(!es_fold_remembered(&f, BYTES_LITERAL("i"), document, 2 + ES_FOLD_MEMORY_MS + 1,
                                   &again));
        strbuf_fini(&again);
    } else {
        ASSERT(to.n == 0);
    }
    es_fold_fini(&f);
    strbuf_fini(&to);
    return 0;
}

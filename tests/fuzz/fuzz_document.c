/*
 * Any record: the document is one line of JSON by yajl, with no name twice, no name that
 * Elasticsearch refuses, no longer than was said, and the same whether it was written straight or
 * through the tree. The first byte says which record; zero bytes in the input divide it into the
 * message, GELF's members, and Docker's attrs.
 */
#include "agent/base/strbuf.h"
#include "parsers/document.h"

#include <stdlib.h>
#include <yajl/yajl_tree.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char *no_names[] = {NULL};
static struct field_pair no_pairs[] = {{NULL, NULL}};
static struct field_pair nothing[] = {{(char *)"not_there", (char *)"not_there_either"},
                                      {NULL, NULL}};
static struct field_pair set[] = {{(char *)"environment", (char *)"\"prod\""},
                                  {(char *)"labels.team", (char *)"\"a\""},
                                  {NULL, NULL}};

static struct encoder *new_encoder(bool slow, bool enriched)
{
    struct enrich_settings s = {.service = (char *)"auto",
                                .host = (char *)"auto",
                                .request_id_keys = no_names,
                                .fields = enriched ? set : no_pairs,
                                .add = no_pairs,
                                .rename = slow ? nothing : no_pairs,
                                .remove = no_names,
                                .convert = no_pairs};
    struct error e;
    struct encoder *enc = encoder_create(&s, BYTES_LITERAL("h"), &e);

    ASSERT(enc);
    return enc;
}

static void check_name(const char *name)
{
    bool text = false;

    for (const char *p = name; *p; p++) {
        ASSERT(*p != '.');
        text |= (unsigned char)*p > ' ';
    }
    ASSERT(text);
}

static bool flat(yajl_val v)
{
    return v->type != yajl_t_object && v->type != yajl_t_array;
}

static bool equal(yajl_val a, yajl_val b)
{
    if (a->type != b->type)
        return false;
    if (a->type == yajl_t_string)
        return strcmp(a->u.string, b->u.string) == 0;
    if (a->type == yajl_t_number)
        return strcmp(a->u.number.r, b->u.number.r) == 0;
    if (flat(a))
        return true;
    if (a->type == yajl_t_array) {
        if (a->u.array.len != b->u.array.len)
            return false;
        for (size_t i = 0; i < a->u.array.len; i++)
            if (!equal(a->u.array.values[i], b->u.array.values[i]))
                return false;
        return true;
    }
    if (a->u.object.len != b->u.object.len)
        return false;
    for (size_t i = 0; i < a->u.object.len; i++) {
        const char *path[] = {a->u.object.keys[i], NULL};
        yajl_val other = yajl_tree_get(b, path, yajl_t_any);

        if (!other || !equal(a->u.object.values[i], other))
            return false;
    }
    return true;
}

static void check_names(yajl_val v)
{
    if (v->type == yajl_t_array)
        for (size_t i = 0; i < v->u.array.len; i++)
            check_names(v->u.array.values[i]);
    if (v->type != yajl_t_object)
        return;
    for (size_t i = 0; i < v->u.object.len; i++) {
        check_name(v->u.object.keys[i]);
        for (size_t k = 0; k < i; k++)
            ASSERT(strcmp(v->u.object.keys[i], v->u.object.keys[k]) != 0);
        check_names(v->u.object.values[i]);
    }
}

static yajl_val encode(struct encoder *enc, struct record *r)
{
    size_t bound = encoder_bound(enc, r), n;
    char *to = base_alloc(bound + 1);
    char why[200];
    yajl_val v;

    n = encoder_write(enc, r, to);
    ASSERT(n <= bound);
    ASSERT(!memchr(to, '\n', n) && !memchr(to, '\0', n));
    to[n] = '\0';
    v = yajl_tree_parse(to, why, sizeof why);
    if (!v)
        base_die("%s: %s", why, to);
    check_names(v);
    free(to);
    return v;
}

static struct bytes next_part(const uint8_t **p, const uint8_t *end)
{
    const uint8_t *zero = *p < end ? memchr(*p, 0, (size_t)(end - *p)) : NULL;
    struct bytes s = bytes_of(*p, (size_t)((zero ? zero : end) - *p));

    *p = zero ? zero + 1 : end;
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct encoder *encoders[4];
    static struct json_member extra[256];
    const uint8_t *p = data + 1, *end = data + n;
    struct record r = {.severity = -1, .sequence = 1};
    struct strbuf text = {0};
    struct bytes part;
    yajl_val fast, slow;
    bool duplicate, enriched;

    if (n < 1)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(encoders) && !encoders[i]; i++)
        encoders[i] = new_encoder(i & 1, i & 2);
    enriched = data[0] & 1;
    r.extra_are_labels = data[0] & 2;
    r.tags = data[0] & 4 ? TAG_TRUNCATED : 0;
    r.stream = data[0] & 8 ? STREAM_STDERR : STREAM_NONE;
    r.severity = data[0] & 16 ? 3 : -1;
    r.text = next_part(&p, end);
    if (data[0] & 32) {
        r.text_form = TEXT_RAW;
    } else {
        bool repaired;
        char *to = strbuf_room(&text, 6 * r.text.n + 33);

        text.n = json_escape(r.text, to, &repaired);
        to[text.n] = '"';
        r.text = bytes_of(to, text.n);
        ASSERT(json_string_end(to, to + text.n + 1, &r.text_flags) == to + text.n);
    }
    part = next_part(&p, end);
    if (part.n && json_scan(part, extra, ARRAY_LEN(extra), &r.n_extra, &duplicate) == JSON_OK &&
        !duplicate)
        r.extra = extra;
    else
        r.n_extra = 0;
    part = next_part(&p, end);
    if (part.n) {
        static struct json_member attrs[256];
        size_t count;

        if (json_scan(part, attrs, ARRAY_LEN(attrs), &count, &duplicate) == JSON_OK)
            r.attrs = part;
    }
    fast = encode(encoders[enriched * 2], &r);
    slow = encode(encoders[enriched * 2 + 1], &r);
    ASSERT(equal(fast, slow));
    yajl_tree_free(fast);
    yajl_tree_free(slow);
    strbuf_fini(&text);
    return 0;
}

/*
 * Any document: after redaction it is one line of JSON by yajl with the same names in the same
 * places; what was masked is not found again; the quick look passes nothing over (a rule whose
 * names cannot be told by their ends makes every document be walked: nothing else may come out);
 * and it keeps to its room. The first byte says what is asked for.
 */
#include "agent/base/strbuf.h"
#include "parsers/json.h"
#include "parsers/redact.h"

#include <stdlib.h>
#include <yajl/yajl_tree.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct redact_rule mask = {(char *)"", REDACT_KINDS, REDACT_MASK},
                          hash = {(char *)"", REDACT_KINDS, REDACT_HASH},
                          drop = {(char *)"", REDACT_KINDS, REDACT_DROP},
                          field = {(char *)"*user.name", REDACT_KINDS, REDACT_MASK},
                          any = {(char *)"no such name*", REDACT_KINDS, REDACT_MASK};

static struct redact *create(struct redact_rule **rules)
{
    static char *none[] = {NULL};
    struct redact_settings s = {(char *)"", rules, none};
    struct error e;
    struct redact *r = redact_create(&s, BYTES_LITERAL("0123456789abcdef"), &e);

    ASSERT(r);
    return r;
}

/* In memory of its own size, so that a sanitizer sees what is read or written beyond it. */
static struct bytes redact(struct redact *r, struct bytes document, size_t room)
{
    char *p = base_alloc(document.n + room);

    memcpy(p, document.p, document.n);
    return bytes_of(
        p, redact_document(r, p, document.n, document.n + room, (struct redact_own){0, 0}));
}

static yajl_val parse(struct bytes s)
{
    char *text = base_strndup(s.p, s.n), why[200];
    yajl_val v = yajl_tree_parse(text, why, sizeof why);

    if (!v)
        base_die("%s: %s", why, text);
    free(text);
    return v;
}

/* The same names and lists; a scalar may have become another. */
static void check_structure(yajl_val a, yajl_val b)
{
    if (YAJL_IS_OBJECT(a)) {
        ASSERT(YAJL_IS_OBJECT(b) && a->u.object.len == b->u.object.len);
        for (size_t i = 0; i < a->u.object.len; i++) {
            ASSERT(strcmp(a->u.object.keys[i], b->u.object.keys[i]) == 0);
            check_structure(a->u.object.values[i], b->u.object.values[i]);
        }
    } else if (YAJL_IS_ARRAY(a)) {
        ASSERT(YAJL_IS_ARRAY(b) && a->u.array.len == b->u.array.len);
        for (size_t i = 0; i < a->u.array.len; i++)
            check_structure(a->u.array.values[i], b->u.array.values[i]);
    } else {
        ASSERT(!YAJL_IS_OBJECT(b) && !YAJL_IS_ARRAY(b));
    }
}

static void check(struct redact *quick, struct redact *thorough, struct bytes document, size_t room,
                  bool settles)
{
    struct bytes a = redact(quick, document, room), b = redact(thorough, document, room), c;
    yajl_val before = parse(document), after = parse(a);

    ASSERT(bytes_equal(a, b));
    check_structure(before, after);
    if (settles) {
        c = redact(thorough, a, room);
        if (!bytes_equal(a, c))
            base_die("%.*s\nbecomes %.*s\nand then %.*s", (int)document.n, document.p, (int)a.n,
                     a.p, (int)c.n, c.p);
        free((char *)c.p);
    }
    free((char *)a.p);
    free((char *)b.p);
    yajl_tree_free(before);
    yajl_tree_free(after);
}

/* What the encoder makes of it: a document, no control characters, valid UTF-8; or none. */
static bool make_document(struct bytes input, bool text, struct strbuf *to)
{
    static struct json_member m[JSON_MAX_MEMBERS];
    bool ignored;
    size_t count;

    if (text) {
        strbuf_add_str(to, "{\"message\":");
        strbuf_add_json(to, input);
        strbuf_add_char(to, '}');
        return true;
    }
    if (json_scan(input, m, JSON_MAX_MEMBERS, &count, &ignored) != JSON_OK)
        return false;
    to->n = json_rewrite(input, strbuf_room(to, json_rewrite_bound(input.n)), &ignored);
    return memchr(to->p, '\0', to->n) == NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct redact *quick[3], *thorough[3];
    struct redact_rule *rules[3][4] = {
        {&field, &mask, NULL}, {&field, &hash, NULL}, {&field, &drop, NULL}};
    struct strbuf document = {0};
    unsigned kind;

    if (n < 1)
        return 0;
    for (size_t i = 0; i < 3 && !quick[i]; i++) {
        quick[i] = create(rules[i]);
        rules[i][2] = &any;
        rules[i][3] = NULL;
        thorough[i] = create(rules[i]);
    }
    kind = data[0] % 3;
    if (make_document(bytes_of(data + 1, n - 1), data[0] & 64, &document))
        check(quick[kind], thorough[kind], strbuf_bytes(&document), data[0] & 128 ? 0 : REDACT_ROOM,
              kind == 0 && !(data[0] & 128));
    strbuf_fini(&document);
    return 0;
}

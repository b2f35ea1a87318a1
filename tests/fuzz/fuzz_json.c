/*
 * The scanner against yajl (json_judge.h has the differences that are meant), the kernels against
 * each other, and what json_rewrite, json_unescape, json_escape and json_find promise.
 */
#include "parsers/json_kernel.h"
#include "tests/fuzz/json_judge.h"

#define MAX_MEMBERS 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct json_kernel *const kernels[] = {
    &json_kernel_swar,
#ifdef __x86_64__
    &json_kernel_sse2,
    &json_kernel_avx2,
#endif
};

/* Every kernel's members are the first one's. */
static enum json_result scan(struct bytes text, struct json_member *m, size_t *n, bool *duplicate)
{
    static struct json_member other[MAX_MEMBERS];
    enum json_result r = kernels[0]->scan(text, m, MAX_MEMBERS, n, duplicate);

    for (size_t k = 1; k < ARRAY_LEN(kernels); k++) {
        size_t other_n;
        bool other_duplicate;

        if (!kernels[k]->usable())
            continue;
        ASSERT(kernels[k]->scan(text, other, MAX_MEMBERS, &other_n, &other_duplicate) == r);
        if (r != JSON_OK)
            continue;
        ASSERT(other_n == *n && other_duplicate == *duplicate);
        for (size_t i = 0; i < *n; i++)
            ASSERT(other[i].key.p == m[i].key.p && other[i].key.n == m[i].key.n &&
                   other[i].value.p == m[i].value.p && other[i].value.n == m[i].value.n &&
                   other[i].key_hash == m[i].key_hash && other[i].type == m[i].type &&
                   other[i].flags == m[i].flags);
    }
    return r;
}

/* The inside of a string against what yajl decoded, where nothing had to be repaired. */
static void check_string(struct bytes inside, const struct strbuf *decoded)
{
    char *to = base_alloc(inside.n + 32);
    size_t n = kernels[0]->unescape(inside, to);

    ASSERT(bytes_equal(bytes_of(to, n), strbuf_bytes(decoded)));
    ASSERT(json_unescaped_length(inside) == n);
    for (size_t k = 1; k < ARRAY_LEN(kernels); k++)
        if (kernels[k]->usable())
            ASSERT(kernels[k]->unescape(inside, to) == n &&
                   memcmp(to, decoded->p ? decoded->p : "", n) == 0);
    free(to);
}

static void check_members(struct bytes text, const struct json_member *m, size_t n, bool duplicate)
{
    struct judgement j = judge(text);
    bool comparable = !judge_has_surrogate(text), twice = false;

    ASSERT(j.valid && j.n == n && j.deepest <= JSON_MAX_DEPTH);
    for (size_t i = 0; i < n; i++) {
        ASSERT(j.m[i].type == m[i].type);
        ASSERT(m[i].key_hash == json_key_hash(m[i].key));
        ASSERT(!(m[i].flags & JSON_KEY_ESCAPED) == !memchr(m[i].key.p, '\\', m[i].key.n));
        ASSERT(!(m[i].flags & JSON_KEY_DOTTED) == !memchr(m[i].key.p, '.', m[i].key.n));
        if (m[i].flags & JSON_NEEDS_REWRITE) {
            comparable = false;
            continue;
        }
        if (!comparable)
            continue;
        check_string(m[i].key, &j.m[i].key);
        if (m[i].type == JSON_STRING)
            check_string(bytes_of(m[i].value.p + 1, m[i].value.n - 2), &j.m[i].string);
        for (size_t o = 0; o < i; o++)
            twice |= bytes_equal(strbuf_bytes(&j.m[o].key), strbuf_bytes(&j.m[i].key));
    }
    if (comparable)
        ASSERT(twice == duplicate);
    judgement_free(&j);
}

static void check_rewrite(struct bytes text)
{
    static struct json_member m[MAX_MEMBERS];
    char *to = base_alloc(json_rewrite_bound(text.n)), *again;
    bool repaired = false, duplicate;
    size_t n = json_rewrite(text, to, &repaired), count;

    ASSERT(n <= json_rewrite_bound(text.n));
    ASSERT(memchr(to, '\n', n) == NULL);
    again = base_alloc(n);
    memcpy(again, to, n);
    ASSERT(scan(bytes_of(again, n), m, &count, &duplicate) == JSON_OK && !duplicate);
    repaired = false;
    free(to);
    to = base_alloc(json_rewrite_bound(n));
    /* What was rewritten needs it no more, and stays as it is if it is done all the same. */
    if (n < 4 * JSON_SEEN_MAX)
        for (size_t i = 0; i < count; i++)
            ASSERT(!(m[i].flags & JSON_NEEDS_REWRITE));
    ASSERT(json_rewrite(bytes_of(again, n), to, &repaired) == n && memcmp(to, again, n) == 0);
    ASSERT(!repaired);
    free(to);
    free(again);
}

static struct json_keys_seen seen; /* of all inputs: it must not matter */

/* The inside of a string, behind which its quote stands, scanned at once and decoded before: no
 * difference. */
static void check_scan_escaped(struct bytes inside, uint8_t flags)
{
    static struct json_member m[MAX_MEMBERS], other[MAX_MEMBERS];
    char *decoded = base_alloc(inside.n + 32), *to = base_alloc(inside.n + JSON_REACH);
    char *from = base_alloc(inside.n + 1 + JSON_REACH);
    size_t length = json_unescape(inside, decoded), n, other_n;
    bool duplicate, other_duplicate;
    enum json_result r = json_scan(bytes_of(decoded, length), m, MAX_MEMBERS, &n, &duplicate);

    memcpy(from, inside.p, inside.n);
    memset(from + inside.n, '"', 1 + JSON_REACH);
    for (size_t k = 0; k < ARRAY_LEN(kernels); k++) {
        if (!kernels[k]->usable() || (flags & JSON_NEEDS_REWRITE))
            continue;
        if (!kernels[k]->scan_escaped(bytes_of(from, inside.n), to, &seen, other, MAX_MEMBERS,
                                      &other_n, &other_duplicate))
            continue;
        ASSERT(r == JSON_OK);
        ASSERT(other_n == n && other_duplicate == duplicate);
        for (size_t i = 0; i < n; i++)
            ASSERT(bytes_equal(other[i].key, m[i].key) && bytes_equal(other[i].value, m[i].value) &&
                   other[i].type == m[i].type && (other[i].flags & ~JSON_KEY_PLAIN) == m[i].flags &&
                   other[i].key_hash == m[i].key_hash);
    }
    free(decoded);
    free(to);
    free(from);
}

/* Any bytes in place of the inside: taken only when they are one. */
static void check_scan_unchecked(struct bytes raw)
{
    static struct json_member m[MAX_MEMBERS];
    char *to = base_alloc(raw.n + JSON_REACH), *from = base_alloc(raw.n + 1 + JSON_REACH);
    bool duplicate;
    size_t n;

    memcpy(from, raw.p, raw.n);
    memset(from + raw.n, '"', 1 + JSON_REACH);
    for (size_t k = 0; k < ARRAY_LEN(kernels); k++) {
        uint8_t flags = 0;

        if (!kernels[k]->usable() || json_has_control(raw) ||
            !kernels[k]->utf8_valid(raw.p, raw.n) ||
            !kernels[k]->scan_escaped(bytes_of(from, raw.n), to, &seen, m, MAX_MEMBERS, &n,
                                      &duplicate))
            continue;
        ASSERT(kernels[k]->string_end(from, from + raw.n + 1, &flags) == from + raw.n);
        ASSERT(!(flags & JSON_NEEDS_REWRITE));
    }
    free(to);
    free(from);
}

/* The line end by vectors and by hand. */
static void check_line_end(struct bytes raw)
{
    const char *nl = raw.n ? memchr(raw.p, '\n', raw.n) : NULL;

    for (size_t k = 0; k < ARRAY_LEN(kernels) && raw.n; k++) {
        uint8_t flags = 0;

        if (!kernels[k]->usable())
            continue;
        ASSERT(kernels[k]->line_end(raw.p, raw.p + raw.n, &flags) == nl);
        if (nl != NULL) {
            struct bytes line = bytes_of(raw.p, (size_t)(nl - raw.p));

            ASSERT(!flags == (!json_has_control(line) && kernels[0]->utf8_valid(line.p, line.n)));
        }
    }
}

static void check_raw(struct bytes raw)
{
    char *to = base_alloc(6 * raw.n + 32), *back;
    bool repaired = false;
    size_t n = kernels[0]->escape(raw, to, &repaired);
    uint8_t flags = 0;

    ASSERT(n <= 6 * raw.n);
    to[n] = '"';
    for (size_t k = 0; k < ARRAY_LEN(kernels); k++) {
        if (!kernels[k]->usable())
            continue;
        ASSERT(kernels[k]->string_end(to, to + n + 1, &flags) == to + n);
        ASSERT(!(flags & JSON_NEEDS_REWRITE));

        bool other_repaired = false;
        char *other = base_alloc(6 * raw.n + 32);

        ASSERT(kernels[k]->escape(raw, other, &other_repaired) == n);
        ASSERT(memcmp(other, to, n) == 0 && other_repaired == repaired);
        ASSERT(kernels[k]->utf8_valid(raw.p, raw.n) == !repaired);
        free(other);
    }
    if (seen.object == 0)
        json_keys_seen_init(&seen);
    check_scan_unchecked(raw);
    check_line_end(raw);
    back = base_alloc(n + 32);
    size_t length = json_unescape(bytes_of(to, n), back);
    if (!repaired)
        ASSERT(bytes_equal(bytes_of(back, length), raw));
    free(back);
    flags = 0;
    ASSERT(json_string_end(to, to + n + 1, &flags) == to + n);
    check_scan_escaped(bytes_of(to, n), flags);
    free(to);

    /* The input as the inside of a string, and its end wherever there is one. */
    const char *end = kernels[0]->string_end(raw.p, raw.p + raw.n, &flags);
    size_t inside = json_unescaped_length(raw);

    if (end != NULL) {
        flags = 0;
        kernels[0]->string_end(raw.p, raw.p + raw.n, &flags);
        check_scan_escaped(bytes_of(raw.p, (size_t)(end - raw.p)), flags);
    }

    for (size_t k = 0; k < ARRAY_LEN(kernels); k++) {
        uint8_t other_flags = 0, first_flags = 0;

        if (!kernels[k]->usable())
            continue;
        kernels[0]->string_end(raw.p, raw.p + raw.n, &first_flags);
        ASSERT(kernels[k]->string_end(raw.p, raw.p + raw.n, &other_flags) == end);
        if (end != NULL)
            ASSERT(other_flags == first_flags);
        back = base_alloc(raw.n + 32);
        ASSERT(kernels[k]->unescape(raw, back) == inside);
        free(back);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct json_member m[MAX_MEMBERS], found;
    struct bytes text = bytes_of(data, size);
    size_t n;
    bool duplicate;
    enum json_result r = scan(text, m, &n, &duplicate);
    struct judgement j;

    check_raw(text);
    switch (r) {
    case JSON_OK:
        check_members(text, m, n, duplicate);
        check_rewrite(text);
        for (size_t i = 0; i < n; i++) {
            char key[64];

            if (m[i].key.n >= sizeof(key) || memchr(m[i].key.p, '\0', m[i].key.n) != NULL)
                continue;
            memcpy(key, m[i].key.p, m[i].key.n);
            key[m[i].key.n] = '\0';
            ASSERT(json_find(text, key, &found) && found.value.p >= m[i].value.p);
            if (found.value.p == m[i].value.p)
                ASSERT(found.value.n == m[i].value.n && found.type == m[i].type &&
                       found.flags == m[i].flags && found.key_hash == m[i].key_hash);
        }
        break;
    case JSON_NOT_OBJECT:
    case JSON_INVALID:
        j = judge(text);
        ASSERT(!j.valid);
        ASSERT(j.object == (r == JSON_INVALID));
        judgement_free(&j);
        break;
    case JSON_TOO_DEEP:
        j = judge(text);
        ASSERT(!j.valid || j.deepest > JSON_MAX_DEPTH);
        judgement_free(&j);
        break;
    case JSON_TOO_MANY:
        j = judge(text);
        ASSERT(!j.valid || j.n > MAX_MEMBERS);
        judgement_free(&j);
        break;
    }
    return 0;
}

#include "parsers/json.h"

#include "agent/base/ascii.h"
#include "agent/base/hash.h"
#include "agent/base/utf8.h"
#include "parsers/json_kernel.h"

#include <stdlib.h>

/* ---- which kernel ---- */

static const struct json_kernel *kernel = &json_kernel_swar;

__attribute__((constructor)) static void choose_kernel(void)
{
#ifdef __x86_64__
    kernel = json_kernel_avx2.usable() ? &json_kernel_avx2 : &json_kernel_sse2;
#endif
}

enum json_result json_scan(struct bytes text, struct json_member *m, size_t max, size_t *n,
                           bool *duplicate)
{
    ASSERT(max <= JSON_MAX_MEMBERS);
    return kernel->scan(text, m, max, n, duplicate);
}

void json_keys_seen_init(struct json_keys_seen *seen)
{
    memset(seen, 0, sizeof(*seen));
    seen->object = 1;
    seen->first.next = &seen->first;
    seen->first.mask = UINT32_MAX; /* NULs: what no text is */
}

bool json_scan_escaped(struct bytes inside, char *to, struct json_keys_seen *seen,
                       struct json_member *m, size_t max, size_t *n, bool *duplicate)
{
    ASSERT(max <= JSON_MAX_MEMBERS);
    return kernel->scan_escaped(inside, to, seen, m, max, n, duplicate);
}

const char *json_line_end(const char *p, const char *end, uint8_t *flags)
{
    return kernel->line_end(p, end, flags);
}

size_t json_unescape(struct bytes s, char *to)
{
    return kernel->unescape(s, to);
}

size_t json_escape(struct bytes s, char *to, bool *repaired)
{
    return kernel->escape(s, to, repaired);
}

const char *json_string_end(const char *p, const char *end, uint8_t *flags)
{
    return kernel->string_end(p, end, flags);
}

#define FOUR(x) x, x, x, x
#define FILLED(x)                                                                                  \
    {                                                                                              \
        FOUR(FOUR(x)), FOUR(FOUR(x))                                                               \
    }

const struct json_filled json_filled = {
    .quote = FILLED('"'),
    .backslash = FILLED('\\'),
    .blank = FILLED(' '),
    .digit_0 = FILLED('0'),
    .nine = FILLED(9),
};

/* ---- escapes ---- */

const char json_escapes[256] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};

/* The value of a hexadecimal digit, with 16 added so that 0 says there is none. */
static const unsigned char hex_values[256] = {
    ['0'] = 16, ['1'] = 17, ['2'] = 18, ['3'] = 19, ['4'] = 20, ['5'] = 21, ['6'] = 22, ['7'] = 23,
    ['8'] = 24, ['9'] = 25, ['a'] = 26, ['b'] = 27, ['c'] = 28, ['d'] = 29, ['e'] = 30, ['f'] = 31,
    ['A'] = 26, ['B'] = 27, ['C'] = 28, ['D'] = 29, ['E'] = 30, ['F'] = 31};

/* The code unit of the escape backslash, u, four digits at p; -1 when there is none. */
static int code_unit(const char *p, const char *end)
{
    const unsigned char *s = (const unsigned char *)p;

    if (end - p < 6 || s[0] != '\\' || s[1] != 'u')
        return -1;

    unsigned a = hex_values[s[2]], b = hex_values[s[3]], c = hex_values[s[4]], d = hex_values[s[5]];

    if (!(a & b & c & d & 16))
        return -1;
    return (int)((a & 15) << 12 | (b & 15) << 8 | (c & 15) << 4 | (d & 15));
}

static bool is_high_surrogate(int unit)
{
    return (unit & ~0x3ff) == 0xd800;
}

static bool is_low_surrogate(int unit)
{
    return (unit & ~0x3ff) == 0xdc00;
}

const char *json_escape_end(const char *p, const char *end, uint8_t *flags)
{
    if (end - p < 2)
        return NULL;
    if (json_escapes[(unsigned char)p[1]])
        return p + 2;

    int unit = code_unit(p, end);

    if (unit < 0)
        return NULL;
    if ((unit & ~0x7ff) != 0xd800)
        return p + 6;
    if (is_high_surrogate(unit) && is_low_surrogate(code_unit(p + 6, end)))
        return p + 12;
    *flags |= JSON_NEEDS_REWRITE;
    return p + 6;
}

const char *json_escape_decode(const char *p, const char *end, char *to, size_t *n)
{
    if (end - p < 2)
        return NULL;

    char c = json_escapes[(unsigned char)p[1]];

    if (c) {
        *to = c;
        *n = 1;
        return p + 2;
    }

    int unit = code_unit(p, end);

    if (unit < 0)
        return NULL;
    p += 6;
    if (unit < 0x80) {
        to[0] = (char)unit;
        *n = 1;
    } else if (unit < 0x800) {
        to[0] = (char)(0xc0 | unit >> 6);
        to[1] = (char)(0x80 | (unit & 0x3f));
        *n = 2;
    } else if ((unit & ~0x7ff) != 0xd800) {
        to[0] = (char)(0xe0 | unit >> 12);
        to[1] = (char)(0x80 | (unit >> 6 & 0x3f));
        to[2] = (char)(0x80 | (unit & 0x3f));
        *n = 3;
    } else {
        int low = code_unit(p, end);

        if (!is_high_surrogate(unit) || !is_low_surrogate(low)) {
            memcpy(to, UTF8_REPLACEMENT, 3);
            *n = 3;
            return p;
        }

        int point = 0x10000 + ((unit & 0x3ff) << 10) + (low & 0x3ff);

        to[0] = (char)(0xf0 | point >> 18);
        to[1] = (char)(0x80 | (point >> 12 & 0x3f));
        to[2] = (char)(0x80 | (point >> 6 & 0x3f));
        to[3] = (char)(0x80 | (point & 0x3f));
        *n = 4;
        p += 6;
    }
    return p;
}

size_t json_unescaped_length(struct bytes s)
{
    if (s.n == 0)
        return 0;

    const char *p = s.p, *end = s.p + s.n;
    size_t total = 0;

    while (p < end) {
        const char *q = memchr(p, '\\', (size_t)(end - p));
        char decoded[4];
        size_t n;

        if (q == NULL)
            return total + (size_t)(end - p);
        total += (size_t)(q - p);
        p = json_escape_decode(q, end, decoded, &n);
        if (p == NULL)
            return SIZE_MAX;
        total += n;
    }
    return total;
}

bool json_has_control(struct bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20)
            return true;
    return false;
}

/* ---- keys ---- */

/* Folds bytes into the key hash one by one. */
struct folded {
    uint64_t h;
    unsigned n;
    unsigned char chunk[16];
};

static uint64_t folded_step(const struct folded *f)
{
    uint64_t a = 0, b = 0;

    for (unsigned i = 0; i < 8; i++) {
        a |= (uint64_t)f->chunk[i] << 8 * i;
        b |= (uint64_t)f->chunk[8 + i] << 8 * i;
    }
    return json_hash_step(f->h, a, b);
}

/* Setting 0x20 makes letters lower case; other characters that meet by it only share a hash. */
static void folded_add(struct folded *f, char c)
{
    unsigned char x = (unsigned char)c | 0x20;

    if (x == ('_' | 0x20) || x == '-' || x == '.')
        return;
    if (f->n == sizeof(f->chunk)) {
        f->h = folded_step(f);
        f->n = 0;
        memset(f->chunk, 0, sizeof(f->chunk));
    }
    f->chunk[f->n++] = x;
}

uint32_t json_key_hash(struct bytes key)
{
    struct folded f = {0};

    for (size_t i = 0; i < key.n; i++)
        folded_add(&f, key.p[i]);
    return (uint32_t)folded_step(&f);
}

/* Walks over a key as it will read in the end: escapes undone, broken UTF-8 and lone surrogates
 * replaced. */
struct key_reader {
    const char *p, *end;
    char c[4];
    size_t n, at;
};

static struct key_reader key_read(struct bytes key)
{
    return (struct key_reader){.p = key.p, .end = key.p + key.n};
}

/* The next byte, -1 behind the last one. */
static int key_next(struct key_reader *r)
{
    if (r->at == r->n) {
        if (r->p == r->end)
            return -1;
        r->at = 0;
        if (*r->p == '\\') {
            r->p = json_escape_decode(r->p, r->end, r->c, &r->n);
            ASSERT(r->p != NULL);
        } else {
            r->n = utf8_length(r->p, (size_t)(r->end - r->p));
            if (r->n == 0) {
                memcpy(r->c, UTF8_REPLACEMENT, 3);
                r->n = 3;
                r->p++;
            } else {
                memcpy(r->c, r->p, r->n);
                r->p += r->n;
            }
        }
    }
    return (unsigned char)r->c[r->at++];
}

uint32_t json_key_hash_decoded(struct bytes key)
{
    struct key_reader r = key_read(key);
    struct folded f = {0};

    for (int c = key_next(&r); c >= 0; c = key_next(&r))
        folded_add(&f, (char)c);
    return (uint32_t)folded_step(&f);
}

bool json_keys_same(struct bytes a, struct bytes b)
{
    struct key_reader x = key_read(a), y = key_read(b);

    for (;;) {
        int c = key_next(&x);

        if (c != key_next(&y))
            return false;
        if (c < 0)
            return true;
    }
}

/* Secret, so that nobody can make keys collide. */
static uint64_t seed;

__attribute__((constructor)) static void choose_seed(void)
{
    hash_random(&seed, sizeof seed);
}

bool json_any_keys_same(const struct json_member *m, size_t n)
{
    static const unsigned slots = 4 * JSON_MAX_MEMBERS;
    uint16_t table[4 * JSON_MAX_MEMBERS]; /* index + 1 of a member */
    uint64_t hash[JSON_MAX_MEMBERS];

    ASSERT(n <= JSON_MAX_MEMBERS);
    memset(table, 0, sizeof(table));
    for (size_t i = 0; i < n; i++) {
        struct key_reader r = key_read(m[i].key);
        uint64_t h = seed;

        /* Every byte counts here: the members' own hash can be made equal at will. */
        for (int c = key_next(&r); c >= 0; c = key_next(&r))
            h = json_hash_step(h, (uint64_t)c, 0);
        hash[i] = h;
        for (unsigned at = h % slots; table[at]; at = (at + 1) % slots) {
            size_t j = table[at] - 1u;

            if (hash[j] == h && json_keys_same(m[i].key, m[j].key))
                return true;
        }

        unsigned at = h % slots;

        while (table[at])
            at = (at + 1) % slots;
        table[at] = (uint16_t)(i + 1);
    }
    return false;
}

bool json_key_unfit(struct bytes key)
{
    struct key_reader r = key_read(key);
    bool text = false; /* in the part since the last dot */

    for (;;) {
        int c = key_next(&r);

        if (c < 0 || c == '.') {
            if (!text)
                return true;
            if (c < 0)
                return false;
            text = false;
        } else if (c > ' ') {
            text = true;
        }
    }
}

/* ---- numbers ---- */

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && ascii_is_digit(*p))
        p++;
    return p;
}

/* What Jackson, which reads for Elasticsearch, takes of one number. */
#define NUMBER_MAX_CHARS 1000

bool json_number_fits(struct bytes number)
{
    const char *p = number.p, *end = number.p + number.n;
    bool negative = p < end && *p == '-';
    const char *digits = p + negative;
    const char *point = skip_digits(digits, end);
    size_t whole = (size_t)(point - digits);

    if (number.n > NUMBER_MAX_CHARS)
        return false;
    if (point == end) {
        if (whole != 19)
            return whole < 19;
        return memcmp(digits, negative ? "9223372036854775808" : "9223372036854775807", 19) <= 0;
    }
    /* A quick yes for what is far from the limit of 1.8e308. */
    if (whole < 300 && memchr(point, 'e', (size_t)(end - point)) == NULL &&
        memchr(point, 'E', (size_t)(end - point)) == NULL)
        return true;

    char text[NUMBER_MAX_CHARS + 1];

    memcpy(text, number.p, number.n);
    text[number.n] = '\0';

    double d = strtod(text, NULL);

    return d - d == 0;
}

const char *json_number_end(const char *p, const char *end, uint8_t *flags)
{
    const char *start = p;

    if (p < end && *p == '-')
        p++;

    const char *digits = p;

    p = skip_digits(p, end);
    if (p == digits || (*digits == '0' && p - digits > 1))
        return NULL;
    if (p < end && *p == '.') {
        digits = ++p;
        p = skip_digits(p, end);
        if (p == digits)
            return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        digits = p;
        p = skip_digits(p, end);
        if (p == digits)
            return NULL;
    }
    if (!json_number_fits(bytes_of(start, (size_t)(p - start))))
        *flags |= JSON_NEEDS_REWRITE;
    return p;
}

/* ---- what an object holds ---- */

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && json_is_blank(*p))
        p++;
    return p;
}

bool json_find(struct bytes object, const char *key, struct json_member *out)
{
    const char *p = object.p, *end = object.p + object.n;
    struct bytes wanted = bytes_str(key);
    bool found = false;

    p = skip_blanks(p, end);
    if (p == end || *p != '{')
        return false;
    for (;;) {
        struct json_member m = {0};
        uint8_t flags = 0;

        p = skip_blanks(p + 1, end); /* behind a brace or comma */
        if (p == end || *p != '"')
            return found;

        const char *q = kernel->string_end(p + 1, end, &flags);

        if (q == NULL)
            return found;
        m.key = bytes_of(p + 1, (size_t)(q - p - 1));
        if (flags & JSON_VALUE_ESCAPED)
            m.flags |= JSON_KEY_ESCAPED;
        m.flags |= flags & JSON_NEEDS_REWRITE;

        p = skip_blanks(skip_blanks(q + 1, end) + 1, end); /* over the colon */
        q = kernel->value(p, end, &m.type, &flags);
        if (q == NULL)
            return found;
        m.value = bytes_of(p, (size_t)(q - p));
        m.flags |= flags;
        /* Of several the last one counts, as in json_rewrite. */
        if (bytes_equal(m.key, wanted)) {
            m.key_hash = json_key_hash(m.key);
            if (memchr(m.key.p, '.', m.key.n) != NULL)
                m.flags |= JSON_KEY_DOTTED;
            *out = m;
            found = true;
        }
        p = skip_blanks(q, end);
        if (p == end || *p != ',')
            return found;
    }
}

/* ---- rewriting ---- */

/* The members of the objects that are being written, as places in the output: a member goes from
 * its key's quote to the next one's (less a comma), the last one to the end. */
struct written {
    uint32_t *at;
    size_t n, cap;
    uint32_t few[256]; /* enough but for odd records, which may cost an allocation */
};

static void written_add(struct written *w, size_t at)
{
    if (w->n == w->cap) {
        uint32_t *more = base_alloc(2 * w->cap * sizeof(*more));

        memcpy(more, w->at, w->n * sizeof(*more));
        if (w->at != w->few)
            free(w->at);
        w->at = more;
        w->cap *= 2;
    }
    w->at[w->n++] = (uint32_t)at;
}

/* A key that was written at text + at, its quotes included. Keys are written in one way only, so
 * that equal keys have equal bytes. */
static struct bytes written_key(const char *text, uint32_t at)
{
    const char *p = text + at + 1;

    while (*p != '"')
        p += *p == '\\' ? 2 : 1;
    return bytes_of(text + at, (size_t)(p + 1 - (text + at)));
}

static int compare_keys(const void *x, const void *y, void *text)
{
    uint32_t i = *(const uint32_t *)x, j = *(const uint32_t *)y;
    struct bytes a = written_key(text, i), b = written_key(text, j);
    int d = memcmp(a.p, b.p, MIN(a.n, b.n));

    if (d == 0 && a.n != b.n)
        d = a.n < b.n ? -1 : 1;
    return d != 0 ? d : (i > j) - (i < j);
}

static int compare_places(const void *x, const void *y)
{
    uint32_t i = *(const uint32_t *)x, j = *(const uint32_t *)y;

    return (i > j) - (i < j);
}

/* Leaves the last of each key of the object whose n members were written from text + at[0] to
 * `end`. Returns the new end. */
static char *keep_last(char *text, const uint32_t *at, size_t n, char *end)
{
    uint32_t few[64];
    uint32_t *order = n <= ARRAY_LEN(few) ? few : base_alloc(n * sizeof(*order));
    size_t dead = 0;

    memcpy(order, at, n * sizeof(*order));
    qsort_r(order, n, sizeof(*order), compare_keys, text);
    for (size_t i = 0; i + 1 < n; i++)
        if (bytes_equal(written_key(text, order[i]), written_key(text, order[i + 1])))
            order[dead++] = order[i];
    if (dead != 0) {
        char *o = text + at[0];
        size_t d = 0;

        qsort(order, dead, sizeof(*order), compare_places);
        for (size_t i = 0; i < n; i++) {
            const char *from = text + at[i];
            const char *to = i + 1 < n ? text + at[i + 1] : end + 1; /* with its comma */

            if (d < dead && order[d] == at[i]) {
                d++;
                continue;
            }
            /* The last member is never dropped. Behind it there is no comma yet, only room. */
            memmove(o, from, (size_t)(to - from));
            o += to - from;
        }
        end = o - 1;
    }
    if (order != few)
        free(order);
    return end;
}

/* Writes the inside of a string whose escapes are valid. */
static char *rewrite_string(struct bytes s, char *o, bool *repaired)
{
    const char *p = s.p, *end = s.p + s.n;

    while (p < end) {
        const char *q = p;
        uint8_t flags = 0;

        if (*p != '\\') {
            while (p < end && *p != '\\')
                p++;
            /* No quotes in here: only what is wrong gets changed. */
            o += kernel->escape(bytes_of(q, (size_t)(p - q)), o, repaired);
            continue;
        }
        p = json_escape_end(p, end, &flags);
        ASSERT(p != NULL);
        if (flags & JSON_NEEDS_REWRITE) {
            memcpy(o, UTF8_REPLACEMENT, 3);
            o += 3;
            *repaired = true;
        } else {
            memcpy(o, q, (size_t)(p - q));
            o += p - q;
        }
    }
    return o;
}

/* Writes a key in the one way that it can be written, and so that it is a path that can be
 * resolved. */
static char *rewrite_key(struct bytes key, char *o, bool *repaired)
{
    bool unfit = json_key_unfit(key), text = false, ignored = false;
    char *start = o;
    char decoded[4];
    const char *p = key.p, *end = key.p + key.n;

    while (p < end) {
        uint8_t flags = 0;
        size_t n = 1;

        if (*p == '\\') {
            json_escape_end(p, end, &flags);
            p = json_escape_decode(p, end, decoded, &n);
            ASSERT(p != NULL);
            if (flags & JSON_NEEDS_REWRITE)
                *repaired = true;
        } else {
            n = utf8_length(p, (size_t)(end - p));
            if (n == 0) {
                memcpy(decoded, UTF8_REPLACEMENT, 3);
                n = 3;
                p++;
                *repaired = true;
            } else {
                memcpy(decoded, p, n);
                p += n;
            }
        }
        if (unfit && decoded[0] == '.')
            decoded[0] = '_';
        if ((unsigned char)decoded[0] > ' ')
            text = true;
        o += kernel->escape(bytes_of(decoded, n), o, &ignored);
    }
    if (!text) {
        o = start;
        *o++ = '_';
    }
    return o;
}

size_t json_rewrite_bound(size_t n)
{
    return 6 * n + 64;
}

size_t json_rewrite(struct bytes value, char *to, bool *repaired)
{
    const char *p = value.p, *end = value.p + value.n;
    char *o = to;
    bool is_object[JSON_MAX_DEPTH + 1];
    size_t first[JSON_MAX_DEPTH + 1];
    unsigned depth = 0;
    bool key_next_up = false;
    struct written w;

    ASSERT(value.n < UINT32_MAX / 8);
    w.at = w.few;
    w.cap = ARRAY_LEN(w.few);
    w.n = 0;
    while (p < end) {
        char c = *p;
        const char *q;
        uint8_t flags = 0;

        switch (c) {
        case ' ':
        case '\t':
        case '\n':
        case '\r':
            p++;
            break;
        case '{':
        case '[':
            ASSERT(depth < JSON_MAX_DEPTH);
            is_object[++depth] = c == '{';
            first[depth] = w.n;
            key_next_up = c == '{';
            *o++ = *p++;
            break;
        case '}':
        case ']':
            ASSERT(depth > 0);
            if (w.n - first[depth] > 1)
                o = keep_last(to, w.at + first[depth], w.n - first[depth], o);
            w.n = first[depth];
            depth--;
            key_next_up = false;
            *o++ = *p++;
            break;
        case ',':
            key_next_up = depth > 0 && is_object[depth];
            *o++ = *p++;
            break;
        case ':':
            *o++ = *p++;
            break;
        case '"':
            q = kernel->string_end(p + 1, end, &flags);
            ASSERT(q != NULL);
            if (key_next_up)
                written_add(&w, (size_t)(o - to));
            *o++ = '"';
            p++;
            if (key_next_up)
                o = rewrite_key(bytes_of(p, (size_t)(q - p)), o, repaired);
            else
                o = rewrite_string(bytes_of(p, (size_t)(q - p)), o, repaired);
            *o++ = '"';
            key_next_up = false;
            p = q + 1;
            break;
        default:
            /* A number or a literal. */
            q = p;
            if (c == '-' || ascii_is_digit(c))
                p = json_number_end(p, end, &flags);
            else
                while (p < end && *p >= 'a' && *p <= 'z')
                    p++;
            ASSERT(p != NULL && p > q);
            if (flags & JSON_NEEDS_REWRITE)
                *o++ = '"';
            memcpy(o, q, (size_t)(p - q));
            o += p - q;
            if (flags & JSON_NEEDS_REWRITE)
                *o++ = '"';
            break;
        }
    }
    ASSERT(depth == 0);
    if (w.at != w.few)
        free(w.at);
    return (size_t)(o - to);
}

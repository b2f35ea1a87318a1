#include "agent/base/strbuf.h"

#include "agent/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>

void strbuf_fini(struct strbuf *b)
{
    free(b->p);
    *b = (struct strbuf){0};
}

/* The capacity that room for n more bytes takes. */
static size_t cap_for(const struct strbuf *b, size_t n)
{
    size_t cap = b->cap ? b->cap : 256;

    while (cap - b->n < n + 1)
        cap *= 2;
    return cap;
}

char *strbuf_room(struct strbuf *b, size_t n)
{
    if (b->cap - b->n < n + 1) {
        b->cap = cap_for(b, n);
        b->p = base_realloc(b->p, b->cap);
    }
    return b->p + b->n;
}

size_t strbuf_growth(const struct strbuf *b, size_t n)
{
    return cap_for(b, n) - b->cap;
}

void strbuf_add(struct strbuf *b, const void *p, size_t n)
{
    char *to = strbuf_room(b, n);

    if (n)
        memcpy(to, p, n);
    b->n += n;
    b->p[b->n] = '\0';
}

void strbuf_add_bytes(struct strbuf *b, struct bytes s)
{
    strbuf_add(b, s.p, s.n);
}

void strbuf_add_str(struct strbuf *b, const char *s)
{
    strbuf_add(b, s, strlen(s));
}

void strbuf_add_char(struct strbuf *b, char c)
{
    strbuf_add(b, &c, 1);
}

void strbuf_printf(struct strbuf *b, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    ASSERT(n >= 0);
    strbuf_room(b, (size_t)n);
    va_start(ap, fmt);
    vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n += (size_t)n;
}

void strbuf_add_json(struct strbuf *b, struct bytes s)
{
    strbuf_add_char(b, '"');
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.p[i];

        if (c == '"' || c == '\\') {
            char two[2] = {'\\', (char)c};

            strbuf_add(b, two, 2);
            i++;
        } else if (c == '\n') {
            strbuf_add_str(b, "\\n");
            i++;
        } else if (c < 0x20) {
            strbuf_printf(b, "\\u%04x", c);
            i++;
        } else if (c < 0x80) {
            strbuf_add_char(b, (char)c);
            i++;
        } else {
            size_t n = utf8_length(s.p + i, s.n - i);

            if (n == 0) {
                strbuf_add_str(b, UTF8_REPLACEMENT);
                i++;
            } else {
                strbuf_add(b, s.p + i, n);
                i += n;
            }
        }
    }
    strbuf_add_char(b, '"');
}

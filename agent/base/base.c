#include "agent/base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void base_assert_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "barge: assertion failed: %s (%s:%d)\n", what, file, line);
    abort();
}

void base_die(const char *fmt, ...)
{
    va_list ap;

    fputs("barge: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    _exit(1);
}

void *base_alloc(size_t n)
{
    void *p = malloc(n ? n : 1);

    if (!p)
        base_die("out of memory (%zu bytes)", n);
    return p;
}

void *base_calloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);

    if (!p)
        base_die("out of memory (%zu times %zu bytes)", count, size);
    return p;
}

void *base_realloc(void *old, size_t n)
{
    void *p = realloc(old, n ? n : 1);

    if (!p)
        base_die("out of memory (%zu bytes)", n);
    return p;
}

char *base_strdup(const char *s)
{
    return base_strndup(s, strlen(s));
}

char *base_strndup(const char *s, size_t n)
{
    char *p = base_alloc(n + 1);

    memcpy(p, s, n);
    p[n] = '\0';
    return p;
}

int error_set(struct error *e, const char *fmt, ...)
{
    va_list ap;

    if (e) {
        va_start(ap, fmt);
        vsnprintf(e->text, sizeof e->text, fmt, ap);
        va_end(ap);
    }
    return -1;
}

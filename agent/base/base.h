/*
 * base: what every module may assume. Slices of borrowed bytes, asserts that stay on in production,
 * the one answer to "out of memory", and an error value that carries its context upwards.
 *
 * Everything here may be called from any thread.
 */
#ifndef BARGE_BASE_H
#define BARGE_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

/* Our own mistake: ends the process with file and line. Never compiled out. */
#define ASSERT(x)                                                                                  \
    do {                                                                                           \
        if (UNLIKELY(!(x)))                                                                        \
            base_assert_failed(#x, __FILE__, __LINE__);                                            \
    } while (0)

_Noreturn void base_assert_failed(const char *what, const char *file, int line);

/* Ends the process (status 1) with one line on standard error. For out of memory and for what
 * cannot be. */
_Noreturn void base_die(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* malloc/calloc/realloc/strdup that never return NULL: they call base_die. free() the result. */
void *base_alloc(size_t n);
void *base_calloc(size_t count, size_t size);
void *base_realloc(void *p, size_t n);
char *base_strdup(const char *s);
char *base_strndup(const char *s, size_t n);

/* A borrowed stretch of bytes, not NUL-terminated. Valid as long as its lender says. {NULL,0} is
 * "none". */
struct bytes {
    const char *p;
    size_t n;
};

#define BYTES_LITERAL(s) ((struct bytes){(s), sizeof(s) - 1})
#define BYTES_NONE ((struct bytes){NULL, 0})

static inline struct bytes bytes_of(const void *p, size_t n)
{
    return (struct bytes){(const char *)p, n};
}

static inline struct bytes bytes_str(const char *s)
{
    return (struct bytes){s, s ? strlen(s) : 0};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool bytes_is(struct bytes a, const char *literal)
{
    return bytes_equal(a, bytes_str(literal));
}

static inline bool bytes_starts_with(struct bytes a, struct bytes prefix)
{
    return a.n >= prefix.n && memcmp(a.p, prefix.p, prefix.n) == 0;
}

/* An error on its way up: a sentence that names what was tried, on what, and why it failed. */
struct error {
    char text[512];
};

/* Formats into *e (when e is not NULL), cutting what is too long; returns -1, so `return
 * error_set(...)`. */
int error_set(struct error *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif

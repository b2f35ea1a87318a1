#include "agent/pipeline/index_name.h"

#include "agent/base/strbuf.h"
#include "agent/buffer/buffer.h"
#include "parsers/timestamp.h"

#include <stdlib.h>

#define HOUR_NS 3600000000000
#define SERVICE_MAX 100 /* bytes of a service name inside an index name */

enum part_kind { PART_LITERAL, PART_YEAR, PART_MONTH, PART_DAY, PART_HOUR, PART_SERVICE };

struct part {
    enum part_kind kind;
    char *literal;
};

struct index_name {
    struct part *parts;
    size_t n;
    bool has_service;
    int64_t hour; /* the instant that `name` stands for, when it has no service in it */
    struct strbuf name;
};

static void add_part(struct index_name *n, enum part_kind kind, const char *s, size_t len)
{
    n->parts = base_realloc(n->parts, (n->n + 1) * sizeof *n->parts);
    n->parts[n->n++] = (struct part){kind, kind == PART_LITERAL ? base_strndup(s, len) : NULL};
}

static int add_date(struct index_name *n, struct bytes format, struct error *e)
{
    static const struct {
        const char *token;
        enum part_kind kind;
    } tokens[] = {{"YYYY", PART_YEAR},
                  {"yyyy", PART_YEAR},
                  {"MM", PART_MONTH},
                  {"dd", PART_DAY},
                  {"HH", PART_HOUR}};

    for (size_t i = 0; i < format.n;) {
        size_t k;

        for (k = 0; k < ARRAY_LEN(tokens); k++)
            if (bytes_starts_with(bytes_of(format.p + i, format.n - i), bytes_str(tokens[k].token)))
                break;
        if (k < ARRAY_LEN(tokens)) {
            add_part(n, tokens[k].kind, NULL, 0);
            i += strlen(tokens[k].token);
        } else if (strchr(".-_", format.p[i])) {
            add_part(n, PART_LITERAL, format.p + i, 1);
            i++;
        } else {
            return error_set(e, "date format %.*s: only YYYY, MM, dd, HH with . - _ between them",
                             (int)format.n, format.p);
        }
    }
    return 0;
}

struct index_name *index_name_create(const char *pattern, struct error *e)
{
    struct index_name *n = base_calloc(1, sizeof *n);
    const char *p = pattern;

    n->hour = INT64_MIN;
    while (*p) {
        const char *open = strstr(p, "%{"), *close;
        struct bytes inside;

        if (!open) {
            add_part(n, PART_LITERAL, p, strlen(p));
            break;
        }
        if (open > p)
            add_part(n, PART_LITERAL, p, (size_t)(open - p));
        close = strchr(open, '}');
        if (!close) {
            error_set(e, "%s: %%{ without its }", pattern);
            goto failed;
        }
        inside = bytes_of(open + 2, (size_t)(close - open) - 2);
        if (inside.n && inside.p[0] == '+') {
            if (add_date(n, bytes_of(inside.p + 1, inside.n - 1), e) < 0)
                goto failed;
        } else if (bytes_is(inside, "service.name")) {
            add_part(n, PART_SERVICE, NULL, 0);
            n->has_service = true;
        } else {
            error_set(e, "%s: %%{%.*s} is not known, only %%{+YYYY.MM.dd} and %%{service.name}",
                      pattern, (int)inside.n, inside.p);
            goto failed;
        }
        p = close + 1;
    }
    return n;
failed:
    index_name_free(n);
    return NULL;
}

void index_name_free(struct index_name *n)
{
    if (!n)
        return;
    for (size_t i = 0; i < n->n; i++)
        free(n->parts[i].literal);
    free(n->parts);
    strbuf_fini(&n->name);
    free(n);
}

bool index_name_has_service(const struct index_name *n)
{
    return n->has_service;
}

/* Lower case letters, digits, '-', '_' and '.' stay; everything else becomes '-'. */
static void add_service(struct strbuf *to, struct bytes service)
{
    size_t len = MIN(service.n, (size_t)SERVICE_MAX);

    if (len == 0) {
        strbuf_add_str(to, "unknown");
        return;
    }
    for (size_t i = 0; i < len; i++) {
        char c = service.p[i];

        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            c = '-';
        strbuf_add_char(to, c);
    }
}

struct bytes index_name_for(struct index_name *n, int64_t time_ns, struct bytes service)
{
    int64_t hour = time_ns / HOUR_NS;
    int year, month, day;

    if (LIKELY(hour == n->hour && !n->has_service))
        return strbuf_bytes(&n->name);
    n->hour = hour;
    timestamp_civil(timestamp_day(time_ns), &year, &month, &day);
    strbuf_clear(&n->name);
    for (size_t i = 0; i < n->n; i++) {
        switch (n->parts[i].kind) {
        case PART_LITERAL:
            strbuf_add_str(&n->name, n->parts[i].literal);
            break;
        case PART_YEAR:
            strbuf_printf(&n->name, "%04d", year);
            break;
        case PART_MONTH:
            strbuf_printf(&n->name, "%02d", month);
            break;
        case PART_DAY:
            strbuf_printf(&n->name, "%02d", day);
            break;
        case PART_HOUR:
            strbuf_printf(&n->name, "%02d", (int)(hour % 24));
            break;
        case PART_SERVICE:
            add_service(&n->name, service);
            break;
        }
    }
    n->name.n = MIN(n->name.n, (size_t)BUFFER_MAX_INDEX);
    return strbuf_bytes(&n->name);
}

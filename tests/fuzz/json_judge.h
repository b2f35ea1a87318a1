/*
 * json_judge: what yajl says of a text, brought to json_scan's terms, for the unit test and the
 * fuzz target. The stated differences are evened out before yajl sees the text: control characters
 * inside strings are repaired by us (a blank is put for them), form feed and vertical tab are no
 * blanks of JSON (something that yajl refuses is put for them), and what is not UTF-8 is repaired
 * by us (yajl does not look at it).
 */
#ifndef BARGE_TESTS_JSON_JUDGE_H
#define BARGE_TESTS_JSON_JUDGE_H

#include "agent/base/strbuf.h"
#include "parsers/json.h"

#include <stdlib.h>
#include <yajl/yajl_parse.h>

struct judged_member {
    struct strbuf key;    /* decoded */
    struct strbuf string; /* decoded, of a string */
    int type;
};

struct judgement {
    bool valid;
    bool object; /* begins as one */
    int deepest;
    size_t n;
    struct judged_member *m;
    /* While parsing. */
    yajl_handle yajl;
    int depth;
    size_t end; /* of the outermost value */
};

static inline int judge_value(void *arg, int type)
{
    struct judgement *j = arg;

    if (j->depth == 1 && j->n > 0)
        j->m[j->n - 1].type = type;
    return 1;
}

static inline int judge_null(void *arg)
{
    return judge_value(arg, JSON_NULL);
}

static inline int judge_boolean(void *arg, int yes)
{
    return judge_value(arg, yes ? JSON_TRUE : JSON_FALSE);
}

static inline int judge_number(void *arg, const char *s, size_t n)
{
    (void)s;
    (void)n;
    return judge_value(arg, JSON_NUMBER);
}

static inline int judge_string(void *arg, const unsigned char *s, size_t n)
{
    struct judgement *j = arg;

    if (j->depth == 1 && j->n > 0)
        strbuf_add(&j->m[j->n - 1].string, s, n);
    return judge_value(arg, JSON_STRING);
}

static inline int judge_open(struct judgement *j, int type)
{
    judge_value(j, type);
    j->depth++;
    j->deepest = MAX(j->deepest, j->depth);
    return 1;
}

static inline int judge_open_map(void *arg)
{
    return judge_open(arg, JSON_OBJECT);
}

static inline int judge_open_array(void *arg)
{
    return judge_open(arg, JSON_ARRAY);
}

static inline int judge_close(void *arg)
{
    struct judgement *j = arg;

    if (--j->depth == 0)
        j->end = yajl_get_bytes_consumed(j->yajl);
    return 1;
}

static inline int judge_key(void *arg, const unsigned char *s, size_t n)
{
    struct judgement *j = arg;

    if (j->depth != 1)
        return 1;
    j->m = base_realloc(j->m, (j->n + 1) * sizeof(*j->m));
    j->m[j->n] = (struct judged_member){.type = -1};
    strbuf_add(&j->m[j->n].key, s, n);
    j->n++;
    return 1;
}

static inline struct judgement judge(struct bytes text)
{
    static const yajl_callbacks callbacks = {.yajl_null = judge_null,
                                             .yajl_boolean = judge_boolean,
                                             .yajl_number = judge_number,
                                             .yajl_string = judge_string,
                                             .yajl_start_map = judge_open_map,
                                             .yajl_map_key = judge_key,
                                             .yajl_end_map = judge_close,
                                             .yajl_start_array = judge_open_array,
                                             .yajl_end_array = judge_close};
    struct judgement j = {0};
    unsigned char *copy = base_alloc(text.n + 1);
    bool in_string = false;
    size_t i = 0;

    for (i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (in_string && c == '\\' && i + 1 < text.n) {
            copy[i++] = c;
            c = (unsigned char)text.p[i];
        } else if (c == '"') {
            in_string = !in_string;
        }
        if (in_string && c < 0x20)
            c = ' ';
        else if (!in_string && (c == '\v' || c == '\f'))
            c = 1;
        copy[i] = c;
    }
    i = 0;
    while (i < text.n && strchr(" \t\r\n", copy[i]) && copy[i])
        i++;
    j.object = i < text.n && copy[i] == '{';

    yajl_handle h = yajl_alloc(&callbacks, NULL, &j);

    j.yajl = h;
    yajl_config(h, yajl_dont_validate_strings, 1);
    j.valid = yajl_parse(h, copy, text.n) == yajl_status_ok &&
              yajl_complete_parse(h) == yajl_status_ok && j.object;
    yajl_free(h);
    /* yajl lets a string that does not end follow the object. */
    while (j.valid && j.end < text.n)
        j.valid = memchr(" \t\r\n", copy[j.end++], 4) != NULL;
    free(copy);
    return j;
}

static inline void judgement_free(struct judgement *j)
{
    for (size_t i = 0; i < j->n; i++) {
        strbuf_fini(&j->m[i].key);
        strbuf_fini(&j->m[i].string);
    }
    free(j->m);
}

/* Whether a text holds the escape of a surrogate: yajl puts a question mark for a lone one. */
static inline bool judge_has_surrogate(struct bytes text)
{
    for (size_t i = 0; i + 3 < text.n; i++)
        if (text.p[i] == '\\' && text.p[i + 1] == 'u' && (text.p[i + 2] | 32) == 'd' &&
            strchr("89abcdefABCDEF", text.p[i + 3]) && text.p[i + 3])
            return true;
    return false;
}

#endif

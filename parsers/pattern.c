#include "parsers/pattern.h"

#include "agent/base/strbuf.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

/*
 * PCRE2 counts its steps anew from each place where a search begins, so that its limit bounds
 * nothing for a pattern that may be found anywhere. Such a pattern is therefore searched by itself:
 * .*? before it, and the search anchored.
 */

#define PATTERN_MAX 4096    /* bytes */
#define HEAP_KIB_MAX 1024   /* for places to come back to */
#define WORK_MAX (1u << 28) /* steps times the bytes that each may look at */
#define STEPS_MAX 100000

struct pattern {
    pcre2_code *code;
    size_t text_max; /* bytes that it is tried on */
    struct pattern_name *names;
    size_t n_names;
};

struct pattern_work {
    pcre2_match_data *data;
    pcre2_match_context *context;
    const char *text; /* of the last search */
    unsigned groups;  /* that were set */
};

static pcre2_code *compile(const char *text, uint32_t options, int *code, size_t *offset)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    pcre2_code *compiled;

    if (!context)
        base_die("out of memory");
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_bsr(context, PCRE2_BSR_ANYCRLF);
    pcre2_set_parens_nest_limit(context, 100);
    compiled = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
                             options | PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DUPNAMES |
                                 PCRE2_NEVER_BACKSLASH_C,
                             code, offset, context);
    pcre2_compile_context_free(context);
    return compiled;
}

static uint32_t info(const pcre2_code *code, uint32_t what)
{
    uint32_t value = 0;
    int rc = pcre2_pattern_info(code, what, &value);

    ASSERT(rc == 0);
    return value;
}

/* text, which is a pattern by itself, as one that is searched by itself. */
static pcre2_code *compile_search(const char *text, int *code, size_t *offset)
{
    static const char *const ends[] = {")", "\n)"}; /* a comment of (?x) may be open */
    pcre2_code *compiled = NULL;

    for (size_t i = 0; !compiled && i < ARRAY_LEN(ends); i++) {
        struct strbuf whole = {0};

        strbuf_printf(&whole, "(?s:.*?)(?:%s%s", text, ends[i]);
        compiled = compile(whole.p, PCRE2_ANCHORED, code, offset);
        strbuf_fini(&whole);
    }
    return compiled;
}

static void read_names(struct pattern *p)
{
    uint32_t size = info(p->code, PCRE2_INFO_NAMEENTRYSIZE);
    const unsigned char *entry = NULL;

    pcre2_pattern_info(p->code, PCRE2_INFO_NAMETABLE, &entry);
    p->n_names = info(p->code, PCRE2_INFO_NAMECOUNT);
    p->names = base_calloc(p->n_names + 1, sizeof *p->names);
    for (size_t i = 0; i < p->n_names; i++, entry += size)
        p->names[i] =
            (struct pattern_name){(const char *)entry + 2, (unsigned)entry[0] << 8 | entry[1]};
}

static int refuse(int code, size_t offset, struct error *e)
{
    char why[160] = "";

    pcre2_get_error_message(code, (unsigned char *)why, sizeof why);
    return error_set(e, "%s, at byte %zu", why, offset);
}

/* -1 with *e when text is no pattern that can be used. */
static int compile_whole(const char *text, struct pattern *p, struct error *e)
{
    size_t offset = 0;
    int code = 0;

    if (strlen(text) > PATTERN_MAX)
        return error_set(e, "%zu bytes are too many for a pattern, at most %u", strlen(text),
                         PATTERN_MAX);
    if (text[0] == '(' && text[1] == '*')
        return error_set(e, "a pattern must not begin with (*");
    p->text_max = PATTERN_TEXT_MAX;
    p->code = compile(text, 0, &code, &offset);
    if (p->code && !(info(p->code, PCRE2_INFO_ALLOPTIONS) & PCRE2_ANCHORED)) {
        p->text_max = PATTERN_SEARCH_MAX;
        pcre2_code_free(p->code);
        p->code = compile_search(text, &code, &offset);
    }
    if (!p->code)
        return refuse(code, offset, e);
    if (info(p->code, PCRE2_INFO_CAPTURECOUNT) < PATTERN_GROUPS_MAX)
        return 0;
    return error_set(e, "it has too many groups, at most %u", PATTERN_GROUPS_MAX - 1);
}

struct pattern *pattern_create(const char *text, struct error *e)
{
    struct pattern *p = base_calloc(1, sizeof *p);

    if (compile_whole(text, p, e) < 0) {
        pattern_free(p);
        return NULL;
    }
    read_names(p);
    return p;
}

void pattern_free(struct pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    free(p->names);
    free(p);
}

const struct pattern_name *pattern_names(const struct pattern *p, size_t *n)
{
    *n = p->n_names;
    return p->names;
}

struct pattern_work *pattern_work_create(void)
{
    struct pattern_work *w = base_calloc(1, sizeof *w);

    w->data = pcre2_match_data_create(PATTERN_GROUPS_MAX, NULL);
    w->context = pcre2_match_context_create(NULL);
    if (!w->data || !w->context)
        base_die("out of memory");
    pcre2_set_heap_limit(w->context, HEAP_KIB_MAX);
    return w;
}

void pattern_work_free(struct pattern_work *w)
{
    if (!w)
        return;
    pcre2_match_data_free(w->data);
    pcre2_match_context_free(w->context);
    free(w);
}

/* A step may look at all of the text. Where that may be short, and the search goes from place to
 * place, there are some for each byte. */
static uint32_t steps_for(size_t n)
{
    return (uint32_t)MIN(WORK_MAX / (n + 1), (size_t)STEPS_MAX);
}

enum pattern_result pattern_search(const struct pattern *p, struct bytes text,
                                   struct pattern_work *w)
{
    int rc;

    w->groups = 0;
    if (text.n > p->text_max)
        return PATTERN_GIVEN_UP;
    w->text = text.n ? text.p : "";
    pcre2_set_match_limit(w->context, steps_for(text.n));
    rc = pcre2_match(p->code, (PCRE2_SPTR)w->text, text.n, 0, 0, w->data, w->context);
    if (rc < 0)
        return rc == PCRE2_ERROR_NOMATCH ? PATTERN_NOT_FOUND : PATTERN_GIVEN_UP;
    ASSERT(rc > 0); /* 0: there are more groups than the data has room for */
    w->groups = (unsigned)rc;
    return PATTERN_FOUND;
}

struct bytes pattern_group(const struct pattern_work *w, unsigned group)
{
    const size_t *at = pcre2_get_ovector_pointer(w->data);

    if (group >= w->groups || at[2 * group] == PCRE2_UNSET)
        return BYTES_NONE;
    /* \K may put the beginning of the whole behind its end. */
    return bytes_of(w->text + at[2 * group],
                    at[2 * group + 1] - MIN(at[2 * group], at[2 * group + 1]));
}

#include "parsers/format_multiline.h"

#include "parsers/format_put.h"
#include "parsers/pattern.h"

#include <stdlib.h>

struct format_multiline {
    struct multiline_rule rule;
    struct pattern *start; /* NULL: the rule's languages say */
    struct pattern_work *work;
};

/* Where the search would take too long, nothing is joined. */
static bool starts(const void *pattern, struct bytes line)
{
    const struct format_multiline *m = pattern;

    return pattern_search(m->start, line, m->work) != PATTERN_NOT_FOUND;
}

struct format_multiline *format_multiline_create(const struct parser_settings *s, struct error *e)
{
    static const unsigned languages[] = {MULTILINE_AUTO, MULTILINE_JAVA, MULTILINE_PYTHON,
                                         MULTILINE_GO, MULTILINE_DOTNET};
    struct format_multiline *m = base_calloc(1, sizeof *m);
    struct error why;

    if (!s->start || !s->start[0]) {
        ASSERT(s->language < ARRAY_LEN(languages));
        m->rule.languages = languages[s->language];
        return m;
    }
    m->start = pattern_create(s->start, &why);
    if (!m->start) {
        error_set(e, "start: %s", why.text);
        free(m);
        return NULL;
    }
    m->work = pattern_work_create();
    m->rule.starts = starts;
    m->rule.pattern = m;
    return m;
}

void format_multiline_free(struct format_multiline *m)
{
    if (!m)
        return;
    pattern_free(m->start);
    pattern_work_free(m->work);
    free(m);
}

const struct multiline_rule *format_multiline_rule(const struct format_multiline *m)
{
    return &m->rule;
}

bool format_multiline_read(const struct format *f, struct bytes text, struct format_work *w,
                           struct format_result *out)
{
    struct multiline_parts parts;

    (void)out;
    multiline_cut(&f->multiline->rule, text, &parts);
    if (parts.stack.n == 0)
        return false;
    format_put_string(w, "message", parts.message);
    if (parts.type.n)
        format_put_string(w, "error.type", parts.type);
    if (parts.error.n)
        format_put_string(w, "error.message", parts.error);
    format_put_string(w, "error.stack_trace", parts.stack);
    return true;
}

#include "parsers/format.h"

#include "parsers/format_logfmt.h"
#include "parsers/format_multiline.h"
#include "parsers/format_mysql.h"
#include "parsers/format_nginx.h"
#include "parsers/format_regex.h"
#include "parsers/pattern.h"

#include <stdlib.h>

#define KEEP (1u << 20) /* of each buffer of the work, from message to message */
#define NAMES_MAX 2048  /* bytes of names and braces that an object has at most */

static const struct {
    format_read_fn *read;
    bool takes_json;
} kinds[] = {
    [PARSER_AUTO] = {NULL, false},
    [PARSER_JSON] = {NULL, false},
    [PARSER_TEXT] = {NULL, false},
    [PARSER_LOGFMT] = {format_logfmt_read, false},
    [PARSER_NGINX] = {format_nginx_read, true},
    [PARSER_REGEX] = {format_regex_read, true},
    [PARSER_MYSQL] = {format_mysql_read, false},
    [PARSER_MULTILINE] = {format_multiline_read, true},
};

struct format_work *format_work_create(void)
{
    struct format_work *w = base_calloc(1, sizeof *w);

    w->pattern = pattern_work_create();
    return w;
}

void format_work_free(struct format_work *w)
{
    if (!w)
        return;
    strbuf_fini(&w->json);
    strbuf_fini(&w->spare);
    strbuf_fini(&w->text);
    strbuf_fini(&w->message);
    pattern_work_free(w->pattern);
    free(w);
}

void format_work_trim(struct format_work *w)
{
    if (w->json.cap > KEEP)
        strbuf_fini(&w->json);
    if (w->spare.cap > KEEP)
        strbuf_fini(&w->spare);
    if (w->text.cap > KEEP)
        strbuf_fini(&w->text);
    if (w->message.cap > KEEP)
        strbuf_fini(&w->message);
}

int format_create(const struct parser_settings *s, struct format **out, struct error *e)
{
    struct format *f;

    *out = NULL;
    if (s->kind == PARSER_AUTO)
        return 0;
    f = base_calloc(1, sizeof *f);
    f->kind = (enum parser_kind)s->kind;
    f->read = kinds[s->kind].read;
    f->takes_json = kinds[s->kind].takes_json;
    if (f->kind == PARSER_REGEX && !(f->regex = format_regex_create(s, e))) {
        free(f);
        return -1;
    }
    if ((f->kind == PARSER_MULTILINE || (s->start && s->start[0])) &&
        !(f->multiline = format_multiline_create(s, e))) {
        format_free(f);
        return -1;
    }
    *out = f;
    return 0;
}

void format_free(struct format *f)
{
    if (!f)
        return;
    format_regex_free(f->regex);
    format_multiline_free(f->multiline);
    free(f);
}

const struct multiline_rule *format_lines(const struct format *f)
{
    static const struct multiline_rule mysql = {.languages = MULTILINE_MYSQL};

    if (f->multiline)
        return format_multiline_rule(f->multiline);
    return f->kind == PARSER_MYSQL ? &mysql : NULL;
}

size_t format_bound(const struct format *f, size_t n)
{
    /* Message, trace and what it says may be the same lines. */
    if (f->kind == PARSER_MULTILINE)
        return 4 * n + NAMES_MAX;
    return f->read ? 2 * n + NAMES_MAX : 0;
}

bool format_read(const struct format *f, struct bytes text, struct format_work *w,
                 struct format_result *out)
{
    *out = (struct format_result){.has_time = false};
    strbuf_clear(&w->json);
    w->repaired = false;
    if (text.n == 0 || (text.p[0] == '{' && !f->takes_json) || !f->read(f, text, w, out) ||
        w->json.n == 0)
        return false;
    strbuf_add_char(&w->json, '}');
    out->object = strbuf_bytes(&w->json);
    out->repaired = w->repaired;
    return out->object.n <= format_bound(f, text.n);
}

#include "parsers/format.h"

#include <stdlib.h>

#define KEEP_JSON (1u << 20) /* of the work, from message to message */
#define NAMES_MAX 2048       /* bytes of names and braces that an object has at most */

static format_read_fn *const readers[] = {
    [PARSER_AUTO] = NULL,
    [PARSER_JSON] = NULL,
    [PARSER_TEXT] = NULL,
};

struct format_work *format_work_create(void)
{
    return base_calloc(1, sizeof(struct format_work));
}

void format_work_free(struct format_work *w)
{
    if (!w)
        return;
    strbuf_fini(&w->json);
    free(w);
}

void format_work_trim(struct format_work *w)
{
    if (w->json.cap > KEEP_JSON)
        strbuf_fini(&w->json);
}

int format_create(const struct parser_settings *s, struct format **out, struct error *e)
{
    (void)e;
    *out = NULL;
    if (s->kind == PARSER_AUTO)
        return 0;
    *out = base_calloc(1, sizeof **out);
    (*out)->kind = (enum parser_kind)s->kind;
    (*out)->read = readers[s->kind];
    return 0;
}

void format_free(struct format *f)
{
    free(f);
}

size_t format_bound(const struct format *f, size_t n)
{
    return f->read ? 2 * n + NAMES_MAX : 0;
}

bool format_read(const struct format *f, struct bytes text, struct format_work *w,
                 struct format_result *out)
{
    *out = (struct format_result){.has_time = false};
    strbuf_clear(&w->json);
    if (!f->read(f, text, w, out) || w->json.n > format_bound(f, text.n))
        return false;
    out->object = strbuf_bytes(&w->json);
    return true;
}

/*
 * What a trace reads and shows: raw_json against yajl's tree, member by member; and whatever a
 * document says, nothing on the screen acts: no control character but the line feeds of the view.
 */
#include "agent/commands/raw_json.h"
#include "agent/commands/terminal.h"
#include "agent/commands/trace_view.h"

#include <stdlib.h>
#include <yajl/yajl_tree.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(struct bytes raw, yajl_val v)
{
    char *text = base_strndup(raw.p, raw.n);
    yajl_val again;
    size_t at = 0, n = 0;
    struct bytes value;

    ASSERT(raw.n > 0 && raw_json_is_valid(raw));
    again = yajl_tree_parse(text, NULL, 0);
    ASSERT(again && again->type == v->type);
    while (raw_json_next(raw, &at, &value))
        n++;
    ASSERT(n == (YAJL_IS_ARRAY(v) ? v->u.array.len : 0));
    if (YAJL_IS_NUMBER(v))
        ASSERT(bytes_is(raw, YAJL_GET_NUMBER(v)));
    yajl_tree_free(again);
    free(text);
}

/* The first member of a name that is written without escapes. */
static void check_members(struct bytes text, yajl_val tree)
{
    for (size_t i = 0; YAJL_IS_OBJECT(tree) && i < tree->u.object.len; i++) {
        struct bytes found = raw_json_member(text, tree->u.object.keys[i]);
        bool first = true;

        for (size_t k = 0; k < i; k++)
            first = first && strcmp(tree->u.object.keys[k], tree->u.object.keys[i]) != 0;
        if (first && found.p && !memchr(text.p, '\\', text.n))
            same(found, tree->u.object.values[i]);
    }
}

static void check_screen(struct bytes shown)
{
    for (size_t i = 0; i < shown.n; i++) {
        unsigned char c = (unsigned char)shown.p[i];

        ASSERT(c == '\n' || (c >= ' ' && c != 0x7F));
        ASSERT(c != 0xC2 || (unsigned char)shown.p[i + 1] >= 0xA0);
    }
}

static void check_view(struct bytes text)
{
    const struct trace_view_options options = {
        .width = text.n % 100, .wrap = text.n & 1, .full = text.n & 2};
    char *ids[] = {"r"};
    struct trace_records r;
    struct strbuf document = {0}, to = {0};
    struct trace_view *v = trace_view_create(&options, ids, 1);

    trace_records_init(&r, ids, 1, 0);
    strbuf_add_str(&document, "{\"trace\":{\"id\":\"r\"},");
    strbuf_add(&document, text.p + 1, text.n - 1);
    trace_records_add(&r, strbuf_bytes(&document), BYTES_NONE);
    trace_records_sort(&r);
    trace_view_add(v, r.list, r.n, &to);
    trace_view_summary(v, &to);
    check_screen(strbuf_bytes(&to));
    strbuf_fini(&to);
    strbuf_fini(&document);
    trace_records_fini(&r);
    trace_view_destroy(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_of(data, size);
    struct strbuf shown = {0};
    bool valid = raw_json_is_valid(text);

    terminal_add(&shown, text);
    ASSERT(shown.n == 0 || !memchr(shown.p, '\n', shown.n));
    check_screen(strbuf_bytes(&shown));
    strbuf_fini(&shown);
    if (valid) {
        char *copy = base_strndup(text.p, text.n);
        yajl_val tree = yajl_tree_parse(copy, NULL, 0);

        if (tree)
            check_members(text, tree);
        yajl_tree_free(tree);
        free(copy);
        if (text.p[0] == '{')
            check_view(text);
    }
    return 0;
}

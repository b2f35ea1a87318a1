/*
 * The answer reader: the way in which bytes arrive must not matter (whole: the common item is known
 * by its bytes; one by one: all goes through yajl), and what counts must be one JSON object with
 * exactly the expected items, as yajl's tree sees it.
 */
#include "agent/base/utf8.h"
#include "outputs/elasticsearch/es_answer.h"

#include <stdlib.h>
#include <yajl/yajl_tree.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const char *text, const struct es_answer *a)
{
    static const char *items_path[] = {"items", NULL}, *status_path[] = {"create", "status", NULL};
    char message[128];
    yajl_val tree = yajl_tree_parse(text, message, sizeof message), items;

    ASSERT(tree != NULL);
    items = yajl_tree_get(tree, items_path, yajl_t_array);
    ASSERT(items != NULL && items->u.array.len == a->expected && a->n == a->expected);
    for (size_t i = 0; i < a->n; i++) {
        yajl_val item = items->u.array.values[i], status;

        ASSERT(YAJL_IS_OBJECT(item) && item->u.object.len == 1);
        status = yajl_tree_get(item, status_path, yajl_t_number);
        ASSERT(status != NULL && YAJL_GET_INTEGER(status) == a->items[i].status);
        if (a->items[i].fate == ES_DELIVERED)
            ASSERT(a->items[i].status == 200 || a->items[i].status == 201);
    }
    yajl_tree_free(tree);
}

/* yajl's tree reads no byte behind a NUL, and wants UTF-8, which an error's text need not be. */
static bool fit_for_tree(struct bytes text)
{
    for (size_t i = 0, n; i < text.n; i += n)
        if (text.p[i] == '\0' || (n = utf8_length(text.p + i, text.n - i)) == 0)
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct es_answer whole = {0}, single = {0};
    struct strbuf text = {0};
    size_t expected;
    bool good;

    if (size < 1)
        return 0;
    expected = data[0] & 15;
    data++;
    size--;
    es_answer_begin(&whole, expected);
    es_answer_begin(&single, expected);
    es_answer_feed(&whole, (const char *)data, size);
    for (size_t i = 0; i < size; i++)
        es_answer_feed(&single, (const char *)data + i, 1);
    good = es_answer_end(&whole);
    ASSERT(es_answer_end(&single) == good);
    if (good) {
        strbuf_add(&text, data, size);
        for (size_t i = 0; i < expected; i++) {
            ASSERT(whole.items[i].status == single.items[i].status);
            ASSERT(whole.items[i].fate == single.items[i].fate);
            ASSERT(strcmp(es_answer_text(&whole, &whole.items[i]),
                          es_answer_text(&single, &single.items[i])) == 0);
        }
        if (fit_for_tree(strbuf_bytes(&text)))
            judge(text.p, &whole);
    }
    strbuf_clear(&text);
    es_answer_error(bytes_of(data, size), &text);
    strbuf_fini(&text);
    es_answer_fini(&whole);
    es_answer_fini(&single);
    return 0;
}

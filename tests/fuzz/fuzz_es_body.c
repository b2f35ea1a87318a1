/*
 * The request body: whatever an index name and a document hold, it is two lines a record, the first
 * of which is the one action with that name and `_id` and nothing else, as yajl's tree sees it, and
 * the second the document as it was. In portions, once more, and compressed it is the same.
 *
 * Input: a byte for the portion; then records: a byte of flags (1: document edited), a byte of name
 * length, the name, a byte of document length, the document.
 */
#include "agent/base/utf8.h"
#include "outputs/elasticsearch/es_body.h"
#include "outputs/output.h"

#include <stdlib.h>
#include <yajl/yajl_tree.h>

#define RECORDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bytes take(const uint8_t **p, const uint8_t *end)
{
    size_t n = *p < end ? MIN(**p, (size_t)(end - *p) - 1) : 0;
    struct bytes got = bytes_of((const char *)*p + (*p < end), n);

    *p += n + (*p < end);
    return got;
}

/* What the buffer holds: names are UTF-8 without NUL, documents have one line. */
static bool fit(struct bytes name, struct bytes document)
{
    for (size_t i = 0, n; i < name.n; i += n)
        if (name.p[i] == '\0' || (n = utf8_length(name.p + i, name.n - i)) == 0)
            return false;
    return name.n > 0 && (document.n == 0 || memchr(document.p, '\n', document.n) == NULL);
}

static void judge_action(const char *line, size_t n, const struct buffer_record *r)
{
    static const char *index_path[] = {"create", "_index", NULL},
                      *id_path[] = {"create", "_id", NULL};
    char message[128], id[OUTPUT_ID_CHARS], *text = base_strndup(line, n);
    yajl_val tree = yajl_tree_parse(text, message, sizeof message), action, index, other;

    ASSERT(YAJL_IS_OBJECT(tree) && tree->u.object.len == 1);
    action = tree->u.object.values[0];
    ASSERT(YAJL_IS_OBJECT(action) && action->u.object.len == 2);
    index = yajl_tree_get(tree, index_path, yajl_t_string);
    other = yajl_tree_get(tree, id_path, yajl_t_string);
    output_id_text(r->id, id);
    ASSERT(index != NULL && bytes_is(r->index, index->u.string));
    ASSERT(other != NULL && strlen(other->u.string) == sizeof id &&
           memcmp(other->u.string, id, sizeof id) == 0);
    yajl_tree_free(tree);
    free(text);
}

static void judge(struct bytes body, const struct buffer_record *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *end = memchr(body.p, '\n', body.n), *next;

        ASSERT(end != NULL);
        judge_action(body.p, (size_t)(end - body.p), &r[i]);
        next = end + 1 + r[i].document.n;
        ASSERT(body.p + body.n > next && *next == '\n');
        ASSERT(r[i].document.n == 0 || memcmp(end + 1, r[i].document.p, r[i].document.n) == 0);
        body = bytes_of(next + 1, body.n - (size_t)(next + 1 - body.p));
    }
    ASSERT(body.n == 0);
}

static void read_all(struct es_body *b, size_t portion, struct strbuf *to)
{
    size_t n;

    es_body_rewind(b);
    while ((n = es_body_read(b, strbuf_room(to, portion), portion)) > 0) {
        ASSERT(n <= portion);
        to->n += n;
    }
}

static void judge_packed(struct es_body *b, struct bytes want)
{
    struct strbuf packed = {0};
    char *plain = base_alloc(want.n + 1);
    z_stream z = {0}, back = {0};

    ASSERT(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    es_body_deflate(b, &z, &packed);
    deflateEnd(&z);
    ASSERT(inflateInit2(&back, 15 + 16) == Z_OK);
    back.next_in = (Bytef *)packed.p;
    back.avail_in = (uInt)packed.n;
    back.next_out = (Bytef *)plain;
    back.avail_out = (uInt)want.n + 1;
    ASSERT(inflate(&back, Z_FINISH) == Z_STREAM_END && back.total_out == want.n);
    ASSERT(want.n == 0 || memcmp(plain, want.p, want.n) == 0);
    inflateEnd(&back);
    strbuf_fini(&packed);
    free(plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer_record records[RECORDS_MAX] = {0};
    const uint8_t *end = data + size;
    struct es_body *b;
    struct strbuf whole = {0}, again = {0};
    size_t portion, n = 0;

    if (size < 1)
        return 0;
    portion = 1 + (size_t)*data++ * 16;
    b = es_body_create(64);
    while (n < RECORDS_MAX && data < end) {
        struct buffer_record *r = &records[n];
        unsigned flags = *data++;

        r->index = take(&data, end);
        r->document = take(&data, end);
        memset(r->id, (int)n * 5, sizeof r->id);
        if (!fit(r->index, r->document))
            continue;
        if (flags & 1)
            es_body_add_edited(b, r, es_body_prefix(b, r->index), r->document);
        else
            es_body_add(b, r, es_body_prefix(b, r->index));
        n++;
    }
    read_all(b, 1 << 20, &whole);
    ASSERT(whole.n == b->total && b->n == n);
    judge(strbuf_bytes(&whole), records, n);
    read_all(b, portion, &again);
    ASSERT(bytes_equal(strbuf_bytes(&whole), strbuf_bytes(&again)));
    judge_packed(b, strbuf_bytes(&whole));
    /* The same memory again: nothing of the request before is left. */
    es_body_clear(b);
    ASSERT(es_body_read(b, strbuf_room(&again, 1), 1) == 0);
    es_body_free(b);
    strbuf_fini(&whole);
    strbuf_fini(&again);
    return 0;
}

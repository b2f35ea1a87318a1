#include "parsers/encoder.h"

#include "parsers/put.h"
#include "parsers/timestamp.h"

/* The members of a document that are not the message's: what is the same from record to record is
 * kept ready. */

const struct bytes encoder_tag_names[7] = {
    {"truncated", 9},    {"json_invalid", 12}, {"docker_line_invalid", 19}, {"utf8_repaired", 13},
    {"gelf_joined", 11}, {"parse_failed", 12}, {"cri_line_invalid", 16}};

struct bytes encoder_stream_name(uint8_t stream)
{
    if (stream == STREAM_STDOUT)
        return BYTES_LITERAL("stdout");
    return stream == STREAM_STDERR ? BYTES_LITERAL("stderr") : BYTES_NONE;
}

char *encoder_put_time(const struct record *r, char *to)
{
    if (r->time_text.n == 0)
        return to + timestamp_format(r->time_ns, to);
    ASSERT(r->time_text.n <= ENCODER_TIME_MAX);
    return put(to, r->time_text.p, r->time_text.n);
}

/* ---- labels ---- */

struct bytes encoder_label_name(struct encoder *enc, const struct json_member *m)
{
    struct bytes name = tree_name(enc->tree, m->key, m->flags);
    char *to = tree_alloc(enc->tree, name.n);

    for (size_t i = 0; i < name.n; i++)
        to[i] = name.p[i] == '.' || name.p[i] == '/' ? '_' : name.p[i];
    return bytes_of(to, name.n);
}

/* attrs as `"NAME":"VALUE",…`; more members than json_scan takes are more labels than any container
 * has. */
static void render_labels(struct encoder *enc, struct bytes attrs, struct strbuf *to)
{
    struct node *root = tree_reset(enc->tree, attrs.n);
    bool duplicate = false, repaired = false;
    size_t n = 0;

    strbuf_clear(to);
    if (attrs.n == 0 ||
        json_scan(attrs, enc->nested, ARRAY_LEN(enc->nested), &n, &duplicate) != JSON_OK)
        return;
    if (duplicate)
        n = tree_drop_repeated(enc->tree, enc->nested, n);
    for (size_t i = 0; i < n; i++) {
        struct path path = {.part = {encoder_label_name(enc, &enc->nested[i])}, .n = 1};

        tree_place_or_number(enc->tree, root, &path, tree_value_of(&enc->nested[i]));
    }
    tree_settle(enc->tree, root, &repaired);
    strbuf_room(to, tree_bound(root));
    to->n = tree_write(root, to->p) - 2;
    memmove(to->p, to->p + 1, to->n);
}

/* ---- from container to event ---- */

size_t encoder_ours_bound(const struct encoder *enc, const struct record *r, struct bytes labels)
{
    return 128 + enc->host.n + labels.n + (r->origin ? r->origin->bytes : 0);
}

char *encoder_put_ours(const struct encoder *enc, const struct record *r, struct bytes labels,
                       char *to)
{
    struct bytes container = r->origin ? r->origin->container : BYTES_NONE;
    struct bytes stream = encoder_stream_name(r->stream);

    if (container.n || labels.n) {
        to = PUT(to, ",\"container\":{");
        to = put_bytes(to, container);
        if (container.n && labels.n)
            *to++ = ',';
        if (labels.n) {
            to = PUT(to, "\"labels\":{");
            to = put_bytes(to, labels);
            *to++ = '}';
        }
        *to++ = '}';
    }
    if (r->origin && r->origin->kubernetes.n) {
        to = PUT(to, ",\"kubernetes\":{");
        to = put_bytes(to, r->origin->kubernetes);
        *to++ = '}';
    }
    to = put_bytes(to, r->origin && r->origin->host.n ? r->origin->host : strbuf_bytes(&enc->host));
    if (stream.n) {
        to = PUT(to, ",\"stream\":");
        to = put_string(to, stream);
    }
    return PUT(to, ",\"event\":{\"sequence\":");
}

static void render(struct encoder *enc, const struct record *r, struct ours *o)
{
    struct bytes labels;

    render_labels(enc, r->attrs, &o->labels);
    labels = strbuf_bytes(&o->labels);
    strbuf_clear(&o->text);
    strbuf_room(&o->text, encoder_ours_bound(enc, r, labels));
    o->text.n = (size_t)(encoder_put_ours(enc, r, labels, o->text.p) - o->text.p);
    strbuf_clear(&o->attrs);
    strbuf_add_bytes(&o->attrs, r->attrs);
    o->origin = r->origin ? r->origin->serial : 0;
    o->stream = r->stream;
    o->ready = true;
}

const struct ours *encoder_ours(struct encoder *enc, const struct record *r)
{
    uint64_t origin = r->origin ? r->origin->serial : 0;
    struct ours *o = &enc->ours[(2 * origin + (r->stream & 1)) % ENCODER_OURS];

    if (r->attrs.n > ENCODER_ATTRS_MAX)
        o = &enc->big_ours;
    if (UNLIKELY(!o->ready || o->origin != origin || o->stream != r->stream ||
                 !bytes_equal(strbuf_bytes(&o->attrs), r->attrs)))
        render(enc, r, o);
    return o;
}

void encoder_free_ours(struct ours *o)
{
    strbuf_fini(&o->attrs);
    strbuf_fini(&o->labels);
    strbuf_fini(&o->text);
}

#include "outputs/elasticsearch/es_answer.h"

#include <stdlib.h>
#include <yajl/yajl_parse.h>
#include <yajl/yajl_tree.h>

#define MAX_DEPTH 32
/* What an item may take on average; Elasticsearch's reasons quote the document's value cut to some
 * hundred bytes. */
#define MAX_BYTES_PER_ITEM 4096
#define MAX_BYTES_BASE (64u << 10)
#define MAX_BYTES (64u << 20)
/* yajl keeps a string that spans our pieces: none may be longer than this. */
#define MAX_QUIET_BYTES (256u << 10)

/* Texts that are kept of failures that are no refusals: to tell what is wrong, some suffice. */
#define FAILURE_TEXTS 64

#define COMMON "{\"create\":{\"status\":201}},"
#define COMMON_BYTES (sizeof(COMMON) - 1)

enum {
    KEY_OTHER,
    KEY_ITEMS,
    KEY_CREATE,
    KEY_STATUS,
    KEY_ERROR,
    KEY_TYPE,
    KEY_REASON,
    KEY_CAUSE,
    KEY_ID,
    KEY_STORE
};

/* Depths: 1 the answer, 2 items, 3 an item, 4 its action, 5 its error, 6… causes. */
enum { IN_ANSWER = 1, IN_ITEMS, IN_ITEM, IN_ACTION, IN_ERROR };

static int fail(struct es_answer *a, const char *why)
{
    if (a->wrong == NULL)
        a->wrong = why;
    return 0;
}

static void add_text(struct es_answer *a, struct es_item *item)
{
    size_t n = a->type.n + a->reason.n + 3;

    item->text = UINT32_MAX;
    if (item->fate != ES_REFUSED && a->failure_texts == FAILURE_TEXTS)
        return;
    if (a->texts.n + n > ES_ANSWER_MAX_TEXTS) {
        /* A refusal without its reason can be neither folded nor kept: the next, smaller request
         * tells it again. */
        if (item->fate == ES_REFUSED)
            item->fate = ES_RETRY;
        return;
    }
    if (item->fate != ES_REFUSED)
        a->failure_texts++;
    item->text = (uint32_t)a->texts.n;
    strbuf_add_bytes(&a->texts, strbuf_bytes(&a->type));
    if (a->type.n > 0 && a->reason.n > 0)
        strbuf_add(&a->texts, ": ", 2);
    strbuf_add_bytes(&a->texts, strbuf_bytes(&a->reason));
    strbuf_add_char(&a->texts, '\0');
}

static int end_item(struct es_answer *a)
{
    struct es_item *item;

    if (a->keys != 1)
        return fail(a, "an item without exactly one action");
    if (!a->have_status)
        return fail(a, "an item without status");
    item = &a->items[a->n++];
    item->status = (uint16_t)a->status;
    item->text = UINT32_MAX;
    item->fate =
        (uint8_t)es_verdict_item(a->status, strbuf_bytes(&a->type), strbuf_bytes(&a->reason));
    if (item->fate == ES_DELIVERED) {
        a->noops += a->status == 200;
        a->failure_stored += a->store_used;
    } else if (item->fate != ES_DUPLICATE) {
        add_text(a, item);
    }
    return 1;
}

static int heard(struct es_answer *a)
{
    a->quiet_bytes = 0;
    return 1;
}

/* A value that may not stand where a map is due. */
static int scalar(struct es_answer *a)
{
    heard(a);
    if (a->depth == 0)
        return fail(a, "no JSON object");
    if (a->in_items && a->depth == IN_ITEMS)
        return fail(a, "an item that is no object");
    if (a->in_items && a->depth == IN_ITEM)
        return fail(a, "an action that is no object");
    if (a->in_items && a->depth == IN_ACTION && a->in_op && a->key == KEY_STATUS)
        return fail(a, "a status that is no integer");
    if (a->depth == IN_ANSWER && a->key == KEY_ITEMS)
        return fail(a, "items that are no array");
    return 1;
}

static int on_null(void *arg)
{
    return scalar(arg);
}

static int on_boolean(void *arg, int value)
{
    (void)value;
    return scalar(arg);
}

static int on_double(void *arg, double value)
{
    (void)value;
    return scalar(arg);
}

static int on_integer(void *arg, long long value)
{
    struct es_answer *a = arg;

    if (a->in_items && a->depth == IN_ACTION && a->in_op && a->key == KEY_STATUS) {
        if (a->have_status)
            return fail(a, "an item with two statuses");
        if (value < 100 || value > 999)
            return fail(a, "a status out of range");
        a->have_status = true;
        a->status = (long)value;
        return heard(a);
    }
    return scalar(a);
}

static void set_text(struct strbuf *to, const unsigned char *p, size_t n, size_t max)
{
    if (to->n == 0)
        strbuf_add(to, p, MIN(n, max));
}

static int on_string(void *arg, const unsigned char *p, size_t n)
{
    struct es_answer *a = arg;

    if (a->in_items && a->in_op && a->depth == IN_ACTION) {
        if (a->key == KEY_ID && a->id_is != NULL && !a->id_is(a->id_arg, a->n, bytes_of(p, n)))
            return fail(a, "an item with another _id than was sent");
        if (a->key == KEY_STORE)
            a->store_used = bytes_is(bytes_of(p, n), "used");
    }
    if (a->in_items && a->in_op && a->depth == IN_ACTION && a->key == KEY_ERROR)
        set_text(&a->reason, p, n, ES_ANSWER_MAX_REASON);
    if (a->in_items && a->error_depth != 0 && a->depth == a->error_depth) {
        if (a->depth == IN_ERROR && a->key == KEY_TYPE) {
            set_text(&a->type, p, n, ES_ANSWER_MAX_TYPE);
        } else if (a->depth == IN_ERROR && a->key == KEY_REASON) {
            /* Members come in any order: what the cause said may be there already. */
            struct strbuf cause = a->reason;

            a->reason = (struct strbuf){0};
            set_text(&a->reason, p, n, ES_ANSWER_MAX_REASON);
            if (cause.n > 0)
                strbuf_add_bytes(&a->reason, strbuf_bytes(&cause));
            strbuf_fini(&cause);
        } else if (a->key == KEY_REASON && a->reason.n < ES_ANSWER_MAX_REASON) {
            strbuf_add_str(&a->reason, "; ");
            strbuf_add(&a->reason, p, MIN(n, ES_ANSWER_MAX_REASON));
        }
    }
    return scalar(a);
}

static int on_start_map(void *arg)
{
    struct es_answer *a = arg;

    heard(a);
    if (a->depth >= MAX_DEPTH)
        return fail(a, "nested too deep");
    if (a->in_items && a->depth == IN_ITEMS) {
        if (a->n == a->expected)
            return fail(a, "more items than were sent");
        a->skipped = false;
        a->keys = 0;
        a->have_status = a->store_used = false;
        a->status = 0;
        strbuf_clear(&a->type);
        strbuf_clear(&a->reason);
    } else if (a->in_items && a->depth == IN_ITEM) {
        a->in_op = true;
    } else if (a->in_items && a->depth == IN_ACTION && a->key == KEY_ERROR) {
        a->error_depth = IN_ERROR;
    } else if (a->in_items && a->depth == IN_ACTION && a->key == KEY_STATUS) {
        return fail(a, "a status that is no integer");
    } else if (a->error_depth != 0 && a->depth == a->error_depth && a->key == KEY_CAUSE) {
        a->error_depth++;
    } else if (a->depth == IN_ANSWER && a->key == KEY_ITEMS) {
        return fail(a, "items that are no array");
    }
    a->depth++;
    a->key = KEY_OTHER;
    return 1;
}

static int key_of(const unsigned char *p, size_t n)
{
    static const struct {
        const char *name;
        int key;
    } known[] = {{"items", KEY_ITEMS},     {"create", KEY_CREATE}, {"status", KEY_STATUS},
                 {"error", KEY_ERROR},     {"type", KEY_TYPE},     {"reason", KEY_REASON},
                 {"caused_by", KEY_CAUSE}, {"_id", KEY_ID},        {"failure_store", KEY_STORE}};

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (bytes_is(bytes_of(p, n), known[i].name))
            return known[i].key;
    return KEY_OTHER;
}

static int on_key(void *arg, const unsigned char *p, size_t n)
{
    struct es_answer *a = arg;

    heard(a);
    a->key = key_of(p, n);
    if (a->in_items && a->depth == IN_ITEM) {
        a->keys++;
        if (a->key != KEY_CREATE)
            return fail(a, "an item with another action than was sent");
    }
    return 1;
}

static int on_end_map(void *arg)
{
    struct es_answer *a = arg;

    heard(a);
    if (a->error_depth != 0 && a->depth == a->error_depth)
        a->error_depth = a->depth == IN_ERROR ? 0 : a->error_depth - 1;
    a->depth--;
    a->key = KEY_OTHER;
    if (a->in_items && a->depth == IN_ITEM)
        a->in_op = false;
    if (a->in_items && a->depth == IN_ITEMS)
        return end_item(a);
    if (a->depth == 0) {
        if (!a->seen_items)
            return fail(a, "no items");
        if (a->n != a->expected)
            return fail(a, "fewer items than were sent");
        a->done = true;
    }
    return 1;
}

static int on_start_array(void *arg)
{
    struct es_answer *a = arg;

    heard(a);
    if (a->depth >= MAX_DEPTH)
        return fail(a, "nested too deep");
    if (a->depth == 0)
        return fail(a, "no JSON object");
    if (a->depth == IN_ANSWER && a->key == KEY_ITEMS) {
        if (a->seen_items)
            return fail(a, "items twice");
        a->seen_items = a->in_items = true;
    } else if (!scalar(a)) {
        return 0;
    }
    a->depth++;
    a->key = KEY_OTHER;
    return 1;
}

static int on_end_array(void *arg)
{
    struct es_answer *a = arg;

    heard(a);
    a->depth--;
    a->key = KEY_OTHER;
    if (a->in_items && a->depth == IN_ANSWER) {
        if (a->skipped)
            return fail(a, "no JSON");
        a->in_items = false;
    }
    return 1;
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_integer = on_integer,
    .yajl_double = on_double,
    .yajl_string = on_string,
    .yajl_start_map = on_start_map,
    .yajl_map_key = on_key,
    .yajl_end_map = on_end_map,
    .yajl_start_array = on_start_array,
    .yajl_end_array = on_end_array,
};

void es_answer_begin(struct es_answer *a, size_t expected)
{
    struct es_answer fresh = {
        .items = a->items, .cap = a->cap, .texts = a->texts, .type = a->type, .reason = a->reason};

    if (a->yajl != NULL)
        yajl_free(a->yajl);
    *a = fresh;
    strbuf_clear(&a->texts);
    strbuf_clear(&a->type);
    strbuf_clear(&a->reason);
    a->expected = expected;
    a->max_bytes = MIN(MAX_BYTES, MAX_BYTES_BASE + (uint64_t)expected * MAX_BYTES_PER_ITEM);
    if (expected > a->cap) {
        a->cap = expected;
        a->items = base_realloc(a->items, a->cap * sizeof *a->items);
    }
    a->yajl = yajl_alloc(&callbacks, NULL, a);
    if (a->yajl == NULL)
        base_die("out of memory");
    yajl_config(a->yajl, yajl_dont_validate_strings, 1);
}

void es_answer_check_ids(struct es_answer *a, es_answer_id_fn *id_is, const void *arg)
{
    a->id_is = id_is;
    a->id_arg = arg;
}

void es_answer_fini(struct es_answer *a)
{
    if (a->yajl != NULL)
        yajl_free(a->yajl);
    free(a->items);
    strbuf_fini(&a->texts);
    strbuf_fini(&a->type);
    strbuf_fini(&a->reason);
    memset(a, 0, sizeof *a);
}

/* How much of p to hand to yajl before looking where we stand: up to a separator behind which an
 * item may begin. */
static size_t piece(const struct es_answer *a, const char *p, size_t n)
{
    const char *end = memchr(p, ',', n);
    size_t k = end != NULL ? (size_t)(end - p) + 1 : n;

    if (!a->seen_items && (end = memchr(p, '[', k)) != NULL)
        k = (size_t)(end - p) + 1;
    return k;
}

bool es_answer_feed(struct es_answer *a, const char *p, size_t n)
{
    if (a->wrong != NULL)
        return false;
    a->bytes += n;
    if (a->bytes > a->max_bytes)
        return fail(a, "larger than any answer to this request");
    while (n > 0) {
        size_t k;

        /* Here yajl waits for the next item. To take one with its comma out of its sight leaves it
         * waiting all the same. */
        if (a->at_item) {
            while (n >= COMMON_BYTES && memcmp(p, COMMON, COMMON_BYTES) == 0) {
                if (a->n == a->expected)
                    return fail(a, "more items than were sent");
                a->items[a->n++] =
                    (struct es_item){.status = 201, .fate = ES_DELIVERED, .text = UINT32_MAX};
                a->skipped = true;
                p += COMMON_BYTES;
                n -= COMMON_BYTES;
            }
            if (n == 0)
                break;
        }
        k = piece(a, p, n);
        a->quiet_bytes += k;
        if (yajl_parse(a->yajl, (const unsigned char *)p, k) != yajl_status_ok)
            return fail(a, "no JSON");
        if (a->quiet_bytes > MAX_QUIET_BYTES)
            return fail(a, "a string that is too long");
        a->at_item = a->in_items && a->depth == IN_ITEMS && (p[k - 1] == ',' || p[k - 1] == '[');
        p += k;
        n -= k;
    }
    return true;
}

bool es_answer_complete(const struct es_answer *a)
{
    return a->wrong == NULL && a->done;
}

bool es_answer_end(struct es_answer *a)
{
    if (a->wrong == NULL && !a->done)
        fail(a, a->bytes == 0 ? "empty" : "cut off");
    if (a->wrong == NULL && yajl_complete_parse(a->yajl) != yajl_status_ok)
        fail(a, "no JSON");
    return a->wrong == NULL;
}

const char *es_answer_text(const struct es_answer *a, const struct es_item *item)
{
    return item->text == UINT32_MAX ? "" : a->texts.p + item->text;
}

bool es_answer_error(struct bytes body, struct strbuf *to)
{
    static const char *error_path[] = {"error", NULL}, *type_path[] = {"error", "type", NULL},
                      *reason_path[] = {"error", "reason", NULL};
    char *text = base_strndup(body.p == NULL ? "" : body.p, body.n);
    char message[256];
    yajl_val tree = yajl_tree_parse(text, message, sizeof message);
    yajl_val error = tree != NULL ? yajl_tree_get(tree, error_path, yajl_t_any) : NULL;
    yajl_val type = tree != NULL ? yajl_tree_get(tree, type_path, yajl_t_string) : NULL;
    yajl_val reason = tree != NULL ? yajl_tree_get(tree, reason_path, yajl_t_string) : NULL;
    bool own = type != NULL || YAJL_IS_STRING(error);

    if (type != NULL)
        strbuf_add(to, type->u.string, strnlen(type->u.string, ES_ANSWER_MAX_TYPE));
    if (reason != NULL) {
        strbuf_add(to, ": ", 2);
        strbuf_add(to, reason->u.string, strnlen(reason->u.string, ES_ANSWER_MAX_REASON));
    }
    if (YAJL_IS_STRING(error))
        strbuf_add(to, error->u.string, strnlen(error->u.string, ES_ANSWER_MAX_REASON));
    if (!own) {
        for (size_t i = 0; i < MIN(body.n, 80); i++)
            strbuf_add_char(to, body.p[i] >= 0x20 && body.p[i] < 0x7f ? body.p[i] : ' ');
    }
    if (tree != NULL)
        yajl_tree_free(tree);
    free(text);
    return own;
}

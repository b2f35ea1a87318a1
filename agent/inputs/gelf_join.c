#include "agent/inputs/gelf_join.h"

#include "agent/base/hash.h"
#include "agent/base/strbuf.h"
#include "agent/base/utf8.h"
#include "parsers/json.h"

#include <stdlib.h>

#define MAX_LINES 256
#define JSON_CHECK_BYTES                                                                           \
    (256u << 10) /* looking again and again for the end of a longer one would cost too much */

struct line {
    uint64_t key;
    uint64_t due_ms;
    int level;
    unsigned pieces;
    uint8_t text_flags;
    uint32_t hash;
    int64_t arrival_ns;
    struct strbuf container_id, timestamp, message, text;
};

struct gelf_joins {
    struct line *line[MAX_LINES]; /* in order of due_ms */
    unsigned n;
    size_t bytes, max_bytes, max_text;
    uint64_t seed;
    void (*emit)(void *arg, const struct gelf_joined *line);
    void *arg;
    struct json_member *members; /* room for looking at a text */
};

struct gelf_joins *gelf_joins_create(size_t max_bytes, size_t max_text,
                                     void (*emit)(void *arg, const struct gelf_joined *line),
                                     void *arg)
{
    struct gelf_joins *j = base_calloc(1, sizeof *j);

    j->max_bytes = max_bytes;
    j->max_text = max_text;
    j->emit = emit;
    j->arg = arg;
    j->members = base_alloc(JSON_MAX_MEMBERS * sizeof *j->members);
    hash_random(&j->seed, sizeof j->seed);
    return j;
}

static size_t line_bytes(const struct line *l)
{
    return sizeof *l + l->container_id.cap + l->timestamp.cap + l->message.cap + l->text.cap;
}

static void line_free(struct line *l)
{
    strbuf_fini(&l->container_id);
    strbuf_fini(&l->timestamp);
    strbuf_fini(&l->message);
    strbuf_fini(&l->text);
    free(l);
}

void gelf_joins_free(struct gelf_joins *j)
{
    if (!j)
        return;
    for (unsigned i = 0; i < j->n; i++)
        line_free(j->line[i]);
    free(j->members);
    free(j);
}

static void emit(struct gelf_joins *j, unsigned i)
{
    struct line *l = j->line[i];
    struct gelf_joined out = {.message = strbuf_bytes(&l->message),
                              .text = strbuf_bytes(&l->text),
                              .text_flags = l->text_flags,
                              .pieces = l->pieces,
                              .hash = l->hash,
                              .arrival_ns = l->arrival_ns};

    j->n--;
    memmove(&j->line[i], &j->line[i + 1], (j->n - i) * sizeof j->line[0]);
    j->bytes -= line_bytes(l);
    j->emit(j->arg, &out);
    line_free(l);
}

static bool is_complete_json(struct gelf_joins *j, struct bytes text)
{
    struct strbuf plain = {0};
    bool duplicate, complete;
    size_t n, members;

    /* Most long texts can be told by their ends. */
    if (text.n == 0 || text.n > JSON_CHECK_BYTES || text.p[0] != '{' || text.p[text.n - 1] != '}')
        return false;
    n = json_unescape(text, strbuf_room(&plain, text.n + 32));
    complete = n != SIZE_MAX && json_scan(bytes_of(plain.p, n), j->members, JSON_MAX_MEMBERS,
                                          &members, &duplicate) == JSON_OK;
    strbuf_fini(&plain);
    return complete;
}

/* How often a byte may have been replaced: U+FFFD, escaped as Go does it, or as it stands. */
static size_t count_replaced(struct bytes s)
{
    size_t n = 0;

    for (const char *p = s.p, *end = s.p + s.n; (p = memchr(p, '\\', (size_t)(end - p)));) {
        if (end - p < 6)
            break;
        n += p[1] == 'u' && strncasecmp(p + 2, "fffd", 4) == 0;
        p += 2;
    }
    for (const char *p = s.p, *end = s.p + s.n;
         (p = memmem(p, (size_t)(end - p), UTF8_REPLACEMENT, 3)); p += 3)
        n++;
    return n;
}

/* What a container wrote to make this text: at least and at most so many bytes. Each U+FFFD (three
 * bytes) may stand for one byte that was no UTF-8. */
static void written_bytes(struct bytes text, size_t *least, size_t *most)
{
    *most = json_unescaped_length(text);
    ASSERT(*most != SIZE_MAX); /* it was scanned */
    *least = *most - (*most < GELF_JOIN_PIECE_BYTES ? 0 : 2 * count_replaced(text));
}

/* Whether Docker cut behind this text: it does so after exactly 16,384 bytes, never elsewhere. */
static bool was_cut(struct bytes text)
{
    size_t least, most;

    if (text.n < GELF_JOIN_PIECE_BYTES)
        return false;
    written_bytes(text, &least, &most);
    return least <= GELF_JOIN_PIECE_BYTES && most >= GELF_JOIN_PIECE_BYTES &&
           (most - GELF_JOIN_PIECE_BYTES) % 2 == 0;
}

/* A line of a terminal, or of Windows, ends so: nothing of it follows. */
static bool ends_in_return(struct bytes text)
{
    size_t backslashes = 0;

    if (text.n == 0 || text.p[text.n - 1] == '\r')
        return text.n > 0;
    if (text.p[text.n - 1] != 'r')
        return false;
    while (backslashes + 1 < text.n && text.p[text.n - 2 - backslashes] == '\\')
        backslashes++;
    return backslashes % 2 == 1;
}

/* Whether more may follow behind this piece; so_far: with what came before it. */
static bool may_go_on(struct gelf_joins *j, struct bytes piece, struct bytes so_far)
{
    return was_cut(piece) && !ends_in_return(piece) && !is_complete_json(j, so_far);
}

/* Whether a text can be what follows behind a cut. An object that is whole by itself is a line of
 * its own: what follows behind a cut in an object has the end of that one as well. */
static bool may_follow(struct gelf_joins *j, struct bytes text)
{
    size_t least, most;

    written_bytes(text, &least, &most);
    return least <= GELF_JOIN_PIECE_BYTES && !is_complete_json(j, text);
}

static void append(struct gelf_joins *j, unsigned i, const struct gelf_piece *piece,
                   uint64_t now_ms)
{
    struct line *l = j->line[i];

    j->bytes -= line_bytes(l);
    strbuf_add_bytes(&l->text, piece->text);
    j->bytes += line_bytes(l);
    l->hash = hash_crc32c(l->hash, piece->text.p, piece->text.n);
    l->text_flags |= piece->text_flags;
    l->pieces++;
    if (!may_go_on(j, piece->text, strbuf_bytes(&l->text))) {
        emit(j, i);
        return;
    }
    l->due_ms = now_ms + GELF_JOIN_WAIT_MS;
    memmove(&j->line[i], &j->line[i + 1], (j->n - 1 - i) * sizeof j->line[0]);
    j->line[j->n - 1] = l;
    while (j->n > 1 && j->bytes > j->max_bytes)
        emit(j, 0);
}

static void begin(struct gelf_joins *j, const struct gelf_piece *piece, uint64_t key,
                  uint64_t now_ms)
{
    struct line *l = base_calloc(1, sizeof *l);

    l->key = key;
    l->due_ms = now_ms + GELF_JOIN_WAIT_MS;
    l->level = piece->level;
    l->pieces = 1;
    l->text_flags = piece->text_flags;
    l->hash = hash_crc32c(0, piece->message.p, piece->message.n);
    l->arrival_ns = piece->arrival_ns;
    strbuf_add_bytes(&l->container_id, piece->container_id);
    strbuf_add_bytes(&l->timestamp, piece->timestamp);
    strbuf_add_bytes(&l->message, piece->message);
    strbuf_add_bytes(&l->text, piece->text);
    j->line[j->n++] = l;
    j->bytes += line_bytes(l);
}

bool gelf_joins_add(struct gelf_joins *j, const struct gelf_piece *piece, uint64_t now_ms)
{
    uint64_t key = 0;
    unsigned i = j->n;

    if (j->n > 0) {
        gelf_joins_expire(j, now_ms);
        key =
            hash_64(j->seed + (uint64_t)piece->level, piece->container_id.p, piece->container_id.n);
        for (i = 0; i < j->n; i++)
            if (j->line[i]->key == key && j->line[i]->level == piece->level &&
                bytes_equal(strbuf_bytes(&j->line[i]->container_id), piece->container_id))
                break;
    }
    if (i < j->n) {
        const struct line *l = j->line[i];

        if (bytes_equal(strbuf_bytes(&l->timestamp), piece->timestamp) &&
            may_follow(j, piece->text) &&
            piece->text.n <= j->max_text - MIN(j->max_text, l->text.n)) {
            append(j, i, piece, now_ms);
            return true;
        }
        emit(j, i);
    }
    if (!may_go_on(j, piece->text, piece->text))
        return false;
    key = hash_64(j->seed + (uint64_t)piece->level, piece->container_id.p, piece->container_id.n);
    while (j->n > 0 &&
           (j->n == MAX_LINES || j->bytes + piece->message.n + piece->text.n > j->max_bytes))
        emit(j, 0);
    begin(j, piece, key, now_ms);
    return true;
}

void gelf_joins_expire(struct gelf_joins *j, uint64_t now_ms)
{
    while (j->n > 0 && j->line[0]->due_ms <= now_ms)
        emit(j, 0);
}

uint64_t gelf_joins_next_ms(const struct gelf_joins *j)
{
    return j->n > 0 ? j->line[0]->due_ms : UINT64_MAX;
}

void gelf_joins_flush(struct gelf_joins *j)
{
    while (j->n > 0)
        emit(j, 0);
}

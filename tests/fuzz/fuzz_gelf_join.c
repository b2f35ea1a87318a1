/*
 * Messages of Docker's driver in any order: of each stream of a container every text is handed on,
 * once, whole and in its order, and nothing is held longer than a second.
 *
 * The input is a run of steps. A step: a byte of which stream, a byte of time (and of which
 * timestamp), a byte of form and length, then up to 15 bytes that stand at the end of the text.
 */
#include "agent/inputs/gelf_join.h"

#include "agent/base/strbuf.h"
#include "parsers/json.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define STREAMS 4

static struct strbuf sent[STREAMS], got[STREAMS];
static unsigned pieces_sent, pieces_got;

static void emit(void *arg, const struct gelf_joined *line)
{
    unsigned stream = (unsigned)(line->message.p[0] - '0');

    (void)arg;
    ASSERT(stream < STREAMS && line->pieces >= 1);
    strbuf_add_bytes(&got[stream], line->text);
    pieces_got += line->pieces;
}

/* The inside of a string: letters, then what the input says. */
static void make_text(struct strbuf *b, size_t letters, struct bytes end)
{
    struct strbuf quoted = {0};

    strbuf_clear(b);
    memset(strbuf_room(b, letters), 'x', letters);
    b->n += letters;
    strbuf_add_json(&quoted, end);
    strbuf_add(b, quoted.p + 1, quoted.n - 2);
    strbuf_fini(&quoted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const ids[] = {"0", "1", "2", "3"};
    static const size_t letters[] = {0, 1, 16384 - 15, 16384, 16383, 16390, 40000, 16384 - 3};
    struct gelf_joins *j = gelf_joins_create(200000, 100000, emit, NULL);
    struct strbuf text = {0};
    uint64_t now = 0;

    pieces_sent = pieces_got = 0;
    for (size_t at = 0; at + 3 <= n && pieces_sent < 40;) {
        unsigned stream = data[at] % STREAMS;
        size_t end = MIN((size_t)(data[at + 2] & 15), n - at - 3);
        struct gelf_piece p = {.container_id = bytes_str(ids[stream / 2]),
                               .level = stream % 2 ? 3 : 6,
                               .timestamp =
                                   data[at + 1] & 1 ? BYTES_LITERAL("1.5") : BYTES_LITERAL("1.6"),
                               .message = bytes_str(ids[stream])};

        now += (data[at + 1] >> 1) * 10u;
        make_text(&text, letters[data[at + 2] >> 5], bytes_of(data + at + 3, end));
        p.text = strbuf_bytes(&text);
        json_string_end(p.text.p, p.text.p + p.text.n, &p.text_flags);
        strbuf_add_bytes(&sent[stream], p.text);
        pieces_sent++;
        if (!gelf_joins_add(j, &p, now))
            emit(NULL, &(struct gelf_joined){.message = p.message, .text = p.text, .pieces = 1});
        gelf_joins_expire(j, now);
        ASSERT(gelf_joins_next_ms(j) == UINT64_MAX ||
               (gelf_joins_next_ms(j) > now && gelf_joins_next_ms(j) <= now + GELF_JOIN_WAIT_MS));
        at += 3 + end;
    }
    gelf_joins_flush(j);
    ASSERT(gelf_joins_next_ms(j) == UINT64_MAX && pieces_got == pieces_sent);
    for (int i = 0; i < STREAMS; i++) {
        ASSERT(bytes_equal(strbuf_bytes(&sent[i]), strbuf_bytes(&got[i])));
        strbuf_clear(&sent[i]);
        strbuf_clear(&got[i]);
    }
    gelf_joins_free(j);
    strbuf_fini(&text);
    return 0;
}

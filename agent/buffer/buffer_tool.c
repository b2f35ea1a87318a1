/*
 * What a person may ask of a buffer's folder without a running agent. Nothing is written, no lock
 * is taken: beside a running agent the answer is a moment ago's.
 */
#include "agent/buffer/buffer_internal.h"

#include "agent/base/io.h"
#include "agent/base/strbuf.h"
#include "agent/buffer/buffer_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define READ_BYTES (1u << 20)

static unsigned long long ull(uint64_t v)
{
    return v;
}

int buffer_tool_status(const char *dir, struct strbuf *out, struct error *e)
{
    struct buffer *b = buffer_open_view(dir, e);
    struct buffer_stats s;

    if (!b)
        return -1;
    buffer_stats(b, &s);
    strbuf_printf(out, "segments:       %llu\nbytes:          %llu\n", ull(s.segments),
                  ull(s.bytes));
    strbuf_printf(out, "buffered:       %llu\nread:           %llu\n", ull(s.buffered),
                  ull(s.read));
    strbuf_printf(out, "delivered:      %llu\nduplicate:      %llu\ndead_lettered:  %llu\n",
                  ull(s.delivered), ull(s.duplicate), ull(s.dead_lettered));
    strbuf_printf(out, "dropped:        %llu full, %llu too large, %llu invalid, %llu damaged\n",
                  ull(s.dropped[BUFFER_DROP_FULL]), ull(s.dropped[BUFFER_DROP_TOO_LARGE]),
                  ull(s.dropped[BUFFER_DROP_INVALID]), ull(s.damaged));
    strbuf_printf(out, "oldest:         %llu s\n", ull(s.oldest_age_s));
    strbuf_printf(out, "frontier:       segment %llu, offset %llu, record %llu\n",
                  ull(b->frontier.point.segment), ull(b->frontier.point.offset),
                  ull(b->frontier.seq));
    strbuf_printf(out, "end:            segment %llu, offset %llu, record %llu\n",
                  ull(b->end.point.segment), ull(b->end.point.offset), ull(b->end.seq));
    if (!b->state_found)
        strbuf_add_str(out, "the state file is missing or damaged\n");
    buffer_close(b);
    return 0;
}

struct verdict {
    uint64_t records, bad_stretches, missing;
};

/* Every record of one segment up to where the log ends in it. */
static void verify_segment(int dir, const struct buffer_segment *g, uint64_t end_seq,
                           struct verdict *v, struct strbuf *out)
{
    char name[BUFFER_NAME_MAX];
    uint64_t expected = g->first_seq;
    enum buffer_scan_result got;
    struct buffer_scan s;
    struct buffer_head h;
    int fd;

    buffer_segment_name(name, g->name, "seg");
    if (!g->header_ok) {
        v->bad_stretches++;
        strbuf_printf(out, "%s: the header is damaged\n", name);
    }
    fd = io_open(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0) {
        /* Beside a running agent it may just have been deleted. */
        strbuf_printf(out, "%s: %s\n", name, strerror(errno));
        return;
    }
    buffer_scan_init(&s, fd, g->key, BUFFER_FORMAT_HEADER, g->end);
    while ((got = buffer_scan_next(&s, &h)) != BUFFER_SCAN_END) {
        if (got == BUFFER_SCAN_RECORD) {
            if (h.seq > expected)
                v->missing += h.seq - expected;
            expected = MAX(expected, h.seq + (h.type == BUFFER_TYPE_DATA));
            v->records += h.type == BUFFER_TYPE_DATA;
            continue;
        }
        strbuf_printf(out, "%s: damaged at offset %llu\n", name,
                      ull(got == BUFFER_SCAN_BAD_PAYLOAD ? s.at - buffer_format_size(&h) : s.at));
        v->bad_stretches++;
        if (got == BUFFER_SCAN_BAD_HEAD)
            buffer_scan_resync(&s, expected, end_seq);
    }
    if (end_seq > expected)
        v->missing += end_seq - expected;
    buffer_scan_fini(&s);
    io_close(fd);
}

int buffer_tool_verify(const char *dir, struct strbuf *out, struct error *e)
{
    struct buffer *b = buffer_open_view(dir, e);
    struct verdict v = {0};
    size_t gone = 0;

    if (!b)
        return -1;
    for (size_t i = 0; i < b->n_segments; i++) {
        const struct buffer_segment *g = b->segments[i];

        if (i > 0 && g->header_ok && g->prev.point.segment != b->segments[i - 1]->number) {
            strbuf_printf(out, "segment %llu is missing\n", ull(g->prev.point.segment));
            gone++;
        }
        verify_segment(b->dir, g,
                       i + 1 < b->n_segments ? b->segments[i + 1]->first_seq : b->end.seq, &v, out);
    }
    strbuf_printf(out, "%llu records verified, %llu missing, %llu damaged places\n", ull(v.records),
                  ull(v.missing), ull(v.bad_stretches));
    if (b->torn_bytes)
        strbuf_printf(out, "%llu bytes behind the end of the log (a crash may leave them)\n",
                      ull(b->torn_bytes));
    if (!b->state_found)
        strbuf_add_str(out, "the state file is missing or damaged\n");
    gone += v.missing + v.bad_stretches + !b->state_found;
    buffer_close(b);
    return gone ? 1 : 0;
}

int buffer_tool_export(const char *dir, void (*fn)(void *arg, const struct buffer_record *r),
                       void *arg, struct error *e)
{
    struct buffer *b = buffer_open_view(dir, e);
    struct buffer_cursor at;
    size_t cap = READ_BYTES;
    char *to;
    bool damaged = false;

    if (!b)
        return -1;
    to = base_alloc(cap);
    at = buffer_frontier(b);
    for (;;) {
        uint64_t lost;
        size_t need, n = buffer_read(b, &at, to, cap, &lost, &need), walked = 0;
        struct buffer_record r;

        damaged = damaged || lost;
        if (need) {
            cap = need;
            to = base_realloc(to, cap);
            continue;
        }
        if (n == 0)
            break;
        while (buffer_next(to, n, &walked, &r))
            fn(arg, &r);
    }
    free(to);
    for (size_t i = 0; i < b->n_segments; i++)
        damaged = damaged || b->segments[i]->damaged;
    buffer_close(b);
    return damaged ? 1 : 0;
}

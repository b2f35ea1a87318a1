#include "agent/inputs/tail_multi.h"

#include "agent/base/hash.h"

#include <endian.h>
#include <stdlib.h>

#define KEEP_BYTES (64u << 10) /* of a buffer, from record to record */

/* A record that lines make, or one that waits to be handed on. */
struct unit {
    struct docker_framed first; /* of its first line; its slices point nowhere */
    char *text;
    size_t n, cap;
    char *attrs;
    size_t attrs_n, attrs_cap;
    char time_text[DOCKER_TIME_TEXT_MAX];
    size_t time_n;
    size_t lines;
    int64_t last_ns; /* when its last line was written, as far as that is known */
    bool last_known;
    bool rootless; /* the file in which it began can no longer be read */
    struct unit *next;
};

struct pending {
    struct multiline_state state; /* open: unit is a record */
    struct unit unit;
    uint64_t grown, seen; /* counts lines; as of the last look */
    uint64_t since_ms;    /* of that look */
};

struct tail_multi {
    struct multiline_rule rule;
    enum text_form form; /* of the lines that may belong together */
    struct pending streams[DOCKER_STREAMS];
    struct unit *queue, *queue_last; /* complete and not handed on, in their order */
    size_t bytes;
};

struct tail_multi *tail_multi_create(const struct multiline_rule *rule, enum text_form form)
{
    struct tail_multi *m = base_calloc(1, sizeof *m);

    m->rule = *rule;
    m->form = form;
    return m;
}

void tail_multi_free(struct tail_multi *m)
{
    if (!m)
        return;
    tail_multi_forget(m);
    free(m);
}

/* ---- units ---- */

static void give_back(struct tail_multi *m, struct unit *u)
{
    m->bytes -= u->cap + u->attrs_cap;
    free(u->text);
    free(u->attrs);
    *u = (struct unit){0};
}

static char *grow(struct tail_multi *m, char *p, size_t *cap, size_t n)
{
    size_t wanted = MAX(n, MAX(*cap + *cap / 2, (size_t)256));

    if (n <= *cap)
        return p;
    m->bytes += wanted - *cap;
    *cap = wanted;
    return base_realloc(p, wanted);
}

static void add_text(struct tail_multi *m, struct unit *u, struct bytes text)
{
    if (text.n == 0)
        return;
    u->text = grow(m, u->text, &u->cap, u->n + text.n);
    memcpy(u->text + u->n, text.p, text.n);
    u->n += text.n;
}

static void note_time(struct unit *u, const struct docker_framed *r)
{
    if (!r->time_known)
        return;
    u->last_known = true;
    u->last_ns = r->time_ns;
}

/* u becomes the record r; its buffers are used again. */
static void begin(struct tail_multi *m, struct unit *u, const struct docker_framed *r)
{
    u->first = *r;
    u->first.members = NULL;
    u->n = 0;
    add_text(m, u, r->text);
    u->attrs_n = r->attrs.n;
    if (r->attrs.n) {
        u->attrs = grow(m, u->attrs, &u->attrs_cap, r->attrs.n);
        memcpy(u->attrs, r->attrs.p, r->attrs.n);
    }
    u->time_n = MIN(r->time_text.n, sizeof u->time_text);
    if (u->time_n)
        memcpy(u->time_text, r->time_text.p, u->time_n);
    u->lines = 1;
    u->last_known = u->rootless = false;
    note_time(u, r);
}

static void append(struct tail_multi *m, struct unit *u, const struct docker_framed *r)
{
    uint32_t hash = htole32(r->hash);
    bool escaped = m->form == TEXT_ESCAPED;

    add_text(m, u, escaped ? BYTES_LITERAL("\\n") : BYTES_LITERAL("\n"));
    add_text(m, u, r->text);
    u->first.hash = hash_crc32c(u->first.hash, &hash, sizeof hash);
    u->first.text_flags |= r->text_flags | (escaped ? JSON_VALUE_ESCAPED : 0);
    u->first.tags |= r->tags;
    u->first.joined = true;
    u->lines++;
    note_time(u, r);
}

static struct docker_framed framed(const struct unit *u)
{
    struct docker_framed r = u->first;

    r.text = bytes_of(u->text, u->n);
    /* Text's empty lines are nothing at the end of a record either. */
    while (r.text_form == TEXT_RAW && r.text.n && r.text.p[r.text.n - 1] == '\n')
        r.text.n--;
    r.attrs = bytes_of(u->attrs, u->attrs_n);
    r.time_text = r.time_text.n ? bytes_of(u->time_text, u->time_n) : BYTES_NONE;
    return r;
}

/* ---- handing on ---- */

static void push(struct tail_multi *m, const struct unit *u)
{
    struct unit *last = base_alloc(sizeof *last);

    *last = *u;
    last->next = NULL;
    if (m->queue)
        m->queue_last->next = last;
    else
        m->queue = last;
    m->queue_last = last;
}

bool tail_multi_drain(struct tail_multi *m, docker_emit_fn *emit, void *arg)
{
    while (m->queue) {
        struct unit *u = m->queue;
        struct docker_framed r = framed(u);

        if (!emit(arg, &r))
            return false;
        m->queue = u->next;
        give_back(m, u);
        free(u);
    }
    return true;
}

bool tail_multi_is_full(const struct tail_multi *m)
{
    return m->queue != NULL;
}

/* r is complete as it stands. */
static void hand_on(struct tail_multi *m, const struct docker_framed *r, docker_emit_fn *emit,
                    void *arg)
{
    struct unit u = {0};

    if (!m->queue && emit(arg, r))
        return;
    begin(m, &u, r);
    push(m, &u);
}

/* What is pending in p, if anything, is complete. */
static void end(struct tail_multi *m, struct pending *p, docker_emit_fn *emit, void *arg)
{
    struct docker_framed r;

    if (!p->state.open)
        return;
    p->state = (struct multiline_state){0};
    r = framed(&p->unit);
    if (!m->queue && emit(arg, &r)) {
        if (p->unit.cap > KEEP_BYTES || p->unit.attrs_cap > KEEP_BYTES)
            give_back(m, &p->unit);
        return;
    }
    push(m, &p->unit);
    p->unit = (struct unit){0};
}

/* ---- lines ---- */

/* An object is an event: nothing continues it. The operator's own pattern may see it otherwise. */
static bool is_object(const struct tail_multi *m, struct bytes text)
{
    return m->rule.languages && !m->rule.starts && text.n >= 2 && text.p[0] == '{' &&
           text.p[text.n - 1] == '}';
}

static int64_t gap(const struct unit *u, const struct docker_framed *r)
{
    int64_t ns;

    if (!u->last_known || !r->time_known || __builtin_sub_overflow(r->time_ns, u->last_ns, &ns))
        return 0;
    return MAX(ns, (int64_t)0);
}

static bool fits(const struct unit *u, struct bytes text)
{
    return u->lines < MULTILINE_MAX_LINES && u->n + 2 + text.n <= MULTILINE_MAX_BYTES;
}

/* A line that is a record, whatever stands before and behind it. */
static bool is_alone(const struct tail_multi *m, const struct docker_framed *r)
{
    return r->text_form != m->form || is_object(m, r->text) ||
           (m->rule.languages == 0 && !m->rule.starts);
}

static bool is_nothing(const struct tail_multi *m, const struct docker_framed *r)
{
    return m->form == TEXT_RAW && r->text.n == 0;
}

/* Whether the line belongs to what is pending in p: it then stands there. Else *state is that of
 * the record that it begins, by what its own lines say: so it is when framing begins there anew. */
static bool continues(struct tail_multi *m, struct pending *p, const struct docker_framed *r,
                      struct multiline_state *state)
{
    bool escaped = (r->text_flags & JSON_VALUE_ESCAPED) != 0;
    int64_t gap_ns = p->state.open ? gap(&p->unit, r) : 0;

    *state = p->state;
    if (!multiline_continues(&m->rule, state, r->text, escaped, gap_ns))
        return false;
    if (fits(&p->unit, r->text)) {
        p->state = *state;
        p->grown++;
        append(m, &p->unit, r);
        return true;
    }
    p->unit.first.tags |= TAG_TRUNCATED;
    *state = (struct multiline_state){0};
    multiline_continues(&m->rule, state, r->text, escaped, 0);
    return false;
}

void tail_multi_take(struct tail_multi *m, const struct docker_framed *r, docker_emit_fn *emit,
                     void *arg)
{
    struct pending *p = &m->streams[r->stream];
    struct multiline_state state = {0};
    bool alone = is_alone(m, r);

    /* Which file's line came first is a matter of when they were read. */
    if (m->form == TEXT_RAW && p->state.open && p->unit.first.source != r->source) {
        p->unit.first.cut = true;
        end(m, p, emit, arg);
    }
    if (!alone && continues(m, p, r, &state))
        return;
    end(m, p, emit, arg);
    if (is_nothing(m, r))
        return;
    if (alone) {
        hand_on(m, r, emit, arg);
        return;
    }
    begin(m, &p->unit, r);
    p->state = state;
    p->grown++;
}

void tail_multi_cut(struct tail_multi *m, unsigned streams)
{
    for (size_t i = 0; i < DOCKER_STREAMS; i++) {
        struct pending *p = &m->streams[i];

        if (!(streams >> i & 1) || !p->state.open)
            continue;
        p->state = (struct multiline_state){0};
        p->unit.first.cut = true;
        push(m, &p->unit);
        p->unit = (struct unit){0};
    }
}

void tail_multi_set_rule(struct tail_multi *m, const struct multiline_rule *rule)
{
    if (rule->languages == m->rule.languages && rule->starts == m->rule.starts &&
        rule->pattern == m->rule.pattern)
        return;
    tail_multi_cut(m, ~0u);
    m->rule = *rule;
}

/* ---- what waits ---- */

const struct docker_framed *tail_multi_first(const struct tail_multi *m, size_t stream)
{
    const struct pending *p = &m->streams[stream];

    for (const struct unit *u = m->queue; u; u = u->next)
        if (u->first.stream == stream && !u->rootless)
            return &u->first;
    return p->state.open && !p->unit.rootless ? &p->unit.first : NULL;
}

const struct docker_framed *tail_multi_first_in(const struct tail_multi *m, uint64_t source)
{
    for (const struct unit *u = m->queue; u; u = u->next)
        if (u->first.source == source)
            return &u->first;
    for (size_t i = 0; i < DOCKER_STREAMS; i++) {
        const struct pending *p = &m->streams[i];

        if (p->state.open && p->unit.first.source == source)
            return &p->unit.first;
    }
    return NULL;
}

unsigned tail_multi_silent(struct tail_multi *m, uint64_t now_ms, uint64_t quiet_ms)
{
    unsigned silent = 0;

    for (size_t i = 0; i < DOCKER_STREAMS; i++) {
        struct pending *p = &m->streams[i];

        if (p->grown != p->seen) {
            p->seen = p->grown;
            p->since_ms = now_ms;
        }
        if (p->state.open && now_ms - p->since_ms >= quiet_ms)
            silent |= 1u << i;
    }
    return silent;
}

void tail_multi_silent_since(struct tail_multi *m, uint64_t since_ms)
{
    for (size_t i = 0; i < DOCKER_STREAMS; i++) {
        m->streams[i].seen = m->streams[i].grown;
        m->streams[i].since_ms = since_ms;
    }
}

unsigned tail_multi_pending(const struct tail_multi *m)
{
    unsigned pending = 0;

    for (size_t i = 0; i < DOCKER_STREAMS; i++)
        pending |= (unsigned)m->streams[i].state.open << i;
    return pending;
}

unsigned tail_multi_pending_in(const struct tail_multi *m, uint64_t source)
{
    unsigned pending = 0;

    for (size_t i = 0; i < DOCKER_STREAMS; i++) {
        const struct pending *p = &m->streams[i];

        pending |= (unsigned)(p->state.open && p->unit.first.source == source) << i;
    }
    return pending;
}

void tail_multi_uproot(struct tail_multi *m)
{
    if (m->form == TEXT_RAW)
        return; /* a copy of the file may have it, and no other file's position hangs on it */
    for (struct unit *u = m->queue; u; u = u->next)
        u->rootless = true;
    for (size_t i = 0; i < DOCKER_STREAMS; i++)
        m->streams[i].unit.rootless = true;
}

void tail_multi_forget(struct tail_multi *m)
{
    while (m->queue) {
        struct unit *u = m->queue;

        m->queue = u->next;
        give_back(m, u);
        free(u);
    }
    for (size_t i = 0; i < DOCKER_STREAMS; i++) {
        give_back(m, &m->streams[i].unit);
        m->streams[i].state = (struct multiline_state){0};
    }
}

size_t tail_multi_bytes(const struct tail_multi *m)
{
    return m->bytes;
}

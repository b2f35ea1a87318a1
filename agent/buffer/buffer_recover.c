/*
 * The happy path: the state names the frontier and the durable mark; the segment that holds the
 * later of the two is read from its snapshot on; the commits behind it bring positions and books up
 * to date; the log ends at the last of them.
 *
 * What may be wrong, and what then: no state -> marks from the headers and commits. No header ->
 * its number from the name, its records by their checksums. Damage before the mark -> skipped here,
 * counted by the reader. Damage behind it -> the log ends, unless a later commit proves that the
 * place was durable once. A segment behind one that is not whole -> not part of the log.
 */
#include "agent/buffer/buffer_recover.h"

#include "agent/base/io.h"
#include "agent/buffer/buffer_scan.h"
#include "agent/buffer/buffer_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void buffer_segment_name(char to[BUFFER_NAME_MAX], uint64_t number, const char *suffix)
{
    snprintf(to, BUFFER_NAME_MAX, "%016llx.%s", (unsigned long long)number, suffix);
}

/* The number in NNNNNNNNNNNNNNNN.suffix; false for any other name. */
static bool parse_name(const char *name, const char *suffix, uint64_t *number)
{
    uint64_t v = 0;

    for (int i = 0; i < 16; i++) {
        char c = name[i];

        if (c >= '0' && c <= '9')
            v = v << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *number = v;
    return name[16] == '.' && strcmp(name + 17, suffix) == 0;
}

static int open_segment(int dir, const struct buffer_segment *g)
{
    char name[BUFFER_NAME_MAX];

    buffer_segment_name(name, g->name, "seg");
    return io_open(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
}

static void leave(struct buffer_recovered *r, const char *name, uint64_t size, int kind)
{
    r->left = base_realloc(r->left, (r->n_left + 1) * sizeof *r->left);
    r->left[r->n_left] = (struct buffer_leftover){.size = size, .kind = kind};
    snprintf(r->left[r->n_left].name, BUFFER_NAME_MAX, "%.*s", BUFFER_NAME_MAX - 1, name);
    r->n_left++;
}

/* Takes segment i out of the log. */
static void drop(struct buffer_recovered *r, size_t i, int kind)
{
    char name[BUFFER_NAME_MAX];

    buffer_segment_name(name, r->segments[i]->name, "seg");
    leave(r, name, r->segments[i]->size, kind);
    free(r->segments[i]);
    r->n--;
    memmove(r->segments + i, r->segments + i + 1, (r->n - i) * sizeof *r->segments);
}

/* ---- the files ---- */

struct candidate {
    struct buffer_segment segment;
    struct buffer_header header; /* when segment.header_ok */
};

struct candidates {
    struct candidate *p;
    size_t n;
};

/* No trouble of the file's: a start that went on without it would lose what it holds. */
static bool is_passing(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

/* -1 when the buffer is not to be opened: *newer is set, or *e. */
static int look_at_file(int dir, const char *name, uint64_t number, struct candidates *c,
                        struct buffer_recovered *r, uint32_t *newer, struct error *e)
{
    char head[BUFFER_FORMAT_HEADER];
    struct candidate one = {.segment = {.number = number, .name = number, .fd = -1}};
    struct buffer_segment *g = &one.segment;
    bool io_error = false;
    struct stat st;
    uint32_t version;
    ssize_t got;
    int fd = open_segment(dir, g);

    r->next_number = MAX(r->next_number, number + 1);
    if (fd < 0 && is_passing(errno))
        return error_set(e, "the buffer's file %s cannot be opened: %s", name, strerror(errno));
    if (fd < 0 && errno != ELOOP && errno != ENXIO && errno != ENOENT) {
        /* It is not ours to read, or the disk does not give it. */
        leave(r, name, 0, BUFFER_LEFT_UNREADABLE);
        return 0;
    }
    if (fd < 0 || io_stat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        if (fd >= 0)
            io_close(fd);
        r->ignored++;
        return 0;
    }
    g->size = (uint64_t)st.st_size;
    got = buffer_scan_pread(fd, head, sizeof head, 0, &io_error);
    io_close(fd);
    version = got >= BUFFER_FORMAT_PREAMBLE ? buffer_format_version(BUFFER_KIND_SEGMENT, head) : 0;
    if (version > BUFFER_FORMAT_VERSION) {
        *newer = version;
        return -1;
    }
    if (got == (ssize_t)sizeof head && buffer_format_header_get(head, &one.header)) {
        g->header_ok = true;
        g->number = one.header.number;
        g->data_start = one.header.data_start;
        g->first_seq = one.header.prev.seq;
        g->prev = one.header.prev;
        g->cannot_wait_before = one.header.cannot_wait_before;
        g->created_s = (uint32_t)(one.header.created_ns / 1000000000);
        r->next_number = MAX(r->next_number, g->number + 1);
    } else if (got < 0) {
        leave(r, name, g->size, BUFFER_LEFT_UNREADABLE);
        return 0;
    } else if (got < (ssize_t)sizeof head) {
        /* The name was made, but not even the header reached the disk. */
        leave(r, name, g->size, BUFFER_LEFT_EMPTY);
        return 0;
    }
    c->p = base_realloc(c->p, (c->n + 1) * sizeof *c->p);
    c->p[c->n++] = one;
    return 0;
}

static int look_at_folder(int dir, struct candidates *c, struct buffer_recovered *r,
                          uint32_t *newer, struct error *e)
{
    DIR *d = io_list(dir);
    struct dirent *entry;
    int rc = 0, more;

    if (!d)
        return error_set(e, "cannot list the buffer's folder: %s", strerror(errno));
    while (rc == 0 && (more = io_list_next(d, &entry)) != 0) {
        uint64_t number;
        struct stat st;

        if (more < 0) {
            /* Without the names that were not told, the log would be taken for a shorter one. */
            rc = error_set(e, "cannot list the buffer's folder: %s", strerror(errno));
            break;
        }
        if (parse_name(entry->d_name, "seg", &number)) {
            rc = look_at_file(dir, entry->d_name, number, c, r, newer, e);
        } else if (parse_name(entry->d_name, "bad", &number)) {
            r->next_number = MAX(r->next_number, number + 1);
            if (io_stat_at(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                leave(r, entry->d_name, (uint64_t)st.st_size, BUFFER_LEFT_KEPT);
        } else if (parse_name(entry->d_name, "copy", &number)) {
            leave(r, entry->d_name, 0, BUFFER_LEFT_EMPTY);
        } else if (entry->d_name[0] != '.' && strcmp(entry->d_name, BUFFER_STATE_NAME) != 0 &&
                   strcmp(entry->d_name, "spare") != 0 && strcmp(entry->d_name, "next") != 0) {
            r->ignored++;
        }
    }
    io_list_end(d);
    return rc;
}

/* Which salt is this buffer's: the state's, when a segment agrees or none is left to ask; else the
 * one that most segments have. */
static bool choose_salt(const struct candidates *c, const struct buffer_state *state,
                        bool have_state, uint8_t salt[BUFFER_FORMAT_SALT])
{
    const uint8_t *best = NULL;
    size_t best_votes = 0, headers = 0;

    for (size_t i = 0; i < c->n; i++) {
        size_t votes = 0;

        if (!c->p[i].segment.header_ok)
            continue;
        headers++;
        if (have_state && !memcmp(c->p[i].header.salt, state->salt, BUFFER_FORMAT_SALT)) {
            best = state->salt;
            break;
        }
        /* A handful of strangers at most; segments number some dozens. */
        for (size_t k = i; k < c->n && k < i + 1024; k++)
            votes += c->p[k].segment.header_ok &&
                     !memcmp(c->p[k].header.salt, c->p[i].header.salt, BUFFER_FORMAT_SALT);
        if (votes > best_votes) {
            best_votes = votes;
            best = c->p[i].header.salt;
        }
        if (votes > c->n / 2 && !have_state)
            break;
    }
    if (headers == 0 && have_state)
        best = state->salt;
    if (best)
        memcpy(salt, best, BUFFER_FORMAT_SALT);
    return best != NULL;
}

/* A segment whose header is damaged: the first record that verifies tells where it begins. false
 * when none does. */
static bool adopt_headless(int dir, struct buffer_segment *g)
{
    struct buffer_scan s;
    struct buffer_head h;
    enum buffer_scan_result got;
    int fd = open_segment(dir, g);
    bool ok;

    if (fd < 0)
        return false;
    buffer_scan_init(&s, fd, g->key, BUFFER_FORMAT_HEADER, g->size);
    while ((got = buffer_scan_next(&s, &h)) == BUFFER_SCAN_BAD_HEAD)
        buffer_scan_resync(&s, 0, UINT64_MAX);
    ok = got != BUFFER_SCAN_END;
    if (ok) {
        g->first_seq = h.seq;
        g->created_s = h.time_s;
        g->data_start = BUFFER_FORMAT_HEADER;
    }
    buffer_scan_fini(&s);
    io_close(fd);
    return ok;
}

/* How many records of g verify under a segment number. */
static uint64_t verified(int dir, const struct buffer_segment *g, uint32_t key)
{
    enum buffer_scan_result got;
    struct buffer_scan s;
    struct buffer_head h;
    uint64_t n = 0;
    int fd = open_segment(dir, g);

    if (fd < 0)
        return 0;
    buffer_scan_init(&s, fd, key, BUFFER_FORMAT_HEADER, g->size);
    while ((got = buffer_scan_next(&s, &h)) != BUFFER_SCAN_END) {
        n += got == BUFFER_SCAN_RECORD;
        if (got == BUFFER_SCAN_BAD_HEAD)
            buffer_scan_resync(&s, 0, UINT64_MAX);
    }
    buffer_scan_fini(&s);
    io_close(fd);
    return n;
}

/* A whole header that says another number than the name: the file was renamed, or another's header
 * was written here. Its records tell. */
static void check_name(int dir, struct buffer_segment *g, const uint8_t salt[BUFFER_FORMAT_SALT])
{
    uint32_t key = buffer_format_key(salt, g->name);

    if (verified(dir, g, g->key) >= verified(dir, g, key))
        return;
    *g = (struct buffer_segment){
        .number = g->name, .name = g->name, .key = key, .size = g->size, .fd = -1};
}

static int by_number(const void *a, const void *b)
{
    const struct buffer_segment *x = *(struct buffer_segment *const *)a;
    const struct buffer_segment *y = *(struct buffer_segment *const *)b;

    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    /* Of two that claim one number, the one with the right name comes first, and stays. */
    return (x->name != x->number) - (y->name != y->number);
}

/* Sorts the candidates into the log and what is left over. */
static void sort_out(int dir, struct candidates *c, struct buffer_recovered *r)
{
    r->segments = base_alloc((c->n + 1) * sizeof *r->segments);
    for (size_t i = 0; i < c->n; i++) {
        struct buffer_segment *g = &c->p[i].segment;
        char name[BUFFER_NAME_MAX];

        buffer_segment_name(name, g->name, "seg");
        g->key = buffer_format_key(r->salt, g->number);
        if (g->header_ok && g->number != g->name)
            check_name(dir, g, r->salt);
        if (g->header_ok && memcmp(c->p[i].header.salt, r->salt, BUFFER_FORMAT_SALT) != 0) {
            leave(r, name, g->size, BUFFER_LEFT_FOREIGN);
        } else if (!g->header_ok && !adopt_headless(dir, g)) {
            leave(r, name, g->size, BUFFER_LEFT_UNREADABLE);
        } else {
            r->segments[r->n] = base_alloc(sizeof *g);
            *r->segments[r->n++] = *g;
            if (g->header_ok)
                r->durable = buffer_cursor_max(r->durable, c->p[i].header.durable);
        }
    }
    qsort(r->segments, r->n, sizeof *r->segments, by_number);
    for (size_t i = 1; i < r->n;) {
        if (r->segments[i]->number == r->segments[i - 1]->number)
            drop(r, i, BUFFER_LEFT_UNREADABLE);
        else
            i++;
    }
    /* A segment says which one it follows; what lies between was no part of the log when it was
     * begun. */
    for (size_t i = r->n; i-- > 1;) {
        uint64_t prev = r->segments[i]->prev.point.segment;

        while (r->segments[i]->header_ok && i > 0 && r->segments[i - 1]->number > prev) {
            drop(r, i - 1, BUFFER_LEFT_EMPTY);
            i--;
        }
        if (i == 0)
            break;
    }
}

/* Where each segment ends: its successor says. */
static void set_ends(struct buffer_recovered *r)
{
    for (size_t i = 0; i < r->n; i++) {
        struct buffer_segment *g = r->segments[i], *next = i + 1 < r->n ? r->segments[i + 1] : NULL;

        if (next && next->header_ok && next->prev.point.segment == g->number)
            g->end = next->prev.point.offset;
        else
            g->end = g->size;
        if (!g->header_ok && i > 0)
            g->cannot_wait_before = r->segments[i - 1]->cannot_wait_before;
    }
}

/* ---- the end of the log ---- */

struct walk {
    struct buffer_recovered *r;
    int dir;
    struct buffer_cursor mark; /* before it, damage is damage; behind it, the log ends there */
    uint64_t expected;         /* the next sequence number */
    bool snapshot_read;
};

/* How far the log was durable and delivered is true wherever it is written, also behind the end of
 * the log. */
static void learn(struct buffer_recovered *r, const struct buffer_books *books)
{
    r->durable = buffer_cursor_max(r->durable, books->durable);
    if (buffer_point_before(r->books.frontier.point, books->frontier.point)) {
        r->books.frontier = books->frontier;
        r->books.finished = books->finished;
    }
}

/* Takes over what a commit says. false when its inside does not hold together. */
static bool take_commit(struct walk *w, const struct buffer_head *h, struct bytes payload)
{
    struct buffer_recovered *r = w->r;
    struct buffer_books books;
    struct bytes p, key, value;
    uint32_t positions;

    buffer_format_books_get(payload.p, &books, &positions);
    p = bytes_of(payload.p + BUFFER_FORMAT_BOOKS, payload.n - BUFFER_FORMAT_BOOKS);
    if (h->type == BUFFER_TYPE_SNAPSHOT) {
        buffer_positions_free(r->positions);
        r->positions = buffer_positions_create();
        w->snapshot_read = true;
    }
    for (uint32_t i = 0; i < positions; i++) {
        if (!buffer_format_entry_get(&p, &key, &value))
            return false;
        buffer_positions_set(r->positions, key, value, BUFFER_FORMAT_POSITIONS_MAX);
    }
    buffer_positions_clean(r->positions);
    learn(r, &books);
    r->books.wall_ns = books.wall_ns;
    r->books.cannot_wait_total = books.cannot_wait_total;
    memcpy(r->books.dropped, books.dropped, sizeof books.dropped);
    return true;
}

/* Learns what any commit from segment i, offset at, on knows. */
static void find_proof(struct walk *w, size_t i, uint64_t at)
{
    for (; i < w->r->n; i++) {
        struct buffer_segment *g = w->r->segments[i];
        int fd = open_segment(w->dir, g);
        enum buffer_scan_result got;
        struct buffer_scan s;
        struct buffer_head h;

        if (fd >= 0) {
            buffer_scan_init(&s, fd, g->key, MIN(MAX(at, (uint64_t)BUFFER_FORMAT_HEADER), g->size),
                             g->size);
            while ((got = buffer_scan_next(&s, &h)) != BUFFER_SCAN_END) {
                if (got == BUFFER_SCAN_BAD_HEAD) {
                    buffer_scan_resync(&s, w->expected, UINT64_MAX);
                } else if (got == BUFFER_SCAN_RECORD && h.type != BUFFER_TYPE_DATA) {
                    struct buffer_books books;
                    uint32_t positions;

                    buffer_format_books_get(s.payload.p, &books, &positions);
                    learn(w->r, &books);
                }
            }
            buffer_scan_fini(&s);
            io_close(fd);
        }
        at = 0;
    }
}

/* Where the log goes on behind the frontier: the frontier's own segment, or a later one that
 * follows nothing but what is finished, header and all; r->n where there is none. */
static size_t behind_frontier(const struct buffer_recovered *r)
{
    const struct buffer_cursor *f = &r->books.frontier;
    size_t i = 0;

    while (i < r->n &&
           (r->segments[i]->number < f->point.segment || !r->segments[i]->header_ok ||
            (r->segments[i]->number > f->point.segment && r->segments[i]->first_seq > f->seq)))
        i++;
    return i;
}

/* What lies before this point was durable, or is finished. Of the segments that are there the
 * frontier says so only when the log goes on behind it: where its segment never reached the disk,
 * those before it may be what an earlier recovery cut off, with positions ahead of the log that
 * went on, and only the header of that segment told where. */
static struct buffer_cursor mark_of(const struct buffer_recovered *r)
{
    if (behind_frontier(r) < r->n)
        return buffer_cursor_max(r->durable, r->books.frontier);
    return r->durable;
}

/* Whether damage at segment i, offset at, is known to lie before what was once durable. Looks
 * further when it is not known yet. */
static bool was_durable(struct walk *w, size_t i, uint64_t at)
{
    struct buffer_point p = {w->r->segments[i]->number, at};

    if (buffer_point_before(p, w->mark.point))
        return true;
    find_proof(w, i, at);
    w->mark = mark_of(w->r);
    return buffer_point_before(p, w->mark.point);
}

static void good_record(struct walk *w, const struct buffer_segment *g, const struct buffer_scan *s,
                        const struct buffer_head *h)
{
    w->expected = h->seq + (h->type == BUFFER_TYPE_DATA);
    if (h->type != BUFFER_TYPE_DATA && take_commit(w, h, s->payload))
        w->r->end = (struct buffer_cursor){{g->number, s->at}, h->seq};
}

/* Sequence numbers from here on are not in segment i, whatever its bytes say: an earlier recovery
 * may have cut it, and only the next segment, or what was known later, tells. */
static uint64_t seq_limit(const struct walk *w, size_t i)
{
    const struct buffer_recovered *r = w->r;
    uint64_t limit = i + 1 < r->n ? r->segments[i + 1]->first_seq : UINT64_MAX;

    if (r->durable.point.segment > r->segments[i]->number)
        limit = MIN(limit, r->durable.seq);
    if (r->books.frontier.point.segment > r->segments[i]->number)
        limit = MIN(limit, r->books.frontier.seq);
    return limit;
}

/* Of a segment whose header is lost, only the first record that is still there was seen: it may
 * have begun earlier, and did where the mark says so. */
static uint64_t first_seq_of(const struct walk *w, const struct buffer_segment *g)
{
    if (g->header_ok || w->mark.point.segment < g->number)
        return g->first_seq;
    return MIN(g->first_seq, w->mark.seq);
}

/* Walks segment i to its end. false when the log ends inside. */
static bool walk_segment(struct walk *w, size_t i)
{
    struct buffer_segment *g = w->r->segments[i];
    int fd = open_segment(w->dir, g);
    struct buffer_scan s;
    struct buffer_head h;
    bool whole = true;

    if (fd < 0)
        return was_durable(w, i, BUFFER_FORMAT_HEADER);
    buffer_scan_init(&s, fd, g->key, BUFFER_FORMAT_HEADER, MIN(g->end, g->size));
    g->first_seq = first_seq_of(w, g);
    w->expected = MAX(w->expected, g->first_seq);
    while (whole) {
        uint64_t at = s.at;
        bool lenient = buffer_point_before((struct buffer_point){g->number, at}, w->mark.point);
        enum buffer_scan_result got;

        if (!lenient && w->mark.point.segment == g->number)
            w->expected = MAX(w->expected, w->mark.seq);
        got = buffer_scan_next(&s, &h);
        if (got == BUFFER_SCAN_END)
            break;
        if (got != BUFFER_SCAN_BAD_HEAD && h.seq + (h.type == BUFFER_TYPE_DATA) > seq_limit(w, i)) {
            g->end = at;
            break;
        }
        if (got == BUFFER_SCAN_RECORD && (lenient ? h.seq >= w->expected : h.seq == w->expected)) {
            good_record(w, g, &s, &h);
        } else if (!lenient && !was_durable(w, i, at)) {
            whole = false;
        } else if (got == BUFFER_SCAN_BAD_HEAD) {
            buffer_scan_resync(&s, w->expected, UINT64_MAX);
            /* What lies behind the mark is looked at from the mark on: it may be torn. */
            if (w->mark.point.segment == g->number && at < w->mark.point.offset)
                s.at = MIN(s.at, w->mark.point.offset);
        }
    }
    if (whole && g->end > g->size)
        whole = was_durable(w, i, g->size);
    buffer_scan_fini(&s);
    io_close(fd);
    return whole;
}

/* Whether every record before c is known to have been durable, or is finished: lies before mark. */
static bool settled(const struct buffer_cursor *mark, const struct buffer_cursor *c)
{
    return !buffer_point_before(mark->point, c->point) || mark->seq >= c->seq;
}

/* Whether segment i continues the log behind the one before it, which is whole. */
static bool follows(struct walk *w, size_t i)
{
    struct buffer_segment *g = w->r->segments[i], *before = w->r->segments[i - 1];

    if (g->header_ok) {
        if (g->prev.point.segment == before->number && g->first_seq == w->expected)
            return true;
        /* All that it follows was durable: what is missing there is damage. */
        if (settled(&w->mark, &g->prev) && g->first_seq >= w->expected)
            return true;
    }
    return was_durable(w, i, BUFFER_FORMAT_HEADER);
}

/* Where to begin: at the segment that holds the mark, or the last one before it. */
static size_t first_to_walk(const struct walk *w)
{
    size_t i = 0;

    while (i + 1 < w->r->n && w->r->segments[i + 1]->number <= w->mark.point.segment)
        i++;
    return i;
}

/* Whether the oldest segment there is may begin the log. Segments are deleted only when the state
 * on disk says that they are finished; so where there is a state, and it does not, the missing ones
 * never reached the disk, and what follows them does not count. */
static bool may_begin(struct walk *w)
{
    const struct buffer_segment *g = w->r->segments[0];
    struct buffer_cursor known;

    if (!w->r->state_found)
        return true;
    if (!g->header_ok)
        return was_durable(w, 0, BUFFER_FORMAT_HEADER);
    known = buffer_cursor_max(w->r->durable, w->r->books.frontier);
    if (g->prev.point.segment == 0 || settled(&known, &g->prev))
        return true;
    /* A state that could not be written for long did not stop deletion; then a commit may know. */
    find_proof(w, 0, BUFFER_FORMAT_HEADER);
    w->mark = mark_of(w->r);
    known = buffer_cursor_max(w->r->durable, w->r->books.frontier);
    return settled(&known, &g->prev);
}

/* false when the first segment's snapshot could not be read and was asked for: nothing is decided
 * then. */
static bool walk_from(struct walk *w, size_t start, bool want_snapshot)
{
    struct buffer_recovered *r = w->r;

    w->snapshot_read = false;
    w->expected = 0;
    buffer_positions_free(r->positions);
    r->positions = buffer_positions_create();
    r->end = (struct buffer_cursor){{r->segments[start]->number, BUFFER_FORMAT_HEADER},
                                    first_seq_of(w, r->segments[start])};
    for (size_t i = start; i < r->n; i++) {
        bool whole = (i == start || follows(w, i)) && walk_segment(w, i);

        if (i == start && !w->snapshot_read && want_snapshot)
            return false;
        if (!whole)
            break;
    }
    return true;
}

/* The log ends behind its last commit, and not before the mark. */
static void cut(struct buffer_recovered *r, const struct buffer_cursor *mark)
{
    struct buffer_segment *last;

    if (buffer_point_before(r->end.point, mark->point)) {
        for (size_t i = 0; i < r->n && r->segments[i]->number <= mark->point.segment; i++) {
            struct buffer_segment *g = r->segments[i];
            struct buffer_point p = {g->number, MIN(g->end, g->size)};

            if (g->number == mark->point.segment)
                p.offset = MIN(p.offset, mark->point.offset);
            if (p.offset > BUFFER_FORMAT_HEADER && buffer_point_before(r->end.point, p))
                r->end.point = p;
        }
        r->end.seq = MAX(r->end.seq, mark->seq);
    }
    while (r->n > 0 && r->segments[r->n - 1]->number > r->end.point.segment) {
        r->torn_bytes += r->segments[r->n - 1]->size;
        drop(r, r->n - 1, BUFFER_LEFT_TORN);
    }
    if (r->n == 0)
        return;
    last = r->segments[r->n - 1];
    if (last->size > r->end.point.offset)
        r->torn_bytes += last->size - r->end.point.offset;
    last->end = r->end.point.offset;
}

/* Numbers rise along the log: what is numbered before a known point, but begins behind it, was cut
 * off by a recovery whose unlink did not reach the disk. */
static void drop_contradicting(struct buffer_recovered *r, const struct buffer_cursor *known)
{
    for (size_t i = r->n; i-- > 0;)
        if (r->segments[i]->number < known->point.segment && r->segments[i]->first_seq > known->seq)
            drop(r, i, BUFFER_LEFT_TORN);
}

/* Where the frontier's segment is gone and the log goes on in a later one, all before that is
 * finished, or was cut off earlier: its positions are none. false when there was nothing. */
static bool drop_finished(struct buffer_recovered *r)
{
    size_t n = behind_frontier(r);

    if (n == 0 || n == r->n || r->segments[n]->number == r->books.frontier.point.segment)
        return false;
    while (n-- > 0)
        drop(r, n, BUFFER_LEFT_TORN);
    return true;
}

/* Walks the log, from where the marks that are known say that it is to be begun. */
static void walk_log(struct walk *w)
{
    struct buffer_recovered *r = w->r;
    size_t start, back = 0;

    buffer_positions_free(r->positions);
    r->positions = buffer_positions_create();
    r->end = (struct buffer_cursor){0};
    set_ends(r);
    w->mark = mark_of(r);
    start = first_to_walk(w);
    if (start == 0 && !may_begin(w)) {
        r->positions_lost = true;
        return;
    }
    start = first_to_walk(w);
    /* Without its snapshot a segment gives only the positions that changed; older ones, further
     * back, are safe ones. */
    while (!walk_from(w, start - back, start > back && back < 4))
        back++;
    r->positions_lost = !w->snapshot_read;
}

static void find_end(int dir, struct buffer_recovered *r)
{
    struct walk w = {.r = r, .dir = dir};

    drop_contradicting(r, &r->durable);
    drop_contradicting(r, &r->books.frontier);
    drop_finished(r);
    if (r->n == 0) {
        r->positions_lost = true;
        return;
    }
    /* On its way it may learn of a later frontier. */
    do
        walk_log(&w);
    while (drop_finished(r));
    cut(r, &w.mark);
}

/* ---- the books ---- */

static void settle_books(struct buffer_recovered *r, const struct buffer_state *state,
                         bool have_state)
{
    struct buffer_cursor *f = &r->books.frontier;
    struct buffer_outcome *done = &r->books.finished;
    bool state_is_old = !have_state || state->books.frontier.seq < f->seq;
    uint64_t sum;

    /* Segments are deleted only when the state says so; where it is lost, they were delivered. */
    if (r->n > 0 && state_is_old && r->segments[0]->first_seq > f->seq)
        *f = (struct buffer_cursor){{r->segments[0]->number, r->segments[0]->data_start},
                                    r->segments[0]->first_seq};
    r->end.seq = MAX(r->end.seq, f->seq);
    sum = buffer_outcome_sum(done);
    if (sum <= f->seq)
        done->delivered += f->seq - sum;
    else
        *done = (struct buffer_outcome){.delivered = f->seq};
    if (have_state)
        for (int i = 0; i < BUFFER_DROP_KINDS; i++)
            r->books.dropped[i] = MAX(r->books.dropped[i], state->books.dropped[i]);
    if (buffer_point_before(r->end.point, r->durable.point))
        r->durable = r->end;
}

int buffer_recover(int dir, struct buffer_recovered *r, uint32_t *newer_version, struct error *e)
{
    struct candidates c = {0};
    struct buffer_state state = {0};
    bool have_state;
    int rc;

    *r = (struct buffer_recovered){.next_number = 1, .positions = buffer_positions_create()};
    have_state = buffer_state_load(dir, &state, &r->state_slot, newer_version);
    rc = *newer_version ? -1 : look_at_folder(dir, &c, r, newer_version, e);
    if (rc < 0) {
        if (*newer_version)
            error_set(e,
                      "the buffer was written by format version %u, this program knows version %u",
                      *newer_version, BUFFER_FORMAT_VERSION);
        free(c.p);
        buffer_recovered_fini(r);
        return -1;
    }
    r->fresh = !choose_salt(&c, &state, have_state, r->salt);
    if (r->fresh)
        hash_random(r->salt, sizeof r->salt);
    have_state = have_state && memcmp(state.salt, r->salt, BUFFER_FORMAT_SALT) == 0;
    if (have_state) {
        r->state_found = true;
        r->state_generation = state.generation;
        r->books = state.books;
        r->durable = state.books.durable;
        r->suspect = state.suspect;
        r->next_number = MAX(r->next_number, state.reserved);
        r->next_number =
            MAX(r->next_number,
                MAX(state.books.frontier.point.segment, state.books.durable.point.segment) + 1);
    }
    sort_out(dir, &c, r);
    free(c.p);
    if (r->n > 0)
        find_end(dir, r);
    else
        r->end.seq = MAX(r->durable.seq, r->books.frontier.seq);
    settle_books(r, &state, have_state);
    return 0;
}

void buffer_recovered_fini(struct buffer_recovered *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->segments[i]);
    free(r->segments);
    free(r->left);
    buffer_positions_free(r->positions);
    *r = (struct buffer_recovered){0};
}

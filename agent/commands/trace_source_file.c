/*
 * The daily files. Their names are matched against output.file.path, those of days that were over
 * before `since` are left out, and the rest is searched for the bytes of the ids: only a line that
 * has them is looked at as JSON.
 */
#include "agent/commands/trace_source.h"

#include "agent/base/io.h"
#include "agent/commands/raw_json.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <time.h>

#define CHUNK (1u << 20)
#define LINE_MAX_BYTES (256u << 20) /* what is longer is no document */

/* How far a file was read. */
struct seen {
    char *path;
    dev_t device;
    ino_t inode;
    off_t offset; /* a line begins there */
};

struct file_source {
    const char *pattern;
    int64_t since_ns;
    struct bytes *needles; /* slices of the ids */
    size_t n_needles;
    struct seen *seen;
    size_t n_seen;
    struct strbuf chunk;
};

/* ---- names ---- */

/* The pattern as glob(7) has it. */
static void add_glob(struct strbuf *to, const char *pattern)
{
    for (const char *p = pattern; *p; p++) {
        if (strncmp(p, "%{", 2) == 0 && strchr(p, '}')) {
            strbuf_add_char(to, '*');
            p = strchr(p, '}');
            continue;
        }
        if (strchr("*?[]\\", *p))
            strbuf_add_char(to, '\\');
        strbuf_add_char(to, *p);
    }
}

struct part {
    int year, month, day, hour; /* -1: not in the name */
};

/* Reads n digits into *value; NULL when they are none. */
static const char *take_digits(const char *name, size_t n, int *value)
{
    *value = 0;
    for (size_t i = 0; i < n; i++) {
        if (name[i] < '0' || name[i] > '9')
            return NULL;
        *value = *value * 10 + (name[i] - '0');
    }
    return name + n;
}

/* The part of name that the date format from p to its closing brace stands for; NULL when it does
 * not match. */
static const char *take_date(const char *p, const char *name, struct part *part)
{
    while (name && *p && *p != '}') {
        if (strncmp(p, "YYYY", 4) == 0 || strncmp(p, "yyyy", 4) == 0) {
            name = take_digits(name, 4, &part->year);
            p += 4;
        } else if (strncmp(p, "MM", 2) == 0 || strncmp(p, "dd", 2) == 0 ||
                   strncmp(p, "HH", 2) == 0) {
            int *to = *p == 'M' ? &part->month : *p == 'd' ? &part->day : &part->hour;

            name = take_digits(name, 2, to);
            p += 2;
        } else {
            name = *name == *p++ ? name + 1 : NULL;
        }
    }
    return name;
}

/* Whether name is one that the pattern makes; *part gets its date. */
static bool match(const char *pattern, const char *name, struct part *part)
{
    *part = (struct part){-1, -1, -1, -1};
    while (name && *pattern) {
        if (strncmp(pattern, "%{+", 3) == 0) {
            name = take_date(pattern + 3, name, part);
            pattern = strchr(pattern, '}') + 1;
        } else {
            name = *name == *pattern++ ? name + 1 : NULL;
        }
    }
    return name && !*name;
}

/* The first second behind what the date stands for; INT64_MAX when it names no year. */
static int64_t end_of(const struct part *p)
{
    struct tm t = {
        .tm_year = p->year - 1900, .tm_mon = p->month - 1, .tm_mday = p->day, .tm_hour = p->hour};

    if (p->year < 0)
        return INT64_MAX;
    if (p->month < 0) {
        t.tm_year++;
        t.tm_mon = 0;
        t.tm_mday = 1;
        t.tm_hour = 0;
    } else if (p->day < 0) {
        t.tm_mon++;
        t.tm_mday = 1;
        t.tm_hour = 0;
    } else if (p->hour < 0) {
        t.tm_mday++;
        t.tm_hour = 0;
    } else {
        t.tm_hour++;
    }
    return timegm(&t);
}

static bool is_wanted(const struct file_source *s, const char *name)
{
    struct part part;

    return match(s->pattern, name, &part) && end_of(&part) > s->since_ns / 1000000000;
}

/* ---- contents ---- */

static struct seen *seen_of(struct file_source *s, const char *path)
{
    for (size_t i = 0; i < s->n_seen; i++)
        if (strcmp(s->seen[i].path, path) == 0)
            return &s->seen[i];
    s->seen = base_realloc(s->seen, (s->n_seen + 1) * sizeof *s->seen);
    s->seen[s->n_seen] = (struct seen){.path = base_strdup(path)};
    return &s->seen[s->n_seen++];
}

static void take_line(struct bytes line, struct trace_records *records)
{
    struct bytes id = BYTES_NONE;

    if (raw_json_is_valid(line))
        id = raw_json_member(line, "_id");
    trace_records_add(records, line, id);
}

/* The lines in text, all of them whole, that hold a needle. */
static void search(const struct file_source *s, struct bytes text, struct trace_records *records)
{
    for (size_t i = 0; i < s->n_needles; i++) {
        const char *p = text.p, *end = text.p + text.n, *hit;

        while (p < end && (hit = memmem(p, (size_t)(end - p), s->needles[i].p, s->needles[i].n))) {
            const char *begin = memrchr(text.p, '\n', (size_t)(hit - text.p));
            const char *feed = memchr(hit, '\n', (size_t)(end - hit));

            begin = begin ? begin + 1 : text.p;
            take_line(bytes_of(begin, (size_t)(feed - begin)), records);
            p = feed + 1;
        }
    }
}

/* Reads on from f->offset, chunk by chunk; what follows the last line feed is left for later. */
static int read_on(struct file_source *s, struct seen *f, int fd, struct trace_records *records,
                   struct error *e)
{
    strbuf_clear(&s->chunk);
    for (off_t at = f->offset;;) {
        char *to = strbuf_room(&s->chunk, CHUNK);
        ssize_t n = io_pread(fd, to, CHUNK, at);
        const char *feed;
        size_t whole;

        if (n < 0)
            return error_set(e, "%s cannot be read: %s", f->path, strerror(errno));
        if (n == 0)
            return 0;
        at += n;
        feed = memrchr(to, '\n', (size_t)n);
        s->chunk.n += (size_t)n;
        if (!feed) {
            if (s->chunk.n > LINE_MAX_BYTES)
                return error_set(e, "%s has a line of more than %u MiB: it is no file of documents",
                                 f->path, LINE_MAX_BYTES >> 20);
            continue;
        }
        whole = (size_t)(feed + 1 - s->chunk.p);
        search(s, bytes_of(s->chunk.p, whole), records);
        memmove(s->chunk.p, s->chunk.p + whole, s->chunk.n - whole);
        s->chunk.n -= whole;
        f->offset += (off_t)whole;
    }
}

static int read_file(struct file_source *s, const char *path, struct trace_records *records,
                     struct error *e)
{
    struct seen *f = seen_of(s, path);
    int fd = io_open(AT_FDCWD, path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0), rc = 0;
    struct stat st;

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || io_stat(fd, &st) < 0) {
        error_set(e, "%s cannot be read: %s; %s", path, strerror(errno),
                  errno == EACCES ? "run as root, or as the user of the agent" : "is it there?");
        if (fd >= 0)
            io_close(fd);
        return -1;
    }
    if (S_ISREG(st.st_mode)) {
        if (st.st_dev != f->device || st.st_ino != f->inode || st.st_size < f->offset)
            f->offset = 0;
        f->device = st.st_dev;
        f->inode = st.st_ino;
        rc = st.st_size > f->offset ? read_on(s, f, fd, records, e) : 0;
    }
    io_close(fd);
    return rc;
}

/* ---- the source ---- */

/* JSON may write a character in several ways (\/, \u003c); letters, digits and these are written as
 * they are, so that the longest stretch of them is looked for. */
static struct bytes needle_of(const char *id)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:";
    struct bytes best = {id, 0};

    while (*id) {
        size_t n = strspn(id, plain);

        if (n > best.n)
            best = bytes_of(id, n);
        id += n + (id[n] != '\0');
    }
    return best;
}

static void *open_source(const struct config *c, char *const *ids, size_t n_ids, int64_t since_ns,
                         struct error *e)
{
    struct file_source *s = base_calloc(1, sizeof *s);

    (void)e;
    s->pattern = c->file.path;
    s->since_ns = since_ns;
    s->needles = base_calloc(n_ids, sizeof *s->needles);
    for (; s->n_needles < n_ids; s->n_needles++)
        s->needles[s->n_needles] = needle_of(ids[s->n_needles]);
    return s;
}

static int read_source(void *source, struct trace_records *records, struct error *e)
{
    struct file_source *s = source;
    struct strbuf pattern = {0};
    glob_t found = {0};
    int rc = 0, g;

    add_glob(&pattern, s->pattern);
    g = glob(pattern.p, 0, NULL, &found);
    strbuf_fini(&pattern);
    if (g == GLOB_NOSPACE)
        base_die("out of memory");
    for (size_t i = 0; g == 0 && i < found.gl_pathc && rc == 0; i++)
        if (is_wanted(s, found.gl_pathv[i]))
            rc = read_file(s, found.gl_pathv[i], records, e);
    if (g == 0)
        globfree(&found);
    return rc;
}

static void add_where(const void *source, struct strbuf *to)
{
    const struct file_source *s = source;

    strbuf_printf(to, "into %zu file%s of %s", s->n_seen, s->n_seen == 1 ? "" : "s", s->pattern);
}

static void add_advice(const void *source, struct strbuf *to)
{
    const struct file_source *s = source;
    char *here;

    if (s->n_seen == 0 && s->pattern[0] != '/' && (here = realpath(".", NULL)) != NULL) {
        strbuf_printf(to, "output.file.path is relative, and was looked for below %s\n", here);
        free(here);
    }
}

static void close_source(void *source)
{
    struct file_source *s = source;

    for (size_t i = 0; i < s->n_seen; i++)
        free(s->seen[i].path);
    free(s->seen);
    free(s->needles);
    strbuf_fini(&s->chunk);
    free(s);
}

static bool is_incomplete(const void *source)
{
    (void)source;
    return false;
}

const struct trace_source_kind trace_source_file = {open_source, read_source,   add_where,
                                                    add_advice,  is_incomplete, close_source};

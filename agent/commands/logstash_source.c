#include "agent/commands/logstash_source.h"

#include "agent/base/io.h"
#include "agent/base/strbuf.h"
#include "agent/base/utf8.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <unistd.h>

struct part {
    char *name;
    size_t begin; /* in the text */
};

#define STEP 1024 /* bytes from one mark to the next */

struct mark {
    unsigned line, column; /* within the part that the byte is in */
};

struct logstash_source {
    struct strbuf text;
    struct part *parts;
    size_t n;
    bool is_of_host;
    struct mark *marks; /* of every STEP-th byte of the text */
};

/* The place behind the byte c that stands at m. */
static struct mark behind(struct mark m, char c)
{
    if (c == '\n')
        return (struct mark){m.line + 1, 1};
    m.column += ((unsigned char)c & 0xc0) != 0x80;
    return m;
}

static void set_marks(struct logstash_source *s)
{
    struct mark m = {1, 1};
    size_t part = 0;

    s->marks = base_calloc(s->text.n / STEP + 1, sizeof *s->marks);
    for (size_t i = 0; i <= s->text.n; i++) {
        if (part < s->n && s->parts[part].begin == i) {
            m = (struct mark){1, 1};
            part++;
        }
        if (i % STEP == 0)
            s->marks[i / STEP] = m;
        if (i < s->text.n)
            m = behind(m, s->text.p[i]);
    }
}

/* What follows is the file called name. */
static void begin_part(struct logstash_source *s, const char *name)
{
    if (s->n > 0)
        strbuf_add_char(&s->text, '\n');
    s->parts = base_realloc(s->parts, (s->n + 1) * sizeof *s->parts);
    s->parts[s->n++] = (struct part){base_strdup(name), s->text.n};
}

/* Whether what was read of the last part may be taken. */
static int check_part(const struct logstash_source *s, struct error *e)
{
    const char *name = s->parts[s->n - 1].name;
    size_t n;

    if (s->text.n > LOGSTASH_SOURCE_MAX)
        return error_set(e, "%s: more than %u bytes are too many for a pipeline", name,
                         LOGSTASH_SOURCE_MAX);
    for (size_t i = s->parts[s->n - 1].begin; i < s->text.n; i += n) {
        n = utf8_length(s->text.p + i, s->text.n - i);
        if (n == 0 || s->text.p[i] == '\0') {
            struct mark m = {1, 1};

            for (size_t k = s->parts[s->n - 1].begin; k < i; k++)
                m = behind(m, s->text.p[k]);
            return error_set(e, "%s:%u:%u: this is no UTF-8 text", name, m.line, m.column);
        }
    }
    return 0;
}

/* Takes the byte order mark out that the part from begin on has. */
static void drop_mark(struct strbuf *text, size_t begin)
{
    static const char mark[] = "\xef\xbb\xbf";
    const size_t n = sizeof mark - 1;

    if (text->n < begin + n || memcmp(text->p + begin, mark, n) != 0)
        return;
    memmove(text->p + begin, text->p + begin + n, text->n - begin - n);
    text->n -= n;
}

/* All of fd as the next part. */
static int read_all(struct logstash_source *s, const char *name, int fd, struct error *e)
{
    ssize_t n;

    begin_part(s, name);
    do {
        n = io_read(fd, strbuf_room(&s->text, 65536), 65536);
        if (n < 0)
            return error_set(e, "%s: %s", name, strerror(errno));
        s->text.n += (size_t)n;
    } while (n > 0 && s->text.n <= LOGSTASH_SOURCE_MAX);
    drop_mark(&s->text, s->parts[s->n - 1].begin);
    return check_part(s, e);
}

static int read_file(struct logstash_source *s, const char *path, struct error *e)
{
    int fd = io_open(AT_FDCWD, path, O_RDONLY, 0), rc;

    if (fd < 0)
        return error_set(e, "%s: %s", path, strerror(errno));
    rc = read_all(s, path, fd, e);
    io_close(fd);
    return rc;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int wanted(const struct dirent *d)
{
    size_t n = strlen(d->d_name);

    return d->d_name[0] != '.' && d->d_name[n - 1] != '~';
}

static int read_folder(struct logstash_source *s, const char *path, struct error *e)
{
    struct dirent **list = NULL;
    int n = scandir(path, &list, wanted, by_name), rc = 0;
    size_t before = s->n;

    if (n < 0)
        return error_set(e, "%s: %s", path, strerror(errno));
    for (int i = 0; i < n; i++) {
        struct strbuf name = {0};
        struct stat st;

        strbuf_printf(&name, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/",
                      list[i]->d_name);
        if (rc == 0 && io_stat_at(AT_FDCWD, name.p, &st, 0) == 0 && !S_ISDIR(st.st_mode))
            rc = read_file(s, name.p, e);
        strbuf_fini(&name);
        free(list[i]);
    }
    free(list);
    if (rc == 0 && s->n == before)
        return error_set(e, "%s: there is no file in this folder", path);
    return rc;
}

/* The files that path.config names by a pattern, in the order of their names. */
static int read_pattern(struct logstash_source *s, const char *pattern, struct error *e)
{
    size_t before = s->n;
    int rc = 0;
    glob_t g;

    if (glob(pattern, GLOB_BRACE, NULL, &g) != 0)
        return error_set(e, "%s: there is no file of such a name", pattern);
    for (size_t i = 0; i < g.gl_pathc && rc == 0; i++) {
        const char *path = g.gl_pathv[i];
        struct stat st;

        if (path[strlen(path) - 1] != '~' && io_stat_at(AT_FDCWD, path, &st, 0) == 0 &&
            !S_ISDIR(st.st_mode))
            rc = read_file(s, path, e);
    }
    globfree(&g);
    if (rc == 0 && s->n == before)
        return error_set(e, "%s: there is no file of such a name", pattern);
    return rc;
}

static int read_path(struct logstash_source *s, const char *path, struct error *e)
{
    struct stat st;

    if (strcmp(path, "-") == 0)
        return read_all(s, path, STDIN_FILENO, e);
    if (io_stat_at(AT_FDCWD, path, &st, 0) < 0)
        return strpbrk(path, "*?[{") ? read_pattern(s, path, e) : read_file(s, path, e);
    return S_ISDIR(st.st_mode) ? read_folder(s, path, e) : read_file(s, path, e);
}

struct logstash_source *logstash_source_read(char *const *paths, size_t n, struct error *e)
{
    struct logstash_source *s = base_calloc(1, sizeof *s);

    s->is_of_host = true;
    for (size_t i = 0; i < n; i++)
        if (read_path(s, paths[i], e) < 0) {
            logstash_source_free(s);
            return NULL;
        }
    set_marks(s);
    return s;
}

struct logstash_source *logstash_source_text(const char *name, struct bytes text, struct error *e)
{
    struct logstash_source *s = base_calloc(1, sizeof *s);

    begin_part(s, name);
    strbuf_add_bytes(&s->text, text);
    if (check_part(s, e) == 0) {
        set_marks(s);
        return s;
    }
    logstash_source_free(s);
    return NULL;
}

void logstash_source_free(struct logstash_source *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        free(s->parts[i].name);
    free(s->parts);
    free(s->marks);
    strbuf_fini(&s->text);
    free(s);
}

struct bytes logstash_source_bytes(const struct logstash_source *s)
{
    return strbuf_bytes(&s->text);
}

bool logstash_source_is_of_host(const struct logstash_source *s)
{
    return s->is_of_host;
}

struct logstash_place logstash_source_place(const struct logstash_source *s, size_t offset)
{
    size_t part = s->n, end = MIN(offset, s->text.n), from;
    struct mark m = {1, 1};

    if (s->n == 0)
        return (struct logstash_place){"", 1, 1};
    do
        part--;
    while (part > 0 && s->parts[part].begin > end);
    from = MAX(s->parts[part].begin, end / STEP * STEP);
    if (from > s->parts[part].begin)
        m = s->marks[from / STEP];
    for (; from < end; from++)
        m = behind(m, s->text.p[from]);
    return (struct logstash_place){s->parts[part].name, m.line, m.column};
}

#include "agent/commands/logstash_patterns.h"

#include "agent/base/io.h"

#include <fcntl.h>
#include <glob.h>
#include <libgen.h>
#include <stdlib.h>

#define FILES_MAX 200
#define BYTES_MAX (1u << 20) /* of a file */
#define DEFINITIONS_MAX 5000

static void define(struct logstash_patterns *p, struct bytes name, struct bytes pattern)
{
    if (p->n == DEFINITIONS_MAX)
        return;
    if (p->n % 64 == 0)
        p->list = base_realloc(p->list, (p->n + 64) * sizeof *p->list);
    p->list[p->n++] = (struct logstash_grok_definition){name, pattern};
}

/* ---- files ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* NAME PATTERN, a comment or nothing. */
static void read_line(struct logstash_patterns *p, struct bytes line)
{
    size_t n = 0;
    struct bytes name;

    while (line.n && is_blank(line.p[0]))
        line = bytes_of(line.p + 1, line.n - 1);
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    while (n < line.n && !is_blank(line.p[n]))
        n++;
    if (n == 0 || line.p[0] == '#')
        return;
    name = bytes_of(line.p, n);
    while (n < line.n && is_blank(line.p[n]))
        n++;
    define(p, name, bytes_of(line.p + n, line.n - n));
}

/* Reads a regular file that is not too large, and text. */
static bool read_file(struct logstash_patterns *p, const char *path)
{
    struct strbuf text = {0};
    struct bytes rest;
    ssize_t n = 0;
    struct stat st;
    int fd = io_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0);

    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || p->n_files == FILES_MAX))
        n = -1;
    while (fd >= 0 && n >= 0 && text.n <= BYTES_MAX &&
           (n = io_read(fd, strbuf_room(&text, 65536), 65536)) > 0)
        text.n += (size_t)n;
    if (fd >= 0)
        io_close(fd);
    if (fd < 0 || n < 0 || text.n > BYTES_MAX || memchr(text.n ? text.p : "", '\0', text.n)) {
        strbuf_fini(&text);
        return false;
    }
    p->files = base_realloc(p->files, (p->n_files + 1) * sizeof *p->files);
    p->files[p->n_files++] = text;
    for (rest = strbuf_bytes(&text); rest.n;) {
        const char *end = memchr(rest.p, '\n', rest.n);
        size_t length = end ? (size_t)(end - rest.p) : rest.n;

        read_line(p, bytes_of(rest.p, length));
        length += end != NULL;
        rest = bytes_of(rest.p + length, rest.n - length);
    }
    return true;
}

/* What a path with * names, in the order of the names. Whether some file was read. */
static bool read_glob(struct logstash_patterns *p, const char *pattern)
{
    bool some = false;
    glob_t g;

    if (glob(pattern, 0, NULL, &g) != 0)
        return false;
    for (size_t i = 0; i < g.gl_pathc; i++)
        some |= read_file(p, g.gl_pathv[i]);
    globfree(&g);
    return some;
}

static bool read_path(struct logstash_patterns *p, const char *path, const char *names)
{
    struct strbuf pattern = {0};
    struct stat st;
    bool some;

    strbuf_add_str(&pattern, path);
    if (io_stat_at(AT_FDCWD, path, &st, 0) == 0 && S_ISDIR(st.st_mode))
        strbuf_printf(&pattern, "/%s", names);
    some = read_glob(p, pattern.p);
    strbuf_fini(&pattern);
    return some;
}

/* path where it says, and beside the file called conf. */
static bool look_around(struct logstash_patterns *p, const char *path, const char *names,
                        const char *conf)
{
    char *copy = base_strdup(path), *file = base_strdup(conf);
    const char *last = basename(copy), *folder = dirname(file);
    bool found = read_path(p, path, names);

    for (int i = 0; i < 4 && !found; i++) {
        struct strbuf there = {0};

        strbuf_printf(&there, "%s/%s%s", folder, i / 2 ? "../" : "", i % 2 ? last : path);
        found = read_path(p, there.p, names);
        strbuf_fini(&there);
    }
    free(copy);
    free(file);
    return found;
}

static void read_folders(const struct work *w, const struct logstash_value *plugin,
                         struct logstash_patterns *p)
{
    const struct logstash_value *names = logstash_tree_option(plugin, "patterns_files_glob");
    struct logstash_place place = logstash_source_place(w->source, plugin->at.begin);
    struct error e;
    char *glob_text = names ? work_text(names, &e) : NULL;

    for (const struct logstash_value *v = plugin->first; v; v = v->next) {
        bool list = v->kind == LOGSTASH_ARRAY;

        if (!bytes_is(v->name, "patterns_dir"))
            continue;
        for (const struct logstash_value *x = list ? v->first : v; x; x = list ? x->next : NULL) {
            char *path = work_text(x, &e);

            if ((!path || !*path || !logstash_source_is_of_host(w->source) ||
                 !look_around(p, path, glob_text ? glob_text : "*", place.file)) &&
                !p->unread)
                p->unread = base_strdup(path ? path : "");
            free(path);
        }
    }
    free(glob_text);
}

/* ---- both ---- */

static void on_definition(void *arg, const struct logstash_value *name,
                          const struct logstash_value *value)
{
    define(arg, name->text, value->text);
}

void logstash_patterns_read(const struct work *w, const struct logstash_value *plugin,
                            struct logstash_patterns *out)
{
    *out = (struct logstash_patterns){.list = NULL};
    read_folders(w, plugin, out);
    for (const struct logstash_value *v = plugin->first; v; v = v->next)
        if (bytes_is(v->name, "pattern_definitions"))
            work_entries(v, on_definition, out);
}

void logstash_patterns_fini(struct logstash_patterns *p)
{
    for (size_t i = 0; i < p->n_files; i++)
        strbuf_fini(&p->files[i]);
    free(p->files);
    free(p->list);
    free(p->unread);
    *p = (struct logstash_patterns){.list = NULL};
}

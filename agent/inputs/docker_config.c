#include "agent/inputs/docker_config.h"

#include "agent/base/io.h"
#include "agent/base/wildcard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <yajl/yajl_parse.h>

/* ---- a stream of JSON, seen as paths ---- */

#define PATH_DEPTH 3
#define PATH_KEY 32

/* Calls value for each scalar at most PATH_DEPTH keys deep. Keys longer than PATH_KEY - 1 match
 * nothing, but for the last one, which is given whole: labels are named by it. */
struct walk {
    unsigned depth; /* of maps and arrays, the outermost map is 1 */
    unsigned arrays;
    char path[PATH_DEPTH][PATH_KEY];
    char *key; /* the last key, whole; owned */
    bool object;
    void (*value)(void *arg, struct walk *w, struct bytes text, bool is_true);
    void *arg;
};

static bool at_path(const struct walk *w, unsigned depth, const char *a, const char *b)
{
    return w->arrays == 0 && w->depth == depth && strcmp(w->path[0], a) == 0 &&
           (!b || strcmp(w->path[1], b) == 0);
}

static int on_key(void *arg, const unsigned char *p, size_t n)
{
    struct walk *w = arg;

    if (w->depth > PATH_DEPTH || w->arrays)
        return 1;
    free(w->key);
    w->key = base_strndup((const char *)p, n);
    if (n >= PATH_KEY)
        w->path[w->depth - 1][0] = '\0';
    else
        memcpy(w->path[w->depth - 1], w->key, n + 1);
    return 1;
}

static int on_string(void *arg, const unsigned char *p, size_t n)
{
    struct walk *w = arg;

    if (w->key && w->depth && w->depth <= PATH_DEPTH && !w->arrays)
        w->value(w->arg, w, bytes_of(p, n), false);
    return 1;
}

static int on_boolean(void *arg, int is_true)
{
    struct walk *w = arg;

    if (w->key && w->depth && w->depth <= PATH_DEPTH && !w->arrays)
        w->value(w->arg, w, BYTES_NONE, is_true != 0);
    return 1;
}

static int on_map_begin(void *arg)
{
    struct walk *w = arg;

    if (w->depth == 0)
        w->object = true;
    w->depth++;
    return 1;
}

static int on_map_end(void *arg)
{
    ((struct walk *)arg)->depth--;
    return 1;
}

static int on_array_begin(void *arg)
{
    ((struct walk *)arg)->arrays++;
    return 1;
}

static int on_array_end(void *arg)
{
    ((struct walk *)arg)->arrays--;
    return 1;
}

static int on_number(void *arg, const char *p, size_t n)
{
    (void)arg;
    (void)p;
    (void)n;
    return 1;
}

static int on_null(void *arg)
{
    (void)arg;
    return 1;
}

static int walk_json(struct bytes json, struct walk *w, struct error *e)
{
    static const yajl_callbacks callbacks = {
        .yajl_null = on_null,
        .yajl_boolean = on_boolean,
        .yajl_number = on_number,
        .yajl_string = on_string,
        .yajl_start_map = on_map_begin,
        .yajl_map_key = on_key,
        .yajl_end_map = on_map_end,
        .yajl_start_array = on_array_begin,
        .yajl_end_array = on_array_end,
    };
    yajl_handle y = yajl_alloc(&callbacks, NULL, w);
    bool good;

    if (!y)
        base_die("out of memory");
    yajl_config(y, yajl_dont_validate_strings, 1);
    good = yajl_parse(y, (const unsigned char *)json.p, json.n) == yajl_status_ok &&
           yajl_complete_parse(y) == yajl_status_ok;
    yajl_free(y);
    free(w->key);
    w->key = NULL;
    if (!good || !w->object)
        return error_set(e, "no whole JSON object");
    return 0;
}

/* ---- config.v2.json ---- */

static void set_string(char **to, struct bytes text)
{
    free(*to);
    *to = base_strndup(text.p ? text.p : "", text.n);
}

static void config_value(void *arg, struct walk *w, struct bytes text, bool is_true)
{
    struct docker_config *c = arg;

    if (at_path(w, 1, "Name", NULL)) {
        if (text.n && text.p[0] == '/')
            text = bytes_of(text.p + 1, text.n - 1);
        set_string(&c->name, text);
    } else if (at_path(w, 1, "Created", NULL)) {
        set_string(&c->created, text);
    } else if (at_path(w, 2, "Config", "Image") && strcmp(w->key, "Image") == 0) {
        set_string(&c->image, text);
    } else if (at_path(w, 2, "State", "Running")) {
        c->running = is_true;
    } else if (at_path(w, 2, "State", "FinishedAt")) {
        set_string(&c->finished, text);
    } else if (at_path(w, 3, "Config", "Labels") && text.p &&
               c->n_labels < DOCKER_CONFIG_MAX_LABELS) {
        c->labels = base_realloc(c->labels, (c->n_labels + 1) * sizeof *c->labels);
        c->labels[c->n_labels++] = (struct docker_label){
            .name = base_strdup(w->key),
            .value = base_strndup(text.p, text.n),
        };
    }
}

int docker_config_parse(struct bytes json, struct docker_config *to, struct error *e)
{
    struct walk w = {.value = config_value, .arg = to};

    *to = (struct docker_config){
        .name = base_strdup(""),
        .image = base_strdup(""),
        .created = base_strdup(""),
        .finished = base_strdup(""),
    };
    if (walk_json(json, &w, e) == 0)
        return 0;
    docker_config_fini(to);
    return -1;
}

void docker_config_fini(struct docker_config *c)
{
    for (size_t i = 0; i < c->n_labels; i++) {
        free(c->labels[i].name);
        free(c->labels[i].value);
    }
    free(c->labels);
    free(c->name);
    free(c->image);
    free(c->created);
    free(c->finished);
    *c = (struct docker_config){0};
}

struct bytes docker_config_label(void *arg, const char *name)
{
    const struct docker_config *c = arg;

    for (size_t i = 0; i < c->n_labels; i++)
        if (strcmp(c->labels[i].name, name) == 0)
            return bytes_str(c->labels[i].value);
    return BYTES_NONE;
}

/* ---- hostconfig.json ---- */

static void host_config_value(void *arg, struct walk *w, struct bytes text, bool is_true)
{
    struct docker_host_config *c = arg;

    (void)is_true;
    if (at_path(w, 2, "LogConfig", "Type"))
        set_string(&c->log_driver, text);
    else if (at_path(w, 3, "LogConfig", "Config") && strcmp(w->key, "compress") == 0)
        c->compress = bytes_is(text, "true");
}

int docker_host_config_parse(struct bytes json, struct docker_host_config *to, struct error *e)
{
    struct walk w = {.value = host_config_value, .arg = to};

    *to = (struct docker_host_config){.log_driver = base_strdup("")};
    if (walk_json(json, &w, e) == 0)
        return 0;
    docker_host_config_fini(to);
    return -1;
}

void docker_host_config_fini(struct docker_host_config *c)
{
    free(c->log_driver);
    *c = (struct docker_host_config){0};
}

/* ---- files ---- */

int docker_config_open(int dir, const char *name, struct error *e)
{
    int fd = io_open(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    struct stat st;

    if (fd < 0)
        return error_set(e, "cannot open %s: %s", name, strerror(errno));
    if (io_stat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    io_close(fd);
    return error_set(e, "%s is no regular file", name);
}

int docker_config_read(int fd, const char *name, char **to, size_t *n, struct error *e)
{
    struct stat st;
    char *p = NULL;
    size_t got = 0;
    ssize_t r;
    int rc = -1;

    if (io_stat(fd, &st) < 0) {
        error_set(e, "cannot read %s: %s", name, strerror(errno));
        goto out;
    }
    if (st.st_size > DOCKER_CONFIG_MAX_BYTES) {
        error_set(e, "%s has %lld bytes, more than any such file should", name,
                  (long long)st.st_size);
        goto out;
    }
    p = base_alloc((size_t)st.st_size + 1);
    while (got < (size_t)st.st_size) {
        r = io_read(fd, p + got, (size_t)st.st_size - got);
        if (r < 0) {
            error_set(e, "cannot read %s: %s", name, strerror(errno));
            goto out;
        }
        if (r == 0)
            break;
        got += (size_t)r;
    }
    p[got] = '\0';
    *to = p;
    *n = got;
    p = NULL;
    rc = 0;
out:
    free(p);
    io_close(fd);
    return rc;
}

int docker_config_load(int dir, const char *name, char **to, size_t *n, struct error *e)
{
    int fd = docker_config_open(dir, name, e);

    return fd < 0 ? -1 : docker_config_read(fd, name, to, n, e);
}

/* ---- excludes ---- */

static bool label_matches(const struct docker_config *c, const char *pattern, const char *equals)
{
    char *name = base_strndup(pattern, (size_t)(equals - pattern));
    bool found = false;

    for (size_t i = 0; i < c->n_labels && !found; i++)
        found = wildcard_matches(name, bytes_str(c->labels[i].name)) &&
                wildcard_matches(equals + 1, bytes_str(c->labels[i].value));
    free(name);
    return found;
}

bool docker_config_excluded(const struct docker_config *c, char *const *patterns)
{
    for (; *patterns; patterns++) {
        const char *equals = strchr(*patterns, '=');

        if (equals ? label_matches(c, *patterns, equals)
                   : wildcard_matches(*patterns, bytes_str(c->name)))
            return true;
    }
    return false;
}

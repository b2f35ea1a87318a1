/*
 * Reads the tree of config_node against config_table. A problem never ends the reading: all of them
 * are told in one run. What a value may be is config_value's.
 */
#include "agent/config/config.h"

#include "agent/base/io.h"
#include "agent/base/strbuf.h"
#include "agent/config/config_node.h"
#include "agent/config/config_store.h"
#include "agent/config/config_suggest.h"
#include "agent/config/config_table.h"
#include "agent/config/config_value.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PATH_BYTES 200 /* of a dotted setting, keys of the file included as far as it matters */

struct place {
    unsigned line, column; /* 0: the file does not mention it */
};

/* Where the file has a key of an item. */
struct item_place {
    char *path; /* "parsers[2].pattern" */
    struct place at;
};

/* What config_load hands out, with the places that later checks name. */
struct loaded {
    struct config config;
    struct place *places; /* by row of the table */
    struct item_place *item_places;
    size_t n_item_places;
};

struct load {
    struct loaded *to;
    struct config_problems *problems;
};

static struct loaded *loaded_of(const struct config *c)
{
    return (struct loaded *)((char *)(uintptr_t)c - offsetof(struct loaded, config));
}

/* A setting in a struct: of the table in struct config, of an item's keys in the item. path is how
 * problems name it. */
struct slot {
    void *base;
    const struct setting *s;
    const char *path;
};

static struct place *place_of(struct loaded *l, const struct setting *s)
{
    return &l->places[s - config_table];
}

static void note_item_place(struct loaded *l, const char *path, struct place at)
{
    l->item_places = base_realloc(l->item_places, (l->n_item_places + 1) * sizeof *l->item_places);
    l->item_places[l->n_item_places++] = (struct item_place){base_strdup(path), at};
}

/* ---- values ---- */

/* A key without a value ("buffer:") leaves what is below it at the defaults. */
static bool is_null(const struct config_node *n)
{
    return n->kind == NODE_SCALAR && n->plain &&
           (!*n->text || strcmp(n->text, "~") == 0 || strcmp(n->text, "null") == 0);
}

static void add_wrong(struct load *l, const struct config_node *n, const char *path,
                      const char *what)
{
    config_problem_add(l->problems, n->line, n->column, "%s: %s", path, what);
}

static void set_list(struct load *l, const struct slot *slot, const struct config_node *n)
{
    const struct setting *s = slot->s;
    char ***to = s->at == SETTING_NOWHERE ? NULL : config_store_member(slot->base, s), **list;
    size_t count = 0, before = l->problems->n;

    if (n->kind != NODE_LIST) {
        add_wrong(l, n, slot->path, "a list is needed; write [one, two], or [] for none");
        return;
    }
    for (const struct config_node *e = n->child; e; e = e->next)
        count++;
    list = base_calloc(count + 1, sizeof *list);
    count = 0;
    for (const struct config_node *e = n->child; e; e = e->next) {
        struct error why;

        if (e->kind != NODE_SCALAR)
            add_wrong(l, e, slot->path, "a list of plain values is needed");
        else if (s->check && s->check(e->text, &why) < 0)
            add_wrong(l, e, slot->path, why.text);
        else
            list[count++] = base_strdup(e->text);
    }
    if (!to || l->problems->n > before) {
        config_store_free_list(list);
        return;
    }
    config_store_free_list(*to);
    *to = list;
}

/* RFC 8259 §6: what may go into JSON as a number, as it stands. */
static bool is_json_number(const char *s)
{
    s += *s == '-';
    if (*s == '0')
        s++;
    else if (isdigit((unsigned char)*s))
        s += strspn(s, "0123456789");
    else
        return false;
    if (*s == '.') {
        if (!isdigit((unsigned char)*++s))
            return false;
        s += strspn(s, "0123456789");
    }
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '+' || *s == '-';
        if (!isdigit((unsigned char)*s))
            return false;
        s += strspn(s, "0123456789");
    }
    return !*s;
}

static void add_json(struct strbuf *to, const struct config_node *n)
{
    if (n->kind == NODE_SCALAR) {
        if (is_null(n))
            strbuf_add_str(to, "null");
        else if (n->plain && (strcmp(n->text, "true") == 0 || strcmp(n->text, "false") == 0 ||
                              is_json_number(n->text)))
            strbuf_add_str(to, n->text);
        else
            strbuf_add_json(to, bytes_str(n->text));
        return;
    }
    strbuf_add_char(to, n->kind == NODE_LIST ? '[' : '{');
    for (const struct config_node *c = n->child; c; c = c->next) {
        if (n->kind == NODE_MAP) {
            strbuf_add_json(to, bytes_str(c->key));
            strbuf_add_char(to, ':');
        }
        add_json(to, c);
        if (c->next)
            strbuf_add_char(to, ',');
    }
    strbuf_add_char(to, n->kind == NODE_LIST ? ']' : '}');
}

struct pairs {
    struct field_pair *list;
    size_t n;
};

/* Takes value over. */
static void add_pair(struct load *l, const struct slot *slot, const struct config_node *n,
                     const char *name, char *value, struct pairs *to)
{
    struct error why;

    if (slot->s->check_key(name, &why) < 0) {
        config_problem_add(l->problems, n->key_line, n->key_column, "%s: %s", slot->path, why.text);
        free(value);
        return;
    }
    for (size_t i = 0; i < to->n; i++) {
        if (strcmp(to->list[i].name, name) == 0) {
            config_problem_add(l->problems, n->key_line, n->key_column,
                               "%s: %.60s is set twice; remove one", slot->path, name);
            free(value);
            return;
        }
    }
    to->list = base_realloc(to->list, (to->n + 2) * sizeof *to->list);
    to->list[to->n++] = (struct field_pair){base_strdup(name), value};
    to->list[to->n] = (struct field_pair){NULL, NULL};
}

/* Maps within the map become dotted names: {labels: {team: a}} is labels.team. */
static void add_pairs(struct load *l, const struct slot *slot, const struct config_node *n,
                      const char *prefix, struct pairs *to)
{
    for (const struct config_node *e = n->child; e; e = e->next) {
        struct strbuf name = {0};
        struct error why;

        strbuf_printf(&name, "%s%s%s", prefix, *prefix ? "." : "", e->key);
        if (e->kind == NODE_MAP && name.n <= PATH_BYTES) {
            add_pairs(l, slot, e, name.p, to);
        } else if (slot->s->type == SET_JSON_MAP) {
            struct strbuf json = {0};

            add_json(&json, e);
            add_pair(l, slot, e, name.p, json.p, to);
        } else if (e->kind != NODE_SCALAR) {
            add_wrong(l, e, slot->path, "one word is needed");
        } else if (slot->s->check(e->text, &why) < 0) {
            add_wrong(l, e, slot->path, why.text);
        } else {
            add_pair(l, slot, e, name.p, base_strdup(e->text), to);
        }
        strbuf_fini(&name);
    }
}

static void set_map(struct load *l, const struct slot *slot, const struct config_node *n)
{
    struct field_pair **to = config_store_member(slot->base, slot->s);
    struct pairs pairs = {0};

    if (n->kind != NODE_MAP) {
        add_wrong(l, n, slot->path, "pairs are needed; write {name: value}, or {} for none");
        return;
    }
    add_pairs(l, slot, n, "", &pairs);
    if (pairs.list) {
        config_store_free_pairs(*to);
        *to = pairs.list;
    }
}

static void set_items(struct load *l, const struct slot *slot, const struct config_node *n);

static void set_value(struct load *l, const struct slot *slot, const struct config_node *n)
{
    const struct setting *s = slot->s;
    struct error why;

    if (config_store_is_list(s)) {
        set_list(l, slot, n);
    } else if (config_store_is_map(s)) {
        set_map(l, slot, n);
    } else if (s->type == SET_ITEMS) {
        set_items(l, slot, n);
    } else if (n->kind != NODE_SCALAR) {
        add_wrong(l, n, slot->path, "one value is needed here, not a list and not keys");
    } else if (config_store_scalar(slot->base, s, n->text, &why) < 0) {
        add_wrong(l, n, slot->path, why.text);
    }
}

static void set_setting(struct load *l, const struct setting *s, const struct config_node *n)
{
    *place_of(l->to, s) = (struct place){n->line, n->column};
    if (!is_null(n) && s->type != SET_ANY)
        set_value(l, &(struct slot){&l->to->config, s, s->path}, n);
}

/* ---- lists of maps ---- */

static const struct setting *find_key(const struct setting_items *items, const char *name)
{
    for (size_t i = 0; i < items->n_keys; i++)
        if (strcmp(items->keys[i].path, name) == 0)
            return &items->keys[i];
    return NULL;
}

static void add_unknown_key(struct load *l, const struct setting_items *items,
                            const struct config_node *e, const char *path)
{
    struct strbuf hint = {0};

    config_suggest_key(&hint, e->key, items);
    config_problem_add(l->problems, e->key_line, e->key_column, "unknown key %.60s in %s; %s",
                       e->key, path, hint.p);
    strbuf_fini(&hint);
}

/* The keys of one map into the struct item. Returns which of them the file has. */
static uint64_t read_keys(struct load *l, const struct setting_items *items, void *item,
                          const struct config_node *n, const char *path)
{
    uint64_t given = 0;

    for (const struct config_node *e = n->child; e; e = e->next) {
        const struct setting *s = find_key(items, e->key);
        char whole[2 * PATH_BYTES];

        if (!s) {
            add_unknown_key(l, items, e, path);
            continue;
        }
        snprintf(whole, sizeof whole, "%s.%s", path, s->path);
        note_item_place(l->to, whole, (struct place){e->line, e->column});
        if (is_null(e))
            continue;
        given |= 1ull << (s - items->keys);
        set_value(l, &(struct slot){item, s, whole}, e);
    }
    return given;
}

static const struct config_node *child_named(const struct config_node *n, const char *key)
{
    const struct config_node *e = n->child;

    while (e && strcmp(e->key, key) != 0)
        e = e->next;
    return e;
}

static void *read_item(struct load *l, const struct setting_items *items,
                       const struct config_node *n, const char *path)
{
    struct setting_item item;
    size_t before = l->problems->n, key = SIZE_MAX;
    void *p = base_calloc(1, items->size);
    struct error why;

    note_item_place(l->to, path, (struct place){n->line, n->column});
    config_store_defaults(p, items->keys, items->n_keys);
    item = (struct setting_item){p, read_keys(l, items, p, n, path)};
    if (l->problems->n > before || !items->check || items->check(&item, &key, &why) == 0)
        return p;
    if (key == SIZE_MAX) {
        add_wrong(l, n, path, why.text);
    } else {
        const struct config_node *e = child_named(n, items->keys[key].path);
        char whole[2 * PATH_BYTES];

        snprintf(whole, sizeof whole, "%s.%s", path, items->keys[key].path);
        add_wrong(l, e ? e : n, whole, why.text);
    }
    return p;
}

static void set_items(struct load *l, const struct slot *slot, const struct config_node *n)
{
    const struct setting_items *items = slot->s->items;
    void ***to = config_store_member(slot->base, slot->s);
    size_t count = 0, i = 0;

    if (n->kind != NODE_LIST) {
        add_wrong(l, n, slot->path, "a list is needed; write - {…} a line, or [] for none");
        return;
    }
    for (const struct config_node *e = n->child; e; e = e->next)
        count++;
    config_store_free_items(items, *to);
    *to = base_calloc(count + 1, sizeof **to);
    count = 0;
    for (const struct config_node *e = n->child; e; e = e->next, i++) {
        char path[PATH_BYTES];

        snprintf(path, sizeof path, "%s[%zu]", slot->path, i);
        if (e->kind == NODE_MAP)
            (*to)[count++] = read_item(l, items, e, path);
        else
            add_wrong(l, e, path, "keys are needed; write {key: value, …}");
    }
}

/* ---- sections ---- */

static void add_unknown(struct load *l, const struct config_node *n, const char *prefix)
{
    struct strbuf hint = {0};

    config_suggest_setting(&hint, n->key, prefix);
    config_problem_add(l->problems, n->key_line, n->key_column, "unknown key %.60s%s%.*s; %s",
                       n->key, *prefix ? " in " : "", (int)(*prefix ? strlen(prefix) - 1 : 0),
                       prefix, hint.p);
    strbuf_fini(&hint);
}

/* A section that is given as one word: `docker: off`. */
static void set_switch(struct load *l, const struct setting *s, const struct config_node *n)
{
    bool on = true;
    struct error why;

    set_setting(l, s, n);
    if (is_null(n))
        return;
    if (config_value_bool(n->text, &on, &why) < 0) {
        if (s->at == SETTING_NOWHERE)
            add_wrong(l, n, s->path, why.text);
        return;
    }
    /* GELF has no switch of its own: it is off when both addresses are. */
    if (!on && s->at == SETTING_NOWHERE) {
        config_store_string(&l->to->config.gelf.udp, "");
        config_store_string(&l->to->config.gelf.tcp, "");
    }
}

static void read_section(struct load *l, const struct config_node *n, const char *prefix)
{
    for (const struct config_node *e = n->child; e; e = e->next) {
        char path[PATH_BYTES];
        const struct setting *s;
        int len = snprintf(path, sizeof path, "%s%s", prefix, e->key);

        if (len + 1 >= (int)sizeof path || strchr(e->key, '.')) {
            add_unknown(l, e, prefix);
            continue;
        }
        s = config_table_find(path);
        if (s && s->type == SET_SWITCH && e->kind == NODE_SCALAR) {
            set_switch(l, s, e);
        } else if (s && s->type != SET_SWITCH) {
            set_setting(l, s, e);
        } else if (config_table_is_section(path)) {
            if (e->kind == NODE_MAP) {
                memcpy(path + len, ".", 2);
                read_section(l, e, path);
            } else if (!is_null(e)) {
                add_wrong(l, e, path, "keys are needed below it, one a line, indented");
            }
        } else {
            add_unknown(l, e, prefix);
        }
    }
}

/* ---- what one setting cannot know alone ---- */

/* Adds a problem at the first of the two settings that the file mentions. */
static void add_cross(struct load *l, const char *path, const char *other, const char *what)
{
    struct place *p = place_of(l->to, config_table_find(path));

    if (!p->line && other)
        p = place_of(l->to, config_table_find(other));
    config_problem_add(l->problems, p->line, p->column, "%s: %s", path, what);
}

static bool given(struct load *l, const char *path)
{
    return place_of(l->to, config_table_find(path))->line != 0;
}

static void check_elasticsearch(struct load *l)
{
    const struct elasticsearch_settings *es = &l->to->config.elasticsearch;

    if (!es->hosts[0] && given(l, "output.elasticsearch.hosts"))
        add_cross(l, "output.elasticsearch.hosts", NULL,
                  "at least one is needed, like [http://localhost:9200]");
    if (*es->username && !*es->password_file)
        add_cross(l, "output.elasticsearch.username", NULL,
                  "password_file is missing; put the password there and name the file");
    if (!*es->username && *es->password_file)
        add_cross(l, "output.elasticsearch.password_file", NULL, "username is missing");
    if (*es->username && *es->api_key_file)
        add_cross(l, "output.elasticsearch.api_key_file", NULL,
                  "either username and password_file, or api_key_file, not both");
    if (*es->tls.cert_file && !*es->tls.key_file)
        add_cross(l, "output.elasticsearch.tls.cert_file", NULL, "key_file is missing");
    if (!*es->tls.cert_file && *es->tls.key_file)
        add_cross(l, "output.elasticsearch.tls.key_file", NULL, "cert_file is missing");
}

static void check_trace(struct load *l)
{
    const struct trace_settings *t = &l->to->config.trace;

    if (*t->username && !*t->password_file)
        add_cross(l, "trace.username", NULL,
                  "password_file is missing; put the password there and name the file");
    if (!*t->username && *t->password_file)
        add_cross(l, "trace.password_file", NULL, "username is missing");
    if (*t->username && *t->api_key_file)
        add_cross(l, "trace.api_key_file", NULL,
                  "either username and password_file, or api_key_file, not both");
    if (l->to->config.output_kind != OUTPUT_FILE)
        return;
    if (t->hosts[0] || *t->username || *t->api_key_file)
        add_cross(l,
                  t->hosts[0]    ? "trace.hosts"
                  : *t->username ? "trace.username"
                                 : "trace.api_key_file",
                  NULL, "with output.file there is nobody to ask: the daily files are read");
}

static void check_together(struct load *l)
{
    const struct config *c = &l->to->config;

    if (c->buffer.gelf_max_share < c->buffer.gelf_reserve_share)
        add_cross(l, "buffer.gelf_max", "buffer.gelf_reserve",
                  "it must not be less than gelf_reserve, or the reserve could not be used");
    if (given(l, "inputs.gelf.max_message") && c->gelf.max_message_bytes > c->buffer.max_bytes)
        add_cross(l, "inputs.gelf.max_message", NULL,
                  "such a message would never fit into buffer.max_size; raise that or lower this");
    if (given(l, "output.elasticsearch.batch_size") &&
        c->elasticsearch.batch_bytes > c->buffer.max_bytes)
        add_cross(l, "output.elasticsearch.batch_size", NULL,
                  "a batch cannot be larger than buffer.max_size; raise that or lower this");
    check_elasticsearch(l);
    check_trace(l);
}

/* Exactly one output: the second one is the problem. None: the defaults of the table. */
static void choose_output(struct load *l, const struct config_node *root)
{
    const struct config_node *output = NULL, *chosen = NULL;

    for (const struct config_node *e = root->child; e; e = e->next)
        if (strcmp(e->key, "output") == 0)
            output = e;
    for (const struct config_node *e = output ? output->child : NULL; e; e = e->next) {
        bool file = strcmp(e->key, "file") == 0;

        if (!file && strcmp(e->key, "elasticsearch") != 0)
            continue;
        if (chosen && strcmp(chosen->key, e->key) != 0) {
            config_problem_add(l->problems, e->key_line, e->key_column,
                               "there is one output, and %s stands in line %u already; remove one",
                               chosen->key, chosen->key_line);
            continue;
        }
        chosen = e;
        l->to->config.output_kind = file ? OUTPUT_FILE : OUTPUT_ELASTICSEARCH;
    }
}

/* ---- the way in ---- */

void config_free(struct config *c)
{
    struct loaded *l;

    if (!c)
        return;
    l = loaded_of(c);
    config_store_free(c, config_table, config_table_size);
    for (size_t i = 0; i < l->n_item_places; i++)
        free(l->item_places[i].path);
    free(l->item_places);
    free(l->places);
    free(l);
}

static int by_place(const void *a, const void *b)
{
    const struct config_problem *p = a, *q = b;

    if (p->line != q->line)
        return p->line < q->line ? -1 : 1;
    return (p->column > q->column) - (p->column < q->column);
}

struct config *config_parse(struct bytes yaml, struct config_problems *problems)
{
    struct load l = {.to = base_calloc(1, sizeof *l.to), .problems = problems};
    struct config_node *root;

    *problems = (struct config_problems){0};
    l.to->places = base_calloc(config_table_size, sizeof *l.to->places);
    config_store_defaults(&l.to->config, config_table, config_table_size);
    root = config_node_parse(yaml, problems);
    if (root && root->kind == NODE_MAP) {
        read_section(&l, root, "");
        choose_output(&l, root);
        check_together(&l);
    } else if (root && !is_null(root)) {
        config_problem_add(problems, root->line, root->column,
                           "a configuration begins with a key, like output:");
    }
    config_node_free(root);
    if (problems->n == 0)
        return &l.to->config;
    qsort(problems->list, problems->n, sizeof *problems->list, by_place);
    config_free(&l.to->config);
    return NULL;
}

/* The file's bytes, at most one more than is allowed. */
static int read_file(const char *path, struct strbuf *to, struct error *e)
{
    int fd = io_open(AT_FDCWD, path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
    ssize_t n = -1;

    if (fd < 0)
        return error_set(e, "cannot be opened: %s", strerror(errno));
    do {
        n = io_read(fd, strbuf_room(to, 65536), 65536);
        if (n > 0)
            to->n += (size_t)n;
    } while (n > 0 && to->n <= CONFIG_MAX_BYTES);
    if (n < 0)
        error_set(e, "cannot be read: %s", strerror(errno));
    io_close(fd);
    return n < 0 ? -1 : 0;
}

struct config *config_load(const char *path, struct config_problems *problems)
{
    struct strbuf yaml = {0};
    struct config *c = NULL;
    struct error e;

    if (!path)
        return config_parse(BYTES_NONE, problems);
    if (read_file(path, &yaml, &e) < 0) {
        *problems = (struct config_problems){0};
        config_problem_add(problems, 0, 0, "%s", e.text);
    } else {
        c = config_parse(strbuf_bytes(&yaml), problems);
    }
    strbuf_fini(&yaml);
    return c;
}

/* By opening: access(2) forgets what capabilities allow to a user who is not root. */
static bool can_read(const char *path)
{
    int fd = io_open(AT_FDCWD, path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);

    if (fd >= 0)
        io_close(fd);
    return fd >= 0;
}

static void check_file(const char *file, const char *path, struct place at,
                       struct config_problems *problems)
{
    if (*file && !can_read(file))
        config_problem_add(problems, at.line, at.column, "%s: %.200s cannot be read: %s", path,
                           file, strerror(errno));
}

static struct place item_place(const struct loaded *l, const char *path)
{
    for (size_t i = 0; i < l->n_item_places; i++)
        if (strcmp(l->item_places[i].path, path) == 0)
            return l->item_places[i].at;
    return (struct place){0};
}

static void check_item_files(const struct loaded *l, const struct setting *s,
                             struct config_problems *problems)
{
    void **list = *(void ***)config_store_member(&l->config, s);

    for (size_t i = 0; list[i]; i++)
        for (size_t k = 0; k < s->items->n_keys; k++) {
            const struct setting *key = &s->items->keys[k];
            char path[2 * PATH_BYTES];

            if (key->type != SET_FILE)
                continue;
            snprintf(path, sizeof path, "%s[%zu].%s", s->path, i, key->path);
            check_file(*(char **)config_store_member(list[i], key), path, item_place(l, path),
                       problems);
        }
}

bool config_check_files(const struct config *c, struct config_problems *problems)
{
    const struct loaded *l = loaded_of(c);

    *problems = (struct config_problems){0};
    for (size_t i = 0; i < config_table_size; i++) {
        const struct setting *s = &config_table[i];

        if (s->type == SET_FILE)
            check_file(*(char **)config_store_member(c, s), s->path, l->places[i], problems);
        else if (s->type == SET_ITEMS)
            check_item_files(l, s, problems);
    }
    return problems->n == 0;
}

void config_refuse(const struct config *c, const char *text, struct config_problems *problems)
{
    struct loaded *l = loaded_of(c);
    char path[PATH_BYTES];
    const struct setting *s;
    struct place p;

    *problems = (struct config_problems){0};
    snprintf(path, sizeof path, "%.*s", (int)strcspn(text, ":"), text);
    s = config_table_find(path);
    p = s ? *place_of(l, s) : item_place(l, path);
    config_problem_add(problems, p.line, p.column, "%s", text);
}

uint64_t config_retention_ms(const struct config *c)
{
    uint64_t ms = 0;

    if (c->retention[0] != '\0' && config_value_duration(c->retention, &ms, NULL) < 0)
        ASSERT(false); /* it was checked when it was read */
    return ms;
}

void config_problems_fini(struct config_problems *problems)
{
    free(problems->list);
    *problems = (struct config_problems){0};
}

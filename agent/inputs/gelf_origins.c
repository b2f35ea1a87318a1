#include "agent/inputs/gelf_origins.h"

#include "agent/base/hash.h"

#include <stdlib.h>

#define BUCKETS 1024
#define PART_MAX 1024
#define LABEL_MAX 1024
#define N_PARTS 4

struct entry {
    uint64_t hash;
    char *key; /* owned: the parts one behind the other */
    size_t part[N_PARTS];
    struct origin *origin;
    struct entry *chain;
    struct entry *newer, *older; /* by last use */
};

struct gelf_origins {
    struct entry *bucket[BUCKETS];
    struct entry *newest, *oldest;
    size_t n;
    uint64_t seed;
    struct formats *formats;
};

struct gelf_origins *gelf_origins_create(struct formats *formats)
{
    struct gelf_origins *o = base_calloc(1, sizeof *o);

    o->formats = formats;
    hash_random(&o->seed, sizeof o->seed);
    return o;
}

static void unlink_use(struct gelf_origins *o, struct entry *e)
{
    *(e->newer ? &e->newer->older : &o->newest) = e->older;
    *(e->older ? &e->older->newer : &o->oldest) = e->newer;
}

static void link_use(struct gelf_origins *o, struct entry *e)
{
    e->newer = NULL;
    e->older = o->newest;
    *(o->newest ? &o->newest->newer : &o->oldest) = e;
    o->newest = e;
}

static void forget(struct gelf_origins *o, struct entry *e)
{
    struct entry **link = &o->bucket[e->hash % BUCKETS];

    while (*link != e)
        link = &(*link)->chain;
    *link = e->chain;
    unlink_use(o, e);
    o->n--;
    origin_free(e->origin);
    free(e->key);
    free(e);
}

void gelf_origins_free(struct gelf_origins *o)
{
    if (!o)
        return;
    while (o->oldest)
        forget(o, o->oldest);
    free(o);
}

static bool has_key(const struct entry *e, const struct bytes part[N_PARTS])
{
    const char *p = e->key;

    for (int i = 0; i < N_PARTS; i++) {
        if (!bytes_equal(bytes_of(p, e->part[i]), part[i]))
            return false;
        p += e->part[i];
    }
    return true;
}

/* The inside of a JSON string as bytes; to has room for cap. Empty when that does not do or an
 * escape is invalid. */
static struct bytes plain(struct bytes inside, char *to, size_t cap)
{
    size_t n;

    if (!inside.n || !memchr(inside.p, '\\', inside.n))
        return inside;
    n = inside.n + 32 <= cap ? json_unescape(inside, to) : SIZE_MAX;
    return n == SIZE_MAX ? BYTES_NONE : bytes_of(to, n);
}

struct label_arg {
    const struct gelf_message *m;
    struct {
        char text[LABEL_MAX + 32];
    } room[16]; /* in turn: more than there are labels to ask for */
    unsigned next;
};

static struct bytes label(void *arg, const char *name)
{
    struct label_arg *a = arg;

    for (size_t i = 0; i < a->m->n_extra; i++) {
        const struct json_member *x = &a->m->extra[i];

        if (x->type == JSON_STRING && bytes_is(x->key, name) && x->value.n <= LABEL_MAX)
            return plain(bytes_of(x->value.p + 1, x->value.n - 2),
                         a->room[a->next++ % ARRAY_LEN(a->room)].text, LABEL_MAX + 32);
    }
    return BYTES_NONE;
}

static struct bytes no_label(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return BYTES_NONE;
}

static struct entry *make(struct gelf_origins *o, const struct gelf_message *m,
                          const struct bytes part[N_PARTS], uint64_t hash)
{
    struct entry *e = base_calloc(1, sizeof *e), **bucket = &o->bucket[hash % BUCKETS];
    char room[N_PARTS][PART_MAX + 32];
    struct label_arg *labels = base_calloc(1, sizeof *labels);
    struct label_arg *wanted = base_calloc(1, sizeof *wanted); /* of rules, which may be many */
    struct origin_facts facts = {
        .container_id = plain(part[0], room[0], sizeof room[0]),
        .container_name = plain(part[1], room[1], sizeof room[1]),
        .image_name = plain(part[2], room[2], sizeof room[2]),
        .host_name = plain(part[3], room[3], sizeof room[3]),
    };
    size_t n = 0;
    char *p;

    labels->m = wanted->m = m;
    origin_guess_service(&facts, m->from_docker ? label : no_label, labels);
    facts.format = formats_of(o->formats, &facts, m->from_docker ? label : no_label, wanted);
    for (int i = 0; i < N_PARTS; i++)
        n += part[i].n;
    *e = (struct entry){.hash = hash, .key = base_alloc(n + 1), .origin = origin_create(&facts)};
    free(labels);
    free(wanted);
    p = e->key;
    for (int i = 0; i < N_PARTS; i++) {
        if (part[i].n)
            memcpy(p, part[i].p, part[i].n);
        p += part[i].n;
        e->part[i] = part[i].n;
    }
    e->chain = *bucket;
    *bucket = e;
    o->n++;
    return e;
}

static struct bytes cut(struct bytes s)
{
    return s.n <= PART_MAX ? s : bytes_of(s.p, PART_MAX);
}

const struct origin *gelf_origins_of(struct gelf_origins *o, const struct gelf_message *m)
{
    struct bytes part[N_PARTS] = {cut(m->container_id), cut(m->container_name), cut(m->image_name),
                                  m->from_docker ? BYTES_NONE : cut(m->host)};
    uint64_t hash = o->seed;
    struct entry *e = o->newest;

    /* Messages come in runs. */
    if (e && has_key(e, part))
        return e->origin;
    for (int i = 0; i < N_PARTS; i++)
        hash = hash_64(hash, part[i].p, part[i].n);
    for (e = o->bucket[hash % BUCKETS]; e; e = e->chain)
        if (e->hash == hash && has_key(e, part))
            break;
    if (!e) {
        if (o->n == GELF_ORIGINS_MAX)
            forget(o, o->oldest);
        e = make(o, m, part, hash);
        link_use(o, e);
    } else if (e != o->newest) {
        unlink_use(o, e);
        link_use(o, e);
    }
    return e->origin;
}

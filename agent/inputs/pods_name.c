#include "agent/inputs/pods_name.h"

#include "agent/base/strbuf.h"
#include "agent/base/wildcard.h"

#include <stdlib.h>

#define RANDOM_LETTERS "bcdfghjklmnpqrstvwxz2456789" /* no vowels: they make no words */
#define HASH_LETTERS "bcdf456789"                    /* what becomes of a number's digits */
#define RANDOM_N 5
#define GENERATED_MAX 63 /* what the random letters are put to is cut to make room for them */
#define HASH_MIN 5
#define HASH_MAX 10 /* digits of 32 bits */
#define UID_HEX 32  /* of a static pod: a hash of its manifest */
#define STAMPS 100000000000000ull

static bool consists_of(const char *p, size_t n, const char *letters)
{
    for (size_t i = 0; i < n; i++)
        if (!memchr(letters, p[i], strlen(letters)))
            return false;
    return n > 0;
}

static bool is_number(const char *p, size_t n)
{
    return consists_of(p, n, "0123456789");
}

bool pods_name_parse(const char *folder, struct pods_name *to)
{
    const char *first = strchr(folder, '_'), *last = strrchr(folder, '_');

    /* None of the three may hold an underscore. */
    if (!first || first == folder || last <= first + 1 || last[1] == '\0' ||
        memchr(first + 1, '_', (size_t)(last - first - 1)))
        return false;
    to->namespace = bytes_of(folder, (size_t)(first - folder));
    to->pod = bytes_of(first + 1, (size_t)(last - first - 1));
    to->uid = bytes_str(last + 1);
    return true;
}

/* ---- workloads ---- */

/* Takes the last part, behind a hyphen, off name. none when it has only one. */
static struct bytes last_part(struct bytes *name)
{
    const char *hyphen = name->n ? memrchr(name->p, '-', name->n) : NULL;
    struct bytes part;

    if (!hyphen || hyphen == name->p)
        return BYTES_NONE;
    part = bytes_of(hyphen + 1, (size_t)(name->p + name->n - hyphen - 1));
    name->n = (size_t)(hyphen - name->p);
    return part;
}

/* Whether it is a ReplicaSet's hash: a number of 32 bits in ten letters. */
static bool is_hash(struct bytes part)
{
    return part.n >= HASH_MIN && part.n <= HASH_MAX && consists_of(part.p, part.n, HASH_LETTERS);
}

/* Whether it is a CronJob's time: minutes since 1970, in older releases seconds. */
static bool is_cron_time(struct bytes part)
{
    return (part.n == 8 || part.n == 10) && is_number(part.p, part.n);
}

static bool is_ordinal(struct bytes part)
{
    return part.n && part.n <= 5 && is_number(part.p, part.n) && (part.p[0] != '0' || part.n == 1);
}

static bool is_static(const struct pods_name *pod)
{
    return pod->uid.n == UID_HEX && consists_of(pod->uid.p, UID_HEX, "0123456789abcdef");
}

/* Whether a name was cut to make room for its random letters. */
static bool is_cut(struct bytes name)
{
    return name.n == GENERATED_MAX && name.p[name.n - RANDOM_N - 1] != '-' &&
           consists_of(name.p + name.n - RANDOM_N, RANDOM_N, RANDOM_LETTERS);
}

/* The workload of a name that was cut, somewhere in it or in a ReplicaSet's hash behind it. */
static struct bytes cut_workload(struct bytes name)
{
    struct bytes rest, last;

    name.n -= RANDOM_N;
    rest = name;
    last = last_part(&rest);
    return last.n <= HASH_MAX && consists_of(last.p, last.n, HASH_LETTERS) ? rest : name;
}

struct bytes pods_name_workload(const struct pods_name *pod, struct bytes node)
{
    struct bytes name = pod->pod, rest = name, last, before;

    if (is_static(pod)) {
        if (node.n && name.n > node.n + 1 && name.p[name.n - node.n - 1] == '-' &&
            memcmp(name.p + name.n - node.n, node.p, node.n) == 0)
            name.n -= node.n + 1;
        return name;
    }
    last = last_part(&rest);
    if (is_ordinal(last))
        return rest;
    if (is_cut(name))
        return cut_workload(name);
    if (last.n != RANDOM_N)
        return name;
    name = rest;
    before = last_part(&rest);
    if (is_hash(before) || is_cron_time(before))
        return rest;
    return consists_of(last.p, last.n, RANDOM_LETTERS) ? name : pod->pod;
}

/* ---- settings and environment ---- */

bool pods_name_is_excluded(const struct pods_name *pod, char *const *patterns)
{
    struct strbuf name = {0};
    bool excluded = false;

    strbuf_add_bytes(&name, pod->namespace);
    strbuf_add_char(&name, '/');
    strbuf_add_bytes(&name, pod->pod);
    for (; *patterns && !excluded; patterns++)
        excluded = wildcard_matches(*patterns, strbuf_bytes(&name));
    strbuf_fini(&name);
    return excluded;
}

static struct bytes from_environment(const char *name)
{
    const char *value = getenv(name);

    return value ? bytes_str(value) : BYTES_NONE;
}

struct bytes pods_name_node(void)
{
    return from_environment("NODE_NAME");
}

bool pods_name_is_own(struct bytes uid)
{
    return uid.n && bytes_equal(uid, from_environment("POD_UID"));
}

/* ---- log files ---- */

bool pods_name_is_log(const char *name, struct pods_log_name *to)
{
    size_t digits = strspn(name, "0123456789");
    const char *p = name + digits;

    if (digits < 1 || digits > 9 || (name[0] == '0' && digits > 1) || strncmp(p, ".log", 4) != 0)
        return false;
    *to = (struct pods_log_name){0};
    for (size_t i = 0; i < digits; i++)
        to->run = 10 * to->run + (uint64_t)(name[i] - '0');
    p += 4;
    if (*p == '\0')
        return true;
    if (p[0] != '.' || strnlen(p, 16) < 16 || !is_number(p + 1, 8) || p[9] != '-' ||
        !is_number(p + 10, 6))
        return false;
    for (size_t i = 1; i < 16; i++)
        if (i != 9)
            to->index = 10 * to->index + (uint64_t)(p[i] - '0');
    to->index = STAMPS - to->index;
    p += 16;
    to->compressed = strcmp(p, ".gz") == 0;
    return to->compressed || *p == '\0';
}

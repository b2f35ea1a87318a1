#include "parsers/gelf_message.h"

#include "agent/base/hash.h"
#include "parsers/timestamp.h"

/* What Docker's driver always sends beside the message: all of them, as strings, tell its messages
 * from others. */
enum { CONTAINER_ID, CONTAINER_NAME, IMAGE_NAME, TAG, IMAGE_ID, CREATED, COMMAND, DOCKER_NAMES };
#define DOCKER_ALWAYS                                                                              \
    (1u << CONTAINER_ID | 1u << CONTAINER_NAME | 1u << IMAGE_ID | 1u << CREATED | 1u << COMMAND)

static const char *const docker_names[DOCKER_NAMES] = {
    "container_id", "container_name", "image_name", "tag", "image_id", "created", "command"};

static bool is_blank(struct bytes s)
{
    for (size_t i = 0; i < s.n;) {
        if (s.p[i] == ' ')
            i++;
        else if (s.n - i >= 2 && s.p[i] == '\\' && s.p[i + 1] && strchr("trn", s.p[i + 1]))
            i += 2;
        else
            return false;
    }
    return true;
}

/* The end of the object that begins behind blanks, when something follows it. */
static size_t object_end(struct bytes text)
{
    size_t depth = 0;
    bool inside = false;

    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];

        if (inside) {
            if (c == '\\')
                i++;
            else if (c == '"')
                inside = false;
        } else if (c == '"') {
            inside = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && (depth == 0 || --depth == 0)) {
            return i + 1;
        }
    }
    return text.n;
}

/* Secret, so that no sender can make names collide. */
static uint64_t seed;

__attribute__((constructor)) static void choose_seed(void)
{
    hash_random(&seed, sizeof seed);
}

/* Of members with the same name the last counts. Linear: whoever sends datagrams may not make this
 * dear. */
static size_t drop_repeated(struct json_member *m, size_t n)
{
    uint16_t table[2 * JSON_MAX_MEMBERS] = {0}; /* 1 + index */
    size_t kept = n;

    for (size_t i = n; i-- > 0;) {
        size_t s = hash_64(seed, m[i].key.p, m[i].key.n) % ARRAY_LEN(table);

        while (table[s] && !bytes_equal(m[table[s] - 1].key, m[i].key))
            s = (s + 1) % ARRAY_LEN(table);
        if (table[s])
            continue;
        kept--;
        m[kept] = m[i];
        table[s] = (uint16_t)(kept + 1);
    }
    memmove(m, m + kept, (n - kept) * sizeof *m);
    return n - kept;
}

static struct bytes inside_of(const struct json_member *m)
{
    return bytes_of(m->value.p + 1, m->value.n - 2);
}

/* 0..7 as a number or a numeric string; -1. */
static int read_level(const struct json_member *m)
{
    struct bytes s = m->type == JSON_STRING ? inside_of(m) : m->value;

    if ((m->type != JSON_STRING && m->type != JSON_NUMBER) || s.n != 1 || s.p[0] < '0' ||
        s.p[0] > '7')
        return -1;
    return s.p[0] - '0';
}

static bool is_version(const struct json_member *m)
{
    struct bytes s = m->type == JSON_STRING ? inside_of(m) : m->value;

    return bytes_is(s, "1.1") || bytes_is(s, "1.0");
}

/* A member of GELF's own, with a value that GELF allows: taken into *out. */
static bool take(const struct json_member *m, struct gelf_message *out, struct bytes *message)
{
    struct bytes inside = m->type == JSON_STRING ? inside_of(m) : m->value;
    bool text = m->type == JSON_STRING && !is_blank(inside);
    int64_t ns;

    switch (m->key.n) {
    case 4:
        if (text && bytes_is(m->key, "host")) {
            out->host = inside;
            return true;
        }
        break;
    case 5:
        if (bytes_is(m->key, "level") && (out->level = read_level(m)) >= 0)
            return true;
        break;
    case 7:
        if (bytes_is(m->key, "version") && is_version(m))
            return true;
        if (text && bytes_is(m->key, "message"))
            *message = inside; /* which of the two it is shows at the end */
        break;
    case 9:
        if (bytes_is(m->key, "timestamp") && (m->type == JSON_NUMBER || m->type == JSON_STRING) &&
            timestamp_parse_seconds(inside, &ns)) {
            out->timestamp = inside;
            return true;
        }
        break;
    case 12:
        if (text && bytes_is(m->key, "full_message")) {
            out->full_message = inside;
            return true;
        }
        break;
    case 13:
        if (m->type == JSON_STRING && bytes_is(m->key, "short_message")) {
            out->short_message = inside;
            return true;
        }
        break;
    }
    return false;
}

/* Takes exactly one leading underscore off. What is left may be no name: the document repairs it.
 */
static void strip(struct json_member *m)
{
    m->key.p++;
    m->key.n--;
    if (m->key.n == 0 || (unsigned char)m->key.p[0] <= ' ')
        m->flags |= JSON_NEEDS_REWRITE;
}

static int docker_name(struct bytes key)
{
    for (int i = 0; i < DOCKER_NAMES; i++)
        if (bytes_is(key, docker_names[i]))
            return i;
    return -1;
}

/* Removes from extra what is said elsewhere: the container's names, and what Docker sends with
 * every message of a container. */
static void settle_docker(struct gelf_message *out)
{
    struct bytes *const slots[] = {&out->container_id, &out->container_name, &out->image_name,
                                   &out->tag};
    int which[JSON_MAX_MEMBERS];
    unsigned seen = 0;
    size_t kept = 0;

    for (size_t i = 0; i < out->n_extra; i++) {
        const struct json_member *m = &out->extra[i];

        which[i] = m->type == JSON_STRING ? docker_name(m->key) : -1;
        if (which[i] >= 0 && seen & 1u << which[i])
            which[i] = -1; /* "_tag" and "tag" */
        if (which[i] >= 0)
            seen |= 1u << which[i];
    }
    out->from_docker = (seen & DOCKER_ALWAYS) == DOCKER_ALWAYS;
    for (size_t i = 0; i < out->n_extra; i++) {
        if (which[i] >= 0 && which[i] <= (out->from_docker ? TAG : IMAGE_NAME))
            *slots[which[i]] = inside_of(&out->extra[i]);
        else if (which[i] < 0 || !out->from_docker)
            out->extra[kept++] = out->extra[i];
    }
    out->n_extra = kept;
}

bool gelf_message_parse(struct bytes text, struct json_member *members, size_t max,
                        struct gelf_message *out)
{
    struct bytes message = BYTES_NONE;
    enum json_result result;
    bool duplicate;
    size_t n;

    *out = (struct gelf_message){.level = -1, .extra = members};
    max = MIN(max, JSON_MAX_MEMBERS);
    result = json_scan(text, members, max, &n, &duplicate);
    if (result == JSON_INVALID)
        result = json_scan(bytes_of(text.p, object_end(text)), members, max, &n, &duplicate);
    if (result != JSON_OK)
        return false;
    if (duplicate)
        n = drop_repeated(members, n);
    for (size_t i = 0; i < n; i++) {
        struct json_member m = members[i];

        if (m.type == JSON_NULL || take(&m, out, &message))
            continue;
        if (m.key.n && m.key.p[0] == '_')
            strip(&m);
        out->extra[out->n_extra++] = m;
    }
    if (is_blank(out->short_message) && message.n) {
        size_t kept = 0;

        out->short_message = message;
        for (size_t i = 0; i < out->n_extra; i++)
            if (out->extra[i].value.p + 1 != message.p)
                out->extra[kept++] = out->extra[i];
        out->n_extra = kept;
    }
    settle_docker(out);
    return out->short_message.n || out->full_message.n || out->n_extra;
}

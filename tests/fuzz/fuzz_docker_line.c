/* Lines against the scanner: the fast path must see what json_scan sees. Whatever is taken can be
 * decoded. */
#include "parsers/docker_line.h"
#include "parsers/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bytes inside(struct bytes string)
{
    return bytes_of(string.p + 1, string.n - 2);
}

static void check(struct bytes line, bool taken, const struct docker_line *d)
{
    static struct json_member m[32];
    struct bytes log = BYTES_NONE, time = BYTES_NONE;
    bool duplicate, known = false, strings = true;
    size_t n;

    if (json_scan(line, m, ARRAY_LEN(m), &n, &duplicate) != JSON_OK) {
        ASSERT(!taken);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        bool is_log = bytes_is(m[i].key, "log"), is_time = bytes_is(m[i].key, "time");

        known |= is_log || is_time || bytes_is(m[i].key, "stream") || bytes_is(m[i].key, "attrs");
        if (!is_log && !is_time)
            continue;
        if (m[i].type != JSON_STRING)
            strings = false;
        else if (is_log)
            log = inside(m[i].value);
        else
            time = inside(m[i].value);
    }
    ASSERT(taken == (known && strings));
    if (!taken)
        return;
    ASSERT(d->log.p == log.p && d->log.n + (d->ends_line ? 2 : 0) == log.n);
    ASSERT(bytes_equal(d->time, time));

    /* The text is what a container wrote, with its line feed or without. */
    char *text = base_alloc(log.n + 32);
    size_t length = json_unescape(log, text);

    ASSERT(length != SIZE_MAX);
    ASSERT(d->ends_line == (log.n >= 2 && log.p[log.n - 1] == 'n' && text[length - 1] == '\n'));
    ASSERT(json_unescape(d->log, text) == length - d->ends_line);
    ASSERT(!(d->log_flags & JSON_VALUE_ESCAPED) ==
           (d->log.n == 0 || !memchr(d->log.p, '\\', d->log.n)));
    free(text);
}

/* A message that is cut on the way is what it is when it is decoded and cut afterwards. */
static void check_clean(struct bytes line, bool taken, const struct docker_line *plain)
{
    static struct docker_line_work work; /* what it has seen must not matter */
    static struct json_member m[JSON_MAX_MEMBERS];
    struct docker_line d;
    uint8_t flags = 0;
    char *whole = base_alloc(line.n + 1), *text;
    bool duplicate;
    size_t n, length;

    if (work.seen.object == 0)
        json_keys_seen_init(&work.seen);
    memcpy(whole, line.p, line.n);
    whole[line.n] = '\n';
    if (json_line_end(whole, whole + line.n + 1, &flags) != whole + line.n || flags) {
        free(whole);
        return;
    }
    ASSERT(docker_line_parse_clean(line, &work, &d) == taken);
    if (taken) {
        ASSERT(d.log.p == plain->log.p && d.log.n == plain->log.n && d.time.p == plain->time.p &&
               d.time.n == plain->time.n && d.attrs.p == plain->attrs.p);
        ASSERT(d.stream == plain->stream && d.log_flags == plain->log_flags &&
               d.ends_line == plain->ends_line);
    }
    if (taken && d.members) {
        text = base_alloc(d.log.n + 32);
        length = json_unescape(d.log, text);
        ASSERT(json_scan(bytes_of(text, length), m, JSON_MAX_MEMBERS, &n, &duplicate) == JSON_OK);
        ASSERT(d.n == n && d.duplicate == duplicate);
        for (size_t i = 0; i < n; i++)
            ASSERT(bytes_equal(m[i].key, d.members[i].key) &&
                   bytes_equal(m[i].value, d.members[i].value) && m[i].type == d.members[i].type);
        free(text);
    }
    free(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes line = bytes_of(data, size);
    struct docker_line d, rest;
    bool taken = docker_line_parse(line, &d);

    check(line, taken, &d);
    check_clean(line, taken, &d);

    size_t at = docker_line_resync(line, &d);

    if (at != 0) {
        ASSERT(at < line.n && line.p[at] == '{');
        ASSERT(docker_line_parse(bytes_of(line.p + at, line.n - at), &rest));
        ASSERT(bytes_equal(rest.log, d.log) && bytes_equal(rest.time, d.time));
    }
    return 0;
}

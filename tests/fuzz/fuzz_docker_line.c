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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes line = bytes_of(data, size);
    struct docker_line d, rest;

    check(line, docker_line_parse(line, &d), &d);

    size_t at = docker_line_resync(line, &d);

    if (at != 0) {
        ASSERT(at < line.n && line.p[at] == '{');
        ASSERT(docker_line_parse(bytes_of(line.p + at, line.n - at), &rest));
        ASSERT(bytes_equal(rest.log, d.log) && bytes_equal(rest.time, d.time));
    }
    return 0;
}

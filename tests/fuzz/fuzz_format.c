/*
 * Any bytes as the text of a message, in any format. The first byte chooses the format. Whatever is
 * read gives an object that the scanner takes, with members, within its bound; whatever a pattern
 * of the operator finds is found again.
 */
#include "parsers/format.h"
#include "parsers/json.h"
#include "parsers/timestamp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct field_pair types[] = {{(char *)"n", (char *)"long"},
                                    {(char *)"d", (char *)"double"},
                                    {(char *)"b", (char *)"boolean"},
                                    {NULL, NULL}};

static char *forms[] = {(char *)"ISO8601",           (char *)"UNIX",
                        (char *)"UNIX_MS",           (char *)"EEE dd/MMM/yyyy:hh:mm:ss,SSS a Z",
                        (char *)"yyyyMMddHHmmssSSS", NULL};

static const struct parser_settings settings[] = {
    {.kind = PARSER_LOGFMT},
    {.kind = PARSER_NGINX},
    {.kind = PARSER_MYSQL},
    {.kind = PARSER_REGEX,
     .pattern = (char *)"^(?<time>\\S+) (?<n>\\S*) (?<d>\\S*) (?<b>\\S*)(?: (?<a__b>.*))?$",
     .types = types},
    {.kind = PARSER_REGEX, .pattern = (char *)"(?<a>\\w+)=(?:(?<b>\\d+)|\"(?<message>[^\"]*)\")"},
    {.kind = PARSER_REGEX,
     .pattern = (char *)"^(?<when>[^|]*)(?:\\|(?<message>.*))?$",
     .time_key = (char *)"when",
     .time_formats = forms,
     .time_zone = (char *)"+05:30"},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct format *formats[ARRAY_LEN(settings)];
    static struct format_work *work;
    static struct json_member members[JSON_MAX_MEMBERS];
    struct format_result result, again;
    enum json_result scanned;
    struct bytes text;
    bool duplicate;
    char *copy;
    size_t i, count = 0;

    if (n == 0)
        return 0;
    i = data[0] % ARRAY_LEN(settings);
    if (!work)
        work = format_work_create();
    if (!formats[i]) {
        int rc = format_create(&settings[i], &formats[i], NULL);

        ASSERT(rc == 0);
    }
    /* On the heap, to its last byte: what reads beyond it is seen. */
    text = bytes_of(copy = malloc(n), n - 1);
    memcpy(copy, data + 1, n - 1);
    work->want_time = data[0] & 0x80;
    if (format_read(formats[i], text, work, &result)) {
        struct bytes first = bytes_of(base_alloc(result.object.n), result.object.n);

        memcpy((char *)(uintptr_t)first.p, result.object.p, first.n);

        ASSERT(result.object.n <= format_bound(formats[i], text.n));
        scanned = json_scan(result.object, members, ARRAY_LEN(members), &count, &duplicate);
        ASSERT(scanned == JSON_TOO_MANY || (scanned == JSON_OK && count > 0));
        ASSERT(!memchr(result.object.p, '\n', result.object.n) || text.p[0] == '{');
        ASSERT(!result.has_time || result.time_ns >= 0);
        ASSERT(format_read(formats[i], text, work, &again));
        ASSERT(bytes_equal(again.object, first) && again.has_time == result.has_time);
        free((char *)(uintptr_t)first.p);
    }
    free(copy);
    return 0;
}

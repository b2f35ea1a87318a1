/* Instants: what is taken can be written and read back, and is what the C library makes of it. */
#include "parsers/timestamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(int64_t ns)
{
    char text[TIMESTAMP_TEXT_MAX];
    int64_t back;
    size_t n = timestamp_format(ns, text);
    time_t s = (time_t)(ns / 1000000000);
    struct tm tm;
    char expected[40];

    ASSERT(n <= sizeof(text) && timestamp_parse(bytes_of(text, n), &back) && back == ns);
    gmtime_r(&s, &tm);
    strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S", &tm);
    ASSERT(memcmp(text, expected, 19) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_of(data, size);
    int64_t ns;

    if (timestamp_parse(text, &ns)) {
        ASSERT(ns >= 0);
        check_round_trip(ns);
    }
    if (timestamp_parse_seconds(text, &ns)) {
        char *copy = base_strndup(text.p, text.n);
        double d = strtod(copy, NULL) * 1e9;

        /* Within what a double can tell. */
        ASSERT(ns > 0 && (double)ns - d < 2048 && d - (double)ns < 2048);
        check_round_trip(ns);
        free(copy);
    }
    if (size >= sizeof(ns)) {
        memcpy(&ns, data, sizeof(ns));
        if (ns >= 0)
            check_round_trip(ns);
    }
    return 0;
}

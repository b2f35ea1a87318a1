#include "agent/inputs/tail_start.h"

#include "parsers/docker_line.h"
#include "parsers/timestamp.h"

#define STEP_BYTES (64u << 10)

uint64_t tail_start_end(struct tail_file *f, char *scratch)
{
    uint64_t at = f->inode.size;

    while (at > 0) {
        uint64_t from = at - MIN(at, (uint64_t)STEP_BYTES);
        ssize_t n = tail_file_pread(f, scratch, (size_t)(at - from), from);
        const char *nl = n > 0 ? memrchr(scratch, '\n', (size_t)n) : NULL;

        if (n < 0)
            return 0;
        if (nl)
            return from + (uint64_t)(nl + 1 - scratch);
        at = from;
    }
    return 0;
}

/* The first line that begins at or behind `at` and says when it was written: 1 and *begin, *end
 * (behind its line feed), *time_ns. 0 when there is none. */
static int line_behind(struct tail_file *f, uint64_t at, char *scratch, uint64_t *begin,
                       uint64_t *end, int64_t *time_ns)
{
    uint64_t from = at ? at - 1 : 0;
    ssize_t n = tail_file_pread(f, scratch, DOCKER_LINE_MAX_BYTES, from);
    const char *p = scratch, *stop = scratch + MAX(n, 0);

    if (at) {
        p = memchr(p, '\n', (size_t)(stop - p));
        if (!p)
            return 0;
        p++;
    }
    for (const char *nl; p < stop && (nl = memchr(p, '\n', (size_t)(stop - p))); p = nl + 1) {
        struct docker_line l;

        if (!docker_line_parse(bytes_of(p, (size_t)(nl - p)), &l) ||
            !timestamp_parse(l.time, time_ns))
            continue;
        *begin = from + (uint64_t)(p - scratch);
        *end = from + (uint64_t)(nl + 1 - scratch);
        return 1;
    }
    return 0;
}

uint64_t tail_start_since(struct tail_file *f, int64_t since_ns, char *scratch)
{
    uint64_t low = 0, high = f->inode.size; /* lines that end at or before low are older, those that
                                               begin at high are not */

    while (low < high) {
        uint64_t middle = low + (high - low) / 2, begin, end;
        int64_t time_ns;

        if (!line_behind(f, middle, scratch, &begin, &end, &time_ns) || begin >= high) {
            high = middle;
        } else if (time_ns < since_ns) {
            low = end;
        } else if (begin == low || middle == low) {
            return begin;
        } else {
            high = middle;
        }
    }
    return low;
}

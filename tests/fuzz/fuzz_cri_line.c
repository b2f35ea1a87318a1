/* Entries of CRI runtimes: whatever is taken is put together again as it was; and a whole log,
 * framed in life, with refusals, restarts and a rotation, gives what framing it at one go gives. */
#include "tests/unit/docker_frames.h"

#include "agent/base/hash.h"
#include "parsers/cri_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_line(struct bytes line)
{
    struct cri_line l;
    const char *tags;

    if (!cri_line_parse(line, &l))
        return;
    ASSERT(l.time.p == line.p && l.time.n >= 20 && l.time.n <= CRI_TIME_TEXT_MAX);
    ASSERT(l.text.p + l.text.n == line.p + line.n);
    ASSERT(l.stream == STREAM_STDOUT || l.stream == STREAM_STDERR);
    ASSERT(memcmp(l.time.p + l.time.n, l.stream == STREAM_STDOUT ? " stdout " : " stderr ", 8) ==
           0);
    tags = l.time.p + l.time.n + 8;
    ASSERT(tags < l.text.p - 1 && l.text.p[-1] == ' ' &&
           !memchr(tags, ' ', (size_t)(l.text.p - 1 - tags)));
    ASSERT(l.partial == (*tags == 'P' && (tags[1] == ' ' || tags[1] == ':')));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct bytes file = bytes_of((const char *)data, n);
    size_t second = n > 2 ? data[0] * n / 256 : 0;
    struct frames_files files = {.file = file, .cri = true};
    struct frames whole, life;
    const char *p = file.p, *end = p + n, *nl;

    for (; p < end && (nl = memchr(p, '\n', (size_t)(end - p))); p = nl + 1)
        check_line(bytes_of(p, (size_t)(nl - p)));
    check_line(file);
    nl = second ? memchr(file.p + second, '\n', n - second) : NULL;
    files.second = nl ? (size_t)(nl + 1 - file.p) : 0;
    whole = frames_of_files(&files, NULL, 0);
    life = frames_in_life_of(&files, hash_64(1, data, n), NULL, NULL);
    ASSERT(frames_differ(&whole, &life) == SIZE_MAX);
    frames_fini(&whole);
    frames_fini(&life);
    return 0;
}

/* Lines of events: framing them in life, with refusals, restarts, a rotation and silence that cuts,
 * gives what framing them at one go gives, with the same cuts. */
#include "tests/unit/docker_multi_lines.h"

#include "agent/base/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The operator's pattern of a rule: lines that begin with a digit. */
static bool begins_with_digit(const void *pattern, struct bytes line)
{
    (void)pattern;
    return line.n && line.p[0] >= '0' && line.p[0] <= '9';
}

/* First byte: the rule; second: where the second file begins; then the lines. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct multiline_rule rule = {0};
    struct frames_cut cuts[FRAMES_MOST_CUTS];
    struct frames_files files = {.rule = &rule};
    struct frames whole, life;
    struct strbuf b = {0};
    size_t n_cuts;

    if (n < 3)
        return 0;
    rule.languages = data[0] & 0x40 ? MULTILINE_MYSQL : data[0] & 15;
    rule.starts = data[0] & 0x80 ? begins_with_digit : NULL;
    files.second = multi_lines_add(&b, bytes_of((const char *)data + 2, n - 2), data[1]);
    files.file = strbuf_bytes(&b);
    life = frames_in_life_of(&files, hash_64(1, data, n), cuts, &n_cuts);
    whole = frames_of_files(&files, cuts, n_cuts);
    ASSERT(frames_differ(&whole, &life) == SIZE_MAX);
    ASSERT(multi_lines_all_there(files.file, &whole));
    frames_fini(&whole);
    frames_fini(&life);
    strbuf_fini(&b);
    return 0;
}

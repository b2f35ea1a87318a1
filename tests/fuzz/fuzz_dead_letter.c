/* Any bytes as a line of dead letters: what is found lies within the line. */
#include "outputs/dead_letters.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_within(struct bytes part, struct bytes line)
{
    ASSERT(part.n == 0 || (part.p >= line.p && part.p + part.n <= line.p + line.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct bytes line = bytes_of(data, n);
    struct dead_letter letter;

    if (!dead_letter_parse(line, &letter))
        return 0;
    check_within(letter.index, line);
    check_within(letter.reason, line);
    check_within(letter.document, line);
    ASSERT(letter.index.n > 0 && letter.index.n <= BUFFER_MAX_INDEX);
    ASSERT(letter.document.n >= 2 && letter.document.p[0] == '{' &&
           letter.document.p[letter.document.n - 1] == '}');
    return 0;
}

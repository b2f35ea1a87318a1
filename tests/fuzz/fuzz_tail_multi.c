/* Lines of events: framing them in life, with refusals, restarts, a rotation and silence that cuts,
 * gives what framing them at one go gives, with the same cuts. */
#include "tests/unit/multi_lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct bytes input = bytes_of((const char *)data, n);

    ASSERT(multi_lines_differ(input, hash_64(1, data, n)) == SIZE_MAX);
    return 0;
}

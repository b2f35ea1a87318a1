/* Any bytes as a configuration: no crash, and what is accepted prints as one that is accepted with
 * the same meaning. */
#include "agent/base/strbuf.h"
#include "agent/config/config.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct config_problems problems;
    struct config *c = config_parse(bytes_of(data, n), &problems);
    struct strbuf first = {0}, second = {0};

    ASSERT((c == NULL) == (problems.n > 0));
    config_problems_fini(&problems);
    if (!c)
        return 0;
    config_print(c, &first);
    config_free(c);
    c = config_parse(strbuf_bytes(&first), &problems);
    ASSERT(c);
    config_print(c, &second);
    ASSERT(bytes_equal(strbuf_bytes(&first), strbuf_bytes(&second)));
    config_free(c);
    config_problems_fini(&problems);
    strbuf_fini(&first);
    strbuf_fini(&second);
    return 0;
}

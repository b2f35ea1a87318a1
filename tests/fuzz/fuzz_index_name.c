/* A pattern that the configuration takes, a service and an instant: the name is one that
 * Elasticsearch takes, of nothing but the pattern's own characters and the service's letters. The
 * input: eight bytes of instant, the pattern, a NUL, the service. */
#include "agent/pipeline/index_name.h"

#include "agent/base/strbuf.h"
#include "agent/buffer/buffer.h"
#include "agent/config/config_value.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-indices-create */
static void check_legal(struct bytes name)
{
    ASSERT(name.n > 0 && name.n <= 255 && name.n <= BUFFER_MAX_INDEX);
    ASSERT(!strchr("-_+", name.p[0]));
    ASSERT(!bytes_is(name, ".") && !bytes_is(name, ".."));
    for (size_t i = 0; i < name.n; i++) {
        ASSERT((unsigned char)name.p[i] > ' ' && name.p[i] != 0x7f);
        ASSERT(!strchr("\\/*?\"<>|,#:", name.p[i]));
        ASSERT(name.p[i] < 'A' || name.p[i] > 'Z');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct index_name *names;
    struct bytes name, service;
    struct error e;
    const char *end;
    char *pattern;
    int64_t ns;

    if (n < sizeof ns)
        return 0;
    memcpy(&ns, data, sizeof ns);
    ns &= INT64_MAX;
    data += sizeof ns;
    n -= sizeof ns;
    end = n ? memchr(data, 0, n) : NULL;
    pattern = base_strndup((const char *)data, end ? (size_t)(end - (const char *)data) : n);
    service = end ? bytes_of(end + 1, n - strlen(pattern) - 1) : BYTES_NONE;
    names = index_name_create(pattern, &e);
    if (config_value_check_index(pattern, &e) == 0) {
        struct strbuf first = {0};

        ASSERT(names);
        name = index_name_for(names, ns, service);
        check_legal(name);
        /* The same again behind another instant: what is kept ready does not show. */
        strbuf_add_bytes(&first, name);
        check_legal(index_name_for(names, ns / 2, BYTES_NONE));
        ASSERT(bytes_equal(index_name_for(names, ns, service), strbuf_bytes(&first)));
        strbuf_fini(&first);
    }
    index_name_free(names);
    free(pattern);
    return 0;
}

/* Any text: the id that is found is one, lies in the text, and is not changed by what follows it;
 * the same of traceparent. */
#include "agent/base/strbuf.h"
#include "parsers/request_id.h"

#include <ctype.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_id(struct bytes text, struct bytes id)
{
    struct strbuf more = {0};
    struct bytes again;
    size_t before = (size_t)(id.p - text.p);

    ASSERT(id.p > text.p && id.p + id.n <= text.p + text.n);
    ASSERT(request_id_usable(id) && id.n <= REQUEST_ID_MAX);
    for (size_t i = 0; i < id.n; i++)
        ASSERT(isalnum((unsigned char)id.p[i]) || strchr("-_.:@/+~|", id.p[i]));
    /* Behind a key, a colon or an equals sign, blanks and quotes. */
    while (before > 0 && strchr(" \\\"'", text.p[before - 1]))
        before--;
    ASSERT(before >= 6 && (text.p[before - 1] == ':' || text.p[before - 1] == '='));
    /* The first one wins. */
    strbuf_add_bytes(&more, text);
    strbuf_add_str(&more, " request_id=another");
    ASSERT(request_id_in_text(strbuf_bytes(&more), &again) && bytes_equal(again, id));
    strbuf_fini(&more);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct bytes text = bytes_of(data, n), id, trace, span;

    if (request_id_in_text(text, &id))
        check_id(text, id);
    if (request_id_traceparent(text, &trace, &span)) {
        ASSERT(trace.n == 32 && span.n == 16 && request_id_is_hex(trace) &&
               request_id_is_hex(span));
        ASSERT(request_id_usable_trace(trace) && request_id_usable_trace(span));
        ASSERT(trace.p >= text.p && span.p + span.n <= text.p + text.n);
    }
    if (request_id_usable_trace(text))
        ASSERT(request_id_usable(text));
    return 0;
}

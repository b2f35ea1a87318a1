/* Any bytes as a GELF message: no crash, slices of the input, members within their array. */
#include "parsers/gelf_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(struct bytes s, struct bytes text)
{
    ASSERT(s.n == 0 || (s.p >= text.p && s.p + s.n <= text.p + text.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct json_member members[64];
    struct bytes text = bytes_of(data, n);
    struct gelf_message m;

    if (!gelf_message_parse(text, members, ARRAY_LEN(members), &m))
        return 0;
    ASSERT(m.extra == members && m.n_extra <= ARRAY_LEN(members));
    ASSERT(m.level >= -1 && m.level <= 7);
    ASSERT(m.short_message.n || m.full_message.n || m.n_extra);
    check(m.host, text);
    check(m.short_message, text);
    check(m.full_message, text);
    check(m.timestamp, text);
    check(m.container_id, text);
    check(m.container_name, text);
    check(m.image_name, text);
    check(m.tag, text);
    for (size_t i = 0; i < m.n_extra; i++) {
        check(m.extra[i].key, text);
        check(m.extra[i].value, text);
        ASSERT(m.extra[i].type != JSON_NULL);
        ASSERT(m.extra[i].key_hash == json_key_hash(m.extra[i].key) ||
               (m.extra[i].flags & (JSON_KEY_ESCAPED | JSON_NEEDS_REWRITE)));
    }
    return 0;
}

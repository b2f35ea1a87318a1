/* A setting's text: what is taken is written as a text that means the same, and no check fails to
 * say why. */
#include "agent/config/config_value.h"

#include "agent/base/strbuf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

typedef int check_fn(const char *text, struct error *why);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static check_fn *const checks[] = {config_value_check_nonempty, config_value_check_address,
                                       config_value_check_url,      config_value_check_proxy,
                                       config_value_check_index,    config_value_check_file_path,
                                       config_value_check_field,    config_value_check_convert};
    char *text = base_strndup((const char *)data, n);
    struct strbuf b = {0};
    struct error why = {""};
    uint64_t value, back;
    double share, share_back;
    bool yes;

    if (config_value_size(text, &value, &why) == 0) {
        config_value_add_size(&b, value);
        ASSERT(config_value_size(b.p, &back, &why) == 0 && back == value);
    } else {
        ASSERT(why.text[0]);
    }
    strbuf_clear(&b);
    why.text[0] = '\0';
    if (config_value_duration(text, &value, &why) == 0) {
        config_value_add_duration(&b, value);
        ASSERT(config_value_duration(b.p, &back, &why) == 0 && back == value);
    } else {
        ASSERT(why.text[0]);
    }
    strbuf_clear(&b);
    why.text[0] = '\0';
    if (config_value_share(text, &share, &why) == 0) {
        ASSERT(share >= 0 && share <= 1);
        config_value_add_share(&b, share);
        ASSERT(config_value_share(b.p, &share_back, &why) == 0 && share_back == share);
    } else {
        ASSERT(why.text[0]);
    }
    why.text[0] = '\0';
    if (config_value_bool(text, &yes, &why) < 0)
        ASSERT(why.text[0]);
    why.text[0] = '\0';
    if (config_value_count(text, &value, &why) == 0)
        ASSERT(strtoull(text, NULL, 10) == value);
    else
        ASSERT(why.text[0]);
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        why.text[0] = '\0';
        ASSERT((checks[i](text, &why) == 0) == !why.text[0]);
    }
    strbuf_clear(&b);
    config_value_add_masked(&b, text);
    strbuf_fini(&b);
    free(text);
    return 0;
}

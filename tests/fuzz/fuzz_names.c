/* Any name and any word of a level: known in any spelling or in none, the same by the quick way and
 * the other one. */
#include "parsers/json.h"
#include "parsers/keys.h"
#include "parsers/level.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_level(struct bytes text)
{
    char *other = base_alloc(text.n + 1);

    for (int python = 0; python < 2; python++) {
        bool lossless = false, other_lossless = false;
        enum level level = level_of(text, python, &lossless);

        ASSERT(level < LEVEL_COUNT);
        for (size_t i = 0; i < text.n; i++) {
            char c = text.p[i];

            other[i] = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ? (char)(c ^ 0x20) : c;
        }
        ASSERT(level_of(bytes_of(other, text.n), python, &other_lossless) == level);
        if (level != LEVEL_NONE)
            ASSERT(lossless == other_lossless);
    }
    free(other);
}

/* The name with its letters' case turned and a separator put in. */
static struct bytes respell(struct bytes key, char *to, char separator)
{
    size_t n = 0;

    for (size_t i = 0; i < key.n; i++) {
        char c = key.p[i];

        if (i == key.n / 2 && key.n)
            to[n++] = separator;
        to[n++] = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ? (char)(c ^ 0x20) : c;
    }
    return bytes_of(to, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct keys *keys;
    static char *own[] = {(char *)"kallenavn", NULL};
    struct bytes key = bytes_of(data, n), other;
    char *to = base_alloc(n + 2);
    uint32_t hash = json_key_hash(key);
    struct key_match match, fast;

    if (!keys) {
        struct bytes set = BYTES_LITERAL("environment");

        keys = keys_create(own, &set, 1);
    }
    match = keys_find(keys, key, hash);
    if (keys_may_know(keys, hash)) {
        fast = keys_find_fast(keys, key, hash);
        ASSERT(fast.key == match.key && fast.exact == match.exact);
    } else {
        ASSERT(!match.key);
    }
    if (match.exact)
        ASSERT(bytes_is(key, match.key->name));
    other = respell(key, to, "_-."[n % 3]);
    if (match.key && !match.key->exact && n) {
        struct key_match again = keys_find(keys, other, json_key_hash(other));

        ASSERT(again.key && again.key->target == match.key->target &&
               again.key->holds == match.key->holds);
    }
    if (match.key)
        key_is_level(match.key);
    keys_find_in_error(key);
    check_level(key);
    free(to);
    return 0;
}
